"""The return pages of sign-ins at remote servers (OAuth 2.1), and the gateway's client metadata.

If tokens tell principals apart, a sign-in is not complete yet when the browser returns: the user of the browser has to
confirm that the account is to be used for the principal (Note [Whose sign-in it is] in
`mcpgateway.backends.oauth.sign_ins`).
"""

from __future__ import annotations

from collections.abc import Awaitable
from html import escape
from typing import Any
from urllib.parse import parse_qs

from attrs import frozen
from twisted.logger import Logger

from mcpgateway.errors import GatewayError, NotThere
from mcpgateway.frontends.rest.operation import OperationAnswer, OperationRequest
from mcpgateway.interfaces import ISignIns, Returned

PAGE = """\
<!doctype html>
<html lang="en"><meta charset="utf-8"><title>mcpgateway</title>
<body style="font: 16px/1.5 sans-serif; max-width: 32em; margin: 4em auto">{body}</body></html>
"""
ASKING = """\
<p>You have signed in at <b>{server}</b>. From now on <b>{owner}</b> is going to use your account there, whenever it
calls this server through the gateway.</p>
<p>Agree only if that is you, or works for you. If another person has sent you here, close this window.</p>
<form method="post" action="callback"><input type="hidden" name="key" value="{key}">
<button type="submit">I agree</button></form>
"""
GUARDED = {
    "content-security-policy": (
        "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
    ),
    "referrer-policy": "same-origin",  # the address of this page has the code
    "x-frame-options": "DENY",
}


@frozen
class Authorization:
    """The pages for browsers that return from an authorization server."""

    log = Logger()

    _sign_ins: ISignIns

    async def let_in(self, asked: OperationRequest) -> OperationAnswer:
        """Complete the sign-in of a browser that has returned."""
        return await self._told(self._sign_ins.returned(asked.query))

    async def agree(self, asked: OperationRequest) -> OperationAnswer:
        """Confirm the principal of a sign-in."""
        form = parse_qs(asked.body.decode("ascii", "replace"), max_num_fields=10)
        return await self._told(self._sign_ins.agreed(form.get("key", [""])[0]))

    async def document(self, _: OperationRequest) -> Any:
        """Return the gateway's client ID metadata document."""
        found = self._sign_ins.document()
        if found is None:
            raise NotThere(
                "there is no such document", "the gateway has no public address (gateway.public_url)"
            )
        return found

    async def _told(self, wait: Awaitable[Returned]) -> OperationAnswer:
        try:
            returned = await wait
        except GatewayError as why:
            return _page(_text(why.message), 400)
        except Exception:  # noqa: BLE001 - any exception: a browser gets no traceback
            self.log.failure("an answer of an authorization server broke", event="oauth.broken")
            return _page(_text("Something went wrong in the gateway; its log says what."), 400)
        if returned.key:
            members = {"server": returned.server, "owner": returned.owner, "key": returned.key}
            return _page(ASKING.format(**{name: escape(value) for name, value in members.items()}))
        return _page(_text(f"The gateway may use {returned.server} now. You can close this window."))


def _text(text: str) -> str:
    return f"<p>{escape(text)}</p>"


def _page(body: str, status: int = 200) -> OperationAnswer:
    return OperationAnswer(status, None, GUARDED, PAGE.format(body=body).encode(), "text/html; charset=utf-8")
