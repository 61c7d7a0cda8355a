"""The sessions of the legacy era: the client, the server and the id of each.

# Note [A session is more than its object]
The signed id and the record in the journal define a session, so the object here can go at any time: when the gateway is
killed, or when the session has been silent for long (`Sessions.park`).  `Sessions.revive` restores it from both.  Only
`Sessions.forget` is final.

# Note [A session's handle]
The id of a session lets its bearer use the session, so it is shown to the session's client only.  Everywhere else a
session has a handle: the beginning of the id's digest, which finds the session and gives no access to it.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Container, Iterator
from hashlib import sha256
from typing import Any, Protocol

from attrs import define, evolve, field
from twisted.internet.defer import Deferred
from twisted.logger import Logger

from mcpgateway.bounded import Bounded
from mcpgateway.config.model import ServerSpec
from mcpgateway.errors import GatewayError
from mcpgateway.hub.mailbox import Mailbox
from mcpgateway.hub.recent_clients import ClientKey, RecentClient
from mcpgateway.hub.replay import Replay, ReplayBudget
from mcpgateway.interfaces import ISessionStore, Request, SessionRecord
from mcpgateway.policy.client_requests import UNDECLARED, DeclaredRoots, Offer, name_of
from mcpgateway.policy.routing import DEFAULT_LEVEL
from mcpgateway.policy.sharing import Variant, variant_of
from mcpgateway.protocol import jsonrpc, peek
from mcpgateway.protocol.jsonrpc import Envelope
from mcpgateway.protocol.session_ids import SERIAL_BYTES, Issued, SessionIds
from mcpgateway.protocol.versions import LATEST_LEGACY, LATEST_MODERN, Era, can_resume
from mcpgateway.records import FrozenRecord

# Requests that only look at lists: the server keeps no state after them.
LOOKING = frozenset(("ping", "tools/list", "prompts/list", "resources/list", "resources/templates/list"))
ANONYMOUS_LIMIT = 1000  # kinds of requests without an id: server, workspace, principal, revision
HANDLE_CHARS = 12
CLIENT_CHARS = 100  # of a client's name in an event
ENDED_LIMIT = 10_000  # ended sessions that are known without the journal, as its disk may be full


class UsedSlot(Protocol):
    """The slot of a session, as far as the session uses it (`mcpgateway.hub.slot.Slot`)."""

    @property
    def is_over(self) -> bool:
        """True if the slot is closed, and may not be used any more."""

    @property
    def is_up(self) -> bool:
        """True if its child runs, or is being started."""

    @property
    def shared(self) -> bool:
        """True if several sessions may use the slot."""

    @property
    def listening(self) -> object | None:
        """The upstream listen of its child, in the modern era; true if a client listens."""

    def calls(self) -> list[Request]:
        """Return the calls under way or waiting."""

    def greet(self) -> Deferred[Envelope]:
        """Start the child; the Deferred fires with its ``InitializeResult`` or ``DiscoverResult``."""

    def withdraw(self, request: Request, reason: str) -> bool:
        """Take a call back; false if it has been answered."""


class Members(Protocol):
    """The member sessions of a view's session (`mcpgateway.views.members.MemberSessions`).

    :ivar sessions: the member sessions, by server name, or by the key of a variant.
    :ivar goes_by_roots: true if the client has not named its directory, so that its roots decide on its workspace.
    """

    sessions: dict[str, Session]
    goes_by_roots: bool

    def drop(self, session: Session) -> None:
        """Remove a member session that has ended."""

    def lost(self, outer: Session, server: str, uri: str) -> list[str]:
        """Remove a subscription of the view's session at a server; return the URIs under which it was recorded."""


@define(eq=False, repr=False)
class Session:
    """One client at one endpoint.

    :ivar id: the ``Mcp-Session-Id``; empty for the anonymous session that requests without an id share.
    :ivar server: the variant of the server for the session's workspace, for as long as the session lives.
    :ivar issued: the content of the signed id; None for the anonymous session.
    :ivar principal: the principal of the session; only this one can use its id.
    :ivar epoch: a name for this life of the session, unique over all lives of all sessions.
    :ivar params: the client's ``initialize`` parameters, kept only if a child of the session's own may be started with
        them.
    :ivar era: the era that its child speaks; not the session's own if the gateway translates.
    :ivar stands_for_many: true if its requests may come from several clients.
    :ivar is_apart: true if it has a child of its own, however widely its server is shared.
    :ivar owner: the process id of its owner, or None.
    :ivar names_owner: true if the client has named its owner.
    :ivar is_unclaimed: true until the life and the identity of its owner have been checked.
    :ivar is_on_record: true if the session has a record in the journal.
    :ivar is_left: true if the process that began it has ended, as far as the gateway can see.
    :ivar has_called: true if it has sent more than requests for lists.
    :ivar has_reached: true if more than requests for lists of it has been sent to its child.
    :ivar begun: the tick in which it was opened or restored.
    :ivar seen: the tick of its last request.
    :ivar level: the lowest level of log messages for its client; empty for none.
    :ivar has_level: true if its client has set the level.
    :ivar slot: its slot; None before the first use.
    :ivar uris: the resources that it is subscribed to.
    :ivar is_stale: true if its client's knowledge of the server may be out of date.
    :ivar is_unmet: true if its client knows nothing of the server, which demanded a sign-in first.
    :ivar sends_user: true if its client can send its user to a URL; None before that was checked.
    :ivar members: its member sessions, if it is the session of a view; else None.
    :ivar outer: the session of the view, if it is a member session; else None.
    :ivar roots: the roots of its client; None as long as they are unknown.
    :ivar awaits_roots: true if the roots decide on its child, and are unknown.
    :ivar left: the slots that it has left with calls under way.
    :ivar client: its client as records of calls name it (`mcpgateway.observe.call_clients.CallClient`), once one was
        recorded.
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
    has_reached: bool = False
    begun: int = 0
    level: str = DEFAULT_LEVEL
    has_level: bool = False
    seen: int = 0
    is_stale: bool = False
    is_unmet: bool = False
    sends_user: bool | None = None
    slot: UsedSlot | None = field(default=None, repr=False)
    uris: set[str] | None = field(default=None, repr=False)
    members: Members | None = field(default=None, repr=False)
    outer: Session | None = field(default=None, repr=False)
    roots: DeclaredRoots | None = field(default=None, repr=False)
    awaits_roots: bool = False
    left: tuple[UsedSlot, ...] = field(default=(), repr=False)
    client: Any = field(default=None, repr=False)
    _mailbox: Mailbox | None = field(default=None, init=False, repr=False)
    _replay: Replay | None = field(default=None, init=False, repr=False)

    @property
    def mailbox(self) -> Mailbox:
        """The messages for its client that belong to no request."""
        if self._mailbox is None:
            self._mailbox = Mailbox()
        return self._mailbox

    def announce(self, news: str) -> None:
        """Notify its client that a list has changed, once until the client listens.

        :param news: the method of the notification.
        """
        self.mailbox.put(jsonrpc.encode(jsonrpc.notification(news)), news)

    def subscribe(self, uri: str) -> None:
        """Note a subscription to a resource."""
        self.uris = self.uris or set()
        self.uris.add(uri)

    def unsubscribe(self, *uris: str) -> None:
        """Note the end of subscriptions to resources."""
        if self.uris is not None:
            self.uris.difference_update(uris)

    @property
    def has_stream(self) -> bool:
        """True if its client reads a stream for messages that belong to no request."""
        if self.is_apart and self.slot is not None and self.slot.listening:
            return True
        if self.outer is not None:
            return self.outer.has_stream  # messages to a member session go to the view's session
        return self._mailbox is not None and self._mailbox.stream is not None

    @property
    def can_resume(self) -> bool:
        """True if its revision has event ids, by which a client resumes a stream."""
        return bool(self.id) and can_resume(self.version)

    def replay(self, budget: ReplayBudget) -> Replay:
        """Return the events that it has been sent, within the budget of all sessions."""
        if self._replay is None:
            self._replay = Replay(self.epoch, budget)
        return self._replay

    def clear(self) -> None:
        """Drop its mailbox and its events, and end its standing stream."""
        mailbox, self._mailbox = self._mailbox, None
        replay, self._replay = self._replay, None
        if mailbox is not None and mailbox.stream is not None:
            mailbox.stream.close()
        if replay is not None:
            replay.clear()


class Recalled(FrozenRecord, frozen=True):
    """The content of the id, and the record, of a session that is not in use."""

    issued: Issued
    record: SessionRecord


class Sessions:
    """All sessions in use, by id, and the means to restore the others.

    :ivar now: the gateway's age in ticks; a tick is a second of running time, so a suspended machine does not age
        sessions.
    :ivar budget: the events that all sessions keep for replay.
    :ivar wall: returns the time in seconds since the epoch.
    :ivar without: the clients that have no session, the one with the latest request last.
    """

    log = Logger()

    def __init__(self, limit: int, ids: SessionIds, store: ISessionStore, wall: Callable[[], float]) -> None:
        self.now = 0
        self.budget = ReplayBudget()
        self.without: dict[ClientKey, RecentClient] = {}
        self.store = store
        self._limit = limit
        self._ids = ids
        self.wall = wall
        self._boot = secrets.token_hex(6)
        self._lives = 0
        self._by_id: dict[bytes, Session] = {}
        self._inner: dict[bytes, Session] = {}  # member sessions, not counted
        self._ended: Bounded[bytes, None] = Bounded(ENDED_LIMIT)
        self._anonymous: dict[tuple[Variant, str, str, str, Era, str, str], Session] = {}

    def __len__(self) -> int:
        return len(self._by_id)

    def __iter__(self) -> Iterator[Session]:
        return iter(list(self._by_id.values()))

    def open(self, server: ServerSpec, principal: str, version: str, params: Envelope | None) -> Session:
        """Begin a session with a fresh id; the caller makes room before (`is_full`)."""
        serial, now = secrets.token_bytes(SERIAL_BYTES), int(self.wall())
        identifier = self._ids.issue(serial, now, server.name, principal, version)
        issued = self._ids.read(identifier)
        session = Session(identifier, server, principal, version, issued, self._new_epoch(), params)
        session.seen = session.begun = self.now
        session.is_unclaimed = True
        self._by_id[identifier] = session
        self.log.debug(
            "a session of {server} begins",
            event="session.opened",
            server=server.name,
            session=handle(identifier),
            client=str(peek.mapping(params, "clientInfo").get("name", ""))[:CLIENT_CHARS],
            workspace=server.workspace,
        )
        return session

    def _new_epoch(self) -> str:
        self._lives += 1
        return f"{self._boot}{self._lives:x}"

    @property
    def is_full(self) -> bool:
        """True if the limit of sessions is reached."""
        return len(self._by_id) >= self._limit

    def quietest(self, busy: Container[Session]) -> Session:
        """Return the session that has been silent for longest; a busy one only if there is no other."""
        return min(self._by_id.values(), key=lambda each: (each in busy, each.has_stream, each.seen))

    def find(self, identifier: bytes, server: ServerSpec, principal: str) -> Session | None:
        """Return the session of an id, if it is in use and belongs to that server and principal; renew its time of use.

        The session may use another variant of the server than the given one.
        """
        session = self._by_id.get(identifier)
        if session is None or not _is_of(session, server) or session.principal != principal:
            return None
        session.seen = self.now
        return session

    def knows(self, identifier: bytes, server: ServerSpec, principal: str) -> bool:
        """True if an id that is not in use was issued to this principal, and its session has not ended."""
        return self.recall(identifier, server, principal) is not None

    def recall(self, identifier: bytes, server: ServerSpec, principal: str) -> Recalled | None:
        """Return the content and the record of an id that `knows` accepts; None for any other id.

        :param server: the variant for the sender of the id; without a record, the session is taken to have used the
            same one.
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
        """Return the workspace in which the session of an id was begun, at a server of that name; empty if unknown."""
        issued = self._ids.read(identifier)
        record = self.store.find(issued.serial) if issued is not None else None
        return record.workspace if record is not None and record.server == server else ""

    def revive(self, identifier: bytes, server: ServerSpec, recalled: Recalled) -> Session:
        """Restore a session that is not in use from `recall`; the caller makes room before."""
        issued, record = recalled.issued, recalled.record
        session = Session(identifier, server, record.principal, issued.version, issued, self._new_epoch())
        session.params = _params(record)
        session.owner = record.owner
        session.is_unclaimed = session.is_on_record = session.is_stale = True
        session.has_called = session.has_reached = True
        session.seen = session.begun = self.now
        if record.level is not None:
            session.level, session.has_level = record.level, True
        if record.uris:
            session.uris = set(record.uris)
        self._by_id[identifier] = session
        return session

    def anonymous(
        self,
        server: ServerSpec,
        principal: str,
        version: str,
        era: Era = Era.LEGACY,
        offer: Offer | None = None,
        roots: DeclaredRoots = UNDECLARED,
    ) -> Session:
        """Return the session that the requests of a principal without an id share on a shared server.

        :param offer: the capabilities of their clients, if known.
        :param roots: the roots that their clients have told.
        """
        key = (
            variant_of(server),
            server.workspace,
            principal,
            version,
            era,
            name_of(offer or {}),
            roots.key,
        )
        session = self._anonymous.get(key)
        if session is None or session.server is not server or _is_outlived(session):
            if len(self._anonymous) >= ANONYMOUS_LIMIT:
                self._forget_anonymous()
            session = self._anonymous[key] = Session(b"", server, principal, version, era=era)
            session.stands_for_many, session.roots = True, roots
            if offer:
                session.params = {"capabilities": jsonrpc.raw(offer)}
        return session

    def _forget_anonymous(self) -> None:
        # A session without calls under way has no state: the next request creates it anew.
        idle = [key for key, each in self._anonymous.items() if each.slot is None or not each.slot.calls()]
        for key in idle[: max(1, len(idle) // 2)]:
            del self._anonymous[key]

    def of(self, server: ServerSpec) -> list[Session]:
        """Return the sessions of a server that are in use, with the anonymous and the member sessions."""
        everyone = (*self._by_id.values(), *self._inner.values(), *self._anonymous.values())
        return [each for each in everyone if _is_of(each, server)]

    def forget_anonymous(self, server: ServerSpec) -> None:
        """Remove the anonymous sessions of a server."""
        keys = [key for key, each in self._anonymous.items() if _is_of(each, server)]
        for key in keys:
            del self._anonymous[key]

    def set_limit(self, limit: int) -> None:
        """Set the limit of sessions in use; those above it stay until one more begins."""
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
        """Begin a session for requests without one; its id is sent to no client.

        :param params: the parameters of the server's ``initialize``.
        :param era: the era of the server; the session's revision is the latest of that era.
        :param level: the lowest level of log messages for it; empty for none, None for the default.
        :param is_apart: true if it has a child of its own.
        :param stands_for_many: true if its requests may come from several clients.
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

    def rename(self, session: Session, identifier: bytes) -> None:
        """Give a session of the gateway's own the id that it had in the former program of this process."""
        del self._by_id[session.id]
        session.id = identifier
        self._by_id[identifier] = session

    def open_inner(self, outer: Session, server: ServerSpec, identifier: bytes) -> Session:
        """Begin a member session at one server; it ends with the session of the view."""
        session = Session(identifier, server, outer.principal, outer.version, None, self._new_epoch())
        session.params = self.params_of(outer)
        session.outer, session.seen = outer, self.now
        session.level, session.has_level = outer.level, outer.has_level
        self._inner[identifier] = session
        return session

    def named(self, identifier: bytes) -> Session | None:
        """Return the session of an id, of any principal, if it is in use."""
        return self._by_id.get(identifier) or self._inner.get(identifier)

    def owned_by(self, pid: int) -> list[Session]:
        """Return the sessions in use whose owner is that process."""
        return [session for session in self._by_id.values() if session.owner == pid]

    def capabilities_of(self, session: Session) -> dict[str, Any]:
        """Return the capabilities that a session's client declared; empty if unknown."""
        return peek.mapping(self.params_of(session), "capabilities")

    def params_of(self, session: Session) -> Envelope | None:
        """Return the ``initialize`` parameters of a session's client; None if unknown."""
        if session.params is None and session.outer is not None:
            return self.params_of(session.outer)
        if session.params is not None or session.issued is None:
            return session.params
        record = self.store.find(session.issued.serial)
        return _params(record) if record is not None else None

    def remember(self, session: Session, params: bytes = b"") -> None:
        """Write the record of a session."""
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

    def record_all(self, session: Session) -> None:
        """Record a session that was kept off the record, so that the next program of this process can restore it."""
        if session.issued is None:
            session.issued = self._ids.read(session.id)
            self.remember(session, jsonrpc.encode(session.params or {}))
        for uri in session.uris or ():
            self.record(session, uri, is_on=True)

    def subscribed(self, session: Session, uri: str, is_on: bool) -> None:  # noqa: FBT001 - a plain callback
        """Record that a session has subscribed to, or unsubscribed from, a resource."""
        if session.outer is None:
            self.record(session, uri, is_on=is_on)
        elif not is_on:  # a new subscription is recorded with the client's URI by the view
            outer = session.outer
            for each in (
                outer.members.lost(outer, session.server.name, uri) if outer.members is not None else ()
            ):
                self.record(outer, each, is_on=False)

    def record(self, session: Session, uri: str, *, is_on: bool) -> None:
        """Record that a session, which is no member session, has subscribed to or unsubscribed from a resource."""
        if session.issued is not None:
            note = self.store.subscribe if is_on else self.store.unsubscribe
            note(session.issued.serial, uri)

    def park(self, session: Session) -> None:
        """Drop the object of a session; the id stays valid."""
        if self._by_id.pop(session.id, None) is not None:
            self.remember(session)

    def forget(self, session: Session) -> bool:
        """End a session for good; false if it has ended before."""
        if session.issued is not None:
            self._end(session.issued)
        known = self._inner if session.outer is not None else self._by_id
        return known.pop(session.id, None) is not None

    def forget_parked(self, identifier: bytes) -> None:
        """End a session that is not in use for good, if the id was issued by the gateway."""
        issued = self._ids.read(identifier)
        if issued is not None:
            self._end(issued)

    def _end(self, issued: Issued) -> None:
        self._ended[issued.serial] = None
        self.store.end(issued.serial, issued.issued)


def handle(identifier: bytes) -> str:
    """Return the name of a session where its id is not shown; see Note [A session's handle]."""
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
