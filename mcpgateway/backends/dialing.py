"""See whether anything listens at an address."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import HostnameEndpoint
from twisted.internet.protocol import Factory, Protocol

from mcpgateway.errors import Unreachable

DIAL_S = 3.0
PORTS = {"http": 80, "ws": 80, "https": 443, "wss": 443}


def dial(reactor: Any, url: str) -> Deferred[None]:
    """Connect to where a URL leads, and hang up; fires when something has answered there.

    :raise Unreachable: (through the Deferred) nothing does.
    """
    parts = urlsplit(url)
    port = parts.port or PORTS.get(parts.scheme, 443)
    endpoint = HostnameEndpoint(reactor, parts.hostname or "", port, timeout=DIAL_S)
    connected = endpoint.connect(Factory.forProtocol(Protocol))
    connected.addTimeout(
        2 * DIAL_S, reactor
    )  # a name that leads to many addresses is not tried at all of them
    dialled: Deferred[None] = connected.addCallbacks(_hang_up, _nobody)
    return dialled


def _hang_up(protocol: Any) -> None:
    protocol.transport.abortConnection()


def _nobody(why: Any) -> Any:
    raise Unreachable("nothing answers at its address") from why.value
