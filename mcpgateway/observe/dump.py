"""The state of the gateway in one answer, for finding faults: bounded, and without secret values.

It has no data of users and clients: of a call it has the method, of a session the handle
(`mcpgateway.observe.sessions`), of the configuration the names in it.
"""

from __future__ import annotations

import gc
import os
import sys
import threading
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import suppress
from itertools import islice
from typing import Any

import attrs
from attrs import field, frozen

from mcpgateway import __version__
from mcpgateway.config.model import ServerSpec
from mcpgateway.config.reach_settings import Container, Remote, Rest, transport
from mcpgateway.config.settings import Settings
from mcpgateway.errors import BackendError
from mcpgateway.hub.dispatch import LegacyDispatcher
from mcpgateway.hub.health.instance import ChildHealth
from mcpgateway.hub.sessions import handle
from mcpgateway.hub.slot import Slot
from mcpgateway.observe.sessions import SessionDirectory
from mcpgateway.policy import urls
from mcpgateway.system.process.memory import resident_bytes

LIMIT = 500  # entries of each list
SETTINGS_SHOWN = ("bridge", "auth_mcp_transport", "allow_remote", "trust_other_users", "ping_s")


@frozen
class Dump:
    """Dumps the state of the gateway.

    :ivar settings: returns the settings in force.
    :ivar connections: returns the open connections, each with its phase.
    :ivar redact: removes secrets from a text.
    :ivar control: returns the numbers of running and waiting requests, and of open streams, of the control plane.
    """

    dispatcher: LegacyDispatcher = field(repr=False)
    book: SessionDirectory = field(repr=False)
    reactor: Any = field(repr=False)
    settings: Callable[[], Settings] = field(repr=False)
    connections: Callable[[], Collection[Any]] = field(default=tuple, repr=False)
    redact: Callable[[str], str] = field(default=str, repr=False)
    control: Callable[[], Mapping[str, int]] = field(default=dict, repr=False)

    def state(self) -> dict[str, Any]:
        """Return the whole state."""
        found = {
            "gateway": self._gateway(),
            "memory": _memory(),
            "descriptors": _descriptors(),
            "threads": [each.name for each in islice(threading.enumerate(), LIMIT)],
            "timers": self._timers(),
            "connections": self._connections(),
            "control": self.control(),
            "slots": self._slots(),
            "sessions": _bounded(self.book.listed(limit=LIMIT + 1), len(self.dispatcher.sessions)),
            "calls": self._calls(),
            "config": self._config(),
        }
        return {name: self._clean(value) for name, value in found.items()}

    def _clean(self, value: Any) -> Any:
        match value:
            case str():
                return self.redact(value)
            case Mapping():
                return {name: self._clean(each) for name, each in value.items()}
            case list() | tuple():
                return [self._clean(each) for each in value]
        return value

    def _gateway(self) -> dict[str, Any]:
        view_sessions = self.dispatcher
        return {
            "version": __version__,
            "python": sys.version.split()[0],
            "reactor": type(self.reactor).__name__,
            "pid": os.getpid(),
            "uptime_seconds": view_sessions.sessions.now,
            "is_open": view_sessions.is_open,
            "servers": len(view_sessions.servers),
            "sessions": len(view_sessions.sessions),
            "streams": sum(each.has_stream for each in view_sessions.sessions),
            "calls": len(view_sessions.calls),
        }

    def _timers(self) -> dict[str, Any]:
        timers = self.reactor.getDelayedCalls()
        now = self.reactor.seconds()
        soonest = sorted(timers, key=lambda each: each.getTime())
        return _bounded(
            ({"in_s": round(each.getTime() - now, 3), "calls": _name(each.func)} for each in soonest),
            len(timers),
        )

    def _connections(self) -> dict[str, Any]:
        counted: Counter[str] = Counter()
        everybody = self.connections()
        for each in everybody:
            transport_ = getattr(each, "transport", None)
            peer = transport_.getPeer() if transport_ is not None else None
            counted[f"{type(peer).__name__}, phase {getattr(each, 'phase', '?')}"] += 1
        return {"count": len(everybody), "kinds": dict(counted)}

    def _slots(self) -> dict[str, Any]:
        slots = list(self.dispatcher.pool)
        return _bounded((_slot(each) for each in slots), len(slots))

    def _calls(self) -> dict[str, Any]:
        calls = [(holder, call) for holder in self.dispatcher.calls.holders() for call in holder.calls()]
        return _bounded((_call(holder, call) for holder, call in calls), len(calls))

    def _config(self) -> dict[str, Any]:
        settings = self.settings()
        gateway = settings.gateway
        shown = {name: getattr(gateway, name) for name in SETTINGS_SHOWN}
        return {
            "gateway": {name: getattr(each, "value", each) for name, each in shown.items()},
            "limits": attrs.asdict(gateway.limits),
            "servers": _bounded((_server(each) for each in settings.servers), len(settings.servers)),
            "profiles": sorted(settings.profiles)[:LIMIT],
            "workspaces": [each.path for each in settings.workspaces[:LIMIT]],
            "clients": [each.path for each in settings.adopted[:LIMIT]],
        }


def _bounded(entries: Iterable[Any], count: int) -> dict[str, Any]:
    """Return the first entries, and the number of all."""
    return {"count": count, "shown": list(islice(entries, LIMIT))}


def _memory() -> dict[str, Any]:
    return {
        "resident_bytes": resident_bytes(),
        "blocks": sys.getallocatedblocks(),  # of Python's allocator: blocks in use
        "collector": gc.get_count(),
        "tracked": gc.get_stats()[2],
    }


def _descriptors() -> dict[str, Any]:
    """Return the number of open descriptors of each kind; empty if the system does not provide it."""
    counted: Counter[str] = Counter()
    with suppress(OSError):
        for name in os.listdir("/proc/self/fd"):
            try:
                where = os.readlink(f"/proc/self/fd/{name}")
            except OSError:
                continue  # the descriptor of the directory itself
            kind = (
                where.partition(":")[0] if where.startswith(("socket:", "pipe:", "anon_inode:")) else "file"
            )
            counted[kind] += 1
    return {"count": sum(counted.values()), "kinds": dict(counted)}


def _name(function: Any) -> str:
    found = getattr(function, "func", function)  # of a partial
    owner = getattr(found, "__self__", None)
    name = getattr(found, "__qualname__", type(found).__name__)
    return (
        f"{type(owner).__module__}.{name}"
        if owner is not None
        else f"{getattr(found, '__module__', '')}.{name}"
    )


def _slot(slot: Slot) -> dict[str, Any]:
    watch = slot.watch
    return {
        "server": slot.server.name,
        "era": slot.era.value,
        "workspace": slot.server.workspace,
        "shared": slot.shared,
        "replica": slot.is_replica,
        "state": watch.state.value if isinstance(watch, ChildHealth) else None,
        "pid": slot.pid,
        "up": slot.is_up,
        "resting": slot.is_resting,
        "sessions": len(slot.sessions),
        "load": slot.load,
        "requests": slot.requests,
        "starts": slot.starts,
        "subscriptions": len(slot.subscriptions.uris()),
        "listened_to": slot.listening is not None and bool(slot.listening),
    }


def _call(holder: Any, call: Any) -> dict[str, Any]:
    session = call.session
    return {
        "with": type(holder).__name__,
        "server": session.server.name if session is not None else None,
        "session": handle(session.id) if session is not None and session.id else None,
        "method": call.method,
        "age_seconds": call.age,
        "sent": call.number > 0,
        "client_gone": bool(call.sink.is_gone),
    }


def _server(server: ServerSpec) -> dict[str, Any]:
    reach = server.reach
    headers = sorted(reach.headers) if isinstance(reach, Remote | Rest) else []
    return {
        "name": server.name,
        "source": server.source,
        "transport": transport(reach),
        "program": os.path.basename(server.command[0]) if server.command else "",
        "arguments": max(0, len(server.command) - 1),
        "origin": _origin(reach.url) if isinstance(reach, Remote) else "",
        "image": reach.image if isinstance(reach, Container) else "",
        "env_keys": sorted(server.env)[:LIMIT],
        "header_keys": headers,
        "share": server.share.value,
        "enabled": server.enabled,
        "timeout_s": server.timeout_s,
        "lazy": attrs.asdict(server.lazy),
    }


def _origin(url: str) -> str:
    # The path of a URL may contain a secret, too.
    try:
        return urls.read(url).origin
    except BackendError:
        return ""
