"""Jobs: calls in the background, queued, run a few at a time, with results that are stored.

# Note [What is kept where]
A waiting or running job is in memory, and its file records its state.  An ended one is in its file, which has the
reference of a result that is too large for it: such a result is with the originals of results
(`mcpgateway.hub.results.originals`), for as long as those are kept.  Results that could be written to neither are in
memory.  So after a restart of the gateway a client finds the results of ended jobs, and of the others that they were
interrupted, or never begun.  The arguments of a call are in no file.
"""

from __future__ import annotations

import secrets
from heapq import heappop, heappush
from typing import TYPE_CHECKING, Any

import msgspec
from attrs import define, evolve, field
from msgspec import Raw
from twisted.internet.defer import Deferred, succeed

from mcpgateway.discovery.records import Item
from mcpgateway.errors import GatewayError, InvalidParams, NotThere, Overloaded, ShuttingDown
from mcpgateway.interfaces import IOtherNodes, Request
from mcpgateway.owntools import answers
from mcpgateway.owntools.answers import Shield, unshielded
from mcpgateway.owntools.deadline import Deadline
from mcpgateway.owntools.job_records import UNFINISHED, JobRecord, JobStatus, JobStore, UnknownJob
from mcpgateway.owntools.tool import Access
from mcpgateway.policy.access import may_read
from mcpgateway.protocol import jsonrpc, peek
from mcpgateway.protocol.jsonrpc import Envelope

if TYPE_CHECKING:
    from twisted.python.failure import Failure

    from mcpgateway.hub.results.originals import Vault

AT_ONCE = 3
KEPT = 200
KEPT_BYTES = 16_777_216  # of results of ended jobs in memory
FILE_BYTES = 131_072  # a shortened result has half of that
LOG_LINES, LOG_CHARACTERS = 50, 300
QUIET_S, WHOLE_S = 600.0, 3600.0  # timeouts of a job without progress, and of any job
TAKEN_BACK = "notifications/cancelled"  # a server's notification that cancels its question
INTERRUPTED = "the gateway was stopped before it ended; it may have had effects"
NOT_BEGUN = "the gateway was stopped before it began; the tool was not called"


@define(eq=False, repr=False)
class Job:
    """An unfinished job, which is the sink of its call.

    :ivar item: the tool that is called.
    :ivar level: level of shortening of its result; None for the view's level.
    """

    jobs: Jobs = field(repr=False)
    record: JobRecord
    item: Item
    arguments: Raw = field(repr=False)
    access: Access = field(repr=False)
    level: Any = None
    quiet_s: float = QUIET_S
    request: Request | None = None
    deadline: Deadline | None = None
    is_gone: bool = field(default=False, init=False)  # a client may ask for the job later

    def answered(self, request: Request, reply: Envelope) -> None:
        """End the job with the server's own response."""
        if "result" not in reply:
            error = peek.members(reply, "error")
            self.jobs.ended(
                self, JobStatus.FAILED, peek.text(error, "message", jsonrpc.URI_LIMIT) or "refused"
            )
            return
        self.record.result = reply["result"]
        kind = peek.text(peek.members(reply, "result"), "resultType") or "complete"
        if kind == "input_required":
            self.jobs.ended(
                self, JobStatus.FAILED, "the tool asks its caller something, and a job has no client"
            )
        elif answers.is_failed(reply):
            self.jobs.ended(self, JobStatus.FAILED, "the tool has failed; its result says why")
        else:
            self.jobs.ended(self, JobStatus.COMPLETED)

    def failed(self, request: Request, why: GatewayError) -> None:
        """End the job with an error."""
        if isinstance(why, ShuttingDown):
            self.jobs.ended(
                self, JobStatus.INTERRUPTED, INTERRUPTED if self.request is not None else NOT_BEGUN
            )
        else:
            self.jobs.ended(self, JobStatus.FAILED, why.message, why.advice)

    def progressed(self, request: Request, message: bytes) -> None:
        """Keep the call's progress."""
        if self.deadline is not None:
            self.deadline.progressed()
        params = peek.members(jsonrpc.decode(message), "params")
        known = ("progress", "total", "message")
        self.record.progress = jsonrpc.raw({name: params[name] for name in known if name in params})

    def noticed(self, request: Request, message: bytes) -> bool:
        """Keep a log message of the call, and refuse a question, since a job has no client."""
        envelope = jsonrpc.decode(message)
        method = peek.text(envelope, "method")
        if "id" in envelope or method == TAKEN_BACK:
            return False
        if method == "notifications/message":
            params = peek.members(envelope, "params")
            data = bytes(params.get("data", b"")).decode("utf-8", "replace").strip('"')
            line = f"{peek.text(params, 'level') or 'info'}: {data}"[:LOG_CHARACTERS]
            self.record.logs = [*self.record.logs[-LOG_LINES + 1 :], line]
        return True


class Jobs:
    """All jobs; a few run at a time, those of higher priority first, and of one priority the oldest.

    :param store: storage of their records.
    :param shield: shortens the result of a job's call.
    :param vault: store for results that are too large for a file; None for none.
    :param others: fetches jobs of other nodes; None for a gateway that is alone.
    """

    def __init__(
        self,
        clock: Any,
        store: JobStore,
        shield: Shield = unshielded,
        vault: Vault | None = None,
        others: IOtherNodes | None = None,
    ) -> None:
        self._others = others
        self._clock = clock
        self._store = store
        self._shield = shield
        self._vault = vault
        self._is_open = True
        self._serial = 0
        self._waiting: list[tuple[int, int, Job]] = []
        self._jobs: dict[str, Job] = {}  # unfinished jobs
        self._over: dict[str, JobRecord] = {}  # ended jobs that are not completely in a file
        self._names: dict[str, None] | None = (
            None  # ids of all jobs, the oldest first; None until they are read
        )
        self._running = 0

    def add(
        self,
        access: Access,
        item: Item,
        identifier: str,
        arguments: Raw,
        *,
        priority: int = 0,
        level: Any = None,
        quiet_s: float = QUIET_S,
    ) -> JobRecord:
        """Queue a call.

        :param identifier: the tool's id, as its caller uses it.
        :raise Overloaded: too many jobs are unfinished.
        :raise ShuttingDown: the gateway is stopping.
        """
        if not self._is_open:
            raise ShuttingDown("the gateway is stopping")
        self._make_room()
        now = self._clock.seconds()
        mark = self._others.mark if self._others is not None else ""
        name = f"{mark}job_{int(now * 1000)}_{secrets.token_urlsafe(12)}"
        record = JobRecord(
            principal=access.principal, job=name, tool=identifier, priority=priority, created=now
        )
        job = Job(self, record, item, arguments, access, level, quiet_s)
        self._jobs[name] = job
        self._all()[name] = None
        self._write(record)
        self._serial += 1
        heappush(self._waiting, (-priority, self._serial, job))
        self._clock.callLater(0, self._go_on)  # the caller first gets the answer that it is queued
        return record

    def _all(self) -> dict[str, None]:
        if self._names is None:
            self._names = dict.fromkeys(sorted(self._store.names()))
        return self._names

    def _make_room(self) -> None:
        names = self._all()
        while len(names) >= KEPT:
            oldest = next((each for each in names if each not in self._jobs), None)
            if oldest is None:
                raise Overloaded(f"{KEPT} jobs wait already", "wait until some are over, or cancel some")
            del names[oldest]
            self._over.pop(oldest, None)
            self._store.remove(oldest)

    def _go_on(self) -> None:
        while self._is_open and self._running < AT_ONCE and self._waiting:
            _, _, job = heappop(self._waiting)
            if job.record.status is JobStatus.QUEUED:
                self._start(job)

    def _start(self, job: Job) -> None:
        record = job.record
        record.status, record.started = JobStatus.RUNNING, self._clock.seconds()
        self._running += 1
        if not self._write(record):
            self._store.remove(record.job)  # which records it as not begun
        job.deadline = Deadline(
            self._clock, job.quiet_s, max(WHOLE_S, job.quiet_s), lambda: self._too_late(job)
        )
        try:
            job.request = job.access.begin(job.item.server, job.item.own, job.arguments, job)
            self._shield(job.request, job.item, job.level, job.access)
        except GatewayError as why:
            job.failed(job.request or Request(None, jsonrpc.own_request("tools/call"), None, job), why)

    def _too_late(self, job: Job) -> None:
        self._take_back(
            job, JobStatus.FAILED, f"TIMEOUT: Tool {job.record.tool} exceeded {round(job.quiet_s * 1000)}ms"
        )

    def _take_back(self, job: Job, status: JobStatus, why: str) -> None:
        call = job.request
        self.ended(job, status, why)
        if call is not None:
            job.access.cancel(call, why)

    def ended(self, job: Job, status: JobStatus, error: str = "", hint: str = "") -> None:
        """End a job; later messages of its call are ignored."""
        record = job.record
        if self._jobs.pop(record.job, None) is None:
            return
        self._running -= record.status is JobStatus.RUNNING
        record.status, record.error, record.hint = status, error, hint
        record.finished = self._clock.seconds()
        if job.deadline is not None:
            job.deadline.stop()
        if not self._put_by(record) and not self._write(record):
            self._keep(record)
        self._clock.callLater(0, self._go_on)

    def _put_by(self, record: JobRecord) -> bool:
        # Its file has the reference at once, as the gateway may end before the result is written.
        if self._vault is None or len(msgspec.json.encode(record)) <= FILE_BYTES:
            return False
        whole = bytes(record.result)
        known = self._vault.known(record.principal, whole)
        record.ref = known or self._vault.new_ref()
        self._write(record)
        self._keep(record)
        keeping = (
            succeed(True) if known else self._vault.keep(record.ref, record.principal, whole, record.tool)
        )
        keeping.addCallback(self._original_stored, record, record.hint)
        return True

    def _original_stored(self, is_stored: Any, record: JobRecord, hint: str) -> None:
        if is_stored:
            record.result, record.hint = jsonrpc.NULL, hint
        else:
            record.ref = ""
        if self._write(record) and is_stored:
            self._over.pop(record.job, None)

    def _write(self, record: JobRecord) -> bool:
        # True if the file has the complete result.
        data = msgspec.json.encode(record)
        if len(data) <= FILE_BYTES:
            return self._store.write(record.job, data)
        result, record.result = record.result, jsonrpc.NULL
        self._store.write(record.job, msgspec.json.encode(record))
        record.result = result
        return False

    def _keep(self, record: JobRecord) -> None:
        self._over[record.job] = record
        size = sum(len(bytes(each.result)) for each in self._over.values())
        for each in self._over.values():
            if size <= KEPT_BYTES:
                break
            if each.result != jsonrpc.NULL:
                size -= len(bytes(each.result))
                each.result, each.hint = jsonrpc.NULL, "its result was too large to be kept for long"

    def find(self, name: str, principal: str) -> JobRecord:
        """Return a job.

        :raise UnknownJob: the caller has no job of that id.
        """
        job = self._jobs.get(name)
        record = job.record if job is not None else self._over.get(name) or self._recalled(name)
        if record is None or not may_read(principal, record.principal):
            raise _unknown(name)
        return record

    def latest(self, principal: str, limit: int) -> list[JobRecord]:
        """Return the latest jobs of a caller, the newest first.

        :param limit: how many at most.
        """
        found = []
        for name in reversed(self._all()):
            try:
                found.append(self.find(name, principal))
            except UnknownJob:
                continue
            if len(found) == limit:
                break
        return found

    def _recalled(self, name: str) -> JobRecord | None:
        data = self._store.read(name) if name in self._all() else None
        if data is None:
            return None
        try:
            record = msgspec.json.decode(data, type=JobRecord)
        except msgspec.MsgspecError:
            return None  # an incomplete file, or one of a newer gateway
        if record.status in UNFINISHED:
            # A job of an earlier gateway; should that still run, and end it in order, its file will have the outcome.
            why = NOT_BEGUN if record.status is JobStatus.QUEUED else INTERRUPTED
            record.status, record.error = JobStatus.INTERRUPTED, why
        elif record.status is JobStatus.COMPLETED and record.result == jsonrpc.NULL and not record.ref:
            record.hint = "its result was too large to outlive the gateway"
        return record

    def result(self, record: JobRecord) -> Deferred[Raw]:
        """Return a job's result; JSON's null if it has none, or the result has expired."""
        if record.result != jsonrpc.NULL or not record.ref or self._vault is None:
            return succeed(record.result)

        def lost(why: Failure) -> Raw:
            why.trap(InvalidParams)
            record.ref, record.hint = "", "its result was too large to be kept for long"
            return jsonrpc.NULL

        return self._vault.fetch(record.ref, record.principal).addCallbacks(Raw, lost)

    def whole(self, name: str, principal: str, *, is_cancelled: bool = False) -> Deferred[JobRecord]:
        """Return a job of any node, with its result.

        :param is_cancelled: cancel it before.
        :raise UnknownJob: (through the Deferred) the caller has no job of that id.
        :raise GatewayError: (through the Deferred) the node of the job does not answer.
        """
        if self._others is not None and self._others.has(name):
            asked = self._others.job(name, principal, is_cancelled=is_cancelled)
            return asked.addCallbacks(
                lambda found: msgspec.json.decode(found, type=JobRecord), _not_there, errbackArgs=(name,)
            )
        record = (self.cancel if is_cancelled else self.find)(name, principal)
        return self.result(record).addCallback(lambda result: evolve(record, result=result, hint=record.hint))

    def cancel(self, name: str, principal: str) -> JobRecord:
        """Cancel a job; an ended one stays as it is.

        :raise UnknownJob: the caller has no job of that id.
        """
        record = self.find(name, principal)
        job = self._jobs.get(name)
        if job is not None:
            self._take_back(job, JobStatus.CANCELLED, "its caller has cancelled it")
        return record

    def close(self) -> None:
        """Start no more jobs; running ones may end within the gateway's shutdown."""
        self._is_open = False


def _unknown(name: str) -> UnknownJob:
    return UnknownJob(f"Job not found: {name}", f"the last {KEPT} jobs are kept")


def _not_there(why: Failure, name: str) -> JobRecord:
    why.trap(NotThere)
    raise _unknown(name)
