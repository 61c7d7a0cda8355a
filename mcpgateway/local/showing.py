"""What a change of a client's file looks like: a unified diff of the lines that change, without secrets.

# Note [Nothing that is not ours to show]
A client's file holds more than servers: tokens, accounts, histories.  Of the lines around a change only the keys are
shown.  In the lines that change, the texts that are secret in an entry are hidden wherever they stand, and so is what
bears the name of a secret.  Where a line is long, as in a file without line ends, it is not shown at all.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterable, Iterator
from itertools import takewhile
from typing import Any

from mcpgateway.config.document import visible
from mcpgateway.local.masking import TOKEN, address, is_secret, masked
from mcpgateway.rules.secrecy import MASK

CONTEXT_LINES = 3
LINE_CHARACTERS = 1000
# A shorter text is hidden only where it stands alone, since it may well be a part of other words.
LONG_CHARACTERS = 6
HIDDEN = "…"
HUNK = re.compile(r"@@ -(\d+)(,\d+)? \+(\d+)(,\d+)? @@")
STRUCTURE = re.compile(r"[\s{}\[\](),]*")
# A key up to its colon or equals sign; the name of a table.
KEY = re.compile(r"""\s*(?:-\s+)?(?:"(?:\\.|[^"\\])*"|[\w.-]+)\s*[:=](?:\s*[{\[])?|\s*\[[\w.'" -]+\]""")
QUOTED = re.compile(
    r"""(?P<name>"[^"\\]*"\s*[:=]\s*|\b[\w.-]+\s*[:=]\s*)?(?P<text>"(?:\\.|[^"\\])*"|'[^']*')"""
)
PLAIN = re.compile(
    r"""(?P<name>\s*(?:-\s+)?(?:[\w.-]+\s*[:=]\s+)?)(?P<text>[^\s"'{}\[\]].*?)(?P<end>,?\s*)"""
)


def secrets_of(values: Iterable[Any]) -> frozenset[str]:
    """The texts in entries that are never shown: values of variables and headers, queries of URLs, passwords."""
    found: set[str] = set()
    for each in values:
        _collect(each, masked(each), found)
    return frozenset(found)


def diff(path: str, before: str, after: str, secrets: frozenset[str]) -> Iterator[str]:
    """The lines of a unified diff, none of which can make a terminal do anything."""
    old, new = before.splitlines(), after.splitlines()
    # What is the same at both ends of a long file is nothing that the slow comparison has to see.
    head = _same(zip(old, new, strict=False))
    most = min(len(old), len(new)) - head
    tail = min(most, _same(zip(reversed(old), reversed(new), strict=False)))
    start, stop = max(0, head - CONTEXT_LINES), max(0, tail - CONTEXT_LINES)
    pieces = old[start : len(old) - stop], new[start : len(new) - stop]
    lines = list(difflib.unified_diff(*pieces, n=CONTEXT_LINES, lineterm=""))
    if lines:
        yield f"--- {visible(path)}"
        yield f"+++ {visible(path)} (led to the gateway)"
    for line in lines[2:]:
        yield _shown(line, start, secrets)


def _same(pairs: Iterable[tuple[str, str]]) -> int:
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))


def _shown(line: str, offset: int, secrets: frozenset[str]) -> str:
    found = HUNK.match(line)
    if found:
        return f"@@ -{int(found[1]) + offset}{found[2] or ''} +{int(found[3]) + offset}{found[4] or ''} @@"
    sign, text = line[:1], line[1:]
    if len(text) > LINE_CHARACTERS:
        return f"{sign}{HIDDEN} a line of {len(text)} characters"
    return sign + visible(_context(text) if sign == " " else _changed(text, secrets))


def _context(text: str) -> str:
    key = KEY.match(text)
    known = key[0] if key else ""
    rest = text[len(known) :]
    if STRUCTURE.fullmatch(rest):
        return text
    blank = re.match(r"\s*", rest)
    return f"{known}{blank[0] if blank else ''}{HIDDEN}"


def _changed(text: str, secrets: frozenset[str]) -> str:
    plain = PLAIN.fullmatch(text)
    if plain and (plain["text"] in secrets or is_secret(plain["name"])):
        return f"{plain['name']}{MASK}{plain['end']}"
    text = QUOTED.sub(lambda found: _quoted(found, secrets), text)
    for each in sorted(secrets, key=len, reverse=True):
        if len(each) >= LONG_CHARACTERS:
            text = text.replace(each, MASK)
    return TOKEN.sub(MASK, address(text))


def _quoted(found: re.Match[str], secrets: frozenset[str]) -> str:
    name, text = found["name"] or "", found["text"]
    if _value(text) in secrets or is_secret(name.rstrip(" :=\"'")):
        return f"{name}{text[0]}{MASK}{text[0]}"
    return found[0]


def _value(quoted: str) -> str:
    try:
        return str(json.loads(quoted)) if quoted[0] == '"' else quoted[1:-1]
    except ValueError:
        return quoted[1:-1]


def _collect(value: Any, shown: Any, found: set[str]) -> None:
    if isinstance(value, dict):
        for key, each in value.items():
            _collect(each, shown.get(key) if isinstance(shown, dict) else None, found)
    elif isinstance(value, list | tuple):
        same = shown if isinstance(shown, list | tuple) and len(shown) == len(value) else [None] * len(value)
        for one, other in zip(value, same, strict=True):
            _collect(one, other, found)
    elif value != shown and value is not None:
        text = value if isinstance(value, str) else json.dumps(value)
        # A long text may stand on several lines, and with escapes in it.
        found |= {text, json.dumps(text)[1:-1], *(each.strip() for each in text.splitlines() if each.strip())}
