"""Server-Sent Events, the encoder's half (WHATWG HTML section 9.2)."""

from __future__ import annotations

import msgspec

PING = b": ping\n\n"  # a comment: keeps the connection alive and is never shown to the client's program


def event(message: bytes) -> bytes:
    """One JSON-RPC message as one ``message`` event.

    A CR or LF between the tokens of a server's JSON would split the data line, so such a message is compacted.
    """
    if b"\r" in message or b"\n" in message:
        message = msgspec.json.format(message, indent=-1)
    return b"event: message\ndata: " + message + b"\n\n"
