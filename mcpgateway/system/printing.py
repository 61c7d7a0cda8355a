"""Printing by programs: a line stays one line, and control characters have no effect on the terminal."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from typing import Any, TextIO

from mcpgateway import escaping


def put(*lines: str, to: TextIO | None = None) -> None:
    """Print lines.

    :param to: the stream; stdout where it is None.
    """
    (to or sys.stdout).write("".join(f"{escaping.one_line(line)}\n" for line in lines))


def indented(text: str) -> Iterator[str]:
    """Iterate over the lines of a text; all but the first are indented, so that none looks like the gateway's."""
    first, *more = text.split("\n")
    yield first
    yield from (f"    {line}" for line in more)


def put_json(value: Any, indent: int | None = 2) -> None:
    """Print a value as JSON."""
    sys.stdout.write(in_json(value, indent) + "\n")


def in_json(value: Any, indent: int | None = 2) -> str:
    """Return a value as JSON whose every character is printable; others are escaped."""
    return escaping.in_json(json.dumps(value, indent=indent, ensure_ascii=False, default=str))


def put_text(text: str) -> None:
    """Print a text of several lines, such as a file."""
    sys.stdout.write(escaping.lines(text))


def ask(question: str) -> str:
    """Print a question, and return the user's answer without blanks around it."""
    sys.stdout.write(f"{escaping.one_line(question)} ")
    sys.stdout.flush()
    return sys.stdin.readline(16).strip()
