"""The extensions of the modern era that the servers of a view have between them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from mcpgateway import __version__
from mcpgateway.config.model import ServerSpec
from mcpgateway.hub.pool import Pool
from mcpgateway.hub.snapshots import Snapshots
from mcpgateway.rules.snapshots import HELLO, Key, place_of, told_in
from mcpgateway.wire import jsonrpc, legacy, modern, peek
from mcpgateway.wire.jsonrpc import Envelope
from mcpgateway.wire.revisions import Era

_TOLD = told_in({name: jsonrpc.raw(value) for name, value in modern.own_meta(__version__).items()})


def extensions(
    servers: Iterable[ServerSpec], pool: Pool, snapshots: Snapshots | None
) -> dict[str, dict[str, Any]]:
    """What any of these servers has said of its extensions; of two that say something of the same, the first counts."""
    met = {slot.server.name: slot.introduction for slot in pool if slot.era is Era.MODERN}
    found: dict[str, dict[str, Any]] = {}
    for server in servers:
        hello = met.get(server.name) or _on_record(server, snapshots)
        declared = peek.mapping(legacy.capabilities(hello), "extensions") if hello else {}
        for name, settings in declared.items():
            if isinstance(settings, dict):
                found.setdefault(name, settings)
    return found


def _on_record(server: ServerSpec, snapshots: Snapshots | None) -> Envelope | None:
    if snapshots is None:
        return None
    known = snapshots.find(server.name, Key(place_of(server), Era.MODERN, _TOLD), HELLO)
    return jsonrpc.read_object(known.pages[0], HELLO) if known is not None else None
