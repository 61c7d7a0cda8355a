"""Is anybody there, and does it speak MCP?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from twisted.internet.defer import CancelledError
from twisted.internet.endpoints import HostnameEndpoint
from twisted.internet.protocol import Factory, Protocol

from mcpgateway.backends.web import Web
from mcpgateway.config.model import Daemon, Transport
from mcpgateway.wire import jsonrpc

PROBE_S = 2.0
ANSWER_LIMIT = 65_536
UNAUTHORIZED = 401

PING = b'{"jsonrpc":"2.0","id":"mcpgateway","method":"ping"}'
BOTH = "application/json, text/event-stream"


async def is_open(reactor: Any, url: str, port: int) -> bool:
    """Whether anybody listens at a port of a URL's host."""
    host = urlsplit(url).hostname or "127.0.0.1"
    endpoint = HostnameEndpoint(reactor, host, port, timeout=PROBE_S)
    factory = Factory.forProtocol(Protocol)
    factory.noisy = False
    try:
        connection: Any = await endpoint.connect(factory)
    except CancelledError:
        raise
    except Exception:  # noqa: BLE001 - refused, timed out, no such name
        return False
    connection.transport.loseConnection()
    return True


async def speaks_mcp(reactor: Any, web: Web, reach: Daemon) -> bool:
    """Whether whoever listens at a daemon's port speaks MCP there.

    A ping without a session leaves nothing behind; whoever speaks MCP answers it, if only with an error.
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
    except Exception:  # noqa: BLE001 - whatever it says, it is no MCP
        return False


def _is_stream(headers: Mapping[bytes, bytes]) -> bool:
    return headers.get(b"content-type", b"").lower().startswith(b"text/event-stream")


def _wants_token(status: int, headers: Mapping[bytes, bytes]) -> bool:
    return status == UNAUTHORIZED and b"www-authenticate" in headers
