"""The extensions of the modern era that the servers of a view have between them."""

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
    """What any of these servers has said of its extensions; of two that say something of the same, the first counts."""
    found: dict[str, dict[str, Any]] = {}
    for server in servers:
        hello = met(server, pool, snapshots)
        declared = peek.mapping(legacy.capabilities(hello), "extensions") if hello else {}
        for name, settings in declared.items():
            if isinstance(settings, dict):
                found.setdefault(name, settings)
    return found


def met(server: ServerSpec, pool: Pool, snapshots: Snapshots | None) -> Envelope | None:
    """The first words of a server, of the modern era where it has said some in both; None where none are known."""
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
