"""The MCP server on stdio that the official conformance suite expects behind an endpoint, in both eras.

Standard library only, so that it starts in a few milliseconds under ``python -I -S``.  It speaks the revisions up to
2025-11-25, and 2026-07-28.

# Note [One era for life]
A process speaks the era that it was told to.  One that may speak both is bound by its first request for the rest of its
life, and refuses the other era from then on; ``server/discover`` alone does not bind it.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys

from legacy import Legacy
from modern import Modern, envelope, is_enveloped
from offered import TASK_TOOLS, TOOLS
from wire import INVALID_REQUEST, Pipe, Refused


class Server:
    """A server process."""

    def __init__(self, era: str) -> None:
        self.pipe = Pipe()
        self.legacy = Legacy(self.pipe)
        if era == "legacy":  # a server that has never heard of the extension has no tools for it either
            self.legacy.shop.tools = {name: tool for name, tool in TOOLS.items() if name not in TASK_TOOLS}
        self.modern = Modern(self.pipe)
        self.told = era
        self.bound = {"legacy": self.legacy, "modern": self.modern}.get(era)

    def serve(self) -> None:
        """Read messages until the client closes the pipe."""
        for message in self.pipe.messages():
            if "method" not in message:
                self.legacy.asks.answered(message)
            elif "id" in message:
                self.requested(message)
            elif message["method"] == "notifications/cancelled":
                self.cancelled((message.get("params") or {}).get("requestId"))

    def requested(self, message: dict) -> None:
        """Answer a request in the era that it is of."""
        method, params = message["method"], message.get("params") or {}
        try:
            self.era(method, params).requested(message["id"], method, params)
        except Refused as why:
            self.pipe.say(id=message["id"], error=why.error)

    def cancelled(self, number: object) -> None:
        """Answer this request no more."""
        for calls in (self.legacy.calls, self.modern.calls, self.modern.listens):
            calls.cancel(number)

    def era(self, method: str, params: dict) -> Legacy | Modern:
        """The era that answers a request, see Note [One era for life]."""
        is_modern = method != "initialize" and is_enveloped(params)  # a handshake is one whatever it carries
        if self.bound is self.legacy and self.told == "dual" and is_modern:
            raise Refused(INVALID_REQUEST, "This connection was opened with a handshake")
        if self.bound is not None:
            return self.bound
        if method == "server/discover":
            return self.modern
        if is_modern:
            envelope(params)  # what is refused binds nobody
            self.bound = self.modern
        else:
            self.bound = self.legacy
        return self.bound


def main() -> None:
    """Serve the client at the other end of stdin and stdout."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--era", choices=["legacy", "modern", "dual"], default="dual")
    server = Server(parser.parse_args().era)
    with contextlib.suppress(BrokenPipeError, KeyboardInterrupt):
        server.serve()
    os._exit(0)  # tools that still wait have nobody to answer


if __name__ == "__main__":
    sys.exit(main())
