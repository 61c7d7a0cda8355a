"""Counts of calls of each tool, and of tokens that models were saved."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from enum import Enum
from typing import Any

from attrs import define, field

FORMAT = 1
FILE_LIMIT = 8 * 1024 * 1024  # bytes; more than a book within the limits below can have
TOOLS_LIMIT = 5000
NAME_LIMIT = 200  # characters; tools with longer names are not counted
DAYS_LIMIT = 31
SERVERS_LIMIT = 100  # of one day
OTHERS = ""
"""Stands for all servers beyond the limit."""

COUNT_LIMIT = 2**53  # the largest number that every JSON parser reads exactly


class Saving(Enum):
    """The means by which tokens were saved."""

    DEFERRAL = "deferral"
    SHIELDING = "shielding"
    COMPRESSION = "compression"


class NewerUsageFormat(Exception):
    """A book was written by a newer gateway."""


@define(eq=False, repr=False)
class Book:
    """The book of counts.

    :ivar calls: calls by server and tool.
    :ivar days: saved tokens, by day and server; the latest days only.
    :ivar totals: saved tokens since the book was begun.
    """

    calls: dict[str, dict[str, int]] = field(factory=dict)
    days: dict[str, dict[str, dict[Saving, int]]] = field(factory=dict)
    totals: dict[Saving, int] = field(factory=dict)

    def called(self, server: str, own: str) -> None:
        """Count a call of a tool."""
        if len(own) > NAME_LIMIT or len(server) > NAME_LIMIT:
            return
        tools = self.calls.setdefault(server, {})
        if own not in tools and self.tools >= TOOLS_LIMIT:
            self._forget_least()
            tools = self.calls.setdefault(server, {})
        tools[own] = min(tools.get(own, 0) + 1, COUNT_LIMIT)

    def saved(self, saving: Saving, server: str, tokens: int, day: str) -> None:
        """Count saved tokens.

        :param day: as ``2026-07-28``, so that days sort as texts.
        """
        if tokens <= 0:
            return
        servers = self.days.setdefault(day, {})
        for each in sorted(self.days)[:-DAYS_LIMIT]:
            del self.days[each]
        if len(server) > NAME_LIMIT or (server not in servers and len(servers) >= SERVERS_LIMIT):
            server = OTHERS
        for counts in (servers.setdefault(server, {}), self.totals):
            counts[saving] = min(counts.get(saving, 0) + tokens, COUNT_LIMIT)

    @property
    def tools(self) -> int:
        """The number of counted tools."""
        return sum(map(len, self.calls.values()))

    def counts(self) -> dict[str, int]:
        """Return the number of calls of each tool, by `mcpgateway.discovery.records.Item.id`."""
        return {
            f"{server}__{own}": count for server, tools in self.calls.items() for own, count in tools.items()
        }

    def written(self) -> bytes:
        """Return the counts in the format of the file."""
        days = {
            day: {server: _named(counts) for server, counts in servers.items()}
            for day, servers in self.days.items()
        }
        book = {"format": FORMAT, "calls": self.calls, "days": days, "totals": _named(self.totals)}
        return json.dumps(book, ensure_ascii=True, separators=(",", ":")).encode()

    def _forget_least(self) -> None:
        # Half of them at once, so that this is rare.
        everything = [
            (count, server, own) for server, tools in self.calls.items() for own, count in tools.items()
        ]
        for _, server, own in sorted(everything)[: TOOLS_LIMIT // 2]:
            del self.calls[server][own]
        self.calls = {server: tools for server, tools in self.calls.items() if tools}


def read(text: str) -> Book:
    """Read counts; invalid members are left out.

    :raise ValueError: the text is no book.
    :raise NewerUsageFormat: a newer gateway has written it.
    """
    try:
        found = json.loads(text)
    except RecursionError:
        raise ValueError("nested too deep") from None
    if not isinstance(found, dict) or not isinstance(found.get("format"), int):
        raise ValueError("no book of usage")  # noqa: TRY004 - a file's content, not an argument
    if found["format"] > FORMAT:
        raise NewerUsageFormat(str(found["format"]))
    book = Book(totals=_savings(found.get("totals")))
    for server, tools in _mapping(found.get("calls")):
        counts = {own: count for own, count in _counts(tools) if len(own) <= NAME_LIMIT}
        if counts and len(server) <= NAME_LIMIT and book.tools + len(counts) <= TOOLS_LIMIT:
            book.calls[server] = counts
    for day, servers in sorted(_mapping(found.get("days")))[-DAYS_LIMIT:]:
        listed = {server: _savings(counts) for server, counts in _mapping(servers)}
        book.days[day] = dict(list(listed.items())[: SERVERS_LIMIT + 1])
    return book


def _named(counts: Mapping[Saving, int]) -> dict[str, int]:
    return {saving.value: tokens for saving, tokens in counts.items()}


def _savings(found: Any) -> dict[Saving, int]:
    known = {each.value: each for each in Saving}
    return {known[name]: tokens for name, tokens in _counts(found) if name in known}


def _counts(found: Any) -> Iterator[tuple[str, int]]:
    for name, count in _mapping(found):
        if isinstance(count, int) and not isinstance(count, bool) and 0 < count <= COUNT_LIMIT:
            yield name, count


def _mapping(found: Any) -> Iterator[tuple[str, Any]]:
    yield from found.items() if isinstance(found, dict) else ()
