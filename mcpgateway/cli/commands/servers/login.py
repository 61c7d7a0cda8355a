"""Sign in at remote servers, and out."""

from __future__ import annotations

import queue
import sys
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

import click

from mcpgateway.cli.browser import opened
from mcpgateway.cli.commands.servers.servers import SERVER
from mcpgateway.cli.completion_values import remote_names, sign_in_names
from mcpgateway.cli.console import DONE, FAILED, Trouble, answer, emit, fail, paragraph, say
from mcpgateway.cli.context import Globals
from mcpgateway.cli.queries import ask
from mcpgateway.cli.values import TimeOption
from mcpgateway.hints import cli
from mcpgateway.units import duration

BEGIN_S = 70.0  # the gateway may have to find the authorization server first
POLL_S = 2.0
LOGIN = f"{SERVER}/login"

GRAPHICAL = ("DISPLAY", "WAYLAND_DISPLAY")
NEEDED, SIGNED_IN, OPEN = "needs login", "signed in", "needs no login"
STDIN = "-"
TIMEOUT_S = 300.0

_to_sign_in: Callable[[Any], Any] = click.argument("name", metavar="NAME", shell_complete=sign_in_names)
_to_sign_out: Callable[[Any], Any] = click.argument("name", metavar="NAME", shell_complete=remote_names)


@click.command()
@_to_sign_in
@click.option(
    "--device", is_flag=True, help="Show a code that is entered on any device, where the server has that."
)
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
    "--timeout",
    type=TimeOption(),
    help="How long to wait until it is done (default: 5m, or as long as the code of --device is good).",
)
@click.pass_obj
def login(  # noqa: PLR0913 - one for each option
    globals_: Globals,
    name: str,
    *,
    device: bool,
    no_browser: bool,
    again: bool,
    no_wait: bool,
    words: str | None,
    timeout: float | None,
) -> int:
    """Sign in at a remote server that wants it: open its address in a browser, and wait until that is done.

    The browser comes back to the gateway. Where it cannot, since the gateway is on another machine or in a container,
    paste the address that it was sent to, or use --device: then a code is entered on any device, and no browser comes
    back.

    Exit code 0 where the server can be used then, else 1.
    """
    if device and words is not None:
        raise click.UsageError("--device has no answer to paste")
    if words is not None:
        text = sys.stdin.readline() if words == STDIN else words
        return _print_state(globals_, _post(globals_, name, {"answer": text.strip()}))
    asked = {"again": again, "device": device}
    found = _post(globals_, name, {key: True for key, is_on in asked.items() if is_on})
    if found.get("state") != NEEDED:
        return _print_state(globals_, found)
    if device:
        _show_code(globals_, found)
    else:
        url = _address(found)
        _show(globals_, found, url, is_opened=not no_browser and opened(url))
    if no_wait:
        if globals_.as_json:
            emit(found)
        return DONE
    limit_s = timeout or max(TIMEOUT_S, float(found.get("expires_in") or 0) + POLL_S)
    return _print_state(globals_, _Wait(globals_, name, takes_paste=not device).over(limit_s))


def _post(globals_: Globals, name: str, body: Mapping[str, object]) -> dict[str, Any]:
    found: dict[str, Any] = ask(globals_, LOGIN, method="POST", body=body, limit_s=BEGIN_S, name=name)
    return found


@click.command()
@_to_sign_out
@click.pass_obj
def logout(globals_: Globals, name: str) -> None:
    """Give back what a server has granted: the authorization server is told, and nothing is kept of it."""
    _leave(globals_, name, {})


@click.command()
@_to_sign_out
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
        say(f"If it cannot get there: {cli('servers login {} --answer ADDRESS', name)}", err=True)


def _show_code(globals_: Globals, found: Mapping[str, Any]) -> None:
    name, code = found.get("server"), str(found.get("user_code") or "")
    if not code.isprintable() or not code:
        fail(f"the gateway has no code for {name}")
    page, whole = _address({"url": found.get("verification_uri")}), _address(found)
    lasts = duration(float(found.get("expires_in") or 0))
    is_program = globals_.as_json
    say(f"Sign in at {name} on any device: open this page, and enter the code.", err=True)
    say(page, err=is_program)  # page and code, each alone on its line, for a program that reads a pipe
    say(code, err=is_program, bold=True)
    if whole != page:
        say(f"{whole} has the code in it.", err=True)
    say(f"The code is good for {lasts}.", err=True)


# Waiting


class _Wait:
    """Waits until the user has signed in, or pastes the address that the browser was sent to."""

    def __init__(self, globals_: Globals, name: str, *, takes_paste: bool) -> None:
        self._globals = globals_
        self._name = name
        self._pasted: queue.Queue[str] = queue.Queue()
        if takes_paste and sys.stdin.isatty():
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
            return f"Nobody has signed in at {name} yet: {cli('servers login {}', name)} goes on waiting."
        case "declined":
            return f"The sign-in at {name} was declined."
        case "expired":
            return (
                f"The code for {name} has expired: {cli('servers login {} --device', name)} gives a new one."
            )
        case "failed":
            reason = found.get("reason") or f"{cli('logs --gateway')} tells why"
            return f"The sign-in at {name} has failed: {reason}."
        case _:
            return f"Nobody has signed in at {name}: {cli('servers login {}', name)} begins anew."
