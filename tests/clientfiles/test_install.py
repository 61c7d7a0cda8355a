"""Entries for the gateway's servers in Claude Code's files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mcpgateway.clientfiles.install import (
    InstallMode,
    InstallScope,
    InstallTarget,
    RolledBack,
    drift,
    install,
    target,
    wanted,
)
from mcpgateway.clientfiles.machine import Machine
from mcpgateway.clientfiles.sync import sync
from mcpgateway.errors import ConfigError
from mcpgateway.policy.secrets.shapes import MASK
from mcpgateway.system.gateway_health import GatewayHealth
from mcpgateway.system.service_files import service_file


class Place:
    """A home whose gateway is installed as a service and serves x and y, and a file of Claude Code."""

    def __init__(self, tmp_path: Path, **settings: Any) -> None:
        self.user = tmp_path / "user"
        self.home = self.user / ".mcp-gateway"
        self.home.mkdir(parents=True, mode=0o700)
        servers = {"x": {"command": "sh"}, "y": {"command": "sh"}}
        (self.home / "config.json").write_text(json.dumps({"gateway": settings, "servers": servers}))
        self.served = {"backends": [{"name": each, "source": "config.json"} for each in servers]}
        self.file = self.user / ".claude.json"
        self.machine = Machine(str(self.home), {"HOME": str(self.user), "PATH": "/bin"})
        self.service = Path(service_file(self.machine.environ))
        self.service.parent.mkdir(parents=True)
        self.service.touch()
        self.directory = tmp_path / "shop"
        (self.directory / "inside").mkdir(parents=True)

    def install(
        self, scope: InstallScope = InstallScope.USER, mode: InstallMode = InstallMode.PROXY
    ) -> InstallTarget:
        """Install, and return where."""
        where = target(self.machine, scope, str(self.directory))
        install(self.machine, where, wanted(self.machine, where, mode))
        self.machine.look_again()
        return where

    def left(self, scope: InstallScope = InstallScope.USER) -> tuple[list[str], list[str], list[str]]:
        """The missing, different and foreign entries."""
        where = target(self.machine, scope, str(self.directory))
        found = drift(self.machine, where, wanted(self.machine, where, InstallMode.PROXY))
        return tuple([each.name for each in kind] for kind in (found.missing, found.different, found.foreign))  # type: ignore[return-value]


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """A place where nothing is installed."""
    return Place(tmp_path)


def url(name: str) -> dict[str, str]:
    """An entry of ours."""
    return {"type": "http", "url": f"http://localhost:9100/{name}/mcp"}


class InstallTests:
    """Writing the entries."""

    def test_user(self, place: Place) -> None:
        """A server gets an entry beside those that are there, and a second time nothing is left to do."""
        place.file.write_text('{"numStartups": 7, "mcpServers": {"own": {"command": "a"}}}')
        assert place.left() == (["x", "y"], [], [])  # its own server is not for a second entry
        place.install()
        found = json.loads(place.file.read_text())
        assert found == {
            "numStartups": 7,
            "mcpServers": {"own": {"command": "a"}, "x": url("x"), "y": url("y")},
        }
        assert place.left() == ([], [], [])

    def test_twice(self, place: Place) -> None:
        """The second time nothing is written."""
        place.install()
        before = place.file.stat().st_ino
        place.install()
        assert place.file.stat().st_ino == before

    def test_another_port(self, place: Place) -> None:
        """An entry for the gateway's former port is not the user's, and is written anew."""
        place.install()
        text = place.file.read_text()
        place.machine = Machine(str(place.home), place.machine.environ)
        config = json.loads((place.home / "config.json").read_text())
        config["gateway"]["http_port"] = 9200
        (place.home / "config.json").write_text(json.dumps(config))
        assert place.left() == ([], ["x", "y"], [])
        place.install()
        assert place.file.read_text() == text.replace("9100", "9200")
        place.file.write_text(text.replace("9100", "9300"))
        assert place.left() == ([], [], ["x", "y"])  # this was written by somebody else

    def test_local(self, place: Place) -> None:
        """Local entries are filed under the root of the repository."""
        (place.directory / ".git").mkdir()
        where = target(place.machine, InstallScope.LOCAL, str(place.directory / "inside"))
        install(place.machine, where, wanted(place.machine, where, InstallMode.PROXY))
        found = json.loads(place.file.read_text())
        assert set(found["projects"][str(place.directory)]["mcpServers"]) == {"x", "y"}

    def test_project(self, place: Place) -> None:
        """Entries of a project are in its .mcp.json, and say that they are its."""
        place.install(InstallScope.PROJECT)
        said = {"headers": {"Mcp-Project-Path": str(place.directory)}}
        assert json.loads((place.directory / ".mcp.json").read_text()) == {
            "mcpServers": {"x": url("x") | said, "y": url("y") | said}
        }
        assert place.left(InstallScope.PROJECT) == ([], [], [])

    @pytest.mark.parametrize(
        ("scope", "names"),
        [
            (InstallScope.USER, {"x", "y"}),
            (InstallScope.PROJECT, {"x", "y", "s"}),
            (InstallScope.LOCAL, {"x", "y", "s"}),
        ],
    )
    def test_servers_of_projects(self, place: Place, scope: InstallScope, names: set[str]) -> None:
        """Servers of a project are there for its own entries alone."""
        for name, project in (("s", place.directory), ("o", place.user)):
            place.served["backends"].append({"name": name, "source": "elsewhere", "project": str(project)})
        place.machine._answer = GatewayHealth(place.served)
        where = target(place.machine, scope, str(place.directory))
        assert {each.name for each in wanted(place.machine, where, InstallMode.PROXY)} == names

    def test_undone(self, place: Place) -> None:
        """The ledger gives the file back as it was, to the byte."""
        before = '{"a":1,\n "mcpServers": {"x": {"url": "http://localhost:9100/x/mcp"}}}'
        place.file.write_text(before)
        assert place.left() == (["y"], ["x"], [])
        place.install()
        from mcpgateway.clientfiles.enrolment_records import unwound

        (adopted,) = place.machine.ledger.read().files.values()
        assert unwound(adopted, place.file.read_text()) == before

    def test_foreign(self, place: Place) -> None:
        """An entry of the user's with the name of a server is left; one of ours under another name will do."""
        place.machine._answer = GatewayHealth(place.served)
        theirs = {"x": {"command": "theirs"}, "renamed": url("y")}
        place.file.write_text(json.dumps({"mcpServers": theirs}))
        assert place.left() == ([], [], ["x"])
        place.install()
        assert json.loads(place.file.read_text())["mcpServers"] == theirs

    def test_a_token(self, tmp_path: Path) -> None:
        """Where the gateway wants a token the entry starts the shim, which has it from the home."""
        place = Place(tmp_path, auth_mcp_transport="bearer-required")
        place.install()
        entry = json.loads(place.file.read_text())["mcpServers"]["x"]
        assert entry["args"][-2:] == ["connect", "x"]
        assert MASK not in json.dumps(entry)

    def test_without_a_service(self, place: Place) -> None:
        """Without a service the entries start the shim, and no later step of the gateway has anything to change."""
        place.service.unlink()
        place.install()
        before = place.file.read_text()
        entry = json.loads(before)["mcpServers"]["x"]
        assert entry["args"][-2:] == ["connect", "x"]
        assert place.left() == ([], [], [])
        assert not any(each.changed for each in sync(str(place.home), place.machine.environ).files)
        assert place.file.read_text() == before

    def test_as_the_rest_of_the_file(self, place: Place) -> None:
        """A file that is enrolled gets entries in its own form, also where the service has come or gone since."""
        place.install()
        place.service.unlink()
        config = json.loads((place.home / "config.json").read_text())
        config["servers"]["z"] = {"command": "sh"}
        (place.home / "config.json").write_text(json.dumps(config))
        place.machine.look_again()
        place.install()
        assert json.loads(place.file.read_text())["mcpServers"] == {each: url(each) for each in "xyz"}

    def test_aggregate(self, place: Place) -> None:
        """An entry for all servers is written unless the running gateway is an older one, without their endpoint."""
        place.machine._answer = GatewayHealth({"aggregate": False, "backends": [{"name": "x"}]})
        for mode in (InstallMode.AGGREGATE, InstallMode.BOTH):
            with pytest.raises(ConfigError, match="does not serve"):
                place.install(mode=mode)
        assert not place.file.exists()
        backends = [{"name": "x"}]
        place.machine._answer = GatewayHealth({"aggregate": True, "backends": backends})
        place.install(mode=InstallMode.BOTH)
        found = json.loads(place.file.read_text())["mcpServers"]
        assert {name: each["url"] for name, each in found.items()} == {
            "mcpgateway": "http://localhost:9100/mcp",
            "x": "http://localhost:9100/x/mcp",
        }

    def test_nothing_is_changed(self, place: Place) -> None:
        """A file that cannot be read stays as it is, and so does one whose own entries are back for now."""
        place.machine._answer = GatewayHealth(place.served)
        place.file.write_text('{"mcpServers": ')
        where = target(place.machine, InstallScope.USER, str(place.directory))
        with pytest.raises(RolledBack):
            install(place.machine, where, wanted(place.machine, where, InstallMode.PROXY))
        assert place.file.read_text() == '{"mcpServers": '
        place.file.write_text("{}")
        place.install()
        import attrs

        (adopted,) = place.machine.ledger.read().files.values()
        place.machine.ledger.put(attrs.evolve(adopted, suspended="stopped"))
        place.file.write_text("{}")
        with pytest.raises(RolledBack, match="stopped for now"):
            place.install()
        assert place.file.read_text() == "{}"
