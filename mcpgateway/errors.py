"""The errors of the gateway, in the words that users are shown.

Three families distinguish faults of the caller, of a server and of the gateway.  Each class has the JSON-RPC code of
its answer, and tells whether another try may succeed.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeVar

from mcpgateway.hints import cli


class GatewayError(Exception):
    """An error on the path of a request; ``str()`` is the sentence for the caller.

    :cvar code: the JSON-RPC error code (JSON-RPC 2.0 section 5.1; MCP SDK practice for -32000 ff.).
    :cvar retryable: true when the same call may succeed later.
    :cvar remedy: the usual remedy, true wherever the error is raised.
    :ivar hint: the remedy in this case; empty where no better one than the usual is known.
    :ivar data: details for programs; None for none.
    """

    code = -32603
    retryable = False
    remedy = (
        f"{cli('doctor')} looks for what is wrong, and the gateway's logs/gateway.log says what has happened"
    )

    def __init__(self, message: str, hint: str = "", data: dict[str, Any] | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.data = data

    @property
    def advice(self) -> str:
        """The remedy: the hint, or else the usual one; never empty."""
        return self.hint or self.remedy


AnyError = TypeVar("AnyError", bound=GatewayError)


def of_server(name: str, text: str) -> str:
    """Return a sentence about a server, with its name before it, once."""
    return text if text.startswith(f"{name}: ") else f"{name}: {text}"


def named(name: str, why: AnyError) -> AnyError:
    """Return an error of a server with its name before the message, once."""
    return type(why)(of_server(name, why.message), why.hint, why.data)


def without_name(name: str, text: str) -> str:
    """Return a sentence about a server without its name before it."""
    return text.removeprefix(f"{name}: ")


class CallerError(GatewayError):
    """The request is at fault."""

    code = -32600
    remedy = "correct the request: GET /api/v1/openapi.json describes all of them"


class ParseError(CallerError):
    """The body is not JSON."""

    code = -32700
    remedy = "send a text that is JSON"


class MalformedMessage(CallerError):
    """The body is JSON, but not a JSON-RPC message this endpoint takes."""

    remedy = 'send one JSON-RPC 2.0 message: {"jsonrpc": "2.0", "id": 1, "method": "ping"}'


class InvalidParams(CallerError):
    """The parameters of a known method are wrong."""

    code = -32602
    remedy = "correct the arguments: the description of what is asked says which it takes"


class ToolOff(InvalidParams):
    """The configuration takes the requested tool out of its server's offer.

    :param profile: the profile whose endpoint is without the tool; empty if the server does not offer it at all.
    """

    def __init__(self, server: str, tool: str, profile: str = "") -> None:
        key = f"profiles.{profile}.tools_off" if profile else f"servers.{server}.tools_off"
        hint = (
            f"{cli('config set {}', f'{key}=[...]')} says which tools are"
            if profile
            else f"{cli('tools on {}', f'{server}__{tool}')} offers it again"
        )
        super().__init__(f"{tool} of {server} is switched off by {key}", hint)


class ToolHeld(InvalidParams):
    """The requested tool is held back, because its definition has changed without an upgrade of its server.

    :param change: the change, in words.
    """

    def __init__(self, server: str, tool: str, change: str) -> None:
        hint = f"{cli('servers approve {} {}', server, tool)} shows the change, and lets you approve it"
        super().__init__(
            f"{tool} of {server} is held back, since no upgrade explains its change: {change}", hint
        )


class NameTaken(InvalidParams):
    """The requested name is in use."""

    remedy = "choose another name, or change the one that is there"


class MissingEnvelope(InvalidParams):
    """A request of the modern era lacks members that every one must have."""

    remedy = "say the revision, the client and its capabilities in _meta of the parameters, as MCP 2026-07-28 has it"


class UnsupportedVersion(CallerError):
    """The request speaks a protocol revision that is not served here."""

    code = -32000
    remedy = "speak a revision that initialize agrees to"


class HeaderMismatch(CallerError):
    """A header that repeats a part of the body is missing, or contradicts it (MCP 2026-07-28)."""

    code = -32020
    remedy = "send the header that says what the body says, as MCP 2026-07-28 has it"


class UnservedRevision(CallerError):
    """The request is of a revision that is not served; the error names the served ones (MCP 2026-07-28)."""

    code = -32022
    remedy = 'speak one of the revisions in "supported"'

    def __init__(self, requested: str, supported: Iterable[str]) -> None:
        super().__init__(
            f"Unsupported protocol version: {requested}",
            data={"supported": list(supported), "requested": requested},
        )


class MissingCapability(CallerError):
    """A request needs a capability that its client does not declare (MCP 2026-07-28)."""

    code = -32021
    remedy = "declare the capability that is named, or do without what needs it"

    def __init__(self, message: str, required: dict[str, Any]) -> None:
        super().__init__(message, data={"requiredCapabilities": required})


class UnknownMethod(CallerError):
    """No server here has the requested method."""

    code = -32601
    remedy = "ask for what the capabilities in the answer to initialize offer"


class UnknownServer(CallerError):
    """No server of that name is configured."""

    code = -32601
    remedy = f"{cli('servers list')} names the servers there are"


class NotThere(CallerError):
    """The requested tool, result or other object does not exist."""

    remedy = "list what there is, and ask for something of that"


class Conflict(CallerError):
    """The request conflicts with an existing object."""

    remedy = "look at what is there, and change that or ask for something else"


class Outdated(CallerError):
    """The definition has changed since the caller read it."""

    remedy = "read it once more, and change what it is now"


class NeedsCondition(CallerError):
    """The edit must name the definition that it replaces, so that no other edit is lost."""

    remedy = "send If-Match with the ETag of what is to be replaced"


class NotEntitled(CallerError):
    """The caller may do a part of the request, but not all of it."""

    remedy = "ask with a credential that may do all of it, or over the Unix socket of the gateway"


class TooManyAttempts(CallerError):
    """Too many wrong secrets have come from the caller's address."""

    remedy = "wait a minute"


class UnknownSession(CallerError):
    """The session id is unknown, or its session has ended."""

    code = -32001
    remedy = "begin a session with initialize, and send its Mcp-Session-Id from then on"


class SessionRequired(CallerError):
    """The server keeps state per session, so a request must name one."""

    code = -32000
    remedy = "begin a session with initialize, and send its Mcp-Session-Id from then on"


class Refused(CallerError):
    """The request may not be served to this caller."""

    code = -32000
    remedy = f"ask with a credential that may: {cli('token list')} says what each is for"


class OutOfScope(Refused):
    """The scope of the caller's token does not include the request."""


class AboveTier(OutOfScope):
    """The requested tool does more than the caller's token, or the profile, allows.

    :param tier: the tier of the tool.
    :param limit: the highest tier that is allowed.
    :param profile: the profile of the limit; empty for the token.
    """

    def __init__(self, server: str, tool: str, tier: str, limit: str, profile: str = "") -> None:
        who = f"clients of the profile {profile}" if profile else "this token"
        super().__init__(
            f"{who} may not call {tool} of {server}: its tier is {tier}, and {limit} is the highest allowed",
            "tools/list names the tools that may be called",
        )


class ClientGone(CallerError):
    """A server asked a client that has gone."""

    code = -32000
    remedy = "begin a session anew"


class UserDeclined(CallerError):
    """A server needs its user to act, and the user declines."""

    code = -32000
    remedy = "ask the user what is to be done instead"


class QuestionRefused(CallerError):
    """A server asked its client for something that the client never offered."""

    remedy = "declare the capability at initialize, or do without what asks for it"

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


class Cancelled(CallerError):
    """The caller cancelled the call (the number is the one the Python SDK answers with)."""

    code = -32800
    remedy = "call again if the answer is still wanted"


class BackendError(GatewayError):
    """The server behind the gateway could not answer."""

    remedy = f"{cli('why SERVER')} says what is wrong with a server, and what helps"


class LaunchFailed(BackendError):
    """The server's program could not be started."""

    retryable = True


class HandshakeFailed(BackendError):
    """The server started, but did not complete the MCP handshake."""

    retryable = True


class HandshakeLate(HandshakeFailed):
    """The server started, and did not answer the handshake in time."""


class NotAServer(HandshakeFailed):
    """The program started, and is no MCP server."""


class HandshakeRefused(HandshakeFailed):
    """The server answered the handshake with an error, or with an invalid message."""


class SharedOtherwise(BackendError):
    """The child that a request waits for is not shared after all: the request is sent to another."""

    retryable = True


class Unreachable(BackendError):
    """The server's address does not answer."""

    retryable = True


class Unavailable(Unreachable):
    """The server answers that it is unavailable now."""


class SwitchedOff(BackendError):
    """The server may not be started: it is switched off, or it failed too often."""

    remedy = f"{cli('why SERVER')} says who has switched it off, and how it is switched on"


class NeedsAuthorization(BackendError):
    """The server wants an authorization that the gateway does not have."""

    remedy = f"let its user open the address that is named; {cli('why SERVER')} names it, too"


class NeedsLogin(NeedsAuthorization):
    """The server wants its user to sign in first; ``data["url"]`` is the URL for that."""

    @property
    def url(self) -> str:
        """The URL of the sign-in."""
        return str((self.data or {}).get("url", ""))

    @property
    def plain(self) -> str:
        """The sentence without the URL, which is for the user alone."""
        return self.message.partition(": open ")[0]

    @property
    def server(self) -> str:
        """The server's name."""
        return str((self.data or {}).get("server", ""))

    def __str__(self) -> str:
        return self.plain  # texts that are written anywhere have other readers, too


class SignInElicited(NeedsLogin):
    """The client is to send its user to the sign-in that a server wants (MCP 2025-11-25, URL elicitation)."""

    code = -32042

    def __init__(self, why: NeedsLogin, identifier: str) -> None:
        sent = {
            "mode": "url",
            "elicitationId": identifier,
            "url": why.url,
            "message": f"{why.server} wants you to sign in.",
        }
        super().__init__(why.message, why.hint, {**(why.data or {}), "elicitations": [sent]})


class NeedsApproval(BackendError):
    """A repository defines the server, and the user has not approved its file."""

    remedy = f"{cli('config approve FILE')} lets the servers of a repository run"


class BackendGone(BackendError):
    """The server ended while the call was under way; the call is never replayed."""

    retryable = True
    remedy = "call again: it is started anew; the call may have had effects"


class BackendTimeout(BackendError):
    """The server did not answer within the configured time."""

    code = -32001
    retryable = True
    remedy = f"give it more time, or look at it with {cli('why SERVER')}; the call may have had effects"


class BadReply(BackendError):
    """The server answered with something that is not JSON-RPC."""


class GatewayFault(GatewayError):
    """The gateway itself is at fault, overloaded or stopping."""


class Overloaded(GatewayFault):
    """A bound was reached; the call was not sent."""

    retryable = True
    remedy = "try again in a moment"


class StoreLost(GatewayFault):
    """The store of the cluster does not answer.

    :ivar why: the reason, for the log.
    """

    retryable = True
    remedy = "try again in a moment: what needs the store of the cluster waits until that is back"

    def __init__(self, why: str = "it is gone", what: str = "") -> None:
        super().__init__(what or "The store of the cluster cannot be reached")
        self.why = why


class StoreRefused(StoreLost):
    """The store of the cluster is not for this node: it has another key, is too old, or its user lacks rights."""

    retryable = False

    def __init__(self, why: str, hint: str = "") -> None:
        super().__init__(why, f"This gateway does not join the cluster: {why}")
        self.hint = hint


class ShuttingDown(GatewayFault):
    """The gateway is stopping and takes no new calls."""

    retryable = True
    remedy = "try again in a moment: a gateway that begins anew is back by then"


class ClientFilesFailed(GatewayFault):
    """A change of clients' files has failed."""

    remedy = f"{cli('clients plan')} says what is in the way in clients' files"


class ConfigError(GatewayError):
    """A configuration file cannot be used: the text names file, line, key, what was found and what is allowed."""

    remedy = f"{cli('config check')} lists all that is wrong"


class Unfit(ConfigError):
    """The edit of a configuration file is not allowed, or would make the file invalid."""

    remedy = f"{cli('config explain KEY')} says what a key is for, and what it takes"


class NotOurs(ConfigError):
    """The definition is in a file that the gateway does not change, at least for now."""

    remedy = "change it where it is defined"


class Misplaced(ConfigError):
    """A foreign file is in the place of one of the gateway's own files or directories."""

    remedy = "take it away: the gateway makes its own"
