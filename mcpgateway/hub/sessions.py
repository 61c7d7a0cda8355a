"""The sessions of the legacy era: who is connected, to which server, under which id."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from typing import TYPE_CHECKING

from attrs import define, field
from twisted.logger import Logger

from mcpgateway.config.model import ServerSpec
from mcpgateway.rules.audience import DEFAULT_LEVEL
from mcpgateway.wire.jsonrpc import Envelope

if TYPE_CHECKING:
    from mcpgateway.hub.slot import Slot

ID_BYTES = 32  # of randomness; guessing one is as hard as guessing a key


@define(eq=False)
class Session:
    """One client of one server.

    :ivar id: the ``Mcp-Session-Id``; empty for the anonymous session that requests without an id share.
    :ivar principal: whose session it is; nobody else can use its id.
    :ivar params: the client's ``initialize`` parameters, kept only where a child of its own is started with them.
    :ivar owner: the process that will end with it, or None.
    :ivar seen: the tick of its last request.
    """

    id: bytes = field(repr=False)
    server: ServerSpec
    principal: str
    version: str
    params: Envelope | None = field(default=None, repr=False)
    owner: int | None = None
    level: str = DEFAULT_LEVEL
    has_level: bool = False
    seen: int = 0
    slot: Slot | None = field(default=None, repr=False)


class Sessions:
    """All sessions, by id.

    :ivar now: the gateway's age in ticks; a tick is a second of running time, so a suspended machine ages nobody.
    """

    log = Logger()

    def __init__(self, limit: int) -> None:
        self.now = 0
        self._limit = limit
        self._by_id: dict[bytes, Session] = {}
        self._anonymous: dict[tuple[str, str], Session] = {}

    def __len__(self) -> int:
        return len(self._by_id)

    def __iter__(self) -> Iterator[Session]:
        return iter(list(self._by_id.values()))

    def open(
        self, server: ServerSpec, principal: str, version: str, params: Envelope | None, owner: int | None
    ) -> Session:
        """Begin a session under a fresh id; the caller makes room first (`is_full`)."""
        identifier = secrets.token_urlsafe(ID_BYTES).encode()
        session = Session(identifier, server, principal, version, params, owner, seen=self.now)
        self._by_id[identifier] = session
        return session

    @property
    def is_full(self) -> bool:
        """Whether one more session needs another to end first."""
        return len(self._by_id) >= self._limit

    def quietest(self) -> Session:
        """The session that has been silent for longest."""
        return min(self._by_id.values(), key=_last_seen)

    def find(self, identifier: bytes, server: ServerSpec, principal: str) -> Session | None:
        """The session of that id, if it is of that server and that principal; it counts as heard of."""
        session = self._by_id.get(identifier)
        if session is None or session.server is not server or session.principal != principal:
            return None
        session.seen = self.now
        return session

    def anonymous(self, server: ServerSpec, principal: str, version: str) -> Session:
        """The session that this principal's requests without an id share on a shared server."""
        key = (server.name, principal)
        session = self._anonymous.get(key)
        if session is None or session.server is not server:
            session = self._anonymous[key] = Session(b"", server, principal, version)
        return session

    def named(self, identifier: bytes) -> Session | None:
        """The session of that id, whoever's it is."""
        return self._by_id.get(identifier)

    def owned_by(self, pid: int) -> list[Session]:
        """The sessions whose owner is that process."""
        return [session for session in self._by_id.values() if session.owner == pid]

    def forget(self, session: Session) -> bool:
        """Drop the id; false when it was dropped before."""
        return self._by_id.pop(session.id, None) is not None


def _last_seen(session: Session) -> int:
    return session.seen
