"""Descriptions of tools, made shorter for models."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from mcpgateway.discovery.compression import first_sentence, without_examples

anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
    max_leaves=8,
)


class SentenceTests:
    """Descriptions."""

    @pytest.mark.parametrize(
        ("description", "shown"),
        [
            ("", ""),
            ("Reads a file. Then more.", "Reads a file."),
            ("Reads a file.", "Reads a file."),
            ("Reads v1.2 of a file.\nMore", "Reads v1.2 of a file."),
            ("ä" * 100, "ä" * 80),
            ("😀" * 81, "😀" * 80),
            ("x" * 200 + ". y", "x" * 200 + "."),
            ("no full stop", "no full stop"),
        ],
    )
    def test_first(self, description, shown):
        """A description ends with its first sentence, or after 80 characters where there is none."""
        assert first_sentence(description) == shown

    @given(st.text())
    def test_prefix(self, description):
        """The shown text is the beginning of the description."""
        assert description.startswith(first_sentence(description))


class ExamplesTests:
    """Schemas."""

    def test_first_level(self):
        """Examples of the whole are left out, those inside and every other byte stay."""
        schema = Raw(
            b'{"type" : "object","examples":[{"a":1}],"properties":{"a":{"examples": [1], "maximum":1.50}}}'
        )
        assert bytes(without_examples(schema)) == (
            b'{"type":"object","properties":{"a":{"examples": [1], "maximum":1.50}}}'
        )

    @pytest.mark.parametrize("schema", [b"[]", b"true", b'"examples"', b'{"a": "examples"}', b"{ }"])
    def test_nothing_to_leave_out(self, schema):
        """A schema without examples is what it was, byte for byte."""
        assert bytes(without_examples(Raw(schema))) == schema

    def test_escaped(self):
        """A name means the same however it is spelled."""
        assert bytes(without_examples(Raw(b'{"ex\\u0061mples":1,"a":2}'))) == b'{"a":2}'

    @given(st.dictionaries(st.sampled_from(["examples", "type"]) | st.text(max_size=9), anything, max_size=4))
    def test_json(self, schema):
        """The rest of a schema is the same JSON without that one member."""
        left = json.loads(bytes(without_examples(Raw(json.dumps(schema).encode()))))
        assert left == {name: value for name, value in schema.items() if name != "examples"}
