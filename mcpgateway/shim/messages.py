"""Lines from the client, parsed as far as the shim needs it."""

from __future__ import annotations

from mcpgateway.shim import jsontext

ENVELOPE_VERSION = "io.modelcontextprotocol/protocolVersion"
INITIALIZE = "initialize"
INITIALIZED = "notifications/initialized"
CANCELLED = "notifications/cancelled"
LISTEN = "subscriptions/listen"
ID_BEGINS = ('"', *"-0123456789")
# Methods that may be sent twice.
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

    :ivar text: the line as it is sent to the gateway.
    :ivar method: its method; empty for a response, and for a batch.
    :ivar ids: the ids of its requests, as JSON text.
    :ivar is_question: the client waits for an answer.
    :ivar is_repeatable: sending it twice has no further effect; of two answers to one question the gateway takes the
        first.
    :ivar version: the revision that its envelope names; empty in the legacy era.
    :ivar target: the id of the request that it cancels.
    :ivar number: its number among all lines of the client.
    :ivar place: its number among the lines of the connection that it was sent on.
    :ivar since: the time when it began to wait for the gateway.
    :ivar tries: the number of failed attempts to send it.
    :ivar is_silent: the shim has sent it, and its answer is not for the client.
    """

    __slots__ = (
        *("ids", "is_question", "is_repeatable", "is_silent", "method", "number", "place", "since", "target"),
        *("text", "tries", "version"),
    )

    def __init__(self, text: bytes) -> None:
        message = jsontext.decoded(text)
        self.text = text
        self.method = jsontext.text_of(message, "method")
        self.version = jsontext.text_of(message, "params", "_meta", ENVELOPE_VERSION)
        self.target: str | None = None
        self.number = self.place = self.tries = 0
        self.since = 0.0
        self.is_silent = False
        members = message if isinstance(message, list) else [message]
        self.ids = [each for each in map(_asked, members) if each is not None]
        # A request that cannot be answered under its own id is refused by the gateway, with the id null.
        self.is_question = bool(self.ids) or not isinstance(message, dict) or _has_odd_id(message)
        is_answer = isinstance(message, dict) and "method" not in message
        self.is_repeatable = self.method in REPEATABLE or is_answer
        if self.method == CANCELLED and isinstance(message, dict):
            params = message.get("params")
            target = params.get("requestId") if isinstance(params, dict) else None
            self.target = jsontext.identifier({"id": target})

    @property
    def is_first_of_session(self) -> bool:
        """True if the line begins a session of the legacy era."""
        return self.method == INITIALIZE and self.is_question and not self.version

    @property
    def is_lasting(self) -> bool:
        """True if the request is a subscription, for whose end its client does not wait."""
        return bool(self.version) and self.method == LISTEN

    def may_come_again(self, taken: int | None) -> bool:
        """True if a line whose answer is not awaited is sent again on the next connection.

        :param taken: the number of the former connection's lines that the gateway took; None where that is unknown.
        """
        return self.place > taken if taken is not None else self.is_repeatable and not self.is_question

    def silent(self) -> Line:
        """Return a copy of the line that the shim sends by itself; its answer is not for the client."""
        line = Line(self.text)
        line.is_silent = True
        return line


def _asked(message: object) -> str | None:
    if isinstance(message, dict) and "method" in message:
        return jsontext.identifier(message)
    return None


def _has_odd_id(message: dict[str, object]) -> bool:
    return "id" in message and jsontext.identifier(message) is None


def known_id(text: bytes) -> str:
    """Return the id in a malformed message, as JSON text, where it has one that can be answered; else null."""
    known = jsontext.member(text.decode(errors="replace"), "id") or ""
    return known if known.startswith(ID_BEGINS) else jsontext.NULL


def cancelled(identifier: str, why: str) -> bytes:
    """Return the notification that a request was cancelled."""
    params = f'{{"requestId":{identifier},"reason":{jsontext.dumps(why)}}}'
    return f'{{"jsonrpc":"2.0","method":"{CANCELLED}","params":{params}}}'.encode()
