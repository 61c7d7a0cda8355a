"""Limit the requests under way at one server; further requests wait for their turn."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from mcpgateway.backends.http.post import PostRequest
from mcpgateway.errors import Overloaded

AT_ONCE = 256  # requests that wait for the server's answer; others wait for their turn
QUEUE_LIMIT = 16 * 2**20  # bytes of the requests that wait for their turn


class RequestLimit:
    """The requests to one server, of which at most `AT_ONCE` are under way.

    :ivar is_held: no request is sent, because the server has to receive another message first.
    """

    def __init__(self, server: str, send: Callable[[PostRequest], None]) -> None:
        self.is_held = False
        self._server = server
        self._send = send
        self._waiting: deque[PostRequest] = deque()
        self._waiting_bytes = 0
        self._under_way = 0

    def ask(self, post: PostRequest) -> None:
        """Send a request, now or when its turn has come.

        :raise Overloaded: the waiting requests have reached `QUEUE_LIMIT`.
        """
        if not self.is_held and not self._waiting and self._under_way < AT_ONCE:
            self._permit(post)
            return
        if self._waiting_bytes + len(post.body) > QUEUE_LIMIT:
            raise Overloaded(f"{self._server} is busy; {QUEUE_LIMIT >> 20} MiB wait for it")
        self._waiting_bytes += len(post.body)
        self._waiting.append(post)

    def release(self, post: PostRequest) -> None:
        """Count out a request that waits for no answer any more, and send the next one."""
        if post.has_permit:
            post.has_permit = False
            self._under_way -= 1
            self.go_on()

    def withdraw(self, identifier: bytes) -> bool:
        """Withdraw a waiting request; return false if no waiting request has that id."""
        for each in self._waiting:
            if each.id == identifier:
                self._waiting.remove(each)
                self._waiting_bytes -= len(each.body)
                return True
        return False

    def go_on(self) -> None:
        """Send waiting requests as far as the limit allows."""
        while self._waiting and self._under_way < AT_ONCE and not self.is_held:
            post = self._waiting.popleft()
            self._waiting_bytes -= len(post.body)
            self._permit(post)

    def waiting(self) -> list[PostRequest]:
        """Return the requests that wait for their turn."""
        return list(self._waiting)

    def clear(self) -> None:
        """Drop all waiting requests."""
        self._waiting.clear()
        self._waiting_bytes = 0

    def _permit(self, post: PostRequest) -> None:
        post.has_permit = True
        self._under_way += 1
        self._send(post)
