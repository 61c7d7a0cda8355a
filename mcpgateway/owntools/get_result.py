"""The tool that returns the parts of a shortened result."""

from __future__ import annotations

from typing import Any, ClassVar, Protocol

from attrs import define
from msgspec import Raw
from twisted.internet.defer import Deferred

from mcpgateway.errors import GatewayError, InvalidParams
from mcpgateway.interfaces import Request
from mcpgateway.owntools import answers, arguments
from mcpgateway.owntools.search import not_found
from mcpgateway.owntools.tool import READ, Access, define_tool
from mcpgateway.protocol import jsonrpc
from mcpgateway.protocol.jsonrpc import Envelope

URI = "gateway://results/"  # prefix of a reference in the URI of a resource


class ResultStore(Protocol):
    """The originals of shortened results (`mcpgateway.hub.results.originals.Vault`)."""

    def page(self, ref: str, principal: str, query: Any) -> Deferred[dict[str, Any]]:
        """Return a page of a result, with its reference first.

        :raise InvalidParams: (through the Deferred) the caller has no such result, or the result has no such part.
        """


@define(eq=False, repr=False)
class GetResult:
    """Returns a page of a shortened result, or its structure.

    :ivar vault: store of the originals; None if none are stored.
    """

    vault: ResultStore | None
    name: ClassVar[str] = "get_result"
    tier: ClassVar[str] = READ
    definition: ClassVar[bytes] = define_tool(
        "get_result",
        "Page, search or summarize a cut result; path is a JSONPath.",
        {
            "ref": {"type": "string"},
            "offset": {"type": "integer"},
            "limit": {"type": "integer"},
            "fields": {"type": "array", "items": {"type": "string"}},
            "search": {"type": "string"},
            "path": {"type": "string"},
            "grep": {"type": "string"},
            "context": {"type": "integer"},
            "head": {"type": "integer"},
            "tail": {"type": "integer"},
            "shape": {"type": "boolean"},
            "aggregate": {"type": "string"},
        },
        ["ref"],
        readOnlyHint=True,
    )

    def call(self, request: Request, given: Envelope, access: Access) -> None:
        """Answer with the page; as a table if the call requests one."""
        from mcpgateway.truncation.queries import read_query  # loaded on the first use

        ref = arguments.needed(given, "ref", "a result that was cut names it").removeprefix(URI)
        style = arguments.text(given, "format") or "json"
        if style not in ("json", "table"):
            raise InvalidParams('"format" must be json or table')
        query = read_query({name: value for name, value in given.items() if name not in ("ref", "format")})
        if self.vault is None:
            raise InvalidParams(f"Result {ref} not found or expired", "no originals are kept here")

        def show(found: dict[str, Any]) -> None:
            is_table = style == "table" and "data" in found
            answers.text(request, found | table(jsonrpc.raw(found["data"])) if is_table else found)

        self.vault.page(ref, access.principal, query).addCallback(show).addErrback(not_found, request)


def table(data: Raw) -> dict[str, Any]:
    """Return a list of objects with each name once; other data is unchanged."""
    try:
        rows = [jsonrpc.read_object(each, "item") for each in jsonrpc.read_list(data, "data")]
    except GatewayError:
        return {}
    columns = list(dict.fromkeys(name for row in rows for name in row))
    if not columns:
        return {}
    return {
        "data": {
            "columns": columns,
            "rows": [[row.get(name, jsonrpc.NULL) for name in columns] for row in rows],
        }
    }
