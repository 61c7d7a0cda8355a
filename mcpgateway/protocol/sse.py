"""Server-Sent Events, the encoder's half (WHATWG HTML section 9.2), and the ids of events.

# Note [Event ids]
An id names the life of its session (``epoch``), the stream within it and the place in the stream, so that a GET with
``Last-Event-ID`` finds the one stream it resumes (MCP 2025-11-25, basic/transports, "Resumability").  The id also holds
that of the request that opened the stream: when the stream is no longer known, that request can still be answered.
"""

from __future__ import annotations

import binascii
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode

from msgspec import Struct

from mcpgateway.errors import GatewayError
from mcpgateway.protocol import jsonrpc

PING = b": ping\n\n"  # a comment: keeps the connection alive and is never shown to the client's program
EVENT_ID_LIMIT = 512  # characters
PLACE_LIMIT = 56  # characters before the request's id
REQUEST_ID_LIMIT = (
    (EVENT_ID_LIMIT - PLACE_LIMIT) // 4 * 3
)  # bytes, of which base64 makes more; longer is left out
_EVENT_ID = re.compile(rb"([0-9a-f]{1,32})-([0-9]{1,9})-([0-9]{1,9})(?:-([A-Za-z0-9_=-]+))?\Z")


class EventId(Struct, frozen=True):
    """The place of an event.

    :ivar epoch: the life of the session, lower-case hexadecimal.
    :ivar stream: 0 for the standing stream of GET, else the number of a request's stream.
    :ivar place: 0 for the primer, then 1, 2, ...
    :ivar request: the id of the request that opened the stream, as bytes of JSON; empty when there is none.
    """

    epoch: str
    stream: int
    place: int
    request: bytes = b""

    def __bytes__(self) -> bytes:
        text = f"{self.epoch}-{self.stream}-{self.place}".encode()
        if not self.request or len(self.request) > REQUEST_ID_LIMIT:
            return text
        return text + b"-" + urlsafe_b64encode(self.request)


def read_event_id(text: bytes) -> EventId | None:
    """Return the place that a ``Last-Event-ID`` names, or None when it is no id of the gateway's."""
    found = _EVENT_ID.match(text) if len(text) <= EVENT_ID_LIMIT else None
    if found is None:
        return None
    try:
        request = urlsafe_b64decode(found[4] or b"")
    except (binascii.Error, ValueError):
        return None
    if request and not _is_identifier(request):
        return None
    return EventId(found[1].decode(), int(found[2]), int(found[3]), request)


def _is_identifier(text: bytes) -> bool:
    # It goes into an answer as it is, so it must be the whole of one id and nothing else.
    try:
        return jsonrpc.identifier(jsonrpc.decode(b'{"id":%b}' % text)["id"]) == text
    except GatewayError:
        return False


def event(message: bytes, identifier: EventId | None = None) -> bytes:
    """Return one JSON-RPC message as one ``message`` event.

    A CR or LF between the tokens of a server's JSON would split the data line.
    """
    message = jsonrpc.one_line(message)
    if identifier is None:
        return b"event: message\ndata: " + message + b"\n\n"
    return b"event: message\nid: " + bytes(identifier) + b"\ndata: " + message + b"\n\n"


def primer(identifier: EventId, retry_ms: int) -> bytes:
    """Return the event without data from which a client can resume, with the time until it should reconnect."""
    return b"id: %b\nretry: %d\ndata: \n\n" % (bytes(identifier), retry_ms)
