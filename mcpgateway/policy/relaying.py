"""Requests to servers' own REST APIs: the path, and the headers of the request and of the answer that are passed on.

# Note [Only down, only there]
A request goes to the address in the server's entry or below it: every spelling of a parent directory in the path is
refused, after decoding it as often as any server might.  Headers that are meant for the gateway itself (the token,
cookies, the origin of the page) are not passed on, and no header of the answer can open the gateway's own origin to
other sites.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from urllib.parse import unquote_to_bytes

from mcpgateway.errors import InvalidParams
from mcpgateway.policy import urls

TARGET_LIMIT = 8192  # characters of a path and a query
DECODED_TIMES = 8  # the number of times a path is decoded in search of a parent directory; more is an attack

HOP_BY_HOP = frozenset(
    b"connection keep-alive proxy-connection te trailer transfer-encoding upgrade http2-settings".split()
)
"""Hop-by-hop headers (RFC 9110 section 7.6.1)."""

OURS = HOP_BY_HOP | frozenset(
    b"host content-length expect accept-encoding authorization cookie origin referer via forwarded x-real-ip x-api-key"
    b" x-client-pid user-agent".split()
)
"""Headers that the gateway sets itself, or that are meant for the gateway."""

OUR_FAMILIES = (b"proxy-", b"sec-", b"x-forwarded-", b"x-mcp-", b"mcp-", b"x-mcpgateway-", b"access-control-")

RETURNED = frozenset(
    b"content-type content-disposition content-language content-range accept-ranges etag last-modified cache-control"
    b" expires age vary retry-after deprecation sunset link allow".split()
)
"""Headers of an answer that are passed on, beside the service's own that begin with ``x-``."""

NEVER_RETURNED = frozenset(
    b"x-frame-options x-xss-protection x-content-type-options x-dns-prefetch-control x-powered-by".split()
)

SHUT = {
    "Content-Security-Policy": "sandbox; default-src 'none'",
    "X-Content-Type-Options": "nosniff",
}
"""A header of every answer: a page of the service must not act as one of the gateway's origin."""

_PLAIN = re.compile(rb"[\x21-\x7e]*\Z")


def target(base: str, path: bytes, query: bytes = b"") -> str:
    """Return the URL of a path below a server's own URL.

    :param path: the part behind the gateway's own, as it was sent, still encoded.
    :raise InvalidParams: the path leads outside of that URL, or cannot be sent.
    """
    if len(path) + len(query) > TARGET_LIMIT:
        raise InvalidParams(f"the path and its query are longer than {TARGET_LIMIT} characters")
    if not _PLAIN.match(path) or not _PLAIN.match(query) or b"#" in path or b"#" in query or b"?" in path:
        raise InvalidParams("the path has a character in it that has to be encoded")
    _check_way(path)
    own, _, own_query = base.partition("#")[0].partition("?")
    url = f"{own.rstrip('/')}/{path.decode('ascii').lstrip('/')}" if path.strip(b"/") else own
    both = "&".join(each for each in (own_query, query.decode("ascii")) if each)
    return f"{url}?{both}" if both else url


def _check_way(path: bytes) -> None:
    for _ in range(DECODED_TIMES):
        if any(part in (b".", b"..") for part in re.split(rb"[/\\;]", path)) or _has_control(path):
            raise InvalidParams("the path has a '.' or '..' in it, which leads elsewhere")
        if b"//" in path or b"\\" in path:
            raise InvalidParams("the path has an empty part or a backslash in it")
        former, path = path, unquote_to_bytes(path)
        if path == former:
            return
    raise InvalidParams("the path is encoded too many times")


def _has_control(path: bytes) -> bool:
    return any(byte < 0x20 or byte == 0x7F for byte in path)


def forwarded_headers(
    headers: Mapping[bytes, bytes], base: str, configured: Mapping[str, str], url: str
) -> dict[str, str]:
    """Return the headers that a request is sent on with.

    :param headers: the headers of the request, names in lower case.
    :param configured: the headers of the server's entry, which no request replaces.
    :param url: the server's own URL, for which they are configured; empty for ``base`` itself.
    """
    nominated = _names(headers.get(b"connection", b""))
    sent = {
        name.decode("latin-1"): value.decode("latin-1")
        for name, value in headers.items()
        if name not in OURS and name not in nominated and not name.startswith(OUR_FAMILIES)
    }
    if configured and _may_have(base, url):
        sent = {
            name: value for name, value in sent.items() if name not in {key.lower() for key in configured}
        }
        sent |= configured
    return sent


def _may_have(base: str, url: str) -> bool:
    # The same host may serve its API at another port; headers for TLS are not sent without it.
    if not url:
        return True
    here, there = urls.read(base), urls.read(url)
    return here.host == there.host and (here.is_secure or not there.is_secure)


def returned_headers(headers: Mapping[bytes, bytes]) -> dict[str, str]:
    """Return the headers of an answer that are passed on; the sender sets its length."""
    nominated = _names(headers.get(b"connection", b""))
    found = {
        _titled(name): value.decode("latin-1")
        for name, value in headers.items()
        if (name in RETURNED or (name.startswith(b"x-") and name not in NEVER_RETURNED))
        and name not in nominated
        and not name.startswith((b"x-mcpgateway-", b"x-accel-", b"x-sendfile"))
    }
    return found | SHUT


def _names(header: bytes) -> Iterable[bytes]:
    return {each.strip().lower() for each in header.split(b",") if each.strip()}


def _titled(name: bytes) -> str:
    return "-".join(part.capitalize() for part in name.decode("latin-1").split("-"))
