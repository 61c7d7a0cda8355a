"""What the shim has to know of a line from its client, and of the session that its client has."""

from __future__ import annotations

from mcpgateway.shim import jsontext
from mcpgateway.shim.headers import header

ENVELOPE_VERSION = "io.modelcontextprotocol/protocolVersion"
INITIALIZE = "initialize"
INITIALIZED = "notifications/initialized"
CANCELLED = "notifications/cancelled"
LISTEN = "subscriptions/listen"
# What may be sent twice.
REPEATABLE = frozenset(
    (
        INITIALIZE,
        INITIALIZED,
        "ping",
        "server/discover",
        "tools/list",
        "prompts/list",
        "resources/list",
        "resources/templates/list",
    )
)


class Line:
    """One line from the client.

    :ivar text: as it goes to the gateway.
    :ivar method: empty for a response, and for a batch.
    :ivar ids: of the requests in it, as text of JSON.
    :ivar is_question: somebody waits for an answer.
    :ivar is_repeatable: nothing happens twice when it is sent twice; of two answers to one question the gateway takes
        the first.
    :ivar version: the revision that its envelope names; empty in the legacy era.
    :ivar target: the request that it calls off.
    """

    __slots__ = ("ids", "is_question", "is_repeatable", "method", "target", "text", "version")

    def __init__(self, text: bytes) -> None:
        message = jsontext.decoded(text)
        self.text = text
        self.method = jsontext.text_of(message, "method")
        self.version = jsontext.text_of(message, "params", "_meta", ENVELOPE_VERSION)
        self.target: str | None = None
        members = message if isinstance(message, list) else [message]
        self.ids = [each for each in map(_asked, members) if each is not None]
        # What cannot be answered under an id of its own is refused by the gateway, under none.
        self.is_question = bool(self.ids) or not isinstance(message, dict) or _has_odd_id(message)
        is_answer = isinstance(message, dict) and "method" not in message
        self.is_repeatable = self.method in REPEATABLE or is_answer
        if self.method == CANCELLED and isinstance(message, dict):
            params = message.get("params")
            target = params.get("requestId") if isinstance(params, dict) else None
            self.target = jsontext.identifier({"id": target})

    @property
    def is_first_of_session(self) -> bool:
        """Whether it begins a session of the legacy era."""
        return self.method == INITIALIZE and self.is_question and not self.version


def _asked(message: object) -> str | None:
    if isinstance(message, dict) and "method" in message:
        return jsontext.identifier(message)
    return None


def _has_odd_id(message: dict[str, object]) -> bool:
    return "id" in message and jsontext.identifier(message) is None


class Session:
    """The client's session of the legacy era.

    :ivar hello: its `initialize`, once that has been answered.
    :ivar initialized: its `notifications/initialized`.
    :ivar id: what the gateway calls it.
    :ivar version: the revision that was agreed on.
    """

    def __init__(self) -> None:
        self.hello: Line | None = None
        self.initialized: Line | None = None
        self.id = b""
        self.version = b""

    def begun(self, hello: Line, identifier: bytes, answer: bytes) -> None:
        """The gateway has answered an `initialize`."""
        try:
            version = jsontext.text_of(jsontext.glanced(answer), "result", "protocolVersion")
        except jsontext.Unreadable:
            version = ""
        if version:
            self.hello = hello
            self.version = version.encode(errors="replace")
            self.id = identifier

    def headers(self) -> list[bytes]:
        """What its requests say of it."""
        return header(b"Mcp-Session-Id", self.id) + header(b"MCP-Protocol-Version", self.version)
