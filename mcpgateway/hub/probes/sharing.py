"""The probe of a new server before several clients share it: its tools, and its unprompted questions.

# Note [The first two clients]
The tools of a server tell if it keeps state for its client, and are known once it has run.  So a child of an unknown
server is asked for them before it gets any request: until then no client has left anything in it, and clients that
wait for it can still get children of their own.

# Note [What it asks by itself]
Some servers ask their client a question right after the handshake, mostly for its roots, and act on the answer.  Such a
question is for no particular client where several share a child.  So a child whose handshake offers that clients can be
asked gets a moment (`SETTLE_S`), once for each launch; a question in that time moves its server
(`mcpgateway.hub.server_messages`) before any client uses the child.

# Note [What roots it has]
A server that works in the roots of its client asks for them after the handshake, and takes a moment to use the answer.
A request that came before would be answered for the directories of its command line.  So the child of sessions with the
same roots gets its first request when it has been told them, or has not asked for them in `ROOTS_S`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.internet import defer
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure

from mcpgateway.errors import GatewayError, SharedOtherwise
from mcpgateway.hub.pool import Pool
from mcpgateway.hub.probes.traits import all_tools
from mcpgateway.hub.upstream import Upstream
from mcpgateway.policy.client_requests import UNKNOWN, offers_something
from mcpgateway.protocol import peek
from mcpgateway.protocol.jsonrpc import Envelope
from mcpgateway.protocol.versions import Era
from mcpgateway.records import Record

if TYPE_CHECKING:
    from msgspec import Raw

    from mcpgateway.backends.conversation import Conversation
    from mcpgateway.hub.sessions import Session

SETTLE_S = 0.2  # for unprompted questions, which follow within moments of the handshake
ROOTS_S = 1.0
USE_ROOTS_S = 0.05  # in which a server uses the roots that it was told
LOOK_S = 5.0  # a server that does not list its tools in that time is shared as it is


class FirstLook(Record):
    """The listener of every child's handshake; see Note [The first two clients]."""

    _pool: Pool
    _clock: IReactorTime
    log = Logger()

    def on_handshake(
        self, slot: Upstream, conversation: Conversation, hello: Envelope
    ) -> Deferred[None] | None:
        """Take a child's answer to the handshake.

        :return: fires when the server's sharing is decided; None where it is decided already.
        """
        traits = self._pool.traits
        traits.introduced(slot.server, hello)
        told = self._told_roots(slot)
        if not slot.shared or slot.is_replica:
            return told
        # The name in its ``serverInfo`` may tell that the server may have no second child.
        self._pool.unite(slot.server, slot)
        if not traits.is_unknown(slot.server) and not self._may_ask(slot):
            self._part(slot)  # the name in its ``serverInfo`` may have told that it keeps state
            return told
        looked = Deferred.fromCoroutine(self._look(slot, conversation, hello))
        looked.addTimeout(LOOK_S, self._clock).addErrback(self._not_seen, slot)
        return looked if told is None else looked.addCallback(lambda _: told)

    def _told_roots(self, slot: Upstream) -> Deferred[None] | None:
        # See Note [What roots it has].
        if slot.roots is None or not slot.roots.is_told:
            return None
        told: Deferred[None] = Deferred()
        slot.told_roots = told
        told.addTimeout(ROOTS_S, self._clock)
        told.addErrback(self._has_not_asked, slot)
        return told.addCallback(lambda _: deferLater(self._clock, USE_ROOTS_S))

    def _has_not_asked(self, why: Failure, slot: Upstream) -> None:
        why.trap(defer.TimeoutError)
        slot.told_roots = None

    async def _look(self, slot: Upstream, conversation: Conversation, hello: Envelope) -> None:
        if self._pool.traits.is_unknown(slot.server):
            has_tools = "tools" in peek.mapping(hello, "capabilities")
            pages = await all_tools(conversation.ask) if has_tools else ()
            self._pool.traits.listed(slot.server, pages)
            self._pool.listed(slot, pages)
        if self._may_ask(slot):
            await deferLater(self._clock, SETTLE_S)
            if "roots" in slot.offer:  # else it may still ask for them when it is told of some
                self._pool.settle(slot.server)
        self._part(slot)

    def _may_ask(self, slot: Upstream) -> bool:
        # See Note [What it asks by itself].
        is_told = slot.era is Era.LEGACY and offers_something(slot.offer)
        return is_told and self._pool.is_open_question(slot.server)

    def _not_seen(self, why: Failure, slot: Upstream) -> None:
        if why.check(GatewayError, defer.TimeoutError) is None:
            self.log.failure("a look at the tools of {server} broke", why, server=slot.server.name)

    def _part(self, slot: Upstream) -> None:
        """Let clients that wait for a child that they cannot share look for one each."""
        state = self._pool.traits.state(slot.server)
        why = SharedOtherwise(f"{slot.server.name} has a child for each session")
        if state:
            self._pool.moves += 1
            self._pool.tell_moved(slot.server, state)
            slot.hand_back(why)
        elif self._pool.reason(slot.server):
            slot.hand_back(why, _has_own_child)
        elif slot.roots is not UNKNOWN:
            return
        self._clock.callLater(0, self._leave, slot)

    def _leave(self, slot: Upstream) -> None:
        is_unused = not slot.sessions or slot.roots is UNKNOWN
        if is_unused and not slot.calls() and slot.learning is None:
            slot.close().addErrback(lambda _: None)

    def listed(self, slot: Upstream, pages: tuple[Raw, ...]) -> None:
        """Take the pages of a server's list of tools."""
        why = self._pool.traits.listed(slot.server, pages)
        self._pool.listed(slot, pages)
        if why:
            self._pool.moves += 1
            self._pool.tell_moved(slot.server, why)


def _has_own_child(session: Session | None) -> bool:
    # A session that stands for several clients shares a child in any case.
    return session is None or not session.stands_for_many
