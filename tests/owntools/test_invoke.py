"""The tools that call other tools."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec import Raw

from mcpgateway.config.surface import Level
from mcpgateway.discovery.listing import More
from mcpgateway.discovery.records import ListKind
from mcpgateway.errors import BackendGone, Cancelled, InvalidParams, SwitchedOff
from mcpgateway.owntools.invoke import CallRedirection, CallTool, Invoke
from mcpgateway.protocol import jsonrpc
from tests.owntools.test_search import World, items
from tests.support.gateway_tools import RecordingSink, Sent, ask, reply

QUERY = {
    "name": "query",
    "inputSchema": {
        "type": "object",
        "properties": {"sql": {"type": "string"}, "maxRows": {"type": "integer"}},
        "required": ["sql"],
        "additionalProperties": False,
    },
}


class Invoked(World):
    """A world with a tool that runs queries."""

    def __init__(self) -> None:
        super().__init__()
        self.server_lists.lists["db", ""] = items("db", QUERY)
        self.tool = Invoke(CallRedirection(self.means, self.clock))

    def invoke(self, **arguments: Any) -> tuple[RecordingSink, Sent]:
        """Call the tool; what the client hears, and what was sent."""
        sink = ask(self.tool, self.access, arguments)
        return sink, self.access.sent[-1]

    def refused(self, **arguments: Any) -> Any:
        """Return the text of a failed result, with nothing sent."""
        sink = ask(self.tool, self.access, arguments)
        assert not self.access.sent
        assert sink.result["isError"] is True
        return sink.value


class InvokeTests:
    """``invoke`` and ``call``."""

    @pytest.mark.parametrize(
        "arguments",
        [
            {"id": "db__query", "args": {"sql": "x"}},
            {"id": "db::query", "arguments": {"sql": "x"}},
            {"backend": "db", "tool": "query", "args": {"sql": "x"}},
            {"server": "db", "tool": "query", "arguments": '{"sql": "x"}'},
            {"tool": "db__query", "args": {"sql": "x"}},
        ],
    )
    def test_both_shapes_are_taken(self, arguments: dict[str, Any]) -> None:
        """A tool is named by id or by server and name; its arguments are an object or the JSON of one."""
        world = Invoked()
        _, sent = world.invoke(**arguments)
        assert (sent.server, sent.tool, sent.arguments) == ("db", "query", {"sql": "x"})

    def test_a_result_is_passed_as_it_is(self) -> None:
        """Images, structured content and all else of a result reach the caller as they are."""
        sink, sent = Invoked().invoke(id="db__query", args={"sql": "x"})
        result = {
            "content": [{"type": "image", "data": "AA=="}],
            "structuredContent": {"a": 1},
            "_meta": {"b": 2},
        }
        sent.call.sink.answered(sent.call, reply(result))
        assert sink.result == result
        assert sent.call.sink is sink

    def test_no_arguments_are_an_empty_object(self) -> None:
        """A tool without arguments may be called without any."""
        world = Invoked()
        assert world.invoke(id="db__query")[1].arguments == {}
        assert world.invoke(id="db__query", args=None)[1].arguments == {}
        assert world.invoke(id="db__query", args="")[1].arguments == {}

    def test_a_level_is_passed_on(self) -> None:
        """The caller may say how much of the result it wants; else the view decides."""
        world = Invoked()
        assert world.invoke(id="db__query")[1].level is None
        assert world.invoke(id="db__query", shield="off")[1].level is Level.OFF
        assert world.invoke(id="db__query", shield="full")[1].level is Level.LEAN
        with pytest.raises(InvalidParams, match="off, bounded, lean"):
            world.invoke(id="db__query", shield="much")

    @pytest.mark.parametrize("args", [7, [1], "no json", '"text"'])
    def test_what_no_tool_can_take_is_refused(self, args: Any) -> None:
        """Arguments that are no object never leave the gateway; the error shows what they look like."""
        world = Invoked()
        said = world.refused(id="db__query", args=args)
        assert '"args" must be an object' in said["error"]
        assert "server__tool" in said["hint"]

    def test_a_failed_result_says_what_was_wrong(self) -> None:
        """A call whose arguments do not agree with the schema is sent; the caller is told why it may have failed."""
        sink, sent = Invoked().invoke(id="db__query", args={"max_rows": 3})
        sent.answer("bad input", isError=True)
        assert sink.result["isError"] is True
        assert sink.result["content"][0] == {"type": "text", "text": "bad input"}
        assert sink.result["content"][1]["text"] == (
            "hint: missing: sql; unknown: max_rows (did you mean maxRows?); the tool takes: sql, maxRows"
        )

    def test_a_result_that_succeeds_is_not_commented(self) -> None:
        """A server that takes what its schema does not know has the last word."""
        sink, sent = Invoked().invoke(id="db__query", args={"max_rows": 3})
        sent.answer("fine")
        assert sink.result == {"content": [{"type": "text", "text": "fine"}]}

    def test_a_failure_of_its_own_is_not_commented(self) -> None:
        """A failed result of a well-formed call stays as it is."""
        sink, sent = Invoked().invoke(id="db__query", args={"sql": "x"})
        sent.answer("no such table", isError=True)
        assert len(sink.result["content"]) == 1

    def test_an_error_of_the_server_is_a_failed_result(self) -> None:
        """A server's error of the protocol becomes a failed result with a hint."""
        sink, sent = Invoked().invoke(id="db__query", args={})
        error = {"code": -32602, "message": "Invalid arguments"}
        sent.call.sink.answered(
            sent.call, {"jsonrpc": jsonrpc.VERSION, "id": Raw(b"1"), "error": jsonrpc.raw(error)}
        )
        assert sink.result["isError"] is True
        assert sink.value == {
            "error": "Invalid arguments",
            "hint": "missing: sql; the tool takes: sql, maxRows",
            "code": -32602,
        }

    def test_a_server_that_fails_is_a_failed_result(self) -> None:
        """A server that ends, or cannot be started, fails the tool and not the request."""
        world = Invoked()
        sink, sent = world.invoke(id="db__query")
        sent.call.sink.failed(sent.call, BackendGone("db has ended"))
        assert sink.value == {"error": "db has ended", "hint": BackendGone.remedy}
        world.access.refusal = SwitchedOff("db is disabled")
        sink = ask(world.tool, world.access, {"id": "db__query"})
        assert sink.value["error"] == "db is disabled"
        assert "gateway_list_servers" in sink.value["hint"]
        assert not world.clock.getDelayedCalls()

    def test_a_cancelled_call_is_cancelled(self) -> None:
        """A cancellation by the caller is no failure of the tool."""
        world = Invoked()
        sink, sent = world.invoke(id="db__query")
        sent.call.sink.failed(sent.call, Cancelled("Request cancelled"))
        assert [type(each) for each in sink.failures] == [Cancelled]
        assert not world.clock.getDelayedCalls()

    def test_an_unknown_tool_suggests(self) -> None:
        """An id that is nearly right is answered with the one that may have been meant."""
        said = Invoked().refused(id="db__qury")
        assert said["error"] == "Tool not found: db__qury"
        assert said["did_you_mean"] == ["db__query"]

    def test_an_unknown_server_suggests(self) -> None:
        """A server that is nearly right is answered with the one that may have been meant."""
        said = Invoked().refused(backend="dbs", tool="query")
        assert said["error"] == "Unknown server: dbs"
        assert said["did_you_mean"] == ["db"]

    def test_something_must_be_named(self) -> None:
        """Without an id the error says where ids come from."""
        assert Invoked().refused(args={})["error"] == '"id" is missing'

    def test_a_server_that_was_just_added(self) -> None:
        """An unknown tool is searched once more when an edit of the configuration has been read, and called."""
        world, wide = Invoked(), Invoked()
        world.access.servers, world.access.edited = (), wide.access
        ask(world.tool, world.access, {"id": "db__query", "args": {"sql": "x"}})
        assert not world.access.sent
        assert wide.access.sent[0].arguments == {"sql": "x"}

    def test_nothing_was_added(self) -> None:
        """A tool that is still unknown after a new reading is an error."""
        world, wide = Invoked(), Invoked()
        world.access.edited = wide.access
        assert world.refused(id="db__qury")["did_you_mean"] == ["db__query"]

    def test_a_listed_name_wins(self) -> None:
        """A name that the view lists is understood before it is taken apart."""
        world = Invoked()
        (item,) = world.server_lists.known(world.db, ListKind.TOOL) or ()
        world.access.view.names["files__query_1a2b3c"] = item
        _, sent = world.invoke(id="files__query_1a2b3c")
        assert (sent.server, sent.tool) == ("db", "query")

    def test_consolidated_tools_are_called(self) -> None:
        """The one tool that stands for many of a server's is called by its id as by its name."""
        world = Invoked()
        world.access.view.names["db__more_tools"] = More("db", world.server_lists.lists["db", ""])
        _, sent = world.invoke(id="db__more_tools", args={"tool_name": "query", "arguments": {"sql": "x"}})
        assert (sent.tool, sent.arguments) == ("query", {"sql": "x"})
        _, sent = world.invoke(server="db", tool="more_tools", args={"tool_name": "query"})
        assert (sent.tool, sent.arguments) == ("query", {})

    def test_own_tools_can_be_invoked(self) -> None:
        """The gateway's own tools are called by their ids too, but for those that call others."""
        world = Invoked()
        world.own.add([world.tool])
        sink = ask(world.tool, world.access, {"id": "gateway_status", "args": {}})
        assert sink.value["servers"] == 2
        assert ask(world.tool, world.access, {"backend": "gateway", "tool": "status"}).value["servers"] == 2
        said = world.refused(id="gateway.invoke", args={"id": "db__query"})
        assert "cannot be called through itself" in said["error"]

    def test_s001s_call_takes_a_directory(self) -> None:
        """S001's ``call`` runs the tool as from the directory it names."""
        world = Invoked()
        tool = CallTool(CallRedirection(world.means, world.clock))
        ask(tool, world.access, {"server": "db", "tool": "query", "args": {"sql": "x"}, "cwd": "/w"})
        assert world.access.sent[0].arguments == {"sql": "x"}
        assert world.access.elsewhere == "/w"

    def test_call_names_what_it_misses(self) -> None:
        """A ``call`` without a tool is told of the argument that it has, not of another tool's."""
        world = Invoked()
        tool = CallTool(CallRedirection(world.means, world.clock))
        with pytest.raises(InvalidParams, match='"tool" is missing'):
            ask(tool, world.access, {"server": "db"})


class DeadlineTests:
    """The deadline of a call."""

    def test_a_silent_call_is_given_up(self) -> None:
        """A call without an answer in time is taken back, and its result says so."""
        world = Invoked()
        sink, sent = world.invoke(id="db__query", timeoutMs=2000)
        world.clock.advance(1.9)
        assert not sink.replies
        world.clock.advance(0.2)
        assert sink.result["isError"] is True
        assert sink.value["error"] == "TIMEOUT: Tool db__query exceeded 2000ms"
        assert [call for call, _ in world.access.cancelled] == [sent.call]

    def test_nothing_is_said_twice(self) -> None:
        """A message after the end, the cancellation that it causes or a late answer, is dropped."""
        world = Invoked()
        sink, sent = world.invoke(id="db__query", timeoutMs=1000)
        attended = sent.call.sink
        world.clock.advance(1)
        attended.failed(sent.call, Cancelled("Request cancelled"))
        attended.answered(sent.call, reply({"content": []}))
        assert len(sink.replies) == 1
        assert not sink.failures

    def test_progress_gives_more_time(self) -> None:
        """A progress notification resets the wait, and reaches the caller; ten minutes are the end."""
        world = Invoked()
        sink, sent = world.invoke(id="db__query")
        for _ in range(11):
            world.clock.advance(54)
            sent.call.sink.progressed(sent.call, b'{"method":"notifications/progress"}')
        assert len(sink.heard) == 11
        assert not sink.replies
        world.clock.advance(6)
        assert "TIMEOUT" in sink.value["error"]

    def test_the_wait_has_a_limit(self) -> None:
        """No caller waits for longer than ten minutes, whatever it asks for; nonsense is refused in words."""
        world = Invoked()
        sink, _ = world.invoke(id="db__query", timeoutMs=3_600_000)
        world.clock.advance(600)
        assert sink.replies
        for nonsense in (0, -1, "soon", True):
            with pytest.raises(InvalidParams, match="timeoutMs"):
                world.invoke(id="db__query", timeoutMs=nonsense)

    def test_an_answer_ends_the_wait(self) -> None:
        """An answer ends the timers of the wait."""
        world = Invoked()
        _, sent = world.invoke(id="db__query")
        sent.answer()
        assert not world.clock.getDelayedCalls()
