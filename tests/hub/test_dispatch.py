"""Requests of a session, and their record."""

from __future__ import annotations

from mcpgateway.interfaces import SessionRecord
from mcpgateway.system.journal import Journal
from tests.support.gateway_in_memory import Client, MemoryGateway


class WatchedJournal(Journal):
    """A journal that notes the level of each record, and whether a client had been answered by then.

    :ivar client: the one that is watched.
    :ivar kept: what was noted.
    """

    client: Client | None = None

    def __init__(self) -> None:
        super().__init__(":memory:", lambda: 0.0)
        self.kept: list[tuple[str | None, bool]] = []

    def keep(self, record: SessionRecord, issued: int) -> None:
        """Put it on record, and note it."""
        super().keep(record, issued)
        self.kept.append((record.level, self.client is not None and self.client.heard is not None))


class RecordTests:
    """The record of a session outlives the gateway, whenever that is killed."""

    def test_level(self) -> None:
        """A log level is on record before its client hears that it is set, also where the server need not be asked."""
        store = WatchedJournal()
        gateway = MemoryGateway(store=store)
        first, store.client = gateway.session(), gateway.session()
        first.call(1, "logging/setLevel", level="debug")
        gateway.child.answer(gateway.child.asked("logging/setLevel")[0], {})
        store.client.call(1, "logging/setLevel", level="error")
        assert store.client.heard is not None
        assert store.kept[-1] == ("error", False)
