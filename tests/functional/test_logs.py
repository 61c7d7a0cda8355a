"""Logs of servers, as a person and a program read them: redacted, one line each, bounded, there after a restart."""

from __future__ import annotations

import http.client
import json
import socket
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.gateway import LIMIT_S, Gateway, eventually, server

pytestmark = pytest.mark.functional

SECRET = "correct-horse-battery-9"
TOKEN = "ghp_abcdefghijklmnopqrstuvwxyz0123456789"
TALKER = f"""
import json, os, sys
def say(text): print(text, file=sys.stderr, flush=True)
say("hello from the child")
say("my value is " + os.environ["GREETING"] + " indeed")
say("Authorization: Bearer abc.def")
say("{TOKEN}")
say("two\\x1b[2Jlines\\x07")
say("so on and " * 300)
for line in sys.stdin:
    asked = json.loads(line)
    if asked.get("method") == "initialize":
        result = {{"protocolVersion": "2025-06-18", "capabilities": {{"logging": {{}}, "tools": {{}}}},
                  "serverInfo": {{"name": "talker", "version": "1"}}}}
    elif asked.get("method") == "tools/call":
        for number in range(asked["params"]["arguments"]["lines"]):
            say(f"line {{number}} " + "so " * asked["params"]["arguments"].get("wide", 0))
        note = {{"level": "warning", "data": "the disk is full, " + os.environ["GREETING"]}}
        print(json.dumps({{"jsonrpc": "2.0", "method": "notifications/message", "params": note}}), flush=True)
        result = {{"content": []}}
    else:
        result = {{"tools": [{{"name": "talk", "inputSchema": {{"type": "object"}}}}]}}
    if "id" in asked:
        print(json.dumps({{"jsonrpc": "2.0", "id": asked["id"], "result": result}}), flush=True)
"""


def talker(tmp_path: Path) -> dict[str, Any]:
    """A server that says what it should not."""
    program = tmp_path / "talker.py"
    program.write_text(TALKER)
    return server([sys.executable, "-I", "-S", str(program)], env={"GREETING": SECRET})


def post(gateway: Gateway, endpoint: str, method: str, **params: Any) -> Any:
    """Ask a server something, in a session of the moment."""
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode()
    headers = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}
    request = urllib.request.Request(f"{gateway.url}/{endpoint}/mcp", body, headers)
    with urllib.request.urlopen(request, timeout=LIMIT_S) as answer:
        return answer.read()


class Stream:
    """A stream of events, read as they come."""

    def __init__(self, gateway: Gateway, path: str, **headers: str) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=LIMIT_S)
        self._connection.request("GET", path, headers=headers)
        self.answer = self._connection.getresponse()

    def events(self) -> Iterator[dict[str, str]]:
        """The events of the stream, each by its fields; comments and the like are left out."""
        fields: dict[str, str] = {}
        ends = time.monotonic() + LIMIT_S
        for line in self.answer:
            assert time.monotonic() < ends, "this stream never ends"
            text = line.decode().rstrip("\n")
            if not text:
                if "data" in fields:
                    yield fields
                fields = {}
            else:
                name, _, value = text.partition(": ")
                fields[name] = value

    def until(self, word: str) -> list[dict[str, str]]:
        """The events of the stream up to one whose data has this in it."""
        found = []
        ends = time.monotonic() + LIMIT_S
        for event in self.events():
            found.append(event)
            if word in event["data"]:
                return found
            if time.monotonic() > ends:
                break
        raise AssertionError(f"it ended without {word!r}: {found}")

    def close(self) -> None:
        """Hang up."""
        self.answer.close()
        self._connection.close()


def log_of(gateway: Gateway, name: str) -> str:
    """The log of a server, as it lies on the disk."""
    path = gateway.home / "logs" / f"{name}.log"
    return path.read_text() if path.exists() else ""


class LogTests:
    """The log of a server."""

    @pytest.mark.parametrize("runner", ["twistd", "twist", "start"])
    def test_a_child_that_prints_secrets(self, tmp_path: Path, runner: str) -> None:
        """A secret is neither in the stream, on the disk nor in the gateway's own log, and each line stays one line."""
        with Gateway(tmp_path, {"talker": talker(tmp_path)}, runner=runner) as gateway:
            stream = Stream(gateway, "/api/v1/servers/talker/logs")
            assert stream.answer.status == 200
            assert stream.answer.headers["content-type"] == "text/event-stream"
            post(gateway, "talker", "tools/list")
            events = stream.until("so on and")
            text = "\n".join(each["data"] for each in events)
            stream.close()
            assert "stderr hello from the child" in text
            assert "my value is ***REDACTED*** indeed" in text
            assert "Authorization: ***REDACTED***" in text
            assert "two\\x1b[2Jlines\\x07" in text
            assert max(len(each["data"]) for each in events) < 2100
            everything = text + log_of(gateway, "talker") + gateway.log
            for secret in (SECRET, TOKEN, "abc.def", "\x1b"):
                assert secret not in everything
            path = gateway.home / "logs" / "talker.log"
            assert path.stat().st_mode & 0o777 == 0o600

    def test_history_after_a_restart(self, tmp_path: Path) -> None:
        """The lines from before are there, and a reader who has read some of them gets the rest."""
        with Gateway(tmp_path, {"talker": talker(tmp_path)}) as gateway:
            post(gateway, "talker", "tools/list")
            stream = Stream(gateway, "/api/v1/servers/talker/logs?tail=500")
            seen = stream.until("hello from")[-1]["id"]
            stream.close()
            gateway.stop()
            gateway.start()
            again = Stream(gateway, "/api/v1/servers/talker/logs?follow=false", **{"Last-Event-ID": seen})
            data = [each["data"] for each in again.events()]
            assert not any("hello from" in each for each in data)
            assert any("my value is" in each for each in data)
            lost = Stream(
                gateway, "/api/v1/servers/talker/logs?follow=false", **{"Last-Event-ID": "not ours"}
            )
            assert any("hello from" in each["data"] for each in lost.events())
            last = Stream(gateway, "/api/v1/servers/talker/logs?follow=false&tail=1")
            assert len(list(last.events())) == 1

    def test_a_flood(self, tmp_path: Path) -> None:
        """Thousands of lines at once are kept as far as there is room, and the gateway goes on answering."""
        with Gateway(tmp_path, {"talker": talker(tmp_path)}) as gateway:
            post(gateway, "talker", "tools/call", name="talk", arguments={"lines": 20_000})
            eventually(lambda: "line 19999" in log_of(gateway, "talker"), "the last line is written")
            assert "lines were left out" in log_of(gateway, "talker")
            stream = Stream(gateway, "/api/v1/servers/talker/logs?follow=false")
            found = list(stream.events())
            assert len(found) <= 1000

    def test_a_reader_that_does_not_read(self, tmp_path: Path) -> None:
        """A reader that does not read costs no memory, the gateway goes on, and a later read gets the newest."""
        with Gateway(tmp_path, {"talker": talker(tmp_path)}) as gateway:
            post(gateway, "talker", "tools/list")
            before = gateway.resident_kib()
            with socket.create_connection(("127.0.0.1", gateway.port), timeout=LIMIT_S) as reader:
                reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 262_144)
                reader.sendall(b"GET /api/v1/servers/talker/logs?tail=0 HTTP/1.1\r\nHost: localhost\r\n\r\n")
                assert reader.recv(100).startswith(b"HTTP/1.1 200")
                for _ in range(3):
                    post(gateway, "talker", "tools/call", name="talk", arguments={"lines": 4000, "wide": 600})
                    eventually(lambda: "line 3999 " in _last(gateway), "all of it is written")
                assert gateway.resident_kib() - before < 24_576
                text, ends = b"", time.monotonic() + LIMIT_S
                while b"line 3999 " not in text:
                    assert time.monotonic() < ends
                    text = text[-1000:] + reader.recv(65_536)

    def test_over_mcp(self, tmp_path: Path) -> None:
        """A server's notifications/message are in its log too."""
        with Gateway(tmp_path, {"talker": talker(tmp_path)}) as gateway:
            stream = Stream(gateway, "/api/v1/servers/talker/logs")
            post(gateway, "talker", "tools/call", name="talk", arguments={"lines": 1})
            said = stream.until("the disk is full")[-1]["data"]
            assert "message [warning] the disk is full, ***REDACTED***" in said
            stream.close()

    def test_an_unknown_server(self, tmp_path: Path) -> None:
        """A server that is unknown has no log."""
        with Gateway(tmp_path, {}) as gateway:
            assert Stream(gateway, "/api/v1/servers/nobody/logs").answer.status == 404
            assert Stream(gateway, "/api/v1/servers/..%2f..%2fauth/logs").answer.status == 404

    def test_a_server_that_is_removed(self, tmp_path: Path) -> None:
        """The stream of a removed server ends."""
        with Gateway(tmp_path, {"talker": talker(tmp_path)}) as gateway:
            stream = Stream(gateway, "/api/v1/servers/talker/logs")
            gateway.config.write_text(gateway.configured({}))
            for _ in stream.events():
                pass
            stream.close()
            assert Stream(gateway, "/api/v1/servers/talker/logs").answer.status == 404

    def test_the_end_of_the_gateway(self, tmp_path: Path) -> None:
        """The gateway ends in order though streams are read, and they end."""
        with Gateway(tmp_path, {"talker": talker(tmp_path)}) as gateway:
            streams = [Stream(gateway, f"/api/v1/{each}") for each in ("events", "servers/talker/logs")]
            gateway.stop()
            for each in streams:
                list(each.events())

    def test_no_room(self, tmp_path: Path) -> None:
        """More streams than there is room for are refused, and one that ends makes room."""
        with Gateway(tmp_path, {}, settings={"limits": {"log_streams": 2}}) as gateway:
            first, second = (Stream(gateway, "/api/v1/events") for _ in range(2))
            third = Stream(gateway, "/api/v1/events")
            assert third.answer.status == 503
            assert third.answer.headers["retry-after"]
            assert "log_streams" in json.loads(third.answer.read())["error"]
            first.close()
            eventually(lambda: Stream(gateway, "/api/v1/events").answer.status == 200, "there is room")
            second.close()


def _last(gateway: Gateway) -> str:
    stream = Stream(gateway, "/api/v1/servers/talker/logs?follow=false&tail=20")
    return "\n".join(each["data"] for each in stream.events())


class EventTests:
    """Events of the gateway."""

    def test_states_sessions_and_configuration(self, tmp_path: Path) -> None:
        """Events are told as they happen, and a reader who comes back is told those he has missed."""
        with Gateway(tmp_path, {"talker": talker(tmp_path)}) as gateway:
            stream = Stream(gateway, "/api/v1/events")
            post(gateway, "talker", "tools/list")
            states = stream.until('"state":"running"')
            assert {each["event"] for each in states} >= {"server.state"}
            assert json.loads(states[-1]["data"])["server"] == "talker"
            stream.close()
            gateway.config.write_text(gateway.configured({}))
            eventually(lambda: "is not served any more" in gateway.log, "the server is removed")
            again = Stream(
                gateway, "/api/v1/events?kind=config,server.removed", **{"Last-Event-ID": states[-1]["id"]}
            )
            told = again.until("server.removed")
            assert {each["event"] for each in told} == {"config.changed", "server.removed"}
            again.close()

    def test_levels(self, tmp_path: Path) -> None:
        """The level of the log follows the configuration while the gateway runs."""
        with Gateway(tmp_path, {"talker": talker(tmp_path)}) as gateway:
            stream = Stream(gateway, "/api/v1/events?kind=config")
            gateway.config.write_text(
                gateway.configured({"talker": talker(tmp_path)}, {"log_level": "debug"})
            )
            eventually(lambda: _opened_is_logged(gateway), "what only debug shows is logged")
            stream.close()
            gateway.config.write_text(gateway.configured({}, {"log_level": "error"}))
            told = Stream(gateway, "/api/v1/events?kind=server", **{"Last-Event-ID": "0"})
            told.until("server.removed")
            told.close()
            assert "is not served any more" not in gateway.log
            gateway.config.write_text(gateway.configured({}))  # whoever looks on waits for its last words
            eventually(lambda: _changes(gateway) == 3, "it has been read")


def _changes(gateway: Gateway) -> int:
    told = Stream(gateway, "/api/v1/events?kind=config.changed&follow=false")
    return len(list(told.events()))


def _opened_is_logged(gateway: Gateway) -> bool:
    who = {"name": "test", "version": "1"}
    post(gateway, "talker", "initialize", protocolVersion="2025-06-18", capabilities={}, clientInfo=who)
    return "a session of talker begins" in gateway.log
