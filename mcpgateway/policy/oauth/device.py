"""Sign-ins by a device code, as plain functions (RFC 8628): users open a page on any device, and enter a code."""

from __future__ import annotations

from enum import Enum
from typing import Any
from urllib.parse import urlsplit

from attrs import field, frozen

from mcpgateway.errors import BackendError

GRANT_TYPE = "urn:ietf:params:oauth:grant-type:device_code"
INTERVAL_S = 5.0  # between two requests, where the server names no interval
SLOWER_S = 5.0  # added to the interval where the server asks for fewer requests
LONGEST_INTERVAL_S = 60.0
LONGEST_LIFE_S = 3600.0  # of a code; a gateway does not poll for longer
CODE_LIMIT = 64  # characters that a person can enter
PENDING, SLOW_DOWN = "authorization_pending", "slow_down"
DENIED, EXPIRED = "access_denied", "expired_token"


class Poll(Enum):
    """The outcome of one request for the token of a device code."""

    GRANTED = "granted"
    PENDING = "pending"
    SLOWER = "slower"
    DECLINED = "declined"
    EXPIRED = "expired"
    FAILED = "failed"


@frozen
class DeviceCode:
    """A device code, and the code and the page for its user.

    :ivar page: the page at which the user enters the code.
    :ivar page_with_code: the same page with the code in its address; empty where the server names none.
    :ivar interval_s: the shortest time between two requests.
    :ivar expires: seconds since the epoch.
    """

    device_code: str = field(repr=False)
    user_code: str = field(repr=False)
    page: str
    page_with_code: str = field(repr=False)
    interval_s: float
    expires: float


def read_device_code(answer: Any, now: float) -> DeviceCode:
    """Read the answer of a device authorization endpoint.

    :raise BackendError: the answer has no code, no page, or no end.
    """
    found = answer if isinstance(answer, dict) else {}
    device_code, user_code, page = (
        _text(found.get(each)) for each in ("device_code", "user_code", "verification_uri")
    )
    if not device_code or not user_code or len(user_code) > CODE_LIMIT:
        raise BackendError("the authorization server's answer holds no device code")
    if not is_page(page):
        raise BackendError("the authorization server names no page for its device code")
    lasts, interval_s = _seconds(found.get("expires_in")), _seconds(found.get("interval"))
    if not lasts:
        raise BackendError("the authorization server does not say how long its device code lasts")
    whole = _text(found.get("verification_uri_complete"))
    return DeviceCode(
        device_code,
        user_code,
        page,
        whole if is_page(whole) else "",
        min(interval_s or INTERVAL_S, LONGEST_INTERVAL_S),
        now + min(lasts, LONGEST_LIFE_S),
    )


def outcome(status: int, error: str) -> Poll:
    """Return the outcome of a request, by the status and the error code of its answer."""
    if status == 200:
        return Poll.GRANTED
    named = {
        PENDING: Poll.PENDING,
        SLOW_DOWN: Poll.SLOWER,
        DENIED: Poll.DECLINED,
        EXPIRED: Poll.EXPIRED,
    }
    return named.get(error, Poll.FAILED)


def slower(interval_s: float) -> float:
    """Return the interval after the server has asked for fewer requests."""
    return min(interval_s + SLOWER_S, LONGEST_INTERVAL_S)


def is_page(url: str) -> bool:
    """True if a URL is a web page that a browser may open."""
    try:
        parts = urlsplit(url)
        is_web = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.username is None
    except ValueError:
        return False
    return is_web and url.isascii() and url.isprintable() and not set(url) & set(" \"'<>\\`")


def _text(value: Any) -> str:
    return value if isinstance(value, str) and value.isprintable() else ""


def _seconds(value: Any) -> float:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if is_number and value > 0 else 0.0
