"""What a slot tells of its child's life."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from mcpgateway.config.model import ServerSpec
    from mcpgateway.errors import GatewayError
    from mcpgateway.interfaces import Gone, Launch


class Watch(Protocol):
    """Who is told of the life of one slot's child, and may object to its start."""

    def refusal(self) -> GatewayError | None:
        """Why it may not be started now; None where it may."""

    def becomes(self, server: ServerSpec) -> None:
        """Its entry is another now, for which it need not be replaced."""

    def starting(self) -> None:
        """It is about to be started."""

    def launching(self, launch: Launch) -> None:
        """It is started like this."""

    def ready(self) -> None:
        """It has done its handshake."""

    def failed(self, why: GatewayError) -> None:
        """It could not be started, or failed its handshake."""

    def ended(self, why: Gone) -> None:
        """It has ended."""

    def stopping(self) -> None:
        """It is being stopped on purpose."""
