"""The limit on wrong tokens from one address, and the time for which an address beyond it is refused."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from mcpgateway.bounded import Bounded
from mcpgateway.records import Record

ATTEMPTS = 10  # wrong tokens from one address
WINDOW_S = 60.0
ADDRESSES_LIMIT = 1000  # a hostile network cannot make the memory grow
_V6_GROUPS = 4  # of eight: the owner of one IPv6 address has all addresses of its /64 network


class _Count(Record):
    since: float
    failures: int = 0


class LoginThrottle(Record):
    """Counts wrong tokens by address, within a window that begins with the first of them.

    :ivar seconds: a clock, in seconds.
    """

    seconds: Callable[[], float]
    _counts: dict[str, _Count] = msgspec.field(default_factory=lambda: Bounded(ADDRESSES_LIMIT))

    def failed(self, address: str) -> int:
        """Count a wrong token from an address, and return the seconds for which it is refused now; 0 for not."""
        key, now = place_of(address), self.seconds()
        count = self._counts.pop(key, None)
        if count is None or not 0 <= now - count.since < WINDOW_S:
            count = _Count(now)
        count.failures += 1
        self._counts[key] = count  # the latest is last
        return self._wait(count, now)

    def wait(self, address: str) -> int:
        """Return the seconds for which tokens from an address are still refused unseen; 0 where they are checked."""
        if not self._counts:
            return 0
        count = self._counts.get(place_of(address))
        return 0 if count is None else self._wait(count, self.seconds())

    def _wait(self, count: _Count, now: float) -> int:
        left = count.since + WINDOW_S - now
        return max(1, int(left)) if count.failures > ATTEMPTS and 0 < left <= WINDOW_S else 0


def place_of(address: str) -> str:
    """Return the network that counts as one address: for IPv6 the /64 network of a household."""
    if ":" not in address or address.startswith("::ffff:"):
        return address
    head, gap, _ = address.partition("::")
    groups = head.split(":") if head else []
    if gap:
        groups += ["0"] * (_V6_GROUPS - len(groups))
    return ":".join(groups[:_V6_GROUPS])
