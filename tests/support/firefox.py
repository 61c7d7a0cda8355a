"""A real Firefox without a window, driven by WebDriver BiDi.

https://www.w3.org/TR/webdriver-bidi/
"""

from __future__ import annotations

import itertools
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any, Self

from websockets.sync.client import ClientConnection, connect

LIMIT_S = 60.0
FIREFOX = shutil.which("firefox-esr") or shutil.which("firefox") or ""
LISTENS = re.compile(r"WebDriver BiDi listening on (ws://\S+)")
FAULTS = ("error", "warn")


class Firefox:
    """A browser with one page.

    :param directory: directory of its profile.
    :ivar console: the errors and warnings of the page's console.
    """

    def __init__(self, directory: Path) -> None:
        self.console: list[str] = []
        profile = directory / "firefox"
        profile.mkdir()
        self._argv = [FIREFOX, "--headless", "--no-remote", "--profile", str(profile)]
        self._argv += ["--remote-debugging-port", "0", "about:blank"]
        self._home = directory
        self._ids = itertools.count(1)
        self._process: subprocess.Popen[str] | None = None
        self._link: ClientConnection | None = None
        self._page = ""

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            self._argv,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            env={"PATH": "/usr/bin:/bin", "HOME": str(self._home), "MOZ_HEADLESS": "1"},
        )
        assert self._process.stderr is not None
        url = next((found[1] for line in self._process.stderr if (found := LISTENS.search(line))), "")
        assert url, "Firefox does not start"
        self._link = connect(f"{url}/session", max_size=2**24, open_timeout=LIMIT_S, origin=None, legacy=True)
        self.ask("session.new", capabilities={})
        self.ask("session.subscribe", events=["log.entryAdded"])
        self._page = self.ask("browsingContext.getTree")["contexts"][0]["context"]
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process is not None
        self._process.terminate()
        try:
            self._process.wait(LIMIT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def ask(self, method: str, **params: Any) -> Any:
        """Send a command of the protocol; return its result."""
        assert self._link is not None
        number = next(self._ids)
        self._link.send(json.dumps({"id": number, "method": method, "params": params}))
        while True:
            found = json.loads(self._link.recv(timeout=LIMIT_S))
            if found.get("id") == number:
                assert found["type"] == "success", found
                return found["result"]
            entry = found.get("params", {})
            if found.get("method") == "log.entryAdded" and entry["level"] in FAULTS:
                self.console.append(entry["text"])

    def go(self, url: str) -> None:
        """Show a page."""
        self.ask("browsingContext.navigate", context=self._page, url=url, wait="complete")

    def run(self, script: str) -> Any:
        """Run a script in the page; return its value, or that of its promise, as JSON has it."""
        found = self.ask(
            "script.evaluate",
            expression=f"(async () => JSON.stringify(await ({script})) ?? 'null')()",
            target={"context": self._page},
            awaitPromise=True,
        )
        assert found["type"] == "success", found
        return json.loads(found["result"]["value"])
