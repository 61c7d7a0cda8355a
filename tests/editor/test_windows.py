"""Windows of several folders, with the walkthrough, and with a gateway of another release, in a real VS Code."""

from __future__ import annotations

import json
import urllib.request
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.browser import LIMIT_S, Browser
from tests.support.editor import EXTENSIONS, IN_AN_EDITOR, Editor
from tests.support.gateway import Gateway, eventually, server
from tests.support.real_servers import fixture

pytestmark = IN_AN_EDITOR
MANIFEST = "extension/package.json"


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A gateway with one server."""
    directory = tmp_path_factory.mktemp("windows")
    with Gateway(directory, {"shared": server(fixture())}, settings={"registry_url": ""}) as made:
        yield made


@pytest.fixture(scope="module")
def editor(gateway: Gateway) -> Iterator[Editor]:
    """An editor on the gateway's machine."""
    with Editor(gateway.directory, gateway.home) as made:
        yield made


class FolderTests:
    """A window of several folders."""

    def test_two_folders(self, editor: Editor, browser: Browser, gateway: Gateway) -> None:
        """The chat gets one definition for each folder, and each has a session with its folder as the project."""
        window = editor.workspace(browser, "front", "back")
        window.run("await vscode.commands.executeCommand('workbench.view.extension.mcpgateway')")
        window.has_row("This window, ", "tools")
        window.begin("startChat")

        def places() -> set[str]:
            with urllib.request.urlopen(
                f"{gateway.url}/api/v1/sessions?limit=100", timeout=LIMIT_S
            ) as answer:
                return {each["workspace"] for each in json.loads(answer.read())["sessions"]}

        eventually(
            lambda: {str(editor.directory / each) for each in ("front", "back")} <= places(),
            "each folder has a session",
        )


class WalkthroughTests:
    """The walkthrough."""

    def test_its_steps(self, editor: Editor, browser: Browser) -> None:
        """It opens with five steps, each shows its text, and the button of one asks what it says."""
        window = editor.window(browser, "walk")
        window.run("await vscode.commands.executeCommand('workbench.view.extension.mcpgateway')")
        window.has_row("shared")
        window.run(
            "void vscode.commands.executeCommand('workbench.action.openWalkthrough', 'mcpgateway.mcpgateway#setUp')"
        )
        for step in (
            "Install and start the gateway",
            "Choose the clients",
            "Let this project use it",
            "End old processes",
            "Try a tool",
        ):
            window.sees(step)
        window.press("Let this project use it")
        window.press("Choose for This Project")
        window.sees("3/5 Does this project use the gateway?")
        window.answer("Yes")
        file = window.folder / ".vscode" / "mcpgateway.json"
        eventually(lambda: file.exists() and json.loads(file.read_text())["enabled"], "the answer is kept")


class ReleaseTests:
    """A gateway and an extension of different releases."""

    @pytest.mark.parametrize(
        ("release", "remedy"),
        [
            ("99.0.0", "mcpgateway upgrade brings the gateway up to date"),
            ("0.0.1", "mcpgateway service install --vscode brings the extension up to date"),
        ],
    )
    def test_another_release(
        self, gateway: Gateway, browser: Browser, tmp_path: Path, release: str, remedy: str
    ) -> None:
        """The view says so in one sentence with what helps, and works."""
        extension = tmp_path / "other.vsix"
        with zipfile.ZipFile(EXTENSIONS[0]) as ours, zipfile.ZipFile(extension, "w") as other:
            for name in ours.namelist():
                content = ours.read(name)
                if name == MANIFEST:
                    content = json.dumps({**json.loads(content), "version": release}).encode()
                other.writestr(name, content)
        (tmp_path / "user").mkdir()
        with Editor(tmp_path / "user", gateway.home, extension=extension) as editor:
            window = editor.window(browser, "project")
            window.run("await vscode.commands.executeCommand('workbench.view.extension.mcpgateway')")
            window.has_row("The gateway is of release ", f"the extension of {release}: {remedy}")
            window.command("startServer", "shared")
            window.has_row("shared, running")
            window.command("stopServer", "shared")
