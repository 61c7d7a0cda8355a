"""What an endpoint for all servers shows to those who work in one place, and what stands behind each name.

A view is shared by all sessions that it looks the same to.  It holds no processes and no sessions: it is a look at what
the librarian knows, taken anew when that has changed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from msgspec import Raw

from mcpgateway.catalog.records import Item, Kind
from mcpgateway.config.model import ServerSpec
from mcpgateway.hub.librarian import Librarian

if TYPE_CHECKING:
    from mcpgateway.hub.builtin.builtin import Builtin, Tool

ADMIN = "admin"
KINDS = {kind.method: kind for kind in Kind}


class View:
    """One endpoint, as it looks from one place.

    :ivar spec: the view's own entry; `ServerSpec.view` says of which kind it is.
    :ivar servers: the servers it shows, by name, as they are run for that place.
    :ivar told: what a client's own child is told of it, by server; see `mcpgateway.hub.librarian`.
    """

    def __init__(
        self,
        spec: ServerSpec,
        servers: Mapping[str, ServerSpec],
        told: Mapping[str, str],
        librarian: Librarian,
    ) -> None:
        self.spec = spec
        self.servers = servers
        self.told = told

    @property
    def kind(self) -> str:
        """``full``, ``search``, ``hybrid``, ``meta`` or ``admin``."""
        return self.spec.view

    def find(self, name: str) -> Item | Tool | None:
        """What is called by a name: a server's tool, one of the gateway's own, or None."""
        raise NotImplementedError

    def prompt(self, name: str) -> Item | None:
        """The prompt of a name."""
        raise NotImplementedError

    def resource(self, uri: str) -> tuple[str, str] | None:
        """The server that a resource, or a template, is of, and its own URI there."""
        raise NotImplementedError

    def shown_uri(self, server: str, uri: str) -> str:
        """How the view writes a URI of a server's."""
        raise NotImplementedError

    def listed(self, kind: Kind) -> tuple[Raw, ...]:
        """The entries of a list, as the view shows them."""
        raise NotImplementedError

    def to_ask(self, kind: Kind) -> list[ServerSpec]:
        """The servers whose list is not known, or not true any more."""
        raise NotImplementedError

    def topology(self) -> str:
        """Eight digits that change with what is listed."""
        raise NotImplementedError
