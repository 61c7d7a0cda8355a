"""JSON documents over HTTP, bounded in size and time; fetching blocks.

The proxies are those of the environment (``HTTPS_PROXY`` and its like), and certificates are checked.
"""

from __future__ import annotations

import http.client
import json
import socket
import time
import urllib.error
import urllib.request
from http.client import HTTPMessage
from typing import IO, Any
from urllib.parse import urlsplit

from mcpgateway.config.document import printable
from mcpgateway.errors import BackendError, BadReply, Unreachable

BODY_LIMIT = 4 * 1_048_576  # a page of a hundred servers has about 300 KB
SILENCE_S = 10.0
LIMIT_S = 30.0
PIECE = 65_536
REDIRECTS = 5
SCHEMES = ("http", "https")
GONE = (404, 410)


class Missing(BackendError):
    """The place has no such document."""


def fetch_json(url: str, limit: int = BODY_LIMIT) -> Any:
    """Return a document, decoded; the function blocks.

    :param limit: the size of the document, in bytes.
    :raise BackendError: the document cannot be had, or is no JSON.
    """
    shown = _shown(url)
    request = urllib.request.Request(url, headers={"Accept": "application/json"})  # noqa: S310 - checked below
    try:
        if urlsplit(url).scheme not in SCHEMES:
            raise BadReply(f"{shown} is no http or https URL")
        with _opener().open(request, timeout=SILENCE_S) as answer:
            body = _body(answer, limit, shown)
    except urllib.error.HTTPError as why:
        why.close()
        if why.code in GONE:
            raise Missing(f"{shown} does not exist: the answer is {why.code}") from None
        raise BadReply(f"{shown} is refused: the answer is {why.code} {printable(str(why.reason))}") from None
    except (OSError, http.client.HTTPException) as why:
        reason = getattr(why, "reason", None) or why
        text = _reason(reason) or type(why).__name__
        raise Unreachable(f"{shown} cannot be reached: {printable(text)}") from None
    except ValueError as why:
        raise BadReply(f"{shown} is no URL: {printable(str(why))}") from None
    return decoded(body, shown)


def _reason(why: object) -> str:
    if isinstance(why, TimeoutError):
        return "no answer in time"
    if isinstance(why, socket.gaierror):
        return "the name of its host is not found"
    return str(why)


def decoded(body: bytes, what: str) -> Any:
    """Return the value of a JSON text.

    :param what: the document, for the error.
    :raise BadReply: the text is no JSON.
    """
    try:
        return json.loads(body)
    except RecursionError:
        raise BadReply(f"{what} is nested too deeply") from None
    except ValueError as why:
        if isinstance(why, json.JSONDecodeError):
            raise BadReply(f"{what}, line {why.lineno}, column {why.colno}: is not valid JSON") from None
        raise BadReply(f"{what} is not valid JSON") from None


def _body(answer: http.client.HTTPResponse, limit: int, shown: str) -> bytes:
    ends = time.monotonic() + LIMIT_S
    pieces: list[bytes] = []
    size = 0
    while piece := answer.read1(PIECE):
        size += len(piece)
        if size > limit:
            raise BadReply(f"{shown} has more than {limit:,} bytes")
        if time.monotonic() > ends:
            raise Unreachable(f"{shown} takes longer than {LIMIT_S:g} s")
        pieces.append(piece)
    return b"".join(pieces)


class _Redirects(urllib.request.HTTPRedirectHandler):
    max_redirections = REDIRECTS

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        """Follow a redirection that stays with HTTP, and does not leave TLS."""
        scheme = urlsplit(newurl).scheme
        if scheme not in SCHEMES or (req.type == "https" and scheme == "http"):
            raise urllib.error.HTTPError(req.full_url, code, "a redirection that leaves https", headers, fp)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _opener() -> urllib.request.OpenerDirector:
    # The usual opener reads files and speaks FTP, too.
    opener = urllib.request.OpenerDirector()
    for each in (
        urllib.request.ProxyHandler,
        urllib.request.HTTPHandler,
        urllib.request.HTTPSHandler,
        urllib.request.HTTPDefaultErrorHandler,
        urllib.request.HTTPErrorProcessor,
        _Redirects,
    ):
        opener.add_handler(each())
    opener.addheaders = [("User-Agent", "mcpgateway")]
    return opener


def _shown(url: str) -> str:
    # A query may hold a key.
    return printable(url.partition("?")[0])
