"""The names of servers in URLs, where files, scopes and projects disagree."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from attrs import field, frozen

# Other gateways accept this length, too; a name is also a file name and a prefix of tools.
NAME_CHARACTERS = 64
UNFIT = re.compile(r"[^A-Za-z0-9_-]+")

# /mcp/{server} does not reach a server of one of these names: the path is a view of the gateway's own.
RESERVED_AFTER_MCP = frozenset({"full", "search", "admin", "p"})
# /{server}/mcp does not reach a server of one of these names: the first segment is the gateway's own.
RESERVED_BEFORE_MCP = frozenset({"api", "mcp", "sse", "messages", "clients", "sessions", "projects"})


def sse_base(endpoint: str, *, is_view: bool) -> str:
    """Return the part before ``/sse`` and ``/messages`` in the paths of an endpoint."""
    # /mcp/sse is the server of that name, so the view of that path is at the top.
    return "" if is_view and endpoint == "mcp" else f"/{endpoint}"


@frozen
class Candidate:
    """An entry that needs a name.

    :ivar title: the name as written.
    :ivar rank: the rank of its file; lower ranks are first.
    :ivar keeps: it may keep its bare name when another definition wants it too.
    :ivar yields: it gives way to any other (a demonstration).
    :ivar project: the directory of its project, or "".
    :ivar definition: its program or address; entries of one name and one definition become one server.
    :ivar pinned: the name under which a client's file uses the server already, or "".
    """

    title: str
    rank: int
    definition: str = field(repr=False)
    project: str = ""
    keeps: bool = True
    yields: bool = False
    pinned: str = ""


def slug(title: str) -> str:
    """Return a title as a URL can carry it: letters, digits, ``_`` and ``-``."""
    return UNFIT.sub("-", title).strip("-")[:NAME_CHARACTERS].strip("-") or "server"


def assign(candidates: Sequence[Candidate]) -> tuple[str, ...]:
    """Give every candidate its name, in their order; only candidates that merge get the same one.

    The order of the candidates has no influence on their names.  A pinned name stays, and candidates with the same
    definition join it.  The only definition of a name keeps it bare.  Of several, the first keeps it bare if it may,
    and the others are named after their projects.  Where none may, all are, so that a URL never comes to mean another
    server because a project was added.
    """
    pins = _pins(candidates)
    definitions: dict[str, dict[str, Candidate]] = {}
    for each in sorted(candidates, key=_order):
        definitions.setdefault(slug(each.title), {}).setdefault(each.definition, each)
    names = _settled(candidates, pins)
    crowded: list[tuple[str, Candidate]] = []
    for name, leaders in definitions.items():
        bare = None if name in pins else _bare(list(leaders.values()))
        for each in leaders.values():
            if _key(each) in names:
                continue
            if each is bare:
                names[_key(each)] = name
            else:
                crowded.append((_wanted_name(name, each), each))
    taken = {*pins, *names.values()}
    for wanted, each in sorted(crowded, key=lambda pair: (pair[0], _order(pair[1]))):
        names[_key(each)] = _free(wanted, taken)
    return tuple(_pin_of(each, pins) or names[_key(each)] for each in candidates)


def _pins(candidates: Sequence[Candidate]) -> dict[str, str]:
    """Return the definition of each pinned name, which is that of its first candidate."""
    pins: dict[str, str] = {}
    for each in sorted(candidates, key=_order):
        if each.pinned:
            pins.setdefault(each.pinned, each.definition)
    return pins


def _pin_of(candidate: Candidate, pins: Mapping[str, str]) -> str:
    return candidate.pinned if pins.get(candidate.pinned) == candidate.definition else ""


def _settled(candidates: Sequence[Candidate], pins: Mapping[str, str]) -> dict[tuple[str, str], str]:
    """Return the names of those that are pinned, which others of the same title and definition share."""
    names: dict[tuple[str, str], str] = {}
    for each in sorted(candidates, key=_order):
        if pinned := _pin_of(each, pins):
            names.setdefault(_key(each), pinned)
    return names


def _key(candidate: Candidate) -> tuple[str, str]:
    return (slug(candidate.title), candidate.definition)


def _order(candidate: Candidate) -> tuple[object, ...]:
    unlike = candidate.title != slug(candidate.title)
    return (
        candidate.yields,
        candidate.rank,
        unlike,
        candidate.project,
        candidate.title,
        candidate.definition,
        candidate.keeps,
        candidate.pinned,
    )


def _bare(leaders: list[Candidate]) -> Candidate | None:
    rivals = [each for each in leaders if not each.yields]
    return leaders[0] if leaders[0].keeps or len(rivals) <= 1 else None


def _wanted_name(name: str, candidate: Candidate) -> str:
    directory = candidate.project.rstrip("/").rpartition("/")[2]
    return f"{name}-{slug(directory)}"[:NAME_CHARACTERS].strip("-") if directory else name


def _free(wanted: str, taken: set[str]) -> str:
    name, number = wanted, 2
    while name in taken:
        tail = f"-{number}"
        name, number = wanted[: NAME_CHARACTERS - len(tail)] + tail, number + 1
    taken.add(name)
    return name
