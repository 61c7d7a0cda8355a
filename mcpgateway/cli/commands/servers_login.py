"""Sign in at remote servers, and out."""

from __future__ import annotations

import os
import queue
import sys
import threading
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import click

from mcpgateway.cli.commands.servers import SERVER, of_name
from mcpgateway.cli.console import DONE, FAILED, Trouble, answer, emit, fail, paragraph, say
from mcpgateway.cli.context import Globals
from mcpgateway.cli.queries import ask
from mcpgateway.cli.values import TimeOption

BEGIN_S = 70.0  # the gateway may have to find the authorization server first
POLL_S = 2.0
LOGIN = f"{SERVER}/login"

GRAPHICAL = ("DISPLAY", "WAYLAND_DISPLAY")
NEEDED, SIGNED_IN, OPEN = "needs login", "signed in", "needs no login"
STDIN = "-"


@click.command()
@of_name
@click.option("--no-browser", is_flag=True, help="Only print the address; open no browser.")
@click.option("--again", is_flag=True, help="Sign in once more, as somebody else perhaps.")
@click.option("--no-wait", is_flag=True, help="Do not wait until it is done.")
@click.option(
    "--answer",
    "words",
    metavar="ADDRESS",
    help="What the browser was sent to, where the gateway is not on its machine: the whole address, or the code in"
    " it; - reads it from stdin.",
)
@click.option(
    "--timeout", type=TimeOption(), default="5m", show_default=True, help="How long to wait until it is done."
)
@click.pass_obj
def login(
    globals_: Globals,
    name: str,
    *,
    no_browser: bool,
    again: bool,
    no_wait: bool,
    words: str | None,
    timeout: float,
) -> int:
    """Sign in at a remote server that wants it: open its address in a browser, and wait until that is done.

    The browser comes back to the gateway. Where it cannot, since the gateway is on another machine or in a container,
    paste the address that it was sent to.

    Exit code 0 where the server can be used then, else 1.
    """
    if words is not None:
        text = sys.stdin.readline() if words == STDIN else words
        return _print_state(globals_, _post(globals_, name, {"answer": text.strip()}))
    found = _post(globals_, name, {"again": True} if again else {})
    if found.get("state") != NEEDED:
        return _print_state(globals_, found)
    url = _address(found)
    _show(globals_, found, url, is_opened=not no_browser and _open(url))
    if no_wait:
        if globals_.as_json:
            emit(found)
        return DONE
    return _print_state(globals_, _Wait(globals_, name).over(timeout))


def _post(globals_: Globals, name: str, body: Mapping[str, object]) -> dict[str, Any]:
    found: dict[str, Any] = ask(globals_, LOGIN, method="POST", body=body, limit_s=BEGIN_S, name=name)
    return found


@click.command()
@of_name
@click.pass_obj
def logout(globals_: Globals, name: str) -> None:
    """Give back what a server has granted: the authorization server is told, and nothing is kept of it."""
    _leave(globals_, name, {})


@click.command()
@of_name
@click.pass_obj
def forget(globals_: Globals, name: str) -> None:
    """Sign out, and give up what the gateway is registered as there, too."""
    _leave(globals_, name, {"forget": "true"})


def _leave(globals_: Globals, name: str, query: Mapping[str, str]) -> None:
    found = ask(globals_, LOGIN, method="DELETE", params=query, limit_s=BEGIN_S, name=name)
    answer(globals_, found, lambda: _tell_left(name, found))


def _tell_left(name: str, found: Mapping[str, Any]) -> None:
    if not found.get("signed_out"):
        say(f"Nobody had signed in at {name}.")
    elif found.get("revoked"):
        say(f"Signed out at {name}.")
    else:
        say(f"Signed out at {name}: the gateway has thrown its tokens away.")
        say("  Its authorization server was not told, or did not agree: they may be good until they end.")
    if found.get("forgotten"):
        say("The gateway registers anew at the next sign-in.")


# The address


def _address(found: Mapping[str, Any]) -> str:
    """Return the address at which to sign in, if it is a web page and no other kind of URL.

    :raise Trouble: it is no http or https URL.
    """
    url = str(found.get("url") or "")
    try:
        parts = urlsplit(url)
        is_page = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.username is None
    except ValueError:
        is_page = False
    if not is_page or not url.isascii() or not url.isprintable() or set(url) & set(" \"'<>\\`"):
        fail("the address to sign in at is none that a browser should open")
    return url


def _open(url: str) -> bool:
    """Open a browser if there is a screen; return false if there is none."""
    if not sys.stdout.isatty():
        return False
    if sys.platform.startswith("linux") and not any(os.environ.get(each) for each in GRAPHICAL):
        return False
    import webbrowser

    try:
        return webbrowser.open(url)  # as an argument of a program, never in a shell
    except (OSError, webbrowser.Error):
        return False


def _show(globals_: Globals, found: Mapping[str, Any], url: str, *, is_opened: bool) -> None:
    is_program = globals_.as_json
    line = f"A browser shows where to sign in at {found.get('server')}:" if is_opened else ""
    say(line or f"Sign in at {found.get('server')} in a browser:", err=True)
    say(url, err=is_program)  # alone on its line, for a program that reads a pipe
    redirect = urlsplit(str(found.get("redirect") or ""))
    place = f"{redirect.scheme}://{redirect.netloc}"
    say(f"Afterwards the browser is sent to {place}, which is the gateway.", err=True)
    if sys.stdin.isatty():
        say("If that page cannot be reached, paste its whole address here:", err=True)
    else:
        name = found.get("server")
        say(f"If it cannot get there: mcpgateway servers login {name} --answer ADDRESS", err=True)


# Waiting


class _Wait:
    """Waits until the user has signed in, or pastes the address that the browser was sent to."""

    def __init__(self, globals_: Globals, name: str) -> None:
        self._globals = globals_
        self._name = name
        self._pasted: queue.Queue[str] = queue.Queue()
        if sys.stdin.isatty():
            threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        for line in sys.stdin:
            if line.strip():
                self._pasted.put(line.strip())

    def over(self, limit_s: float) -> dict[str, Any]:
        """Return the state of the sign-in when it has changed, or when the time is over."""
        ends = time.monotonic() + limit_s
        while True:
            found = self._look(min(POLL_S, max(0.1, ends - time.monotonic())))
            if found.get("state") != NEEDED or time.monotonic() >= ends:
                return found

    def _look(self, wait_s: float) -> dict[str, Any]:
        try:
            words = self._pasted.get_nowait()
        except queue.Empty:
            params = {"wait": f"{wait_s:g}s"}
            found: dict[str, Any] = ask(
                self._globals, LOGIN, params=params, limit_s=wait_s + BEGIN_S, name=self._name
            )
            return found
        try:
            return _post(self._globals, self._name, {"answer": words})
        except Trouble as why:
            paragraph(f"{why.message}; {why.hint}" if why.hint else why.message, err=True)
            return {"state": NEEDED}


def _print_state(globals_: Globals, found: dict[str, Any]) -> int:
    answer(globals_, found, lambda: say(_sentence(found)))
    return DONE if found.get("state") in (SIGNED_IN, OPEN) else FAILED


def _sentence(found: Mapping[str, Any]) -> str:
    name = found.get("server") or "the server"
    match found.get("state"):
        case "signed in":
            return f"Signed in at {name}."
        case "needs no login":
            return f"{name} runs, and wants nobody to sign in."
        case "needs login":
            return f"Nobody has signed in at {name} yet: mcpgateway servers login {name} goes on waiting."
        case _:
            return f"Nobody has signed in at {name}: mcpgateway servers login {name} begins anew."
