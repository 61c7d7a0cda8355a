"""The dashboard's files, read from disk for each request: no page takes memory of the gateway, or is made by Klein.

``make ui`` builds the files into ``mcpgateway/data/ui``, with a table of them; only a name in the table has a file.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

import mcpgateway
from mcpgateway.frontends.http.content_encoding import accepted_encodings
from mcpgateway.hints import cli
from mcpgateway.policy.access import Reach
from mcpgateway.records import FrozenRecord

PAGES = b"/ui/"
INDEX, TABLE = "index.html", "index.json"
ENCODINGS = ((b"br", ".br"), (b"gzip", ".gz"))
HTML = b"text/html; charset=utf-8"
CONTENT_SECURITY_POLICY = b"; ".join(
    (
        b"default-src 'none'",
        b"script-src 'self'",
        b"style-src 'self'",
        b"connect-src 'self'",
        b"img-src 'self' data: blob:",
        b"base-uri 'none'",
        b"form-action 'none'",
        b"frame-ancestors 'none'",
        b"require-trusted-types-for 'script'",
        b"trusted-types 'none'",
    )
)
GUARDED = (
    b"Content-Security-Policy: %b\r\n"
    b"Referrer-Policy: no-referrer\r\n"
    b"Cross-Origin-Opener-Policy: same-origin\r\n"
    b"X-Frame-Options: DENY\r\n"
    b"Permissions-Policy: camera=(), geolocation=(), microphone=(), payment=(), usb=()\r\n"
    % CONTENT_SECURITY_POLICY
)
"""The header lines of each answer: the page runs its own script only, and no other page frames it."""

FIXED = b"Cache-Control: public, max-age=31536000, immutable\r\n"
CHECKED = b"Cache-Control: no-cache\r\n"
PAGE = b"""<!doctype html><html lang="en"><meta charset="utf-8"><title>mcpgateway</title>
<h1>%b</h1><p>%b</p></html>
"""
NOT_BUILT = PAGE % (
    b"The dashboard is not built",
    (
        b"npm, which builds it, was missing when the gateway was installed. Install npm, and install the gateway "
        b"again from its checkout (in a checkout of its own: <code>make ui</code>). <code>%b</code> shows the same "
        b"in a terminal." % cli("status").encode()
    ),
)
NEEDS_TLS = PAGE % (
    b"The dashboard needs HTTPS from another machine",
    (
        b"Set gateway.tls, put a proxy with TLS in front, or forward the port over SSH: "
        b"<code>ssh -L 9100:localhost:9100 HOST</code>."
    ),
)


class PageFile(FrozenRecord, frozen=True):
    """A file of the dashboard.

    :ivar type: its media type.
    :ivar tag: its entity tag.
    :ivar is_fixed: its name changes with its content.
    """

    type: str
    tag: str
    is_fixed: bool


class PagesEndpoint:
    """Answers ``GET /ui/`` and everything below with the dashboard.

    :param folder: the built files; the package's own by default.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder or Path(mcpgateway.__file__).parent / "data" / "ui"
        self._table: Mapping[str, PageFile] | None = None

    def handle(self, exchange: Any) -> None:
        """Answer a request: with a file, or with the page, whose script reads the rest of the path."""
        if exchange.method not in (b"GET", b"HEAD"):
            exchange.answer(405, b"", HTML, GUARDED + b"Allow: GET, HEAD\r\n")
        elif not exchange.path.startswith(PAGES):
            exchange.answer(302, b"", HTML, GUARDED + CHECKED + b"Location: /ui/\r\n")
        elif exchange.caller.reach is Reach.REMOTE and not _is_encrypted(exchange):
            exchange.answer(403, NEEDS_TLS, HTML, GUARDED + CHECKED)
        else:
            self._send(exchange)

    def _send(self, exchange: Any) -> None:
        table = self._known()
        name = exchange.path.removeprefix(PAGES).decode(errors="replace")
        if not table:
            exchange.answer(503, NOT_BUILT, HTML, GUARDED + CHECKED)
            return
        found = table.get(name)
        if found is None and "." in name and "/" not in name:
            exchange.answer(404, b"", HTML, GUARDED + CHECKED)  # a file of another release
            return
        if found is None:
            name, found = INDEX, table[INDEX]
        encoding, ending = _encoding_of(exchange.headers.get(b"accept-encoding", b""))
        tag = b'"%b%b"' % (found.tag.encode(), ending.encode())
        extra = b"%b%bETag: %b\r\nVary: Accept-Encoding\r\n" % (
            GUARDED,
            FIXED if found.is_fixed else CHECKED,
            tag,
        )
        if tag in exchange.headers.get(b"if-none-match", b""):
            exchange.answer(304, b"", found.type.encode(), extra)
            return
        if encoding:
            extra += b"Content-Encoding: %b\r\n" % encoding
        exchange.answer(200, (self._folder / (name + ending)).read_bytes(), found.type.encode(), extra)

    def _known(self) -> Mapping[str, PageFile]:
        # A checkout may be built while the gateway runs, so an absent table is looked for again.
        if not self._table:
            try:
                content = (self._folder / TABLE).read_bytes()
            except OSError:
                return {}
            self._table = msgspec.json.decode(content, type=dict[str, PageFile])
        return self._table


def _encoding_of(accepted: bytes) -> tuple[bytes, str]:
    """Return the best encoding that a client accepts, and its file's ending."""
    offered = accepted_encodings(accepted)
    return next(((name, ending) for name, ending in ENCODINGS if name in offered), (b"", ""))


def _is_encrypted(exchange: Any) -> bool:
    # The header of a proxy is believed: a false one harms only the client that sends it.
    return bool(exchange.secure or exchange.headers.get(b"x-forwarded-proto") == b"https")
