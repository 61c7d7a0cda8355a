"""The throttle of wrong tokens."""

from __future__ import annotations

from mcpgateway.policy.login_throttle import ADDRESSES_LIMIT, ATTEMPTS, WINDOW_S, LoginThrottle, place_of


class Clock:
    """A clock that is set by hand."""

    now = 1000.0

    def seconds(self) -> float:
        """Return the time."""
        return self.now


class KnockTests:
    """The throttle of one address after the other."""

    def test_so_many_and_no_more(self) -> None:
        """After ten wrong tokens within a minute an address waits, the others do not, and then it is heard again."""
        clock = Clock()
        knocks = LoginThrottle(clock.seconds)
        assert [knocks.failed("1.2.3.4") for _ in range(ATTEMPTS)] == [0] * ATTEMPTS
        assert knocks.wait("1.2.3.4") == 0
        assert 0 < knocks.failed("1.2.3.4") <= WINDOW_S
        assert knocks.wait("1.2.3.4")
        assert knocks.wait("1.2.3.5") == 0
        clock.now += WINDOW_S
        assert knocks.wait("1.2.3.4") == 0
        assert knocks.failed("1.2.3.4") == 0

    def test_bounded(self) -> None:
        """However many addresses knock, so many are remembered: the latest."""
        knocks = LoginThrottle(Clock().seconds)
        for number in range(ADDRESSES_LIMIT + 50):
            for _ in range(ATTEMPTS + 1):
                knocks.failed(f"h{number}")
        assert sum(knocks.wait(f"h{number}") > 0 for number in range(ADDRESSES_LIMIT + 50)) == ADDRESSES_LIMIT

    def test_networks(self) -> None:
        """A network of IPv6 counts as one address."""
        assert place_of("2001:db8:1:2:3:4:5:6") == place_of("2001:db8:1:2::9") == "2001:db8:1:2"
        assert place_of("2001:db8::1") == place_of("2001:db8:0:0:ffff::") == "2001:db8:0:0"
        assert place_of("::ffff:1.2.3.4") != place_of("::ffff:1.2.3.5")
        assert place_of("10.0.0.1") == "10.0.0.1"

    def test_clock_goes_back(self) -> None:
        """A clock that is set back locks nobody out."""
        clock = Clock()
        knocks = LoginThrottle(clock.seconds)
        for _ in range(ATTEMPTS + 1):
            knocks.failed("a")
        clock.now -= 3600
        assert knocks.wait("a") == 0
