"""The shield between a tool and its caller."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve
from twisted.internet.task import Clock
from twisted.logger import capturedLogs

from mcpgateway.config.model import ServerSpec
from mcpgateway.config.surface import Level, ShieldLimits
from mcpgateway.discovery.records import Item, ListKind
from mcpgateway.errors import BackendGone
from mcpgateway.hub.results.originals import Vault
from mcpgateway.hub.results.shortening import Shielding
from mcpgateway.hub.sessions import Session
from mcpgateway.interfaces import Request
from mcpgateway.policy.secrets.redaction import MASK, Redactor
from mcpgateway.protocol import jsonrpc
from mcpgateway.protocol.jsonrpc import own_request
from mcpgateway.system.result_files import ResultFiles
from tests.support.sinks import Sink

SPEC = ServerSpec("docs", ("run",), {}, "/")
LARGE = {"content": [{"type": "text", "text": json.dumps([f"item {each}" for each in range(500)])}]}
ITEM = Item("docs", ListKind.TOOL, "search", {})


class Desk:
    """A caller, and the shield before it."""

    def __init__(self, home: Path, **limits: Any) -> None:
        self.directory = home / "results"
        self.vault = Vault(ResultFiles(str(self.directory)), 100, 10_000_000, Clock().seconds)
        redactor = Redactor()
        redactor.learn(["swordfish-7"])
        self.shielding = Shielding(self.vault, ShieldLimits(**limits), redactor.mask)
        self.saved: list[tuple[str, int, int]] = []
        self.shielding.saved = lambda *what: self.saved.append(what)

    def answer(
        self,
        reply: dict[str, Any],
        level: Level = Level.BOUNDED,
        method: str = "tools/call",
        item: Item | None = ITEM,
    ) -> Any:
        call = Request(None, own_request(method, identifier=b"7"), None, Sink())
        sink = call.sink
        self.shielding.over(call, item, level, "me")
        whole = jsonrpc.decode(json.dumps({"jsonrpc": "2.0", "id": 1, **reply}).encode())
        call.sink.answered(call, whole)
        return sink.replies[0]


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    """A shield with the usual limits."""
    return Desk(tmp_path)


class ShieldingTests:
    """Answers that are shortened, and answers that pass."""

    def test_nearly_the_same(self, desk: Desk) -> None:
        """A result that is nearly the last one of its tool says what has changed, and which one that was."""

        def listed(*first: dict[str, Any], state: str = "open") -> dict[str, Any]:
            rows = [{"id": each, "state": "open", "note": "x" * 40} for each in range(300)]
            rows[7]["state"] = state
            return {"content": [{"type": "text", "text": json.dumps([*first, *rows])}]}

        before = desk.answer({"result": listed()})["result"]
        changed = desk.answer({"result": listed({"id": 300, "state": "new"}, state="closed")})["result"]
        assert changed["_note"].startswith(
            f"Nearly the same as {before['_ref']}, which you have been given before: 4 lines differ: "
            '+ $[0].id = 300; + $[0].state = "new"; - $[8].state = "open"; + $[8].state = "closed".'
        )
        assert json.loads(desk.vault.find(changed["_ref"], "me"))["content"]
        same = desk.answer({"result": listed()})["result"]
        assert same["_note"].startswith(f"Same as {before['_ref']}")
        other = desk.answer({"result": LARGE})["result"]
        assert "before" not in other["_note"]
        elsewhere = desk.answer({"result": listed(state="late")}, item=evolve(ITEM, own="find"))["result"]
        assert "before" not in elsewhere["_note"]

    def test_what_it_was_compared_with_has_gone(self, desk: Desk) -> None:
        """Where the former result cannot be read any more, the new one is shortened as ever."""
        before = desk.answer({"result": LARGE})["result"]
        (desk.directory / f"{before['_ref']}.result").write_bytes(b"broken")
        longer = {"content": [{"type": "text", "text": json.dumps([f"item {each}" for each in range(501)])}]}
        assert "before" not in desk.answer({"result": longer})["result"]["_note"]

    def test_too_much(self, desk: Desk) -> None:
        """A large result is shortened, its original kept for its caller, and what that saves is counted."""
        reply = desk.answer({"result": LARGE})
        assert reply["id"] == 7
        result = reply["result"]
        assert json.loads(desk.vault.find(result["_ref"], "me")) == LARGE
        assert len(json.loads(result["content"][0]["text"])) == 51
        ((server, before, after),) = desk.saved
        assert server == "docs"
        assert before > 4 * after
        assert desk.vault.listed("me")[0].made_by == "docs__search"

    def test_the_gateway_s_own(self, desk: Desk) -> None:
        """A result of one of the gateway's own tools is shortened too, and its original kept for the caller."""
        result = desk.answer({"result": LARGE}, item=None)["result"]
        assert json.loads(desk.vault.find(result["_ref"], "me")) == LARGE
        assert desk.saved[0][0] == ""

    def test_the_same_again(self, desk: Desk) -> None:
        """The very same result has the same reference, and says so."""
        first, second = (desk.answer({"result": LARGE})["result"] for _ in range(2))
        assert first["_ref"] == second["_ref"]
        assert "Same as" in second["_note"]
        assert "Same as" not in first["_note"]

    def test_what_is_passed_on(self, desk: Desk) -> None:
        """Small results, errors, questions, tasks and other methods pass as they are."""
        many = ["x"] * 1000
        for reply in (
            {"result": {"content": []}},
            {"error": {"code": -1, "message": "no", "data": many}},
            {"result": {"resultType": "input_required", "inputRequests": {}, **LARGE}},
            {"result": {"resultType": "task", "taskId": "t", **LARGE}},
            {"result": {"task": {"taskId": "t", "x": many}}},
        ):
            assert desk.answer(reply) == {"jsonrpc": "2.0", "id": 7, **reply}
        assert desk.answer({"result": LARGE}, method="resources/read")["result"] == LARGE
        assert desk.answer({"result": LARGE}, Level.OFF)["result"] == LARGE
        assert desk.saved == []

    def test_a_bad_disk(self, desk: Desk) -> None:
        """A result whose original cannot be kept is not cut."""
        desk.directory.write_text("a file in its place")
        with capturedLogs():
            assert desk.answer({"result": LARGE})["result"] == LARGE

    def test_failures(self, desk: Desk) -> None:
        """Where there is no answer, the caller hears why."""
        call = Request(Session(b"s", SPEC, "me", "2025-11-25"), own_request("tools/call"), None, Sink())
        sink = call.sink
        desk.shielding.over(call, None, Level.LEAN, "me")
        call.sink.failed(call, BackendGone("gone"))
        assert isinstance(sink.reasons[0], BackendGone)

    def test_levels(self, desk: Desk) -> None:
        """A call decides before its tool, a tool before its server, a server before the gateway."""
        server = evolve(SPEC, env={}, shield=Level.LEAN, shield_tools={"a": Level.OFF})
        assert desk.shielding.level(SPEC, "a") is Level.BOUNDED
        assert desk.shielding.level(server, "b") is Level.LEAN
        assert desk.shielding.level(server, "a") is Level.OFF
        assert desk.shielding.level(server, "a", Level.BOUNDED) is Level.BOUNDED

    def test_other_limits(self, desk: Desk) -> None:
        """Changed settings hold from the next answer on."""
        desk.shielding.configure(ShieldLimits(array_items=1000))
        assert desk.answer({"result": LARGE})["result"] == LARGE


class MaskingTests:
    """Secrets in results, where they are to be masked."""

    def test_masked(self, tmp_path: Path) -> None:
        """Secrets are masked and counted, in the original too; without any the bytes are passed on."""
        desk = Desk(tmp_path, mask_secrets=True)
        token = "ghp_" + "a1" * 18
        small = {"content": [{"type": "text", "text": f"use {token} or swordfish-7"}]}
        result = desk.answer({"result": small})["result"]
        assert result["content"][0]["text"] == f"use {MASK} or {MASK}"
        assert "2 values" in result["_note"]
        large = {"content": [{"type": "text", "text": json.dumps([token] * 500)}]}
        result = desk.answer({"result": large})["result"]
        assert token not in desk.vault.find(result["_ref"], "me").decode()
        plain = {"content": [{"type": "text", "text": "nothing here"}]}
        assert desk.answer({"result": plain}, Level.OFF)["result"] == plain

    def test_off_by_default(self, desk: Desk) -> None:
        """A result is not masked unless the settings ask for it."""
        result = {"content": [{"type": "text", "text": "swordfish-7"}]}
        assert desk.answer({"result": result})["result"] == result
