"""``python -m docs.pictures.editor``: the extension in a real VS Code as pictures, for light and for dark pages.

`make test-vscode` installs the editor; `make pictures` writes ``docs/_static/editor/NAME-light.webp`` and
``NAME-dark.webp``.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from docs.pictures.dashboard import MODES, plain, save
from docs.pictures.gateway import ShownGateway, shown_gateway
from tests.support.browser import Browser
from tests.support.editor import PANEL, Editor, Window
from tests.support.real_servers import ROOT

THEMES = {"light": "Default Light Modern", "dark": "Default Dark Modern"}
FILLED = (
    "new Promise(resolve => setTimeout(resolve, 4000))"  # a panel has its figures by then, in its colours
)


def draw(window: Window, gateway: ShownGateway, folder: Path, name: str) -> None:
    """Write the pictures of a window."""
    for mode in MODES:
        window.run(
            f"await vscode.workspace.getConfiguration().update('workbench.colorTheme', '{THEMES[mode]}', 1)"
        )
        window.browser.run(FILLED)
        for document in ("document", f"({PANEL}).contentDocument"):
            window.browser.run(f"(document => {{ {plain(gateway)} }})({document})")
        save(window.browser, folder / f"{name}-{mode}.webp")


def main() -> None:
    """Draw a server and a tool, beside the views, in both modes."""
    folder = ROOT / "docs" / "_static" / "editor"
    folder.mkdir(exist_ok=True)
    with (
        tempfile.TemporaryDirectory() as profile,
        shown_gateway(100) as gateway,
        Browser(Path(profile)) as browser,
    ):
        home = Path(gateway.env["HOME"])
        with Editor(home, home / ".mcp-gateway") as editor:
            window = editor.window(browser, "project")
            window.run("await vscode.commands.executeCommand('workbench.view.extension.mcpgateway')")
            window.has_row("memory")
            window.command("showDetails", "fetch")
            window.panel_sees("fetch")
            draw(window, gateway, folder, "server")
            window.command(
                "tryTool", {"id": "tool", "label": "", "servers": ["everything"], "tool": "get-sum"}
            )
            window.panel_sees("Call")
            draw(window, gateway, folder, "tool")


if __name__ == "__main__":
    main()
