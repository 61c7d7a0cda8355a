"""W3C Trace Context."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcpgateway.protocol import jsonrpc
from mcpgateway.protocol.trace_context import TraceContext, headers, read, read_state

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


def digits(number: int) -> st.SearchStrategy[str]:
    """Draw so many hexadecimal digits that are not all 0."""
    return st.text("0123456789abcdef", min_size=number, max_size=number).filter(lambda text: text.strip("0"))


class ParentTests:
    """``traceparent``."""

    @given(digits(32), digits(16), st.integers(0, 1))
    def test_round_trip(self, trace: str, span: str, flags: int) -> None:
        """A written trace parent is read as the same."""
        context = TraceContext(trace, span, flags)
        assert read(str(context)) == context
        assert context.is_sampled is bool(flags)

    @given(st.text(max_size=80))
    def test_any_text(self, text: str) -> None:
        """Any other text is as good as absent, and never an error."""
        found = read(text)
        assert found is None or found.trace in text

    @pytest.mark.parametrize(
        "text",
        [
            "",
            f"00-{TRACE}-{SPAN}",
            f"ff-{TRACE}-{SPAN}-01",
            f"00-{TRACE}-{SPAN}-01-more",
            f"00-{TRACE}-{SPAN}-01x",
            f"00-{'0' * 32}-{SPAN}-01",
            f"00-{TRACE}-{'0' * 16}-01",
            f"00-{TRACE.upper()}-{SPAN}-01",
            f"00-{TRACE}-{SPAN}-1",
            f"00-{TRACE}-{SPAN}-01" + " " * 1000,
        ],
    )
    def test_invalid(self, text: str) -> None:
        """A trace parent that the recommendation calls invalid counts as absent."""
        assert read(text) is None

    def test_a_later_version(self) -> None:
        """The known part of a later version is read; unknown flags are not passed on."""
        found = read(f"cc-{TRACE}-{SPAN}-09-what-the-future-holds")
        assert found == TraceContext(TRACE, SPAN, 9)
        assert str(found) == f"00-{TRACE}-{SPAN}-01"

    def test_within(self) -> None:
        """A span within a trace keeps the trace and its flags."""
        assert str(TraceContext(TRACE, SPAN, 0).within("1" * 16)) == f"00-{TRACE}-{'1' * 16}-00"


class HeaderTests:
    """The trace of ``_meta``, as headers."""

    def test_headers(self) -> None:
        """The headers are the parent, if it can be read, and the state, only beside it."""
        parent, state = jsonrpc.raw(f"00-{TRACE}-{SPAN}-01"), jsonrpc.raw("a=1")
        assert headers({"traceparent": parent}) == {"traceparent": f"00-{TRACE}-{SPAN}-01"}
        assert headers({"traceparent": parent, "tracestate": state})["tracestate"] == "a=1"
        assert headers({"traceparent": parent, "tracestate": jsonrpc.raw("a\r\nEvil: 1")}).keys() == {
            "traceparent"
        }
        assert headers({"tracestate": state}) == headers({"traceparent": jsonrpc.raw(5)}) == {}


class StateTests:
    """``tracestate``."""

    @pytest.mark.parametrize(
        ("text", "found"), [(" a=1,b=2 ", "a=1,b=2"), ("é", ""), ("a\n", ""), ("x" * 513, "")]
    )
    def test_read(self, text: str, found: str) -> None:
        """A valid ``tracestate`` is passed on unchanged."""
        assert read_state(text) == found
