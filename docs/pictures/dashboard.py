"""``python -m docs.pictures.dashboard``: the pages of the dashboard as pictures, for light and for dark pages.

The pages are opened in a real Chromium, signed in.  `make pictures` writes ``docs/_static/dashboard/PAGE-light.webp``
and ``PAGE-dark.webp``.
"""

from __future__ import annotations

import base64
import json
import tempfile
from pathlib import Path

from docs.pictures.gateway import PORT, ShownGateway, shown_gateway
from tests.support.browser import Browser
from tests.support.real_servers import ROOT

PAGES = {
    "overview": "",
    "servers": "servers",
    "server": "servers/fetch",
    "tools": "tools",
    "calls": "calls",
    "clients": "clients",
    "usage": "usage",
    "access": "access",
    "gateway": "gateway",
    "add": "add",
    "playground": "tools/everything__get-sum",
}
MODES = ("light", "dark")
WIDTH, HEIGHT = 1280, 800
QUALITY = 80  # percent
FILLED = "new Promise(resolve => setTimeout(resolve, 2000))"  # a page has its figures by then
_PLAIN = """document.querySelectorAll("*").forEach(each => each.childNodes.forEach(node => {{
    if (node.nodeType === 3) node.data = node.data.replaceAll({port}, {shown}).replaceAll({home}, "~")
}})); 0"""


def plain(gateway: ShownGateway) -> str:
    """Return the statements that give the page in ``document`` paths and a port as on a user's machine."""
    words = {"port": gateway.port, "shown": PORT, "home": gateway.env["HOME"]}
    return _PLAIN.format(**{name: json.dumps(word) for name, word in words.items()})


def save(browser: Browser, file: Path) -> None:
    """Write the picture of a page."""
    shot = browser.ask("Page.captureScreenshot", format="webp", quality=QUALITY)
    file.write_bytes(base64.b64decode(shot["data"]))


def draw(browser: Browser, gateway: ShownGateway, path: str, mode: str, file: Path) -> None:
    """Open a page, and write its picture."""
    browser.ask("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": mode}])
    browser.go(f"http://localhost:{gateway.port}/ui/{path}")
    browser.run(FILLED)
    browser.run(plain(gateway))
    save(browser, file)


def latest_call(gateway: ShownGateway) -> str:
    """Return the id of the latest call of a tool."""
    found: str = json.loads(gateway.run("--json", "logs", "--calls"))["items"][-1]["id"]
    return found


def main() -> None:
    """Draw every page in both modes."""
    folder = ROOT / "docs" / "_static" / "dashboard"
    folder.mkdir(exist_ok=True)
    with (
        tempfile.TemporaryDirectory() as profile,
        shown_gateway(100) as gateway,
        Browser(Path(profile)) as browser,
    ):
        browser.ask(
            "Emulation.setDeviceMetricsOverride",
            width=WIDTH,
            height=HEIGHT,
            deviceScaleFactor=1,
            mobile=False,
        )
        browser.go(json.loads(gateway.run("--json", "ui", "--no-open"))["url"])
        for mode in MODES:
            for name, path in PAGES.items():
                draw(browser, gateway, path, mode, folder / f"{name}-{mode}.webp")
            draw(browser, gateway, f"calls/{latest_call(gateway)}", mode, folder / f"call-{mode}.webp")


if __name__ == "__main__":
    main()
