"""Find out whether a server can be shared, by a sibling that is told of every client capability there is.

A child that was given no client capabilities never asks, so its silence proves nothing.  The sibling is given all of
them: if it asks something, or lists other tools than the shared child, its clients need a child each.  It runs for a
moment, the first time a client comes that could be asked something; the verdict is remembered for the server's launch.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from twisted.internet import defer
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from mcpgateway.config.model import ServerSpec
from mcpgateway.errors import GatewayError, LaunchFailed, UnknownMethod
from mcpgateway.hub.pool import Pool
from mcpgateway.hub.slot import Slot
from mcpgateway.interfaces import Call, ISlotListener
from mcpgateway.wire import jsonrpc
from mcpgateway.wire.jsonrpc import Envelope

PATIENCE_S = 10.0  # no client waits longer for its handshake because of the sibling
RESPITE_S = 3600.0  # and where the sibling could not be judged, the next ones do not wait at all
SETTLE_S = 0.2  # what a server asks of itself it asks within moments of the handshake


@implementer(ISlotListener)
class Witness:
    """Listens to a sibling.

    :ivar question: the first thing it asked.
    """

    def __init__(self) -> None:
        self.question = ""

    def noticed(self, backend: Slot, method: str, message: Envelope) -> None:
        """Of no interest."""

    def asked(self, backend: Slot, method: str, message: Envelope) -> None:
        """So it does ask."""
        self.question = self.question or method
        if backend.speaking is not None:
            backend.speaking.reply(message, UnknownMethod(f"Method not found: {method}"))

    def progressed(self, backend: Slot, number: int, params: Envelope, message: Envelope) -> None:
        """Of no interest."""

    def refused(self, backend: Slot, call: Call, error: Any) -> None:
        """Of no interest."""

    def warmed(self, slot: Slot, sessions: Iterable[Any]) -> None:
        """Nobody uses it."""

    def lost(self, slot: Slot) -> None:
        """Whoever asks it hears of it."""

    def changed(self, slot: Slot, method: str, what: str | None) -> None:
        """Of no interest."""


class Siblings:
    """Finds out about each server once, however many clients wait for it."""

    log = Logger()

    def __init__(self, pool: Pool, clock: IReactorTime) -> None:
        self._pool = pool
        self._clock = clock
        self._waiting: dict[str, list[Deferred[None]]] = {}
        self._respites: dict[str, float] = {}  # until when a server is left alone

    def forget(self, server: ServerSpec) -> None:
        """A server is defined otherwise now, or not at all."""
        self._respites.pop(server.name, None)

    def find_out(self, server: ServerSpec) -> Deferred[None]:
        """Fires when it is known how widely the server may be shared, or cannot be found out now; never fails."""
        if self._clock.seconds() < self._respites.get(server.name, 0.0):
            return succeed(None)
        done: Deferred[None] = Deferred()
        if server.name in self._waiting:
            self._waiting[server.name].append(done)
            return done
        self._waiting[server.name] = [done]
        witness, shared = Witness(), self._pool.shared(server)
        sibling = self._pool.sibling(server, witness)
        compared = Deferred.fromCoroutine(self._compare(server, shared, sibling, witness))
        compared.addTimeout(PATIENCE_S, self._clock)
        compared.addErrback(self._not_found_out, server, shared)
        compared.addBoth(self._done, server, sibling)
        return done

    async def _compare(self, server: ServerSpec, shared: Slot, sibling: Slot, witness: Witness) -> None:
        shared.want()  # both start at the same time
        full = _names(await sibling.ask("tools/list", {}))
        empty = _names(await shared.ask("tools/list", {}))
        await deferLater(self._clock, SETTLE_S)
        if witness.question:
            self._pool.move(server, f"it asks for {witness.question}")
        elif full != empty:
            self._pool.move(server, "its tools depend on what its client offers")
        else:
            self._pool.settle(server)
            return
        if not shared.sessions and not shared.calls():
            shared.close().addErrback(lambda _: None)

    def _not_found_out(self, why: Failure, server: ServerSpec, shared: Slot) -> None:
        if why.check(GatewayError, defer.TimeoutError) is None:
            self.log.failure("a sibling broke", why, event="sibling.broken")
            return
        # A server that does not run at all, or a sibling that could not be started, costs nobody any time.
        if shared.conversation is not None and why.check(LaunchFailed) is None:
            self._respites[server.name] = self._clock.seconds() + RESPITE_S
        self.log.info(
            "it could not be found out whether {server} can be shared by all clients: {why}",
            event="sibling.failed",
            server=server.name,
            why=why.value if why.check(GatewayError) else f"no answer within {PATIENCE_S:g} s",
        )

    def _done(self, _: object, server: ServerSpec, sibling: Slot) -> None:
        self._pool.dismiss(sibling)
        for done in self._waiting.pop(server.name, []):
            done.callback(None)


def _names(reply: Envelope) -> frozenset[str] | None:
    try:
        tools = jsonrpc.value(jsonrpc.read_object(reply["result"], "result")["tools"], list)
    except (KeyError, GatewayError):
        return None  # it has no tools, or does not say
    return frozenset(str(each.get("name")) for each in tools if isinstance(each, dict))
