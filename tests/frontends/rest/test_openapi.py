"""The description of the control plane."""

from __future__ import annotations

import jsonschema
from openapi_spec_validator import validate

from mcpgateway.frontends.http.routes import ROUTES
from mcpgateway.frontends.rest.openapi import document
from mcpgateway.frontends.rest.schemas import SCHEMAS
from tests.support.gateway_in_memory import MemoryGateway


class DocumentTests:
    """The OpenAPI document."""

    def test_valid(self) -> None:
        """The document is valid OpenAPI."""
        validate(document())

    def test_whole(self) -> None:
        """Every route stands in it, with an id of its own."""
        found = [each for path in document()["paths"].values() for each in path.values()]
        assert len(found) == len(ROUTES)
        assert len({each["operationId"] for each in found}) == len(ROUTES)

    def test_conditions(self) -> None:
        """Edits can be made to depend on what an entry is, and every answer that shows one says that."""
        server = document()["paths"]["/api/v1/servers/{name}"]
        assert "ETag" in server["get"]["responses"]["200"]["headers"]
        for method in ("put", "patch", "delete"):
            assert "If-Match" in {each["name"] for each in server[method]["parameters"]}

    def test_served(self) -> None:
        """A caller on this machine may read the document."""
        answer = MemoryGateway().client().ask(b"", "GET", "/api/v1/openapi.json")
        assert answer.status == 200
        assert answer.json == document()

    def test_schemas(self) -> None:
        """Every schema is one."""
        for each in SCHEMAS.values():
            jsonschema.Draft202012Validator.check_schema(each)
