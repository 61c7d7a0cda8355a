"""What can go wrong, in the words a person is shown.

Three families say whose fault it is.  Each class carries the JSON-RPC code it is answered with and
whether the caller can hope for better by trying again.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any


class GatewayError(Exception):
    """Something went wrong on the way of a call; ``str()`` is the sentence for the caller.

    :cvar code: the JSON-RPC error code (JSON-RPC 2.0 section 5.1; MCP SDK practice for -32000 ff.).
    :cvar retryable: true when the same call may succeed later.
    :ivar data: what a program may want to know beside the sentence; None when there is nothing.
    """

    code = -32603
    retryable = False

    def __init__(self, message: str, hint: str = "", data: dict[str, Any] | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.data = data


class CallerError(GatewayError):
    """The caller asked badly."""

    code = -32600


class ParseError(CallerError):
    """The body is not JSON."""

    code = -32700


class MalformedMessage(CallerError):
    """The body is JSON, but not a JSON-RPC message this endpoint takes."""


class InvalidParams(CallerError):
    """The parameters of a known method are wrong."""

    code = -32602


class Taken(InvalidParams):
    """There is something else of that name already."""


class MissingEnvelope(InvalidParams):
    """A request of the modern era does not say what every one of them has to."""


class UnsupportedVersion(CallerError):
    """The request speaks a protocol revision that is not served here."""

    code = -32000


class HeaderMismatch(CallerError):
    """A header that repeats a part of the body is missing, or says something else (MCP 2026-07-28)."""

    code = -32020


class UnservedRevision(CallerError):
    """The request is of a revision that is not served; the error names those that are (MCP 2026-07-28)."""

    code = -32022

    def __init__(self, requested: str, supported: Iterable[str]) -> None:
        super().__init__(
            f"Unsupported protocol version: {requested}",
            data={"supported": list(supported), "requested": requested},
        )


class MissingCapability(CallerError):
    """A request needs a capability that its client does not declare (MCP 2026-07-28)."""

    code = -32021

    def __init__(self, message: str, required: dict[str, Any]) -> None:
        super().__init__(message, data={"requiredCapabilities": required})


class UnknownMethod(CallerError):
    """Nobody here serves that method."""

    code = -32601


class UnknownServer(CallerError):
    """No server of that name is configured."""

    code = -32601


class NotThere(CallerError):
    """There is no such tool, or no such result."""


class Conflict(CallerError):
    """What is asked for is in the way of what is there."""


class Outdated(CallerError):
    """What is to be changed is not any more what its caller believes it is."""


class NeedsCondition(CallerError):
    """What is to be replaced has to be named, so that nobody's change is lost unseen."""


class NotEntitled(CallerError):
    """The caller may do a part of this, but not all of it."""


class UnknownSession(CallerError):
    """The session id is not one of ours, or its session has ended."""

    code = -32001


class SessionRequired(CallerError):
    """The server keeps state per session, so a request must name one."""

    code = -32000


class Refused(CallerError):
    """The request may not be served to this caller."""

    code = -32000


class OutOfScope(Refused):
    """The caller's token is not for this."""


class ClientGone(CallerError):
    """A server asked a client that is not there any more."""

    code = -32000


class UserDeclined(CallerError):
    """A server needs its user to do something, and the user does not want to."""

    code = -32000


class QuestionRefused(CallerError):
    """A server asked its client for something that the client never offered."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


class Cancelled(CallerError):
    """The caller cancelled the call (the number is the one the Python SDK answers with)."""

    code = -32800


class BackendError(GatewayError):
    """The server behind the gateway could not answer."""


class LaunchFailed(BackendError):
    """The server's program could not be started."""

    retryable = True


class HandshakeFailed(BackendError):
    """The server started, but did not complete the MCP handshake."""

    retryable = True


class HandshakeLate(HandshakeFailed):
    """The server started, and did not answer the first words in time."""


class HandshakeRefused(HandshakeFailed):
    """The server answered the first words with an error, or with something that is no answer to them."""


class Unreachable(BackendError):
    """Nothing answers at the server's address."""

    retryable = True


class SwitchedOff(BackendError):
    """The server may not be started: an operator has disabled it, or it failed too often."""


class NeedsAuthorization(BackendError):
    """The server wants its user to let the gateway in first."""


class NeedsApproval(BackendError):
    """The server is defined by a repository, and its user has not approved of that."""


class BackendGone(BackendError):
    """The server ended while the call was under way; the call is never replayed."""

    retryable = True


class BackendTimeout(BackendError):
    """The server did not answer within the configured time."""

    code = -32001
    retryable = True


class BadReply(BackendError):
    """The server answered with something that is not JSON-RPC."""


class GatewayFault(GatewayError):
    """The gateway itself is at fault, full or going away."""


class Overloaded(GatewayFault):
    """A bound was reached; the call was not sent."""

    retryable = True


class ShuttingDown(GatewayFault):
    """The gateway is stopping and takes no new calls."""

    retryable = True


class ClientFilesFailed(GatewayFault):
    """What was to be done with clients' own files was not done."""


class ConfigError(GatewayError):
    """A configuration file cannot be used: the text names file, line, key, what was found and what is allowed."""


class Unfit(ConfigError):
    """What is to be written into a configuration file may not stand there, or could not be used."""


class NotOurs(ConfigError):
    """What is to be changed stands where the gateway changes nothing, at least for now."""
