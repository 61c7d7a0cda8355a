"""The catalogue: servers that can be installed by name."""

from __future__ import annotations

from typing import Any

from attrs import frozen

from mcpgateway.config.document import printable
from mcpgateway.errors import InvalidParams
from mcpgateway.frontends.rest.operation import OperationRequest, number
from mcpgateway.manage.catalog import CatalogOperations
from mcpgateway.manage.tools.tool import GLOBAL

EXPECTED = 'such as {"values": {"directory": "/home/me/notes", "API_KEY": "..."}, "name": "notes"}'
KNOWN = frozenset(("values", "name", "prefer", "scope"))
LIMIT, MOST = 20, 100


@frozen
class CatalogRoutes:
    """The operations on the catalogue."""

    _catalog: CatalogOperations

    async def search(self, asked: OperationRequest) -> Any:
        """Return the servers that match a query, or all recipes without one."""
        limit = min(number("limit", asked.query.get("limit", str(LIMIT))), MOST)
        found = await self._catalog.search(asked.query.get("q", ""), limit)
        return {"items": [each.shown() for each in found.entries], "problem": found.problem}

    async def install(self, asked: OperationRequest) -> Any:
        """Install a server by its name, with the inputs that it needs."""
        body = asked.json_object(EXPECTED) if asked.body.strip() else {}
        values = body.get("values", {})
        name, prefer = body.get("name", ""), body.get("prefer", "")
        if body.get("scope", GLOBAL) != GLOBAL:
            raise InvalidParams(
                f'"scope" is {GLOBAL} here, which is also what it is without it',
                "the tool gateway_install_server writes into the file of a project",
            )
        if unknown := body.keys() - KNOWN:
            raise InvalidParams(f"{printable(min(unknown))[:100]} is no key of an installation", EXPECTED)
        if not isinstance(values, dict) or not isinstance(name, str) or not isinstance(prefer, str):
            raise InvalidParams('"values" is an object, "name" and "prefer" are texts', EXPECTED)
        inputs = {key: each if isinstance(each, list) else [each] for key, each in values.items()}
        if not all(isinstance(each, str) for several in inputs.values() for each in several):
            raise InvalidParams('each of "values" is a text, or a list of texts', EXPECTED)
        done, recipe = await self._catalog.install(asked.path["name"], inputs, name, prefer, asked.principal)
        plan = done.plan
        return {"server": plan.name, "file": plan.file, "tools": list(done.tools), "quirks": recipe.quirks}
