"""The nodes of the cluster: their list, and draining them."""

from __future__ import annotations

from typing import Any

from attrs import frozen

from mcpgateway.errors import InvalidParams
from mcpgateway.frontends.rest.operation import OperationAnswer, OperationRequest
from mcpgateway.manage.nodes.nodes import NodeOperations

EXPECTED = 'such as {"node": "b"}, or {} for this node'


@frozen
class ClusterRoutes:
    """The operations on the nodes of the cluster."""

    _nodes: NodeOperations

    async def shown(self, _: OperationRequest) -> Any:
        """Return the nodes."""
        return self._nodes.shown()

    async def drain(self, asked: OperationRequest) -> Any:
        """Drain a node, or take that back."""
        body = asked.json_object(EXPECTED) if asked.body.strip() else {}
        name, is_undone, is_forced = body.get("node", ""), body.get("undo", False), body.get("force", False)
        if not (isinstance(name, str) and isinstance(is_undone, bool) and isinstance(is_forced, bool)):
            raise InvalidParams('"node" must be a name, "undo" and "force" true or false', EXPECTED)
        return OperationAnswer(202, await self._nodes.drain(name, is_undone=is_undone, is_forced=is_forced))
