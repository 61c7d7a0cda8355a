"""The views and their lists, and the profiles."""

from __future__ import annotations

from typing import Any

from attrs import frozen

from mcpgateway.config.edit.conditions import read_condition
from mcpgateway.errors import InvalidParams
from mcpgateway.frontends.rest.operation import OperationAnswer, OperationRequest, number
from mcpgateway.manage.views import CLIENTS_MOST, EXPECTED, ViewOperations


@frozen
class ViewRoutes:
    """The operations on views and profiles."""

    _views: ViewOperations

    async def listed(self, asked: OperationRequest) -> Any:
        """Return all views, or one with the names of its listed tools."""
        name, most = asked.query.get("view", ""), _most(asked)
        return {"items": [self._views.shown(name, most)] if name else self._views.listed(most)}

    async def profiles(self, _: OperationRequest) -> Any:
        """Return all profiles."""
        return {"items": self._views.profiles()}

    async def put(self, asked: OperationRequest) -> OperationAnswer:
        """Create or change a profile."""
        name = asked.path["profile"]
        condition = read_condition(asked.header("if-match"), asked.header("if-none-match"))
        made = self._views.put(name, asked.json_object(EXPECTED), condition)
        return OperationAnswer(201 if made.is_new else 200, made.shown, {"etag": made.tag})

    async def delete(self, asked: OperationRequest) -> Any:
        """Delete a profile."""
        name = asked.path["profile"]
        self._views.delete(name, read_condition(asked.header("if-match"), None))
        return {"deleted": name}


def _most(asked: OperationRequest) -> int | None:
    client, most = asked.query.get("client", ""), asked.query.get("most")
    if client and client not in CLIENTS_MOST:
        raise InvalidParams(f'"client" is one of {", ".join(CLIENTS_MOST)}', "or say ?most=NUMBER")
    return max(0, number("most", most)) if most is not None else CLIENTS_MOST.get(client)
