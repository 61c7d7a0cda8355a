"""Checks of the names and numbers of tools, against the limits of clients and their models.

The tools are those in the snapshots: each server's list of its last run.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import msgspec
from attrs import frozen

from mcpgateway.cli.doctor.context import DoctorContext
from mcpgateway.cli.doctor.finding import Check, DoctorFinding, fine, note, problem, some
from mcpgateway.clientfiles.files import FileContents
from mcpgateway.clientfiles.formats.client_format import EntryKind
from mcpgateway.config.document import visible
from mcpgateway.hints import cli
from mcpgateway.policy.recorded_answers import Catalog, entries_of

LONG = 46
LIMIT = 64
PREFIXES = {"claude-code": "mcp__{server}__"}
"""Prefixes that clients put before a tool's name."""


@frozen
class Most:
    """The number of tools that a client accepts.

    :ivar doubt: the lower limit of older releases; 0 if it is the same.
    """

    most: int
    doubt: int = 0


LIMITS: Mapping[str, Most] = {"cursor": Most(80, 40), "vscode": Most(128)}
"""As users have met them: Cursor took 40 and takes 80, VS Code takes 128; the rest is left out in silence."""

TOO_LONG = problem(
    "names.long",
    f"With the client's prefix a tool's name has more than {LIMIT} characters: the tool, or all of them, fail there.",
    "give the server a shorter name in the client's file",
)
LONGISH = note(
    "names.longish",
    f"A tool's name has more than {LONG} characters, which leaves no room for the prefixes of some clients.",
    "nothing, where the client shows the tool",
)


def names(world: DoctorContext) -> Iterator[DoctorFinding]:
    """Check that the names of tools are short enough."""
    tools = {name: tools_of(catalog) for name, catalog in world.catalogs.items()}
    longish = {name: [tool for tool in listed if len(tool) > LONG] for name, listed in tools.items()}
    found = [
        LONGISH.found(f"{name}: {some(map(visible, long), 3)} ({max(map(len, long))} characters)")
        for name, long in longish.items()
        if long
    ]
    for seen in world.seen:
        found += _too_long(seen, tools)
    yield from found or [
        fine("names", f"names of {sum(map(len, tools.values()))} tools: all of them short enough")
    ]


def _too_long(seen: FileContents, tools: Mapping[str, frozenset[str]]) -> Iterator[DoctorFinding]:
    prefix = PREFIXES.get(seen.site.dialect.name)
    for each in seen.listed if prefix else ():
        if each.kind is not EntryKind.ENROLLED:
            continue
        front = str(prefix).format(server=each.title)
        long = [tool for tool in tools.get(each.served, ()) if len(front + tool) > LIMIT]
        if long:
            text = f"{seen.site.dialect.title}: {front}{min(long, key=lambda tool: (-len(tool), tool))}"
            yield TOO_LONG.found(
                f"{visible(text)} has more than {LIMIT} characters ({len(long)} of this server)"
            )


TOO_MANY = problem(
    "budget.over",
    "A client gets more tools than it takes, and leaves the rest out without a word.",
    f"switch servers off in that client that it does not need; {cli('clients apply --server NAME')} enrols only some",
)
MANY = note(
    "budget.near",
    "A client gets more tools than its older releases take.",
    "switch servers off in that client that it does not need, if tools are missing there",
)


def budget(world: DoctorContext) -> Iterator[DoctorFinding]:
    """Check that no client gets more tools than it accepts."""
    has_findings = False
    for name, limit in LIMITS.items():
        served = {
            each.served for seen in world.seen if seen.site.dialect.name == name
            for each in seen.listed if each.kind is EntryKind.ENROLLED
        }  # fmt: skip
        number = sum(len(tools_of(world.catalogs[each])) for each in served if each in world.catalogs)
        title = next((seen.site.dialect.title for seen in world.seen if seen.site.dialect.name == name), name)
        if number > (limit.doubt or limit.most):
            has_findings = True
            kind = TOO_MANY if number > limit.most else MANY
            most = f"{limit.most}, older releases {limit.doubt}" if limit.doubt else str(limit.most)
            yield kind.found(f"{title} gets {number} tools, and takes {most}")
    if not has_findings:
        yield fine("budget", "no client gets more tools than it takes")


def tools_of(catalog: Catalog) -> frozenset[str]:
    """Return the names of a server's tools, of the lists for all clients."""
    found: set[str] = set()
    for answers in catalog.variants.values():
        answer = answers.get("tools/list")
        for page in answer.pages if answer else ():
            for each in entries_of("tools/list", page) or ():
                try:
                    found.add(msgspec.json.decode(each, type=_Tool).name)
                except msgspec.MsgspecError:
                    continue
    return frozenset(found)


class _Tool(msgspec.Struct):
    name: str


CHECKS = (
    Check("names", "names of tools", names, (TOO_LONG, LONGISH)),
    Check("budget", "numbers of tools", budget, (TOO_MANY, MANY)),
)
