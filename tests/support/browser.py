"""A real browser without a window, Debian's Chromium, driven by its DevTools protocol.

https://chromedevtools.github.io/devtools-protocol/
"""

from __future__ import annotations

import base64
import itertools
import json
import shutil
import subprocess
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

from websockets.sync.client import ClientConnection, connect

LIMIT_S = 60.0
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome") or ""
# The browser's own guard against other networks' pages, which not every browser has, is switched off, so that it cannot
# hide a fault of the gateway's.
OFF = "LocalNetworkAccessChecks,BlockInsecurePrivateNetworkRequests,PrivateNetworkAccessSendPreflights"


class Browser:
    """A browser with a page.

    :param directory: directory of its profile.
    :param bent: names that resolve to this machine, as after DNS rebinding.
    """

    def __init__(self, directory: Path, *bent: str) -> None:
        self._profile = directory / "profile"
        rules = ",".join(f"MAP {name} 127.0.0.1" for name in bent)
        self._argv = [CHROMIUM, "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
        self._argv += ["--remote-debugging-port=0", f"--user-data-dir={self._profile}", "--no-first-run"]
        self._argv += [f"--host-resolver-rules={rules}", f"--disable-features={OFF}", "--no-proxy-server"]
        self._argv += ["--disable-background-networking", "about:blank"]
        self._ids = itertools.count(1)
        self._process: subprocess.Popen[bytes] | None = None
        self._stack = ExitStack()
        self._link: ClientConnection | None = None
        self._session = ""

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(self._argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        told = self._profile / "DevToolsActivePort"
        ends = time.monotonic() + LIMIT_S
        while not told.exists() or len(told.read_text().split()) < 2:
            assert time.monotonic() < ends, "the browser does not start"
            time.sleep(0.05)
        port, path = told.read_text().split()
        self._link = connect(
            f"ws://127.0.0.1:{port}{path}", max_size=2**24, open_timeout=LIMIT_S, legacy=True
        )
        self.tab()
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process is not None
        self._stack.close()
        self._process.terminate()
        try:
            self._process.wait(LIMIT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _send(self, method: str, **params: Any) -> int:
        assert self._link is not None
        number = next(self._ids)
        message = {"id": number, "method": method, "params": params}
        self._link.send(json.dumps({**message, "sessionId": self._session} if self._session else message))
        return number

    def _until(self, holds: Any) -> dict[str, Any]:
        assert self._link is not None
        ends = time.monotonic() + LIMIT_S
        while True:
            found: dict[str, Any] = json.loads(self._link.recv(timeout=max(0.0, ends - time.monotonic())))
            if holds(found):
                return found

    def ask(self, method: str, **params: Any) -> Any:
        """Send a command of the protocol; return its result."""
        number = self._send(method, **params)
        found = self._until(lambda message: message.get("id") == number)
        assert "error" not in found, found
        return found["result"]

    def tab(self, session: str = "") -> str:
        """Turn to another tab, or to a new one; return the session of the former, to which one may return."""
        former, self._session = self._session, ""
        if not session:
            target = self.ask("Target.createTarget", url="about:blank")["targetId"]
            session = self.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        self._session = session
        self.ask("Page.enable")
        return former

    def go(self, url: str, instead: str | None = None) -> None:
        """Show a page.

        :param instead: text of the page, as if loaded before the name was rebound.
        """
        if instead is not None:
            self.ask("Fetch.enable", patterns=[{"urlPattern": url}])
        self._send("Page.navigate", url=url)
        if instead is not None:
            paused = self._until(lambda message: message.get("method") == "Fetch.requestPaused")["params"]
            body = base64.b64encode(instead.encode()).decode()
            headers = [{"name": "Content-Type", "value": "text/html"}]
            said = {
                "requestId": paused["requestId"],
                "responseCode": 200,
                "responseHeaders": headers,
                "body": body,
            }
            self._send("Fetch.fulfillRequest", **said)
        self._until(lambda message: message.get("method") == "Page.loadEventFired")
        if instead is not None:
            self.ask("Fetch.disable")

    def run(self, script: str) -> Any:
        """Run a script in the page; return its value, or that of its promise."""
        found = self.ask("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")
