"""The dashboard as a person uses it: a page in a real Chromium, by the words on it."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

import mcpgateway
from tests.support.browser import CHROMIUM, Browser
from tests.support.gateway import BIN, Gateway, eventually

BUILT = Path(mcpgateway.__file__).parent / "data" / "ui" / "index.json"
AXE = Path(__file__).parents[1] / "browser" / "npm" / "node_modules" / "axe-core" / "axe.min.js"
VIOLATIONS = """axe.run().then(found => found.violations.map(
    each => `${each.id}: ${each.nodes.map(node => node.html).slice(0, 2)}`))"""
TEXT = "(document.body?.innerText ?? '')"  # there is no body while a page loads
LIMIT_MS = 20_000
IN_A_BROWSER = [
    pytest.mark.functional,
    pytest.mark.skipif(not CHROMIUM, reason="there is no Chromium: make test-browser installs it"),
    pytest.mark.skipif(not BUILT.exists(), reason="the dashboard is not built: make ui builds it"),
    pytest.mark.skipif(not AXE.exists(), reason="there is no axe: make test-browser installs it"),
]


OVERFLOW = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
LOOKS = [(width, mode) for width in (1440, 820, 390) for mode in ("light", "dark")]
"""The widths and colour schemes in which each page is looked at."""


class Page:
    """A dashboard in the browser, used as a person does: by the words on it."""

    def __init__(self, browser: Browser, gateway: Gateway) -> None:
        self.browser = browser
        self.gateway = gateway

    def show(self, path: str = "", wait: str = "") -> None:
        """Open a page, and wait until it is filled."""
        self.browser.go(f"http://localhost:{self.gateway.port}/ui/{path}")
        self.sees(wait or "configuration in order")

    def sees(self, text: str) -> None:
        """Wait for a text on the page."""
        found = self.browser.run(f"""new Promise(resolve => {{
            const end = Date.now() + {LIMIT_MS}
            const look = () => {TEXT}.includes({json.dumps(text)}) || Date.now() > end
                ? resolve({TEXT}) : setTimeout(look, 50)
            look()
        }})""")
        assert text in found, found

    def sees_no_more(self, text: str) -> None:
        """Wait until a text is gone."""
        eventually(lambda: text not in self.browser.run(TEXT), f"{text} is gone")

    def press(self, name: str) -> None:
        """Press the button, or follow the link, of an accessible name."""
        found = self.browser.run(f"""new Promise(resolve => {{
            const called = each => each.getAttribute("aria-label") ?? each.innerText.trim()
            const end = Date.now() + {LIMIT_MS}
            const look = () => {{
                const place = document.querySelector("dialog[open]") ?? document
                const all = [...place.querySelectorAll("button, a")]
                const meant = all.find(each => called(each) === {json.dumps(name)} && !each.disabled)
                meant?.focus()
                meant?.click()
                meant || Date.now() > end ? resolve(Boolean(meant)) : setTimeout(look, 50)
            }}
            look()
        }})""")
        assert found, f"there is no {name} on {self.browser.run(TEXT)}"

    def follow(self, page: str) -> None:
        """Follow the link to a page in the side bar."""
        self.browser.run(f"document.querySelector('nav.pages a[href$=\"/{page}\"]').click(); 0")

    def open(self, name: str) -> None:
        """Open what is folded below a heading of an accessible name."""
        found = self.browser.run(f"""new Promise(resolve => {{
            const end = Date.now() + {LIMIT_MS}
            const look = () => {{
                const meant = document.querySelector(`summary[aria-label="${{{json.dumps(name)}}}"]`)
                meant?.click()
                meant || Date.now() > end ? resolve(Boolean(meant)) : setTimeout(look, 50)
            }}
            look()
        }})""")
        assert found, f"there is no {name} on {self.browser.run(TEXT)}"

    def agree(self) -> None:
        """Answer the question before a tool that may destroy something, if it is asked."""
        self.browser.run("""new Promise(resolve => setTimeout(() => {
            document.querySelector("dialog[open] button.primary")?.click()
            resolve(0)
        }, 200))""")

    def type(self, selector: str, text: str) -> None:
        """Type into a field."""
        is_focused = self.browser.run(f"""new Promise(resolve => {{
            const end = Date.now() + {LIMIT_MS}
            const look = () => {{
                const place = document.querySelector({json.dumps(selector)})
                place?.focus()  // a dialog takes the focus once it is open
                const isThere = place && document.activeElement === place
                isThere || Date.now() > end ? resolve(Boolean(isThere)) : setTimeout(look, 50)
            }}
            look()
        }})""")
        assert is_focused, f"there is no {selector} on {self.browser.run(TEXT)}"
        self.browser.ask("Input.insertText", text=text)

    def choose(self, selector: str, value: str) -> None:
        """Choose an option of a list."""
        self.browser.run(f"""(() => {{
            const field = document.querySelector({json.dumps(selector)})
            field.value = {json.dumps(value)}
            field.dispatchEvent(new Event("change", {{bubbles: true}}))
        }})()""")

    def strike(self, *keys: str, is_control: bool = False) -> None:
        """Strike keys, one after the other."""
        for key in keys:
            text = "\r" if key == "Enter" else key
            more = {"text": text} if len(text) == 1 and not is_control else {}
            code = {"Escape": 27, "Enter": 13, "Tab": 9, "Backspace": 8}.get(key, 0)
            how = {"modifiers": 2 if is_control else 0, "windowsVirtualKeyCode": code, **more}
            self.browser.ask("Input.dispatchKeyEvent", type="keyDown", key=key, **how)
            self.browser.ask("Input.dispatchKeyEvent", type="keyUp", key=key, **how)

    def type_over(self, selector: str, text: str) -> None:
        """Type into a field, in the place of its content."""
        self.browser.run(f"document.querySelector({json.dumps(selector)}).select(); 0")
        self.type(selector, text)

    def look(self, width: int, mode: str, *features: tuple[str, str]) -> None:
        """Use a window of a width, a colour scheme, and further features of media."""
        self.browser.ask(
            "Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=False
        )
        wanted = [
            {"name": name, "value": value} for name, value in (("prefers-color-scheme", mode), *features)
        ]
        self.browser.ask("Emulation.setEmulatedMedia", features=wanted)

    def faults(self, *pages: str) -> dict[str, Any]:
        """Return what axe finds on pages, and those that are wider than the window."""
        wrong: dict[str, Any] = {}
        for each in pages:
            self.show(each)
            self.sees_no_more("Loading the page.")
            self.sees_no_more("Asking the gateway.")
            self.browser.run(f"{AXE.read_text()}; 0")
            found = self.browser.run(VIOLATIONS)
            found += [f"{over} pixels too wide"] if (over := self.browser.run(OVERFLOW)) > 0 else []
            if found:
                wrong[each] = found
        return wrong

    def sign_in(self, *options: str) -> None:
        """Open the dashboard by the command that signs it in."""
        url = json.loads(command(self.gateway, "--json", "ui", "--no-open", *options))["url"]
        self.browser.go("about:blank")
        self.browser.go(url)
        self.sees("Sign out")


def command(gateway: Gateway, *words: str, check: bool = True) -> str:
    """The output of a command to the gateway."""
    argv = [str(BIN / "mcpgateway"), "--home", str(gateway.home), *words]
    environ = {**os.environ, "HOME": str(gateway.directory)}
    return subprocess.run(argv, check=check, capture_output=True, timeout=60, text=True, env=environ).stdout
