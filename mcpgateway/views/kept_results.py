"""The originals of shortened results, as resources of every view for their principals.

New ones are not notified: the shortened result names its own original, and lists are fetched often enough.
"""

from __future__ import annotations

from typing import Any

from msgspec import Raw
from twisted.internet.defer import Deferred, fail

from mcpgateway.discovery.records import ListKind
from mcpgateway.errors import InvalidParams
from mcpgateway.hub.results import originals as vault
from mcpgateway.hub.results.originals import URI, Vault, ref_of
from mcpgateway.protocol import jsonrpc
from mcpgateway.protocol.translate import COMPLETE
from mcpgateway.protocol.versions import Era

READ_LIMIT = 16_777_216  # bytes of one answer; a larger original is read in pages
# The original under a reference never changes while it is kept.
OF_ERA: dict[Era, dict[str, Any]] = {
    Era.LEGACY: {},
    Era.MODERN: {"resultType": COMPLETE, "ttlMs": 60_000, "cacheScope": "private"},
}
"""Further members of the result of a ``resources/read``, by era."""
TEMPLATE = jsonrpc.raw(
    {
        "uriTemplate": f"{URI}{{ref}}",
        "name": "Kept result",
        "description": "The whole of a result that was shortened, by the reference that stands in it.",
        "mimeType": "application/json",
    }
)


class KeptResults:
    """The kept originals, by URI."""

    def __init__(self, vault: Vault) -> None:
        self._vault = vault

    def entries(self, kind: ListKind, principal: str) -> list[Raw]:
        """Return their entries in a list of a view."""
        if kind is ListKind.TEMPLATE:
            return [TEMPLATE]
        if kind is ListKind.RESOURCE:
            return [jsonrpc.raw(each) for each in self._vault.resources(principal)]
        return []

    def has(self, uri: str, principal: str) -> bool:
        """True if a principal can read a URI here."""
        ref = ref_of(uri)
        return ref is not None and self._vault.may_have(ref, principal)

    def read(self, uri: str, principal: str) -> Deferred[dict[str, Any]]:
        """Read an original; fires with the result of a ``resources/read``.

        :raise InvalidParams: (through the Deferred) the original is not kept, or is too large for one answer.
        """
        ref = ref_of(uri) or ""
        size = self._vault.size_of(ref, principal) or 0
        if size > READ_LIMIT:
            why = f"Result {ref} has {size} bytes, which are too many for one answer"
            return fail(InvalidParams(why, "gateway_get_result shows it page by page"))

        def whole(original: bytes) -> Deferred[dict[str, Any]]:
            return self._vault.do(len(original), _contents, uri, original)

        return self._vault.fetch(ref, principal).addCallback(whole)


def with_kept(listed: Raw, entries: list[Raw]) -> Raw:
    """Add entries to the result of a list; by bytes, since a list may be long to decode."""
    whole = bytes(listed)
    if not entries or all(bytes(each) in whole for each in entries):
        return listed
    added = b",".join(bytes(each) for each in entries)
    return Raw(whole[:-2] + (b"" if whole.endswith(b"[]}") else b",") + added + b"]}")


def missing(uri: str) -> tuple[str, str]:
    """Return the message and the hint for a URI that is no resource."""
    ref = ref_of(uri)
    return (f"Resource not found: {uri}", "") if ref is None else vault.missing(ref)


def _contents(uri: str, original: bytes) -> dict[str, Any]:
    content = {"uri": uri, "mimeType": "application/json", "text": original.decode(errors="replace")}
    return {"contents": jsonrpc.raw([content])}
