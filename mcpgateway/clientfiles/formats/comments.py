"""The comments that a user has written into an enrolled entry, and their places in its restored text.

A comment stands above a key or beside one.  In the restored text it stands there again, or above the next of the keys
that followed it and that the original has, too, or else above the first key.  A comment behind all keys stays there.  A
text on one line takes it in ``/* */``, where its format has that.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import chain

from attrs import frozen

from mcpgateway.clientfiles.formats.syntax import TextForm
from mcpgateway.config.edit.edits import Splice

_BARE = r"[\w.-]+"
_QUOTED = r"\"(?:[^\"\\\n]|\\.)*\"|'[^'\n]*'"
_TOKENS = {
    TextForm.JSON: re.compile(
        r'(?P<comment>//[^\r\n]*|/\*.*?\*/)|(?P<key>"(?:[^"\\\n]|\\.)*")(?=\s*:)|"(?:[^"\\\n]|\\.)*"',
        re.DOTALL,
    ),
    TextForm.TOML: re.compile(
        rf"(?P<comment>#[^\r\n]*)|^[ \t]*(?P<key>(?:{_QUOTED}|{_BARE})(?=\s*=)|\[[^\]\n]+\])"
        rf"|\"\"\"(?:[^\\]|\\.)*?\"\"\"|'''.*?'''|{_QUOTED}",
        re.DOTALL | re.MULTILINE,
    ),
    TextForm.YAML: re.compile(
        r"(?P<comment>(?<!\S)#[^\r\n]*)"
        rf"|^[ \t]*(?:- )?(?P<key>(?:{_QUOTED}|{_BARE})(?=:(?:\s|$)))"
        rf"|(?<!\w)(?:{_QUOTED})",
        re.MULTILINE,
    ),
}


@frozen
class UserComment:
    """A comment in the text of an entry.

    :ivar beside: the key whose line it ends; empty where it has lines of its own.
    :ivar below: the keys behind it, in order.
    """

    text: str
    beside: str
    below: tuple[str, ...]


def added(text: str, form: TextForm, known: str) -> list[UserComment]:
    """Return the comments of an entry's text that another text of it does not have."""
    theirs = Counter(each["comment"].rstrip() for each in _tokens(known, form) if each["comment"])
    found: list[UserComment] = []
    key = ""
    tokens = list(_tokens(text, form))
    for index, each in enumerate(tokens):
        key = each["key"] or key
        if not each["comment"]:
            continue
        words = each["comment"].rstrip()
        if theirs[words]:
            theirs[words] -= 1
            continue
        is_beside = bool(text[_line_of(text, each.start()) : each.start()].strip())
        below = tuple(later["key"] for later in tokens[index:] if later["key"])
        found.append(UserComment(words, key if is_beside else "", below))
    return found


def place(
    text: str, form: TextForm, regions: Sequence[tuple[int, int]], comment: UserComment, newline: str
) -> Splice:
    """Return the insertion of a comment into the text of a file.

    :param regions: the beginnings and ends of the parts of the entry in the text.
    """
    keys: dict[str, int] = {}
    for start, end in regions:
        for each in _tokens(text[start:end], form):
            if each["key"]:
                keys.setdefault(each["key"], start + each.start("key"))
    if comment.beside in keys and not _is_on_one_line(text, regions[0], form):
        at = _line_end(text, keys[comment.beside])
        return Splice(at, at, f"{'  ' if form is TextForm.YAML else ' '}{comment.text}")
    above = next((keys[each] for each in chain((comment.beside,), comment.below) if each in keys), None)
    if above is None and (comment.beside or comment.below):
        above = min(keys.values(), default=None)
    if above is None:
        return _at_end(text, form, regions[0], comment, newline)
    line = _line_of(text, above)
    lead = text[line:above]
    if lead.strip() in ("", "-"):
        indent = lead.replace("-", " ")
        return Splice(line, line, f"{indent}{comment.text}{newline}")
    return _between(text, form, above, comment, newline)


def _at_end(text: str, form: TextForm, region: tuple[int, int], comment: UserComment, newline: str) -> Splice:
    start, end = region
    if form is not TextForm.JSON:
        at = _line_end(text, end)
        line = _line_of(text, end)
        indent = text[line : line + len(text[line:at]) - len(text[line:at].lstrip())]
        return Splice(at, at, f"{newline}{indent}{comment.text}")
    line = _line_of(text, end)
    if line <= start or text[line : end - 1].strip():
        return _between(text, form, end - 1, comment, newline)
    return Splice(line, line, f"{text[line : end - 1]}  {comment.text}{newline}")


def _between(text: str, form: TextForm, at: int, comment: UserComment, newline: str) -> Splice:
    """Return the insertion of a comment into a line: in front of a position of JSON, else above the line."""
    if form is not TextForm.JSON:
        line = _line_of(text, at)
        indent = text[line:at][: len(text[line:at]) - len(text[line:at].lstrip())]
        return Splice(line, line, f"{indent}{comment.text}{newline}")
    words = comment.text
    if words.startswith("//"):
        words = f"/*{words[2:]} */"
    return Splice(at, at, f"{words} ")


def _is_on_one_line(text: str, region: tuple[int, int], form: TextForm) -> bool:
    return form is TextForm.JSON and "\n" not in text[slice(*region)]


def _tokens(text: str, form: TextForm) -> Iterator[re.Match[str]]:
    return (each for each in _TOKENS[form].finditer(text) if each["comment"] or each["key"])


def _line_of(text: str, at: int) -> int:
    return text.rfind("\n", 0, at) + 1


def _line_end(text: str, at: int) -> int:
    end = text.find("\n", at)
    end = len(text) if end < 0 else end
    return end - 1 if text[end - 1 : end] == "\r" else end
