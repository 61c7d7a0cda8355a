"""``.env`` files: ``KEY=VALUE`` lines, read strictly, in which a value can use those above it and nothing else."""

from __future__ import annotations

import re
from collections.abc import Iterator

from attrs import field, frozen

from mcpgateway.config.expand import expand
from mcpgateway.config.problems import Problem, Where, Wrong

LINE = re.compile(r"(?:export\s+)?(?P<name>[A-Za-z_][A-Za-z0-9_]*)[ \t]*=[ \t]*(?P<value>.*)", re.DOTALL)
OPEN = re.compile(r"[ \t]*(?:export[ \t]+)?[A-Za-z_][A-Za-z0-9_]*[ \t]*=[ \t]*(?=['\"])")
QUOTED = re.compile(r"""(?:'(?P<plain>[^']*)'|"(?P<escaped>(?:[^"\\]|\\.)*)")[ \t]*(?P<comment>\#.*)?""")
SPANNING = re.compile(rf"(?:{QUOTED.pattern})$", re.MULTILINE)
COMMENT = re.compile(r"(?:^|[ \t]+)#.*")
ESCAPE = re.compile(r"\\(.)")
# An escaped character begins no variable.
ESCAPES = {"n": "\n", "r": "\r", "t": "\t", "$": "${:-$}", "{": "${:-{}"}


@frozen
class Statement:
    """One ``KEY=VALUE`` of a file.

    :ivar value: its value, with its variables not yet expanded.
    :ivar is_plain: the value has no variables, even if it seems to.
    :ivar comment: the comment behind it, from its ``#`` on.
    :ivar begin: the position of its first line in the text.
    :ivar end: the position of the end of its last line.
    """

    name: str
    value: str = field(repr=False)
    is_plain: bool
    comment: str
    begin: int
    end: int


def parse_dotenv(text: str, file: str) -> dict[str, str]:
    r"""Return the variables of a ``.env`` file; the last of several with one name counts.

    Single quotes keep everything, double quotes know ``\n``, ``\t``, ``\"``, ``\$`` and ``\\``, and outside
    quotes a blank and a ``#`` begin a comment.  A quoted value may have several lines, as keys do.  Except in single
    quotes, ``${NAME}`` stands for the value of that name above it in the file; any other such name stays as written, so
    that no variable of the process leaks in.

    :raise ConfigError: a line is no ``KEY=VALUE``; the message names the line and never shows it.
    """
    found: dict[str, str] = {}
    for each in statements(with_newlines(text), file):
        found[each.name] = each.value if each.is_plain else expand(each.value, found, keep_unset=True).text
    return found


def with_newlines(text: str) -> str:
    """Return a text with the line ends of this system."""
    return text.replace("\r\n", "\n").replace("\r", "\n")


def statements(text: str, file: str) -> Iterator[Statement]:
    """Iterate over the variables of a ``.env`` file, in its order.

    :raise ConfigError: a line is no ``KEY=VALUE``; the message names the line and never shows it.
    """
    at, number = 0, 1
    while at < len(text):
        line, end = _line(text, at)
        if line and not line.startswith("#"):
            match = LINE.fullmatch(line)
            value = _value(match["value"]) if match else None
            if match is None or value is None:
                raise Wrong(Problem(Where(file, number), "something else", "KEY=VALUE"))
            raw = match["value"]
            yield Statement(match["name"], value, raw.startswith("'"), _comment(raw), at, end)
        number += text.count("\n", at, end) + 1
        at = end + 1


def _line(text: str, at: int) -> tuple[str, int]:
    """Return the text up to the end of a line, or of the line in which a quotation ends, and that position."""
    begun = OPEN.match(text, at)
    quoted = SPANNING.match(text, begun.end()) if begun else None
    end = quoted.end() if quoted else text.find("\n", at)
    end = len(text) if end < 0 else end
    return text[at:end].strip(), end


def _value(text: str) -> str | None:
    if text[:1] not in ("'", '"'):
        return COMMENT.sub("", text)
    quoted = QUOTED.fullmatch(text)
    if quoted is None:
        return None
    if quoted["plain"] is not None:
        return quoted["plain"]
    return ESCAPE.sub(lambda each: ESCAPES.get(each[1], each[1]), quoted["escaped"])


def _comment(text: str) -> str:
    quoted = QUOTED.fullmatch(text) if text[:1] in ("'", '"') else None
    if quoted:
        return quoted["comment"] or ""
    found = COMMENT.search(text)
    return found[0].strip(" \t") if found else ""
