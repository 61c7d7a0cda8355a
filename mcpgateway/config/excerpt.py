"""Errors of syntax: the place of the error, and its line with a caret below it.

# Note [What an excerpt shows]
The file cannot be read, so nobody knows which of its values are secret.  An excerpt shows the first key of the line,
the usual keys, and the punctuation, in which errors of syntax lie; every other letter and digit is masked.  An error
about a value that names the value shows it in the excerpt, too.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from mcpgateway.config.problems import Problem, Where, Wrong

WIDTH = 100  # characters of a line that are shown
MASK = "•"

_FIRST_KEY = re.compile(r"""[\s{\[-]*(?:[A-Za-z_][\w.-]*|"[^"]*"|'[^']*')\s*[:=]|\s*\[\[?[\w.-]+\]?\]?\s*$""")
_KNOWN = re.compile(
    r"""(?:(?<=[\s"'{\[,])|^)(?:mcpServers|mcp_servers|servers|mcp|gateway|clients|command|args|env|url|headers|type|transport
    |cwd|port|share|timeout|enabled|disabled|name|inputs|true|false|null)(?=[\s"':=,}\]]|$)""",
    re.VERBOSE,
)
_WORD = re.compile(r"\w")


def syntax_error(file: str, text: str, line: int, column: int, what: str) -> Wrong:
    """Return the error of a text that cannot be parsed.

    :param line: counted from 1.
    :param column: counted from 1; 0 if it is not known.
    """
    lines = text.split("\n")
    shown = excerpt(lines[line - 1], column) if 0 < line <= len(lines) else ""
    return Wrong(Problem(Where(file, line, column=column), what, excerpt=shown))


def excerpt(line: str, column: int, named: Iterable[str] = ()) -> str:
    """Return a line with its values masked, and below it a caret; without a column the line alone.

    See Note [What an excerpt shows].

    :param named: values that the error shows as well.
    """
    masked = _masked(line.rstrip("\r").replace("\t", " "), named)
    start = max(0, min(column - WIDTH // 2, len(masked) - WIDTH)) if len(masked) > WIDTH else 0
    shown = masked[start : start + WIDTH]
    if not column:
        return shown
    return f"{shown}\n{' ' * (column - 1 - start)}^"


def value_column(line: str, key: str) -> int:
    """Return the column of the value of a key in its line; 0 if the line has no such key."""
    found = re.search(rf"""(?<![\w-])["']?{re.escape(key)}["']?\s*[:=]\s*(?=\S)""", line)
    return found.end() + 1 if found else 0


def _masked(line: str, named: Iterable[str]) -> str:
    key = _FIRST_KEY.match(line)
    end = key.end() if key is not None else 0
    masked = line[:end] + _WORD.sub(MASK, line[end:])
    shown = [
        *_KNOWN.finditer(line),
        *(found for each in named for found in re.finditer(re.escape(each), line)),
    ]
    for found in shown:
        masked = masked[: found.start()] + found[0] + masked[found.end() :]
    # The escape of a character that does not print would move the caret.
    return "".join(each if each.isprintable() else "?" for each in masked)
