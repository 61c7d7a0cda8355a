"""The parsed lists of all servers: those that pass through the gateway, and the recorded ones.

# Note [Whose list it is]
Most servers list the same to every client.  The lists of one client's own child may depend on that client's
capabilities, which the child gets at the handshake, and change with what the client does.  So a list is kept by the
server's launch (its place) and by handshake, the key of what its child learns of its clients at the handshake.  The
key is empty for children that clients without capabilities share, and begins with a sign of its own
(`mcpgateway.policy.recorded_answers.COMMON`) for children that clients with equal capabilities share.  For these, the
record of other clients' lists is used until their own child has been asked.

# Note [What is known without asking]
A recorded list is shown without starting its server.  It is asked for again once the server runs; if it differs then,
the clients that were shown the former one get a notification.  A modern server learns of its client with each request,
and few servers list something else for that: a list that any client got is used until the server runs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from enum import Enum
from typing import TYPE_CHECKING

from msgspec import Raw

from mcpgateway import __version__
from mcpgateway.bounded import Bounded
from mcpgateway.config.model import ServerSpec
from mcpgateway.discovery.records import Item, ListKind, read_items
from mcpgateway.hub.catalog.list_limit import ListLimit
from mcpgateway.policy.recorded_answers import (
    COMMON,
    HELLO,
    PLACES_LIMIT,
    AnswerKey,
    LaunchPlaces,
    RecordedAnswer,
    is_own,
    legacy_handshake,
    modern_handshake,
)
from mcpgateway.protocol import jsonrpc, legacy, modern, peek
from mcpgateway.protocol.versions import Era
from mcpgateway.records import Record

if TYPE_CHECKING:
    from mcpgateway.hub.catalog.recorded import Snapshots

INSTRUCTIONS_LIMIT = 100_000  # characters
HANDSHAKES_LIMIT = 64  # handshakes for one of them

OnChange = Callable[[str, ListKind], None]
OnNews = Callable[[str, ListKind, str], None]
_KINDS = {kind.method: kind for kind in ListKind}


class _List(Record):
    """One list in memory.

    :ivar items: the parsed entries; None where the list is not known, on disk either.
    :ivar digest: the digest of its pages.
    :ivar is_fresh: True if the server has not notified of a change since.
    :ivar is_shown: True if a client was shown it since, and has to be notified when it differs.
    """

    items: tuple[Item, ...] | None
    digest: bytes = b""
    is_fresh: bool = True
    is_shown: bool = False


class ListAudience(Enum):
    """The clients whose lists have changed; see Note [Whose list it is]."""

    SHARED = "the list of a child that clients share"
    OWN = "those of children that one client has for itself"
    ALL = "all: a server of the modern era has one child for them"

    def includes(self, handshake: str, shared: str) -> bool:
        """True if the list kept for a handshake is among them.

        :param shared: the handshake of the child that clients share.
        """
        if self is ListAudience.ALL:
            return True
        return is_own(handshake) if self is ListAudience.OWN else handshake == shared


Shelf = dict[tuple[ListKind, str], _List]


class ServerLists:
    """The lists of all servers, in memory and from the records.

    :ivar generation: a counter that grows with each change of any list.
    :ivar on_change: called with the name of each server whose list has changed, and the kind of list.
    :ivar on_news: called where clients that have seen a list have to be notified, with the handshake of the list.
    :ivar changes: the number of change notifications of each server, by its name.
    :ivar servers: returns the current servers, as their entries define them.
    :ivar limit: the limit of the size of a kept list.
    """

    def __init__(self, snapshots: Snapshots | None = None) -> None:
        self.generation = 0
        self.on_change: list[OnChange] = []
        self.on_news: OnNews = _unheard
        self.changes: dict[str, int] = {}
        self.servers: Callable[[], Iterable[ServerSpec]] = tuple
        self.limit = ListLimit()
        self._snapshots = snapshots
        self._shelves: Bounded[tuple[str, str], Shelf] = Bounded(PLACES_LIMIT)
        self._places = LaunchPlaces()
        self._shared = legacy_handshake(legacy.shared_params(__version__))
        own = modern.own_meta(__version__).items()
        self._modern = modern_handshake({name: jsonrpc.raw(value) for name, value in own})
        if snapshots is not None:
            snapshots.kept = self._kept

    # Reading

    def known(self, server: ServerSpec, kind: ListKind, handshake: str = "") -> tuple[Item, ...] | None:
        """Return a server's list as it was last received or recorded; None where it is not known.

        :param handshake: the key of what the child learns of its client; empty for a child that clients share.
        """
        return self._list(server, kind, handshake).items

    def recall(self, server: ServerSpec, kind: ListKind, handshake: str = "") -> tuple[Item, ...] | None:
        """Return a server's list; where it is not known, look again at the record, which may have been filled since."""
        found = self.known(server, kind, handshake)
        return self._on_record(server, kind, handshake).items if found is None else found

    def tools(self, server: ServerSpec) -> tuple[Item, ...] | None:
        """Return the known tools of a server, running or not; None where it was never asked for them.

        All that count tools or show them beside a server use this, so that their numbers agree.
        """
        return self.recall(server, ListKind.TOOL)

    def is_fresh(self, server: ServerSpec, kind: ListKind, handshake: str = "") -> bool:
        """True if a list is known, and its server has not notified of a change since."""
        found = self._list(server, kind, handshake)
        return found.is_fresh and found.items is not None

    def show(self, server: ServerSpec, kind: ListKind, handshake: str = "") -> None:
        """Note that a client is shown a list that may be out of date."""
        self._list(server, kind, handshake).is_shown = True

    def is_shown(self, server: ServerSpec, kind: ListKind, handshake: str = "") -> bool:
        """True if a client was shown a list, or an empty one, and has to be notified when it differs."""
        return self._list(server, kind, handshake).is_shown

    def _commons(self, server: ServerSpec) -> list[str]:
        return list(
            dict.fromkeys(handshake for _, handshake in self._shelf(server) if handshake.startswith(COMMON))
        )

    def place(self, server: ServerSpec) -> str:
        """Return the key of how and where a server is launched; lists are kept by it."""
        return self._places.of(server)

    def everything(self) -> Iterator[Item]:
        """Iterate over all known entries of the current servers."""
        for server in self.servers():
            for kind in ListKind:
                yield from self.known(server, kind) or ()

    def instructions(self, server: ServerSpec) -> str:
        """Return the recorded ``instructions`` of a server; empty where none are recorded."""
        if self._snapshots is None:
            return ""
        found = self._snapshots.newest(server.name, self._places.of(server), HELLO)
        hello = peek.members({"hello": found.pages[0]}, "hello") if found is not None else {}
        return peek.text(hello, "instructions", INSTRUCTIONS_LIMIT) or ""

    def _list(self, server: ServerSpec, kind: ListKind, handshake: str) -> _List:
        shelf = self._shelf(server)
        found = shelf.get((kind, handshake))
        if found is None:
            found = shelf[kind, handshake] = self._on_record(server, kind, handshake)
            while len(shelf) > HANDSHAKES_LIMIT * len(ListKind):
                del shelf[next(iter(shelf))]
        return found

    def _on_record(self, server: ServerSpec, kind: ListKind, handshake: str) -> _List:
        snapshots = self._snapshots
        if snapshots is None:
            return _List(None)
        place = self._places.of(server)
        legacy_key, modern_key = self._keys(place, handshake)
        exact = snapshots.find(server.name, modern_key, kind.method)
        found = {
            legacy_key: snapshots.find(server.name, legacy_key, kind.method),
            modern_key: exact or snapshots.newest(server.name, place, kind.method, Era.MODERN),
        }
        for key, answer in found.items():
            if answer is not None and not answer.is_stale:
                # Once the server runs, the list is compared with its answer.
                snapshots.shown.add((server.name, key, kind.method))
                # Some modern servers list more for clients with more capabilities.
                is_its = not is_own(handshake) or key != modern_key or answer is exact
                items = read_items(server.name, kind, answer.pages)
                return _List(items, answer.digest(kind.method), is_fresh=is_its)
        answer = snapshots.newest(server.name, place, kind.method) if not is_own(handshake) else None
        if answer is None:
            return _List(None)
        # This record serves searches, and clients until the server runs and is asked in its own name.
        snapshots.shown.add((server.name, legacy_key, kind.method))
        return _List(read_items(server.name, kind, answer.pages), answer.digest(kind.method), is_fresh=False)

    def _keys(self, place: str, handshake: str = "") -> tuple[AnswerKey, AnswerKey]:
        # The keys of a list's record in either era; the gateway describes itself alike in all of them.
        of_legacy = handshake.removeprefix(COMMON) or self._shared
        of_modern = handshake if is_own(handshake) else self._modern
        return AnswerKey(place, Era.LEGACY, of_legacy), AnswerKey(place, Era.MODERN, of_modern)

    def _shelf(self, server: ServerSpec) -> Shelf:
        at = (server.name, self._places.of(server))
        shelf = self._shelves.get(at)
        if shelf is None:
            shelf = self._shelves[at] = {}
        return shelf

    # Learning

    def learn(self, server: ServerSpec, kind: ListKind, pages: Iterable[Raw], handshake: str = "") -> None:
        """Take the pages of a server's answer to a request for a list."""
        self._put(self._shelf(server), server.name, kind, handshake, tuple(pages))

    def _put(self, shelf: Shelf, name: str, kind: ListKind, handshake: str, pages: tuple[Raw, ...]) -> None:
        digest = RecordedAnswer(pages).digest(kind.method)
        known = shelf.get((kind, handshake))
        if known is not None and known.items is not None and known.digest == digest:
            known.is_fresh, known.is_shown = True, False
            return
        found = shelf[kind, handshake] = _List(read_items(name, kind, pages), digest)
        self.generation += 1
        if not found.items and (known is None or known.items is None):
            return  # an unknown list was shown as empty, and it is empty
        for callback in list(self.on_change):
            callback(name, kind)
        if known is None or known.is_fresh or known.is_shown:  # else they were notified before
            self.on_news(name, kind, handshake)

    def _kept(self, name: str, key: AnswerKey, method: str, pages: tuple[Raw, ...]) -> None:
        # A list that any client asked for is shown to all clients that share the child.
        kind, shelf = _KINDS.get(method), self._shelves.get((name, key.place))
        if kind is None or shelf is None:
            return
        legacy_key, modern_key = self._keys(key.place)
        if key.era is Era.LEGACY and (kind, COMMON + key.handshake) in shelf:
            self._put(shelf, name, kind, COMMON + key.handshake, pages)
        if key == legacy_key or (key == modern_key and not self._is_on_record(name, legacy_key, kind)):
            self._put(shelf, name, kind, "", pages)

    def _is_on_record(self, name: str, key: AnswerKey, kind: ListKind) -> bool:
        return self._snapshots is not None and self._snapshots.find(name, key, kind.method) is not None

    def changed(
        self, server: ServerSpec, news: str, audience: ListAudience = ListAudience.SHARED, handshake: str = ""
    ) -> None:
        """Take a server's notification that a list has changed; the former list stays in use until it is fetched again.

        :param news: the method of the notification.
        :param audience: the clients that it concerns.
        :param handshake: the key of what a shared child learns of its clients.
        """
        everybody = ["", *self._commons(server)]
        sharers = {ListAudience.SHARED: [handshake], ListAudience.OWN: [], ListAudience.ALL: everybody}[
            audience
        ]
        for kind in self._outdate(server, news, lambda each: audience.includes(each, handshake)):
            for callback in list(self.on_change):
                callback(server.name, kind)
            for each in sharers:
                self.on_news(server.name, kind, each)

    def outdate(self, server: ServerSpec, news: str, handshake: str = "") -> list[ListKind]:
        """Mark a list as out of date, and return the kinds of list that a notification's method concerns."""
        return self._outdate(server, news, lambda each: each == handshake)

    def _outdate(self, server: ServerSpec, news: str, is_meant: Callable[[str], bool]) -> list[ListKind]:
        kinds = [kind for kind in ListKind if kind.news == news]
        self.changes[server.name] = self.changes.get(server.name, 0) + 1
        for (kind, handshake), known in self._shelf(server).items():
            if kind in kinds and is_meant(handshake):
                known.is_fresh = False
        return kinds

    def lost(
        self, server: ServerSpec, audience: ListAudience = ListAudience.SHARED, handshake: str = ""
    ) -> None:
        """Note that a child has ended, since the next one may list something else."""
        for (kind, of), known in self._shelf(server).items():
            if known.items is None or not audience.includes(of, handshake):
                continue
            if is_own(of):
                known.is_fresh = False
                continue
            if self._snapshots is None:
                known.is_fresh = False
            else:
                # The next child is asked, and clients that were shown another list are notified.
                legacy_key, modern_key = self._keys(self._places.of(server), of)
                is_modern = self._is_on_record(server.name, modern_key, kind) and not self._is_on_record(
                    server.name, legacy_key, kind
                )
                self._snapshots.shown.add((server.name, modern_key if is_modern else legacy_key, kind.method))

    def lend(self, server: ServerSpec, former: str, handshake: str) -> None:
        """Copy the lists of one handshake to another, until the child has been asked for the new ones."""
        shelf = self._shelf(server)
        for kind in ListKind:
            known = shelf.get((kind, former))
            if known is not None and (kind, handshake) not in shelf:
                shelf[kind, handshake] = _List(known.items, known.digest, known.is_fresh)

    def forget(self, name: str) -> None:
        """Forget the lists of a server that is redefined or removed."""
        for at in [each for each in self._shelves if each[0] == name]:
            del self._shelves[at]
        self.changes.pop(name, None)
        self.generation += 1


def _unheard(name: str, kind: ListKind, handshake: str) -> None:
    """Ignore the news."""
