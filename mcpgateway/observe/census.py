"""Count what runs, for people and programs that look at the gateway's health."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

from mcpgateway import __version__
from mcpgateway.config.model import ClientFile, ServerSpec, Share
from mcpgateway.config.reach_settings import transport
from mcpgateway.config.surface import GroupRule, group_of
from mcpgateway.discovery.records import Item
from mcpgateway.hub.dispatch import LegacyDispatcher
from mcpgateway.hub.health.faults import Fault
from mcpgateway.hub.health.health import Health
from mcpgateway.hub.meters import Meters
from mcpgateway.hub.slot import Slot
from mcpgateway.observe import immorterm
from mcpgateway.policy.access import LOCAL, is_client
from mcpgateway.protocol.versions import Era
from mcpgateway.records import FrozenRecord
from mcpgateway.system.process.memory import resident_bytes

GRACE_TICKS = 15  # how long S000 calls a gateway without servers "starting"


class Census(FrozenRecord, frozen=True):
    """Numbers about the gateway, computed on request.

    :ivar lives: health of the servers.
    :ivar meters: counters of requests to servers.
    :ivar started_at: epoch seconds.
    :ivar auth: need of a token on this machine: for everything, for changes, or for nothing.
    :ivar config: returns the state of the configuration.
    :ivar clients: returns the clients' files that use the gateway.
    :ivar is_disabled: returns True while the whole gateway is switched off softly.
    :ivar paused_until: returns the end of a pause of the clients in epoch seconds; 0 for none.
    :ivar saved: returns the tokens saved for models; empty if no view was used during this run.
    :ivar faults: returns the problems of the gateway as a whole.
    :ivar groups: returns the rules of groups.
    :ivar listens: returns the addresses at which the gateway listens.
    """

    dispatcher: LegacyDispatcher
    lives: Health
    meters: Meters
    started_at: float
    port: Callable[[], int]
    auth: Callable[[], str]
    config: Callable[[], dict[str, Any]] = dict
    clients: Callable[[], Sequence[ClientFile]] = tuple
    is_disabled: Callable[[], bool] = bool
    saved: Callable[[], dict[str, Any]] = dict
    faults: Callable[[], Sequence[Fault]] = tuple
    groups: Callable[[], tuple[GroupRule, ...]] = tuple
    paused_until: Callable[[], float] = float
    listens: Callable[[], Sequence[str]] = tuple

    def tools(self, server: ServerSpec) -> Sequence[Item] | None:
        """Return the known tools of a server, running or not; None if it was never asked."""
        return self.dispatcher.view_sessions.server_lists.tools(server)

    def health(self, principal: str = LOCAL) -> dict[str, Any]:
        """Return the union of the older gateways' bodies: S003's and S004's numbers, and every server in ``backends``.

        :param principal: the caller; only the gateway's own user gets that user's sign-in addresses.
        """
        is_user = not is_client(principal)
        slots = self._slots()
        sessions = self.dispatcher.sessions
        servers = self.dispatcher.servers.values()
        faults = self.faults()
        running = sum(self.lives.runs(slots[server.name]) for server in servers)
        return {
            "status": self._status(faults),
            "problems": [each.shown() for each in faults],
            "disabled": self.is_disabled(),
            "paused_until": _written(end) if (end := self.paused_until()) else None,
            "servers": len(servers),
            "running": running,
            "sessions": len(sessions),
            "streams": sum(session.has_stream for session in sessions),
            "calls": len(self.dispatcher.calls),
            "auth": self.auth(),
            "started_at": _written(self.started_at),
            "uptime": sessions.now,
            "uptime_seconds": sessions.now,
            "pid": os.getpid(),
            "port": self.port(),
            "version": __version__,
            "memory_mb": _memory_mb(),
            "approvals": self._approvals(),
            "config": self.config(),
            "clients": [_client(each) for each in self.clients()],
            "aggregate": True,
            "saved": self.saved(),
            "backends": [
                self._backend(server, slots[server.name]) | (self._way(server) if is_user else {})
                for server in servers
            ],
        }

    def alive(self) -> dict[str, Any]:
        """Return that the gateway answers, and the names of all present problems."""
        faults = self.faults()
        named = {"problems": [each.code for each in faults]} if faults else {}
        return {"status": self._status(faults), **named}

    def _status(self, faults: Sequence[Fault] = ()) -> str:
        if not self.dispatcher.is_open:
            return "stopping"
        return "degraded" if faults else "ok"

    def server(self, server: ServerSpec) -> dict[str, Any]:
        """Return the numbers of one server, for the gateway's own user."""
        slots = [each for each in self.dispatcher.pool if each.server.name == server.name]
        return self._backend(server, slots) | self._way(server)

    def _way(self, server: ServerSpec) -> dict[str, Any]:
        # With its query, which is masked elsewhere: this URL does not work without it.
        question = self.lives.question(server)
        return {"login_url": question.url} if question is not None else {}

    def _approvals(self) -> list[dict[str, Any]]:
        repositories = self.dispatcher.scopes.repositories
        return repositories.waiting() if repositories is not None else []

    def _backend(self, server: ServerSpec, slots: list[Slot]) -> dict[str, Any]:
        pids = [pid for slot in slots for pid in slot.pids]
        # The member sessions of views count for the server too, though not as further clients of the gateway.
        sessions = sum(1 for session in self.dispatcher.sessions.of(server) if session.id)
        asked = self.meters.totals(server.name)
        group, group_title = group_of(self.groups(), server.name)
        return {
            "name": server.name,
            "title": server.title,
            "enabled": server.enabled,
            "group": group,
            "group_title": group_title,
            "transport": transport(server.reach),
            **self.dispatcher.pool.shared_by(server),
            "speaks": self._speaks(server),
            "running_eras": sorted({slot.era.value for slot in slots if slot.is_up}),
            "pids": pids,
            "sessions": sessions,
            "calls": sum(len(slot.calls()) for slot in slots),
            "requests": asked.requests,
            "tool_calls": asked.calls,
            "call_errors": asked.call_errors,
            "starts": self.lives.histories.of(server.name).launches,
            "source": server.source,
            "project": server.project,
            **self.lives.shown(server, slots),
        }

    def _speaks(self, server: ServerSpec) -> dict[str, bool | None]:
        # None: no client has come for which it matters.
        known = self.dispatcher.eras.known(server)
        return {era.value: known.speaks(era) for era in Era}

    def immorterm(self) -> dict[str, Any]:
        """Return the body of S000."""
        slots = self._slots()
        servers = [
            self._immorterm_server(each, slots[each.name]) for each in self.dispatcher.servers.values()
        ]
        uptime = self.dispatcher.sessions.now
        clients = [immorterm.client(each) for each in self.clients() if not each.suspended]
        return {
            "status": "ok" if servers else ("starting" if uptime <= GRACE_TICKS else "degraded"),
            "version": __version__,
            "uptime": uptime,
            "port": self.port(),
            "servers": servers,
            "totalChildren": sum(server["activeChildren"] for server in servers),
            "memoryMB": _memory_mb(),
            **({"clients": clients} if clients else {}),
        }

    def harshal(self) -> dict[str, Any]:
        """Return the body of S004: ``servers`` are the connected ones, and ``timestamp`` is in milliseconds."""
        slots, servers = self._slots(), self.dispatcher.servers.values()
        sessions = self.dispatcher.sessions
        return {
            "status": self._status(),
            "servers": sum(self.lives.runs(slots[each.name]) for each in servers),
            "tools": sum(len(self.tools(each) or ()) for each in servers),
            "sessions": len(sessions),
            "uptime": sessions.now,
            "timestamp": round(sessions.wall() * 1000),
        }

    def _immorterm_server(self, server: ServerSpec, slots: list[Slot]) -> dict[str, Any]:
        stateful = self.dispatcher.pool.scope(server) is Share.SESSION
        return {
            "name": server.name,
            "mode": "stateful" if stateful else "stateless",
            "activeChildren": sum(slot.is_up for slot in slots),
            "totalRequests": self.meters.totals(server.name).requests,
        }

    def _slots(self) -> dict[str, list[Slot]]:
        slots: dict[str, list[Slot]] = defaultdict(list)
        for slot in self.dispatcher.pool:
            slots[slot.server.name].append(slot)
        return slots


def _written(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")


def _client(file: ClientFile) -> dict[str, Any]:
    return {
        "name": file.client,
        "path": file.path,
        "mode": file.mode,
        "servers": list(file.servers),
        "suspended": file.suspended,
    }


def _memory_mb() -> int:
    return round(resident_bytes() / 2**20)
