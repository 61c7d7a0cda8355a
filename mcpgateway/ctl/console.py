"""What a person sees, and what a program gets: one place decides which of the two is asking."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NoReturn, TextIO

import click

from mcpgateway.ctl.context import Globals

DONE, FAILED, UNREACHABLE, DRIFT, ROLLED_BACK = range(5)
"""Exit codes: done; an error, or findings; no gateway answers; files are not as they should be; all was undone."""

SPINS_AFTER_S = 0.5


class Trouble(click.ClickException):
    """Something that ends a command: what is wrong, and what to do next.

    :ivar hint: what to do; empty where nothing can be said.
    :ivar code: the exit code.
    """

    def __init__(self, message: str, hint: str = "", code: int = FAILED) -> None:
        super().__init__(message)
        self.hint = hint
        self.code = code

    def tell(self, *, as_json: bool) -> None:
        """Say it in one line on stderr, and what to do in another; a program gets an object on stdout."""
        if as_json:
            emit({"error": self.message, "hint": self.hint})
            return
        click.secho("mcpgateway: ", file=sys.stderr, nl=False, fg="red", color=colour())
        click.echo(readable(self.message, sys.stderr), file=sys.stderr)
        if self.hint:
            click.secho(f"  {self.hint}", file=sys.stderr, dim=True, color=colour())


def fail(message: str, hint: str = "", code: int = FAILED) -> NoReturn:
    """End the command with an error.

    :raise Trouble: always.
    """
    raise Trouble(message, hint, code)


def is_terminal() -> bool:
    """Whether a person reads what is written."""
    return sys.stdout.isatty() and not os.environ.get("MCPGATEWAY_PLAIN")


def is_dumb() -> bool:
    """Whether the terminal shows letters and nothing else."""
    return os.environ.get("TERM") == "dumb"


def colour() -> bool | None:
    """False where nothing is to be written in colour; None where that depends on who reads it."""
    is_plain = os.environ.get("NO_COLOR") or os.environ.get("MCPGATEWAY_PLAIN") or is_dumb()
    return False if is_plain else None


def readable(text: str, stream: TextIO | None = None) -> str:
    """What strangers have written, for whoever reads it: a terminal obeys nothing in it, a pipe gets it as it is."""
    if not (stream or sys.stdout).isatty():
        return text
    return "".join(map(_harmless, text.replace("\r\n", "\n")))


def _harmless(character: str) -> str:
    if character.isprintable() or character in "\n\t":
        return character
    return character.encode("unicode_escape").decode()


def write(text: str, *, fg: str | None = None) -> None:
    """Write what strangers have written; a pipe gets every byte of it."""
    if sys.stdout.isatty():
        click.echo(click.style(readable(text), fg=fg) if fg else readable(text))
    else:
        click.echo(text, color=True)  # or their own colours would be taken out


def emit(value: Any) -> None:
    """Write a result for programs."""
    click.echo(json.dumps(value, indent=2, ensure_ascii=False))


def answer(globals_: Globals, value: Any, tell: Callable[[], None]) -> None:
    """Give a result: as JSON to a program, in words to a person."""
    if globals_.as_json:
        emit(value)
    else:
        tell()


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Write rows below the names of their columns: in colour and fitted on a terminal, plain in a pipe."""
    if is_terminal() and colour() is None:
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text

        made = Table(box=None, pad_edge=False, header_style="bold")
        for each in columns:
            made.add_column(each)
        for row in rows:
            made.add_row(*(Text.from_ansi(cell) for cell in row))
        Console().print(made)
        return
    plain = [[click.unstyle(cell) for cell in row] for row in (columns, *rows)]
    widths = [max(len(row[at]) for row in plain) for at in range(len(columns))]
    for row in plain:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


@contextmanager
def spinner(text: str) -> Iterator[None]:
    """Show a person that something slow is going on; nothing is written to a pipe."""
    if is_dumb() or not (sys.stderr.isatty() and is_terminal()):
        yield
        return
    import threading

    from rich.console import Console

    status = Console(stderr=True).status(text)
    timer = threading.Timer(SPINS_AFTER_S, status.start)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        status.stop()
