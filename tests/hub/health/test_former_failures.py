"""The last failures of servers, which outlive the gateway."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from twisted.logger import globalLogPublisher

from mcpgateway.config.model import ServerSpec, Share
from mcpgateway.hub.health.former_failures import FormerFailures
from mcpgateway.interfaces import Gone
from mcpgateway.observe.why import Diagnoser
from tests.hub.health.test_health import WAY
from tests.support.gateway_in_memory import MemoryGateway
from tests.support.instruments import MemoryWorld

SECRET = "sk-very-secret"
CHANGED = ServerSpec("fresh", ("true", "-x"), {}, "/", share=Share.GLOBAL)
FRESH = ServerSpec("fresh", ("true",), {}, "/", share=Share.GLOBAL)


def begun(home: Path, server: ServerSpec = FRESH) -> MemoryGateway:
    """A gateway that begins in a home, with one more server."""
    former = FormerFailures(str(home / "failures.json"), lambda text: text.replace(SECRET, "***"))
    gateway = MemoryGateway(more=(server,), instruments=replace(MemoryWorld().instruments, former=former))
    gateway.health.begin(gateway.dispatcher.servers.values())
    return gateway


def fail(gateway: MemoryGateway, words: str = "") -> None:
    """Let the start of the server fail, and the gateway live for a moment after it."""
    gateway.launcher.hello = None
    gateway.client("fresh").call(0, "initialize", protocolVersion="2025-06-18")
    gateway.child.exit(3, words)
    gateway.tick()


def told(gateway: MemoryGateway) -> dict[str, Any]:
    """Return the explanation of the server's state."""
    return Diagnoser(gateway.dispatcher, gateway.health, gateway.hub.tapes, tuple).tell("fresh")


class RememberedTests:
    """A gateway that was killed, and begins again."""

    def test_a_failure(self, tmp_path: Path) -> None:
        """A server that has failed and was not tried since has failed still, and the remark says since when."""
        fail(begun(tmp_path), f"no key: {SECRET}\n")
        assert SECRET not in (tmp_path / "failures.json").read_text()
        found = told(begun(tmp_path))
        assert (found["ok"], found["state"]) == (False, "error")
        assert (
            found["verdict"]
            == "fresh does not work: it ended during the handshake (exit code 3): no key: ***"
        )
        assert [each["cause"] for each in found["advice"]] == ["failed", "former-failure"]
        assert "has not been tried since" in found["advice"][1]["says"]

    def test_a_recovery(self, tmp_path: Path) -> None:
        """Its next start ends the failure, in later runs, too."""
        fail(begun(tmp_path))
        gateway = begun(tmp_path)
        gateway.session("fresh")
        gateway.tick()
        assert told(gateway)["ok"]
        again = told(begun(tmp_path))
        assert (again["ok"], again["state"]) == (True, "stopped")

    def test_kept_on(self, tmp_path: Path) -> None:
        """A failure that nobody has looked at is kept over several runs, though another server fails."""
        fail(begun(tmp_path))
        gateway = begun(tmp_path)
        gateway.launcher.hello = None
        gateway.client("own").call(0, "initialize", protocolVersion="2025-06-18")
        gateway.child.exit(1)
        gateway.tick()
        assert told(begun(tmp_path))["state"] == "error"

    def test_a_changed_entry(self, tmp_path: Path) -> None:
        """A changed entry has not failed yet."""
        fail(begun(tmp_path))
        assert told(begun(tmp_path, CHANGED))["ok"]

    def test_a_sign_in(self, tmp_path: Path) -> None:
        """A server that waits for its user's sign-in waits for it still, and its address is kept nowhere."""
        gateway = begun(tmp_path)
        gateway.launcher.hello = None
        gateway.client("fresh").call(0, "initialize", protocolVersion="2025-06-18")
        gateway.child.lose(Gone(fault=WAY.plain, error=WAY))
        gateway.tick()
        assert "as.example" not in (tmp_path / "failures.json").read_text()
        assert told(begun(tmp_path))["state"] == "needs login"

    def test_crashes(self, tmp_path: Path) -> None:
        """The crashes of the last hour are told still."""
        gateway = begun(tmp_path)
        gateway.session("fresh")
        gateway.child.exit(1)
        gateway.tick()
        (crash,) = told(begun(tmp_path))["crashes"]
        assert crash["text"] == "exit code 1"

    @pytest.mark.parametrize("content", [b"", b"{}", b"\xff", b'{"format": 1, "failures": [1]}'])
    def test_a_damaged_file(self, tmp_path: Path, content: bytes) -> None:
        """A damaged file is reported and written anew."""
        path = tmp_path / "failures.json"
        path.write_bytes(content)
        events: list[dict[str, Any]] = []
        globalLogPublisher.addObserver(events.append)
        try:
            gateway = begun(tmp_path)
        finally:
            globalLogPublisher.removeObserver(events.append)
        assert "failures.damaged" in [each.get("event") for each in events]
        assert told(gateway)["ok"]
        fail(gateway)
        assert told(begun(tmp_path))["state"] == "error"
