"""How long a server's list may be that is kept, and which lists are longer.

What is longer is still passed on to whoever asks the server itself; but it is not on record, and views and searches
know its first pages only.
"""

from __future__ import annotations

from attrs import define, field
from twisted.logger import Logger

from mcpgateway.hub.catalog.fetch import AskPage, FetchedList, fetch_list
from mcpgateway.policy.recorded_answers import LIST_BYTES, LISTS, PAGES_LIMIT

SERVERS_LIMIT = 1000
MEBIBYTE = 1_048_576


@define(eq=False)
class ListLimit:
    """Knows it.

    :ivar bytes: of one list, all its pages together.
    """

    log = Logger()

    bytes: int = LIST_BYTES
    _over: dict[str, dict[str, None]] = field(factory=dict, repr=False)

    def set(self, most: int) -> None:
        """Let lists be so long from now on; which are longer is seen when they are next asked for."""
        if most != self.bytes:
            self.bytes = most
            self._over.clear()

    def admits(self, size: int, pages: int) -> bool:
        """Whether a list that has so many bytes, on so many pages, is kept."""
        return size <= self.bytes and pages <= PAGES_LIMIT

    async def fetch(self, server: str, method: str, ask: AskPage) -> FetchedList:
        """Fetch a server's list as far as it is kept; the log says if it is longer."""
        fetched = await fetch_list(ask, admits=self.admits, most=PAGES_LIMIT + 1)
        if fetched.is_cut:
            self.exceeded(server, method)
        elif fetched.is_whole:
            self.fits(server, method)
        return fetched

    def exceeded(self, server: str, method: str) -> None:
        """A server's list is longer; the log says so once."""
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
        """A server's list is no longer than that."""
        known = self._over.get(server)
        if known is not None and method in known:
            del known[method]
            if not known:
                del self._over[server]

    def forget(self, server: str) -> None:
        """A server is defined otherwise, or gone."""
        self._over.pop(server, None)

    def said(self, server: str) -> str:
        """Which of a server's lists are too long, in words; empty where none is."""
        known = self._over.get(server)
        return self._words(known) if known else ""

    def _words(self, methods: dict[str, None]) -> str:
        names = {"resourceTemplates": "resource templates"}
        what = " and ".join(names.get(LISTS[each], LISTS[each]) for each in methods)
        size = f"{self.bytes / MEBIBYTE:.3g} MiB" if self.bytes >= MEBIBYTE // 10 else f"{self.bytes:,} bytes"
        return (
            f"its list of {what} is longer than {size} or {PAGES_LIMIT:,} pages, so it is known in part and not on"
            " record (gateway.limits.list_bytes)"
        )
