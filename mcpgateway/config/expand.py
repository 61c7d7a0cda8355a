"""Variables in configuration text: ``${VAR}``, ``${VAR:-default}``, ``${VAR:?message}`` and ``{env:VAR}``.

``${env:VAR}``, as editors write it, means the same as ``{env:VAR}``.  What a variable holds is never expanded
again, so a value cannot name another.  ``${:-text}`` is that text: ``${:-$}{VAR}`` is no variable, but reads so.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from attrs import field, frozen

VARIABLE = re.compile(
    r"\$\{(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?::(?P<how>[-?])(?P<rest>[^}]*))?\}"
    r"|\$?\{env:(?P<env>[A-Za-z_][A-Za-z0-9_]*)\}"
)

# A default that belongs to no variable is a text that is never expanded.
ALL = re.compile(rf"{VARIABLE.pattern}|\$\{{:-(?P<text>[^}}]*)\}}")
# What makes a text mean more than it says.
OPENING = re.compile(r"\$(?=\{)|\{(?=env:)")

# They would end a line of an environment file or of a header, or the value itself.
FORBIDDEN = re.compile(r"[\r\n\0]")


@frozen
class Expanded:
    """A text after expansion.

    :ivar text: the result.
    :ivar used: what stands for each variable of the text, by name; empty for one that is not set.
    :ivar unset: the variables that had no value and no default, in order.
    :ivar broken: the variables whose value holds a line break or a NUL.
    :ivar demanded: for each ``${VAR:?message}`` without a value, the variable and its message.
    """

    text: str = field(repr=False)
    unset: tuple[str, ...] = ()
    broken: tuple[str, ...] = ()
    demanded: tuple[str, ...] = ()
    used: Mapping[str, str] = field(factory=dict, repr=False)


def expand(text: str, values: Mapping[str, str], *, keep_unset: bool = False) -> Expanded:
    """Replace the variables of a text.

    :param values: what the variables hold.
    :param keep_unset: leave a variable without a value as it is written, instead of making it empty.
    """
    if "{" not in text:
        return Expanded(text)
    unset: list[str] = []
    broken: list[str] = []
    demanded: list[str] = []
    used: dict[str, str] = {}

    def replace(found: re.Match[str]) -> str:
        if found["text"] is not None:
            return found["text"]
        name = found["name"] or found["env"]
        value = values.get(name)
        how = found["how"]
        used[name] = (found["rest"] if how == "-" and not value else value) or ""
        # As in a shell, the colon makes an empty variable count as an unset one.
        if value is not None and (value or not how):
            if FORBIDDEN.search(value):
                broken.append(name)
            return value
        if how == "-":
            return found["rest"]
        if how == "?":
            demanded.append(f"{name}: {found['rest'] or 'is not set'}")
        else:
            unset.append(name)
        return found[0] if keep_unset else ""

    expanded = ALL.sub(replace, text)
    return Expanded(expanded, tuple(unset), tuple(broken), tuple(demanded), used)


def escaped(text: str) -> str:
    """Return what becomes a text when it is expanded."""
    return OPENING.sub(r"${:-\g<0>}", text) if "{" in text else text


def unescaped(text: str) -> str:
    """Return a text as it was before it was escaped; its variables stay."""
    return expand(text, {}, keep_unset=True).text if "${:-" in text else text
