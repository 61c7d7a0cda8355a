"""Output of commands: text and tables for a person, JSON for a program."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple, NoReturn

import click

from mcpgateway import escaping
from mcpgateway.cli.context import Globals

DONE, FAILED, UNREACHABLE, DRIFT, ROLLED_BACK = range(5)
USAGE = 64  # a mistyped command line, as in sysexits.h
"""Exit codes: done; an error, or findings; no gateway answers; files are not as they should be; all was undone."""

SPINS_AFTER_S = 0.5
STATE_COLOURS = {
    "running": "green",
    "idle": "cyan",
    "starting": "cyan",
    "stopped": "cyan",
    "degraded": "yellow",
    "needs login": "yellow",
    "restarting": "yellow",
    "error": "red",
    "unreachable": "red",
}
COLOUR_MARKS = {"green": "●", "cyan": "○", "yellow": "!", "red": "✗"}
"""The marks that stand for colours on a terminal without them (``NO_COLOR``)."""
NO_SERVERS = (
    "There are no servers.\n"
    "mcpgateway servers add NAME URL adds one, and servers add NAME -- COMMAND a program;"
    " mcpgateway clients plan shows those of your clients."
)
HELP = "mcpgateway COMMAND --help says what a command takes, mcpgateway doctor looks for what is wrong"


class Trouble(click.ClickException):
    """The reason that ends a command, and the advice for the user.

    :ivar hint: the advice; empty for none.
    :ivar code: the exit code.
    """

    def __init__(self, message: str, hint: str = "", code: int = FAILED) -> None:
        super().__init__(message)
        self.hint = hint
        self.code = code

    def tell(self, *, as_json: bool) -> None:
        """Print the error and its hint on stderr; as JSON, print an object on stdout."""
        if as_json:
            emit({"error": self.message, "hint": self.hint or HELP})
            return
        paragraph(styled("mcpgateway: ", fg="red"), self.message, err=True)
        for line in self.hint.removesuffix("\n").split("\n") if self.hint else ():
            say(f"  {line}", err=True, dim=True)


def only_here(globals_: Globals, command: str) -> None:
    """Refuse options that name a gateway, for a command that works on this machine.

    :raise click.UsageError: ``--url`` or ``--token-file`` was given.
    """
    if globals_.url or globals_.token_file:
        raise click.UsageError(f"{command}: --url and --token-file do not apply: it works on this machine")


def fail(message: str, hint: str = "", code: int = FAILED) -> NoReturn:
    """End the command with an error.

    :raise Trouble: always.
    """
    raise Trouble(message, hint, code)


def is_terminal() -> bool:
    """Return whether stdout is a terminal."""
    return sys.stdout.isatty() and not os.environ.get("MCPGATEWAY_PLAIN")


def is_dumb() -> bool:
    """Return whether the terminal shows letters only."""
    return os.environ.get("TERM") == "dumb"


def colour() -> bool | None:
    """Return False if no output may be coloured; None if that depends on the output being a terminal."""
    is_plain = os.environ.get("NO_COLOR") or os.environ.get("MCPGATEWAY_PLAIN") or is_dumb()
    return False if is_plain else None


class Styled(NamedTuple):
    """A part of a line with its style."""

    text: str
    fg: str | None = None
    bold: bool = False
    dim: bool = False


Part = str | Styled


def styled(text: str, fg: str | None = None, *, bold: bool = False, dim: bool = False) -> Styled:
    """Return a part of a line, or the cell of a table, in a colour or style."""
    return Styled(text, fg, bold, dim)


def say(
    *parts: Part,
    err: bool = False,
    nl: bool = True,
    fg: str | None = None,
    bold: bool = False,
    dim: bool = False,
) -> None:
    """Write one line; characters that do not print are escaped.

    :param err: True for stderr.
    :param nl: True if a line end follows.
    """
    dressed = (_dressed(each if isinstance(each, Styled) else Styled(each, fg, bold, dim)) for each in parts)
    click.echo("".join(dressed), err=err, nl=nl, color=colour())


def paragraph(*parts: Part, err: bool = False, fg: str | None = None, dim: bool = False) -> None:
    """Write a sentence that may quote several lines: these are indented, so that they differ from the program's own."""
    *before, last = parts
    first, *more = (last.text if isinstance(last, Styled) else last).removesuffix("\n").split("\n")
    opening = (before[0].text if isinstance(before[0], Styled) else before[0]) if before else first
    indent = opening[: len(opening) - len(opening.lstrip(" "))]
    say(*before, first, err=err, fg=fg, dim=dim)
    for line in more:
        say(f"{indent}  {line}", err=err, fg=fg, dim=dim)


def show(text: str, *, fg: str | None = None, nl: bool = True) -> None:
    """Write a text of several lines, such as a result; characters that do not print are escaped."""
    shown = escaping.lines(text)
    click.echo(click.style(shown, fg=fg) if fg else shown, nl=nl, color=colour())


def _dressed(part: Styled) -> str:
    text = escaping.one_line(part.text)
    return click.style(text, part.fg, bold=part.bold or None, dim=part.dim or None) if any(part[1:]) else text


def confirm(text: str, *, default: bool | None = False, abort: bool = False, err: bool = False) -> bool:
    """Ask the user for a yes or no."""
    return click.confirm(escaping.one_line(text), default=default, abort=abort, err=err)


def emit(value: Any) -> None:
    """Write a result for programs."""
    click.echo(in_json(value))


def in_json(value: Any, indent: int | None = 2) -> str:
    """Return a value as JSON; characters that do not print are escaped."""
    return escaping.in_json(json.dumps(value, indent=indent, ensure_ascii=False))


def answer(globals_: Globals, value: Any, tell: Callable[[], None]) -> None:
    """Print a result: as JSON for a program, in words for a person."""
    if globals_.as_json:
        emit(value)
    else:
        tell()


def format_duration(seconds: float) -> str:
    """Return a duration in words: ``42s``, ``3m 5s``, ``7h 12m``."""
    whole = int(seconds)
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m {whole % 60}s"
    return f"{whole // 3600}h {whole // 60 % 60}m"


def shortened(path: str) -> str:
    """Return a path as its user would write it: with ``~`` for the home directory."""
    home = os.path.expanduser("~")
    return f"~{path[len(home) :]}" if path.startswith(f"{home}/") else path


def local_time(at: str) -> str:
    """Return a time of the gateway's (ISO 8601) in local time: ``11-23 06:20:00``; other texts are unchanged."""
    from datetime import datetime

    try:
        return datetime.fromisoformat(at).astimezone().strftime("%m-%d %H:%M:%S")
    except ValueError:
        return at


def heading(text: str) -> None:
    """Write a heading, after an empty line."""
    say()
    say(text, bold=True)


def coloured(state: str) -> Styled:
    """Return the state of a server, in its colour, or behind a mark on a terminal without colours."""
    fg = STATE_COLOURS.get(state)
    if fg and is_terminal() and colour() is False and not is_dumb():
        return styled(f"{COLOUR_MARKS[fg]} {state}")
    return styled(state, fg=fg)


def table(columns: Sequence[str], rows: Sequence[Sequence[Part]]) -> None:
    """Write rows below the names of their columns: in colour and fitted on a terminal, plain in a pipe.

    Several lines in one cell become one, with bars between them.
    """
    cells = [[each if isinstance(each, Styled) else Styled(each) for each in row] for row in rows]
    cells = [[each._replace(text=_in_a_cell(each.text)) for each in row] for row in cells]
    if is_terminal() and colour() is None:
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text

        made = Table(box=None, pad_edge=False, header_style="bold")
        for name in columns:
            made.add_column(name)
        for row in cells:
            made.add_row(*(Text(cell.text, style=_rich(cell)) for cell in row))
        Console().print(made)
        return
    plain = [list(columns), *([cell.text for cell in row] for row in cells)]
    widths = [max(len(row[at]) for row in plain) for at in range(len(columns))]
    for line in plain:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


def _in_a_cell(text: str) -> str:
    return escaping.one_line(" | ".join(text.removesuffix("\n").split("\n")))


def _rich(cell: Styled) -> str:
    words = (cell.fg or "", "bold" if cell.bold else "", "dim" if cell.dim else "")
    return " ".join(filter(None, words))


@contextmanager
def spinner(text: str) -> Iterator[None]:
    """Show a person that the command is at work; a pipe gets no output."""
    if is_dumb() or not (sys.stderr.isatty() and is_terminal()):
        yield
        return
    import threading

    from rich.console import Console
    from rich.text import Text

    status = Console(stderr=True).status(Text(escaping.one_line(text)))
    timer = threading.Timer(SPINS_AFTER_S, status.start)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        status.stop()
