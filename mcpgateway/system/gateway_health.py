"""The answer of a gateway to ``GET /health``, for other programs."""

from __future__ import annotations

import http.client
import os
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from attrs import field, frozen

from mcpgateway.config.ours import home_of
from mcpgateway.errors import ConfigError
from mcpgateway.shim.locations import socket_path
from mcpgateway.system import state
from mcpgateway.system.control_http import UnixConnection, fetch, local_connection
from mcpgateway.system.paths import gateway_home, user_home
from mcpgateway.system.process.procfs import command_of, environment_of, is_own, pids

LIMIT_S = 3.0
HEALTH = "/health"
OVERVIEW = "/api/v1/overview"  # has all that is in HEALTH
NEEDS_TOKEN = 401


@frozen
class HealthReply:
    """The answer of a program that may be a gateway.

    :ivar status: the HTTP status; 0 where there is no answer.
    :ivar body: the JSON object; empty where the body is none.
    :ivar why: the reason why there is no answer.
    """

    status: int = 0
    body: Mapping[str, Any] = field(factory=dict, repr=False)
    why: str = ""


@frozen
class GatewayHealth:
    """The health of a gateway that runs.

    :ivar health: its answer; empty where it requires a token for that.
    """

    health: Mapping[str, Any] = field(factory=dict, repr=False)

    @property
    def serves_all_at_once(self) -> bool:
        """True if the gateway has one endpoint for all servers together, or does not show its health."""
        return not self.health or self.health.get("aggregate") is True


def ask_socket(path: str, route: str = HEALTH) -> HealthReply:
    """Request the health of a gateway at a Unix socket."""
    return _reply(UnixConnection(path, LIMIT_S), route)


def ask_port(port: int) -> HealthReply:
    """Request the health of a gateway at a port of this machine."""
    return _reply(local_connection(port, LIMIT_S))


def ask(home: str, port: int, environ: Mapping[str, str]) -> GatewayHealth | None:
    """Request the health of a home's gateway: at its Unix socket, else at its port; None where none answers."""
    found = _health(ask_socket(socket_path(environ, home)))
    return found or (_health(ask_port(port)) if port else None)


def running_gateway(home: str) -> state.GatewayState | None:
    """Return the state of a home's gateway; None where none runs."""
    with suppress(ConfigError, OSError):
        running = state.read(home)
        if running is not None and state.is_alive(running):
            return running
    return None


def home_at(port: int) -> str:
    """Return the home of the gateway that listens at a port of this machine; "" where none does."""
    from mcpgateway.system.process.socket_owners import port_holders  # imports Twisted

    found = (home_of_process(each.pid) for each in port_holders(port) if each.pid)
    return next(filter(None, found), "")


def home_of_process(pid: int) -> str:
    """Return the home of a gateway by its process; "" for a process that is no gateway."""
    words = command_of(pid)
    if "mcpgateway" not in words:
        return ""
    environ = {os.fsdecode(name): os.fsdecode(value) for name, value in environment_of(pid).items()}
    return gateway_home(environ, home_of(tuple(words)))


def other_gateways(home: str, environ: Mapping[str, str]) -> dict[str, state.GatewayState]:
    """Return the gateways of this user's other homes that run, by these homes."""
    user = user_home(environ)
    homes = {gateway_home({"HOME": user})}
    for pid in filter(is_own, pids()):
        if other := home_of_process(pid):
            process_environ = {
                os.fsdecode(name): os.fsdecode(value) for name, value in environment_of(pid).items()
            }
            if (
                user_home(process_environ) == user
            ):  # another one is of a sandbox, with clients' files of its own
                homes.add(other)
    real = os.path.realpath(home)
    found = {each: running_gateway(each) for each in sorted(homes) if os.path.realpath(each) != real}
    return {each: running for each, running in found.items() if running is not None}


def _reply(connection: http.client.HTTPConnection, route: str = HEALTH) -> HealthReply:
    try:
        status, value = fetch(connection, route, LIMIT_S)
    except OSError as why:
        return HealthReply(why=(why.strerror or "no answer in time").lower())
    except http.client.HTTPException:
        return HealthReply(why="what answers is no HTTP server")
    return HealthReply(status, value if isinstance(value, dict) else {})


def _health(reply: HealthReply) -> GatewayHealth | None:
    # Any program may listen at a port that the gateway has left.
    if reply.status == NEEDS_TOKEN:
        return GatewayHealth() if "jsonrpc" in reply.body or "error" in reply.body else None
    return GatewayHealth(reply.body) if "backends" in reply.body else None
