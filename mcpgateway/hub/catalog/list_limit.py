"""The limit of the size of a server's list, and the lists that exceed it.

A client that asks the server itself still gets a longer list; but the list is not recorded, and views and searches
know its first pages only.
"""

from __future__ import annotations

import msgspec
from twisted.logger import Logger

from mcpgateway.hub.catalog.fetch import AskPage, FetchedList, fetch_list
from mcpgateway.policy.recorded_answers import LIST_BYTES, LISTS, PAGES_LIMIT
from mcpgateway.records import Record
from mcpgateway.units import size

SERVERS_LIMIT = 1000


class ListLimit(Record):
    """The largest size of a kept list, and the lists of each server that exceed it.

    :ivar bytes: the limit of one list, all its pages together.
    """

    log = Logger()

    bytes: int = LIST_BYTES
    _over: dict[str, dict[str, None]] = msgspec.field(default_factory=dict)

    def set(self, most: int) -> None:
        """Set the limit; lists that exceed it are found when they are next fetched."""
        if most != self.bytes:
            self.bytes = most
            self._over.clear()

    def admits(self, size: int, pages: int) -> bool:
        """True if a list of so many bytes, on so many pages, is kept."""
        return size <= self.bytes and pages <= PAGES_LIMIT

    async def fetch(self, server: str, method: str, ask: AskPage) -> FetchedList:
        """Fetch a server's list up to the limit; log once if it is longer."""
        fetched = await fetch_list(ask, admits=self.admits, most=PAGES_LIMIT + 1)
        if fetched.is_cut:
            self.exceeded(server, method)
        elif fetched.is_whole:
            self.fits(server, method)
        return fetched

    def exceeded(self, server: str, method: str) -> None:
        """Note that a server's list exceeds the limit; log it once."""
        known = self._over.setdefault(server, {})
        if method in known:
            return
        known[method] = None
        if len(self._over) > SERVERS_LIMIT:
            del self._over[next(iter(self._over))]
        self.log.warn(
            "{server}: {what}", event="list.too_long", server=server, method=method, what=self._words(known)
        )

    def fits(self, server: str, method: str) -> None:
        """Note that a server's list is within the limit."""
        known = self._over.get(server)
        if known is not None and method in known:
            del known[method]
            if not known:
                del self._over[server]

    def forget(self, server: str) -> None:
        """Forget the lists of a server that is redefined or removed."""
        self._over.pop(server, None)

    def describe(self, server: str) -> str:
        """Describe the lists of a server that exceed the limit; empty where none does."""
        known = self._over.get(server)
        return self._words(known) if known else ""

    def _words(self, methods: dict[str, None]) -> str:
        names = {"resourceTemplates": "resource templates"}
        what = " and ".join(names.get(LISTS[each], LISTS[each]) for each in methods)
        return (
            f"its list of {what} is longer than {size(self.bytes)} or {PAGES_LIMIT:,} pages, so it is known in part and"
            " not on record (gateway.limits.list_bytes)"
        )
