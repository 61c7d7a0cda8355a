"""Events for a client."""

from __future__ import annotations

import json

import pytest

from mcpgateway.wire import sse


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

    def test_ping_is_a_comment(self) -> None:
        """A sign of life says nothing."""
        assert sse.PING.startswith(b":")
        assert sse.PING.endswith(b"\n\n")
