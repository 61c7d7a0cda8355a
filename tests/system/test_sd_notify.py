"""The notifications to the service manager."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

from mcpgateway.system.sd_notify import Notify
from tests.support.service_manager import Manager

OWN_PID = 7


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Manager]:
    """A manager with a socket of either kind."""
    abstract = f"@mcpgateway-test-{secrets.token_hex(8)}"
    found = Manager(str(tmp_path / "notify") if request.param == "path" else abstract)
    yield found
    found.close()


class TakenTests:
    """The service manager that is to be notified."""

    def environ(self, address: str, usec: str = "", pid: str = "") -> dict[str, str]:
        """Return an environment as a service manager makes it."""
        named = {"NOTIFY_SOCKET": address, "WATCHDOG_USEC": usec, "WATCHDOG_PID": pid}
        return {"HOME": "/h", **{name: value for name, value in named.items() if value}}

    def test_children_do_not_get_the_variables(self) -> None:
        """The variables of the service manager are removed from the environment."""
        environ = self.environ("/run/notify", "30000000", str(OWN_PID))
        assert Notify.taken(environ, OWN_PID) is not None
        assert environ == {"HOME": "/h"}

    @pytest.mark.parametrize("address", ["", "/", "@", "vsock:2:1234", "relative"])
    def test_nobody(self, address: str) -> None:
        """An address that is no Unix socket is nobody's, and is taken out all the same."""
        environ = self.environ(address)
        assert Notify.taken(environ, OWN_PID) is None
        assert environ == {"HOME": "/h"}

    @pytest.mark.parametrize(
        ("usec", "pid", "beats"),
        [
            ("30000000", "7", 15),
            ("30000000", "", 15),
            ("30000000", "8", 0),
            ("3000000", "", 1),
            ("500000", "", 1),
            ("", "", 0),
            ("0", "", 0),
            ("-5", "", 0),
            ("soon", "", 0),
        ],
    )
    def test_the_watchdog(self, usec: str, pid: str, beats: int) -> None:
        """The watchdog gets a beat after half of its time, and only if it watches this very process."""
        found = Notify.taken(self.environ("/run/notify", usec, pid), OWN_PID)
        assert found is not None
        assert found.beats == beats


class TellingTests:
    """The notifications that arrive."""

    def test_a_life(self, manager: Manager) -> None:
        """Ready with how we are, alive, other settings, ready again, stopping: each is one message."""
        notify = Notify(manager.address, 2_000_000)
        notify.ready("2 servers")
        notify.beat("2 servers")
        notify.reloading()
        notify.ready("3 servers")
        notify.stopping("stopping")
        ready, alive, reloading, again, stopping = manager.heard()
        assert ready == {"READY": "1", "STATUS": "2 servers"}
        assert alive == {"WATCHDOG": "1"}
        assert reloading["RELOADING"] == "1"
        assert int(reloading["MONOTONIC_USEC"]) > 0
        assert again == {"READY": "1", "STATUS": "3 servers"}
        assert stopping == {"STOPPING": "1", "STATUS": "stopping"}

    @pytest.mark.parametrize(("usec", "fed"), [(0, 0), (4_000_000, 3), (60_000_000, 0)])
    def test_beats(self, manager: Manager, usec: int, fed: int) -> None:
        """The watchdog is fed every so many beats; other beats say nothing while nothing changes."""
        notify = Notify(manager.address, usec)
        notify.ready("well")
        manager.heard()
        for _ in range(6):
            notify.beat("well")
        assert manager.heard() == fed * [{"WATCHDOG": "1"}]

    def test_a_changed_status(self, manager: Manager) -> None:
        """A beat says how we are when that is news, in one line."""
        notify = Notify(manager.address)
        notify.beat("one\nREADY=1")
        notify.beat("one\nREADY=1")
        notify.beat("ä" * 1000)
        assert manager.heard() == [{"STATUS": "one READY=1"}, {"STATUS": "ä" * 100}]

    def test_a_manager_that_was_away(self, tmp_path: Path) -> None:
        """Being ready is said again with each beat until it is heard, with the last status only."""
        address = str(tmp_path / "notify")
        notify = Notify(address, 2_000_000)
        notify.ready("one")
        notify.beat("two")
        back = Manager(address)
        notify.beat("two")
        assert back.heard() == [{"READY": "1", "STATUS": "two", "WATCHDOG": "1"}]
        notify.beat("two")
        assert back.heard() == [{"WATCHDOG": "1"}]
        back.close()

    def test_only_the_last_state_counts(self, tmp_path: Path) -> None:
        """A state that was overtaken before it was heard is not told any more."""
        address = str(tmp_path / "notify")
        notify = Notify(address)
        notify.ready("one")
        notify.reloading()
        notify.stopping("stopping")
        back = Manager(address)
        notify.beat("stopping")
        assert back.heard() == [{"STOPPING": "1", "STATUS": "stopping"}]
        back.close()

    def test_a_manager_that_does_not_read(self, manager: Manager) -> None:
        """A full socket blocks nobody, and what it could not take is told when it can."""
        notify = Notify(manager.address)
        for each in range(2000):
            notify.beat(str(each))
        assert len(manager.heard()) < 2000
        notify.beat("1999")
        assert manager.heard() == [{"STATUS": "1999"}]
