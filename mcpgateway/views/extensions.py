"""The modern extensions of the servers of a view, merged."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from mcpgateway.config.model import ServerSpec
from mcpgateway.hub.catalog.recorded import Snapshots
from mcpgateway.hub.pool import Pool
from mcpgateway.policy.recorded_answers import HELLO, place_of
from mcpgateway.protocol import jsonrpc, legacy, peek
from mcpgateway.protocol.jsonrpc import Envelope
from mcpgateway.protocol.versions import Era


def extensions(
    servers: Iterable[ServerSpec], pool: Pool, snapshots: Snapshots | None
) -> dict[str, dict[str, Any]]:
    """Return the extensions that these servers declare; where two declare the same, the first one's settings."""
    found: dict[str, dict[str, Any]] = {}
    for server in servers:
        hello = met(server, pool, snapshots)
        declared = peek.mapping(legacy.capabilities(hello), "extensions") if hello else {}
        for name, settings in declared.items():
            if isinstance(settings, dict):
                found.setdefault(name, settings)
    return found


def met(server: ServerSpec, pool: Pool, snapshots: Snapshots | None) -> Envelope | None:
    """Return a server's answer to the handshake, the modern one where both are known; None where none is."""
    found = None
    for slot in pool:
        if slot.server.name == server.name and slot.hello is not None:
            if slot.era is Era.MODERN:
                return slot.hello
            found = slot.hello
    if found is not None or snapshots is None:
        return found
    known = snapshots.newest(server.name, place_of(server), HELLO)
    return jsonrpc.read_object(known.pages[0], HELLO) if known is not None else None
