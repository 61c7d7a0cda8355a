"""Read a request head: bytes up to the blank line become a `Head`, or the status of a refusal.

# Note [Two judges]
llhttp parses, and a regular expression has to match the accepted head too: llhttp accepts RTSP, HTTP/0.9, several
spaces, fragments, `gzip, chunked`, and chunked bodies in HTTP/1.0.  A head that either of the two rejects is refused,
so no request is served that two parsers could read as two different ones.

    head   = method SP target SP "HTTP/1." ("0" | "1") CRLF *( token ":" value CRLF ) CRLF
    target = "/" *( %x21-22 | %x24-7E ) | "*"        (origin form; "*" is for OPTIONS)
    value  = *( HTAB | %x20-7E | %x80-FF )

llhttp takes an `Upgrade` header or CONNECT for the end of HTTP.  It parses heads only, one parser for each, so an
unknown upgrade (`curl --http2` sends one with a body) has no effect.
"""

from __future__ import annotations

import re
from typing import Any

from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser

from mcpgateway.policy.access import TELLING
from mcpgateway.records import Record

HEAD_LIMIT = 64 * 1024  # bytes of request line and headers
HEADERS_LIMIT = 100
LENGTH_DIGITS = 19  # 20 digits overflow 64 bits
CHUNKED = -1

_GATE = re.compile(
    rb"([A-Z-]++) (/[!\"$-~]*+|\*) HTTP/1\.([01])\r\n"
    rb"(?:[!#$%&'*+\-.^_`|~0-9A-Za-z]++:[\t -~\x80-\xff]*+\r\n)*+\r\n"
)
_LINE = re.compile(rb"\s*([A-Za-z-]+) +(?:[a-z]+://[^/ ]*)?(/[^ ?#\r\n]*)")
_ONCE = frozenset((b"host", b"content-length", b"content-type", b"authorization", b"origin"))
_ROUTING = frozenset((b"mcp-protocol-version", b"mcp-method", b"mcp-name"))
_UNSERVED = frozenset((b"CONNECT", b"TRACE"))
_BLANK = b" \t"


class BadHead(Exception):
    """A request that is refused by its head, and the status of the refusal."""

    def __init__(self, status: int, why: str, extra: bytes = b"") -> None:
        super().__init__(why)
        self.status = status
        self.why = why
        self.extra = extra


class Head(Record):
    """A request line with its headers.

    :ivar raw: its bytes, the blank line included.
    :ivar target: path and query as sent.
    :ivar headers: by lower-case name; repeated ones are joined, those that repeat the body by NUL, so that they match
        nothing. Shared, never changed.
    :ivar length: of the body, or `CHUNKED`.
    :ivar is_last: True if the client sends no other request on this connection.
    :ivar expects: True if the client waits for a ``100 Continue``.
    :ivar is_telling: True if it has headers about the client's identity or location.
    :ivar facts: for the frontend's own use, as for all requests with this head.
    """

    raw: bytes
    method: bytes
    target: bytes
    path: bytes
    query: bytes
    version: bytes
    headers: dict[bytes, bytes]
    length: int
    is_last: bool
    expects: bool
    is_telling: bool = True
    facts: Any = None


class HeadReader:
    """Reads one head, fed in pieces; the last piece ends with the blank line."""

    __slots__ = ("_headers", "_is_complete", "_parser", "_target")

    def __init__(self) -> None:
        self._target = b""
        self._headers: dict[bytes, bytes] = {}
        self._is_complete = False
        self._parser: Any = HttpRequestParser(self)

    def feed(self, piece: bytes) -> None:
        """Take the next piece.

        :raise BadHead: the bytes cannot become a request.
        """
        try:
            self._parser.feed_data(piece)
        except HttpParserUpgrade:
            pass
        except HttpParserError as why:
            if isinstance(why.__context__, BadHead):
                raise why.__context__ from None
            raise BadHead(400, "Malformed request") from why

    def finish(self, raw: bytes) -> Head:
        """Return the head, whose bytes were all fed.

        :param raw: the complete bytes.
        :raise BadHead: the head is refused.
        """
        self._parser = None  # it holds bound methods of this object
        if len(raw) > HEAD_LIMIT or raw.count(b"\r\n") > HEADERS_LIMIT + 2:
            raise too_long(raw)
        if raw[: raw.find(b" ")] in _UNSERVED:
            raise BadHead(405, "Method not allowed", b"Allow: GET, HEAD, POST, DELETE\r\n")
        gate = _GATE.fullmatch(raw)
        if gate is None or not self._is_complete or gate[2] != self._target:
            raise BadHead(400, "Malformed request")
        return _checked(raw, gate, self._headers)

    def on_url(self, piece: bytes) -> None:
        """Receive a part of the target from the parser."""
        self._target += piece

    def on_header(self, name: bytes, value: bytes) -> None:
        """Receive a header from the parser."""
        _take(self._headers, name.lower(), value.rstrip(_BLANK))

    def on_headers_complete(self) -> None:
        """Note that the parser has read the blank line."""
        self._is_complete = True


class PartialHead:
    """A head that comes in pieces; each piece is parsed at once, so that a bad head is refused early.

    :ivar raw: the bytes of the head, as far as received.
    :ivar rest: the bytes after it, once it is complete.
    """

    __slots__ = ("_reader", "raw", "rest")

    def __init__(self) -> None:
        self.raw = self.rest = b""
        self._reader: HeadReader | None = None

    def feed(self, data: bytes) -> Head | None:
        """Take the next bytes; return the head once it is complete.

        :raise BadHead: the head is refused.
        """
        read = len(self.raw)
        raw = self.raw = self.raw + data
        if self._reader is None:
            # Some clients send an empty line after a body, before the next request (RFC 9112 section 2.2).
            while raw.startswith(b"\r\n"):
                raw = self.raw = raw[2:]
            if raw in {b"", b"\r"}:
                return None
            self._reader, read = HeadReader(), 0
        end = raw.find(b"\r\n\r\n", max(0, read - 3)) + 4
        is_whole = end >= 4
        if (end if is_whole else len(raw)) > HEAD_LIMIT:
            raise too_long(raw)
        self._reader.feed(raw[read:end] if is_whole else raw[read:])
        if not is_whole:
            return None
        self.raw, self.rest = raw[:end], raw[end:]
        return self._reader.finish(self.raw)


class _Judge:
    """A receiver without callbacks for llhttp: only the verdict is needed, and each callback costs time."""


_JUDGE = _Judge()


def read_head(raw: bytes) -> Head:
    """Read a complete head, its blank line included.

    :raise BadHead: the head is refused.
    """
    if len(raw) > HEAD_LIMIT:
        raise too_long(raw)
    gate = _GATE.fullmatch(raw)
    if gate is None or gate[1] in _UNSERVED or raw.count(b"\r\n") > HEADERS_LIMIT + 2:
        reader = HeadReader()  # the slower reader knows the reason
        reader.feed(raw)
        return reader.finish(raw)
    try:
        HttpRequestParser(_JUDGE).feed_data(raw)
    except HttpParserUpgrade:
        pass
    except HttpParserError as why:
        raise BadHead(400, "Malformed request") from why
    headers: dict[bytes, bytes] = {}
    for line in raw[gate.end(3) + 2 : -2].split(b"\r\n")[:-1]:
        name, _, value = line.partition(b":")
        name = name.lower()
        if name in headers:
            _take(headers, name, value.strip(_BLANK))
        else:
            headers[name] = value.strip(_BLANK)
    return _checked(raw, gate, headers)


def _take(headers: dict[bytes, bytes], name: bytes, value: bytes) -> None:
    if name not in headers:
        headers[name] = value
    elif name in _ROUTING or name.startswith(b"mcp-param-"):
        headers[name] += b"\0" + value  # the frontend refuses it, with the request's id in the error
    elif name in _ONCE or name.startswith(b"mcp-"):
        raise BadHead(400, "Repeated header")
    else:
        headers[name] += (b"; " if name == b"cookie" else b", ") + value


def _checked(raw: bytes, gate: re.Match[bytes], headers: dict[bytes, bytes]) -> Head:
    method, target, minor = gate.groups()
    if target == b"*" and method != b"OPTIONS":
        raise BadHead(400, "Malformed request target")
    is_modern = minor == b"1"
    if is_modern and b"host" not in headers:
        raise BadHead(400, "Missing Host header")
    path, _, query = target.partition(b"?")
    length = _length(headers, is_modern=is_modern)
    expects = is_modern and _expects(headers)
    _check_encoding(headers)
    is_last = _is_last(headers.get(b"connection"), is_modern=is_modern)
    is_telling = not TELLING.isdisjoint(headers)
    version = b"1." + minor
    return Head(raw, method, target, path, query, version, headers, length, is_last, expects, is_telling)


def request_line(raw: bytes) -> tuple[bytes, bytes]:
    """Return the method and path of a refused head, as far as they can be read; else empty."""
    found = _LINE.match(raw)
    return (found[1].upper(), found[2]) if found is not None else (b"", b"")


def too_long(raw: bytes | bytearray) -> BadHead:
    """Return the refusal of an overlong head: for its target, or for its headers."""
    if raw.find(b"\r\n", 0, HEAD_LIMIT) < 0:
        return BadHead(414, "Request target too long")
    return BadHead(431, "Request headers too large")


def _length(headers: dict[bytes, bytes], *, is_modern: bool) -> int:
    length = headers.get(b"content-length")
    coding = headers.get(b"transfer-encoding")
    if coding is not None:
        if length is not None or not is_modern or coding.lower() != b"chunked":
            raise BadHead(400, "Unusable Transfer-Encoding")
        return CHUNKED
    if length is None:
        return 0
    if not length.isdigit():
        raise BadHead(400, "Malformed Content-Length")
    if len(length) > LENGTH_DIGITS:
        raise BadHead(413, "Request body too large")
    return int(length)


def _expects(headers: dict[bytes, bytes]) -> bool:
    expectation = headers.get(b"expect")
    if expectation is None:
        return False
    if expectation.lower() != b"100-continue":
        raise BadHead(417, "Unknown expectation")
    return True


def _check_encoding(headers: dict[bytes, bytes]) -> None:
    encoding = headers.get(b"content-encoding")
    if encoding and encoding.lower() != b"identity":
        raise BadHead(415, "Compressed request bodies are not taken", b"Accept-Encoding: identity\r\n")


def _is_last(connection: bytes | None, *, is_modern: bool) -> bool:
    if connection is None:
        return not is_modern
    options = [option.strip(_BLANK) for option in connection.lower().split(b",")]
    return b"close" in options or not (is_modern or b"keep-alive" in options)
