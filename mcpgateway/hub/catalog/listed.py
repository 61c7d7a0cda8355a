"""What all servers offer, parsed: the lists as they pass by, and those on record of servers that do not run.

# Note [Whose list it is]
Most servers list the same to everybody.  What a child of a client's own lists may depend on what it was told of that
client, and changes with what the client does.  So a list is known for a server as it is launched in one place, and for
whoever was told about alike: ``told`` is empty for children that clients share who offer nothing, and begins with a
sign of its own (`mcpgateway.policy.recorded_answers.COMMON`) for those that clients share who offer the same.  For
these, what is on record of other clients is good enough until their own child has been asked.

# Note [What is known without asking]
A list on disk is good enough to show without starting its server.  It is asked for again once the server runs, and if
it is another then, whoever was shown the former is told.  A server of the modern era hears of its client with each
request, and few list something else for that: what it has told anybody is as good until it runs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from enum import Enum
from typing import TYPE_CHECKING

from attrs import define, field
from msgspec import Raw

from mcpgateway import __version__
from mcpgateway.config.model import ServerSpec
from mcpgateway.discovery.records import Item, ListKind, read_items
from mcpgateway.hub.catalog.list_limit import ListLimit
from mcpgateway.policy.recorded_answers import (
    COMMON,
    HELLO,
    AnswerKey,
    RecordedAnswer,
    is_own,
    place_of,
    told_at_handshake,
    told_in,
)
from mcpgateway.protocol import jsonrpc, legacy, modern, peek
from mcpgateway.protocol.versions import Era

if TYPE_CHECKING:
    from mcpgateway.hub.catalog.recorded import Snapshots

PLACES_LIMIT = 1000  # ways of launching servers whose lists are held
INSTRUCTIONS_LIMIT = 100_000  # characters
TOLD_LIMIT = 64  # kinds of clients of one of them

OnChange = Callable[[str, ListKind], None]
OnNews = Callable[[str, ListKind, str], None]
_KINDS = {kind.method: kind for kind in ListKind}


@define(eq=False)
class _List:
    """One list in memory.

    :ivar items: None where nothing is known, on disk either.
    :ivar is_fresh: its server has not said since that it has changed.
    :ivar is_shown: somebody has been shown it since, and is to hear what it is now.
    """

    items: tuple[Item, ...] | None
    digest: bytes = field(default=b"", repr=False)
    is_fresh: bool = True
    is_shown: bool = False


class Whose(Enum):
    """Whose lists have changed; see Note [Whose list it is]."""

    SHARED = "the list of a child that clients share"
    TOLD = "those of children that one client has for itself"
    ALL = "all: a server of the modern era has one child for them"

    def includes(self, told: str, shared: str) -> bool:
        """Whether the list is meant that is known for those who were told about like this.

        :param shared: names what the child that clients share is told of these.
        """
        if self is Whose.ALL:
            return True
        return is_own(told) if self is Whose.TOLD else told == shared


Shelf = dict[tuple[ListKind, str], _List]


class Librarian:
    """Knows the lists of all servers.

    :ivar generation: changes with whatever is known.
    :ivar on_change: told of every server whose list is another than it was, by its name.
    :ivar on_news: told where those who have seen that list have to hear of it, and whose list it is.
    :ivar changes: how often each server has said that a list has changed.
    :ivar servers: the servers there are, as their entries define them.
    :ivar limit: how long a list may be that is known whole.
    """

    def __init__(self, snapshots: Snapshots | None = None) -> None:
        self.generation = 0
        self.on_change: list[OnChange] = []
        self.on_news: OnNews = _unheard
        self.changes: dict[str, int] = {}
        self.servers: Callable[[], Iterable[ServerSpec]] = tuple
        self.limit = ListLimit()
        self._snapshots = snapshots
        self._shelves: dict[tuple[str, str], Shelf] = {}
        self._places: dict[str, tuple[ServerSpec, str]] = {}  # asked for often, and made of a digest
        self._shared = told_at_handshake(legacy.shared_params(__version__))
        own = modern.own_meta(__version__).items()
        self._modern = told_in({name: jsonrpc.raw(value) for name, value in own})
        if snapshots is not None:
            snapshots.kept = self._kept

    # What is known

    def known(self, server: ServerSpec, kind: ListKind, told: str = "") -> tuple[Item, ...] | None:
        """What a server lists, as it was last heard or is on record; None where that is not known.

        :param told: names what its child is told of its client; empty for one that clients share.
        """
        return self._list(server, kind, told).items

    def recall(self, server: ServerSpec, kind: ListKind, told: str = "") -> tuple[Item, ...] | None:
        """The same; what no view has asked for yet may be on record by now, from whoever was at the server itself."""
        found = self.known(server, kind, told)
        return self._on_record(server, kind, told).items if found is None else found

    def tools(self, server: ServerSpec) -> tuple[Item, ...] | None:
        """The tools a server is known to have, whether it runs or not; None where it was never asked for them.

        Whoever counts tools, or shows them beside a server, asks here, so that all say the same.
        """
        return self.recall(server, ListKind.TOOL)

    def is_fresh(self, server: ServerSpec, kind: ListKind, told: str = "") -> bool:
        """Whether a list is known, and its server has not said since that it has changed."""
        found = self._list(server, kind, told)
        return found.is_fresh and found.items is not None

    def show(self, server: ServerSpec, kind: ListKind, told: str = "") -> None:
        """Somebody is shown a list that may not be true any more."""
        self._list(server, kind, told).is_shown = True

    def is_shown(self, server: ServerSpec, kind: ListKind, told: str = "") -> bool:
        """Whether somebody is shown a list, or none, who is to hear when it is another."""
        return self._list(server, kind, told).is_shown

    def _commons(self, server: ServerSpec) -> list[str]:
        return list(dict.fromkeys(told for _, told in self._shelf(server) if told.startswith(COMMON)))

    def place(self, server: ServerSpec) -> str:
        """Names how a server is launched, and where: what it lists is known for that."""
        return self._place(server)

    def everything(self) -> Iterator[Item]:
        """Whatever the servers there are offer, as far as it is known."""
        for server in self.servers():
            for kind in ListKind:
                yield from self.known(server, kind) or ()

    def instructions(self, server: ServerSpec) -> str:
        """What a server has said of itself when it was last met; empty where that is not on record."""
        if self._snapshots is None:
            return ""
        found = self._snapshots.newest(server.name, self._place(server), HELLO)
        hello = peek.members({"hello": found.pages[0]}, "hello") if found is not None else {}
        return peek.text(hello, "instructions", INSTRUCTIONS_LIMIT) or ""

    def _list(self, server: ServerSpec, kind: ListKind, told: str) -> _List:
        shelf = self._shelf(server)
        found = shelf.get((kind, told))
        if found is None:
            found = shelf[kind, told] = self._on_record(server, kind, told)
            while len(shelf) > TOLD_LIMIT * len(ListKind):
                del shelf[next(iter(shelf))]
        return found

    def _on_record(self, server: ServerSpec, kind: ListKind, told: str) -> _List:
        snapshots = self._snapshots
        if snapshots is None:
            return _List(None)
        place = self._place(server)
        legacy_key, modern_key = self._keys(place, told)
        exact = snapshots.find(server.name, modern_key, kind.method)
        found = {
            legacy_key: snapshots.find(server.name, legacy_key, kind.method),
            modern_key: exact or snapshots.newest(server.name, place, kind.method, Era.MODERN),
        }
        for key, answer in found.items():
            if answer is not None and not answer.is_stale:
                # Once the server runs it is seen whether this is still true.
                snapshots.shown.add((server.name, key, kind.method))
                # Some modern servers list something else to clients that can do more.
                is_its = not is_own(told) or key != modern_key or answer is exact
                items = read_items(server.name, kind, answer.pages)
                return _List(items, answer.digest(kind.method), is_fresh=is_its)
        answer = snapshots.newest(server.name, place, kind.method) if not is_own(told) else None
        if answer is None:
            return _List(None)
        # Good to be found, and to be shown until the server runs and has been asked in its own name.
        snapshots.shown.add((server.name, legacy_key, kind.method))
        return _List(read_items(server.name, kind, answer.pages), answer.digest(kind.method), is_fresh=False)

    def _keys(self, place: str, told: str = "") -> tuple[AnswerKey, AnswerKey]:
        # How a list is on record that is asked for in either era; what the gateway says of itself is the same for all.
        legacy_told = told.removeprefix(COMMON) or self._shared
        modern_told = told if is_own(told) else self._modern
        return AnswerKey(place, Era.LEGACY, legacy_told), AnswerKey(place, Era.MODERN, modern_told)

    def _shelf(self, server: ServerSpec) -> Shelf:
        at = (server.name, self._place(server))
        shelf = self._shelves.get(at)
        if shelf is None:
            if len(self._shelves) >= PLACES_LIMIT:
                del self._shelves[next(iter(self._shelves))]
            shelf = self._shelves[at] = {}
        return shelf

    def _place(self, server: ServerSpec) -> str:
        key = f"{server.name}\0{server.workspace}\0{server.principal}"
        known = self._places.get(key)
        if known is None or known[0] is not server:
            if len(self._places) >= PLACES_LIMIT:
                self._places.clear()
            known = self._places[key] = (server, place_of(server))
        return known[1]

    # What is learnt

    def learn(self, server: ServerSpec, kind: ListKind, pages: Iterable[Raw], told: str = "") -> None:
        """A server has answered a request for a list."""
        self._put(self._shelf(server), server.name, kind, told, tuple(pages))

    def _put(self, shelf: Shelf, name: str, kind: ListKind, told: str, pages: tuple[Raw, ...]) -> None:
        digest = RecordedAnswer(pages).digest(kind.method)
        known = shelf.get((kind, told))
        if known is not None and known.items is not None and known.digest == digest:
            known.is_fresh, known.is_shown = True, False
            return
        found = shelf[kind, told] = _List(read_items(name, kind, pages), digest)
        self.generation += 1
        if not found.items and (known is None or known.items is None):
            return  # it was shown without any, and has none
        for heard in list(self.on_change):
            heard(name, kind)
        if known is None or known.is_fresh or known.is_shown:  # else it was said when it changed
            self.on_news(name, kind, told)

    def _kept(self, name: str, key: AnswerKey, method: str, pages: tuple[Raw, ...]) -> None:
        # Whoever asked for it: it is what those are shown who share the child.
        kind, shelf = _KINDS.get(method), self._shelves.get((name, key.place))
        if kind is None or shelf is None:
            return
        legacy_key, modern_key = self._keys(key.place)
        if key.era is Era.LEGACY and (kind, COMMON + key.told) in shelf:
            self._put(shelf, name, kind, COMMON + key.told, pages)
        if key == legacy_key or (key == modern_key and not self._is_on_record(name, legacy_key, kind)):
            self._put(shelf, name, kind, "", pages)

    def _is_on_record(self, name: str, key: AnswerKey, kind: ListKind) -> bool:
        return self._snapshots is not None and self._snapshots.find(name, key, kind.method) is not None

    def changed(self, server: ServerSpec, news: str, whose: Whose = Whose.SHARED, told: str = "") -> None:
        """A server says that a list has changed; what was known of it holds until somebody asks.

        :param told: names what the child is told of the clients that share it.
        """
        sharers = {Whose.SHARED: [told], Whose.TOLD: [], Whose.ALL: ["", *self._commons(server)]}[whose]
        for kind in self._outdate(server, news, lambda each: whose.includes(each, told)):
            for heard in list(self.on_change):
                heard(server.name, kind)
            for each in sharers:
                self.on_news(server.name, kind, each)

    def outdate(self, server: ServerSpec, news: str, told: str = "") -> list[ListKind]:
        """A list is to be asked for again; returns what it is a list of."""
        return self._outdate(server, news, lambda each: each == told)

    def _outdate(self, server: ServerSpec, news: str, is_meant: Callable[[str], bool]) -> list[ListKind]:
        kinds = [kind for kind in ListKind if kind.news == news]
        self.changes[server.name] = self.changes.get(server.name, 0) + 1
        for (kind, told), known in self._shelf(server).items():
            if kind in kinds and is_meant(told):
                known.is_fresh = False
        return kinds

    def lost(self, server: ServerSpec, whose: Whose = Whose.SHARED, told: str = "") -> None:
        """A child that clients share has ended; the next one may list something else."""
        for (kind, of), known in self._shelf(server).items():
            if known.items is None or not whose.includes(of, told):
                continue
            if is_own(of):
                known.is_fresh = False
                continue
            if self._snapshots is None:
                known.is_fresh = False
            else:
                # It is asked once it is there, and whoever was shown something else is told.
                legacy_key, modern_key = self._keys(self._place(server), of)
                is_modern = self._is_on_record(server.name, modern_key, kind) and not self._is_on_record(
                    server.name, legacy_key, kind
                )
                self._snapshots.shown.add((server.name, modern_key if is_modern else legacy_key, kind.method))

    def lend(self, server: ServerSpec, former: str, told: str) -> None:
        """One client's own child lists something else from now on; what it had is known until it is asked."""
        shelf = self._shelf(server)
        for kind in ListKind:
            known = shelf.get((kind, former))
            if known is not None and (kind, told) not in shelf:
                shelf[kind, told] = _List(known.items, known.digest, known.is_fresh)

    def forget(self, name: str) -> None:
        """A server of that name is defined otherwise now, or not at all."""
        for at in [each for each in self._shelves if each[0] == name]:
            del self._shelves[at]
        self.changes.pop(name, None)
        self.generation += 1


def _unheard(name: str, kind: ListKind, told: str) -> None:
    """Nobody sees anything."""
