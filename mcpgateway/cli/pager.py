"""The pager, which shows output that is longer than the terminal, as ``less`` does."""

from __future__ import annotations

import io
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from shutil import get_terminal_size

VARIABLES = ("MCPGATEWAY_PAGER", "PAGER")
USUAL, NONE = "less", ("", "cat")
# less shows colours, ends where the output fits after all, and leaves no file in the user's home.
USED = {"LESS": "FRX", "LESSHISTFILE": "-"}
STYLE = re.compile(r"\x1b\[[0-9;]*m")


class _KeptOutput(io.TextIOWrapper):
    """Output for a terminal that is kept until all of it is known."""

    def isatty(self) -> bool:
        """Return True: the output is made for a terminal, in colour."""
        return True


@contextmanager
def paged(*, is_on: bool = True) -> Iterator[None]:
    """Show the output of a part of a command by the pager, if it is longer than the terminal of a person.

    The variables MCPGATEWAY_PAGER and PAGER name the pager; empty, or ``cat``, for none.
    """
    pager = _pager() if is_on and sys.stdin.isatty() and sys.stdout.isatty() else []
    if not pager:
        yield
        return
    data, terminal = io.BytesIO(), sys.stdout
    kept = _KeptOutput(data, encoding="utf-8", errors="replace", write_through=True)
    sys.stdout = kept
    is_whole = False
    try:
        yield
        is_whole = True
    finally:
        sys.stdout = terminal
        text = data.getvalue().decode("utf-8", "replace")
        if not (is_whole and _is_long(text) and _is_shown(pager, text)):
            terminal.write(text)
            terminal.flush()


def _pager() -> list[str]:
    """Return the command of the pager; empty for none."""
    if os.environ.get("TERM") == "dumb" or os.environ.get("MCPGATEWAY_PLAIN"):
        return []
    named = next((os.environ[each] for each in VARIABLES if each in os.environ), USUAL)
    return [] if named.strip() in NONE else named.split()


def _is_long(text: str) -> bool:
    columns, rows = get_terminal_size()
    lines = STYLE.sub("", text).splitlines()
    return sum(max(1, -(-len(each) // max(1, columns))) for each in lines) >= rows


def _is_shown(pager: list[str], text: str) -> bool:
    """Run the pager; return False if there is no such program."""
    import subprocess

    sys.stdout.flush()
    try:
        shown = subprocess.Popen(pager, stdin=subprocess.PIPE, env={**USED, **os.environ})
    except OSError:
        return False
    assert shown.stdin is not None
    with suppress(BrokenPipeError):  # the reader has seen enough
        shown.stdin.write(text.encode("utf-8", "replace"))
    with suppress(BrokenPipeError):
        shown.stdin.close()
    while True:
        try:
            shown.wait()
        except KeyboardInterrupt:
            continue  # Ctrl-C is the pager's
        return True
