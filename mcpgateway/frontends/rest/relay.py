"""A server's own REST API, below the gateway."""

from __future__ import annotations

from typing import Any

from attrs import frozen

from mcpgateway.backends.relay import RestRelay as Relaying
from mcpgateway.backends.relay import Sent
from mcpgateway.frontends.rest.operation import OperationAnswer, OperationRequest
from mcpgateway.hub.dispatch import Switchboard

SLASHES = 6  # in front of what is passed on: /api/v1/servers/NAME/rest/


@frozen
class RelayRoutes:
    """Passes requests on to the address that a server's entry names."""

    _switchboard: Switchboard
    _relaying: Relaying

    async def pass_on(self, asked: OperationRequest) -> Any:
        """Pass one on; what comes back is the service's own answer."""
        server = self._switchboard.server(asked.path["name"])
        target: bytes = asked.request.uri  # as it came: what is encoded stays so
        way, _, query = target.partition(b"?")
        path = way.split(b"/", SLASHES)[SLASHES]
        exchange = asked.exchange
        sent = Sent(exchange.method.decode("ascii"), path, query, exchange.headers, asked.body)
        found = await self._relaying.pass_on(server, sent)
        headers = dict(found.headers)
        media = headers.pop("Content-Type", "application/octet-stream")
        return OperationAnswer(found.status, headers=headers, body=found.body, media=media)
