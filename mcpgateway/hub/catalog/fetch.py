"""Ask a server for all pages of one of its lists: the one place where the cursors of lists are followed."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from msgspec import Raw

from mcpgateway.policy.recorded_answers import PAGES_LIMIT, cursor_of
from mcpgateway.records import FrozenRecord

AskPage = Callable[[str | None], Awaitable[Raw | None]]
"""Asks for the page at a cursor, None for the first; its result, or None where the server has no such list."""
Admits = Callable[[int, int], bool]
"""True if a list of so many bytes, on so many pages, is kept."""


class FetchedList(FrozenRecord, frozen=True):
    """The pages of a list, in their order.

    :ivar is_absent: True if the server has answered that it has no such list, perhaps after some pages.
    :ivar is_cut: True if the list is longer than the limit, and the pages are its beginning.
    """

    pages: tuple[Raw, ...]
    is_absent: bool = False
    is_cut: bool = False

    @property
    def is_whole(self) -> bool:
        """True if all pages of the list are present."""
        return not (self.is_absent or self.is_cut)


async def fetch_list(ask: AskPage, *, most: int = PAGES_LIMIT, admits: Admits | None = None) -> FetchedList:
    """Fetch a list, page after page.

    :param most: the largest number of pages to ask for.
    :param admits: checks bytes and pages before each page is kept; None for no limit of size.
    :raise GatewayError: as ``ask`` raises it.
    """
    found: list[Raw] = []
    size = 0
    cursor: str | None = None
    while True:
        page = await ask(cursor)
        if page is None:
            return FetchedList(tuple(found), is_absent=True)
        size += len(bytes(page))
        if admits is not None and not admits(size, len(found) + 1):
            return FetchedList(tuple(found), is_cut=True)
        found.append(page)
        cursor = cursor_of(page)
        if cursor is None or len(found) >= most:
            return FetchedList(tuple(found), is_cut=cursor is not None)
