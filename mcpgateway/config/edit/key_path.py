"""Dotted keys of a server's entry, such as ``lazy.idleTimeoutMs``, to the paths of their values.

Behind ``env.``, ``headers.`` and other mappings with names of the user's own, the rest is one name:
``headers.X-Api.Key`` is the header ``X-Api.Key``.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise

from mcpgateway.config.document import printable
from mcpgateway.config.edit import alteration
from mcpgateway.config.edit.edits import NAME, Road
from mcpgateway.config.entry import SERVER
from mcpgateway.config.fields import Either, Kind, MapOf, Strings, VariableMap
from mcpgateway.config.section import NOTE_PREFIXES, Section, nearest
from mcpgateway.errors import InvalidParams

NAMED = (VariableMap, Strings, MapOf)
"""Kinds of mappings with names of the user's own."""

EXAMPLE = "such as timeout, lazy.idleTimeoutMs, args or env.NAME"


def road_of(key: str) -> Road:
    """Return the steps that a dotted key stands for.

    :raise InvalidParams: a server has no such key; the hint says which may have been meant.
    """
    if key.startswith(NOTE_PREFIXES):
        return (key,)
    road: list[str] = []
    section, rest = SERVER, key
    while True:
        name, dot, rest = rest.partition(".")
        if name not in section.keys:
            where, known = (
                (dotted(tuple(road)), f"its keys are {', '.join(section.keys)}")
                if road
                else ("a server", EXAMPLE)
            )
            raise InvalidParams(
                f"'{printable(name)}' is no key of {where}", nearest(name, section.keys) or known
            )
        if not road and name == NAME:
            raise InvalidParams("name: is not changed so", "new_name calls a server by another name")
        road.append(name)
        if not dot:
            return tuple(road)
        inner = _mapping(section.keys[name].kind)
        if isinstance(inner, NAMED) and rest:
            return (*road, rest)
        if not isinstance(inner, Section) or not rest:
            raise InvalidParams(f"{'.'.join(road)}: has no key '{printable(rest)}'", "set it as a whole")
        section = inner


def dotted(road: Road) -> str:
    """Return a path as a dotted key."""
    return ".".join(road)


def overlapping(roads: Iterable[Road]) -> str:
    """Return the dotted key of a path that equals another one or begins with it; "" where there is none."""
    known = sorted((_folded(each) for each in roads), key=lambda pair: pair[0])
    for (former, _), (later, key) in pairwise(known):
        if later[: len(former)] == former:
            return dotted(key)
    return ""


def _folded(road: Road) -> tuple[Road, Road]:
    """Return a path as it is compared, and the path: variables have two keys, and headers have no case."""
    first, *rest = road
    if first == alteration.ENVIRONMENT:
        first = alteration.ENV
    if first == alteration.HEADERS:
        rest = [each.lower() for each in rest]
    return (first, *rest), road


def _mapping(kind: Kind) -> Kind | None:
    return kind.kinds.get(dict) if isinstance(kind, Either) else kind
