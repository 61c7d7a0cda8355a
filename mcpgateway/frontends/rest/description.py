"""The control plane's description of itself."""

from __future__ import annotations

from functools import cached_property
from typing import Any

from attrs import define

from mcpgateway.frontends.rest.operation import OperationRequest


@define(slots=False)
class DescriptionRoutes:
    """Serves the OpenAPI document, which is made for the first request."""

    @cached_property
    def _document(self) -> dict[str, Any]:
        from mcpgateway.frontends.rest.openapi import document  # few ask for it

        return document()

    async def openapi(self, _: OperationRequest) -> Any:
        """Return this API as OpenAPI 3.1."""
        return self._document
