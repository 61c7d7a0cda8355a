"""The cache of results, each for as long as its server allows (MCP 2026-07-28, "Caching").

# Note [Who is given what]
A result is for the principal that asked; other principals get it only if its server declares it public.  The client's
capabilities are a part of the key as well: servers may omit items that a client could not use.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from math import ceil

from attrs import field, frozen
from msgspec import Raw

from mcpgateway.policy import routing
from mcpgateway.protocol import jsonrpc, peek
from mcpgateway.protocol.jsonrpc import URI_LIMIT, Envelope
from mcpgateway.protocol.modern import CAPABILITIES_KEY
from mcpgateway.protocol.request_states import digest_of
from mcpgateway.protocol.translate import CACHEABLE, COMPLETE, RETRIED, kind_of

RESULTS_LIMIT = 1000
BYTES_LIMIT = 8 * 1024 * 1024  # of all results
RESULT_LIMIT = 1024 * 1024  # bytes; a longer one would drive out too many others
KEPT_MS = 60 * 60 * 1000  # the limit, because some servers allow far too long

READ = "resources/read"
_CONCERNED = {
    "tools": ("tools/list",),
    "prompts": ("prompts/list",),
    "resources": (
        "resources/list",
        "resources/templates/list",
        READ,
    ),  # a resource that is not listed any more may be gone
}


@frozen
class _Key:
    """The key of a result.

    :ivar owner: the principal that it is for; None if it is public.
    """

    server: Hashable
    method: str
    digest: bytes
    owner: str | None


@frozen
class _Kept:
    """One result.

    :ivar rest: its JSON after ``ttlMs``, which is written anew each time.
    :ivar uri: the resource that was read; None for any other method.
    """

    rest: bytes = field(repr=False)
    ttl_ms: int
    since: float
    uri: str | None

    def left_ms(self, now: float) -> int:
        """Return the remaining time of its validity; 0 if it has expired."""
        age = ceil((now - self.since) * 1000)
        return self.ttl_ms - age if 0 <= age < min(self.ttl_ms, KEPT_MS) else 0


class ResultCache:
    """The cached results of all servers; the least recently used go first.

    :ivar size: the size of all results, in bytes.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self.size = 0
        self._clock = clock
        self._kept: dict[_Key, _Kept] = {}  # in the order of their use

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, server: Hashable, method: str, params: Envelope | None, principal: str) -> Raw | None:
        """Return the cached result of an equal request, with the remaining ``ttlMs``; None without one."""
        if not self._kept or not _is_cacheable(method, params):
            return None
        digest = _asked(params)
        for owner in (principal, None):
            key = _Key(server, method, digest, owner)
            cached = self._kept.get(key)
            if cached is None:
                continue
            left = cached.left_ms(self._clock())
            if left:
                self._kept[key] = self._kept.pop(key)
                return Raw(b'{"ttlMs":%d%b' % (left, cached.rest))
            self._drop(key)
        return None

    def put(
        self, server: Hashable, method: str, params: Envelope | None, principal: str, result: Raw
    ) -> None:
        """Keep a result, if its server allows it."""
        if not _is_cacheable(method, params):
            return
        text = bytes(result)
        if b'"ttlMs"' not in text or len(text) > RESULT_LIMIT or kind_of(result) != COMPLETE:
            return
        members = peek.members({"result": result}, "result")
        ttl = jsonrpc.integer(members.pop("ttlMs", None)) or 0
        uri = peek.text(params, "uri", URI_LIMIT) if method == READ else None
        if ttl <= 0 or (method == READ and uri is None):
            return
        digest = _asked(params)
        for former in (principal, None):
            self._drop(_Key(server, method, digest, former))
        owner = None if peek.text(members, "cacheScope") == "public" else principal
        cached = _Kept((b"," if members else b"") + jsonrpc.encode(members)[1:], ttl, self._clock(), uri)
        self._kept[_Key(server, method, digest, owner)] = cached
        self.size += len(cached.rest)
        while len(self._kept) > RESULTS_LIMIT or self.size > BYTES_LIMIT:
            self._drop(next(iter(self._kept)))

    def invalidate(self, server: Hashable, kind: str, uri: str | None = None) -> None:
        """Forget results after a change that a server announces.

        :param kind: ``tools``, ``prompts`` or ``resources``.
        :param uri: the resource that has changed, or a part of one; None if the list has changed.
        """
        methods = _CONCERNED.get(kind, ())
        for key, cached in list(self._kept.items()):
            if key.server != server or key.method not in methods:
                continue
            if uri is None or (cached.uri is not None and routing.is_part(uri, cached.uri)):
                self._drop(key)

    def forget(self, server: Hashable) -> None:
        """Forget all results of a server, whose next child may answer otherwise."""
        for key in [each for each in self._kept if each.server == server]:
            self._drop(key)

    def _drop(self, key: _Key) -> None:
        cached = self._kept.pop(key, None)
        if cached is not None:
            self.size -= len(cached.rest)


def _is_cacheable(method: str, params: Envelope | None) -> bool:
    return method in CACHEABLE and RETRIED.isdisjoint(params or ())


def _asked(params: Envelope | None) -> bytes:
    # The parameters and the client's capabilities.
    meta = peek.members(params, "_meta") if params is not None and "_meta" in params else {}
    can = {CAPABILITIES_KEY: meta[CAPABILITIES_KEY]} if CAPABILITIES_KEY in meta else {}
    return digest_of((params or {}) | can)
