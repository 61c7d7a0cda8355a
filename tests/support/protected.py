"""MCP servers behind authorization servers from PyPI, as real processes, and their users' browsers."""

from __future__ import annotations

import json
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Self
from urllib.parse import parse_qsl, urlsplit

from tests.support import forkserver
from tests.support.ports import free_port
from tests.support.real_servers import PYPI_BIN, ROOT

LIMIT_S = 60.0
SERVERS = ROOT / "tests" / "servers"
KINDS = {
    "sdk": (str(SERVERS / "protected.py"),),
    "authlib": (str(PYPI_BIN / "python"), str(SERVERS / "authlib_protected.py")),
}


class Protected:
    """A protected MCP server.

    :ivar kind: which, of `KINDS`.
    :ivar origin: its URL without a path.
    """

    def __init__(self, kind: str, *options: str) -> None:
        self.port = free_port()
        self.kind = kind
        self.origin = f"http://127.0.0.1:{self.port}"
        argv = [*KINDS[kind], str(self.port), *options]
        self._process: subprocess.Popen[bytes] | forkserver.Forked = (
            forkserver.script(argv, is_quiet=False) if kind == "sdk" else subprocess.Popen(argv)
        )

    @property
    def url(self) -> str:
        """The URL of its MCP server."""
        return f"{self.origin}/mcp"

    def wait(self) -> Self:
        """Wait until it answers."""
        ends = time.monotonic() + LIMIT_S
        while True:
            try:
                self._told(None)
            except OSError:
                assert self._process.poll() is None, "the server has ended"
                assert time.monotonic() < ends, "the server did not come up"
                time.sleep(0.05)
            else:
                return self

    def tell(self, **said: Any) -> None:
        """Let it misbehave (`tests/servers/mischief.py`)."""
        self._told(said)

    def asked(self, what: str) -> int:
        """Return the number of requests such as ``POST /token`` since the last reset."""
        return int(self._told(None)["asked"].get(what, 0))

    def clients(self) -> list[dict[str, str]]:
        """The clients that are registered there."""
        found: list[dict[str, str]] = self._told(None)["clients"]
        return found

    def _told(self, said: Any) -> Any:
        body = None if said is None else json.dumps(said).encode()
        request = urllib.request.Request(f"{self.origin}/test", body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=LIMIT_S) as answer:
            return json.load(answer)

    def close(self) -> None:
        """End it."""
        self._process.kill()
        self._process.wait(LIMIT_S)


@contextmanager
def several() -> Iterator[Any]:
    """Starts protected servers, one of each kind with the same options; all are stopped in the end."""
    started: dict[tuple[str, ...], Protected] = {}

    def start(kind: str = "sdk", *options: str) -> Protected:
        key = (kind, *options)
        if key not in started:
            started[key] = Protected(kind, *options)
        made = started[key].wait()
        made.tell(reset=True, forget=True)
        return made

    try:
        yield start
    finally:
        for each in started.values():
            each.close()


class _Stay(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        """Go nowhere by itself."""


def agreed(url: str, user: str = "somebody") -> str:
    """Be a user's browser at an authorization server, and say yes; the address that it is sent to."""
    request = urllib.request.Request(url, headers={"Cookie": f"user={user}"})
    try:
        with urllib.request.build_opener(_Stay).open(request, timeout=LIMIT_S) as answer:
            said = f"{answer.status} {answer.read()!r}"
    except urllib.error.HTTPError as sent:
        if sent.code in (302, 307):
            return str(sent.headers["location"])
        said = f"{sent.code} {sent.read()!r}"
    raise AssertionError(f"it was not sent anywhere: {said}")


def brought(location: str) -> dict[str, str]:
    """Return the query with which the browser returns."""
    return dict(parse_qsl(urlsplit(location).query))
