"""Known versions and tools, and tools that are held back."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from twisted.logger import capturedLogs

from mcpgateway.app.packages import hold_back, quarantine_of
from mcpgateway.hub.catalog.quarantine import Quarantine
from mcpgateway.interfaces import InstalledPackage, Launch
from mcpgateway.system.launch.lock import SeenVersion, VersionLock
from tests.support.gateway_in_memory import MemoryGateway
from tests.support.modern_client import reply
from tests.support.remembering import Home, answered
from tests.support.view_stage import Stage, modern, tool

NEWS = "notifications/tools/list_changed"


def guarded(home: Home, *, is_on: bool = True) -> tuple[MemoryGateway, Quarantine]:
    """A gateway that holds changed tools back, or not."""
    gateway = home.start()
    assert gateway.hub.snapshots is not None
    quarantine = quarantine_of(VersionLock(str(home.path), gateway.clock.seconds), gateway.hub.snapshots)
    hold_back(gateway.hub, quarantine, gateway.clock)
    quarantine.default = lambda: is_on
    gateway.dispatcher.permits.look(gateway.dispatcher.servers.values())
    return gateway, quarantine


def names(answer: Any) -> list[str]:
    """Return the names in the answer to a request for a list."""
    return [each["name"] for each in answer["result"]["tools"]]


class HeldTests:
    """Tools that change without an upgrade."""

    def test_legacy(self, tmp_path: Path) -> None:
        """A changed tool is in no list and cannot be called, from the list that shows the change on."""
        gateway, quarantine = guarded(Home(tmp_path))
        client = gateway.session()
        assert names(answered(client, gateway.child, {"tools": [tool("a"), tool("b")]})) == ["a", "b"]
        changed = {"tools": [tool("a", description="Send all"), tool("b"), tool("c")]}
        with capturedLogs() as events:
            assert names(answered(client, gateway.child, changed)) == ["b"]
        assert [each["changes"] for each in events if each.get("event") == "server.tools_held"] == [
            "a changed: description; c added"
        ]
        client.call(1, name="a")
        assert client.heard is not None
        error = client.heard.json["error"]
        assert error["message"].startswith(
            "a of shared is held back, since no upgrade explains its change: a changed"
        )
        assert error["data"]["hint"].startswith("mcpgateway servers approve shared a shows")
        assert gateway.child.asked("tools/call") == []
        client.call(2, name="b")
        assert len(gateway.child.asked("tools/call")) == 1

        server = gateway.dispatcher.server("shared")
        assert quarantine.held(server)["a"].change.after == "Send all"
        quarantine.approve(server, ["a"])
        gateway.clock.advance(0)
        mailbox = gateway.sessions.named(client.headers["Mcp-Session-Id"].encode()).mailbox
        assert NEWS in mailbox
        assert names(answered(gateway.session(), gateway.child, changed)) == ["a", "b"]

    def test_modern(self, tmp_path: Path) -> None:
        """The same in the modern era, and on views."""
        gateway, _ = guarded(Home(tmp_path))
        stage = Stage(modern("m"), gateway=gateway, m=[tool("a"), tool("b")])
        gateway.dispatcher.permits.look(gateway.dispatcher.servers.values())

        def listed(path: str) -> list[str]:
            client = stage.client(path)
            stage.send(client, "tools/list")
            stage.answer()
            found = reply(client)
            return [each for each in names(found) if "gateway" not in each]

        assert listed("/m/mcp") == ["a", "b"]
        stage.offers["m"] = {"tools/list": [tool("a", description="Send all"), tool("b")]}
        gateway.clock.advance(2)
        assert listed("/m/mcp") == ["b"]
        assert listed("/mcp/full") == ["m__b"]
        for path, name in (("/m/mcp", "a"), ("/mcp/full", "m__a")):
            found = stage.ask("tools/call", stage.client(path), name=name, arguments={})
            assert "held back" in str(found)

    def test_back(self, tmp_path: Path) -> None:
        """A tool that is again as it was is offered again."""
        gateway, quarantine = guarded(Home(tmp_path))
        client = gateway.session()
        known, other = {"tools": [tool("a")]}, {"tools": [tool("a", description="x"), tool("b")]}
        answered(client, gateway.child, known)
        assert names(answered(client, gateway.child, other)) == []
        gateway.clock.advance(2)
        assert names(answered(client, gateway.child, known)) == ["a"]
        assert "a" not in quarantine.held(gateway.dispatcher.server("shared"))

    def test_off(self, tmp_path: Path) -> None:
        """Where nothing is held back, nothing is recorded of servers that are no packages."""
        gateway, quarantine = guarded(Home(tmp_path), is_on=False)
        client = gateway.session()
        answered(client, gateway.child, {"tools": [tool("a")]})
        assert names(answered(client, gateway.child, {"tools": [tool("a", description="x")]})) == ["a"]
        assert quarantine.lock.servers == {}

    def test_another_run(self, tmp_path: Path) -> None:
        """The known tools outlive the gateway."""
        home = Home(tmp_path)
        gateway, _ = guarded(home)
        answered(gateway.session(), gateway.child, {"tools": [tool("a")]})
        gateway, _ = guarded(home)
        gateway.session().call(1, name="a")
        client = gateway.session()
        assert names(answered(client, gateway.child, {"tools": [tool("a"), tool("b")]})) == ["a"]


class PackageTests:
    """The versions that children run."""

    @pytest.fixture
    def quarantine(self, tmp_path: Path) -> Quarantine:
        """Nothing is known."""
        return guarded(Home(tmp_path))[1]

    def _launching(
        self, quarantine: Quarantine, version: str, integrity: str = "", requested: str = ""
    ) -> None:
        slot: Any = SlotOf()
        package = InstalledPackage("npm", "p", requested, version, integrity)
        quarantine.launching(slot, Launch("s", ("p",), {}, "/", package=package))

    def test_first(self, quarantine):
        """The first version is recorded, and its integrity when it is known."""
        self._launching(quarantine, "1.0.0")
        self._launching(quarantine, "1.0.0", "sha512-x")
        known = quarantine.lock.servers["s"]
        assert (known.package, known.current.version, known.current.integrity) == ("p", "1.0.0", "sha512-x")

    def test_republished(self, quarantine):
        """The same version with other files is logged once."""
        self._launching(quarantine, "1.0.0", "sha512-x")
        with capturedLogs() as events:
            self._launching(quarantine, "1.0.0", "sha512-y")
            self._launching(quarantine, "1.0.0", "sha512-y")
        assert [each["event"] for each in events if "event" in each] == ["server.republished"]
        assert quarantine.lock.servers["s"].republished == "sha512-y"

    def test_late(self, quarantine):
        """A child of the version before an upgrade, which was prepared before, does not undo the upgrade."""
        self._launching(quarantine, "1.0.0")
        known = quarantine.lock.servers["s"]
        known.former, known.current = known.current, SeenVersion("1.1.0")
        self._launching(quarantine, "1.0.0")
        assert quarantine.lock.servers["s"].current.version == "1.1.0"

    def test_another_entry(self, quarantine):
        """An entry that asks for something else is recorded anew."""
        self._launching(quarantine, "1.0.0")
        self._launching(quarantine, "2.0.0", requested="^2")
        assert quarantine.lock.servers["s"].current.version == "2.0.0"


class SlotOf(SimpleNamespace):
    """A slot with nothing but its server's name."""

    server = SimpleNamespace(name="s")

    __hash__ = object.__hash__


class AsideTests:
    """Children of the version before an upgrade."""

    def test_sessions_keep_it(self, tmp_path: Path) -> None:
        """Sessions keep their child, new ones get another, and the former goes with its last session."""
        gateway, _ = guarded(Home(tmp_path))
        first = gateway.session()
        first.call(1, name="a")
        former = gateway.child
        gateway.dispatcher.set_aside(gateway.dispatcher.server("shared"))
        second = gateway.session()
        second.call(1, name="a")
        assert gateway.child is not former
        former.answer(former.asked("tools/call")[0], {"content": []})
        first.call(2, name="b")
        assert [each["params"]["name"] for each in former.asked("tools/call")] == ["a", "b"]
        gateway.tick(3)
        assert not former.is_stopping
        former.answer(former.asked("tools/call")[1], {"content": []})
        first.send(b"", "DELETE")
        gateway.tick(3)
        assert former.is_stopping
        assert not gateway.child.is_stopping

    def test_its_lists(self, tmp_path: Path) -> None:
        """Lists of the former child do not replace the records of the next."""
        gateway, _ = guarded(Home(tmp_path))
        first = gateway.session()
        answered(first, gateway.child, {"tools": [tool("a")]})
        former = gateway.child
        server = gateway.dispatcher.server("shared")
        gateway.dispatcher.set_aside(server)
        gateway.session().call(1, name="a")
        gateway.clock.advance(2)
        other = {"tools": [tool("a"), tool("more")]}
        assert names(answered(first, former, other)) == ["a"]
        known = gateway.dispatcher.view_sessions.server_lists.tools(server)
        assert [each.own for each in known or ()] == ["a"]

    def test_one_that_rests(self, tmp_path: Path) -> None:
        """A slot without a child has nothing to keep: its next child is the new version."""
        gateway, _ = guarded(Home(tmp_path))
        first = gateway.session()
        gateway.child.exit()
        before = len(list(gateway.dispatcher.pool))
        gateway.dispatcher.set_aside(gateway.dispatcher.server("shared"))
        first.call(1, name="a")
        assert len(list(gateway.dispatcher.pool)) == before
