"""Addresses that have shown wrong tokens too often, and how long they are refused."""

from __future__ import annotations

from collections.abc import Callable

from attrs import define, field

from mcpgateway.bounded import Bounded

ATTEMPTS = 10  # wrong tokens from one address
WINDOW_S = 60.0
ADDRESSES_LIMIT = 1000  # a hostile network cannot make the memory grow
_V6_GROUPS = 4  # of eight: whoever has one address of IPv6 has all that begin alike


@define
class _Count:
    since: float
    failures: int = 0


@define
class Knocks:
    """Counts wrong tokens by address, within a window that begins with the first of them.

    :ivar seconds: the clock.
    """

    seconds: Callable[[], float]
    _counts: dict[str, _Count] = field(factory=lambda: Bounded(ADDRESSES_LIMIT))

    def failed(self, address: str) -> int:
        """A wrong token has come from an address; the seconds it has to wait for now, or 0."""
        key, now = place_of(address), self.seconds()
        count = self._counts.pop(key, None)
        if count is None or not 0 <= now - count.since < WINDOW_S:
            count = _Count(now)
        count.failures += 1
        self._counts[key] = count  # the latest is last
        return self._wait(count, now)

    def wait(self, address: str) -> int:
        """The seconds that an address has to wait for until its tokens are looked at again; 0: they are."""
        if not self._counts:
            return 0
        count = self._counts.get(place_of(address))
        return 0 if count is None else self._wait(count, self.seconds())

    def _wait(self, count: _Count, now: float) -> int:
        left = count.since + WINDOW_S - now
        return max(1, int(left)) if count.failures > ATTEMPTS and 0 < left <= WINDOW_S else 0


def place_of(address: str) -> str:
    """Return the network that counts as one address: of IPv6 the whole network of a household."""
    if ":" not in address or address.startswith("::ffff:"):
        return address
    head, gap, _ = address.partition("::")
    groups = head.split(":") if head else []
    if gap:
        groups += ["0"] * (_V6_GROUPS - len(groups))
    return ":".join(groups[:_V6_GROUPS])
