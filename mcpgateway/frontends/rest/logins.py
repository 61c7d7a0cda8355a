"""Sign-ins at servers: each principal signs in and out for itself."""

from __future__ import annotations

from typing import Any

from attrs import frozen

from mcpgateway.config.fields import DURATION_WORDS, seconds_in
from mcpgateway.errors import InvalidParams
from mcpgateway.frontends.rest.operation import OperationRequest
from mcpgateway.manage import logins

EXPECTED = 'an object such as {}, {"again": true}, {"device": true} or {"answer": "http://127.0.0.1:9100/oauth/callback?code=…"}'
WAIT_S = 60.0  # the most that a request waits; a client that has to wait longer sends another
TRUE = frozenset(("true", "1", "yes"))


@frozen
class LoginRoutes:
    """The operations on sign-ins."""

    _logins: logins.Logins

    async def look(self, asked: OperationRequest) -> Any:
        """Return the caller's sign-in state at a server."""
        found = await self._logins.wait(asked.path["name"], asked.principal, _limit(asked))
        return found.shown()

    async def login(self, asked: OperationRequest) -> Any:
        """Return the address or the code of a sign-in, or complete one with the pasted redirect."""
        body = asked.json_object(EXPECTED) if asked.body.strip() else {}
        again, device, answer = body.get("again", False), body.get("device", False), body.get("answer")
        for key, value in (("again", again), ("device", device)):
            if not isinstance(value, bool):
                raise InvalidParams(f'"{key}" must be true or false', EXPECTED)
        if answer is not None and not isinstance(answer, str):
            raise InvalidParams('"answer" must be a text', EXPECTED)
        name, principal = asked.path["name"], asked.principal
        if answer is not None:
            return (await self._logins.answer(name, principal, answer)).shown()
        begin = self._logins.begin_device if device else self._logins.begin
        return (await begin(name, principal, again=again)).shown()

    async def logout(self, asked: OperationRequest) -> Any:
        """Revoke the caller's grant, and on demand delete the registration."""
        registration = asked.query.get("forget", "").lower() in TRUE
        name = asked.path["name"]
        found = await self._logins.forget(name, asked.principal, registration=registration)
        return {
            "server": name,
            "signed_out": found.was_granted,
            "revoked": found.revoked,
            "forgotten": found.was_registered,
            "unregistered": found.unregistered,
        }


def _limit(asked: OperationRequest) -> float:
    text = asked.query.get("wait")
    if text is None:
        return 0.0
    seconds = seconds_in(text)
    if seconds is None:
        raise InvalidParams(f'"wait" must be {DURATION_WORDS}')
    return min(seconds, WAIT_S)
