"""A restart in place that executes a program which fails where its test before the restart could not see it."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import pytest

from tests.support.gateway import eventually, server
from tests.support.home import Home
from tests.support.processes import children_of, is_alive
from tests.support.real_servers import ROOT
from tests.support.restarting import Client, InBackground, asked, hung_up, renewed, state

pytestmark = pytest.mark.functional

FIXTURE = (sys.executable, "-I", "-S", str(ROOT / "tests" / "servers" / "fixture.py"))


class Release:
    """A copy of the package that a gateway runs, which is edited for its next program."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / "release"
        unread = shutil.ignore_patterns("__pycache__", "ui")
        shutil.copytree(ROOT / "mcpgateway", self.path / "mcpgateway", ignore=unread)

    def fail(self, module: str, before: str, where: str = "True") -> None:
        """Have the next program raise an exception after a line of a module, where a condition holds there."""
        path = self.path / "mcpgateway" / module
        text = path.read_text()
        assert text.count(before) == 1, before
        last = before.splitlines()[-1]
        indent = " " * (len(last) - len(last.lstrip()))
        planted = f"{indent}if {where}:\n{indent}    raise RuntimeError('planted')\n"
        path.unlink()  # as installers replace a file
        path.write_text(text.replace(before, f"{before}\n{planted}"))


def test_one_server_fails(tmp_path: Path) -> None:
    """A server, or a session, that cannot be taken over begins anew; the others go on."""
    names = ("sound", "unlaunched", "ungreeted")
    servers = {each: server(FIXTURE, share="global") for each in names}
    servers |= {"forgotten": server(FIXTURE, share="session")}
    release = Release(tmp_path)
    with Home(tmp_path, servers, PYTHONPATH=str(release.path)) as home:
        home.json("start", "--adopt", "never")
        clients = {each: Client(home.port, f"/{each}/mcp") for each in servers}
        pids = {each: json.loads(client.said("pid"))["pid"] for each, client in clients.items()}
        assert [client.said("count") for client in clients.values()] == ["1"] * len(servers)
        release.fail(
            "hub/children/child_start.py",
            "        owner, state = self._owner, self._state",
            "owner.server.name == 'unlaunched'",
        )
        release.fail(
            "hub/slot.py", "        self._taken_over = state", "state and self.server.name == 'ungreeted'"
        )
        release.fail(
            "hub/children/inheritance.py",
            "    def _restore(self, state: SessionState) -> None:\n        hub = self._hub",
            "state.server == 'forgotten'",
        )
        renewed(home, hung_up(home))
        counts = {each: client.said("count") for each, client in clients.items()}
        assert counts == {each: "2" if each == "sound" else "1" for each in servers}
        eventually(
            lambda: [each for each, pid in pids.items() if is_alive(pid)] == ["sound"],
            "the others are stopped",
        )


PLACES = {
    "having started": ("app/daemon.py", "        self.renewal.offer(self)"),
    "reading the state": ("system/process/handover.py", "            file.seek(0)"),
    "listening": ("app/build.py", "    guard.changed = lambda: factory.hang_up_where(root.would_refuse)"),
}
REAL = "'mcpgateway-trial' not in __import__('os').environ['HOME']"


@pytest.mark.parametrize("place", PLACES)
def test_the_whole_program_fails(tmp_path: Path, place: str) -> None:
    """The former program goes on, with its servers, sessions, connections and calls, and says why."""
    servers = {"shared": server(FIXTURE, share="global"), "own": server(FIXTURE, share="session")}
    release = Release(tmp_path)
    with Home(tmp_path, servers, PYTHONPATH=str(release.path), MCPGATEWAY_KEEP_AFTER="0") as home:
        home.json("start", "--adopt", "never")
        clients = [Client(home.port, f"/{each}/mcp") for each in servers]
        assert [client.said("count") for client in clients] == ["1"] * len(clients)
        eventually((home.path / "program").exists, "the program is kept")
        pid = state(home)["pid"]
        children = children_of(pid)
        call = InBackground(lambda _: clients[0].said("sleep", ms=3_000, text="slept"))
        eventually(lambda: json.loads(asked(home.port, "GET", "/health")[2])["calls"], "it is under way")
        for number in ("2", "3"):
            if number == "2":
                release.fail(*PLACES[place], REAL)
            done = home.run("restart")
            assert done.returncode == 1
            assert "RuntimeError: planted" in " ".join(done.stderr.split())
            (problem,) = json.loads(asked(home.port, "GET", "/health")[2])["problems"]
            assert problem["message"].endswith("the new program fails at its start: RuntimeError: planted")
            assert [client.said("count") for client in clients] == [number] * len(clients)
            assert state(home)["pid"] == pid
            assert children_of(pid) == children
        assert call.result() == "slept"
