"""The watch over a child with open calls, for signs that it still works on them.

The gateway reads nothing of its processes as long as it sends output now and then.
"""

from __future__ import annotations

from collections.abc import Callable

from mcpgateway.backends.conversation import Conversation
from mcpgateway.hub.health.ping import ChildPings
from mcpgateway.policy.stuck_calls import ProcessActivity, StuckTime, look_s


class StuckWatch:
    """The watch over one child, from its handshake to its end.

    :param look: returns the activity of the child's processes; None where it is not known.
    """

    def __init__(
        self, conversation: Conversation, look: Callable[[], ProcessActivity | None], now: int
    ) -> None:
        self._conversation = conversation
        self._look = look
        self._stillness = StuckTime(now)
        self._next_look = 0.0

    def tick(self, now: int, limit_s: float, pings: ChildPings | None, *, is_busy: bool) -> str:
        """Return the reason why the child is stuck; empty while it is not, is idle, or waits for its client."""
        conversation, stillness = self._conversation, self._stillness
        backend = conversation.backend
        if not (limit_s and is_busy) or conversation.questions or backend is None:
            stillness.begin(now)
        elif stillness.hears(backend.heard, now):
            if pings is not None:
                pings.unanswered = 0
        elif stillness.is_suspect(now, limit_s):
            return self._suspect(now, limit_s, pings)
        return ""

    def _suspect(self, now: int, limit_s: float, pings: ChildPings | None) -> str:
        if pings is not None:
            pings.ask(now)
        if now >= self._next_look:
            self._next_look = now + look_s(limit_s)
            activity = self._look()
            if activity is not None:
                self._stillness.sees(activity, now)
        return self._stillness.fault(now, limit_s, pings.unanswered if pings is not None else 0)
