"""Device codes: the reading of an answer, and the outcomes of polls."""

from __future__ import annotations

from typing import Any

import pytest

from mcpgateway.errors import BackendError
from mcpgateway.policy.oauth.device import (
    LONGEST_INTERVAL_S,
    Poll,
    is_page,
    outcome,
    read_device_code,
    slower,
)

ANSWER: dict[str, Any] = {
    "device_code": "GmRhmhcxhwAzkoEqiMEg",
    "user_code": "WDJB-MJHT",
    "verification_uri": "https://login.example/device",
    "verification_uri_complete": "https://login.example/device?user_code=WDJB-MJHT",
    "expires_in": 1800,
    "interval": 7,
}


class AnswerTests:
    """The answer of a device authorization endpoint."""

    def test_whole(self) -> None:
        """The example of RFC 8628 section 3.2."""
        found = read_device_code(ANSWER, 100.0)
        assert (found.user_code, found.page) == ("WDJB-MJHT", "https://login.example/device")
        assert found.page_with_code.endswith("?user_code=WDJB-MJHT")
        assert (found.interval_s, found.expires) == (7.0, 1900.0)
        assert ANSWER["device_code"] not in repr(found)
        assert ANSWER["user_code"] not in repr(found)

    def test_defaults(self) -> None:
        """Without an interval it is 5 s; without a page with the code there is none."""
        found = read_device_code(
            {
                key: each
                for key, each in ANSWER.items()
                if key not in ("interval", "verification_uri_complete")
            },
            0.0,
        )
        assert (found.interval_s, found.page_with_code) == (5.0, "")

    @pytest.mark.parametrize("interval", [0, -1, True, "5", None, 10**9])
    def test_intervals(self, interval: Any) -> None:
        """A nonsensical interval neither stops the polls nor makes them a flood."""
        assert 5.0 <= read_device_code({**ANSWER, "interval": interval}, 0.0).interval_s <= LONGEST_INTERVAL_S

    @pytest.mark.parametrize(
        "change",
        [
            {"device_code": None},
            {"user_code": ""},
            {"user_code": "a\x1b[2J"},
            {"user_code": "x" * 65},
            {"verification_uri": "javascript:alert(1)"},
            {"verification_uri": "https://user@login.example/"},
            {"verification_uri": None},
            {"expires_in": None},
            {"expires_in": 0},
        ],
    )
    def test_no_codes(self, change: dict[str, Any]) -> None:
        """An answer without a code, a page or an end is refused."""
        with pytest.raises(BackendError):
            read_device_code({**ANSWER, **change}, 0.0)
        with pytest.raises(BackendError):
            read_device_code([], 0.0)

    def test_an_unusable_page_with_the_code(self) -> None:
        """A page with the code that is no web page is left out."""
        assert (
            read_device_code({**ANSWER, "verification_uri_complete": "file:///x"}, 0.0).page_with_code == ""
        )
        assert not is_page("https://[as.example/")


class PollTests:
    """The outcome of a poll."""

    @pytest.mark.parametrize(
        ("status", "error", "found"),
        [
            (200, "no reason", Poll.GRANTED),
            (400, "authorization_pending", Poll.PENDING),
            (400, "slow_down", Poll.SLOWER),
            (400, "access_denied", Poll.DECLINED),
            (400, "expired_token", Poll.EXPIRED),
            (401, "invalid_client", Poll.FAILED),
        ],
    )
    def test_outcomes(self, status: int, error: str, found: Poll) -> None:
        """The errors of RFC 8628 section 3.5."""
        assert outcome(status, error) is found

    def test_slower(self) -> None:
        """The interval grows by 5 s, and has a limit."""
        assert slower(5.0) == 10.0
        assert slower(59.0) == LONGEST_INTERVAL_S
