"""Answers for servers that do not run, from their recorded answers.

# Note [What is kept]
The gateway asks for nothing in order to record it: it keeps answers that pass through it, namely a child's answer to
the handshake and its lists.  After a server's notification of a change, its list is given to no client until it has
been asked for again; counts and searches still use the former list.

# Note [What is held]
A catalog is read when it is needed and held for `HELD_TICKS` after its last use; all catalogs in memory together take
at most `HELD_BYTES`.  A catalog is written within a second after a change, and then not again for `REST_TICKS`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol
from weakref import WeakKeyDictionary

import msgspec
from msgspec import Raw

from mcpgateway.config.model import ServerSpec
from mcpgateway.hub.catalog.list_limit import ListLimit
from mcpgateway.hub.filters import SinkFilter
from mcpgateway.interfaces import Request
from mcpgateway.policy.recorded_answers import (
    CHANGES,
    FRESH_S,
    HELLO,
    LISTS,
    OLD_S,
    AnswerKey,
    Catalog,
    Chain,
    LaunchPlaces,
    RecordableRequest,
    RecordedAnswer,
    client_in,
    for_now,
    legacy_handshake,
    may_be_kept,
    modern_handshake,
    place_of,
    question_of,
)
from mcpgateway.protocol import jsonrpc, modern
from mcpgateway.protocol.jsonrpc import Envelope, Message
from mcpgateway.protocol.versions import Era
from mcpgateway.records import Record

if TYPE_CHECKING:
    from mcpgateway.hub.sessions import Session
    from mcpgateway.hub.upstream import Upstream

HELD_BYTES = 8 * 1024 * 1024  # of all catalogs in memory together
HELD_TICKS = 60  # for which an unused catalog is held
REST_TICKS = 5  # between two writings of one file
RETRY_TICKS = 60  # until a file that could not be written is tried again
CLIENTS_LIMIT = 32  # modern clients, by handshake, for which one slot's lists are asked for again
SEEN_LIMIT = 256

LIST_TOOLS = "tools/list"
ASKED = (*LISTS, modern.DISCOVER)
"""The methods that may be answered from the records."""


class CatalogStore(Protocol):
    """The storage of catalogs on disk; see `mcpgateway.system.recorded_lists.RecordedListFiles`."""

    def read(self, name: str) -> Catalog:
        """Return the recorded catalog of a server; an empty one where it has none."""

    def write(self, name: str, catalog: Catalog) -> bool:
        """Write a server's catalog; return False if that has to be tried again."""

    def erase(self, name: str) -> None:
        """Remove a server's catalog."""

    def close(self) -> None:
        """Write what is not yet on disk."""


Kept = Callable[[str, AnswerKey, str, tuple[Raw, ...]], None]
Listed = Callable[["Upstream", tuple[Raw, ...]], None]


class _Held(Record):
    """A catalog in memory.

    :ivar size: its bytes.
    :ivar idle: ticks since its last use.
    :ivar rest: ticks until it may be written again.
    :ivar is_dirty: True if it has changed since it was written.
    """

    catalog: Catalog
    size: int
    idle: int = 0
    rest: int = 0
    is_dirty: bool = False


class Snapshots:
    """The recorded answers of all servers, on disk and for a while in memory; see Note [What is held].

    :ivar kept: called with every list that differs from its record.
    :ivar on_listed: called with every list of tools that a slot's server answers with, before it is recorded.
    :ivar shown: the recorded lists that were shown without asking the server, to be asked for again.
    :ivar limit: the limit of the size of a kept list.
    :param seconds: the wall clock.
    """

    def __init__(self, store: CatalogStore, seconds: Callable[[], float]) -> None:
        self._store = store
        self._seconds = seconds
        self.kept: Kept = _unheard
        self.on_listed: list[Listed] = []
        self.limit = ListLimit()
        self.shown: set[tuple[str, AnswerKey, str]] = set()
        self._held: dict[str, _Held] = {}  # in the order of their use
        self._places: dict[str, frozenset[str]] = {}  # the launches of each server that have a record
        self._known = LaunchPlaces()

    def of(self, slot: Upstream, params: dict[str, Any]) -> Snapshot:
        """Return the recorded answers of a slot's server.

        :param params: the parameters of its children's handshake.
        """
        return Snapshot(self, slot, params)

    @property
    def now(self) -> int:
        """The wall-clock time in whole seconds, as it is recorded."""
        return int(self._seconds())

    @property
    def held_bytes(self) -> int:
        """The bytes of the catalogs in memory."""
        return sum(each.size for each in self._held.values())

    def place_of(self, server: ServerSpec) -> str:
        """Return the key of the place in which the records of a server are."""
        return self._known.of(server)

    def is_known(self, server: ServerSpec) -> bool:
        """True if clients can be answered in the place of a server before it runs."""
        if server.name not in self._places:
            self._hold(server.name)
        places = self._places[server.name]
        return bool(places) and self._known.of(server) in places

    def forget(self, name: str) -> None:
        """Forget the records of a server, on disk too."""
        self.limit.forget(name)
        self._held.pop(name, None)
        self._places.pop(name, None)
        self._store.erase(name)

    def find(self, name: str, key: AnswerKey, method: str) -> RecordedAnswer | None:
        """Find a recorded answer of a server; None where it is not recorded."""
        return self._hold(name).catalog.find(key, method)

    def keep(self, name: str, key: AnswerKey, method: str, pages: tuple[Raw, ...]) -> None:
        """Record a server's answer, unless the same was recorded within `FRESH_S`."""
        held, now = self._hold(name), self.now
        known = held.catalog.find(key, method)
        if known is not None and known.pages == pages and 0 <= now - known.at < FRESH_S:
            return
        held.catalog.put(key, method, RecordedAnswer(pages, now))
        self._changed(name, held)
        if known is None or known.pages != pages:
            self.kept(name, key, method, pages)

    def keep_stale(self, name: str, key: AnswerKey, method: str, pages: tuple[Raw, ...]) -> None:
        """Record an answer that was out of date when it came, unless another is recorded."""
        held = self._hold(name)
        if held.catalog.find(key, method) is None:
            held.catalog.put(key, method, RecordedAnswer(pages, self.now, is_stale=True))
            self._changed(name, held)

    def newest(self, name: str, place: str, method: str, era: Era | None = None) -> RecordedAnswer | None:
        """Find the latest answer of a server to any client; one that is not out of date comes first.

        :param era: the era of the request; None for either.
        """
        variants = self._hold(name).catalog.variants.items()
        found = [
            answers[method]
            for key, answers in variants
            if key.place == place and era in (None, key.era) and method in answers
        ]
        return max(found, key=lambda answer: (not answer.is_stale, answer.at), default=None)

    def outdate(self, name: str, place: str, era: Era, methods: tuple[str, ...]) -> None:
        """Mark the recorded lists of a server as out of date."""
        held = self._hold(name)
        if held.catalog.outdate(place, era, methods):
            self._changed(name, held)

    def _changed(self, name: str, held: _Held) -> None:
        held.is_dirty = True
        held.size = held.catalog.size
        self._places[name] = held.catalog.places()
        self._make_room()

    def _hold(self, name: str) -> _Held:
        held = self._held.pop(name, None)
        if held is None:
            catalog = self._store.read(name)
            held = _Held(catalog, catalog.size)
            self._places[name] = catalog.places()
            self._held[name] = held
            self._make_room()
        else:
            self._held[name] = held
        held.idle = 0
        return held

    def _make_room(self) -> None:
        # The catalog in use is the last, and stays until it is idle.
        for name in list(self._held)[:-1]:
            if self.held_bytes <= HELD_BYTES:
                return
            self._write(name, self._held[name])
            del self._held[name]

    def _write(self, name: str, held: _Held) -> None:
        if held.is_dirty:
            held.is_dirty = not self._store.write(name, held.catalog)
            held.rest = RETRY_TICKS if held.is_dirty else REST_TICKS

    def tick(self) -> None:
        """Advance by one second: write changed catalogs, and release those that are not used."""
        for name, held in list(self._held.items()):
            held.idle += 1
            held.rest = max(0, held.rest - 1)
            if not held.rest:
                self._write(name, held)
            if not held.is_dirty and (held.idle > HELD_TICKS or held.size > HELD_BYTES):
                del self._held[name]

    def close(self) -> None:
        """Write all changed catalogs, and close the store."""
        for name, held in self._held.items():
            self._write(name, held)
        self._held.clear()
        self._store.close()


class _Keeper(SinkFilter):
    """Records the answer of a request on its way to the client."""

    snapshot: Snapshot
    question: RecordableRequest
    handshake: str
    changes: int

    def answered(self, request: Request, reply: Envelope) -> None:
        """Take the server's response: record its result, and pass it on."""
        if "result" in reply:
            # A request that was sent before a change may have been answered from before it, too.
            is_stale = self.changes != self.snapshot.changes
            self.snapshot.heard(self.question, self.handshake, reply["result"], is_stale=is_stale)
        self.sink.answered(request, reply)


class Snapshot(Record):
    """The recorded answers of one slot's server.

    :ivar changes: the number of change notifications of its children.
    :ivar given: the digests of the lists that each session was given from the records, by handshake and method.
    :ivar clients: the ``_meta`` of modern clients, by handshake.
    """

    snapshots: Snapshots
    slot: Upstream
    params: dict[str, Any]
    changes: int = 0
    given: WeakKeyDictionary[Session, dict[tuple[str, str], bytes]] = msgspec.field(
        default_factory=WeakKeyDictionary
    )
    clients: dict[str, Envelope] = msgspec.field(default_factory=dict)
    _server: ServerSpec | None = None  # the definition that the following fields were made of
    _place: str = ""
    _handshake: str = ""
    _chains: dict[tuple[str, str], Chain] = msgspec.field(default_factory=dict)
    _seen: dict[tuple[str, RecordableRequest], tuple[int, int]] = msgspec.field(default_factory=dict)

    def _key(self, handshake: str = "") -> AnswerKey:
        if self._server is not self.slot.server:  # replaced by a reload, also while sessions are open
            self._server = self.slot.server
            self._place = place_of(self._server)
            is_legacy = self.slot.era is Era.LEGACY
            self._handshake = (
                legacy_handshake(self.params) if is_legacy else modern_handshake(_raw(self.params))
            )
        return AnswerKey(self._place, self.slot.era, handshake or self._handshake)

    def offer_next(self, params: dict[str, Any]) -> None:
        """Set other parameters of the handshake of the slot's next children."""
        self.params, self._server = params, None

    def find(self, method: str, handshake: str = "") -> RecordedAnswer | None:
        """Find a recorded answer for clients with this handshake; by default that of the slot's handshake."""
        return self.snapshots.find(self.slot.server.name, self._key(handshake), method)

    def handshake_of(self, message: Message) -> str:
        """Return the handshake of a request's client: of its ``_meta`` in the modern era, else that of the slot."""
        return modern_handshake(message.meta or {}) if self.slot.era is Era.MODERN else self._key().handshake

    @property
    def is_known(self) -> bool:
        """True if the server is switched on, and its answer to the handshake is recorded."""
        return self.slot.is_on and self.find(HELLO) is not None

    def hello(self) -> Envelope | None:
        """The recorded answer of the server to the handshake; None where there is none."""
        known = self.find(HELLO) if self.slot.is_on else None
        return jsonrpc.read_object(known.pages[0], HELLO) if known is not None else None

    # Requests

    def take(self, request: Request) -> bool:
        """Answer a request from the records if the server does not run; else have the server's answer recorded.

        :return: True if the request is answered.
        """
        question = question_of(self.slot.era, request.message)
        if question is None:
            return False
        handshake = self.handshake_of(request.message)
        if self.slot.conversation is not None:
            request.sink = _Keeper(request.sink, self, question, handshake, self.changes)
            return False
        roots = self.slot.roots
        # The resources may be the files in the roots of another client.
        is_of_roots = question.method == "resources/list" and roots is not None and bool(roots.key)
        known = self.find(question.method, handshake) if self.slot.is_on and not is_of_roots else None
        page = known.page(question.cursor) if known is not None else None
        if known is None or page is None:
            return False
        if question.method in LISTS and request.session is not None:
            self._remember(request.session, handshake, question.method, known, request.message)
        result = page if self.slot.era is Era.LEGACY else for_now(page)
        request.sink.answered(request, {"jsonrpc": jsonrpc.VERSION, "id": jsonrpc.NULL, "result": result})
        return True

    def _remember(
        self, session: Session, handshake: str, method: str, known: RecordedAnswer, message: Message
    ) -> None:
        self.given.setdefault(session, {})[handshake, method] = known.digest(method)
        if self.slot.era is Era.MODERN and handshake not in self.clients:
            self.clients[handshake] = client_in(message.meta or {})
            if len(self.clients) > CLIENTS_LIMIT:
                del self.clients[next(iter(self.clients))]

    # Answers and notifications

    def heard(
        self, question: RecordableRequest, handshake: str, result: Raw, *, is_stale: bool = False
    ) -> None:
        """Take a server's result, and record it when the list is complete.

        :param is_stale: the server has notified of a change since the request was sent.
        """
        # Comparing a long list costs as much as passing it on, so one that came within the same second is skipped.
        second, seen = self.snapshots.now, self._seen.get((handshake, question))
        if seen is not None and seen[0] == second:
            return
        mark = hash(bytes(result))
        if seen is not None and seen[1] == mark:
            self._seen[handshake, question] = (second, mark)
            return
        if not may_be_kept(question, result):
            return
        pages: tuple[Raw, ...] | None = (result,)
        if question.method in LISTS:
            pages = self._add(
                self._chains.setdefault((handshake, question.method), Chain()), question, result
            )
        if pages is not None and is_stale:
            self.snapshots.keep_stale(self.slot.server.name, self._key(handshake), question.method, pages)
        elif pages is not None:
            self.keep(question.method, handshake, pages)
            if len(pages) == 1:
                self._seen[handshake, question] = (second, mark)
        if len(self._seen) + len(self._chains) > SEEN_LIMIT:
            self._start_over()

    def _add(self, chain: Chain, question: RecordableRequest, page: Raw) -> tuple[Raw, ...] | None:
        limit, name = self.snapshots.limit, self.slot.server.name
        if not limit.admits(*chain.with_one(question.cursor, page)):
            chain.clear()
            limit.exceeded(name, question.method)
            return None
        pages = chain.add(question.cursor, page)
        if pages is not None:
            limit.fits(name, question.method)
        return pages

    def keep(self, method: str, handshake: str, pages: tuple[Raw, ...]) -> None:
        """Record a complete answer."""
        if method == LIST_TOOLS:
            for each in self.snapshots.on_listed:
                each(self.slot, pages)
        self.snapshots.keep(self.slot.server.name, self._key(handshake), method, pages)

    def changed(self, method: str) -> None:
        """Take a notification of the server; if it tells of a changed list, mark the recorded one as out of date."""
        lists = CHANGES.get(method)
        if lists is not None:
            self.changes += 1
            self._start_over()
            self.snapshots.outdate(self.slot.server.name, self._key().place, self.slot.era, lists)

    def compared(self, handshake: str, method: str) -> None:
        """Note that a list was asked for again, so that what was shown of it has been compared."""
        self.snapshots.shown.discard((self.slot.server.name, self._key(handshake), method))

    def _start_over(self) -> None:
        self._seen.clear()
        self._chains.clear()

    def begun(self, hello: Envelope) -> None:
        """Record the handshake's result of a new child; the lists of `outdated` are then asked of it."""
        self._start_over()
        self.keep(HELLO, self._key().handshake, (Raw(jsonrpc.encode(hello)),))

    def outdated(self) -> list[tuple[str, str]]:
        """Return the lists to be asked for: those given to sessions from the records, and those older than `OLD_S`."""
        found = {asked: None for lists in self.given.values() for asked in lists}
        here = self._key()
        for name, key, method in self.snapshots.shown:
            if name == self.slot.server.name and key == here:
                found[key.handshake, method] = None
        if self.slot.era is Era.LEGACY:
            handshake, now = self._key().handshake, self.snapshots.now
            for method in LISTS:
                known = self.find(method)
                if known is not None and now - known.at > OLD_S:
                    found[handshake, method] = None
        return list(found)


def _unheard(name: str, key: AnswerKey, method: str, pages: tuple[Raw, ...]) -> None:
    """Ignore the list."""


def _raw(members: dict[str, Any]) -> Envelope:
    return {name: jsonrpc.raw(value) for name, value in members.items()}
