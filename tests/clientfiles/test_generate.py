"""Entries for clients' files, for whoever puts them there himself."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from mcpgateway.clientfiles.formats import syntax
from mcpgateway.clientfiles.formats.client_format import EntryKind
from mcpgateway.clientfiles.formats.clients import DIALECTS
from mcpgateway.clientfiles.formats.loopback import LocalGateway
from mcpgateway.clientfiles.generate import (
    SnippetForm,
    SnippetRequest,
    argv,
    dialect_of,
    entries,
    file_of,
    text_of,
    write,
)
from mcpgateway.clientfiles.machine import Machine
from mcpgateway.errors import ConfigError
from mcpgateway.system.gateway_health import GatewayHealth

SERVERS = {"github": {"command": "sh"}, "files": {"command": "sh", "args": ["secret"]}}

NO_URLS = {"claude-desktop", "amazon-q", "junie"}


def machine(tmp_path: Path, servers: Any = SERVERS, *, health: Any = None) -> Machine:
    """A home with these servers, and a gateway that says this of itself."""
    home = tmp_path / "home" / ".mcp-gateway"
    home.mkdir(parents=True, mode=0o700)
    (home / "config.json").write_text(json.dumps({"servers": servers}))
    made = Machine(str(home), {"HOME": str(tmp_path / "home"), "PATH": "/bin:/usr/bin"})
    if health is not None:
        made._answer = GatewayHealth(health)
    return made


def value_of(text: str, file: str) -> Any:
    """Return the value of a file, read by another parser."""
    if file.endswith(".toml"):
        return tomllib.loads(text)
    return YAML(typ="safe").load(text) if file.endswith((".yaml", ".yml")) else json.loads(text)


class EntryTests:
    """The entries that are generated for each client."""

    @pytest.mark.parametrize("name", DIALECTS)
    @pytest.mark.parametrize("form", [SnippetForm.SHIM, SnippetForm.PROXY, SnippetForm.HTTP, None])
    def test_every_client(self, tmp_path: Path, name: str, form: SnippetForm | None) -> None:
        """A new file has an entry for each server; the client's own form recognises each as leading to the gateway."""
        here, dialect = machine(tmp_path), DIALECTS[name]
        file = file_of(dialect, here)
        if form is SnippetForm.HTTP and name in NO_URLS:
            with pytest.raises(ConfigError, match="takes no URL"):
                entries(SnippetRequest(dialect, (), form), here)
            return
        wanted = entries(SnippetRequest(dialect, (), form), here)
        text = text_of(dialect, file, wanted)
        assert value_of(text, file)
        listed = dialect.listed(syntax.read(text, file, dialect), here.base)
        assert {(each.title, each.kind, each.served) for each in listed} == {
            (each, EntryKind.ENROLLED, each) for each in ("github", "files")
        }
        assert "secret" not in text

    def test_the_proxy(self, tmp_path: Path) -> None:
        """The spelling of mcp-session-manager names the server with an option; an unusual home is named there too."""
        here = machine(tmp_path)
        assert argv(here, "github", SnippetForm.PROXY)[1:] == ["proxy", "--target", "github"]
        here.home = "/elsewhere"
        assert argv(here, "github")[1:] == ["--home", here.home, "connect", "github"]

    def test_single(self, tmp_path: Path) -> None:
        """An entry for all servers is refused where the running gateway does not serve their endpoint."""
        with pytest.raises(ConfigError, match="does not serve"):
            entries(
                SnippetRequest(dialect_of("claude"), (), SnippetForm.SINGLE),
                machine(tmp_path, health={"backends": []}),
            )
        serving = machine(tmp_path / "2", health={"aggregate": True})
        (wish,) = entries(SnippetRequest(dialect_of("claude"), (), SnippetForm.SINGLE), serving)
        assert (wish.key_path, wish.ours["url"]) == (
            ("mcpServers", "mcpgateway"),
            "http://localhost:9100/mcp",
        )
        (entry,) = entries(SnippetRequest(dialect_of("claude-desktop"), (), SnippetForm.SINGLE), serving)
        assert entry.ours["args"] == ["stdio"]

    def test_the_running_gateway_knows_best(self, tmp_path: Path) -> None:
        """The servers are those of the gateway that runs; without one, those of the configuration."""
        here = machine(tmp_path, health={"backends": [{"name": "clock"}]})
        assert [each.key_path[-1] for each in entries(SnippetRequest(dialect_of("cursor")), here)] == [
            "clock"
        ]

    @pytest.mark.parametrize("runs", [True, False])
    def test_switched_off(self, tmp_path: Path, *, runs: bool) -> None:
        """A server that is switched off is left out unless it is named; if all are, the error has the remedy."""
        backends = [{"name": "files", "status": "idle"}, {"name": "github", "status": "disabled"}]
        health = {"backends": backends} if runs else None
        servers = {**SERVERS, "github": {"command": "sh", "disabled": True}}
        here = machine(tmp_path, servers, health=health)
        cursor = dialect_of("cursor")
        assert [each.name for each in entries(SnippetRequest(cursor), here)] == ["files"]
        assert [each.name for each in entries(SnippetRequest(cursor, ("github",)), here)] == ["github"]
        alone = {"github": servers["github"]}
        only = machine(tmp_path / "2", alone, health={"backends": backends[1:]} if runs else None)
        with pytest.raises(ConfigError, match="all servers are switched off") as refused:
            entries(SnippetRequest(cursor), only)
        assert refused.value.hint == "mcpgateway servers enable github"

    @pytest.mark.parametrize("form", [SnippetForm.HTTP, SnippetForm.SHIM, SnippetForm.PROXY])
    def test_servers_of_projects(self, tmp_path: Path, form: SnippetForm) -> None:
        """A server of a project's is only there where it is named, and then its entry says for which project it is."""
        backends = [{"name": "clock"}, {"name": "db", "project": "/p/shop"}]
        here = machine(tmp_path, health={"backends": backends})
        assert [
            each.key_path[-1] for each in entries(SnippetRequest(dialect_of("cursor"), (), form), here)
        ] == ["clock"]
        (wish,) = entries(SnippetRequest(dialect_of("cursor"), ("db",), form), here)
        assert dialect_of("cursor").names_project(wish.key_path, wish.ours, "/p/shop")
        assert (
            dialect_of("cursor").listed({"mcpServers": {"db": wish.ours}}, LocalGateway(9100))[0].served
            == "db"
        )

    def test_refusals(self, tmp_path: Path) -> None:
        """A server, a client or a configuration that there is not is said so, with what there is."""
        here = machine(tmp_path)
        with pytest.raises(ConfigError, match="Unknown server: z"):
            entries(SnippetRequest(dialect_of("cursor"), ("z",)), here)
        with pytest.raises(ConfigError, match="expected one of claude-code"):
            dialect_of("emacs")
        with pytest.raises(ConfigError, match="there is no server"):
            entries(SnippetRequest(dialect_of("cursor")), machine(tmp_path / "2", {}))


class WriteTests:
    """Entries that are written into a file."""

    def test_beside_what_is_there(self, tmp_path: Path) -> None:
        """Every other byte stays, the mode too, and what the file was is beside it."""
        here, file = machine(tmp_path), tmp_path / "mcp.json"
        before = '{\n  // mine\n  "mcpServers": {"own": {"command": "x"}}\n}\n'
        file.write_text(before)
        file.chmod(0o640)
        copy = write(
            dialect_of("cursor"), str(file), entries(SnippetRequest(dialect_of("cursor")), here), 1234
        )
        assert copy == f"{file}.backup.1234"
        assert Path(copy).read_text() == before
        assert file.read_text().startswith('{\n  // mine\n  "mcpServers": {"own": {"command": "x"}')
        assert file.stat().st_mode & 0o777 == 0o640

    def test_a_new_file(self, tmp_path: Path) -> None:
        """A file that there was not is made, with its directory, and nothing is copied."""
        here, file = machine(tmp_path), tmp_path / "new" / "mcp.json"
        assert (
            write(dialect_of("cursor"), str(file), entries(SnippetRequest(dialect_of("cursor")), here), 1)
            == ""
        )
        assert set(json.loads(file.read_text())["mcpServers"]) == {"github", "files"}

    def test_a_list(self, tmp_path: Path) -> None:
        """Continue has a list, also where its file has none yet."""
        here, file = machine(tmp_path), tmp_path / "config.yaml"
        file.write_text("name: mine")
        write(dialect_of("continue"), str(file), entries(SnippetRequest(dialect_of("continue")), here), 1)
        found = value_of(file.read_text(), "x.yaml")
        assert found["name"] == "mine"
        assert [each["name"] for each in found["mcpServers"]] == ["github", "files"]

    def test_a_broken_file(self, tmp_path: Path) -> None:
        """A file that cannot be read stays as it is."""
        here, file = machine(tmp_path), tmp_path / "mcp.json"
        file.write_text('{"mcpServers": {')
        with pytest.raises(ConfigError, match=r"mcp\.json"):
            write(dialect_of("cursor"), str(file), entries(SnippetRequest(dialect_of("cursor")), here), 1)
        assert file.read_text() == '{"mcpServers": {'
        assert len(list(tmp_path.glob("mcp.json*"))) == 1
