"""An HTTP server on loopback, for as long as a test needs it."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar, Self

from attrs import define, field


class Handler(BaseHTTPRequestHandler):
    """A connection; ``server.owner`` is the `Loopback` it was made to."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *_: Any) -> None:
        """Say nothing: the tests show what they need."""


@define
class Loopback:
    """A server that listens from its making on and answers while its block runs.

    :cvar handler: serves its connections.
    :cvar path: what its URL ends with.
    """

    handler: ClassVar[type[Handler]]
    path: ClassVar[str] = ""
    _http: ThreadingHTTPServer = field(init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), self.handler)

    @property
    def url(self) -> str:
        """Where it is reached."""
        return f"http://127.0.0.1:{self._http.server_address[1]}{self.path}"

    def __enter__(self) -> Self:
        self._http.owner = self  # type: ignore[attr-defined]
        threading.Thread(target=self._http.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *why: object) -> None:
        self._http.shutdown()
        self._http.server_close()
