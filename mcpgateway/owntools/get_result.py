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
from mcpgateway.owntools.tool import READ, Access, argument, define_tool
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
        "Parts of a cut result; gateway_describe tells of more ways.",
        {
            "ref": argument("From the result"),
            "path": argument("JSONPath of a part"),
            "grep": argument("Lines with this text; | .* ^ $ work"),
            "offset": argument("The first item or character", "integer"),
            "limit": argument("Items, 50 at most", "integer"),
            "fields": argument("Only these members of each item", "array", items={"type": "string"}),
            "search": argument("Items and lines with this text, in any case"),
            "context": argument("Lines around each line of grep", "integer"),
            "head": argument("So many lines or items at the beginning", "integer"),
            "tail": argument("So many at the end", "integer"),
            "shape": argument("The structure in the place of the value", "boolean"),
            "aggregate": argument('"count", "group:<field>" or "distinct:<field>" in the place of items'),
            "raw": argument("The text as its server wrote it, also where it is JSON", "boolean"),
            "format": argument("table: each name of a member once", enum=["json", "table"]),
        },
        ["ref"],
        readOnlyHint=True,
    )

    def call(self, request: Request, given: Envelope, access: Access) -> None:
        """Answer with the page; as a table if the call requests one."""
        from mcpgateway.truncation.queries import read_query  # loaded on the first use

        given = arguments.checked(self.definition, given)
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
