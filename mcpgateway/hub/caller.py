"""Who sends a request of the modern era, which says everything of itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attrs import define, field, frozen

from mcpgateway.config.model import ServerSpec
from mcpgateway.protocol.jsonrpc import Envelope


@frozen
class ModernClient:
    """What a request says of its client.

    :ivar meta: the members of its ``_meta`` that say so.
    :ivar key: the same for clients that can do the same and have one name.
    """

    meta: Envelope = field(eq=False, repr=False)
    key: bytes


@define
class Caller:
    """Who sends a request, and how.

    :ivar server: where its request goes: the endpoint that it has named, or the server that this stands for.
    :ivar connection: the other end of its connection.
    :ivar pid: the process that it says it is, or None.
    :ivar has_tried: it was brought to its server before, and that had changed its era.
    :ivar has_state: the state that it brings has been taken.
    :ivar client: what it says of itself, where a list may depend on that; None where it says nothing.
    :ivar headers: those of its request; None where it could not send the ones that repeat the body.
    """

    server: ServerSpec
    principal: str
    connection: Any
    pid: int | None = None
    headers: Mapping[bytes, bytes] | None = None
    has_tried: bool = False
    has_state: bool = False
    client: ModernClient | None = None
