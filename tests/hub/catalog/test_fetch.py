"""Lists of servers, page after page."""

from __future__ import annotations

from msgspec import Raw
from twisted.internet.defer import Deferred

from mcpgateway.hub.catalog.fetch import Admits, FetchedList, fetch_list
from mcpgateway.policy.recorded_answers import PAGES_LIMIT
from mcpgateway.protocol import jsonrpc

PAGES = {None: ("one", "b"), "b": ("two", "c"), "c": ("three", None)}


def fetched(last: str = "", admits: Admits | None = None) -> tuple[FetchedList, list[str | None]]:
    """The list above, and the cursors that were asked for.

    :param last: the server says behind this cursor that it has no such list.
    """
    asked: list[str | None] = []

    async def ask(cursor: str | None) -> Raw | None:
        asked.append(cursor)
        name, following = PAGES[cursor]
        return None if cursor == last else jsonrpc.raw({"tools": [name], "nextCursor": following})

    found: list[FetchedList] = []
    Deferred.fromCoroutine(fetch_list(ask, admits=admits)).addCallback(found.append)
    return found[0], asked


class FetchTests:
    """Pages of a list, from the first to the last that is kept."""

    def test_all_pages(self) -> None:
        """Cursors are followed to the end, and the pages are as they came."""
        found, asked = fetched()
        assert asked == [None, "b", "c"]
        assert [jsonrpc.value(each, dict)["tools"] for each in found.pages] == [["one"], ["two"], ["three"]]
        assert found.is_whole

    def test_no_such_list(self) -> None:
        """A server may say so, also after some pages."""
        found, asked = fetched("b")
        assert asked == [None, "b"]
        assert (len(found.pages), found.is_absent, found.is_whole) == (1, True, False)

    def test_too_long(self) -> None:
        """A list longer than the limit is not asked for any further, and the page that is too much is left out."""
        found, asked = fetched(admits=lambda size, pages: pages < 2)
        assert asked == [None, "b"]
        assert (len(found.pages), found.is_cut, found.is_whole) == (1, True, False)

    def test_without_end(self) -> None:
        """A server whose cursors lead in a circle is left after as many pages as are put on record."""

        async def ask(_: str | None) -> Raw | None:
            return jsonrpc.raw({"tools": [], "nextCursor": "again"})

        found: list[FetchedList] = []
        Deferred.fromCoroutine(fetch_list(ask)).addCallback(found.append)
        assert (len(found[0].pages), found[0].is_cut) == (PAGES_LIMIT, True)
