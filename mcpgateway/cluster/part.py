"""The parts of a node."""

from __future__ import annotations

from twisted.internet.defer import Deferred, succeed


class NodePart:
    """A part of a node that agrees with other nodes through the store; a subclass has those of the methods it needs."""

    def begin(self) -> None:
        """Begin, once the reactor runs."""

    def tick(self) -> None:
        """Do the work of one second."""

    def heard(self, message: str) -> None:
        """Take the message of another node, by NOTIFY; messages can be lost."""

    def close(self) -> Deferred[None]:
        """End; fires when the store knows."""
        return succeed(None)

    def pause(self) -> Deferred[None]:
        """End in this program: the next one of this process goes on as the same node."""
        return self.close()
