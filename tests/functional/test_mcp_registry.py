"""``servers search``, ``servers install`` and ``gateway_install_server`` against a registry of the tests' own."""

from __future__ import annotations

import asyncio
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from mcp import Client

from mcpgateway.errors import BackendError, InvalidParams
from mcpgateway.system.catalog.fetching import BODY_LIMIT, fetch_json
from mcpgateway.system.catalog.lookup import ServerCatalog
from mcpgateway.system.catalog.server_registry import ServerRegistry
from tests.functional.test_config_rest import ask
from tests.functional.test_installing import Human, client_of, told
from tests.support import forkserver
from tests.support.gateway import BIN, LIMIT_S, Gateway
from tests.support.mcp_registry import McpRegistry, package, server_json
from tests.support.real_servers import NPM_BIN
from tests.support.registry import Registry
from tests.support.terminal import Terminal

pytestmark = pytest.mark.functional

KEY = {"name": "TELLER_API_KEY", "description": "key of the API", "isRequired": True, "isSecret": True}
MODE = {"name": "MODE", "description": "how it tells", "isRequired": True, "choices": ["fast", "slow"]}
SECRET = "s3cret value $with signs"


@pytest.fixture
def registry() -> Iterator[McpRegistry]:
    """A registry with some servers."""
    with McpRegistry() as running:
        extra = {"name": "COLOUR", "description": "of what it tells", "default": "red"}
        teller = package("npm", "teller", "1.0.0", environmentVariables=[KEY, MODE, extra])
        running.publish(server_json("io.github.o/teller", package("npm", "teller", "0.9.0"), version="0.9.0"))
        running.publish(server_json("io.github.o/teller", teller, title="Teller"))
        running.publish(server_json("com.example/bundle", package("mcpb", "https://x.example/y.mcpb", "1")))
        running.publish(server_json("com.example/gone", package("npm", "gone", "1.0.0")), "deleted")
        remote = {
            "type": "streamable-http",
            "url": "https://x.example/mcp",
            "headers": [{**KEY, "name": "X-Key"}],
        }
        running.publish(server_json("com.example/far", remotes=[remote]), "deprecated")
        yield running


@pytest.fixture
def npm() -> Iterator[Registry]:
    """A registry of packages, with the server that tells how it was started."""
    with Registry() as running:
        running.publish("teller", "1.0.0")
        yield running


class Desk:
    """A home without a gateway, and the command line there."""

    def __init__(self, directory: Path, registry: McpRegistry, **environ: str) -> None:
        self.home = directory / "home"
        self.user = directory / "user"
        self.user.mkdir(exist_ok=True)
        self.home.mkdir(mode=0o700, exist_ok=True)
        self.config = self.home / "config.json"
        if not self.config.exists():
            self.config.write_text(json.dumps({"gateway": {"registry_url": registry.url}, "servers": {}}))
        usual = {"PATH": os.environ["PATH"], "HOME": str(self.user), "LANG": "C.UTF-8"}
        self.environ = {**usual, **environ}

    @property
    def servers(self) -> dict[str, Any]:
        """The servers of the configuration."""
        found: dict[str, Any] = json.loads(self.config.read_text())["servers"]
        return found

    @property
    def values(self) -> str:
        """The file of values."""
        path = self.home / ".env"
        return path.read_text() if path.exists() else ""

    def argv(self, *words: str) -> list[str]:
        """A command line."""
        return [str(BIN / "mcpgateway"), "--home", str(self.home), *words]

    def ran(self, *words: str) -> tuple[int, str, str]:
        """Run a command without a terminal; its code, and what it said."""
        done = forkserver.ran(self.argv(*words), env=self.environ, given="", has_ended=False)
        return done.returncode, done.stdout, done.stderr


@pytest.fixture
def desk(tmp_path: Path, registry: McpRegistry) -> Desk:
    """A home that asks the registry."""
    return Desk(tmp_path, registry)


class RegistryTests:
    """The registry's API."""

    def test_pages(self, registry: McpRegistry) -> None:
        """All pages of a search are read, of each server the latest version, and none that was deleted."""
        for at in range(250):
            registry.publish(server_json(f"com.example/many-{at:03}", package("npm", "many", "1.0.0")))
        found = ServerRegistry(registry.url).search(["many"])
        assert [each.name for each in found] == [f"com.example/many-{at:03}" for at in range(250)]
        assert [each.partition("?")[0] for each in registry.asked] == ["/v0.1/servers"] * 3
        (teller,) = ServerRegistry(registry.url).search(["TELLER"])
        assert teller.version == "1.0.0"
        assert ServerRegistry(registry.url).search(["gone"]) == []

    @pytest.mark.parametrize("path", ["", "/v0", "/v0.1"])
    def test_versions_of_the_api(self, registry: McpRegistry, path: str) -> None:
        """A registry that has the older API only is asked by that; an address with a version is taken as it is."""
        registry.apis = ("v0",) if path == "/v0" or not path else ("v0.1",)
        found = ServerRegistry(registry.url + path).server("io.github.o/teller", "0.9.0")
        assert found.description["packages"][0]["version"] == "0.9.0"

    def test_a_cursor_that_repeats_itself(self, registry: McpRegistry) -> None:
        """A registry that gives the same cursor for ever is not asked for ever."""
        page = {"servers": [None, {"server": {"name": 1}}], "metadata": {"nextCursor": "x"}}
        registry.scripted["/v0.1/servers"] = (200, json.dumps(page).encode())
        assert ServerRegistry(registry.url).search(["x"]) == []
        assert len(registry.asked) == 2

    @pytest.mark.parametrize(
        ("status", "body", "says"),
        [
            (200, b"<html>", r", line 1, column 1: is not valid JSON"),
            (200, b"[" * 100_000, "nested too deeply"),
            (200, b'"' + b"x" * BODY_LIMIT + b'"', "more than 4,194,304 bytes"),
            (200, b"[]", "no list of servers"),
            (200, b'{"servers": {"a": 1}}', "no list of servers"),
            (503, b"", "the answer is 503"),
            (302, b"file:///etc/passwd", "302"),
            (302, b"ftp://127.0.0.1/x", "302"),
            (302, b"/v0.1/servers", "302"),
        ],
    )
    def test_broken_answers(self, registry: McpRegistry, status: int, body: bytes, says: str) -> None:
        """Each is told in one sentence, and neither files nor other protocols are followed."""
        registry.scripted["/v0.1/servers"] = (status, body)
        with pytest.raises(BackendError, match=says):
            ServerRegistry(registry.url).search(["x"])

    def test_unreachable(self, registry: McpRegistry) -> None:
        """A registry that is away, and one that is none, are told apart from one without the server."""
        catalog = ServerCatalog(registry.url)
        with pytest.raises(InvalidParams, match=r"no server com\.example/other"):
            catalog.find("com.example/other")
        with pytest.raises(InvalidParams, match="was deleted"):
            catalog.find("com.example/gone")
        registry.close()
        with pytest.raises(BackendError, match="cannot be reached"):
            catalog.find("com.example/other")
        found = catalog.search("memory", 5)
        assert "cannot be reached" in found.problem
        assert found.entries[0].name == "memory"
        with pytest.raises(BackendError, match="no http or https URL"):
            fetch_json("file:///etc/passwd")


class SearchTests:
    """``servers search``."""

    def test_both_sources(self, desk: Desk, registry: McpRegistry) -> None:
        """The recipes come first; of the registry's it says what runs, and why one cannot run here."""
        registry.publish(server_json("com.example/memory", package("pypi", "other-memory", "2.0.0")))
        code, out, _ = desk.ran("servers", "search", "memory")
        assert code == 0
        lines = out.splitlines()
        assert lines[0].split() == ["NAME", "FROM", "VERSION", "RUNS", "DESCRIPTION"]
        assert lines[1].startswith("memory ")
        assert re.search(r"com.example/memory +registry +1.0.0 +uvx other-memory@2.0.0 ", out)
        assert "not here: packages of the kind 'mcpb'" in desk.ran("servers", "search", "bundle")[1]
        assert "https://x.example/mcp (deprecated)" in desk.ran("servers", "search", "far")[1]

    def test_for_programs(self, desk: Desk, registry: McpRegistry) -> None:
        """The JSON has stable keys in snake_case, and tells of a registry that is away."""
        code, out, _ = desk.ran("--json", "servers", "search", "teller")
        found = json.loads(out)
        assert (code, found["registry"], found["problem"]) == (0, registry.url, "")
        (item,) = found["items"]
        assert item["name"] == "io.github.o/teller"
        assert {each["name"]: each.get("secret", False) for each in item["needs"]} == {
            "TELLER_API_KEY": True,
            "MODE": False,
        }
        registry.close()
        code, out, _ = desk.ran("--json", "servers", "search", "teller")
        assert (code, json.loads(out)["items"]) == (1, [])
        code, out, err = desk.ran("servers", "search", "memory")
        assert (code, "cannot be reached" in err) == (0, True)
        assert desk.ran("servers", "search", "memory", "--recipes")[2].count("cannot") == 0
        nowhere = "http://registry.invalid"
        code, out, err = desk.ran("servers", "search", "memory", "--registry", nowhere)
        assert (code, "the name of its host is not found" in err, "Errno" in err) == (0, True, False)
        assert "mcpgateway servers search --recipes memory asks no registry" in err


class InstallTests:
    """``servers install`` with no gateway."""

    def test_nobody_to_ask(self, desk: Desk) -> None:
        """What is missing is named, each with its purpose; nothing is written."""
        before = desk.config.read_text()
        code, _, err = desk.ran("servers", "install", "io.github.o/teller", "--yes")
        assert code == 1
        assert "TELLER_API_KEY (key of the API); MODE (how it tells)" in err
        assert "-e TELLER_API_KEY=VALUE -e MODE=VALUE" in err
        given = ("-e", "TELLER_API_KEY=x", "-e", "MODE=fast")
        code, _, err = desk.ran("servers", "install", "io.github.o/teller", *given)
        assert (code, "--yes installs it" in err) == (1, True)
        code, _, err = desk.ran(
            "servers", "install", "io.github.o/teller", "--yes", *given, "-e", "API_KEY=y"
        )
        assert (code, "no variable 'API_KEY'" in err) == (1, True)
        code, _, err = desk.ran(
            "servers", "install", "io.github.o/teller", "--yes", *given[:2], "-e", "MODE=loud"
        )
        assert (code, "one of fast, slow" in err) == (1, True)
        assert (desk.config.read_text(), desk.values) == (before, "")

    @pytest.mark.parametrize(
        ("server", "says"),
        [
            ("com.example/bundle", "packages of the kind 'mcpb' cannot be run here"),
            ("com.example/other", "has no server com.example/other"),
            ("missing.json", "there is no such file"),
            ("memry", "did you mean memory?"),
        ],
    )
    def test_refused(self, desk: Desk, server: str, says: str) -> None:
        """What cannot be installed is told in one line, with the way on."""
        code, _, err = desk.ran("servers", "install", server, "--yes")
        assert (code, says in err) == (1, True), err

    def test_a_file_and_a_url(self, desk: Desk, registry: McpRegistry, tmp_path: Path) -> None:
        """A server.json is read from a file and from a URL; another document is refused."""
        path = tmp_path / "server.json"
        path.write_text(json.dumps(server_json("io.github.o/notes", package("npm", "@o/notes", "1.2.3"))))
        assert desk.ran("servers", "install", str(path), "--yes", "--no-test")[0] == 0
        assert desk.servers["notes"] == {"command": "npx", "args": ["-y", "@o/notes@1.2.3"]}
        code, _, err = desk.ran("servers", "install", str(path), "--yes", "--no-test")
        assert (code, "there is a server notes already" in err) == (1, True)
        url = f"{registry.url}/v0.1/servers/io.github.o%2Fteller/versions/0.9.0"
        assert desk.ran("servers", "install", url, "--name", "old", "--yes", "--no-test")[0] == 0
        assert desk.servers["old"]["args"] == ["-y", "teller@0.9.0"]
        path.write_text("{")
        assert (
            ", line 1, column 2: is not valid JSON" in desk.ran("servers", "install", str(path), "--yes")[2]
        )
        code, _, err = desk.ran("servers", "install", f"{registry.url}/v0.1/servers", "--yes")
        assert (code, "is no server.json" in err) == (1, True)

    def test_secrets(self, desk: Desk) -> None:
        """A secret stands in the file of values only, and each server's has a name of its own."""
        install = ("servers", "install", "io.github.o/teller", "--yes", "--no-test", "-e", "MODE=fast")
        desk.environ["TELLER_API_KEY"] = SECRET
        code, out, err = desk.ran(*install, "-e", "TELLER_API_KEY")
        assert code == 0, err
        assert desk.servers["teller"] == {
            "command": "npx",
            "args": ["-y", "teller@1.0.0"],
            "env": {"COLOUR": "red", "MODE": "fast", "TELLER_API_KEY": "${TELLER_API_KEY}"},
        }
        assert SECRET not in desk.config.read_text() + out + err
        assert (desk.home / ".env").stat().st_mode & 0o777 == 0o600
        code, _, err = desk.ran(*install, "--name", "teller-2", "-e", "TELLER_API_KEY=other")
        assert desk.servers["teller-2"]["env"]["TELLER_API_KEY"] == "${TELLER_2_TELLER_API_KEY}"
        code, _, err = desk.ran(*install, "--name", "teller3")
        assert (code, "was kept for teller\n" in err) == (1, True), err
        code, _, err = desk.ran(*install, "--name", "teller3", "-e", "TELLER_API_KEY=${TELLER_API_KEY}")
        assert desk.servers["teller3"]["env"]["TELLER_API_KEY"] == "${TELLER_API_KEY}"

    def test_a_header(self, desk: Desk) -> None:
        """The secret of a remote server stands in the file of values, and its header names it."""
        code, _, err = desk.ran(
            *("servers", "install", "com.example/far", "--yes", "--no-test", "-e", f"FAR_X_KEY={SECRET}")
        )
        assert code == 0, err
        assert "deprecated" in err
        assert desk.servers["far"]["headers"] == {"X-Key": "${FAR_X_KEY}"}
        assert desk.servers["far"]["url"] == "https://x.example/mcp"
        assert "FAR_X_KEY=" in desk.values

    def test_on_a_terminal(self, desk: Desk, npm: Registry) -> None:
        """Inputs are asked for, a secret without echo; then the server is tried."""
        desk.environ["npm_config_registry"] = npm.url
        terminal = Terminal(desk.argv("servers", "install", "io.github.o/teller"), desk.environ)
        assert terminal.shows("TELLER_API_KEY: $")
        terminal.type("hush hush\n")
        assert terminal.shows(r"MODE .*: $")
        terminal.type("slow\n")
        assert terminal.shows(r"Install teller\? \[Y/n\]: $")
        terminal.type("y\n")
        assert terminal.ended() == 0, terminal.text
        assert "hush" not in terminal.text
        assert "It also takes COLOUR (-e NAME=VALUE)." in terminal.text
        assert "It runs: npx -y teller@1.0.0" in terminal.text
        assert "All checks passed." in terminal.text
        assert desk.servers["teller"]["env"]["MODE"] == "slow"
        assert "hush hush" in desk.values

    def test_no(self, desk: Desk) -> None:
        """Who says no has installed nothing, and has given away no secret."""
        before = desk.config.read_text()
        words = ("servers", "install", "io.github.o/teller", "-e", "TELLER_API_KEY=x", "-e", "MODE=fast")
        terminal = Terminal(desk.argv(*words), desk.environ)
        assert terminal.shows(r"\[Y/n\]: $")
        terminal.type("n\n")
        assert terminal.ended() == 1
        assert (desk.config.read_text(), desk.values) == (before, "")

    def test_a_project(self, desk: Desk, tmp_path: Path) -> None:
        """The entry goes into the project's own file."""
        root = tmp_path / "shop"
        root.mkdir()
        words = ("servers", "install", "npm:@o/notes@1.2.3", "--scope", "project", "--yes")
        done = forkserver.ran(desk.argv(*words), env=desk.environ, cwd=root, given="", has_ended=False)
        assert done.returncode == 0, done.stderr
        entry = {"command": "npx", "args": ["-y", "@o/notes@1.2.3"]}
        assert json.loads((root / ".mcp.json").read_text())["mcpServers"] == {"notes": entry}


class RunningTests:
    """With a gateway."""

    def test_a_real_server(self, tmp_path: Path, registry: McpRegistry, npm: Registry) -> None:
        """A package of npm is installed through its server.json: its URL and its tools are told, and it answers."""
        version = npm.publish_installed(NPM_BIN.parent, "@modelcontextprotocol/server-memory")
        path = {"name": "MEMORY_FILE_PATH", "description": "the file of the graph", "isRequired": True}
        described = package(
            "npm",
            "@modelcontextprotocol/server-memory",
            version,
            runtimeHint="npx",
            environmentVariables=[{**path, "format": "filepath"}, {**KEY, "name": "GRAPH_TOKEN"}],
        )
        registry.publish(
            server_json("io.github.modelcontextprotocol/server-memory", described, version=version)
        )
        environ = {"npm_config_registry": npm.url, "HOME": str(tmp_path)}
        with Gateway(tmp_path, settings={"registry_url": registry.url}, environ=environ) as gateway:
            desk = Desk(tmp_path, registry)
            desk.config = gateway.config
            code, out, err = desk.ran(
                *(
                    "servers",
                    "install",
                    "io.github.modelcontextprotocol/server-memory",
                    "--yes",
                    "--wait",
                    "60s",
                ),
                *("-e", f"MEMORY_FILE_PATH={tmp_path}/graph.json", "-e", f"GRAPH_TOKEN={SECRET}"),
            )
            assert code == 0, (out, err)
            assert "memory is added, and runs." in out
            assert "/memory/mcp" in out
            assert "create_entities" in out
            assert desk.servers["memory"]["args"] == ["-y", f"@modelcontextprotocol/server-memory@{version}"]
            assert desk.servers["memory"]["env"]["GRAPH_TOKEN"] == "${MEMORY_GRAPH_TOKEN}"
            assert SECRET not in gateway.config.read_text()
            made = {"entities": [{"name": "Graz", "entityType": "city", "observations": ["has a clock"]}]}
            code, out, err = desk.ran(
                "tools", "call", "memory__create_entities", "--json-args", json.dumps(made)
            )
            assert code == 0, (out, err)
        assert "has a clock" in (tmp_path / "graph.json").read_text()

    def test_the_tool(self, tmp_path: Path, registry: McpRegistry, npm: Registry) -> None:
        """The gateway's own tool finds the same server by its name, and its human sees the version that runs."""
        registry.publish(server_json("io.github.o/plain", package("npm", "teller", "1.0.0")))
        human = Human()
        environ = {"npm_config_registry": npm.url, "HOME": str(tmp_path)}

        async def work(gateway: Gateway) -> None:
            async with client_of(gateway, "mcp/full", "legacy", human) as client:
                await installed(client)

        async def installed(client: Client) -> None:
            install = "gateway_install_server"
            said = await told(client, install, server="io.github.o/none", scope="global")
            assert (said["failed"], "has no server" in said["error"]) == (True, True), said
            said = await told(client, install, server="io.github.o/teller", scope="global")
            assert "TELLER_API_KEY" in said["error"]
            said = await told(client, install, server="io.github.o/plain", scope="global")
            assert said["failed"] is False, said
            assert said["tools"] == ["plain__tell"]

        with Gateway(tmp_path, settings={"registry_url": registry.url}, environ=environ) as gateway:
            asyncio.run(asyncio.wait_for(work(gateway), LIMIT_S))
            entry = {"command": "npx", "args": ["-y", "teller@1.0.0"]}
            assert json.loads(gateway.config.read_text())["servers"]["plain"] == entry
            _install_over_rest(gateway)
        (question,) = human.questions
        assert "npx -y teller@1.0.0" in question


def _install_over_rest(gateway: Gateway) -> None:
    """Search the catalogue, and install a server with its inputs; its secret stands in the file of values only."""
    recipes = ask(gateway, "GET", "/catalog", token="").value
    assert "time" in [each["name"] for each in recipes["items"]]
    found = ask(gateway, "GET", "/catalog?q=teller&limit=5", token="").value
    (item,) = found["items"]
    assert [each["name"] for each in item["needs"]] == ["TELLER_API_KEY", "MODE"]
    before = gateway.config.read_text()
    install = "/catalog/io.github.o/teller/install"
    for wrong, says in (
        ({}, "TELLER_API_KEY"),
        ({"values": {"TELLER_API_KEY": "x", "MODE": "loud"}}, "one of fast, slow"),
        ({"values": {"TELLER_API_KEY": SECRET, "MODE": "fast"}, "name": "plain"}, "server plain already"),
        ({"values": {"MODE": 1}}, "a text"),
    ):
        said = ask(gateway, "POST", install, wrong)
        assert says in said.value["error"], said.value
    assert (gateway.config.read_text(), (gateway.home / ".env").exists()) == (before, False)
    values = {"TELLER_API_KEY": SECRET, "MODE": "fast"}
    said = ask(gateway, "POST", install, {"values": values, "name": "told"})
    assert said.value.get("tools") == ["tell"], said.value
    entry = json.loads(gateway.config.read_text())["servers"]["told"]
    assert entry["env"] == {"COLOUR": "red", "MODE": "fast", "TELLER_API_KEY": "${TOLD_TELLER_API_KEY}"}
    assert SECRET not in gateway.config.read_text() + json.dumps(said.value)
    assert ask(gateway, "POST", install, {"values": values}, token="auth").status == 401
