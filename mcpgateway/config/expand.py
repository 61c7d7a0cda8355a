"""Variables in configuration text: ``${VAR}``, ``${VAR:-default}``, ``${VAR:?message}`` and ``{env:VAR}``.

``${cmd:program argument}`` and ``${keyring:service/name}`` are the output of a program and a value of the desktop's
keyring; they are fetched before a text is expanded (`mcpgateway.config.external_values`).

``${env:VAR}``, as editors write it, means the same as ``{env:VAR}``.  The value of a variable is never expanded again,
so a value cannot name another variable.  ``${:-text}`` is that text: ``${:-$}{VAR}`` is the text ``${VAR}``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from attrs import field, frozen

VARIABLE = re.compile(
    r"\$\{(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?::(?P<how>[-?])(?P<rest>[^}]*))?\}"
    r"|\$?\{env:(?P<env>[A-Za-z_][A-Za-z0-9_]*)\}"
)

# External values.  A default has a minus in this place, and a message a question mark.
SOURCE = re.compile(r"\$\{(?P<source>cmd|keyring):(?P<what>[^-?}][^}]*)\}")
# A default that belongs to no variable is a text that is never expanded.
ALL = re.compile(rf"{VARIABLE.pattern}|{SOURCE.pattern}|\$\{{:-(?P<text>[^}}]*)\}}")
# The beginning of a variable.
OPENING = re.compile(r"\$(?=\{)|\{(?=env:)")

# Characters that would end a line of an environment file or of a header, or the value itself.
FORBIDDEN = re.compile(r"[\r\n\0]")


@frozen
class Expanded:
    """A text after expansion.

    :ivar text: the result.
    :ivar used: the value of each variable of the text, by name; empty for one that is not set.
    :ivar unset: the variables that had no value and no default, in order.
    :ivar broken: the variables whose value holds a line break or a NUL.
    :ivar lacking: the external values that have not been fetched, as ``keyring:service/name``.
    :ivar demanded: for each ``${VAR:?message}`` without a value, the variable and its message.
    """

    text: str = field(repr=False)
    unset: tuple[str, ...] = ()
    broken: tuple[str, ...] = ()
    demanded: tuple[str, ...] = ()
    used: Mapping[str, str] = field(factory=dict, repr=False)
    lacking: tuple[str, ...] = ()


def expand(text: str, values: Mapping[str, str], *, keep_unset: bool = False) -> Expanded:
    """Replace the variables of a text.

    :param values: the values of the variables.
    :param keep_unset: leave a variable without a value as written, instead of making it empty.
    """
    if "{" not in text:
        return Expanded(text)
    work = _Expansion(values, keep_unset=keep_unset)
    expanded = ALL.sub(work.replaced, text)
    return Expanded(
        expanded, tuple(work.unset), tuple(work.broken), tuple(work.demanded), work.used, tuple(work.lacking)
    )


class _Expansion:
    """The expansion of one text, with the variables it finds."""

    def __init__(self, values: Mapping[str, str], *, keep_unset: bool) -> None:
        self.values = values
        self.keep_unset = keep_unset
        self.unset: list[str] = []
        self.broken: list[str] = []
        self.demanded: list[str] = []
        self.lacking: list[str] = []
        self.used: dict[str, str] = {}

    def replaced(self, found: re.Match[str]) -> str:
        if found["text"] is not None:
            return found["text"]
        if found["source"]:
            return self._external(f"{found['source']}:{found['what']}", found[0])
        name = found["name"] or found["env"]
        value = self.values.get(name)
        how = found["how"]
        self.used[name] = (found["rest"] if how == "-" and not value else value) or ""
        # As in a shell, the colon makes an empty variable count as an unset one.
        if value is not None and (value or not how):
            if FORBIDDEN.search(value):
                self.broken.append(name)
            return value
        if how == "-":
            return found["rest"]
        if how == "?":
            self.demanded.append(f"{name}: {found['rest'] or 'is not set'}")
        else:
            self.unset.append(name)
        return found[0] if self.keep_unset else ""

    def _external(self, name: str, written: str) -> str:
        value = self.values.get(name)
        if value is None:
            self.lacking.append(name)
            return written if self.keep_unset else ""
        self.used[name] = value
        if FORBIDDEN.search(value):
            self.broken.append(called(name))
        return value


def called(name: str) -> str:
    """Return the name of an external value for messages, without the words of a command, which may be secrets."""
    return "${cmd:…}" if name.startswith("cmd:") else f"${{{name}}}"


def escaped(text: str) -> str:
    """Return the text whose expansion is this text."""
    return OPENING.sub(r"${:-\g<0>}", text) if "{" in text else text


def unescaped(text: str) -> str:
    """Return a text as it was before it was escaped; its variables stay."""
    return expand(text, {}, keep_unset=True).text if "${:-" in text else text
