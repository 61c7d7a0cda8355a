"""Mischief between a client and an authorization server, on demand, in front of a server for tests.

    POST /test   {"forget": true}                   all registered clients are forgotten
                 {"fail": {"/token": [503, 503]}}   the next requests to a path are answered with these statuses
                 {"html": ["/.well-known/..."]}     a page stands at these paths, and no document
                 {"gone": ["/.well-known/..."]}     nothing stands there
                 {"metadata": "http://..."}         where refusals say that the metadata of the resource is
                 {"elevate": "tools more"}          calls of the tool ``elevate`` need these scopes
                 {"reset": true}                    none of that any more
    GET /test    how often each path was asked, and the clients that are registered

The user of a browser stands in its cookie ``user``.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from contextvars import ContextVar
from http.cookies import SimpleCookie
from typing import Any

NOBODY = "somebody"
user: ContextVar[str] = ContextVar("user", default=NOBODY)
"""Whose browser asks."""

PAGE = b"<!doctype html><title>Welcome</title><p>Nothing to see here."


class Mischief:
    """An ASGI middleware.

    :param forget: forgets all clients.
    :param clients: those that are registered.
    :param scopes_of: the scopes of an access token.
    """

    def __init__(
        self,
        app: Any,
        forget: Callable[[], None],
        clients: Callable[[], Any],
        scopes_of: Callable[[str], list[str]],
    ) -> None:
        self._app = app
        self._forget = forget
        self._clients = clients
        self._scopes_of = scopes_of
        self._asked: Counter[str] = Counter()
        self._reset()

    def _reset(self) -> None:
        self._said: dict[str, Any] = {"fail": {}, "html": [], "gone": [], "metadata": "", "elevate": ""}

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Pass a request on, or answer it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        path = scope["path"]
        if path == "/test":
            await _answer(send, 200, await self._told(scope, receive))
            return
        self._asked[f"{scope['method']} {path}"] += 1
        failures = self._said["fail"].get(path)
        if failures:
            await _answer(send, failures.pop(0), {"error": "temporarily_unavailable"})
        elif path in self._said["html"]:
            await _answer(send, 200, PAGE, "text/html")
        elif path in self._said["gone"]:
            await _answer(send, 404, {"error": "not found"})
        else:
            await self._pass_on(scope, receive, send)

    async def _told(self, scope: Any, receive: Any) -> Any:
        if scope["method"] == "POST":
            said = json.loads(await _body(receive))
            if said.pop("reset", False):
                self._reset()
                self._asked.clear()
            if said.pop("forget", False):
                self._forget()
            self._said.update(said)
        return {"asked": self._asked, "clients": self._clients()}

    async def _pass_on(self, scope: Any, receive: Any, send: Any) -> None:
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        cookie = SimpleCookie(headers.get("cookie", "")).get("user")
        user.set(cookie.value if cookie is not None else NOBODY)
        if self._said["elevate"] and scope["path"] == "/mcp" and scope["method"] == "POST":
            body = await _body(receive)
            token = headers.get("authorization", "").removeprefix("Bearer ")
            wanted = self._said["elevate"]
            if b'"elevate"' in body and not set(wanted.split()) <= set(self._scopes_of(token)):
                said = f'Bearer error="insufficient_scope", scope="{wanted}"'.encode()
                await _answer(
                    send, 403, {"error": "insufficient_scope"}, extra=((b"www-authenticate", said),)
                )
                return
            receive = _again(body)
        await self._app(scope, receive, self._misleading(send) if self._said["metadata"] else send)

    def _misleading(self, send: Any) -> Any:
        said = f'Bearer resource_metadata="{self._said["metadata"]}"'.encode()

        async def sent(message: Any) -> None:
            if message["type"] == "http.response.start" and message["status"] == 401:
                kept = [each for each in message["headers"] if each[0].lower() != b"www-authenticate"]
                message = {**message, "headers": [*kept, (b"www-authenticate", said)]}
            await send(message)

        return sent


async def _body(receive: Any) -> bytes:
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    return body


def _again(body: bytes) -> Any:
    messages = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> Any:
        return messages.pop() if messages else {"type": "http.disconnect"}

    return receive


async def _answer(
    send: Any, status: int, value: Any, media: str = "application/json", extra: tuple[Any, ...] = ()
) -> None:
    body = value if isinstance(value, bytes) else json.dumps(value).encode()
    headers = [(b"content-type", media.encode()), (b"content-length", b"%d" % len(body)), *extra]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
