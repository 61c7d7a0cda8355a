"""The prompt, and the Unix socket that serves it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from twisted.conch.insults.insults import ServerProtocol
from twisted.conch.manhole import ColoredManhole
from twisted.internet.interfaces import IAddress
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure

CONNECTIONS = 4  # one for a user, and another while the first hangs
Namespace = Callable[[], Mapping[str, Any]]


class Shell(ColoredManhole):
    """A prompt for one user.

    :ivar way: the transport of the login, for the log.
    """

    log = Logger()
    way = "the Unix socket"

    def initializeScreen(self) -> None:
        """Print the names and begin a line, without clearing the screen."""
        self.log.info("a user has entered the manhole through {way}", event="manhole.entered", way=self.way)
        names = ", ".join(sorted(self.namespace or {}))
        self.terminal.write(f"There are: {names}. Ctrl-D leaves.\n".encode())
        self.terminal.write(self.ps[self.pn])
        self.setInsertMode()

    def lineReceived(self, line: bytes) -> None:
        """Run a line; ``exit()`` leaves the prompt, and does not end the gateway."""
        try:
            super().lineReceived(line)
        except SystemExit:
            self.handle_QUIT()

    def connectionLost(self, reason: Failure) -> None:
        """Log the end of the login."""
        self.log.info("a user has left the manhole", event="manhole.left")
        super().connectionLost(reason)


class ShellFactory(Factory):
    """Makes prompts for connections at the socket."""

    noisy = False

    def __init__(self, namespace: Namespace) -> None:
        self._namespace = namespace
        self._open: set[Protocol] = set()

    def buildProtocol(self, addr: IAddress | None) -> Protocol | None:
        """Return another prompt, unless too many are open."""
        if len(self._open) >= CONNECTIONS:
            return None
        return Counted(self._open, Shell, dict(self._namespace()))

    def end(self) -> None:
        """Close all logins."""
        for each in tuple(self._open):
            if each.transport is not None:
                each.transport.abortConnection()  # type: ignore[attr-defined]  # every stream transport has it


class Counted(ServerProtocol):
    """A terminal that is counted as long as it is open."""

    def __init__(self, known: set[Protocol], *words: Any) -> None:
        super().__init__(*words)
        self._known = known

    def connectionMade(self) -> None:
        """Count and log the login."""
        self._known.add(self)
        super().connectionMade()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Count the login out and log its end."""
        self._known.discard(self)
        super().connectionLost(reason)
