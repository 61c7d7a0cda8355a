"""Writing ``.env`` files that users keep: values are set, and everything else stays unchanged."""

from __future__ import annotations

import re
from collections.abc import Mapping

from mcpgateway.config.dotenv import statements, with_newlines

NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
# Characters that end a quotation or a line, or begin a variable.
SPECIAL = re.compile(r'[\\"$\n\r]|\{(?=env:)')
ESCAPES = {"\n": "\\n", "\r": "\\r"}


def written(name: str, value: str) -> str:
    """Return the line of a variable, which readers decode to exactly this value."""
    return f'{name}="{SPECIAL.sub(_escape, value)}"'


def updated(text: str, file: str, values: Mapping[str, str], notes: Mapping[str, str] | None = None) -> str:
    """Return the text of a ``.env`` file with these values in it.

    An existing variable keeps its place, also where it occurs several times; new ones are added at the end, in the
    order of their names.  Comments, blank lines and all other variables stay.

    :param notes: for some variables, the comment above those that are added.
    :raise ConfigError: the text is no ``.env`` file.
    """
    end_of_line = "\r\n" if "\r\n" in text else "\n"
    text = with_newlines(text)
    pieces: list[str] = []
    known: set[str] = set()
    at = 0
    for each in statements(text, file):
        known.add(each.name)
        if each.name in values:
            line = f"{written(each.name, values[each.name])} {each.comment}".rstrip(" ")
            pieces += (text[at : each.begin], line)
            at = each.end
    pieces.append(text[at:])
    content = "".join(pieces)
    if content and not content.endswith("\n"):
        content += "\n"
    added = "".join(_added(name, values[name], notes or {}) for name in sorted(values.keys() - known))
    return (content + added).replace("\n", end_of_line)


def _added(name: str, value: str, notes: Mapping[str, str]) -> str:
    note = f"# {notes[name]}\n" if name in notes else ""
    return f"{note}{written(name, value)}\n"


def _escape(found: re.Match[str]) -> str:
    return ESCAPES.get(found[0], f"\\{found[0]}")
