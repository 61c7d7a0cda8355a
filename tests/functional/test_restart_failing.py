"""A restart in place that executes a program which fails where its test before the restart could not see it."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import pytest

from tests.support.gateway import eventually, server
from tests.support.home import Home
from tests.support.processes import is_alive
from tests.support.real_servers import ROOT
from tests.support.restarting import Client, hung_up, renewed

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
