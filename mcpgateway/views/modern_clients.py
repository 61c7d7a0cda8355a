"""What a modern client says of itself, and what servers are told of that when a view asks them for their lists.

# Note [Lists that depend on the client]
Some servers list a tool only to clients that can do what it needs.  A server of the modern era hears with each request
what its client can do.  A legacy one is told when it is started, and so clients that can do something else have another
child of it.  So a list is known for those who can do the same, and asked for in
their words; where a server has the same child for all, it is known for all.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable

from mcpgateway import __version__
from mcpgateway.config.model import ServerSpec
from mcpgateway.hub.caller import ModernClient
from mcpgateway.policy.eras import EraPath
from mcpgateway.policy.recorded_answers import client_in, told_in
from mcpgateway.protocol import jsonrpc, modern, peek
from mcpgateway.protocol.jsonrpc import Envelope

CLIENTS_LIMIT = 1000
OWN: Envelope = {name: jsonrpc.raw(value) for name, value in modern.own_meta(__version__).items()}
"""What the gateway says of itself."""


class Clients:
    """Reads what requests say of their clients, and knows what of it servers are told.

    :param road: how a modern client gets to a server; None while that is not known.
    :param told_of: names what the child of a legacy server is told of a client, by the client's ``_meta``.
    """

    def __init__(
        self,
        road: Callable[[ServerSpec], EraPath | None],
        told_of: Callable[[ServerSpec, Envelope], str],
    ) -> None:
        self._road = road
        self._told_of = told_of
        self._read: dict[bytes, ModernClient | None] = {}  # most requests say the same as the one before

    def read(self, meta: Envelope | None) -> ModernClient | None:
        """Who sends a request with this ``_meta``; None where the client can do nothing that a list may depend on."""
        said = client_in(meta or {})
        key = b"\0".join(bytes(each) for each in said.values())
        if key not in self._read:
            if len(self._read) >= CLIENTS_LIMIT:
                self._read.clear()
            can = peek.mapping(said, modern.CAPABILITIES_KEY)
            self._read[key] = ModernClient(said, hashlib.sha256(key).digest()) if can else None
        return self._read[key]

    def told(self, server: ServerSpec, client: ModernClient | None) -> str:
        """Names what a server is told of a client, as `mcpgateway.hub.catalog.listed` does; empty for nothing."""
        if client is None:
            return ""
        if self._road(server) is EraPath.BRIDGED:
            return self._told_of(server, client.meta)
        return told_in(self.words(server, client))

    def words(self, server: ServerSpec, client: ModernClient | None) -> Envelope:
        """The ``_meta`` of a request by which a server is asked what it lists to a client."""
        if client is None:
            return dict(OWN)
        if self._road(server) is EraPath.BRIDGED:
            return dict(client.meta)  # it may be what its child is started with
        return OWN | {modern.CAPABILITIES_KEY: client.meta[modern.CAPABILITIES_KEY]}
