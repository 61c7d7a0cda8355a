"""The originals of shortened results, for the clients that got the short form.

# Note [Where originals are]
Originals are on disk (`mcpgateway.system.result_files`), so that they cost no memory and survive a restart; memory
holds their records, and the original that was read last, for clients that read page after page.  The oldest are
removed for new ones.  A reference cannot be guessed, and is valid for its principal and for principals that may read
that one's results (`mcpgateway.policy.access`).
"""

from __future__ import annotations

import base64
import hashlib
import secrets
from collections.abc import Callable, Sequence
from typing import Any

from attrs import evolve
from twisted.internet.defer import Deferred, fail, maybeDeferred, succeed
from twisted.logger import Logger
from twisted.python.failure import Failure

from mcpgateway.errors import ConfigError, InvalidParams, NotThere
from mcpgateway.interfaces import IOtherNodes
from mcpgateway.policy.access import may_read
from mcpgateway.system.result_files import ResultFiles, ResultRecord
from mcpgateway.truncation import changes, notes
from mcpgateway.truncation.paging import OpenResult
from mcpgateway.truncation.queries import PageQuery

PREFIX = "r_"
REF_BYTES = 10  # sixteen characters
URI = notes.KEPT
HANDY_BYTES = 262_144  # originals up to that size are written, read and paged at once: a few milliseconds
RECENT_BYTES = 16_777_216  # the largest original that is kept in memory after it was read
RECENT_TICKS = 60

Work = Callable[..., "Deferred[Any]"]


class UnknownResult(InvalidParams):
    """The reference names no result, or one that the principal may not read."""


def _unknown(ref: str) -> UnknownResult:
    return UnknownResult(*missing(ref))


def _not_there(why: Failure, ref: str) -> bytes:
    why.trap(NotThere)
    raise _unknown(ref)


def missing(ref: str) -> tuple[str, str]:
    """Return the message and the hint for a reference that names no result."""
    return (
        f"Result {ref[:100]} not found or expired",
        "Only so many results are kept, each for whoever asked for it; call the tool again for a new one",
    )


class Vault:
    """Keeps originals under references.

    :param spill: their files.
    :param keep: the number of originals that are kept at most.
    :param keep_bytes: the bytes that all of them may take on disk.
    :param seconds: the wall clock.
    :param work: calls a function in a thread, and returns a Deferred of its result.
    :param others: fetches originals of other nodes; None for a gateway that is alone.
    """

    log = Logger()

    def __init__(
        self,
        spill: ResultFiles,
        keep: int,
        keep_bytes: int,
        seconds: Callable[[], float],
        work: Work = maybeDeferred,
        others: IOtherNodes | None = None,
    ) -> None:
        self._others = others
        self._spill = spill
        self._keep = keep
        self._keep_bytes = keep_bytes
        self._seconds = seconds
        self._work = work
        self._by_ref: dict[str, ResultRecord] | None = None  # the oldest first; None until it is needed
        self._by_digest: dict[str, str] = {}
        self._recent: tuple[str, OpenResult] | None = None
        self._idle = 0
        self._has_complained = False

    def configure(self, keep: int, keep_bytes: int) -> None:
        """Change the limits, and remove originals beyond them."""
        self._keep, self._keep_bytes = keep, keep_bytes
        if self._by_ref is not None:
            self._make_room()

    @property
    def _kept(self) -> dict[str, ResultRecord]:
        if self._by_ref is None:
            self._by_ref = {each.ref: each for each in self._spill.found()}
            self._by_digest = {each.digest: each.ref for each in self._by_ref.values()}
            self._make_room()
        return self._by_ref

    def new_ref(self) -> str:
        """Make a reference that cannot be guessed."""
        mark = self._others.mark if self._others is not None else ""
        return mark + PREFIX + base64.b32encode(secrets.token_bytes(REF_BYTES)).decode().lower()

    def known(self, principal: str, original: bytes) -> str | None:
        """Return the reference of an identical result of the principal, if it is still kept; else None."""
        of_disk = self._kept
        ref = self._by_digest.get(_digest(principal, original))
        if ref is None:
            return None
        if not self._spill.has(ref):
            self._lost(of_disk[ref], "its file has gone")
            return None
        of_disk[ref] = of_disk.pop(ref)  # it is the newest again
        return ref

    def compared(self, principal: str, made_by: str, original: bytes) -> Deferred[str]:
        """Compare a result with the last one of its tool for the principal; fires with the sentence, and never fails.

        It is empty unless the two are nearly identical (`mcpgateway.truncation.changes`).
        """
        own = (each for each in reversed(self._kept.values()) if each.principal == principal)
        record = next((each for each in own if each.made_by == made_by), None)
        if record is None or max(record.size, len(original)) > changes.MOST_BYTES:
            return succeed("")
        compared = self.do(max(record.size, len(original)), self._compared, record, original)
        return compared.addErrback(lambda why: why.trap(OSError) and "")

    def _compared(self, record: ResultRecord, original: bytes) -> str:
        found = changes.changes(self._spill.read(record), original)
        return f"Nearly the same as {record.ref}, which you have been given before: {found}" if found else ""

    def keep(self, ref: str, principal: str, original: bytes, made_by: str) -> Deferred[bool]:
        """Keep an original; fires with True if it is kept, and never fails."""
        digest = _digest(principal, original)
        record = ResultRecord(ref, principal, digest, len(original), made_by, self._seconds())
        if not self._keep:
            return succeed(False)
        done = self.do(len(original), self._spill.write, record, original)
        return done.addCallbacks(self._written, self._not_written, callbackArgs=(record,))

    def do(self, size: int, function: Callable[..., Any], *args: Any) -> Deferred[Any]:
        """Call a function with data of some size: at once up to `HANDY_BYTES`, else in a thread."""
        return maybeDeferred(function, *args) if size <= HANDY_BYTES else self._work(function, *args)

    def _written(self, stored: int, record: ResultRecord) -> bool:
        self._has_complained = False
        if stored > self._keep_bytes:
            self._spill.remove(record.ref)
            return False
        self._kept[record.ref] = evolve(record, stored=stored)
        self._by_digest[record.digest] = record.ref
        self._make_room()
        return True

    def _not_written(self, why: Failure) -> bool:
        why.trap(ConfigError)
        if not self._has_complained:
            self.log.warn(
                "results cannot be kept, so they are passed on whole: {why}",
                event="result.unkept",
                why=why.getErrorMessage(),
            )
        self._has_complained = True
        return False

    def _make_room(self) -> None:
        originals = self._by_ref or {}
        size = sum(each.stored for each in originals.values())
        while originals and (len(originals) > self._keep or size > self._keep_bytes):
            oldest = next(iter(originals.values()))
            size -= oldest.stored
            self._drop(oldest)

    def _drop(self, record: ResultRecord) -> None:
        self._kept.pop(record.ref, None)
        if self._by_digest.get(record.digest) == record.ref:
            del self._by_digest[record.digest]
        if self._recent is not None and self._recent[0] == record.ref:
            self._recent = None
        self._spill.remove(record.ref)

    def _record(self, ref: str, principal: str) -> ResultRecord:
        record = self._kept.get(ref)
        if record is None or not may_read(principal, record.principal):
            raise _unknown(ref)
        return record

    def size_of(self, ref: str, principal: str) -> int | None:
        """Return the bytes of a result; None where the principal may read none of that reference."""
        try:
            return self._record(ref, principal).size
        except UnknownResult:
            return None

    def may_have(self, ref: str, principal: str) -> bool:
        """Return whether the principal may read a result of that reference, here or at another node."""
        is_elsewhere = self._others is not None and self._others.has(ref)
        return is_elsewhere or self.size_of(ref, principal) is not None

    def find(self, ref: str, principal: str) -> bytes:
        """Read a whole result, blocking; `fetch` is for large ones.

        :raise UnknownResult: the principal may read no result of that reference.
        """
        record = self._record(ref, principal)
        if self._recent is not None and self._recent[0] == ref:
            self._idle = 0
            return self._recent[1].original
        try:
            return self._read(self._spill.read(record), record)
        except OSError as why:
            raise self._lost(record, str(why)) from None

    def fetch(self, ref: str, principal: str) -> Deferred[bytes]:
        """Read a whole result; fires with it.

        :raise UnknownResult: (through the Deferred) the principal may read no result of that reference.
        :raise GatewayError: (through the Deferred) the node of the result does not answer.
        """
        if self._others is not None and self._others.has(ref):
            return self._others.result(ref, principal).addErrback(_not_there, ref)
        try:
            record = self._record(ref, principal)
        except UnknownResult as why:
            return fail(why)
        if record.size <= HANDY_BYTES or (self._recent is not None and self._recent[0] == ref):
            return maybeDeferred(self.find, ref, principal)
        reading = self._work(self._spill.read, record)
        return reading.addCallbacks(self._read, self._unread, callbackArgs=(record,), errbackArgs=(record,))

    def _read(self, original: bytes, record: ResultRecord) -> bytes:
        if len(original) <= RECENT_BYTES:
            self._recent, self._idle = (record.ref, OpenResult(original)), 0
        return original

    def _unread(self, why: Failure, record: ResultRecord) -> bytes:
        why.trap(OSError)
        raise self._lost(record, why.getErrorMessage())

    def _lost(self, record: ResultRecord, why: str) -> UnknownResult:
        self.log.warn("a result cannot be read any more: {why}", event="result.lost", ref=record.ref, why=why)
        self._drop(record)
        return _unknown(record.ref)

    def page(self, ref: str, principal: str, query: PageQuery) -> Deferred[dict[str, Any]]:
        """Read a page of a result; fires with its members, the reference first.

        :raise InvalidParams: (through the Deferred) the reference names no result, or the query does not fit it.
        """

        def paged(original: bytes) -> Deferred[dict[str, Any]]:
            recent = self._recent
            opened = (
                recent[1] if recent is not None and recent[1].original is original else OpenResult(original)
            )
            return self.do(len(original), opened.page, query)

        return self.fetch(ref, principal).addCallback(paged).addCallback(lambda found: {"ref": ref, **found})

    def listed(self, principal: str) -> Sequence[ResultRecord]:
        """Return the records of results that a principal may read, the newest first."""
        return [each for each in reversed(self._kept.values()) if may_read(principal, each.principal)]

    def resources(self, principal: str) -> list[dict[str, Any]]:
        """Return the results that a principal may read, as entries of ``resources/list``."""
        return [
            {
                "uri": URI + each.ref,
                "name": f"Result of {each.made_by or 'a tool'}",
                "mimeType": "application/json",
                "size": each.size,
            }
            for each in self.listed(principal)
        ]

    def tick(self) -> None:
        """Advance by one second: release the original in memory after `RECENT_TICKS` without use."""
        self._idle += 1
        if self._idle > RECENT_TICKS:
            self._recent = None

    def close(self) -> None:
        """Release all memory; the files stay for the next gateway."""
        self._by_ref, self._by_digest, self._recent = None, {}, None


def _digest(principal: str, original: bytes) -> str:
    whose = hashlib.sha256(principal.encode(errors="surrogatepass")).digest()
    return hashlib.sha256(whose + original).hexdigest()


def ref_of(uri: str) -> str | None:
    """Return the reference in the URI of a result; None for any other URI."""
    return uri.removeprefix(URI) if uri.startswith(URI) else None
