"""Budgets of profiles: what a client is given of results, and that the rest can be had."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

from mcpgateway.config.model import Profile
from mcpgateway.config.surface import Level
from tests.support.gateway_in_memory import Client
from tests.support.keeping import keeping
from tests.support.modern_client import PREFIX, done, meta, reply
from tests.support.view_stage import Stage, legacy, modern, tool

BUDGET = 2000
SMALL = {"content": [{"type": "text", "text": "x" * 3200}]}
"""A result of somewhat more than 800 tokens."""
LARGE = {"content": [{"type": "text", "text": json.dumps([f"item {each}" for each in range(3000)])}]}


class Desk:
    """A profile with a budget, and clients of both eras that call its tools."""

    def __init__(self, home: Path, level: Level) -> None:
        offers: Any = {"old": [tool("echo")], "m": [tool("echo")]}
        self.stage = Stage(modern("m"), legacy("old"), gateway=keeping(home), **offers)
        gateway = self.stage.gateway
        profile = Profile("docs", servers=("old", "m"), budget=BUDGET)
        settings = evolve(gateway.settings, profiles={"docs": profile})
        shield = evolve(settings.gateway.shield, level=level)
        gateway.apply(evolve(settings, gateway=evolve(settings.gateway, shield=shield)))

    def session(self, path: str = "/mcp/p/docs") -> Client:
        """Begin a session."""
        client = self.stage.gateway.view(path)
        client.call(1, "tools/list")
        self.stage.answer()
        return client

    def called(self, client: Client, result: Any) -> Any:
        """Call a tool that answers with this result; return what the client is given."""
        client.call(7, "tools/call", name="old__echo")
        self.stage.answer()
        child = self.stage.child("old")
        child.answer(child.asked("tools/call")[-1], result)
        assert client.heard is not None
        return client.heard.json["result"]

    def called_without_session(self, result: Any, name: str = "editor") -> Any:
        """Do the same as a modern client of this name."""
        client = self.stage.client("/mcp/p/docs")
        envelope = meta(**{PREFIX + "clientInfo": {"name": name, "version": "1"}})
        asked = self.stage.call(client, "m__echo", envelope=envelope)
        done(self.stage.child("m"), asked, **result)
        return reply(client)["result"]


@pytest.fixture(params=[Level.BOUNDED, Level.OFF])
def desk(tmp_path: Path, request: pytest.FixtureRequest) -> Desk:
    """With a shield, and without one."""
    return Desk(tmp_path, request.param)


def text(result: Any) -> str:
    """Return all texts of a result."""
    return "".join(each["text"] for each in result["content"])


def test_warned_and_cut(desk: Desk) -> None:
    """Results count; a client is warned once, then gets beginnings, and reads the whole by its name."""
    client = desk.session()
    assert desk.called(client, SMALL)["content"] == SMALL["content"]
    warned = desk.called(client, SMALL)
    assert warned["content"][0] == SMALL["content"][0]
    assert " of the 2000 tokens that /mcp/p/docs gives one client are used." in text(warned)
    cut = desk.called(client, LARGE)
    assert len(json.dumps(cut)) < 3000
    assert "gateway_get_result shows the rest" in text(cut)
    cut = desk.called(client, LARGE)
    assert len(json.dumps(cut)) < 1500
    asked = {"ref": cut["_ref"], "offset": 2990}
    whole = client.ask(
        {
            "jsonrpc": "2.0",
            "id": 8,
            "method": "tools/call",
            "params": {"name": "gateway_get_result", "arguments": asked},
        }
    )
    assert "item 2999" in text(whole.json["result"])


def test_its_use_is_told(desk: Desk) -> None:
    """The overview and the list of profiles tell how many clients are near the end of their budget, or beyond it."""

    def told(path: str) -> Any:
        admin = desk.stage.gateway.client(Authorization="Bearer admin-token")
        return admin.ask(b"", "GET", f"/api/v1/{path}").json

    clients = [desk.session() for _ in range(3)]
    for client, calls in zip(clients, (1, 2, 3), strict=True):
        for _ in range(calls):
            desk.called(client, SMALL)
    (found,) = told("overview")["budgets"]
    most = found.pop("most")
    assert found == {"profile": "docs", "budget": BUDGET, "clients": 3, "warned": 2, "cut": 1}
    assert most > 0.8 * BUDGET
    (profile,) = told("profiles")["items"]
    assert profile["budget_use"] == {"budget": BUDGET, "clients": 3, "most": most, "warned": 2, "cut": 1}


def test_each_has_its_own(desk: Desk) -> None:
    """Another session has a budget of its own, and other views have none."""
    first = desk.session()
    for _ in range(3):
        desk.called(first, SMALL)
    assert "_ref" in desk.called(first, SMALL)
    assert desk.called(desk.session(), SMALL)["content"] == SMALL["content"]
    elsewhere = desk.session("/mcp/full")
    for _ in range(4):
        assert desk.called(elsewhere, SMALL)["content"] == SMALL["content"]


def test_without_sessions(desk: Desk) -> None:
    """Requests of one client of the modern era share a budget, which another client does not touch."""
    desk.stage.names()
    for _ in range(2):
        desk.called_without_session(SMALL)
    assert "_ref" in desk.called_without_session(SMALL)
    assert desk.called_without_session(SMALL, "another")["content"] == SMALL["content"]
