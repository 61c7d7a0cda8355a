"""Which eras each server speaks: what its entry says, else what a probe on a throw-away child finds out.

A child speaks the era of its first request for as long as it lives, so no child that is used can be asked.  A probe
runs only when somebody comes for whom it matters; what it finds is kept for the server's launch.

# Note [What a silence says]
Some servers that know nothing of an era do not say so: they end at the first request that is no handshake, or say
nothing.  A server that is slow, or that cannot be started just now, does the same.  So such a server is asked in the
other era, too: only one that answers there, and as soon as the first probe had time for, is taken not to speak this
one.  One that takes longer is probed once more, with more time; of one that answers in neither nothing is learnt.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from twisted.internet.defer import Deferred, succeed
from twisted.logger import Logger
from twisted.python.failure import Failure

from mcpgateway.config.model import Bridge, ServerSpec
from mcpgateway.errors import HandshakeFailed, HandshakeRefused
from mcpgateway.hub.pool import Pool
from mcpgateway.interfaces import ISessionStore
from mcpgateway.policy import eras
from mcpgateway.policy.eras import EraPath, KnownEras
from mcpgateway.policy.sharing import Variant, launch_digest, variant_of
from mcpgateway.protocol.versions import Era

GUESS_S = 3600.0
PROBE_S = 10.0  # some servers never answer what they do not know
KNOWN_LIMIT = 1000  # servers, each as often as there are workspaces in which it is run with other values


class Eras:
    """What is known of all servers.

    :ivar findings: how often anything has changed of what is known of them.
    :param bridge: whether clients of one era reach servers of the other, where a server's entry does not say.
    """

    log = Logger()

    def __init__(
        self, pool: Pool, store: ISessionStore, bridge: Bridge, seconds: Callable[[], float]
    ) -> None:
        self._pool = pool
        self._store = store
        self._bridge = bridge
        self._seconds = seconds
        self._guessed: dict[Variant, float] = {}  # until when a silence is taken for an answer
        self._known: dict[Variant, KnownEras] = {}
        self.findings = 0
        self._roads: dict[tuple[Variant, Era], tuple[KnownEras, EraPath | None]] = {}
        self._waiting: dict[tuple[Variant, Era], list[Deferred[None]]] = {}

    def forget(self, server: ServerSpec) -> None:
        """A server is defined otherwise now, or not at all."""
        for variant in [each for each in {*self._guessed, *self._known} if each[0] == server.name]:
            self._guessed.pop(variant, None)
            self._known.pop(variant, None)
        self._forget_roads(lambda name: name == server.name)

    def set_bridge(self, bridge: Bridge) -> None:
        """Change what holds where a server's entry does not say."""
        self._bridge = bridge
        self._forget_roads(lambda _: True)

    def _forget_roads(self, is_meant: Callable[[str], bool]) -> None:
        self._roads = {key: road for key, road in self._roads.items() if not is_meant(key[0][0])}
        self.findings += 1

    def bridge(self, server: ServerSpec) -> Bridge:
        """Whether clients of one era reach this server in the other."""
        return server.bridge or self._bridge

    def known(self, server: ServerSpec) -> KnownEras:
        """What is known of a server."""
        variant = variant_of(server)
        if self._guessed and self._guessed.get(variant, math.inf) < self._seconds():
            self.doubt(server)
        found = self._known.get(variant)
        if found is None:
            written = self._store.verdict(_key(server)) if server.protocol is None else None
            found = eras.pinned(server.protocol) if server.protocol is not None else eras.read(written or "")
            if len(self._known) >= KNOWN_LIMIT:
                self._forget_some()
            self._known[variant] = found
        return found

    def _forget_some(self) -> None:
        # What was found out is on record, so the eldest cost a look at the disk when they come again.
        for variant in list(self._known)[: KNOWN_LIMIT // 2]:
            del self._known[variant]
            for era in Era:
                self._roads.pop((variant, era), None)

    def road(self, server: ServerSpec, era: Era) -> EraPath | None:
        """How a client of an era gets to a server; None while that has to be found out (`find_out`)."""
        known = self.known(server)
        key = (variant_of(server), era)
        found = self._roads.get(key)
        if found is None or found[0] is not known:
            found = self._roads[key] = (known, eras.road(era, known, self.bridge(server)))
        return found[1]

    def learn(self, server: ServerSpec, era: Era, *, speaks: bool, for_good: bool = True) -> None:
        """A server has shown whether it speaks an era.

        :param for_good: it has said so itself, and will say the same as long as it is launched like this.
        """
        known = self.known(server)
        if server.protocol is not None or known.speaks(era) is speaks:
            return
        self._known[variant_of(server)] = known = known.learnt(era, speaks=speaks)
        self.findings += 1
        if for_good:
            self._guessed.pop(variant_of(server), None)
            self._store.judge(_key(server), known.written())
        else:
            self._guessed[variant_of(server)] = self._seconds() + GUESS_S
        self.log.info(
            "{server} speaks: {eras}", event="server.eras", server=server.name, eras=known.written()
        )

    def doubt(self, server: ServerSpec) -> None:
        """Forget what was found out of a server: it has shown something else, or what was known was a guess."""
        if server.protocol is not None:
            return
        if self._guessed.pop(variant_of(server), None) is None and self.known(server) != KnownEras():
            self._store.judge(_key(server), "")
        self._known.pop(variant_of(server), None)
        self.findings += 1

    def is_guess(self, server: ServerSpec) -> bool:
        """Whether it is only guessed which eras a server speaks, and is to be found out again in a while."""
        return variant_of(server) in self._guessed

    def find_out(self, server: ServerSpec, era: Era) -> Deferred[None]:
        """Fires when it is known whether a server speaks an era.

        :raise GatewayError: (through the Deferred) it cannot be started, or has not answered in either era.
        """
        if self.known(server).speaks(era) is not None:
            return succeed(None)
        done: Deferred[None] = Deferred()
        waiting = self._waiting.setdefault((variant_of(server), era), [])
        waiting.append(done)
        if len(waiting) == 1:
            Deferred.fromCoroutine(self._ask(server, era)).addBoth(self._found, server, era)
        return done

    async def _ask(self, server: ServerSpec, era: Era) -> None:
        try:
            found: bool | None = await self._meet(server, era, PROBE_S)
        except HandshakeFailed:
            found = await self._look_closer(server, era)
        self.learn(server, era, speaks=bool(found), for_good=found is not None)

    async def _look_closer(self, server: ServerSpec, era: Era) -> bool | None:
        # See Note [What a silence says]; None where it does not speak the era, and does not say so.
        began = self._seconds()
        is_other = await self._meet(server, era.other)
        if is_other and self._seconds() - began <= PROBE_S / 2:
            return None
        try:
            return await self._meet(server, era)
        except HandshakeFailed:
            if not is_other:
                raise
            return None

    async def _meet(self, server: ServerSpec, era: Era, limit_s: float = math.inf) -> bool:
        """Whether a throw-away child speaks an era.

        :raise GatewayError: it cannot be started, or has not said so.
        """
        slot = self._pool.probe(server, era, limit_s)
        try:
            await slot.greet()
        except HandshakeRefused:
            return False
        finally:
            self._pool.dismiss(slot)
        return True

    def _found(self, why: Failure | None, server: ServerSpec, era: Era) -> None:
        for done in self._waiting.pop((variant_of(server), era), []):
            if why is None:
                done.callback(None)
            else:
                done.errback(why)


def _key(server: ServerSpec) -> str:
    return f"eras {launch_digest(server)}"
