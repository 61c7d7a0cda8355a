"""The extension in a real VS Code: what its user sees, and what the gateway says of the same."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.support.browser import Browser
from tests.support.editor import IN_AN_EDITOR, Editor, Window
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

    def test_a_tool(self, window: Window) -> None:
        """A tool is called with the arguments that its user types, and its answer is shown."""
        window.begin("tryTool", {"id": "tool", "label": "", "servers": ["shared"], "tool": "echo"})
        window.choose_all()
        window.answer("hello from the editor")
        window.press("Call", ".monaco-dialog-box")
        eventually(
            lambda: "hello from the editor" in (window.run(ACTIVE_TEXT) or ""), "the answer is in an editor"
        )


ACTIVE_TEXT = "return vscode.window.activeTextEditor?.document.getText() ?? null"


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
        window.press("Enrol", ".monaco-dialog-box")
        window.has_row("Cursor, ", "by the gateway")
        assert "connect" in file.read_text() or str(gateway.port) in file.read_text()
        window.begin("restoreClient", row)
        window.press("Restore", ".monaco-dialog-box")
        window.has_row("Cursor, does not use the gateway")
        assert file.read_bytes() == before


class EditorTests:
    """What belongs to the editor."""

    def test_every_command(self, window: Window) -> None:
        """Every command of the manifest is registered."""
        missing = window.run("""
            const { commands } = vscode.extensions.getExtension("mcpgateway.mcpgateway").packageJSON.contributes
            const known = new Set(await vscode.commands.getCommands(true))
            return commands.map(each => each.command).filter(each => !known.has(each))""")
        assert missing == []

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
