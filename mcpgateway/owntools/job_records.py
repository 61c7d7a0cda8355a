"""The records of jobs, and their storage."""

from __future__ import annotations

from datetime import UTC, datetime
from enum import Enum
from typing import Any, Protocol

from attrs import define, field
from msgspec import Raw

from mcpgateway.errors import CallerError
from mcpgateway.protocol import jsonrpc


class JobStatus(Enum):
    """The state of a job."""

    QUEUED = "queued"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    INTERRUPTED = "interrupted"


UNFINISHED = frozenset((JobStatus.QUEUED, JobStatus.RUNNING))


class UnknownJob(CallerError):
    """The caller has no job of that id."""

    code = -32602


class JobStore(Protocol):
    """Stores jobs over restarts (`mcpgateway.system.job_files.JobFiles`); no method raises."""

    def names(self) -> list[str]:
        """Return the ids of all recorded jobs, in any order."""

    def read(self, name: str) -> bytes | None:
        """Return the record of a job."""

    def write(self, name: str, data: bytes) -> bool:
        """Store the record of a job; return false if it cannot be stored."""

    def remove(self, name: str) -> None:
        """Delete the record of a job."""


class NoJobStore:
    """A store without storage: jobs live as long as the gateway."""

    def names(self) -> list[str]:
        """Return no jobs."""
        return []

    def read(self, name: str) -> bytes | None:
        """Return no record."""

    def write(self, name: str, data: bytes) -> bool:
        """Store nothing."""
        return False

    def remove(self, name: str) -> None:
        """Delete nothing."""


@define(kw_only=True)
class JobRecord:
    """The record of a job; times are epoch seconds, and absent JSON values are null.

    :ivar job: its id.
    :ivar tool: the id of its tool.
    :ivar ref: reference of its result, if that is too large for the record.
    """

    principal: str
    job: str
    tool: str
    status: JobStatus = JobStatus.QUEUED
    priority: int = 0
    created: float = 0.0
    started: float | None = None
    finished: float | None = None
    result: Raw = field(default=jsonrpc.NULL, repr=False)
    ref: str = ""
    error: str = ""
    hint: str = ""
    logs: list[str] = field(factory=list, repr=False)
    progress: Raw = field(default=jsonrpc.NULL, repr=False)

    def shown(self) -> dict[str, Any]:
        """Return the job in S004's format, without its result."""
        shown: dict[str, Any] = {
            "jobId": self.job,
            "status": self.status.value,
            "toolId": self.tool,
            "createdAt": _written(self.created),
            "startedAt": _written(self.started),
            "finishedAt": _written(self.finished),
            "logs": self.logs,
        }
        more = {"priority": self.priority, "ref": self.ref, "error": self.error, "hint": self.hint}
        if self.progress != jsonrpc.NULL:
            shown["progress"] = self.progress
        return shown | {name: value for name, value in more.items() if value}

    def row(self) -> dict[str, Any]:
        """Return the job in the format of the REST API, without its result."""
        return {
            "id": self.job,
            "status": self.status.value,
            "tool": self.tool,
            "priority": self.priority,
            "created_at": _written(self.created),
            "started_at": _written(self.started),
            "finished_at": _written(self.finished),
            "progress": self.progress,
            "logs": self.logs,
            "ref": self.ref,
            "error": self.error,
            "hint": self.hint,
        }


def _written(seconds: float | None) -> str | None:
    if seconds is None:
        return None
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")
