"""The overview: its verdict, and what needs the user."""

from __future__ import annotations

from typing import Any

import pytest

from mcpgateway.config.model import ServerSpec, Share
from mcpgateway.errors import NeedsAuthorization
from mcpgateway.observe.overview import verdict
from tests.support.gateway_in_memory import MemoryGateway

GONE = ServerSpec("gone", ("no-such-program",), {}, "/", share=Share.GLOBAL)
OFF = ServerSpec("off", ("no-such-program",), {}, "/", enabled=False)


def overview(gateway: MemoryGateway) -> dict[str, Any]:
    """The answer of ``GET /api/v1/overview``."""
    answer = gateway.client(Authorization="Bearer admin-token").ask(b"", "GET", "/api/v1/overview")
    assert answer.status == 200
    found: dict[str, Any] = answer.json
    return found


def needs(gateway: MemoryGateway) -> list[tuple[str, str]]:
    """The names and causes of the needs."""
    return [(each["name"], each["cause"]) for each in overview(gateway)["needs"]]


class OverviewTests:
    """``GET /api/v1/overview``."""

    def test_all_is_well(self) -> None:
        """Servers that run, and servers that no request has needed yet, need no user."""
        gateway = MemoryGateway()
        gateway.session()
        found = overview(gateway)
        assert (found["ok"], found["verdict"], found["needs"]) == (True, "everything works", [])
        assert found["status"] == "ok"
        assert {each["name"] for each in found["backends"]} == {"shared", "own"}

    def test_missing_program(self) -> None:
        """A server whose program is not there needs the user before it is ever started; the remedy is named."""
        found = overview(MemoryGateway(more=(GONE,)))
        assert (found["ok"], found["verdict"]) == (False, "1 thing needs you")
        (need,) = found["needs"]
        assert (need["kind"], need["name"], need["cause"]) == ("server", "gone", "command-not-found")
        assert need["says"] == "the program no-such-program is not there"
        assert need["do"].startswith("install it")

    def test_switched_off(self) -> None:
        """A server that its entry or an operator has switched off needs no user, whatever is wrong with it."""
        gateway = MemoryGateway(more=(OFF, GONE))
        gateway.health.disable("gone")
        assert needs(gateway) == []

    def test_crash(self) -> None:
        """A server that ends unexpectedly needs the user until it runs again."""
        gateway = MemoryGateway()
        gateway.session()
        hello, gateway.launcher.hello = gateway.launcher.hello, None
        gateway.child.exit(1, "ModuleNotFoundError: No module named 'mcp'")
        assert [name for name, _ in needs(gateway)] == ["shared"]
        gateway.launcher.hello = hello
        gateway.tick(60)
        gateway.client().call(1)
        gateway.child.answer(gateway.child.asked("tools/call")[0], {})
        assert needs(gateway) == []

    def test_sign_in(self) -> None:
        """A server that demands a sign-in needs the user, and the command for it is named."""
        gateway = MemoryGateway()
        gateway.launcher.refusal = NeedsAuthorization("open https://a.example/authorize")
        gateway.client().call(1)
        (need,) = overview(gateway)["needs"]
        assert (need["name"], need["cause"]) == ("shared", "authorization")

    def test_rights(self) -> None:
        """The overview is for the callers that may read servers' diagnoses, and for no others."""
        gateway = MemoryGateway()
        callers = [
            gateway.client(Authorization=f"Bearer {each}")
            for each in ("admin-token", "wrong", "bearer-token")
        ]
        found, why = (
            [caller.ask(b"", "GET", path).status for caller in callers]
            for path in ("/api/v1/overview", "/api/v1/servers/shared/why")
        )
        assert found == why
        assert {200, 401} <= set(found)


class VerdictTests:
    """The verdict in one sentence."""

    @pytest.mark.parametrize(
        ("number", "servers", "sentence"),
        [
            (0, 3, "everything works"),
            (0, 0, "no server is configured"),
            (1, 3, "1 thing needs you"),
            (2, 0, "2 things need you"),
        ],
    )
    def test_sentence(self, number: int, servers: int, sentence: str) -> None:
        """The number of needs comes before everything else."""
        assert verdict([object()] * number, servers) == sentence
