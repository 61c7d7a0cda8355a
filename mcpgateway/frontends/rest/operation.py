"""The request of an operation of the control plane, and its answers other than JSON."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any

import msgspec
from attrs import define, field, frozen
from msgspec import Raw
from twisted.internet.defer import Deferred
from twisted.web.iweb import IRequest

from mcpgateway.errors import GatewayError, InvalidParams
from mcpgateway.frontends.http.routes import Route
from mcpgateway.frontends.http.workspace_detection import is_admin
from mcpgateway.policy.access import RouteClass
from mcpgateway.protocol import jsonrpc

Run = Callable[[IRequest], Deferred[None]]


LAST_ID = "last-event-id"
FLAGS = {"": True, "1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}


@frozen
class OperationAnswer:
    """An answer that is more than a value with status 200.

    :ivar value: becomes JSON.
    :ivar body: bytes that are sent in place of the value.
    """

    status: int = 200
    value: Any = None
    headers: Mapping[str, str] = field(factory=dict)
    body: bytes | None = None
    media: str = "application/json"


@frozen
class Feed:
    """An answer of indefinite length, such as an event stream.

    :ivar run: writes to the request until the stream ends; cancelled when the client disconnects.
    """

    run: Run
    media: str = "text/event-stream"


@define(eq=False, repr=False, slots=False)
class OperationRequest:
    """A request to an operation.

    :ivar path: the values of the placeholders in the route's path.
    :ivar exchange: the HTTP exchange below `twisted.web`, with its caller.
    """

    request: Any = field(repr=False)
    route: Route
    path: Mapping[str, str]
    # Kept, since the request of a client that has disconnected has no channel any more.
    exchange: Any = field(init=False, repr=False)

    @exchange.default
    def _of_channel(self) -> Any:
        return self.request.channel.exchange

    @property
    def principal(self) -> str:
        """The principal of the request."""
        found: str = self.exchange.route.principal
        return found

    @property
    def judged(self) -> RouteClass:
        """The verdict of the guard."""
        found: RouteClass = self.exchange.route.target.route
        return found

    @property
    def is_admin(self) -> bool:
        """True if the request has admin rights."""
        return is_admin(self.exchange)

    @cached_property
    def query(self) -> dict[str, str]:
        """The parameters of the query; the values of a repeated one are joined by commas, as lists are written."""
        return {
            name.decode(errors="replace"): b",".join(values).decode(errors="replace")
            for name, values in self.request.args.items()
        }

    def header(self, name: str) -> str | None:
        """Return a header of the request; None if it has none of that name."""
        found: bytes | None = self.exchange.headers.get(name.lower().encode())
        return None if found is None else found.decode("latin-1")

    @cached_property
    def body(self) -> bytes:
        """The body, as received."""
        found: bytes = self.request.content.read()
        return found

    def members(self, expected: str = "") -> Mapping[str, Raw]:
        """Return the members of the JSON object in the body, undecoded; none for an empty body.

        :param expected: description of a valid body, for the error.
        :raise InvalidParams: the body is no JSON object.
        """
        try:
            return jsonrpc.decode(self.body) if self.body.strip() else {}
        except GatewayError:
            raise InvalidParams("the body: expected a JSON object", expected) from None

    def json_object(self, expected: str = "") -> dict[str, Any]:
        """Return the JSON object in the body, decoded.

        :param expected: description of a valid body, for the error.
        :raise InvalidParams: the body is no JSON object.
        """
        try:
            found = msgspec.json.decode(self.body)
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            found = None
        if not isinstance(found, dict):
            raise InvalidParams("the body: expected a JSON object", expected)
        return found


def number(name: str, text: str) -> int:
    """Return a whole number from a query.

    :raise InvalidParams: the text is no whole number.
    """
    if not (text.isascii() and text.isdigit() and len(text) < 16):
        raise InvalidParams(f'"{name}" must be a whole number')
    return int(text)


def flag(asked: OperationRequest, name: str, *, usual: bool = True) -> bool:
    """Return a truth value from a query.

    :param usual: its value where the query does not have it.
    :raise InvalidParams: the text is neither true nor false.
    """
    text = asked.query.get(name)
    if text is None:
        return usual
    if text.lower() not in FLAGS:
        raise InvalidParams(f'"{name}" must be true or false')
    return FLAGS[text.lower()]
