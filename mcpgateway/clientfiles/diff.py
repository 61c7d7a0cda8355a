"""The difference that a change makes in a client's file: a unified diff of the changed lines, without secrets.

# Note [Nothing that is not ours to show]
A client's file holds more than servers: tokens, accounts, histories.  Of the lines around a change only the keys are
shown.  In the changed lines only texts are shown that belong to a server's entry and are no secret there.  Of a long
line nothing is shown.  JSON in one line is laid out in lines first, else all of the file were a changed line.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import takewhile
from typing import Any

from attrs import field, frozen

from mcpgateway.config.document import visible
from mcpgateway.policy.secrets.masking import address, masked
from mcpgateway.policy.secrets.shapes import MASK, is_random, is_secret, shaped, without_tokens

CONTEXT_LINES = 3
LINE_CHARACTERS = 1000
# A shorter secret is hidden only where it stands alone, since it may well be a part of other words.
LONG_CHARACTERS = 6
HIDDEN = "…"
OTHER_VALUE = "another value"  # that is not shown, as the former one
TAB = "    "
UNQUOTED = re.compile(r"""[^"']+""")
HUNK = re.compile(r"@@ -(\d+)(,\d+)? \+(\d+)(,\d+)? @@")
STRUCTURE = re.compile(r"[\s{}\[\](),]*")
# A key up to its colon or equals sign; the name of a table.
KEY = re.compile(r"""\s*(?:-\s+)?(?:"(?:\\.|[^"\\])*"|[\w.-]+)\s*[:=](?:\s*[{\[])?|\s*\[[\w.'" -]+\]""")
QUOTED = re.compile(
    r"""(?P<name>"[^"\\]*"\s*[:=]\s*|\b[\w.-]+\s*[:=]\s*)?(?P<text>"(?:\\.|[^"\\])*"|'[^']*')(?P<key>\s*[:=])?"""
)
PLAIN = re.compile(
    r"""(?P<name>\s*(?:-\s+)?(?:[\w.-]+\s*[:=]\s+)?)(?P<text>[^\s"'{}\[\]][^"'{}\[\]]*?)(?P<end>,?\s*)"""
)


# A path whose first directory tells that it is one; each part may be a secret all the same.
PATH = re.compile(
    r"(?:~|/(?:home|Users|Volumes|data|etc|media|mnt|opt|private|root|run|srv|tmp|usr|var))(?:/[\w.@+ -]{1,60})+/?"
)


@frozen
class Vocabulary:
    """The texts in the entries of a file.

    :ivar secrets: the texts that are never shown: values of variables and headers, queries of URLs, passwords.
    :ivar known: the texts that may be shown.
    :ivar told: what is shown of a text that is a secret in part only, such as a URL with a key.
    """

    secrets: frozenset[str] = field(repr=False)
    known: frozenset[str] = field(repr=False)
    told: Mapping[str, str] = field(factory=dict, repr=False)


def vocabulary(values: Iterable[Any]) -> Vocabulary:
    """Return the texts in these entries."""
    secrets: set[str] = set()
    known: set[str] = set()
    told: dict[str, str] = {}
    for each in values:
        _collect(each, masked(each), secrets, known, told)
    return Vocabulary(frozenset(secrets), frozenset(known - secrets), told)


def diff(path: str, before: str, after: str, words: Vocabulary, *, what: str = "enrolled") -> Iterator[str]:
    """Iterate over the lines of a unified diff, in which control characters are escaped.

    :param what: the word for the new version of the file.
    """
    old, new = _lines(before, after)
    # Common lines at both ends of a long file are left out of the slow comparison.
    head = _same(zip(old, new, strict=False))
    most = min(len(old), len(new)) - head
    tail = min(most, _same(zip(reversed(old), reversed(new), strict=False)))
    start, stop = max(0, head - CONTEXT_LINES), max(0, tail - CONTEXT_LINES)
    pieces = old[start : len(old) - stop], new[start : len(new) - stop]
    lines = list(difflib.unified_diff(*pieces, n=CONTEXT_LINES, lineterm=""))
    if lines:
        yield f"--- {visible(path)}"
        yield f"+++ {visible(path)} ({what})"
    removed: set[str] = set()
    for line in lines[2:]:
        told = _shown(line, start, words)
        if line.startswith("-"):
            removed.add(told[1:])
        is_other = line.startswith("+") and MASK in told and told[1:] in removed
        yield f"{told}  ({OTHER_VALUE})" if is_other else told


def _lines(before: str, after: str) -> tuple[list[str], list[str]]:
    old, new = before.splitlines(), after.splitlines()
    if not any(len(each) == 1 or any(len(line) > LINE_CHARACTERS for line in each) for each in (old, new)):
        return old, new
    try:
        laid = [json.dumps(json.loads(each), indent=2, ensure_ascii=False) for each in (before, after)]
    except (ValueError, RecursionError):
        return old, new
    return (laid[0].splitlines(), laid[1].splitlines()) if laid[0] != laid[1] else (old, new)


def _same(pairs: Iterable[tuple[str, str]]) -> int:
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))


def _shown(line: str, offset: int, words: Vocabulary) -> str:
    found = HUNK.match(line)
    if found:
        return f"@@ -{int(found[1]) + offset}{found[2] or ''} +{int(found[3]) + offset}{found[4] or ''} @@"
    sign, text = line[:1], line[1:]
    if len(text) > LINE_CHARACTERS:
        return f"{sign}{HIDDEN} a line of {len(text)} characters"
    body = text.lstrip("\t")
    indent = TAB * (len(text) - len(body))
    return sign + indent + visible(_context(body) if sign == " " else _changed(body, words))


def _context(text: str) -> str:
    key = KEY.match(text)
    known = key[0] if key else ""
    rest = text[len(known) :]
    if STRUCTURE.fullmatch(rest):
        return text
    blank = re.match(r"\s*", rest)
    return f"{known}{blank[0] if blank else ''}{HIDDEN}"


def _changed(text: str, words: Vocabulary) -> str:
    plain = PLAIN.fullmatch(text)
    if plain:
        value = plain["text"]
        if value in words.secrets or is_secret(plain["name"]):
            told = MASK if is_secret(plain["name"]) else words.told.get(value, MASK)
            return f"{plain['name']}{told}{plain['end']}"
        is_known = value in words.known or value.endswith(":")  # a key with more below it
        return address(text) if is_known else f"{plain['name']}{HIDDEN}{plain['end']}"
    text = QUOTED.sub(lambda found: _quoted(found, words), text)
    for each in sorted(words.secrets, key=len, reverse=True):
        if len(each) >= LONG_CHARACTERS:
            text = text.replace(each, MASK)
    # The end of an address is the end of the text that it stands in, not that of the line.
    return without_tokens(UNQUOTED.sub(lambda found: address(found[0]), text))


def _quoted(found: re.Match[str], words: Vocabulary) -> str:
    name, text = found["name"] or "", found["text"]
    value = _value(text)
    if found["key"] and not name:
        return found[0]
    is_named = is_secret(name.rstrip(" :=\"'"))
    if value in words.secrets or is_named:
        told = MASK if is_named else words.told.get(value, MASK)
        return f"{name}{text[0]}{json.dumps(told, ensure_ascii=False)[1:-1]}{text[0]}{found['key'] or ''}"
    return found[0] if value in words.known else f"{name}{text[0]}{HIDDEN}{text[0]}{found['key'] or ''}"


def _value(quoted: str) -> str:
    try:
        return str(json.loads(quoted)) if quoted[0] == '"' else quoted[1:-1]
    except ValueError:
        return quoted[1:-1]


def _is_plain_path(name: str, text: str) -> bool:
    """True if the value of a variable is the path of a file, and says nothing that is secret."""
    is_path = PATH.fullmatch(text) is not None and not is_secret(name)
    return is_path and next(shaped(text), None) is None and not any(map(is_random, text.split("/")))


def _collect(
    value: Any, shown: Any, secrets: set[str], known: set[str], told: dict[str, str], name: str = ""
) -> None:
    if isinstance(value, Mapping):
        for key, each in value.items():
            known.add(str(key))
            under = shown.get(key) if isinstance(shown, Mapping) else None
            _collect(each, under, secrets, known, told, str(key))
    elif isinstance(value, list | tuple):
        same = shown if isinstance(shown, list | tuple) and len(shown) == len(value) else [None] * len(value)
        for one, other in zip(value, same, strict=True):
            _collect(one, other, secrets, known, told)
    elif value is not None:
        text = value if isinstance(value, str) else json.dumps(value, default=str)
        if value == shown or _is_plain_path(name, text):
            known.add(text)
            return
        if isinstance(shown, str):
            told[text] = MASK if told.get(text) == MASK else shown
        # A long text may stand on several lines, and with escapes in it.
        secrets |= {
            text,
            json.dumps(text)[1:-1],
            *(each.strip() for each in text.splitlines() if each.strip()),
        }
