"""The configuration: its schema, its files and problems, the values that count, and the gateway's own settings."""

from __future__ import annotations

from typing import Any

from attrs import frozen

from mcpgateway.config.edit.conditions import read_condition
from mcpgateway.config.schema import json_schema
from mcpgateway.errors import InvalidParams
from mcpgateway.frontends.rest.operation import OperationAnswer, OperationRequest
from mcpgateway.manage.gateway_config import EXPECTED, GatewayConfig


@frozen
class ConfigurationRoutes:
    """The operations on the configuration as a whole."""

    _config: GatewayConfig

    async def schema(self, _: OperationRequest) -> Any:
        """Return the JSON Schema of a configuration file."""
        return json_schema()

    async def shown(self, asked: OperationRequest) -> OperationAnswer:
        """Return the files, their problems, and the values that count."""
        value = self._config.shown(asked.query.get("server", ""))
        return OperationAnswer(200, value, {"etag": self._config.tag()})

    async def patch(self, asked: OperationRequest) -> OperationAnswer:
        """Change settings of the gateway."""
        body = asked.json_object(EXPECTED)
        values, unset = body.get("set", {}), body.get("unset", [])
        if body.keys() - {"set", "unset"} or not isinstance(values, dict) or not isinstance(unset, list):
            raise InvalidParams('"set" is an object of keys and values, "unset" a list of keys', EXPECTED)
        if not (values or unset) or not all(isinstance(each, str) for each in unset):
            raise InvalidParams("nothing is to be changed", EXPECTED)
        condition = read_condition(asked.header("if-match"), None)
        changed = self._config.change(values, unset, condition)
        value = {
            "status": "updated" if changed else "unchanged",
            "changed": changed,
            "restart_needed": list(self._config.reload.state.restart),
        }
        return OperationAnswer(200, value, {"etag": self._config.tag()})
