"""The flight recorder, read: what was said to a server and by it, without secrets."""

from __future__ import annotations

import json
from typing import Any

from twisted.internet.defer import Deferred

from mcpgateway.backends.tape import Tapes
from mcpgateway.observe.recorder import AT_ONCE, Recording
from mcpgateway.policy.secrets.redaction import Redactor
from tests.support.gateway_in_memory import MemoryGateway

SECRET = "s3cr3t-of-the-entry"


def exported(
    gateway: MemoryGateway, most: int | None = None, tapes: Tapes | None = None
) -> list[dict[str, Any]]:
    """Return the exported recording of the shared server."""
    redactor = Redactor()
    redactor.learn([SECRET])
    recording = Recording(
        tapes or gateway.hub.tapes, gateway.health.histories, gateway.clock, redactor.redact
    )
    found: list[list[dict[str, Any]]] = []
    Deferred.fromCoroutine(recording.export("shared", most)).addCallback(found.append)
    while not found:
        gateway.clock.advance(0)
    return [json.loads(json.dumps(each)) for each in found[0]]


class RecordingTests:
    """The exported recording."""

    def test_both_ways(self) -> None:
        """Messages in both directions and events stand in one order, with times and the gateway's own ids."""
        gateway = MemoryGateway()
        client = gateway.session()
        client.call("of the client", name="say", arguments={"text": f"it is {SECRET}", "token": "t"})
        gateway.child.answer(gateway.child.asked("tools/call")[0], {"content": []})
        found = exported(gateway)
        assert {each["direction"] for each in found if "direction" in each} == {"to-server", "from-server"}
        assert {each["event"] for each in found if "event" in each} == {"child.launching", "child.ready"}
        call = next(each for each in found if each.get("message", {}).get("method") == "tools/call")
        assert call["direction"] == "to-server"
        assert call["child"] == 1
        assert call["at"] == "2023-11-14T22:13:20.000000Z"
        assert call["message"]["params"]["arguments"]["text"] == "it is ***REDACTED***"
        assert call["message"]["params"]["arguments"]["token"] == "***REDACTED***"
        assert "of the client" not in str(found)
        assert client.headers["Mcp-Session-Id"] not in str(found)
        answer = next(
            each
            for each in found
            if each.get("message", {}).get("id") == call["message"]["id"] and each is not call
        )
        assert answer["direction"] == "from-server"

    def test_what_is_no_message(self) -> None:
        """A stray line is exported as text, a long one cut, and no secret is in either."""
        gateway = MemoryGateway()
        gateway.session()
        gateway.child._receiver.line_received(f"hello {SECRET}".encode())
        gateway.child._receiver.line_received(b'{"a":"' + SECRET.encode() * 10_000 + b'"}')
        stray, long = exported(gateway)[-2:]
        assert stray["text"] == "hello ***REDACTED***"
        assert long["cut"]
        assert long["bytes"] == 10_000 * len(SECRET) + 8
        assert "s3cr3t" not in long["text"]

    def test_it_outlives_the_child(self) -> None:
        """The last messages of an ended child are still there, and those of the next child bear another number."""
        gateway = MemoryGateway()
        gateway.session()
        gateway.child.exit(1)
        gateway.tick(5)
        assert {each["child"] for each in exported(gateway) if "child" in each} == {1, 2}
        assert "child.gone" in [each.get("event") for each in exported(gateway)]

    def test_the_latest(self) -> None:
        """The number of exported lines can be limited to the latest."""
        gateway = MemoryGateway()
        gateway.session()
        for number in range(AT_ONCE * 3):
            gateway.child.say({"jsonrpc": "2.0", "method": "notifications/x", "params": {"n": number}})
        found = exported(gateway, 2)
        assert [each["message"]["params"]["n"] for each in found] == [AT_ONCE * 3 - 2, AT_ONCE * 3 - 1]
        assert exported(gateway, 0) == []

    def test_the_clock_is_set_back(self) -> None:
        """Lines stand in the order in which they were said, whatever the clock says."""
        gateway, times = MemoryGateway(), [2000000000.0, 2000000001.0, 1600000000.0, 1600000001.0]
        gateway.session()
        tapes = Tapes(iter(times).__next__)
        tape = tapes.of("shared")
        assert tape is not None
        for number in range(len(times)):
            tape.keep(1, b'{"id": %d}' % number)
        found = [each["message"]["id"] for each in exported(gateway, tapes=tapes) if "message" in each]
        assert found == [0, 1, 2, 3]
        assert exported(gateway, 1, tapes)[0]["message"]["id"] == 3

    def test_nothing_was_said(self) -> None:
        """The recording of a server that was never started is empty."""
        assert exported(MemoryGateway()) == []
