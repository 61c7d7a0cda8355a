"""What is too much for a model, on views: shortened by the settings that count, and kept for whoever has asked."""

from __future__ import annotations

import json
from pathlib import Path

from mcpgateway.catalog.records import Item, Kind
from mcpgateway.config.model import ServerSpec
from mcpgateway.config.surface import Level
from mcpgateway.interfaces import Call
from tests.support.keeping import keeping
from tests.support.sinks import Sink
from tests.support.view_stage import Stage, modern, tool


class Caller:
    """Who calls, and sees one server that no entry of the configuration defines."""

    principal = "me"

    @staticmethod
    def specs() -> tuple[ServerSpec, ...]:
        """The server."""
        return (ServerSpec("repo", ("run",), {}, "/", workspace="/repo", shield=Level.OFF),)


class LevelTests:
    """How much is shown of what the gateway's own tools have done."""

    def test_as_the_caller_sees_it(self, tmp_path: Path) -> None:
        """A server of a repository is judged by what it says itself, any other by the gateway's settings."""
        hub = keeping(tmp_path).hub
        assert hub.switchboard.board.builtin is not None
        assert hub.jobs is not None
        for server, is_shielded in (("repo", False), ("other", True)):
            sink = Sink()
            call = Call(None, "tools/call", b"1", None, sink)
            hub.jobs._shield(call, Item(server, Kind.TOOL, "x", {}), None, Caller())  # type: ignore[arg-type]
            assert (call.sink is not sink) is is_shielded


class OwnToolTests:
    """Long answers of the gateway's own tools."""

    def test_modern(self, tmp_path: Path) -> None:
        """A client of the modern era, which has no session, is given the short form, and gets the whole by its name."""
        stage = Stage(modern("m"), gateway=keeping(tmp_path), m=[tool(f"tool_{each}") for each in range(200)])
        stage.names()
        result = stage.ask("tools/call", name="gateway_list_tools")["result"]
        assert "_ref" in result
        assert len(json.dumps(result)) < 40_000
        again = stage.ask("tools/call", name="gateway_get_result", arguments={"ref": result["_ref"]})
        assert not again["result"].get("isError")
