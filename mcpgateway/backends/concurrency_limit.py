"""Limit the requests under way at one server; further requests wait for their turn."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from mcpgateway.backends.http.post import PostRequest
from mcpgateway.errors import Overloaded

AT_ONCE = 256  # requests that wait for the server's answer; others wait for their turn
QUEUE_LIMIT = 16 * 2**20  # bytes of those others


class RequestLimit:
    """The requests to one server.

    :ivar is_held: nothing is sent, because the server has to know something else first.
    """

    def __init__(self, server: str, send: Callable[[PostRequest], None]) -> None:
        self.is_held = False
        self._server = server
        self._send = send
        self._waiting: deque[PostRequest] = deque()
        self._waiting_bytes = 0
        self._under_way = 0

    def ask(self, post: PostRequest) -> None:
        """Have a request sent, now or when it is its turn.

        :raise Overloaded: too much waits already.
        """
        if not self.is_held and not self._waiting and self._under_way < AT_ONCE:
            self._permit(post)
            return
        if self._waiting_bytes + len(post.body) > QUEUE_LIMIT:
            raise Overloaded(f"{self._server} is busy; {QUEUE_LIMIT >> 20} MiB wait for it")
        self._waiting_bytes += len(post.body)
        self._waiting.append(post)

    def release(self, post: PostRequest) -> None:
        """A request waits for no answer any more; another has its turn."""
        if post.has_permit:
            post.has_permit = False
            self._under_way -= 1
            self.go_on()

    def withdraw(self, identifier: bytes) -> bool:
        """Take a request back that waits; false where none of that id does."""
        for each in self._waiting:
            if each.id == identifier:
                self._waiting.remove(each)
                self._waiting_bytes -= len(each.body)
                return True
        return False

    def go_on(self) -> None:
        """Send what may be sent."""
        while self._waiting and self._under_way < AT_ONCE and not self.is_held:
            post = self._waiting.popleft()
            self._waiting_bytes -= len(post.body)
            self._permit(post)

    def clear(self) -> None:
        """Drop all waiting requests."""
        self._waiting.clear()
        self._waiting_bytes = 0

    def _permit(self, post: PostRequest) -> None:
        post.has_permit = True
        self._under_way += 1
        self._send(post)
