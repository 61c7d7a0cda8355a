"""Check whether a port is open, and whether its program speaks MCP."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from twisted.internet.defer import CancelledError
from twisted.internet.endpoints import HostnameEndpoint
from twisted.internet.protocol import Factory, Protocol

from mcpgateway.backends.http.client import Web
from mcpgateway.config.reach_settings import Daemon, Transport
from mcpgateway.errors import Unreachable
from mcpgateway.policy.urls import PORTS
from mcpgateway.protocol import jsonrpc

PROBE_S = 2.0
KNOCK_S = 3.0
ANSWER_LIMIT = 65_536
UNAUTHORIZED = 401

PING = b'{"jsonrpc":"2.0","id":"mcpgateway","method":"ping"}'
BOTH = "application/json, text/event-stream"


async def knock(reactor: Any, url: str, port: int = 0) -> None:
    """Connect to the host of a URL, at its port or another one, and disconnect.

    :raise Unreachable: the port does not accept a connection.
    """
    parts = urlsplit(url)
    port = port or parts.port or PORTS.get(parts.scheme, 443)
    endpoint = HostnameEndpoint(reactor, parts.hostname or "127.0.0.1", port, timeout=KNOCK_S)
    factory = Factory.forProtocol(Protocol)
    factory.noisy = False
    connecting = endpoint.connect(factory)
    connecting.addTimeout(2 * KNOCK_S, reactor)  # not all addresses of a name with many are tried
    try:
        connection: Any = await connecting
    except CancelledError:
        raise
    except Exception as why:  # refused, timed out, no such name
        raise Unreachable("nothing answers at its address") from why
    connection.transport.loseConnection()  # in order: some servers log an error for anything else


async def is_open(reactor: Any, url: str, port: int) -> bool:
    """Fire with True if the port of a URL's host is open."""
    try:
        await knock(reactor, url, port)
    except Unreachable:
        return False
    return True


async def speaks_mcp(reactor: Any, web: Web, reach: Daemon) -> bool:
    """Fire with True if the program at a daemon's port speaks MCP.

    A ping without a session leaves no state at the server; every MCP server answers it, if only with an error.
    """
    try:
        if reach.transport is Transport.SSE:
            opening = web.open("GET", reach.url, {"Accept": "text/event-stream"})
            stream = await opening.addTimeout(PROBE_S, reactor)
            stream.abort()
            return _is_stream(stream.headers) or _wants_token(stream.status, stream.headers)
        headers = {"Accept": BOTH, "Content-Type": "application/json"}
        answer = await web.request("POST", reach.url, headers, PING, timeout_s=PROBE_S, limit=ANSWER_LIMIT)
        if _is_stream(answer.headers) or _wants_token(answer.status, answer.headers):
            return True
        return "jsonrpc" in jsonrpc.decode(answer.body)
    except CancelledError:
        raise
    except Exception:  # noqa: BLE001 - any failure means that it does not speak MCP
        return False


def _is_stream(headers: Mapping[bytes, bytes]) -> bool:
    return headers.get(b"content-type", b"").lower().startswith(b"text/event-stream")


def _wants_token(status: int, headers: Mapping[bytes, bytes]) -> bool:
    return status == UNAUTHORIZED and b"www-authenticate" in headers
