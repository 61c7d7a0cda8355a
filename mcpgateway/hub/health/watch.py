"""The interface by which a slot reports the events of its child."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from mcpgateway.config.model import ServerSpec
    from mcpgateway.errors import GatewayError
    from mcpgateway.interfaces import Gone, Launch


class Watch(Protocol):
    """The observer of one slot's child, which may object to its start."""

    def refusal(self) -> GatewayError | None:
        """Return the error for which the child may not be started now; None where it may."""

    def replace_server(self, server: ServerSpec) -> None:
        """Use a changed entry, for which the child need not be replaced."""

    def starting(self) -> None:
        """Note the begin of a start."""

    def launching(self, launch: Launch) -> None:
        """Note the launch of the child."""

    def ready(self) -> None:
        """Note the end of the handshake: the child is ready."""

    def failed(self, why: GatewayError) -> None:
        """Note a failed start or handshake."""

    def ended(self, why: Gone) -> None:
        """Note an unexpected end of the child."""

    def stopping(self) -> None:
        """Note that the child is being stopped on purpose."""
