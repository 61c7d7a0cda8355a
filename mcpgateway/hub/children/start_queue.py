"""The requests, and the gateway's own greetings, that wait for a server's child to start."""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter

import msgspec
from twisted.internet.defer import Deferred

from mcpgateway.errors import Overloaded
from mcpgateway.interfaces import Request, StartMarks
from mcpgateway.protocol.jsonrpc import Envelope
from mcpgateway.records import Record

WAITING_LIMIT = 1000  # calls that wait for one child to start


class StartQueue(Record):
    """The queue of requests before one child.

    :ivar requests: the waiting requests, in the order in which they came.
    :ivar greetings: fire with the child's answer to the handshake, or fail.
    """

    requests: list[Request] = msgspec.field(default_factory=list)
    greetings: list[Deferred[Envelope]] = msgspec.field(default_factory=list)

    def add(self, request: Request, server: str) -> bool:
        """Add a request, or fail it and return False where `WAITING_LIMIT` requests wait already.

        :param server: the server's name, for the error.
        """
        if len(self.requests) >= WAITING_LIMIT:
            request.fail(Overloaded(f"{WAITING_LIMIT} calls already wait for {server} to start"))
            return False
        self.requests.append(request)
        return True

    def remove(self, request: Request) -> bool:
        """Remove a request; return False where it does not wait."""
        if request not in self.requests:
            return False
        self.requests.remove(request)
        return True

    def take(
        self, is_taken: Callable[[Request], bool] = lambda _: True, marks: StartMarks | None = None
    ) -> list[Request]:
        """Remove the requests for which ``is_taken`` is true, all by default, and return them.

        :param marks: the times of the start that is over, for which they have waited.
        """
        taken: list[Request] = []
        left: list[Request] = []
        for each in self.requests:
            (taken if is_taken(each) else left).append(each)
        self.requests = left
        if marks is not None:
            marks.ended = marks.ended or perf_counter()
            for each in taken:
                if each.marks is not None:
                    each.marks.start = marks
        return taken

    def take_greetings(self) -> list[Deferred[Envelope]]:
        """Remove all greetings, and return them."""
        taken, self.greetings = self.greetings, []
        return taken

    def greet(self, hello: Envelope) -> None:
        """Answer all greetings with the child's answer to the handshake."""
        for done in self.take_greetings():
            done.callback(hello)
