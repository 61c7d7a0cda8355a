"""Messages, read as far as a relay needs them."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcpgateway.shim import jsontext
from mcpgateway.shim.messages import Line

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


def plain(value):
    """A value with its numbers read."""
    if isinstance(value, jsontext.Number):
        return json.loads(value)
    if isinstance(value, list):
        return [plain(each) for each in value]
    return {name: plain(each) for name, each in value.items()} if isinstance(value, dict) else value


class ReadingTests:
    """JSON."""

    @given(JSON, st.sampled_from([None, 1]))
    def test_any_value(self, value, indent):
        """Every JSON value is read."""
        assert plain(jsontext.decoded(json.dumps(value, indent=indent).encode())) == value

    @given(st.text())
    def test_any_text(self, text):
        """A text that is no JSON is refused, by one error."""
        try:
            plain(jsontext.loads(text))
        except jsontext.Unreadable:
            with pytest.raises(ValueError):  # noqa: PT011
                json.loads(text)

    @pytest.mark.parametrize("line", [b"", b" ", b"{", b"{} {}", b"[1,]", b'"\xff"', b"[" * 200_000, b"nul"])
    def test_nonsense(self, line):
        """Lines that are no JSON, or no UTF-8, or nested without end, are refused."""
        with pytest.raises(jsontext.Unreadable):
            jsontext.decoded(line)

    @given(st.dictionaries(st.text(), JSON), st.sampled_from([None, 1]))
    def test_members(self, value, indent):
        """A member is found as the text it was written in."""
        text = json.dumps(value, indent=indent)
        for name, each in value.items():
            assert json.loads(jsontext.member(text, name)) == each
        assert jsontext.member(text, "no such name") is None

    @pytest.mark.parametrize("text", ["", "[]", "{", '{"b":', '{"b" 1}', "1"])
    def test_members_of_nothing(self, text):
        """A value that is no object has no members."""
        assert jsontext.member(text, "a") is None

    def test_members_before_the_end(self):
        """Members before a fault are seen all the same."""
        assert jsontext.member('{"id":7,"a":oops}', "id") == "7"


class IdTests:
    """Ids, which go back as they came."""

    @pytest.mark.parametrize(
        "text", ["7", "-1", "1.50", "123456789012345678901234567890", '"7"', '"\\u00fc"']
    )
    def test_as_written(self, text):
        """Numbers and strings are told apart, and keep their spelling."""
        (found,) = Line(b'{"jsonrpc":"2.0","id":%b,"method":"m"}' % text.encode()).ids
        assert found == text

    def test_in_one_spelling(self):
        """However a string is escaped, it is the same id."""
        lines = [b'{"id":"\xc3\xbc","method":"m"}', b'{"id":"\\u00fc","method":"m"}']
        assert len({Line(each).ids[0] for each in lines}) == 1

    @pytest.mark.parametrize("text", ["null", "true", "{}", "[1]"])
    def test_none_that_can_be_answered(self, text):
        """A malformed id leaves a request without one."""
        line = Line(b'{"id":%b,"method":"m"}' % text.encode())
        assert (line.ids, line.is_question) == ([], True)


class LineTests:
    """The kind of a line."""

    @pytest.mark.parametrize(
        ("text", "is_question", "goes_first"),
        [
            (b'{"id":1,"method":"initialize"}', True, True),
            (b'{"id":1,"method":"ping"}', True, False),
            (b'{"method":"notifications/initialized"}', False, False),
            (b'{"id":1,"result":{}}', False, False),
            (b'[{"id":1,"method":"ping"},{"method":"n"}]', True, False),
            (b"5", True, False),
        ],
    )
    def test_kinds(self, text, is_question, goes_first):
        """Requests wait for answers, notifications and responses do not."""
        line = Line(text)
        assert (line.is_question, line.is_first_of_session) == (is_question, goes_first)

    def test_the_era(self):
        """The envelope names the revision."""
        meta = {"io.modelcontextprotocol/protocolVersion": "2026-07-28"}
        assert (
            Line(json.dumps({"id": 1, "method": "m", "params": {"_meta": meta}}).encode()).version
            == "2026-07-28"
        )
        assert (
            Line(
                b'{"id":1,"method":"m","params":{"_meta":{"io.modelcontextprotocol/protocolVersion":1}}}'
            ).version
            == ""
        )

    def test_a_cancellation(self):
        """A cancellation names its request."""
        assert Line(b'{"method":"notifications/cancelled","params":{"requestId":"a"}}').target == '"a"'
        assert Line(b'{"method":"notifications/cancelled","params":[]}').target is None


class WritingTests:
    """Messages of the shim's own."""

    def test_an_error(self):
        """An error is one line of JSON."""
        line = jsontext.error('"ü"', "a\n\u2028b")
        assert b"\n" not in line
        assert json.loads(line)["error"] == {"code": -32603, "message": "a\n\u2028b"}
