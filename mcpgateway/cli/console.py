"""Output of commands: text and tables for a person, JSON for a program."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from itertools import cycle
from shlex import quote
from shutil import get_terminal_size
from typing import Any, NamedTuple, NoReturn

import click

from mcpgateway import escaping
from mcpgateway.cli.context import Globals
from mcpgateway.cli.layout import (
    BETWEEN,
    NARROWEST,
    Line,
    broken,
    cut_in_the_middle,
    display_width,
    hanging,
    laid_out,
)
from mcpgateway.cli.local.editors import without_editor
from mcpgateway.cli.pager import paged
from mcpgateway.hints import PROGRAM, cli

DONE, FAILED, UNREACHABLE, DRIFT, ROLLED_BACK = range(5)
USAGE = 64  # a mistyped command line, as in sysexits.h
INTERRUPTED = 130  # Ctrl-C, as shells tell it
"""Exit codes: done; an error, or findings; no gateway answers; files are not as they should be; all was undone."""

SPINS_AFTER_S, FRAME_S = 0.5, 0.1
FRAMES = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
ERASE = "\r\x1b[K"
STATE_COLOURS = {
    "running": "green",
    "asleep": "green",
    "idle": "cyan",
    "starting": "cyan",
    "stopped": "cyan",
    "degraded": "yellow",
    "needs login": "yellow",
    "restarting": "yellow",
    "error": "red",
    "unreachable": "red",
    "not ready": "red",
    "failed": "red",
    "disabled": "bright_black",
}
RESTING, READY = frozenset(("stopped", "idle")), "ready"
COLOUR_MARKS = {"green": "●", "cyan": "○", "yellow": "!", "red": "✗", "bright_black": "-"}
"""The marks that stand for colours on a terminal without them (``NO_COLOR``)."""
NO_SERVERS = (
    "There are no servers.\n"
    f"{cli('servers add NAME URL')} adds one, and {cli('servers add NAME -- COMMAND')} a program;"
    f" {cli('clients plan')} shows those of your clients."
)
HELP = f"mcpgateway COMMAND --help says what a command takes, {cli('doctor')} looks for what is wrong"


_REPEATED: ContextVar[Callable[[str], str]] = ContextVar("_REPEATED", default=str)
OVER_HTTP = r"status|why|tools|sessions|wait|servers(?! (?:edit|test|install|search))|logs(?! --gateway)"
"""The commands that take the URL of a gateway."""


def repeat_in_hints(commands: Iterable[str], home: str, url: str, token_file: str) -> None:
    """Have the commands in sentences on a terminal repeat the options of this one, since users copy them.

    :param commands: the commands of the program.
    :param home: the home, if the option is needed to name it; empty otherwise, as the others.
    """
    given = {"--url": url, "--token-file": token_file} if url else {"--home": home}
    options = "".join(f"{name} {quote(value)} " for name, value in given.items() if value)
    named = re.compile(rf"\b{PROGRAM} (?=(?:{OVER_HTTP if url else '|'.join(commands)})\b)")
    _REPEATED.set(lambda text: named.sub(lambda found: found[0] + options, text) if options else text)


class Trouble(click.ClickException):
    """The reason that ends a command, and the advice for the user.

    :ivar hint: the advice; empty for none.
    :ivar code: the exit code.
    :ivar excerpt: the line of the file that the reason is about, with a caret below it; empty for none.
    """

    excerpt = ""

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
        for line in self.excerpt.splitlines():
            say(f"  {line}", err=True)
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


def can_ask(globals_: Globals) -> bool:
    """Return whether a user is there to answer a question."""
    return not globals_.as_json and is_terminal() and sys.stdin.isatty()


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
    is_foreign: bool = False,
) -> None:
    """Write one line; characters that do not print are escaped.

    On a terminal the line is broken at words, and the home directory is ``~``.

    :param err: True for stderr.
    :param nl: True if a line end follows.
    :param is_foreign: True for a line of a log or a file, which stays as it is.
    """
    line = [each if isinstance(each, Styled) else Styled(each, fg, bold, dim) for each in parts]
    is_read = not is_foreign and (sys.stderr.isatty() if err else is_terminal())
    lines = _broken(line, get_terminal_size().columns) if is_read else [line]
    click.echo("\n".join("".join(map(_dressed, each)) for each in lines), err=err, nl=nl, color=colour())


def _broken(parts: list[Styled], width: int) -> list[list[Styled]]:
    """Return the lines of a line that may be wider than the terminal, broken between its words."""
    repeated = _REPEATED.get()
    parts = [each._replace(text=escaping.one_line(_at_home(repeated(each.text)))) for each in parts]
    whole = "".join(each.text for each in parts)
    lines, begin, indent = [], 0, ""
    for end in [*broken(whole, width), len(whole)]:
        lines.append([Styled(indent), *_between(parts, begin, end)])
        begin, indent = end + 1, " " * hanging(whole)
    return lines


def _at_home(text: str) -> str:
    """Write the paths of a sentence with ``~``, but those in quotes, where a shell would not replace it."""
    home = os.path.expanduser("~")
    if len(home) < 2 or home not in text:
        return text
    return re.sub(rf"(?<![^\s(]){re.escape(home)}(?=/)", "~", text)


def _between(parts: Sequence[Styled], begin: int, end: int) -> Iterator[Styled]:
    """Return the parts of a line from one column to another."""
    at = 0
    for each in parts:
        yield each._replace(text=each.text[max(0, begin - at) : max(0, end - at)])
        at += len(each.text)


def paragraph(*parts: Part, err: bool = False, fg: str | None = None, dim: bool = False) -> None:
    """Write a sentence that may quote several lines: these are indented, so that they differ from the program's own."""
    *before, last = parts
    first, *more = (last.text if isinstance(last, Styled) else last).removesuffix("\n").split("\n")
    opening = (before[0].text if isinstance(before[0], Styled) else before[0]) if before else first
    indent = opening[: len(opening) - len(opening.lstrip(" "))]
    say(*before, first, err=err, fg=fg, dim=dim)
    for line in more:
        say(f"{indent}  {line}", err=err, fg=fg, dim=dim)


def remedy(do: str, run: str, indent: str, mark: str = "", *, key: str = "") -> None:
    """Write the remedy of a fault, and on a line of its own the command for it, so that it can be copied.

    :param do: the remedy, with the command at its end.
    :param mark: stands before the remedy.
    :param key: the key of a server's entry that the remedy changes; empty where it is not known.
    """
    words = do.removesuffix(run).removesuffix(": ") if run else do
    run = without_editor(run, key)
    if words:
        paragraph(f"{indent}{mark}{words}")
    if run:
        say(f"{indent}{' ' * len(mark) if words else mark}", styled(run, bold=True))


def show(text: str, *, fg: str | None = None, nl: bool = True) -> None:
    """Write a text of several lines, such as a result; characters that do not print are escaped."""
    shown = escaping.lines(text)
    click.echo(click.style(shown, fg=fg) if fg else shown, nl=nl, color=colour())


def _dressed(part: Styled) -> str:
    text = escaping.one_line(part.text)
    if not text:
        return ""
    return click.style(text, part.fg, bold=part.bold or None, dim=part.dim or None) if any(part[1:]) else text


def until_interrupted(follow: Callable[[], None]) -> int:
    """Follow a log until it ends, or until Ctrl-C, its usual end; return the exit code."""
    try:
        follow()
    except KeyboardInterrupt:
        if sys.stderr.isatty():
            say(err=True)  # the terminal shows ^C on the line
        return INTERRUPTED
    return DONE


def confirm(text: str, *, default: bool | None = False, err: bool = False) -> bool:
    """Ask the user for a yes or no."""
    return click.confirm(escaping.one_line(text), default=default, err=err)


def choose(text: str, letters: str, more: str = "", *, default: str = "") -> str:
    """Ask the user for one of several letters; the last one is the default unless another one is named.

    :param more: further letters, which are shown after these.
    """
    default = default or letters[-1]

    def read(value: str) -> str:
        letter = value.strip().lower()[:1]
        if letter and letter in letters + more:
            return letter
        raise click.UsageError(f"the answer is one of {', '.join(letters + more)}")

    shown = "/".join(each.upper() if each == default else each for each in letters + more)
    chosen: str = click.prompt(
        f"{escaping.one_line(text)} [{shown}]", default=default, show_default=False, value_proc=read
    )
    return chosen


def emit(value: Any) -> None:
    """Write a result for programs."""
    click.echo(in_json(value))


def in_json(value: Any, indent: int | None = 2) -> str:
    """Return a value as JSON; characters that do not print are escaped."""
    return escaping.in_json(json.dumps(value, indent=indent, ensure_ascii=False))


def answer(globals_: Globals, value: Any, tell: Callable[[], None]) -> None:
    """Print a result: as JSON for a program, in words for a person, by the pager if it is long."""
    if globals_.as_json:
        emit(value)
        return
    with paged(is_on=globals_.is_paged):
        tell()


def answer_list(
    globals_: Globals, items: Sequence[Any], tell: Callable[[], None], *, older: Any = None, **more: Any
) -> None:
    """Print a list: as JSON with its ``items`` for a program, in words for a person.

    :param more: the other members of the JSON.
    :param older: the JSON of an older program's command; None for the items alone.
    """
    value = (items if older is None else older) if globals_.has_older_lists else {"items": items, **more}
    answer(globals_, value, tell)


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
    """Return the state of a server, in its colour, or behind a mark on a terminal without colours.

    On a terminal one word stands for both states of a server that its next call starts; programs read the states.
    """
    fg = STATE_COLOURS.get(state)
    shown = READY if state in RESTING and is_terminal() else state
    if fg and is_terminal() and colour() is False and not is_dumb():
        return styled(f"{COLOUR_MARKS[fg]} {shown}")
    return styled(shown, fg=fg)


def table(columns: Sequence[str], rows: Sequence[Sequence[Part]], *, cuts: str = "") -> None:
    """Write rows below the names of their columns: folded to the width of a terminal, whole in a pipe.

    Several lines in one cell become one, with bars between them.

    :param cuts: the column whose cells lose their middle rather than be folded; empty for none.
    """
    cells = [[each if isinstance(each, Styled) else Styled(each) for each in row] for row in rows]
    cells = [[each._replace(text=_in_a_cell(each.text)) for each in row] for row in cells]
    width = get_terminal_size().columns if is_terminal() else None
    if width is not None:
        columns, cells = _without_empty_columns(columns, cells)
        cells = _cut(columns, cells, width, cuts) if cuts in columns else cells
    heads, *blocks = laid_out(columns, [[cell.text for cell in row] for row in cells], width)
    for line in heads:
        _write_line(line, ())
    for block, row in zip(blocks, cells, strict=True):
        for line in block:
            _write_line(line, row)


def _without_empty_columns(
    columns: Sequence[str], cells: list[list[Styled]]
) -> tuple[list[str], list[list[Styled]]]:
    kept = [at for at in range(len(columns)) if not cells or any(row[at].text for row in cells)]
    return [columns[at] for at in kept], [[row[at] for at in kept] for row in cells]


def _cut(columns: Sequence[str], cells: list[list[Styled]], width: int, title: str) -> list[list[Styled]]:
    """Give the cells of a column the room that the others leave, if it is enough to recognize them by."""
    at = columns.index(title)
    others = [
        max(map(display_width, (name, *(row[number].text for row in cells))))
        for number, name in enumerate(columns)
        if number != at
    ]
    room = width - sum(others) - len(BETWEEN) * len(others)
    if room < NARROWEST:
        return cells
    return [
        [*row[:at], row[at]._replace(text=cut_in_the_middle(row[at].text, room)), *row[at + 1 :]]
        for row in cells
    ]


def _write_line(line: Line, row: Sequence[Styled]) -> None:
    parts = [
        _dressed(Styled(each.text, bold=True) if each.is_title else row[each.at]._replace(text=each.text))
        + " " * each.pad
        for each in line
    ]
    click.echo("".join(parts), color=colour())


def _in_a_cell(text: str) -> str:
    return escaping.one_line(" | ".join(text.removesuffix("\n").split("\n")))


@contextmanager
def spinner(text: str) -> Iterator[Callable[[str], None]]:
    """Show a person that the command is at work, and yield a function that changes the text; a pipe gets no output."""
    if is_dumb() or not (sys.stderr.isatty() and is_terminal()):
        yield lambda _text: None
        return
    import threading

    is_over = threading.Event()
    texts = [text]
    # Not by rich, whose import takes a third of the time of most commands.
    turning = threading.Thread(target=_turn, args=(texts, is_over.wait), daemon=True)
    turning.start()
    try:
        yield texts.append
    finally:
        is_over.set()
        turning.join()


def _turn(texts: Sequence[str], is_over: Callable[[float], bool]) -> None:
    """Draw the spinner with the last text in one line of stderr until the work is over, and take it away."""
    if is_over(SPINS_AFTER_S):
        return
    for frame in cycle(FRAMES):
        # A text that takes more than one line would not go away.
        shown = escaping.one_line(texts[-1])[: max(0, get_terminal_size().columns - 3)]
        sys.stderr.write(f"{ERASE}{click.style(frame, fg='green') if colour() is None else frame} {shown}")
        sys.stderr.flush()
        if is_over(FRAME_S):
            break
    sys.stderr.write(ERASE)
    sys.stderr.flush()
