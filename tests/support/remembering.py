"""Gateways in memory that are restarted, and know what servers have answered before."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from attrs import define, field

from mcpgateway.config.model import ServerSpec
from mcpgateway.hub.catalog.recorded import CatalogStore
from mcpgateway.protocol.versions import Era
from mcpgateway.system.journal import Journal
from mcpgateway.system.recorded_lists import RecordedListFiles
from tests.support.gateway_in_memory import Client, MemoryChild, MemoryGateway


@define
class Home:
    """A directory that one gateway after the other uses.

    :ivar more: servers beside the usual ones.
    :ivar eras: which eras servers speak, by name.
    :ivar now: what the clock of the next gateway shows, beyond that of the first.
    """

    path: Path
    more: tuple[ServerSpec, ...] = ()
    eras: dict[str, tuple[Era, ...]] = field(factory=dict)
    now: float = 0.0
    gateway: MemoryGateway | None = None
    _store: Journal = field(factory=lambda: Journal(":memory:", lambda: 1_700_000_000.0))

    def start(self) -> MemoryGateway:
        """A gateway that knows what the one before it knew; that one has ended in order."""
        if self.gateway is not None and self.gateway.hub.snapshots is not None:
            self.gateway.hub.snapshots.close()
        return self.start_after_kill()

    def start_after_kill(self) -> MemoryGateway:
        """A gateway that knows what is on the disk."""
        store = RecordedListFiles(str(self.path / "catalogs"), lambda: 0.0)

        class Remembering(MemoryGateway):
            catalogs: CatalogStore | None = store

        self.gateway = Remembering(more=self.more, store=self._store)
        self.gateway.clock.advance(self.now)
        self.gateway.launcher.eras |= self.eras
        return self.gateway


def tool(name: str, **properties: Any) -> dict[str, Any]:
    """A tool as a server lists it."""
    return {"name": name, "inputSchema": {"type": "object", "properties": properties}}


def ask(client: Client, method: str = "tools/list", **params: Any) -> Any:
    """Return a client's immediate answer; None if it has to wait."""
    client.call(7, method, **params)
    return client.heard.json if client.heard is not None else None


def answered(client: Client, child: MemoryChild, result: dict[str, Any], method: str = "tools/list") -> Any:
    """Return a client's answer when a child gives this result."""
    client.call(7, method)
    child.answer(child.asked(method)[-1], result)
    assert client.heard is not None
    return client.heard.json
