"""The state of the whole gateway, in one answer."""

from __future__ import annotations

import json
from typing import Any

import pytest

from mcpgateway.config.model import ServerSpec, Share
from mcpgateway.config.reach_settings import Remote
from mcpgateway.manage.shutdown import ALREADY, BEGUN, GatewayShutdown
from mcpgateway.observe import dump
from mcpgateway.observe.dump import Dump
from mcpgateway.observe.sessions import SessionDirectory
from tests.support.gateway_in_memory import MemoryGateway

SECRET = "sk-very-secret"
FAR = ServerSpec(
    "far",
    (),
    {},
    "/",
    share=Share.GLOBAL,
    reach=Remote(f"https://h/{SECRET}/mcp?key={SECRET}", headers={"Authorization": SECRET}),
)
NEAR = ServerSpec("near", ("/bin/run", "--key", SECRET), {"API_KEY": SECRET}, "/", share=Share.GLOBAL)


@pytest.fixture
def gateway() -> MemoryGateway:
    """A gateway with servers whose entries hold secrets."""
    return MemoryGateway(more=(FAR, NEAR))


def told(gateway: MemoryGateway, **more: Any) -> dict[str, Any]:
    """Return the state of the gateway as a program gets it."""
    book = SessionDirectory(gateway.dispatcher, gateway.clock.seconds)
    made = Dump(
        gateway.dispatcher,
        book,
        gateway.clock,
        lambda: gateway.settings,
        lambda: gateway.factory.connections,
        **more,
    )
    found: dict[str, Any] = json.loads(json.dumps(made.state()))
    return found


class DumpTests:
    """The members of the dump."""

    def test_state(self, gateway: MemoryGateway) -> None:
        """Slots, sessions, calls, streams, timers, connections, descriptors and memory are told."""
        client = gateway.session("near")
        client.call(1, name="slow", arguments={"word": SECRET})
        gateway.listen(client)
        gateway.clock.callLater(5, gateway.factory.sweep)
        found = told(gateway)
        assert (found["gateway"]["sessions"], found["gateway"]["streams"], found["gateway"]["calls"]) == (
            1,
            1,
            1,
        )
        (slot,) = found["slots"]["shown"]
        assert (slot["server"], slot["state"], slot["load"], slot["pid"]) == (
            "near",
            "running",
            1,
            gateway.child.pid,
        )
        (session,) = found["sessions"]["shown"]
        assert (session["server"], session["streams"], session["calls"]) == ("near", 1, 1)
        (call,) = found["calls"]["shown"]
        assert (call["method"], call["session"], call["sent"]) == ("tools/call", session["id"], True)
        assert found["timers"]["shown"][0]["in_s"] == 5.0
        assert "sweep" in found["timers"]["shown"][0]["calls"]
        assert found["connections"]["count"] == 2
        assert found["descriptors"]["count"] > 0
        assert found["memory"]["resident_bytes"] > 2**20
        assert found["threads"]

    def test_control(self, gateway: MemoryGateway) -> None:
        """The dump counts the running and waiting requests of the control plane, and the readers of its streams."""
        numbers = {"running": 1, "waiting": 0, "readers": 2}
        assert told(gateway, control=lambda: numbers)["control"] == numbers

    def test_no_secrets(self, gateway: MemoryGateway) -> None:
        """No value of the configuration, no argument of a call and no session's id is in it."""
        client = gateway.session("near")
        client.call(1, name="slow", arguments={"word": SECRET})
        gateway.session("far")
        text = json.dumps(told(gateway))
        assert SECRET not in text
        assert client.headers["Mcp-Session-Id"] not in text
        assert "API_KEY" in text
        assert "https://h:443" in text

    def test_redacted(self, gateway: MemoryGateway) -> None:
        """Every other text in the dump goes past the redactor, at any depth."""
        found = told(gateway, redact=lambda text: text.replace("near", "***"))
        assert "near" not in json.dumps(found)

    def test_bounded(self, gateway: MemoryGateway, monkeypatch: pytest.MonkeyPatch) -> None:
        """Lists are cut, and say how many there are."""
        monkeypatch.setattr(dump, "LIMIT", 2)
        for _ in range(4):
            gateway.session("own")
        found = told(gateway)
        assert (found["slots"]["count"], len(found["slots"]["shown"])) == (4, 2)
        assert (found["sessions"]["count"], len(found["sessions"]["shown"])) == (4, 2)
        assert (found["config"]["servers"]["count"], len(found["config"]["servers"]["shown"])) == (4, 2)


class EndingTests:
    """The end, when somebody asks for it."""

    def test_once(self, gateway: MemoryGateway) -> None:
        """A shutdown begins once, after the answer to its request is sent; a second request changes nothing."""
        stopped: list[bool] = []
        ending = GatewayShutdown(gateway.dispatcher, gateway.clock, lambda: stopped.append(True))
        assert ending.begin() == BEGUN
        assert ending.begin() == ALREADY
        assert stopped == []
        gateway.clock.advance(1)
        assert ending.begin() == ALREADY
        assert stopped == [True]

    def test_ends_already(self, gateway: MemoryGateway) -> None:
        """A gateway that a signal has ended is not ended a second time."""
        gateway.dispatcher.is_open = False
        assert GatewayShutdown(gateway.dispatcher, gateway.clock, lambda: None).begin() == ALREADY
