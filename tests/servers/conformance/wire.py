"""JSON-RPC on stdin and stdout, one object a line, and how a request may fail."""

from __future__ import annotations

import json
import os
import sys
import threading
from collections.abc import Iterator

INVALID_REQUEST = -32600
METHOD_NOT_FOUND = -32601
INVALID_PARAMS = -32602
RESOURCE_NOT_FOUND = -32002  # up to 2025-11-25; later revisions say INVALID_PARAMS
MISSING_CAPABILITY = -32021
UNSUPPORTED_VERSION = -32022


class Refused(Exception):
    """The request gets an error."""

    def __init__(self, code: int, message: str, data: object = None) -> None:
        super().__init__(message)
        self.error = {"code": code, "message": message} | ({} if data is None else {"data": data})


class Failed(Exception):
    """The tool could not do what it was asked; the text says why."""


class Cancelled(Exception):
    """The caller waits for the answer no more, so there will be none."""


class Pipe:
    """The client at the other end."""

    def __init__(self) -> None:
        self.writing = threading.Lock()

    def say(self, **message: object) -> None:
        """Write one message, whole, however slowly it is read."""
        view = memoryview(json.dumps({"jsonrpc": "2.0", **message}).encode() + b"\n")
        with self.writing:
            while view:
                view = view[os.write(1, view) :]

    def notify(self, method: str, params: dict) -> None:
        """Tell the client something."""
        self.say(method=method, params=params)

    def messages(self) -> Iterator[dict]:
        """The messages of the client, until it closes the pipe."""
        for line in sys.stdin.buffer:
            if line.strip():
                yield json.loads(line)


def unknown(method: str) -> Refused:
    """Return the refusal of a method that does not exist."""
    return Refused(METHOD_NOT_FOUND, f"Method not found: {method}")


def key(number: object) -> str:
    """An id as a key; 7 and "7" are different ids."""
    return json.dumps(number)
