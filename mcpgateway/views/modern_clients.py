"""The capabilities of modern clients, and the parts of them that servers get when a view fetches their lists.

# Note [Lists that depend on the client]
Some servers list a tool only to clients with the capabilities that it needs.  A modern server gets these with each
request.  A legacy server gets them at its handshake, so clients with other capabilities have another child of it.  So a
list is kept for clients with equal capabilities, and fetched with their ``_meta``; where a server has the same child
for all clients, the list is kept for all.
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
"""The ``_meta`` of the gateway's own requests."""


class Clients:
    """Reads the client's ``_meta`` of requests, and derives the parts that servers get.

    :param road: returns the path of modern clients to a server; None while it is not known.
    :param told_of: returns the ``told`` of a legacy server's child for a client's ``_meta``.
    """

    def __init__(
        self,
        road: Callable[[ServerSpec], EraPath | None],
        told_of: Callable[[ServerSpec, Envelope], str],
    ) -> None:
        self._road = road
        self._told_of = told_of
        self._read: dict[bytes, ModernClient | None] = {}  # requests repeat it

    def read(self, meta: Envelope | None) -> ModernClient | None:
        """Return the client with this ``_meta``; None where it has no capabilities that a list may depend on."""
        said = client_in(meta or {})
        key = b"\0".join(bytes(each) for each in said.values())
        if key not in self._read:
            if len(self._read) >= CLIENTS_LIMIT:
                self._read.clear()
            can = peek.mapping(said, modern.CAPABILITIES_KEY)
            self._read[key] = ModernClient(said, hashlib.sha256(key).digest()) if can else None
        return self._read[key]

    def told(self, server: ServerSpec, client: ModernClient | None) -> str:
        """Return the ``told`` of a server for a client (`mcpgateway.hub.catalog.listed`); empty for none."""
        if client is None:
            return ""
        if self._road(server) is EraPath.BRIDGED:
            return self._told_of(server, client.meta)
        return told_in(self.words(server, client))

    def words(self, server: ServerSpec, client: ModernClient | None) -> Envelope:
        """Return the ``_meta`` of the gateway's request for a server's list for a client."""
        if client is None:
            return dict(OWN)
        if self._road(server) is EraPath.BRIDGED:
            return dict(client.meta)  # a child may be started with these capabilities
        return OWN | {modern.CAPABILITIES_KEY: client.meta[modern.CAPABILITIES_KEY]}
