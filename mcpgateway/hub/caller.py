"""The caller of a modern request, in which the client describes itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attrs import field, frozen
from msgspec import Struct

from mcpgateway.config.model import ServerSpec
from mcpgateway.protocol.jsonrpc import Envelope


@frozen
class ModernClient:
    """The description of a client in its request.

    :ivar meta: the members of its ``_meta`` that describe the client.
    :ivar key: equal for clients with the same name and the same capabilities.
    """

    meta: Envelope = field(eq=False, repr=False)
    key: bytes


class Caller(Struct):
    """The caller of a modern request.

    :ivar server: the server or the view of the endpoint, or the server to which a view passes the request.
    :ivar principal: the principal of the request.
    :ivar connection: the other end of its connection.
    :ivar pid: the process id that the request names, or None.
    :ivar headers: the HTTP headers; None if the client could not send those that repeat the body.
    :ivar has_tried: true if the request was submitted before, to a server that had changed its era.
    :ivar has_state: true if its state has been unwrapped.
    :ivar info: the client's own name and version, as JSON; empty if unknown.
    :ivar client: the client's description, if a list may depend on it; else None.
    """

    server: ServerSpec
    principal: str
    connection: Any
    pid: int | None = None
    headers: Mapping[bytes, bytes] | None = None
    has_tried: bool = False
    has_state: bool = False
    client: ModernClient | None = None
    info: bytes = b""
