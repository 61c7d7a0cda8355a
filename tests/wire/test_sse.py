"""Events for a client."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcpgateway.wire import sse


def data_of(event: bytes) -> bytes:
    """What an event says; it has one line of data, and ends as events do."""
    assert event.endswith(b"\n\n")
    lines = event[:-2].splitlines()
    (data,) = [line[6:] for line in lines if line.startswith(b"data: ")]
    assert all(line.startswith((b"data: ", b"event: ", b"id: ", b"retry: ")) for line in lines)
    return data


class EventTests:
    """One message, one event."""

    @pytest.mark.parametrize("message", [b'{"a":"b"}', b'{"a":\r"b"}', b'{\n"a":\r\n"b"\r}', b'{"a": "b"}'])
    def test_one_data_line(self, message: bytes) -> None:
        """Whatever stands between a message's tokens, it is one line of data."""
        event = sse.event(message)
        lines = event.split(b"\n")
        assert lines[0] == b"event: message"
        assert lines[1].startswith(b"data: ")
        assert lines[2:] == [b"", b""]
        assert b"\r" not in event
        assert json.loads(lines[1][6:]) == {"a": "b"}

    @given(st.lists(st.sampled_from([b"", b" ", b"\n", b"\r", b"\r\n\t"]), min_size=3, max_size=3))
    def test_lone_surrogates(self, gaps: list[bytes]) -> None:
        """JavaScript's lone surrogates, which not every reader of JSON takes, are no reason to split it."""
        event = sse.event(b'{%b"id"%b:%b"\\ud800"}' % tuple(gaps))
        assert json.loads(data_of(event)) == {"id": "\ud800"}

    def test_ping_is_a_comment(self) -> None:
        """A sign of life says nothing."""
        assert sse.PING.startswith(b":")
        assert sse.PING.endswith(b"\n\n")
