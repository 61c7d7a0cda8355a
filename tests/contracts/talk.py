"""Speaks JSON-RPC with any backend, and writes down everything that comes of it."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater

from mcpgateway.interfaces import Gone, IBackend, Launch

PATIENCE_S = 60.0

Message = dict[str, Any]


class Talk:
    """A conversation on a backend's own level: lines.

    :ivar heard: every message that is no answer, in the order of arrival; an answer is there as its id.
    :ivar ends: how often, and how, the backend has ended.
    :ivar hello: what the server said of itself.
    :ivar replies: what requests of the server's are answered with, by method.
    """

    def __init__(self, launch: Callable[[Launch, Any], IBackend], how: Launch) -> None:
        self.heard: list[Any] = []
        self.garbage: list[bytes] = []
        self.ends: list[Gone] = []
        self.hello: Message = {}
        self.replies: dict[str, Any] = {}
        self._waiting: dict[int, Deferred[Message]] = {}
        self._number = 0
        self.backend = launch(how, self)

    def line_received(self, line: bytes) -> None:
        """A message of the server's."""
        assert not self.ends, "a message after the end"
        assert b"\n" not in line
        try:
            message = json.loads(line)
            method, number = message.get("method"), message.get("id")
        except (ValueError, AttributeError):
            self.garbage.append(line)
            return
        if method is None:
            self.heard.append(number)
            waiting = self._waiting.pop(number, None)
            if waiting is not None:
                waiting.callback(message)
            return
        self.heard.append(message)
        if number is not None:
            result = self.replies.get(method, {})
            self.send({"jsonrpc": "2.0", "id": number, "result": result})

    def line_overflowed(self, head: bytes, limit: int) -> None:
        """Too long a message."""
        self.garbage.append(head)

    def gone(self, why: Gone) -> None:
        """The end."""
        self.ends.append(why)

    def send(self, message: Message) -> None:
        """Send a message."""
        self.backend.write(json.dumps(message).encode() + b"\n")

    def notify(self, method: str, **params: Any) -> None:
        """Send a notification."""
        self.send({"jsonrpc": "2.0", "method": method, "params": params})

    def request(self, method: str, **params: Any) -> tuple[int, Deferred[Message]]:
        """Send a request; its id, and what fires with its answer."""
        self._number += 1
        self._waiting[self._number] = Deferred()
        self.send({"jsonrpc": "2.0", "id": self._number, "method": method, "params": params})
        return self._number, self._waiting[self._number]

    async def ask(self, method: str, **params: Any) -> Message:
        """Send a request and wait for its answer."""
        return await self.answer(self.request(method, **params)[1])

    async def answer(self, waiting: Deferred[Message]) -> Message:
        """Wait for an answer."""
        return await waiting.addTimeout(PATIENCE_S, reactor)

    async def result(self, method: str, **params: Any) -> Message:
        """Send a request and wait for its result."""
        answer = await self.ask(method, **params)
        assert "result" in answer, answer
        found: Message = answer["result"]
        return found

    async def meet(self, **capabilities: Any) -> Message:
        """Shake hands; the server's answer."""
        info = {"name": "contract", "version": "1"}
        self.hello = await self.result(
            "initialize", protocolVersion="2025-06-18", capabilities=capabilities, clientInfo=info
        )
        self.notify("notifications/initialized")
        return self.hello

    async def call(self, tool: str, **arguments: Any) -> str:
        """Call a tool; the text of its result."""
        result = await self.result("tools/call", name=tool, arguments=arguments)
        assert not result.get("isError"), result
        return str(result["content"][0]["text"])


async def until(true: Callable[[], Any], what: str) -> None:
    """Wait until something is true."""
    end = time.monotonic() + PATIENCE_S
    while not true():
        assert time.monotonic() < end, f"never: {what}"
        await deferLater(reactor, 0.02)


def descriptors() -> int:
    """Return the number of our open files."""
    return len(os.listdir("/proc/self/fd"))
