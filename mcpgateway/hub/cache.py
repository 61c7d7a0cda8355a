"""Results that servers let be kept for a while (MCP 2026-07-28, ``ttlMs`` and ``cacheScope``)."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any

from attrs import frozen
from msgspec import Raw

from mcpgateway.errors import GatewayError
from mcpgateway.wire import jsonrpc, peek
from mcpgateway.wire.jsonrpc import Envelope
from mcpgateway.wire.translate import CACHEABLE, RETRIED

RESULTS_LIMIT = 1000
BYTES_LIMIT = 8 * 2**20
RESULT_LIMIT = 2**20  # bytes of one of them
TTL_LIMIT_MS = 3_600_000
PUBLIC = ""  # the principal of what everybody may see

_OF_LIST = {
    "notifications/tools/list_changed": ("tools/list",),
    "notifications/prompts/list_changed": ("prompts/list",),
    "notifications/resources/list_changed": ("resources/list", "resources/templates/list"),
}

Key = tuple[Hashable, str, bytes, str]


@frozen
class _Kept:
    """One result, its first level decoded."""

    members: Envelope
    size: int
    good_until: float
    uri: str | None


class ResultCache:
    """All of them, of all servers; the least recently used go first.

    :param seconds: the clock.
    """

    def __init__(self, seconds: Callable[[], float]) -> None:
        self._seconds = seconds
        self._kept: OrderedDict[Key, _Kept] = OrderedDict()
        self._size = 0

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, server: Hashable, method: str, params: Envelope | None, principal: str) -> Raw | None:
        """What is kept for a request, with what is left of its time; None if nothing is."""
        if not self._kept or not RETRIED.isdisjoint(params or ()):
            return None
        asked = _asked(params)
        for whose in (PUBLIC, principal):
            key = (server, method, asked, whose)
            kept = self._kept.get(key)
            if kept is None:
                continue
            left = int((kept.good_until - self._seconds()) * 1000)
            if left > 0:
                self._kept.move_to_end(key)
                return jsonrpc.raw(kept.members | {"ttlMs": jsonrpc.raw(left)})
            self._drop(key)
        return None

    def put(
        self, server: Hashable, method: str, params: Envelope | None, principal: str, result: Raw
    ) -> None:
        """Keep a result, if it may be kept."""
        data = bytes(result)
        if method not in CACHEABLE or not RETRIED.isdisjoint(params or ()):
            return
        if b'"ttlMs"' not in data or len(data) > RESULT_LIMIT:
            return
        members = peek.members({"result": result}, "result")
        ttl = _number(members)
        if ttl <= 0 or (peek.text(members, "resultType") or "complete") != "complete":
            return
        whose = PUBLIC if peek.text(members, "cacheScope") == "public" else principal
        key = (server, method, _asked(params), whose)
        self._drop(key)
        until = self._seconds() + min(ttl, TTL_LIMIT_MS) / 1000
        self._kept[key] = _Kept(members, len(data), until, peek.text(params, "uri", jsonrpc.URI_LIMIT))
        self._size += len(data)
        while len(self._kept) > RESULTS_LIMIT or self._size > BYTES_LIMIT:
            self._drop(next(iter(self._kept)))

    def _drop(self, key: Key) -> None:
        kept = self._kept.pop(key, None)
        if kept is not None:
            self._size -= kept.size

    def changed(self, server: Hashable, method: str, what: str | None) -> None:
        """Forget what a notification says is not true any more.

        :param method: the notification's.
        :param what: the resource it is of.
        """
        lists = _OF_LIST.get(method, ())
        self._forget_where(
            lambda key, kept: (
                key[0] == server
                and (key[1] in lists or (not lists and kept.uri is not None and _is_part(kept.uri, what)))
            )
        )

    def forget(self, server: Hashable) -> None:
        """Forget everything of a server."""
        self._forget_where(lambda key, _: key[0] == server)

    def _forget_where(self, holds: Callable[[Key, _Kept], bool]) -> None:
        for key in [key for key, kept in self._kept.items() if holds(key, kept)]:
            self._drop(key)


def _asked(params: Envelope | None) -> bytes:
    return (
        jsonrpc.encode({name: params[name] for name in sorted(params) if name != "_meta"})
        if params
        else b"{}"
    )


def _number(members: Envelope) -> float:
    try:
        found: Any = jsonrpc.value(members["ttlMs"], float)
    except (KeyError, GatewayError):
        return 0.0
    return float(found)


def _is_part(uri: str, what: str | None) -> bool:
    return what is None or uri.startswith(what) or what.startswith(uri)
