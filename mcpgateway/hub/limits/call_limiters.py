"""The limits of all servers: by their entries, by what is known of them, or while the gateway watches their writing.

# Note [What cannot be watched]
The gateway reads the bytes that a program has written in ``/proc``.  A program in a container, or on a system without
``/proc``, cannot be watched, so it counts as one that writes.  A remote server, a program with a port of its own and a
REST API were made for several clients at once, and are not limited.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

import msgspec
from twisted.logger import Logger

from mcpgateway.config.model import UNLIMITED, WRITES, Concurrency, ServerSpec, Share
from mcpgateway.hub.limits.call_limiter import Limiter
from mcpgateway.hub.meters import Meters
from mcpgateway.hub.probes.traits import Traits, tools_in
from mcpgateway.hub.probes.writes import WriteWatch, Written
from mcpgateway.policy.concurrency import ConcurrencyFinding, readers
from mcpgateway.policy.sharing import may_move, scope_of, scope_value
from mcpgateway.records import Record

if TYPE_CHECKING:
    from msgspec import Raw

    from mcpgateway.hub.upstream import Upstream

LOOK_TICKS = 10  # between two looks at the bytes that unlimited servers have written
SHOWN = 20  # waiting calls of a server, in the REST API
REST_TICKS = 600  # after a watch has begun again, until the next may

_Key = tuple[str, str]


class _WrittenBytes(Record):
    """The bytes that an unlimited server had written at the last look.

    :ivar calls: the number of its calls until then that might have changed something.
    :ivar written: the bytes, by the process id of each child.
    :ivar rest: ticks until a watch may begin again.
    """

    calls: int
    written: dict[int, int]
    rest: int = 0


class SharedServers(Protocol):
    """The sharing of servers, and the facts known of them (`mcpgateway.hub.pool.Pool`)."""

    @property
    def traits(self) -> Traits:
        """The facts known of all servers."""

    def __iter__(self) -> Iterator[Upstream]:
        """Iterate over all slots."""

    def keeps_state(self, server: ServerSpec) -> bool:
        """True if a server keeps state for each client."""

    def scope(self, server: ServerSpec) -> Share:
        """Return the scope of a server."""

    def unite(self, server: ServerSpec, kept: Upstream | None = None) -> None:
        """Reduce a server that may have only one child to one slot for all its clients."""


class Limiters(Record):
    """The limiters of all servers.

    :param is_asked: returns True if the client of a session is asked a question.
    :param written: returns the bytes that processes have written; None where that is not measured.
    """

    _pool: SharedServers
    _meters: Meters
    _written: Written | None = None
    _is_asked: Callable[[Any], bool] = lambda _: False
    _limiters: dict[_Key, Limiter] = msgspec.field(default_factory=dict)
    _looks: dict[_Key, _WrittenBytes] = msgspec.field(default_factory=dict)
    _ticks: int = 0
    log = Logger()

    def of(self, slot: Upstream) -> Limiter | None:
        """Return the limiter of a slot's calls; None where they are unlimited."""
        server = slot.server
        if not self._is_limited(server):
            return None
        limit, is_open = self._rule(server)
        key = (server.name, scope_value(self._pool.scope(server), server))
        limiter = self._limiters.get(key)
        if limit == UNLIMITED:
            if limiter is not None:
                self._free(limiter, key)
            return None
        if limiter is None:
            limiter = self._limiters[key] = Limiter(
                server, self._readers(server), self._is_asked, self._may_move
            )
        limiter.server, limiter.limit = server, limit
        if is_open and limiter.watch is None and self._written is not None:
            limiter.watch = self._new_watch(key, self._written)
        return limiter

    def _is_limited(self, server: ServerSpec) -> bool:
        # A server with a child for each session, by its entry or since it keeps state, works as without a gateway.
        # A server that has several children because it asks questions is shared all the same.
        if server.concurrency is not None:
            return True
        return scope_of(server) is not Share.SESSION and not self._pool.keeps_state(server)

    def _may_move(self, server: ServerSpec) -> bool:
        return may_move(server) and self._pool.traits.writes(server) is None

    def _readers(self, server: ServerSpec) -> Any:
        # With ``concurrency`` in the entry, the names of tools do not count as evidence.
        return partial(readers, by_name=server.concurrency is None)

    def _new_watch(self, key: _Key, written: Written) -> WriteWatch:
        return WriteWatch(written, partial(self._concluded, key))

    def _rule(self, server: ServerSpec) -> tuple[Concurrency, bool]:
        """Return the limit, and True if it holds only until the server's writing is known."""
        if server.concurrency is not None:
            return server.concurrency, False
        if server.view:
            return UNLIMITED, False
        writes = self._pool.traits.writes(server)
        if writes is None and self._written is not None and server.reach is None:
            return WRITES, True
        return (WRITES if writes else UNLIMITED), False

    def _concluded(self, key: _Key, found: ConcurrencyFinding, words: str) -> None:
        limiter = self._limiters[key]
        server = limiter.server
        if found is ConcurrencyFinding.OPEN:
            return  # the watch goes on
        self._pool.traits.saw(server, "" if found is ConcurrencyFinding.FREE else words)
        if found is not ConcurrencyFinding.PERHAPS:
            limiter.watch = None
        if words:
            self.log.info(
                "{server} writes ({why}): its calls that may change something go one after the other",
                event="server.writes",
                server=server.name,
                why=words,
            )
        elif found is ConcurrencyFinding.FREE:
            self.log.info(
                "{server} has written nothing while the gateway watched",
                event="server.quiet",
                server=server.name,
            )
        self._apply(limiter)
        self._pool.unite(server, limiter.latest)  # before the next call: only this child knows what it wrote

    def _apply(self, limiter: Limiter) -> None:
        for slot in list(limiter.slots):
            slot.update_limit()

    def _free(self, limiter: Limiter, key: _Key) -> None:
        limiter.limit, limiter.watch = UNLIMITED, None
        limiter.advance()

    def listed(self, slot: Upstream, pages: tuple[Raw, ...]) -> None:
        """Take a server's list of tools."""
        key = (slot.server.name, scope_value(self._pool.scope(slot.server), slot.server))
        limiter = self._limiters.get(key)
        if limiter is not None:
            limiter.learn([tool for page in pages for tool in tools_in(page)])

    def forget(self, server: ServerSpec) -> None:
        """Forget a server that is redefined or removed."""
        for key in [each for each in self._limiters if each[0] == server.name]:
            self._looks.pop(key, None)
            if not self._limiters[key].waiting and not self._limiters[key].turns:
                del self._limiters[key]

    def __iter__(self) -> Iterator[Limiter]:
        return iter(list(self._limiters.values()))

    def told(self, server: ServerSpec) -> dict[str, Any]:
        """Return the limit of a server for the REST API: its reason, the calls under way, and those that wait."""
        limit, is_open = self._rule(server) if self._is_limited(server) else (UNLIMITED, False)
        limiters = [each for key, each in self._limiters.items() if key[0] == server.name]
        line = [each for limiter in limiters for each in limiter.line()]
        return {
            "limit": limit.limit if limit.limit and not limit.only_writes else str(limit),
            "watched": is_open,
            "reason": self._reason(server, limit, is_open=is_open),
            "under_way": [
                {"tool": turn.tool, "seconds": turn.age} for each in limiters for turn in each.turns
            ],
            "waiting": len(line),
            "first_in_line": [{"tool": each.tool, "seconds": each.ticks} for each in line[:SHOWN]],
            "waited": sum(each.waited for each in limiters),
            "waited_seconds": sum(each.waited_ticks for each in limiters),
        }

    def _reason(self, server: ServerSpec, limit: Concurrency, *, is_open: bool) -> str:
        if server.concurrency is not None:
            return "its entry says so"
        if is_open:
            return "its first calls are watched one at a time, until it is known whether they change files"
        writes = self._pool.traits.writes(server)
        if limit != UNLIMITED:
            return writes or ""
        return "it was seen to write nothing" if writes == "" else ""

    # Time

    def tick(self) -> None:
        """Advance by one second: the limiters, and every `LOOK_TICKS` the writing of unlimited servers."""
        for limiter in self:
            limiter.tick()
            self._pool.unite(limiter.server)  # since its entry may have changed
        self._ticks += 1
        if self._written is not None and self._ticks % LOOK_TICKS == 0:
            self._look_again(self._written)

    def _look_again(self, written: Written) -> None:
        slots: dict[_Key, list[Upstream]] = {}
        for slot in self._pool:
            server = slot.server
            if (
                slot.shared
                and slot.pid
                and server.concurrency is None
                and self._pool.traits.writes(server) == ""
            ):
                slots.setdefault((server.name, scope_value(self._pool.scope(server), server)), []).append(
                    slot
                )
        for key, those in slots.items():
            self._look_at(key, those, written)

    def _look_at(self, key: _Key, slots: list[Upstream], written: Written) -> None:
        limiter = self._limiters.get(key)
        known = limiter.readers if limiter is not None else None
        rows = (row for row in self._meters.of(key[0]) if row.tool)
        calls = sum(row.requests for row in rows if known is None or row.tool not in known)
        before = self._looks.get(key)
        if before is not None:
            before.rest = max(0, before.rest - LOOK_TICKS)
            if before.calls == calls:
                return
        now = dict(written([pid for slot in slots for pid in slot.pids]))
        has_written = before is not None and any(now[pid] > before.written.get(pid, now[pid]) for pid in now)
        rest = before.rest if before is not None else 0
        self._looks[key] = _WrittenBytes(calls, now, rest)
        if has_written and not rest:
            self._looks[key].rest = REST_TICKS
            self._watch_again(key, slots, written)

    def _watch_again(self, key: _Key, slots: list[Upstream], written: Written) -> None:
        server = slots[0].server
        self._pool.traits.unsee(server)
        limiter = self._limiters.get(key)
        if limiter is not None:
            limiter.watch = self._new_watch(key, written)
        for slot in slots:
            slot.update_limit()
