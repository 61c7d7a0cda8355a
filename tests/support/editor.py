"""A real VS Code without a screen: its windows as their users see them, and from within, as extensions do."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Self
from urllib.parse import quote

import pytest

from tests.support.browser import CHROMIUM, LIMIT_S, Browser
from tests.support.dashboard import VIOLATIONS
from tests.support.gateway import BIN, eventually
from tests.support.ports import free_port

BUILD = Path(__file__).parents[2] / "build"
NODE = BUILD / "vscode" / "node_modules" / "node" / "bin" / "node"
SERVER = BUILD / "vscode" / "cs" / "node_modules" / "code-server" / "out" / "node" / "entry.js"
MODULES = BUILD / "vscode/cs/node_modules/code-server/lib/vscode/node_modules"
SPDLOG = MODULES / "@vscode" / "spdlog" / "build" / "Release" / "spdlog.node"
EXTENSIONS = (BUILD / "mcpgateway.vsix", BUILD / "vscode" / "tests.vsix")
IN_AN_EDITOR = [
    pytest.mark.functional,
    pytest.mark.skipif(not CHROMIUM, reason="there is no Chromium: make test-browser installs it"),
    pytest.mark.skipif(
        not all(each.exists() for each in (NODE, SERVER, *EXTENSIONS)),
        reason="there is no VS Code, or no extension for it: make test-vscode has both",
    ),
]
WINDOW_LIMIT_S = 240.0  # a window is half a dozen processes, and a page of 20 MB
SETTINGS: Mapping[str, Any] = {
    "security.workspace.trust.enabled": False,
    "chat.mcp.access": "all",
    "telemetry.telemetryLevel": "off",
    "workbench.startupEditor": "none",
    "workbench.enableExperiments": False,
    "workbench.secondarySideBar.defaultVisibility": "hidden",
    "workbench.reduceMotion": "on",
    "extensions.autoUpdate": False,
    "extensions.autoCheckUpdates": False,
    "extensions.ignoreRecommendations": True,
    "update.mode": "none",
    "remote.autoForwardPorts": False,  # it would offer every port of the machine
    "files.simpleDialog.enable": True,
    "git.enabled": False,
}
ROWS = """[...document.querySelectorAll('.pane-body .monaco-list-row')]
    .map(each => each.getAttribute('aria-label') ?? '')"""
TEXT = "(document.body?.innerText ?? '')"
# The document of the panel that is shown: a page within a page of the editor's.
PANEL = """[...document.querySelectorAll('iframe.webview')]
    .filter(each => each.checkVisibility({visibilityProperty: true}))
    .map(each => each.contentDocument?.querySelector('#active-frame'))
    .find(each => each?.contentDocument?.body)"""


class Editor:
    """A VS Code for a directory of tests, which is the home of its user, with the program where installers put it.

    :param home: the gateway's home.
    :param settings: the user's settings, besides those that keep it quiet.
    :param extension: the extension, if not that of the checkout.
    """

    def __init__(
        self,
        directory: Path,
        home: Path,
        settings: Mapping[str, Any] | None = None,
        extension: Path = EXTENSIONS[0],
    ) -> None:
        self.directory = directory
        self._extensions = (extension, *EXTENSIONS[1:])
        self.port = free_port()
        self._windows = directory / "windows"
        self._data = directory / "data"
        self._process: subprocess.Popen[bytes] | None = None
        environ = {"PATH": f"{NODE.parent}:{os.environ['PATH']}", "HOME": str(directory)}
        environ |= {"MCPGATEWAY_HOME": str(home), "MCPGATEWAY_TEST_WINDOWS": str(self._windows)}
        self._environ = environ | {"LANG": "C.UTF-8", "MCPGATEWAY_RESTORE_AFTER": "0"}
        for each in (self._windows, self._data / "User", directory / "ext"):
            each.mkdir(parents=True, exist_ok=True)
        self.settings(settings or {})
        # A login shell has a PATH of its own, so the program is where installers put it.
        program = directory / ".local" / "bin" / "mcpgateway"
        program.parent.mkdir(parents=True, exist_ok=True)
        program.symlink_to(BIN / "mcpgateway")

    def settings(self, values: Mapping[str, Any]) -> None:
        """Write the user's settings: those of the machine stand in a file of their own, and each reads its own."""
        for place in ("User", "Machine"):
            (self._data / place).mkdir(exist_ok=True)
            (self._data / place / "settings.json").write_text(json.dumps({**SETTINGS, **values}))

    @property
    def _argv(self) -> list[str]:
        usual = ["--config", os.devnull, "--user-data-dir", str(self._data)]
        return [str(NODE), str(SERVER), *usual, "--extensions-dir", str(self.directory / "ext")]

    def __enter__(self) -> Self:
        wanted = [word for each in self._extensions for word in ("--install-extension", str(each))]
        subprocess.run(
            [*self._argv, *wanted], env=self._environ, check=True, capture_output=True, timeout=WINDOW_LIMIT_S
        )
        options = ["--auth", "none", "--bind-addr", f"127.0.0.1:{self.port}", "--disable-telemetry"]
        options += ["--disable-update-check", "--disable-workspace-trust"]
        with (self.directory / "editor.log").open("wb") as log:
            self._process = subprocess.Popen(
                [*self._argv, *options], env=self._environ, stdout=log, stderr=log, start_new_session=True
            )
        _begun(self._answers, "the editor answers")
        return self

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/healthz", timeout=LIMIT_S):
                return True
        except OSError:
            return False

    def __exit__(self, *_: object) -> None:
        assert self._process is not None
        for number in (signal.SIGTERM, signal.SIGKILL):
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, number)
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(10)
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)

    def window(self, browser: Browser, name: str) -> Window:
        """Open a window for a folder of a name in the browser's present tab."""
        folder = self.directory / name
        folder.mkdir(exist_ok=True)
        return self._opened(browser, folder, f"folder={quote(str(folder))}")

    def workspace(self, browser: Browser, *names: str) -> Window:
        """Open a window for several folders of these names in the browser's present tab."""
        folders = [self.directory / each for each in names]
        for each in folders:
            each.mkdir(exist_ok=True)
        file = self.directory / f"{'-'.join(names)}.code-workspace"
        file.write_text(json.dumps({"folders": [{"path": str(each)} for each in folders]}))
        return self._opened(browser, folders[0], f"workspace={quote(str(file))}")

    def _opened(self, browser: Browser, folder: Path, query: str) -> Window:
        name = folder.name
        before = set(self._windows.glob(f"{name}-*.sock"))
        browser.ask("Page.bringToFront")  # a page behind another one is not drawn
        browser.ask(
            "Emulation.setDeviceMetricsOverride", width=1280, height=900, deviceScaleFactor=1, mobile=False
        )
        browser.go(f"http://127.0.0.1:{self.port}/?{query}")
        found: list[Path] = []

        def opened() -> bool:
            found[:] = sorted(set(self._windows.glob(f"{name}-*.sock")) - before)
            return bool(found)

        _begun(opened, f"the window {name} has extensions")
        return Window(browser, found[0], folder)


def _begun(holds: Callable[[], bool], what: str) -> None:
    ends = time.monotonic() + WINDOW_LIMIT_S
    while not holds():
        assert time.monotonic() < ends, f"never: {what}"
        time.sleep(0.1)


class Window:
    """A window of the editor.

    :ivar folder: the folder that is open in it.
    """

    def __init__(self, browser: Browser, path: Path, folder: Path) -> None:
        self.browser = browser
        self.folder = folder
        self._link = socket.socket(socket.AF_UNIX)
        self._link.settimeout(LIMIT_S)
        self._link.connect(str(path))
        self._lines = self._link.makefile("r")

    def reload(self) -> None:
        """Load the window again; the extensions of the former page are gone."""
        self.browser.run("window.isFormer = true")
        self.browser.ask("Page.reload")

        def is_another() -> bool:
            # A page that is being left answers with an error.
            with suppress(AssertionError):
                return not self.browser.run("Boolean(window.isFormer)")
            return False

        _begun(is_another, "the page is another one")

    def send(self, script: str) -> None:
        """Run a script among the extensions, with the variable ``vscode``, and do not wait for it."""
        self._link.sendall(json.dumps(script).encode() + b"\n")

    def received(self) -> Any:
        """Return the value of the script that was sent first of those that have not been waited for."""
        found = json.loads(self._lines.readline())
        assert "error" not in found, found["error"]
        return found["value"]

    def run(self, script: str) -> Any:
        """Run a script among the extensions; return its value."""
        self.send(script)
        return self.received()

    def command(self, name: str, *arguments: object) -> Any:
        """Run a command of the extension to its end."""
        given = "".join(f", {json.dumps(each)}" for each in arguments)
        return self.run(f"return await vscode.commands.executeCommand('mcpgateway.{name}'{given}) ?? null")

    def begin(self, name: str, *arguments: object) -> None:
        """Run a command that asks the user."""
        given = "".join(f", {json.dumps(each)}" for each in arguments)
        self.run(f"void vscode.commands.executeCommand('mcpgateway.{name}'{given})")

    def chat_tools(self) -> list[str]:
        """The tools of the gateway that the chat has."""
        found: list[str] = self.run("return vscode.lm.tools.map(each => each.name)")
        return [each for each in found if "gateway" in each]

    def text(self) -> str:
        """Return the text of the file that is edited; empty where none is."""
        found: str = self.run("return vscode.window.activeTextEditor?.document.getText() ?? ''")
        return found

    def rows(self) -> list[str]:
        """Return the rows of all views that are seen, as a screen reader reads them."""
        found: list[str] = self.browser.run(ROWS)
        return found

    def has_row(self, *words: str) -> None:
        """Wait for a row with all of these words."""
        eventually(
            lambda: any(all(word in each for word in words) for each in self.rows()), f"a row with {words}"
        )

    def has_no_row(self, *words: str) -> None:
        """Wait until no row has all of these words."""
        eventually(
            lambda: not any(all(word in each for word in words) for each in self.rows()),
            f"no row with {words}",
        )

    def bar(self) -> str:
        """Return the text of the item in the status bar; empty where it is hidden."""
        found: str = self.browser.run(
            """[...document.querySelectorAll('.statusbar-item')].filter(each => each.id.includes('mcpgateway') &&
            each.offsetParent).map(each => each.innerText.trim()).join('|')"""
        )
        return found

    def in_panel(self, script: str) -> Any:
        """Run a script in the panel that is shown, with its ``window`` and ``document``; return its value."""
        wanted = f"({PANEL})?.contentWindow"
        return self.browser.run(f"(({{document}}, window) => {script})({wanted} ?? {{}}, {wanted})")

    def violations_in_panel(self, axe: str) -> Any:
        """Return what axe finds in the only panel, whose policy does not count for the checker."""
        frames = [self.browser.ask("Page.getFrameTree")["frameTree"]]
        for each in frames:
            frames += each.get("childFrames", [])
        (panel,) = (each["frame"]["id"] for each in frames if each["frame"].get("name") == "active-frame")
        world = self.browser.ask("Page.createIsolatedWorld", frameId=panel)["executionContextId"]
        script = {"expression": f"{axe};{VIOLATIONS}", "awaitPromise": True, "returnByValue": True}
        return self.browser.ask("Runtime.evaluate", contextId=world, **script)["result"]["value"]

    def panel_sees(self, text: str) -> None:
        """Wait for a text in the panel that is shown."""
        script = f"(document?.body?.innerText ?? '').includes({json.dumps(text)})"
        eventually(lambda: self.in_panel(script), f"{text} is in the panel")

    def panel_press(self, name: str) -> None:
        """Press a button or a link of the panel that is shown, by its words."""
        script = f"""(() => {{
            const named = [...document?.querySelectorAll("a, button") ?? []]
            const meant = named.find(each => each.innerText.trim() === {json.dumps(name)} && !each.disabled)
            meant?.click()
            return Boolean(meant)
        }})()"""
        eventually(lambda: self.in_panel(script), f"a button {name} in the panel")

    def sees(self, text: str) -> None:
        """Wait for a text anywhere in the window."""
        eventually(lambda: text in self.browser.run(TEXT), f"{text} is shown")

    def press(self, name: str, within: str = "body") -> None:
        """Press a button by its words."""
        script = f"""(() => {{
            const named = [...document.querySelectorAll({json.dumps(within)} + " :is(a, button, [role=button])")]
            const meant = named.find(each => each.innerText.trim() === {json.dumps(name)}
                || each.getAttribute("aria-label") === {json.dumps(name)})
            meant?.click()
            return Boolean(meant)
        }})()"""
        eventually(lambda: self.browser.run(script), f"a button {name}")

    def click(self, name: str) -> None:
        """Click on a link within a text by its words, as a mouse does."""
        script = f"""(() => {{
            const meant = [...document.querySelectorAll("a")].find(each => each.innerText === {json.dumps(name)})
            const {{x, y, width, height}} = meant?.getBoundingClientRect() ?? {{}}
            return width ? [x + width / 2, y + height / 2] : null
        }})()"""
        eventually(lambda: self.browser.run(script), f"a link {name}")
        x, y = self.browser.run(script)
        for kind in ("mouseMoved", "mousePressed", "mouseReleased"):
            self.browser.ask(
                "Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", buttons=1, clickCount=1
            )

    def types(self, text: str) -> None:
        """Type into the box of the editor that asks for something."""
        eventually(
            lambda: self.browser.run("Boolean(document.activeElement?.closest('.quick-input-widget'))"),
            "the editor asks for something",
        )
        self.browser.run("document.activeElement.select?.(); 0")
        self.browser.ask("Input.insertText", text=text)

    def answer(self, text: str) -> None:
        """Type into the box of the editor that asks for something, and confirm it."""
        self.types(text)
        self.key("Enter", 13)
        # The next answer is for another box.
        script = f"""(each => each?.closest('.quick-input-widget') && each.value === {json.dumps(text)})(
            document.activeElement)"""
        eventually(lambda: not self.browser.run(script), "the answer is taken")

    def picks(self, *labels: str) -> None:
        """Tick choices of the box of the editor that takes several, by their words, and confirm them."""
        for each in labels:
            script = f"""(() => {{
                const rows = [...document.querySelectorAll(".quick-input-list .monaco-list-row")]
                const box = rows.find(each => each.getAttribute("aria-label")?.includes({json.dumps(each)}))
                    ?.querySelector("[role=checkbox], input[type=checkbox]")
                if (box && box.ariaChecked !== "true" && !box.checked) box.click()
                return Boolean(box)
            }})()"""
            eventually(lambda script=script: self.browser.run(script), f"a choice {each}")
        self.accepts()

    def accepts(self) -> None:
        """Confirm the box of the editor that asks for something."""
        self.run("await vscode.commands.executeCommand('workbench.action.acceptSelectedQuickOpenItem')")

    def hovers_over_bar(self) -> None:
        """Rest with the mouse on the item in the status bar."""
        script = """(each => {
            const {x, y, width, height} = each?.getBoundingClientRect() ?? {}
            return width ? [x + width / 2, y + height / 2] : null
        })([...document.querySelectorAll('.statusbar-item')].find(each => each.id.includes('mcpgateway')))"""
        eventually(lambda: self.browser.run(script), "an item in the status bar")
        x, y = self.browser.run(script)
        self.browser.ask("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)

    def key(self, name: str, code: int) -> None:
        """Press a key."""
        for kind in ("keyDown", "keyUp"):
            self.browser.ask(
                "Input.dispatchKeyEvent", type=kind, key=name, code=name, windowsVirtualKeyCode=code
            )
