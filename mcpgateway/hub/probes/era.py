"""The eras that each server speaks: by its entry, else by a probe with a temporary child.

A child speaks the era of its first request for its whole life, so a child that clients use cannot be asked.  A probe
runs only when a client comes for whom the answer matters; its finding is recorded for the server's launch.

# Note [What a silence says]
Some servers that do not speak an era give no error: they exit at the first request that is no handshake, or do not
answer.  A server that is slow, or that cannot be started just now, does the same.  So such a server is asked in the
other era, too: if it answers there within half the time of the first probe, it is taken not to speak this era.  If it
takes longer, it is probed once more, with more time; if it answers in neither era, nothing is learnt.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from twisted.internet.defer import Deferred, succeed
from twisted.logger import Logger

from mcpgateway.config.model import Bridge, ServerSpec
from mcpgateway.errors import HandshakeFailed, HandshakeRefused
from mcpgateway.hub.pool import Pool
from mcpgateway.interfaces import ISessionStore
from mcpgateway.policy import eras
from mcpgateway.policy.eras import EraPath, KnownEras
from mcpgateway.policy.sharing import Variant, launch_digest, variant_of
from mcpgateway.protocol.versions import Era
from mcpgateway.waiting import WaitingByKey

GUESS_S = 3600.0
PROBE_S = 10.0  # some servers never answer a request that they do not know
KNOWN_LIMIT = 1000  # servers, each counted once for each workspace in which it has other values


class Eras:
    """The eras known of all servers.

    :ivar findings: a counter that grows with each change of what is known.
    :param bridge: the bridging of clients of one era to servers of the other, where a server's entry does not set it.
    """

    log = Logger()

    def __init__(
        self, pool: Pool, store: ISessionStore, bridge: Bridge, seconds: Callable[[], float]
    ) -> None:
        self._pool = pool
        self._store = store
        self._bridge = bridge
        self._seconds = seconds
        self._guessed: dict[Variant, float] = {}  # the time until which a silence counts as an answer
        self._known: dict[Variant, KnownEras] = {}
        self.findings = 0
        self._paths: dict[tuple[Variant, Era], tuple[KnownEras, EraPath | None]] = {}
        self._probes = WaitingByKey[tuple[Variant, Era], None]()

    def forget(self, server: ServerSpec) -> None:
        """Forget a server that is redefined or removed."""
        for variant in [each for each in {*self._guessed, *self._known} if each[0] == server.name]:
            self._guessed.pop(variant, None)
            self._known.pop(variant, None)
        self._forget_roads(lambda name: name == server.name)

    def configure(self, bridge: Bridge) -> None:
        """Set the bridging for servers whose entry does not set it."""
        self._bridge = bridge
        self._forget_roads(lambda _: True)

    def _forget_roads(self, is_meant: Callable[[str], bool]) -> None:
        self._paths = {key: path for key, path in self._paths.items() if not is_meant(key[0][0])}
        self.findings += 1

    def bridge(self, server: ServerSpec) -> Bridge:
        """Return the bridging of a server."""
        return server.bridge or self._bridge

    def known(self, server: ServerSpec) -> KnownEras:
        """Return the eras known of a server."""
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
        # The findings are recorded, so the oldest ones only cost a look at the disk when they are needed again.
        for variant in list(self._known)[: KNOWN_LIMIT // 2]:
            del self._known[variant]
            for era in Era:
                self._paths.pop((variant, era), None)

    def path(self, server: ServerSpec, era: Era) -> EraPath | None:
        """Return the path of a client of an era to a server; None until a probe has found it (`find_out`)."""
        known = self.known(server)
        key = (variant_of(server), era)
        found = self._paths.get(key)
        if found is None or found[0] is not known:
            found = self._paths[key] = (known, eras.path(era, known, self.bridge(server)))
        return found[1]

    def learn(self, server: ServerSpec, era: Era, *, speaks: bool, for_good: bool = True) -> None:
        """Note that a server speaks an era, or does not.

        :param for_good: True if the server has answered so itself, which holds as long as its launch; else a guess.
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
        """Forget the finding for a server, which has behaved otherwise, or was only guessed."""
        if server.protocol is not None:
            return
        if self._guessed.pop(variant_of(server), None) is None and self.known(server) != KnownEras():
            self._store.judge(_key(server), "")
        self._known.pop(variant_of(server), None)
        self.findings += 1

    def is_guess(self, server: ServerSpec) -> bool:
        """True if the eras of a server are only guessed, and are to be probed again after `GUESS_S`."""
        return variant_of(server) in self._guessed

    def find_out(self, server: ServerSpec, era: Era) -> Deferred[None]:
        """Find out if a server speaks an era; fires when it is known.

        :raise GatewayError: (through the Deferred) the server cannot be started, or has not answered in either era.
        """
        if self.known(server).speaks(era) is not None:
            return succeed(None)
        return self._probes.once((variant_of(server), era), lambda: self._ask(server, era))

    async def _ask(self, server: ServerSpec, era: Era) -> None:
        try:
            found: bool | None = await self._meet(server, era, PROBE_S)
        except HandshakeFailed:
            found = await self._look_closer(server, era)
        self.learn(server, era, speaks=bool(found), for_good=found is not None)

    async def _look_closer(self, server: ServerSpec, era: Era) -> bool | None:
        # See Note [What a silence says]; None where the server does not speak the era, and gives no error.
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
        """Start a temporary child, and return True if it speaks an era.

        :raise GatewayError: the child cannot be started, or has not answered.
        """
        slot = self._pool.probe(server, era, limit_s)
        try:
            await slot.greet()
        except HandshakeRefused:
            return False
        finally:
            self._pool.dismiss(slot)
        return True


def _key(server: ServerSpec) -> str:
    return f"eras {launch_digest(server)}"
