"""The dashboard in a real Firefox: a person looks, signs in, starts a server and calls a tool."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

import mcpgateway
from tests.support.firefox import FIREFOX, Firefox
from tests.support.gateway import BIN, Gateway, eventually, server
from tests.support.real_servers import time

BUILT = Path(mcpgateway.__file__).parent / "data" / "ui" / "index.json"
TEXT = "document.body.innerText"

pytestmark = [
    pytest.mark.functional,
    pytest.mark.skipif(not FIREFOX, reason="there is no Firefox: make test-ui installs it"),
    pytest.mark.skipif(not BUILT.exists(), reason="the dashboard is not built: make ui builds it"),
]


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[Gateway]:
    """A gateway with a server that works, and one that cannot."""
    with Gateway(tmp_path, {"clock": server(time()), "broken": server(["/nowhere/server"])}) as made:
        yield made


def test_a_visit(gateway: Gateway, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Every page is drawn, the stream is live, an act and a call of a tool succeed, and the console stays empty."""
    with Firefox(tmp_path_factory.mktemp("profile")) as browser:

        def sees(text: str) -> None:
            eventually(lambda: text in browser.run(TEXT), f"{text} is on the page")

        def press(name: str) -> None:
            button = f"""[...document.querySelectorAll("button")].find(
                each => (each.getAttribute("aria-label") ?? each.innerText) === {json.dumps(name)} && !each.disabled)"""
            eventually(lambda: browser.run(f"Boolean({button})"), f"there is {name}")
            browser.run(f"{button}.click()")

        base = f"http://localhost:{gateway.port}"
        argv = [str(BIN / "mcpgateway"), "--home", str(gateway.home), "--json", "ui", "--no-open"]
        browser.go(
            json.loads(subprocess.run(argv, check=True, capture_output=True, timeout=60).stdout)["url"]
        )
        sees("1 thing needs you.")
        sees("live")
        sees("Sign out")
        assert "code" not in browser.run("location.href")
        browser.go(f"{base}/ui/servers")
        press("Start clock")
        sees("running")
        for path, text in {
            "servers": "2 servers",
            "servers/clock/tools": "get_current_time",
            "tools": "get_current_time",
            "calls": "Download CSV",
            "clients": "Sessions",
            "usage": "Saved by sharing",
            "access": "Tokens of agents",
            "gateway": "Release",
            "add": "Add a server",
            "servers/clock/settings": "command",
        }.items():
            browser.go(f"{base}/ui/{path}")
            sees(text)
        browser.go(f"{base}/ui/tools/clock__get_current_time")
        sees("Arguments")
        browser.run("""(() => { const place = document.querySelector("form input")
            place.value = "UTC"; place.dispatchEvent(new Event("input", { bubbles: true })) })()""")
        press("Call")
        sees("is_dst")
        assert browser.console == []
