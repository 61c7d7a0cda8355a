"""The set-up of a machine by the extension, in a real VS Code: the catalogue, old processes, and clients' files."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.browser import Browser
from tests.support.editor import IN_AN_EDITOR, Editor, Window
from tests.support.gateway import BIN, Gateway, eventually, server
from tests.support.keepass import PASSWORD, database
from tests.support.mcp_registry import McpRegistry, package, server_json
from tests.support.real_servers import fixture
from tests.support.registry import Registry

pytestmark = IN_AN_EDITOR
KEY = {"name": "KEY", "description": "key of the API", "isRequired": True, "isSecret": True}
MODE = {"name": "MODE", "description": "how it tells", "isRequired": True, "choices": ["fast", "slow"]}
CLIENT = """\
import subprocess, sys
server = subprocess.Popen(sys.argv[1:], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
print(server.pid, flush=True)
sys.stdin.read()
server.kill()
"""


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A gateway with a registry of servers, on a machine whose user has Claude Code."""
    directory = tmp_path_factory.mktemp("set-up")
    mine = {"type": "stdio", "command": fixture()[0], "args": list(fixture()[1:])}
    (directory / ".claude.json").write_text(json.dumps({"mcpServers": {"mine": mine}}, indent=3))
    with McpRegistry() as registry, Registry() as npm:
        npm.publish("teller", "1.0.0")
        teller = package("npm", "teller", "1.0.0", environmentVariables=[KEY, MODE])
        registry.publish(server_json("io.github.o/teller", teller))
        environ = {"npm_config_registry": npm.url, "HOME": str(directory)}
        settings = {"registry_url": registry.url}
        with Gateway(directory, {"shared": server(fixture())}, settings=settings, environ=environ) as made:
            yield made


@pytest.fixture(scope="module")
def window(gateway: Gateway, browser: Browser) -> Iterator[Window]:
    """A window that shows the views of the extension."""
    with Editor(gateway.directory, gateway.home) as editor:
        made = editor.window(browser, "project")
        made.run("await vscode.commands.executeCommand('workbench.view.extension.mcpgateway')")
        made.has_row("shared")
        yield made


def _cli(gateway: Gateway, *words: str) -> None:
    argv = [str(BIN / "mcpgateway"), "--home", str(gateway.home), "--json", *words]
    environ = {"PATH": "/usr/bin:/bin", "HOME": str(gateway.directory), "MCPGATEWAY_RESTORE_AFTER": "0"}
    subprocess.run(argv, env=environ, check=True, capture_output=True, timeout=120)


class LookTests:
    """The item of the status bar."""

    def test_its_hover(self, window: Window) -> None:
        """Servers, processes and memory are told at a glance."""
        window.hovers_over_bar()
        window.sees("0 of 1 server running, 0 processes")
        window.sees("in use by the gateway")


class CatalogueTests:
    """Servers that are installed by name."""

    def test_installed(self, window: Window, gateway: Gateway) -> None:
        """A server is found by words, asks for inputs, is installed after a yes, and keeps its secret apart."""
        window.begin("addFromCatalogue")
        window.sees("Add a Server from the Catalogue")
        window.types("teller")
        window.sees("io.github.o/teller")
        window.accepts()
        window.sees("io.github.o/teller: KEY")
        window.answer("hush hush")
        window.sees("how it tells")
        window.answer("slow")
        window.press("Install", ".monaco-dialog-box")
        window.has_row("teller, ")
        entry = json.loads(gateway.config.read_text())["servers"]["teller"]
        assert entry["env"] == {"KEY": "${TELLER_KEY}", "MODE": "slow"}


class ClientTests:
    """Clients' files, which others change, too."""

    def test_old_processes(self, window: Window, gateway: Gateway, tmp_path: Path) -> None:
        """A server that a client has begun itself is shown with its memory, and ended after a yes only."""
        window.has_row("Claude Code, does not use the gateway, 1 server of its own")
        client = tmp_path / "claude"
        client.write_text(CLIENT)
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        with subprocess.Popen([sys.executable, client, *fixture()], **pipes) as user:  # type: ignore[call-overload]
            pid = int(user.stdout.readline())
            _cli(gateway, "clients", "apply", "claude-code", "--yes")
            window.has_row("Claude Code, ", "by the gateway")  # the change of another program is followed
            window.begin("setUpProcesses")
            window.sees("End 1 old process of clients, ")
            window.sees(f"mine of claude (process {pid}), ")
            window.press("Cancel", ".monaco-dialog-box")
            assert Path(f"/proc/{pid}").exists()
            window.begin("setUpProcesses")
            window.press("End Them", ".monaco-dialog-box")
            eventually(lambda: not _runs(pid), "it is ended")
            user.stdin.close()
        _cli(gateway, "clients", "undo", "claude-code", "--yes")
        window.has_row("Claude Code, does not use the gateway")


class SecretTests:
    """The secrets of a KeePass database."""

    def test_keepass(self, window: Window, gateway: Gateway, tmp_path: Path) -> None:
        """The password is asked for without being seen; secrets go into the gateway's file of values, and no other."""
        vault = tmp_path / "vault.kdbx"
        database(vault)
        window.begin("importKeepass")
        window.answer(str(vault))
        window.answer("Into the gateway's file of values")
        window.sees(f"The password of {vault}")
        window.answer(PASSWORD)
        eventually(lambda: "The secrets of 2 servers" in window.text(), "the names are told")
        assert "GITHUB_PASSWORD, GITHUB_TOKEN, GITHUB_USER in " in window.text()
        assert "ghp_0123456789" not in window.text()
        assert "GITHUB_TOKEN=" in (gateway.home / ".env").read_text()
        assert not (window.folder / ".env").exists()
        assert PASSWORD not in (gateway.directory / "editor.log").read_text()


def _runs(pid: int) -> bool:
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return False
