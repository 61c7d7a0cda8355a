"""Results too large for a model, on views: shortened by the settings that count, and kept for their caller."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from mcpgateway.config.model import ServerSpec
from mcpgateway.config.surface import Level
from mcpgateway.discovery.records import Item, ListKind
from mcpgateway.interfaces import Request
from mcpgateway.protocol.jsonrpc import own_request
from tests.support.keeping import Thread, keeping
from tests.support.modern_client import done, hang_up, reply
from tests.support.sinks import Sink
from tests.support.view_stage import Stage, legacy, modern, tool

OFFERS: Any = {"m": [tool("echo")], "old": [tool("echo")]}


class Caller:
    """The caller, with one server that no entry of the configuration defines."""

    principal = "me"

    @staticmethod
    def specs() -> tuple[ServerSpec, ...]:
        """The server."""
        return (ServerSpec("repo", ("run",), {}, "/", workspace="/repo", shield=Level.OFF),)


BIG = {"content": [{"type": "text", "text": json.dumps(["x" * 100] * 5000)}]}


class Threads:
    """A client of each era, whose calls on a view have been answered with more than can be shortened at once."""

    def __init__(self, home: Path) -> None:
        self.thread = Thread()
        self.stage = Stage(modern("m"), legacy("old"), gateway=keeping(home, self.thread), **OFFERS)
        self.dispatcher = self.stage.gateway.dispatcher
        self.guest = self.stage.gateway.view()
        self.guest.call(1, "tools/list")
        self.stage.answer()
        self.guest.call(7, "tools/call", name="old__echo")
        self.stage.answer()
        old = self.stage.child("old")
        old.answer(old.asked("tools/call")[0], BIG)
        self.client = self.stage.client()
        asked = self.stage.call(self.client, "m__echo")
        done(self.stage.child("m"), asked, **BIG)

    @property
    def answers(self) -> list[Any]:
        """The answers to both clients."""
        heard = self.guest.heard.json if self.guest.heard is not None else None
        return [each.get("result", each) if each else None for each in (heard, reply(self.client))]


class ThreadTests:
    """Answers that are being shortened in a thread."""

    def test_they_are_waited_for(self, tmp_path: Path) -> None:
        """The end of the gateway, or its new beginning, waits for answers that are being shortened."""
        threads = Threads(tmp_path)
        threads.stage.gateway.hub.close()
        assert threads.dispatcher.calls.awaited() == 2
        assert len(threads.dispatcher.calls.under_way()) == 2
        assert threads.answers == [None, None]
        threads.thread.work()
        assert all("_ref" in each for each in threads.answers)
        assert threads.dispatcher.calls.awaited() == 0

    def test_no_more_time(self, tmp_path: Path) -> None:
        """When there is no more time they are passed on whole, and once."""
        threads = Threads(tmp_path)
        threads.dispatcher.close()
        assert [each["content"] for each in threads.answers] == [BIG["content"], BIG["content"]]
        threads.thread.work()
        assert [each["content"] for each in threads.answers] == [BIG["content"], BIG["content"]]

    def test_taken_back(self, tmp_path: Path) -> None:
        """A call that its client takes back meanwhile is not answered any more."""
        threads = Threads(tmp_path)
        other = threads.stage.gateway.client(**threads.guest.headers)
        other.path = threads.guest.path
        other.send({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 7}})
        hang_up(threads.client)
        assert len(threads.dispatcher.calls) == 0
        threads.thread.work()
        assert threads.answers[0]["error"]["code"] == -32800


class LevelTests:
    """Levels of the shield for the gateway's own tools."""

    def test_as_the_caller_sees_it(self, tmp_path: Path) -> None:
        """A server of a repository is judged by what it says itself, any other by the gateway's settings."""
        hub = keeping(tmp_path).hub
        assert hub.dispatcher.view_sessions.builtin is not None
        assert hub.jobs is not None
        for server, is_shielded in (("repo", False), ("other", True)):
            sink = Sink()
            call = Request(None, own_request("tools/call"), None, sink)
            hub.jobs._shield(call, Item(server, ListKind.TOOL, "x", {}), None, Caller())  # type: ignore[arg-type]
            assert (call.sink is not sink) is is_shielded


class OwnToolTests:
    """Long answers of the gateway's own tools."""

    def test_modern(self, tmp_path: Path) -> None:
        """A client of the modern era, which has no session, is given the short form, and gets the whole by its name."""
        stage = Stage(
            modern("m"), gateway=keeping(tmp_path), m=[tool(f"tool_{each}") for each in range(2000)]
        )
        stage.names()
        result = stage.ask("tools/call", name="gateway_list_tools")["result"]
        assert "_ref" in result
        assert len(json.dumps(result)) <= 65_536
        asked = {"ref": result["_ref"], "path": "$.m", "offset": 1990}
        again = stage.ask("tools/call", name="gateway_get_result", arguments=asked)["result"]
        assert [each["name"] for each in json.loads(again["content"][0]["text"])["data"]][-1] == "tool_1999"

    def test_tools_are_whole(self, tmp_path: Path) -> None:
        """A list of tools has the schema of each, and as many rows as there are tools."""
        schema = {"type": "object", "properties": {f"p{each}": {"type": "string"} for each in range(12)}}
        tools = [tool(f"tool_{each}") | {"inputSchema": schema} for each in range(80)]
        stage = Stage(modern("m"), gateway=keeping(tmp_path), m=tools)
        stage.names()

        def listed(**arguments: str) -> Any:
            result = stage.ask("tools/call", name="gateway_list_tools", arguments=arguments)["result"]
            assert "_ref" not in result
            return json.loads(result["content"][0]["text"])

        assert [each["inputSchema"] for each in listed(server="m")["m"]] == [schema] * 80
        assert len(listed(format="table")["rows"]) == 80
