"""What an endpoint for all servers shows to those who work in one place, and what stands behind each name.

A view is shared by all sessions it looks the same to.  It holds no processes and no sessions: it is a look at what the
librarian knows, made anew when that has changed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from attrs import frozen
from msgspec import Raw

from mcpgateway.catalog import naming, uris
from mcpgateway.catalog.exposure import Exposure, Listing, More, definition, listing
from mcpgateway.catalog.records import Item, Kind
from mcpgateway.config.model import ServerSpec
from mcpgateway.errors import GatewayError
from mcpgateway.hub.librarian import Librarian

if TYPE_CHECKING:
    from mcpgateway.hub.builtin.builtin import Builtin, Tool

ADMIN = "admin"


class View:
    """One endpoint, as it looks from one place.

    :ivar spec: the view's own entry; `ServerSpec.view` says what kind it is.
    :ivar servers: the servers it shows, by name, as they are run for that place.
    :ivar told: what a child of the client's own is told of it, by server; see `mcpgateway.hub.librarian`.
    """

    def __init__(
        self,
        spec: ServerSpec,
        servers: Mapping[str, ServerSpec],
        librarian: Librarian,
        told: Mapping[str, str],
        exposure: Exposure,
        builtin: Callable[[], Builtin] | None,
    ) -> None:
        self.spec = spec
        self.servers = servers
        self.told = told
