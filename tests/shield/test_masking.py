"""Results without what looks like a credential."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from mcpgateway.shield.masking import MASK, Masking

TOKENS = (
    "ghp_" + "a1" * 18,
    "github_pat_" + "a_1" * 25,
    "glpat-" + "aB3" * 8,
    "sk-ant-" + "x9-" * 15,
    "sk_live_" + "9" * 24,
    "AKIA" + "ABCD2345EFGH6789",
    "AIza" + "a" * 35,
    "xoxb-" + "1234567890-abcdefghij",
    "npm_" + "Z9" * 18,
    "hf_" + "q" * 34,
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N",
    "-----BEGIN RSA PRIVATE KEY-----\nMIIE\nabc=\n-----END RSA PRIVATE KEY-----",
)


def masked(result: Any, *secrets: str) -> tuple[Any, int]:
    """A result without secrets, and their number."""
    found, count = Masking(secrets).masked(Raw(json.dumps(result).encode()))
    return json.loads(bytes(found)), count


class MaskingTests:
    """What is masked and what is not."""

    @pytest.mark.parametrize("token", TOKENS)
    def test_shapes(self, token: str) -> None:
        """Tokens that say what they are are masked, in plain text, in JSON, and in structured content."""
        result = {
            "content": [
                {"type": "text", "text": f"it is {token}, really"},
                {"type": "text", "text": json.dumps({"key": token})},
            ],
            "structuredContent": {"list": [token], "n": 1},
        }
        found, count = masked(result)
        assert count == 3
        assert found["content"][0]["text"] == f"it is {MASK}, really"
        assert json.loads(found["content"][1]["text"]) == {"key": MASK}
        assert found["structuredContent"] == {"list": [MASK], "n": 1}

    def test_configured_values(self) -> None:
        """A configured secret is masked however JSON writes it; what is very short is no secret."""
        secret = 'pass"wörd\\1'
        found, count = masked(
            {"content": [{"type": "text", "text": json.dumps([secret, "abc"])}]}, secret, "abc"
        )
        assert (json.loads(found["content"][0]["text"]), count) == ([MASK, "abc"], 1)

    def test_embedded_texts(self) -> None:
        """The texts of embedded resources are looked through, and so is content that is a mere string."""
        resource = {"uri": "file:///x", "text": f"token {TOKENS[0]}"}
        found, count = masked({"content": [{"type": "resource", "resource": resource}]})
        assert found["content"][0]["resource"] == {"uri": "file:///x", "text": f"token {MASK}"}
        assert count == 1
        assert masked({"content": TOKENS[0]})[0]["content"] == [{"type": "text", "text": MASK}]

    def test_what_is_no_text(self) -> None:
        """Images and embedded resources are not looked into."""
        result = {"content": [{"type": "image", "data": TOKENS[0], "mimeType": "image/png"}]}
        assert masked(result) == (result, 0)

    @given(st.text(max_size=300), st.binary(max_size=100))
    def test_anything(self, text: str, junk: bytes) -> None:
        """Results without secrets are the same bytes, and nothing breaks."""
        raw = Raw(json.dumps({"content": [{"type": "text", "text": text}]}).encode())
        found, count = Masking(()).masked(raw)
        assert count or found is raw
        assert Masking(()).masked(Raw(junk))[1] == 0
