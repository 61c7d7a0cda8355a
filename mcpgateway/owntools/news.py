"""Tell each caller once which tools were added since its last list; some clients never read a list a second time."""

from __future__ import annotations

from collections import deque
from collections.abc import MutableMapping
from typing import Any
from weakref import WeakKeyDictionary

from attrs import frozen

from mcpgateway.bounded import Bounded
from mcpgateway.discovery.records import Item
from mcpgateway.hub.filters import SinkFilter
from mcpgateway.interfaces import Request
from mcpgateway.owntools import answers
from mcpgateway.owntools.directory import Directory
from mcpgateway.owntools.tool import Access
from mcpgateway.protocol.jsonrpc import Envelope

KEPT = 200  # added tools of which not all sessions have been notified
NAMED = 5
PRINCIPALS_LIMIT = 1000
LISTS_LIMIT = 2000


@frozen
class _Added:
    number: int
    key: str
    item: Item


class ToolNews:
    """New tools, and the sessions that were notified of them.

    A session is notified of tools added since its first call here, or its last list of tools; without sessions, all
    clients of one name count as one.
    """

    def __init__(self, directory: Directory) -> None:
        self._directory = directory
        self._lists: dict[str, tuple[Item, ...]] = {}
        self._added: deque[_Added] = deque(maxlen=KEPT)
        self._number = 0
        self._of_sessions: WeakKeyDictionary[Any, int] = WeakKeyDictionary()
        self._of_principals: Bounded[str, int] = Bounded(PRINCIPALS_LIMIT)

    def list_seen(self, session: Any) -> None:
        """Note that a session has got the list of tools."""
        seen, caller = self._seen(session, session.principal)
        seen.pop(caller, None)

    def tell(self, request: Request, access: Access) -> None:
        """Add the tools that are new for the caller to the call's answer."""
        lists = self._look(access)
        seen, caller = self._seen(access.session, access.principal)
        since, seen[caller] = seen.get(caller), self._number
        if since is None or since == self._number:
            return  # its first call here, or it has just listed them, or no tool is new
        added = [each.item for each in self._added if each.number > since and each.key in lists]
        if added:
            names = [self._directory.id_of(item, access) for item in added]
            request.sink = _NoteFilter(request.sink, sentence(names))

    def _look(self, access: Access) -> dict[str, tuple[Item, ...]]:
        lists = self._directory.lists(access)
        if len(self._lists) > LISTS_LIMIT:
            self._lists.clear()  # and no session was notified, so that no old tool is reported as new
            self._of_sessions.clear()
            self._of_principals.clear()
        for key, items in lists.items():
            former = self._lists.get(key)
            if former is not items:
                known = {each.own for each in former or ()}
                for item in items:
                    if item.own not in known:
                        self._number += 1
                        self._added.append(_Added(self._number, key, item))
                self._lists[key] = items
        return lists

    def _seen(self, session: Any, principal: str) -> tuple[MutableMapping[Any, int], Any]:
        # Requests without an id share a session that ends with the next edit of the configuration.
        if session is not None and session.id:
            return self._of_sessions, session
        return self._of_principals, principal


def sentence(names: list[str]) -> str:
    """Return the sentence about tools of these names."""
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    what = "1 tool" if len(names) == 1 else f"{len(names)} tools"
    return f"{what} added: {', '.join(names[:NAMED])}{more}; call through gateway_invoke"


class _NoteFilter(SinkFilter):
    """Adds the sentence to an answer."""

    _sentence: str

    def answered(self, request: Request, reply: Envelope) -> None:
        """Add the new tools to the tool's answer."""
        request.sink = self.sink
        self.sink.answered(request, answers.with_note(reply, self._sentence))
