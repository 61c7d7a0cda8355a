"""The extension in a real VS Code: what its user sees, and what the gateway says of the same."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from tests.support.browser import LIMIT_S, Browser
from tests.support.editor import IN_AN_EDITOR, SPDLOG, Editor, Window
from tests.support.gateway import Gateway, eventually, server
from tests.support.real_servers import fixture

pytestmark = IN_AN_EDITOR


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A gateway with servers in several states, two of which are a group, on a machine with a client."""
    servers = {
        "shared": server(fixture()),
        "switched": server(fixture(), enabled=False),
        "broken": server(["/nowhere/server"]),
        "vsp-D10-100": server(fixture()),
        "sap-gui-D10-100": server(fixture()),
    }
    directory = tmp_path_factory.mktemp("gateway")
    (directory / ".cursor").mkdir()
    (directory / ".cursor" / "mcp.json").write_text(
        json.dumps({"mcpServers": {"notes": {"command": fixture()[0], "args": fixture()[1:]}}}, indent=3)
    )
    settings = {"registry_url": "", "presets": ["sap"]}
    with Gateway(directory, servers, settings=settings) as made:
        yield made


@pytest.fixture(scope="module")
def editor(gateway: Gateway) -> Iterator[Editor]:
    """An editor on the gateway's machine."""
    with Editor(gateway.directory, gateway.home) as made:
        yield made


@pytest.fixture(scope="module")
def window(editor: Editor, browser: Browser) -> Window:
    """A window that shows the views of the extension."""
    made = editor.window(browser, "project")
    made.run("await vscode.commands.executeCommand('workbench.view.extension.mcpgateway')")
    made.has_row("shared")
    return made


class ViewTests:
    """The views, by the words of a screen reader."""

    def test_servers(self, window: Window) -> None:
        """Servers are shown with their states, groups with that of their worst server, and the rest as a number."""
        for words in (
            ("shared, ready",),
            ("switched, off",),
            ("broken", "the program /nowhere/server is not there"),
            ("D10 client 100, group of 2 servers, ready",),
            ("error: broken:",),
        ):
            window.has_row(*words)
        assert "MCP 0/5" in window.bar()

    def test_a_start_and_a_stop(self, window: Window, gateway: Gateway) -> None:
        """A server that is started runs in the gateway and in the view, with its tools, and is ready when stopped."""
        window.command("startServer", "shared")
        window.has_row("shared, running, 25 tools")
        eventually(lambda: "MCP 1/5" in window.bar(), "the status bar counts it")
        assert gateway.backend("shared")["status"] == "running"
        window.command("stopServer", "shared")
        window.has_row("shared, ready")
        assert gateway.backend("shared")["pids"] == []

    def test_a_group(self, window: Window, gateway: Gateway) -> None:
        """A command on a group is for all its servers."""
        group = {"id": "group", "label": "", "servers": ["vsp-D10-100", "sap-gui-D10-100"]}
        window.command("startServer", group)
        window.has_row("D10 client 100, group of 2 servers, running")
        assert all(gateway.backend(name)["status"] == "running" for name in group["servers"])
        window.command("stopServer", group)
        window.has_row("D10 client 100, group of 2 servers, ready")

    def test_a_switch(self, window: Window, gateway: Gateway) -> None:
        """A server is switched on and off for good."""
        window.command("switchOn", "switched")
        window.has_row("switched, ready")
        window.command("switchOff", "switched")
        window.has_row("switched, off")
        assert not gateway.backend("switched")["enabled"]

    def test_a_failed_start(self, window: Window) -> None:
        """A start that fails says why, and offers to explain it."""
        window.begin("startServer", "broken")
        window.sees("broken could not be started: the program /nowhere/server is not there")
        window.press("Why?", ".notifications-toasts")
        window.sees("broken does not work")
        window.press("Cancel", ".monaco-dialog-box")

    def test_a_pick_from_the_palette(self, window: Window) -> None:
        """A command that needs a server asks for one where it has no row."""
        window.begin("restartServer")
        window.answer("shared")
        window.has_row("shared, running")

    def test_added_renamed_and_removed(self, window: Window, gateway: Gateway) -> None:
        """A server is added by its command line, renamed, and removed after a question."""
        window.begin("addServer", " ".join(fixture()))
        window.answer("added")
        window.has_row("added, running")
        window.begin("renameServer", "added")
        window.answer("renamed")
        window.has_row("renamed, ")
        window.has_no_row("added, ")
        window.begin("removeServer", "renamed")
        window.press("Remove", ".monaco-dialog-box")
        window.has_no_row("renamed, ")
        assert "renamed" not in [each["name"] for each in gateway.health()["backends"]]


OUTPUT = """return vscode.workspace.textDocuments.filter(each => each.uri.scheme === "output")
    .map(each => each.getText()).join("")"""


class ClientTests:
    """Clients' files."""

    def test_enrolled_and_restored(self, window: Window, gateway: Gateway) -> None:
        """The change of a file is shown in a diff editor before it is made, and a restored file is as it was."""
        file = gateway.directory / ".cursor" / "mcp.json"
        before = file.read_bytes()
        window.has_row("Cursor, does not use the gateway, 1 server of its own")
        row = {"id": "", "label": "", "client": {"tool": "cursor", "path": str(file), "label": "Cursor"}}
        window.begin("enrolClient", row)
        window.sees("Enrol Cursor?")
        tab = window.run("return vscode.window.tabGroups.activeTabGroup.activeTab.label")
        assert tab == "Cursor: through the gateway"
        assert file.read_bytes() == before
        # A part of a file is not checked as a whole one.
        shown = window.run("return vscode.window.visibleTextEditors.map(each => each.document.languageId)")
        assert shown == ["plaintext", "plaintext"]
        window.press("Enrol", ".monaco-dialog-box")
        window.has_row("Cursor, ", "by the gateway")
        assert window.run("return vscode.window.tabGroups.all.flatMap(each => each.tabs).length") == 0
        assert "connect" in file.read_text() or str(gateway.port) in file.read_text()
        window.begin("restoreClient", row)
        window.press("Restore", ".monaco-dialog-box")
        window.has_row("Cursor, does not use the gateway")
        assert file.read_bytes() == before

    def test_imported(self, window: Window, gateway: Gateway) -> None:
        """Servers of a client's file are shown, and then are the gateway's own; the file stays."""
        file = window.folder / ".mcp.json"
        file.write_text(
            json.dumps(
                {"mcpServers": {"taken": {"command": "/usr/bin/true", "env": {"API_TOKEN": "s3cr3t-value"}}}}
            )
        )
        before = file.read_bytes()
        window.begin("importClients")
        window.picks("Claude Code")
        window.sees("Import these servers?")
        shown = window.text()
        assert "taken:" in shown
        assert "s3cr3t-value" not in shown
        assert "taken" not in [each["name"] for each in gateway.health()["backends"]]
        window.press("Import", ".monaco-dialog-box")
        window.has_row("taken, ready")
        assert file.read_bytes() == before
        window.begin("removeServer", "taken")
        window.press("Remove", ".monaco-dialog-box")
        window.has_no_row("taken, ")
        file.unlink()

    def test_instructed(self, window: Window) -> None:
        """Instructions for agents are shown, written into files of the project, and removed without a trace."""
        before = sorted(window.folder.rglob("*"))
        window.begin("instructAgents")
        window.answer("For the project")
        window.sees("Write instructions for agents into files of project?")
        assert "MCP servers" in window.text()
        window.press("Write", ".monaco-dialog-box")
        eventually((window.folder / "AGENTS.md").exists, "the text is written")
        eventually(
            lambda: "AGENTS.md (" in window.text(),
            "the files are listed",
        )
        for each in (".github/prompts/gateway-find.prompt.md", ".cursor/commands/gateway-find.md"):
            assert (window.folder / each).exists()
        window.begin("instructAgents")
        window.answer("Remove")
        window.press("Remove", ".monaco-dialog-box")
        eventually(lambda: sorted(window.folder.rglob("*")) == before, "nothing of it is left")


class EditorTests:
    """What belongs to the editor."""

    def test_every_command(self, window: Window) -> None:
        """Every command of the manifest is registered."""
        missing = window.run("""
            const { commands } = vscode.extensions.getExtension("mcpgateway.mcpgateway").packageJSON.contributes
            const known = new Set(await vscode.commands.getCommands(true))
            return commands.map(each => each.command).filter(each => !known.has(each))""")
        assert missing == []

    @pytest.mark.skipif(not SPDLOG.exists(), reason="log channels are empty: there was no compiler")
    def test_a_log(self, window: Window) -> None:
        """The log of a server is a log channel, which grows."""
        window.begin("showLogs", "sap-gui-D10-100")
        eventually(lambda: "sap-gui-D10-100 is served at" in window.run(OUTPUT), "the log is there")
        window.command("startServer", "sap-gui-D10-100")
        window.command("stopServer", "sap-gui-D10-100")
        eventually(lambda: "a session of sap-gui-D10-100 ends" in window.run(OUTPUT), "it has grown")
        window.run("await vscode.commands.executeCommand('workbench.action.closePanel')")

    def test_settings(self, window: Window) -> None:
        """The status bar follows its setting, and groups move into a view of their own."""
        set_to = "await vscode.workspace.getConfiguration().update('mcpgateway.{}', {}, 1)"
        window.run(set_to.format("statusBar", "'never'"))
        eventually(lambda: not window.bar(), "the status bar is hidden")
        window.run(set_to.format("statusBar", "undefined"))
        window.run(set_to.format("groups.view", "'own'"))
        window.sees("SAP Systems")
        window.run(set_to.format("groups.view", "undefined"))
        eventually(lambda: "MCP" in window.bar(), "the status bar is back")


class ChatTests:
    """The gateway in the chat of VS Code."""

    def test_the_tools(self, window: Window, gateway: Gateway) -> None:
        """The chat lists the gateway's tools and calls them, in a session of the window and its folder."""
        window.has_row("This window, ", "tools")
        window.begin("startChat")
        eventually(window.chat_tools, "it has the gateway's tools")
        (search,) = (each for each in window.chat_tools() if each.endswith("gateway_search"))
        found = window.run(f"""
            const options = {{ input: {{ query: "echo" }}, toolInvocationToken: undefined }}
            return JSON.stringify((await vscode.lm.invokeTool({json.dumps(search)}, options)).content)""")
        assert "echo" in found
        sessions = _asked(gateway, "/api/v1/sessions?limit=100")["sessions"]
        assert str(window.folder) in [each["workspace"] for each in sessions]
        window.has_row("session of ", "code-server")

    def test_a_file_that_leads_here(self, window: Window, gateway: Gateway) -> None:
        """The chat is offered nothing where an mcp.json of the project leads to the gateway already."""
        file = window.folder / ".vscode" / "mcp.json"
        file.parent.mkdir()
        file.write_text(json.dumps({"servers": {"all": {"type": "http", "url": f"{gateway.url}/mcp"}}}))
        window.has_row("This window, uses the gateway by .vscode/mcp.json")
        file.unlink()
        window.has_row("This window, ", "tools")

    def test_a_closed_terminal(self, window: Window, gateway: Gateway) -> None:
        """The session of a client in a terminal ends with the terminal."""
        window.run("""
            const terminal = vscode.window.createTerminal({ name: "client", shellPath: "/bin/sh" })
            globalThis.shell = await terminal.processId""")
        pid = window.run("return globalThis.shell")
        body = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": INITIALIZE}
        _asked(gateway, "/shared/mcp", body, {"X-Client-Pid": str(pid)})
        eventually(lambda: pid in _pids(gateway), "the client has a session")
        window.run("vscode.window.terminals.find(each => each.name === 'client').dispose()")
        eventually(lambda: pid not in _pids(gateway), "it has none any more")


class SetUpTests:
    """The set-up, and the project's file."""

    def test_a_project(self, window: Window, gateway: Gateway) -> None:
        """A project that does not use the gateway has no item in the status bar and no tools in its chat."""
        window.begin("setUpProject")
        window.answer("No")
        file = window.folder / ".vscode" / "mcpgateway.json"
        window.has_row("This window, does not use the gateway")
        eventually(lambda: not window.bar(), "the status bar is hidden")
        assert json.loads(file.read_text()) == {"enabled": False}
        file.unlink()
        seed = window.folder / ".vscode" / "immorterm-config.json"
        seed.write_text(json.dumps({"enabled": True}))
        window.has_row("This window, ", "tools")
        eventually(lambda: "MCP" in window.bar(), "the status bar is back")
        seed.unlink()

    def test_the_walk(self, window: Window, gateway: Gateway) -> None:
        """The set-up asks about the start, clients and the project, shows each change, and ends with a summary."""
        file = gateway.directory / ".cursor" / "mcp.json"
        before = file.read_bytes()
        own = window.folder / ".mcp.json"
        own.write_text(json.dumps({"mcpServers": {"notes": {"command": "/usr/bin/true"}}}))
        window.begin("setUp")
        window.answer("No")
        window.sees("2/5 Which clients are to use the gateway?")
        window.sees(f"1 server in {own}")
        own.unlink()
        window.run("await vscode.commands.executeCommand('workbench.action.acceptSelectedQuickOpenItem')")
        window.sees("3/5 Does this project use the gateway?")
        window.answer("Yes")
        window.sees("5/5 MCP Gateway is set up")
        window.press("Show Servers", ".monaco-dialog-box")
        assert file.read_bytes() == before
        (window.folder / ".vscode" / "mcpgateway.json").unlink()


INITIALIZE = {
    "protocolVersion": "2025-06-18",
    "capabilities": {},
    "clientInfo": {"name": "in-a-terminal", "version": "1"},
}


def _pids(gateway: Gateway) -> list[int]:
    return [each["pid"] for each in _asked(gateway, "/api/v1/sessions?limit=100")["sessions"]]


def _asked(
    gateway: Gateway, path: str, body: object = None, headers: Mapping[str, str] | None = None
) -> dict[str, Any]:
    usual = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(gateway.url + path, data, {**usual, **(headers or {})})
    with urllib.request.urlopen(request, timeout=LIMIT_S) as answer:
        found: dict[str, Any] = json.loads(answer.read().decode().rpartition("data: ")[2])
    return found
