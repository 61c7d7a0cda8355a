"""Printing by programs: each line stays one, and a terminal obeys nothing in it."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from typing import Any, TextIO

from mcpgateway import escaping


def put(*lines: str, to: TextIO | None = None) -> None:
    """Print lines.

    :param to: another stream than stdout.
    """
    (to or sys.stdout).write("".join(f"{escaping.one_line(line)}\n" for line in lines))


def indented(text: str) -> Iterator[str]:
    """The lines of a text; all but the first are indented, so that none is taken for one of ours."""
    first, *more = text.split("\n")
    yield first
    yield from (f"    {line}" for line in more)


def put_json(value: Any, indent: int | None = 2) -> None:
    """Print a value for programs."""
    sys.stdout.write(in_json(value, indent) + "\n")


def in_json(value: Any, indent: int | None = 2) -> str:
    """A value as JSON whose every character prints; those that would not are escaped."""
    return escaping.in_json(json.dumps(value, indent=indent, ensure_ascii=False, default=str))


def put_text(text: str) -> None:
    """Print a text of several lines, such as a file."""
    sys.stdout.write(escaping.lines(text))


def ask(question: str) -> str:
    """Ask the user, and return the answer without blanks around it."""
    sys.stdout.write(f"{escaping.one_line(question)} ")
    sys.stdout.flush()
    return sys.stdin.readline(16).strip()
