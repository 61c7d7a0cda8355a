"""The requests that wait for a server's child to start, in their order."""

from __future__ import annotations

from collections.abc import Callable

from attrs import define, field

from mcpgateway.errors import Overloaded
from mcpgateway.interfaces import Request

WAITING_LIMIT = 1000  # calls that wait for one child to start


@define(eq=False)
class StartQueue:
    """A queue in front of one child.

    :ivar requests: in the order in which they came.
    """

    requests: list[Request] = field(init=False, factory=list)

    def add(self, call: Request, server: str) -> None:
        """Let a request wait.

        :param server: is named where there are too many.
        :raise Overloaded: too many wait already.
        """
        if len(self.requests) >= WAITING_LIMIT:
            raise Overloaded(f"{WAITING_LIMIT} calls already wait for {server} to start")
        self.requests.append(call)

    def remove(self, call: Request) -> bool:
        """Let a request wait no more; false where it did not."""
        if call not in self.requests:
            return False
        self.requests.remove(call)
        return True

    def take(self, is_taken: Callable[[Request], bool] = lambda _: True) -> list[Request]:
        """Take these requests out; all of them by default."""
        waiting = self.requests
        self.requests = [each for each in waiting if not is_taken(each)]
        return [each for each in waiting if is_taken(each)]
