"""A conversation with one backend, for tests: what it is told, and what it tells."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred

from mcpgateway.backends.conversation import Conversation
from mcpgateway.config.reach_settings import Remote
from mcpgateway.interfaces import Gone, IBackend, Launch
from mcpgateway.protocol import jsonrpc, legacy, modern
from mcpgateway.protocol.versions import Era


class Talk:
    """A conversation with a server, and what it says unasked.

    :ivar heard: its notifications, by method, with their parameters.
    :ivar ends: how it ended, each time it said so.
    :ivar roots: what it is told when it asks for roots.
    """

    def __init__(
        self, make: Callable[[Launch, Remote, Any], IBackend], remote: Remote, era: Era = Era.LEGACY
    ) -> None:
        self.heard: list[tuple[str, dict[str, Any]]] = []
        self.ends: list[Gone] = []
        self.roots: list[dict[str, str]] = []
        self.era = era
        self.lines = Conversation("far", self, lambda _, why: self.ends.append(why), era)
        launch = Launch("far", (), {}, "/", remote, era)
        self.backend: Any = make(launch, remote, self.lines)
        self.lines.backend = self.backend

    def noticed(self, backend: Any, method: str, message: Any) -> None:
        self.heard.append((method, json.loads(jsonrpc.encode(message)).get("params", {})))

    def asked(self, backend: Any, method: str, message: Any) -> None:
        self.heard.append((method, {}))
        backend.reply(message, {"roots": self.roots})

    def progressed(self, backend: Any, number: int, params: Any, message: Any) -> None:
        self.heard.append(("late progress", {}))

    def refused(self, backend: Any, call: Any, error: Any) -> None:
        """Of no interest."""

    def failed(self, backend: Any, result: Any) -> None:
        """Of no interest."""

    def methods(self) -> list[str]:
        """The messages that it has sent without a request."""
        return [method for method, _ in self.heard]

    def meet(self, **capabilities: Any) -> Deferred[Any]:
        """Shake hands."""
        if self.era is Era.MODERN:
            return self.lines.handshake(modern.own_meta("1", capabilities))
        return self.lines.handshake(legacy.shared_params("1", capabilities))

    async def ask(self, method: str, **params: Any) -> Any:
        """Ask for something; the result, or the error."""
        reply = await self.lines.ask(method, params)
        return json.loads(bytes(reply.get("result", reply.get("error", b"null"))))

    async def call(self, tool: str, **arguments: Any) -> Any:
        """Call a tool; the result, or the error."""
        return await self.ask("tools/call", name=tool, arguments=arguments)
