"""Pages of the dashboard in panels of a real VS Code: they work there without a network and without a token."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator

import pytest

from tests.support.browser import Browser
from tests.support.dashboard import AXE, VIOLATIONS
from tests.support.editor import IN_AN_EDITOR, Editor, Window
from tests.support.gateway import Gateway, eventually, server
from tests.support.real_servers import fixture

pytestmark = IN_AN_EDITOR
RESULT = "[...document?.querySelectorAll('pre, .result') ?? []].map(each => each.innerText).join()"
AT = """document?.querySelector(".tabs [aria-current]")?.innerText.toLowerCase()"""
THEMES = {
    "Default Light Modern": "vscode-light",
    "Default Dark Modern": "vscode-dark",
    "Default High Contrast": "vscode-high-contrast",
}
TYPE = """(() => {
    const field = document?.querySelector("form input:not([type=checkbox]), form textarea")
    if (!field) return false
    field.value = TEXT
    field.dispatchEvent(new window.Event("input", {bubbles: true}))
    return true
})()"""


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A gateway with a server that works and one that does not."""
    servers = {"shared": server(fixture()), "broken": server(["/nowhere/server"])}
    with Gateway(tmp_path_factory.mktemp("gateway"), servers, settings={"registry_url": ""}) as made:
        yield made


@pytest.fixture(scope="module")
def window(gateway: Gateway, browser: Browser) -> Iterator[Window]:
    """A window of an editor on the gateway's machine."""
    with Editor(gateway.directory, gateway.home) as editor:
        made = editor.window(browser, "project")
        made.run("await vscode.commands.executeCommand('workbench.view.extension.mcpgateway')")
        made.has_row("shared")
        yield made


class PanelTests:
    """Panels, by their texts."""

    def test_a_server(self, window: Window, gateway: Gateway) -> None:
        """The page of a server shows its state, operates it, and follows what happens to it."""
        window.command("showDetails", "shared")
        window.panel_sees("shared is stopped")
        window.panel_press("Start")
        window.panel_sees("running")
        assert gateway.backend("shared")["status"] == "running"
        window.command("stopServer", "shared")
        window.panel_sees("ready")
        window.panel_press("Logs")
        eventually(
            lambda: window.in_panel("Boolean(document?.querySelector('[role=log]'))"), "the log is there"
        )

    def test_a_tool(self, window: Window) -> None:
        """A tool is called with what its user types, and its answer is shown."""
        window.command("startServer", "shared")
        window.has_row("shared, running, 25 tools")
        window.command("tryTool", {"id": "tool", "label": "", "servers": ["shared"], "tool": "echo"})
        window.panel_sees("Call")
        typed = TYPE.replace("TEXT", '"hello from the panel"')
        eventually(lambda: window.in_panel(typed), "a field for the argument")
        window.panel_press("Call")
        window.panel_press("Call it")
        eventually(
            lambda: "hello from the panel" in (window.in_panel(RESULT) or ""), "the answer is in the panel"
        )

    def test_a_call(self, window: Window) -> None:
        """A call is shown with its times, and a link leads from there to the calls of all servers."""
        window.begin("showCall")
        window.answer("shared echo")
        window.panel_sees("Where its time went")
        window.panel_press("Calls")
        eventually(
            lambda: window.in_panel("document?.querySelector('h1')?.innerText") == "Calls",
            "the calls are shown",
        )

    def test_a_gateway_that_stops(self, window: Window, gateway: Gateway) -> None:
        """A page says that the gateway does not answer, and goes on by itself when it does."""
        window.command("showDetails", "shared")
        window.panel_sees("shared")
        gateway.stop()
        window.panel_sees("The gateway does not answer")
        gateway.start()
        eventually(
            lambda: "does not answer" not in window.in_panel("document.body.innerText"), "the page goes on"
        )
        window.panel_press("Start")
        window.panel_sees("running")

    def test_a_page_reaches_nothing_itself(self, window: Window) -> None:
        """The page's policy refuses requests of its own, and markup as scripts."""
        window.command("showDetails", "broken")
        window.panel_sees("/nowhere/server")
        asked = "window.fetch('/healthz').then(() => 'came', () => 'refused')"
        assert window.in_panel(asked) == "refused"
        written = "(() => { try { document.body.innerHTML = '<p>' } catch (why) { return why.name } })()"
        assert window.in_panel(written) == "TypeError"

    def test_an_accessible_page(self, window: Window) -> None:
        """Axe finds nothing in a panel, in a light and in a dark theme."""
        window.run("await vscode.commands.executeCommand('workbench.action.closeAllEditors')")
        window.command("showDetails", "broken")
        for theme, kind in THEMES.items():
            window.run(
                f"await vscode.workspace.getConfiguration().update('workbench.colorTheme', '{theme}', 1)"
            )
            shown = f"Boolean(document?.querySelector('body.{kind} .panel.live .advice'))"
            eventually(lambda shown=shown: window.in_panel(shown), "the panel is shown in the theme")
            assert window.violations_in_panel(AXE.read_text()) == []

    def test_accessible_views(self, window: Window, browser: Browser) -> None:
        """Axe finds nothing in the rows of the views, whose words for a screen reader have commas between them."""
        options = "{rules: {'label-content-name-mismatch': {enabled: false}}}"
        browser.run(f"{AXE.read_text()};0")
        assert browser.run(VIOLATIONS.replace("run()", f"run({{include: ['.pane-body']}}, {options})")) == []


class FileTests:
    """Help in files."""

    def test_a_client_file(self, window: Window) -> None:
        """A click above the servers of a project's file lets the gateway serve them, and the next takes that back."""
        file = window.folder / ".vscode" / "mcp.json"
        file.parent.mkdir(exist_ok=True)
        before = json.dumps({"servers": {"notes": {"command": fixture()[0], "args": fixture()[1:]}}})
        file.write_text(before)
        window.run(f"await vscode.window.showTextDocument(vscode.Uri.file({json.dumps(str(file))}))")
        window.click("Let the gateway serve this server")
        window.press("Enrol", ".monaco-dialog-box")
        eventually(lambda: file.read_text() != before, "the file is enrolled")
        window.run(f"await vscode.window.showTextDocument(vscode.Uri.file({json.dumps(str(file))}))")
        window.click("✓ Uses the gateway")
        window.press("Restore", ".monaco-dialog-box")
        eventually(lambda: file.read_text() == before, "the file is restored")

    def test_a_configuration_file(self, window: Window) -> None:
        """A key that does not exist is told while it is typed."""
        file = window.folder / ".mcp-gateway" / "config.json"
        file.parent.mkdir()
        file.write_text('{"gateway": {"nonsense": 1}}')
        window.run(f"await vscode.window.showTextDocument(vscode.Uri.file({json.dumps(str(file))}))")
        eventually(lambda: "Property nonsense is not allowed" in faults(window), "the schema is known")

    def test_faults_of_the_gateway(self, window: Window, gateway: Gateway) -> None:
        """A fault that the gateway finds in its configuration is shown in the file, until it is mended."""
        right = gateway.config.read_text()
        gateway.config.write_text(right.replace('"registry_url"', '"registry_urll"'))
        eventually(lambda: "registry_urll" in faults(window), "the fault is shown")
        gateway.config.write_text(right)
        eventually(lambda: "registry_urll" not in faults(window), "the fault is gone")


def faults(window: Window) -> str:
    """Return what the editor finds in files."""
    script = "return vscode.languages.getDiagnostics().flatMap(([, found]) => found.map(each => each.message)).join()"
    found: str = window.run(script)
    return found


class SecretTests:
    """The secrets of servers."""

    def test_a_secret(self, window: Window, gateway: Gateway) -> None:
        """A secret is typed without being seen, and is in the gateway's file of values: in no other file."""
        window.begin("setSecret", "shared")
        window.answer("Another variable")
        window.sees("The Name of the Variable")
        window.answer("ITS_TOKEN")
        window.sees("shared: ITS_TOKEN")
        window.answer("s3cret-of-a-server")
        kept = gateway.home / ".env"
        eventually(lambda: kept.exists() and "s3cret-of-a-server" in kept.read_text(), "it is kept")
        eventually(lambda: "ITS_TOKEN" in gateway.config.read_text(), "the entry refers to it")
        assert "s3cret-of-a-server" not in gateway.config.read_text()
        settings = gateway.directory / "data" / "User" / "settings.json"
        assert "s3cret-of-a-server" not in settings.read_text()


# A VS Code in a browser writes down every five seconds which editors are open.
SAVED_S = 12


class WindowTests:
    """A window that is loaded again."""

    def test_the_same_page(self, window: Window) -> None:
        """The panel of a window is there again, with the page that it showed last."""
        window.run("await vscode.commands.executeCommand('workbench.action.closeAllEditors')")
        window.command("showDetails", "broken")
        window.panel_sees("/nowhere/server")
        window.panel_press("Settings")
        eventually(lambda: window.in_panel(AT) == "settings", "another page of the server")
        time.sleep(SAVED_S)
        window.reload()
        eventually(lambda: window.in_panel(AT) == "settings", "the page is there again")
