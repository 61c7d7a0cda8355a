"""The sessions of the legacy era: who is connected, to which server, under which id.

# Note [A session is more than its object]
What a session is stands in its signed id and in the store, so the object here can go at any time: with a killed
gateway, or because the session was silent for long (`Sessions.park`).  `Sessions.revive` makes it anew from what is
known.  Only `Sessions.forget` is for good.

# Note [A session's handle]
Whoever knows the id of a session can speak in it, so it is shown to nobody but its client.  Everywhere else a session
has a handle: the beginning of the id's digest, by which it is found and which opens nothing.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Container, Iterator
from hashlib import sha256
from typing import Any, Protocol

from attrs import define, evolve, field, frozen
from twisted.internet.defer import Deferred
from twisted.logger import Logger

from mcpgateway.bounded import Bounded
from mcpgateway.config.model import ServerSpec
from mcpgateway.errors import GatewayError
from mcpgateway.hub.mailbox import Mailbox
from mcpgateway.hub.replay import Budget, Replay
from mcpgateway.interfaces import ISessionStore, Request, SessionRecord
from mcpgateway.policy.client_requests import Offer, name_of
from mcpgateway.policy.routing import DEFAULT_LEVEL
from mcpgateway.policy.sharing import Variant, variant_of
from mcpgateway.protocol import jsonrpc, peek
from mcpgateway.protocol.jsonrpc import Envelope
from mcpgateway.protocol.session_ids import SERIAL_BYTES, Issued, SessionIds
from mcpgateway.protocol.versions import LATEST_LEGACY, LATEST_MODERN, Era, can_resume

ANONYMOUS_LIMIT = 1000  # kinds of requests without an id: server, workspace, principal, revision
HANDLE_CHARS = 12
ENDED_LIMIT = 10_000  # ended sessions that are known without the store, which a full disk keeps from writing


class UsedSlot(Protocol):
    """The slot that a session uses, as the session sees it (`mcpgateway.hub.slot.Slot`)."""

    @property
    def is_over(self) -> bool:
        """Whether nobody may use it any more."""

    @property
    def is_up(self) -> bool:
        """Whether its child runs, or is about to."""

    @property
    def shared(self) -> bool:
        """Whether other sessions use it, too."""

    @property
    def listening(self) -> object | None:
        """True where somebody listens to its child, in the modern era."""

    def calls(self) -> list[Request]:
        """The calls under way or waiting."""

    def greet(self) -> Deferred[Envelope]:
        """Fires with the first words of its child, which is started."""

    def withdraw(self, call: Request, reason: str) -> bool:
        """Take a call back; false when it has been answered."""


class Members(Protocol):
    """The sessions that the session of a view has at single servers (`mcpgateway.views.members.Inners`).

    :ivar sessions: by the names of their servers, or what stands for those.
    :ivar goes_by_roots: its client has not said where it works, so that its roots count.
    """

    sessions: dict[str, Session]
    goes_by_roots: bool

    def drop(self, session: Session) -> None:
        """Forget one of them, which has ended."""

    def lost(self, outer: Session, server: str, uri: str) -> list[str]:
        """Forget a subscription of the view's session at a server; returns the records of it."""


@define(eq=False)
class Session:
    """One client of one server.

    :ivar id: the ``Mcp-Session-Id``; empty for the anonymous session that requests without an id share.
    :ivar server: as it is run for the session's workspace, for as long as the session lives.
    :ivar issued: what the id says of itself; None for the anonymous session.
    :ivar principal: whose session it is; nobody else can use its id.
    :ivar epoch: names this life of the session; no other of this or any session has the same.
    :ivar params: the client's ``initialize`` parameters, kept only where a child of its own is started with them.
    :ivar era: which era its child speaks; the other than its own where the gateway translates.
    :ivar stands_for_many: its requests may be those of several clients.
    :ivar is_apart: it has a child of its own however widely its server is shared.
    :ivar owner: the process that it belongs to, or None.
    :ivar names_owner: its client has said which process it belongs to.
    :ivar is_unclaimed: nobody has looked yet whether that process lives, or who else it may belong to.
    :ivar is_on_record: what it is has been put on record.
    :ivar is_left: whoever has begun it has gone, as far as could be seen.
    :ivar has_called: it has been used for more than to look at what there is.
    :ivar begun: the tick it was opened in, or brought back.
    :ivar seen: the tick of its last request.
    :ivar level: from which log level on its client hears messages; empty where it hears none.
    :ivar uris: the resources it is subscribed to.
    :ivar is_stale: what its client knows of the server may be out of date.
    :ivar is_unmet: its client knows nothing of the server, which wanted its user to sign in first.
    :ivar sends_user: its client sends its user to a sign-in by itself; None while nobody has looked.
    :ivar inners: the sessions it has at single servers, where its own is a view of all of them; None elsewhere.
    :ivar outer: the session that this is one of; None for all others.
    """

    id: bytes = field(repr=False)
    server: ServerSpec
    principal: str
    version: str
    issued: Issued | None = field(default=None, repr=False)
    epoch: str = ""
    params: Envelope | None = field(default=None, repr=False)
    era: Era = Era.LEGACY
    stands_for_many: bool = False
    is_apart: bool = False
    owner: int | None = None
    names_owner: bool = False
    is_unclaimed: bool = False
    is_on_record: bool = False
    is_left: bool = False
    has_called: bool = False
    begun: int = 0
    level: str = DEFAULT_LEVEL
    has_level: bool = False
    seen: int = 0
    is_stale: bool = False
    is_unmet: bool = False
    sends_user: bool | None = None
    slot: UsedSlot | None = field(default=None, repr=False)
    uris: set[str] | None = field(default=None, repr=False)
    inners: Members | None = field(default=None, repr=False)
    outer: Session | None = field(default=None, repr=False)
    _mailbox: Mailbox | None = field(default=None, init=False, repr=False)
    _replay: Replay | None = field(default=None, init=False, repr=False)

    @property
    def mailbox(self) -> Mailbox:
        """What it is to be told outside of its calls."""
        if self._mailbox is None:
            self._mailbox = Mailbox()
        return self._mailbox

    @property
    def has_stream(self) -> bool:
        """Whether its client is listening outside of its calls."""
        if self.is_apart and self.slot is not None and self.slot.listening:
            return True
        if self.outer is not None:
            return self.outer.has_stream  # what is said to an inner one is always passed on
        return self._mailbox is not None and self._mailbox.stream is not None

    @property
    def can_resume(self) -> bool:
        """Whether its client understands event ids."""
        return bool(self.id) and can_resume(self.version)

    def replay(self, budget: Budget) -> Replay:
        """The events it has been sent."""
        if self._replay is None:
            self._replay = Replay(self.epoch, budget)
        return self._replay

    def clear(self) -> None:
        """Give back what it holds, and end its standing stream."""
        mailbox, self._mailbox = self._mailbox, None
        replay, self._replay = self._replay, None
        if mailbox is not None and mailbox.stream is not None:
            mailbox.stream.close()
        if replay is not None:
            replay.clear()


@frozen
class Recalled:
    """What is known of a session that is not in use."""

    issued: Issued
    record: SessionRecord


class Sessions:
    """All sessions in use, by id, and the way back for the others.

    :ivar now: the gateway's age in ticks; a tick is a second of running time, so a suspended machine ages nobody.
    :ivar budget: what all sessions keep for replay.
    :ivar wall: the time, in seconds since the epoch.
    """

    log = Logger()

    def __init__(self, limit: int, ids: SessionIds, store: ISessionStore, wall: Callable[[], float]) -> None:
        self.now = 0
        self.budget = Budget()
        self.store = store
        self._limit = limit
        self._ids = ids
        self.wall = wall
        self._boot = secrets.token_hex(6)
        self._lives = 0
        self._by_id: dict[bytes, Session] = {}
        self._inner: dict[bytes, Session] = {}  # they live and die with others, which count for them
        self._ended: Bounded[bytes, None] = Bounded(ENDED_LIMIT)
        self._anonymous: dict[tuple[Variant, str, str, str, Era, str], Session] = {}

    def __len__(self) -> int:
        return len(self._by_id)

    def __iter__(self) -> Iterator[Session]:
        return iter(list(self._by_id.values()))

    def open(self, server: ServerSpec, principal: str, version: str, params: Envelope | None) -> Session:
        """Begin a session under a fresh id; the caller makes room first (`is_full`)."""
        serial, now = secrets.token_bytes(SERIAL_BYTES), int(self.wall())
        identifier = self._ids.issue(serial, now, server.name, principal, version)
        issued = self._ids.read(identifier)
        session = Session(identifier, server, principal, version, issued, self._new_epoch(), params)
        session.seen = session.begun = self.now
        session.is_unclaimed = True
        self._by_id[identifier] = session
        self.log.debug("a session of {server} begins", event="session.opened", server=server.name)
        return session

    def _new_epoch(self) -> str:
        self._lives += 1
        return f"{self._boot}{self._lives:x}"

    @property
    def is_full(self) -> bool:
        """Whether one more session needs another to make room first."""
        return len(self._by_id) >= self._limit

    def quietest(self, busy: Container[Session]) -> Session:
        """The session that has been silent for longest; one that is in use only if there is no other."""
        return min(self._by_id.values(), key=lambda each: (each in busy, each.has_stream, each.seen))

    def find(self, identifier: bytes, server: ServerSpec, principal: str) -> Session | None:
        """The session of that id, if it is in use, of that server and that principal; it counts as heard of.

        It may use another variant of the server than the one that is named here.
        """
        session = self._by_id.get(identifier)
        if session is None or not _is_of(session, server) or session.principal != principal:
            return None
        session.seen = self.now
        return session

    def knows(self, identifier: bytes, server: ServerSpec, principal: str) -> bool:
        """Whether an id that is not in use is one of ours, was issued to this principal, and has not ended."""
        return self.recall(identifier, server, principal) is not None

    def recall(self, identifier: bytes, server: ServerSpec, principal: str) -> Recalled | None:
        """What an id that `knows` would take says, and what is on record of its session; None of any other.

        :param server: as it is run for whoever names the id; where nothing is on record, it was so before.
        """
        issued = self._ids.read(identifier)
        if issued is None or identifier in self._by_id or not issued.is_for(server.name, principal):
            return None
        if issued.serial in self._ended:
            return None
        record = self.store.find(issued.serial)
        if record is None:
            if issued.issued <= self.store.floor:
                return None
            known = SessionRecord(issued.serial, server.name, principal, issued.version)
            return Recalled(issued, evolve(known, workspace=server.workspace))
        if record.is_ended or record.principal != principal or record.server != server.name:
            return None
        return Recalled(issued, record)

    def workspace_of(self, identifier: bytes, server: str) -> str:
        """The workspace that the session of an id was begun in, at a server of that name; empty where none is known."""
        issued = self._ids.read(identifier)
        record = self.store.find(issued.serial) if issued is not None else None
        return record.workspace if record is not None and record.server == server else ""

    def revive(self, identifier: bytes, server: ServerSpec, recalled: Recalled) -> Session:
        """Bring back a session that is not in use, from what was recalled of it; the caller makes room first."""
        issued, record = recalled.issued, recalled.record
        session = Session(identifier, server, record.principal, issued.version, issued, self._new_epoch())
        session.params = _params(record)
        session.owner = record.owner
        session.is_unclaimed = session.is_on_record = session.is_stale = session.has_called = True
        session.seen = session.begun = self.now
        if record.level is not None:
            session.level, session.has_level = record.level, True
        if record.uris:
            session.uris = set(record.uris)
        self._by_id[identifier] = session
        self.log.info("a session of {server} is back", event="session.revived", server=server.name)
        return session

    def anonymous(
        self,
        server: ServerSpec,
        principal: str,
        version: str,
        era: Era = Era.LEGACY,
        offer: Offer | None = None,
    ) -> Session:
        """The session that this principal's requests without an id share on a shared server.

        :param offer: what their clients can be asked, where they have said it.
        """
        key = (variant_of(server), server.workspace, principal, version, era, name_of(offer or {}))
        session = self._anonymous.get(key)
        if session is None or session.server is not server or _is_outlived(session):
            if len(self._anonymous) >= ANONYMOUS_LIMIT:
                self._forget_anonymous()
            session = self._anonymous[key] = Session(b"", server, principal, version, era=era)
            session.stands_for_many = True
            if offer:
                session.params = {"capabilities": jsonrpc.raw(offer)}
        return session

    def _forget_anonymous(self) -> None:
        # Nothing is lost with those that have no call under way: the next request begins another.
        idle = [key for key, each in self._anonymous.items() if each.slot is None or not each.slot.calls()]
        for key in idle[: max(1, len(idle) // 2)]:
            del self._anonymous[key]

    def of(self, server: ServerSpec) -> list[Session]:
        """The sessions of a server that are in use, the anonymous and the inner ones among them."""
        everyone = (*self._by_id.values(), *self._inner.values(), *self._anonymous.values())
        return [each for each in everyone if _is_of(each, server)]

    def forget_anonymous(self, server: ServerSpec) -> None:
        """Drop what stands for the requests to a server that name no session."""
        mine = [key for key, each in self._anonymous.items() if _is_of(each, server)]
        for key in mine:
            del self._anonymous[key]

    def set_limit(self, limit: int) -> None:
        """Let so many be in use; those that are too many stay until one more comes."""
        self._limit = limit

    def synthetic(
        self,
        server: ServerSpec,
        principal: str,
        params: Envelope | None = None,
        *,
        era: Era = Era.LEGACY,
        level: str | None = None,
        is_apart: bool = False,
        stands_for_many: bool = False,
    ) -> Session:
        """Begin a session for requests that have none; its id is told to no client, and it does not outlive a restart.

        :param params: what the server is told at ``initialize``.
        :param era: of the server; the session's revision is the latest of it.
        :param level: from which log level on it hears messages; empty for none, None for the usual.
        :param is_apart: it has a child of its own.
        :param stands_for_many: its requests may be those of several clients.
        """
        identifier = b"~" + secrets.token_hex(SERIAL_BYTES).encode()
        version = LATEST_MODERN if era is Era.MODERN else LATEST_LEGACY
        session = Session(identifier, server, principal, version, None, self._new_epoch(), params, era)
        session.stands_for_many, session.is_apart = stands_for_many, is_apart
        if level is not None:
            session.level, session.has_level = level, bool(level)
        session.seen = self.now
        self._by_id[identifier] = session
        return session

    def open_inner(self, outer: Session, server: ServerSpec, identifier: bytes) -> Session:
        """Begin a session of a view session's client at one server; it ends with the outer one."""
        session = Session(identifier, server, outer.principal, outer.version, None, self._new_epoch())
        session.params = self.params_of(outer)
        session.outer, session.seen = outer, self.now
        session.level, session.has_level = outer.level, outer.has_level
        self._inner[identifier] = session
        return session

    def named(self, identifier: bytes) -> Session | None:
        """The session of that id, whoever's it is, if it is in use."""
        return self._by_id.get(identifier) or self._inner.get(identifier)

    def owned_by(self, pid: int) -> list[Session]:
        """The sessions in use whose owner is that process."""
        return [session for session in self._by_id.values() if session.owner == pid]

    def capabilities_of(self, session: Session) -> dict[str, Any]:
        """The capabilities a session's client declared; empty where they are not known."""
        return peek.mapping(self.params_of(session), "capabilities")

    def params_of(self, session: Session) -> Envelope | None:
        """What a session's client said at ``initialize``; None where that is not known."""
        if session.params is None and session.outer is not None:
            return self.params_of(session.outer)
        if session.params is not None or session.issued is None:
            return session.params
        record = self.store.find(session.issued.serial)
        return _params(record) if record is not None else None

    def remember(self, session: Session, params: bytes = b"") -> None:
        """Put on record what a session is."""
        issued = session.issued
        if issued is None:
            return
        session.is_on_record = True
        level = session.level if session.has_level else None
        record = SessionRecord(
            issued.serial,
            session.server.name,
            session.principal,
            session.version,
            params,
            level,
            session.owner,
            workspace=session.server.workspace,
        )
        self.store.keep(record, issued.issued)

    def subscribed(self, session: Session, uri: str, is_on: bool) -> None:  # noqa: FBT001 - a plain callback
        """A session has gained or lost a resource."""
        if session.outer is None:
            self.record(session, uri, is_on=is_on)
        elif (
            not is_on
        ):  # what it gains is put on record as its client has written it, by whoever has brought that
            outer = session.outer
            for each in (
                outer.inners.lost(outer, session.server.name, uri) if outer.inners is not None else ()
            ):
                self.record(outer, each, is_on=False)

    def record(self, session: Session, uri: str, *, is_on: bool) -> None:
        """Put on record that a session has gained or lost a resource."""
        if session.issued is not None:
            note = self.store.subscribe if is_on else self.store.unsubscribe
            note(session.issued.serial, uri)

    def park(self, session: Session) -> None:
        """Drop the object; the id stays good."""
        if self._by_id.pop(session.id, None) is not None:
            self.remember(session)

    def forget(self, session: Session) -> bool:
        """Drop the session for good; false when it was dropped before."""
        if session.issued is not None:
            self._end(session.issued)
        known = self._inner if session.outer is not None else self._by_id
        return known.pop(session.id, None) is not None

    def forget_parked(self, identifier: bytes) -> None:
        """Drop a session that is not in use for good, if the id is one of ours."""
        issued = self._ids.read(identifier)
        if issued is not None:
            self._end(issued)

    def _end(self, issued: Issued) -> None:
        self._ended[issued.serial] = None
        self.store.end(issued.serial, issued.issued)


def handle(identifier: bytes) -> str:
    """Name a session where its id is not shown; see Note [A session's handle]."""
    return sha256(identifier).hexdigest()[:HANDLE_CHARS]


def _is_of(session: Session, server: ServerSpec) -> bool:
    # A server may have the name of a view.
    return session.server.name == server.name and session.server.view == server.view


def _is_outlived(session: Session) -> bool:
    return session.slot is not None and session.slot.is_over


def _params(record: SessionRecord) -> Envelope | None:
    try:
        return jsonrpc.decode(record.params) if record.params else None
    except GatewayError:
        return None
