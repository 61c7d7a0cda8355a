"""The prompt inside the running gateway."""

from __future__ import annotations

import os
import re
import select
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import click

from mcpgateway.cli.console import UNREACHABLE, fail, only_here
from mcpgateway.cli.context import Globals
from mcpgateway.shim import locations

PIECE = 65_536
CTRL_D = b"\x04"
# Control sequences of cursor, colour and terminal modes.
CONTROL = re.compile(rb"\x1b(?:\[[0-9;?]*[A-Za-z]|[()][A-Z0-9]|[A-Za-z=>])")
ERASED = b"\x1b[2K"
OPEN_IT = "open it: manhole: {socket: true} in the gateway's configuration"


@click.command()
@click.option(
    "--socket", "path", type=click.Path(), metavar="PATH", help="Where it is, unless it is in the home."
)
@click.pass_obj
def manhole(globals_: Globals, *, path: str | None) -> None:
    """Get a Python prompt inside of the running gateway, if it has a manhole.

    There are: gateway, pool, sessions, config. Ctrl-D leaves. What is typed blocks the gateway while it runs. Where
    stdin is no terminal, its lines are run and their results printed.
    """
    only_here(globals_, "manhole")
    path = os.path.abspath(os.path.expanduser(path)) if path else _usual(globals_.home)
    with socket.socket(socket.AF_UNIX) as line:
        try:
            line.connect(path)
        except FileNotFoundError:
            fail(f"there is no manhole at {path}", OPEN_IT, UNREACHABLE)
        except OSError as why:
            fail(f"there is no manhole at {path}: {why.strerror or why}", OPEN_IT, UNREACHABLE)
        with _raw() as is_terminal:
            _relay(line, is_terminal=is_terminal)


def _usual(home: str) -> str:
    # The same path as in mcpgateway.frontends.manhole.listener.
    path = locations.socket_path(locations.environment(), home)
    return f"{path.removesuffix('gateway.sock').removesuffix('.sock')}manhole.sock"


@contextmanager
def _raw() -> Iterator[bool]:
    """Pass every key to the prompt unchanged, if stdin is a terminal."""
    if not sys.stdin.isatty():
        yield False
        return
    import termios
    import tty

    former = termios.tcgetattr(0)
    try:
        tty.setraw(0, termios.TCSADRAIN)  # keys typed before are not lost
        yield True
    finally:
        termios.tcsetattr(0, termios.TCSADRAIN, former)


def _relay(line: socket.socket, *, is_terminal: bool) -> None:
    watched = [line.fileno(), 0]
    screen = Screen()
    while True:
        ready, _, _ = select.select(watched, (), ())
        if 0 in ready:
            typed = os.read(0, PIECE)
            if not typed:
                watched.remove(0)
                typed = CTRL_D
            if not _sent(line, typed if is_terminal else typed.replace(b"\n", b"\r")):
                break
        if line.fileno() in ready:
            data = _received(line)
            if not data:
                break
            screen.show(data)
    screen.end()


def _sent(line: socket.socket, typed: bytes) -> bool:
    try:
        line.sendall(typed)
    except OSError:
        return False
    return True


def _received(line: socket.socket) -> bytes:
    try:
        return line.recv(PIECE)
    except ConnectionResetError:
        return b""


class Screen:
    """The output of the prompt: unchanged on a terminal; elsewhere line by line, without control sequences.

    The prompt writes a line anew with each key that is typed; erased text is not shown.
    """

    def __init__(self) -> None:
        self._is_terminal = sys.stdout.isatty()
        self._line = b""

    def show(self, data: bytes) -> None:
        """Show more output."""
        if self._is_terminal:
            _write(data)
            return
        *lines, self._line = (self._line + data).split(b"\n")
        _write(b"".join(_plain(each) + b"\n" for each in lines))

    def end(self) -> None:
        """Show the rest of the output."""
        _write(_plain(self._line))


def _plain(line: bytes) -> bytes:
    return CONTROL.sub(b"", line.rpartition(ERASED)[2]).replace(b"\r", b"")


def _write(data: bytes) -> None:
    while data:
        data = data[os.write(1, data) :]
