"""Lines from the client, read as far as the shim needs to know them."""

from __future__ import annotations

from mcpgateway.shim import jsontext

ENVELOPE_VERSION = "io.modelcontextprotocol/protocolVersion"
INITIALIZE = "initialize"
INITIALIZED = "notifications/initialized"
CANCELLED = "notifications/cancelled"
LISTEN = "subscriptions/listen"
ID_BEGINS = ('"', *"-0123456789")
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
    :ivar is_question: the client waits for an answer.
    :ivar is_repeatable: nothing happens twice when it is sent twice; of two answers to one question the gateway takes
        the first.
    :ivar version: the revision that its envelope names; empty in the legacy era.
    :ivar target: the request that it calls off.
    :ivar number: its place among all lines of the client.
    :ivar place: its place among the lines of the connection that it was sent on.
    :ivar since: when it began to wait for the gateway.
    :ivar tries: how often it was sent in vain.
    :ivar is_silent: it is the shim's own, and its answer not the client's.
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

    @property
    def is_lasting(self) -> bool:
        """Whether it has no end that its client would wait for."""
        return bool(self.version) and self.method == LISTEN

    def may_come_again(self, taken: int | None) -> bool:
        """Whether a line without an answer to come is sent on the next connection.

        :param taken: how many lines of the former one were taken; None where that is not known.
        """
        return self.place > taken if taken is not None else self.is_repeatable and not self.is_question

    def silent(self) -> Line:
        """A copy of the line that the shim sends by itself; its answer is not the client's."""
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
    """The id of what is no message, as text of JSON, as far as it has one that can be answered; else null."""
    known = jsontext.member(text.decode(errors="replace"), "id") or ""
    return known if known.startswith(ID_BEGINS) else jsontext.NULL


def cancelled(identifier: str, why: str) -> bytes:
    """The notification that a request has been called off."""
    params = f'{{"requestId":{identifier},"reason":{jsontext.dumps(why)}}}'
    return f'{{"jsonrpc":"2.0","method":"{CANCELLED}","params":{params}}}'.encode()
