"""Where users' browsers come back to from letting the gateway in at remote servers (OAuth 2.1)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from html import escape

from attrs import frozen
from twisted.internet.defer import Deferred
from twisted.logger import Logger

from mcpgateway.doors.http.rest.asking import Answer, Asked
from mcpgateway.errors import GatewayError

LetIn = Callable[[Mapping[str, str]], Deferred[str]]
"""Takes what a browser brings back from an authorization server; fires with the name of the server it was for."""

PAGE = """\
<!doctype html>
<html lang="en"><meta charset="utf-8"><title>mcpgateway</title>
<body style="font: 16px/1.5 sans-serif; max-width: 32em; margin: 4em auto"><p>{text}</p></body></html>
"""
GUARDED = {
    "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'",
    "referrer-policy": "no-referrer",  # the address of this page holds the code
}


@frozen
class Authorization:
    """Tells browsers how it went."""

    log = Logger()

    _let_in: LetIn

    async def let_in(self, asked: Asked) -> Answer:
        """A user's browser comes back."""
        try:
            server = await self._let_in(asked.query)
        except GatewayError as why:
            return _page(why.message, 400)
        except Exception:  # noqa: BLE001 - whatever it was, its traceback is not the browser's
            self.log.failure("an answer of an authorization server broke", event="oauth.broken")
            return _page("Something went wrong in the gateway; its log says what.", 400)
        return _page(f"The gateway may use {server} now. You can close this window.")


def _page(text: str, status: int = 200) -> Answer:
    body = PAGE.format(text=escape(text)).encode()
    return Answer(status, None, GUARDED, body, "text/html; charset=utf-8")
