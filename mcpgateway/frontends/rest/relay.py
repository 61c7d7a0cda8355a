"""A server's own REST API, at a path of the gateway's."""

from __future__ import annotations

from typing import Any

from attrs import frozen

from mcpgateway.backends.relay import RestRelay as Relaying
from mcpgateway.backends.relay import Sent
from mcpgateway.frontends.rest.operation import OperationAnswer, OperationRequest
from mcpgateway.hub.dispatch import LegacyDispatcher

SLASHES = 6  # before the relayed part: /api/v1/servers/NAME/rest/


@frozen
class RelayRoutes:
    """Relays requests to the address in a server's entry."""

    _dispatcher: LegacyDispatcher
    _relaying: Relaying

    async def pass_on(self, asked: OperationRequest) -> Any:
        """Relay a request; the answer is the service's own."""
        server = self._dispatcher.server(asked.path["name"])
        target: bytes = asked.request.uri  # as received: encoded characters stay encoded
        way, _, query = target.partition(b"?")
        path = way.split(b"/", SLASHES)[SLASHES]
        exchange = asked.exchange
        sent = Sent(exchange.method.decode("ascii"), path, query, exchange.headers, asked.body)
        found = await self._relaying.pass_on(server, sent)
        headers = dict(found.headers)
        media = headers.pop("Content-Type", "application/octet-stream")
        return OperationAnswer(found.status, headers=headers, body=found.body, media=media)
