"""The owners of one child's tasks; the ids are learnt from the server's answers.

In the legacy era a task belongs to its session (MCP 2025-11-25, basic/utilities/tasks); in the modern era, which has no
sessions, to its principal (``io.modelcontextprotocol/tasks``).
"""

from __future__ import annotations

from attrs import define
from msgspec import Raw, Struct

from mcpgateway.errors import GatewayError
from mcpgateway.hub.filters import SinkFilter
from mcpgateway.hub.sessions import Session
from mcpgateway.interfaces import Request
from mcpgateway.protocol import jsonrpc, peek
from mcpgateway.protocol.jsonrpc import Envelope

LIMIT = 10_000  # tasks of one child; the oldest are forgotten
RELATED = "io.modelcontextprotocol/related-task"
OWNED = frozenset(("tasks/get", "tasks/result", "tasks/cancel"))


class TaskOwner(Struct, frozen=True):
    """The owner of a task.

    :ivar session: the id of the session that began it; empty for a request without one.
    :ivar principal: the principal of that session.
    :ivar token: the progress token of the call that began it.
    """

    session: bytes
    principal: str
    token: bytes | None

    def is_of(self, session: Session) -> bool:
        """True if the session is the owner."""
        return (self.session, self.principal) == (session.id, session.principal)


@define
class Tasks:
    """The owners of one slot's tasks, by task id; and by the number of the call that began the task, for progress."""

    _by_id: dict[str, TaskOwner]
    _by_number: dict[int, TaskOwner]

    @classmethod
    def none(cls) -> Tasks:
        """Return a record without tasks."""
        return cls({}, {})

    def learn(self, request: Request, reply: Envelope) -> None:
        """Record the task that an answer begins, if it begins one."""
        result = peek.members(reply, "result")
        # The legacy era has the task as a member of the result; in the extension of the modern era the result is the
        # task.
        began = result if peek.text(result, "resultType") == "task" else peek.members(result, "task")
        identifier = peek.text(began, "taskId")
        if identifier is None:
            return
        session: Session = request.session
        owner = TaskOwner(session.id, session.principal, request.token)
        self._by_id[identifier] = self._by_number[request.number] = owner
        if len(self._by_id) > LIMIT:
            del self._by_id[next(iter(self._by_id))]
        if len(self._by_number) > LIMIT:
            del self._by_number[next(iter(self._by_number))]

    @property
    def records(self) -> tuple[dict[str, TaskOwner], dict[int, TaskOwner]]:
        """All that is known, by task id and by the number of the call."""
        return self._by_id, self._by_number

    @property
    def have_begun(self) -> bool:
        """True if the present child has begun a task, which may still run."""
        return bool(self._by_number)

    def owner(self, identifier: str) -> bytes | None:
        """Return the id of the session that owns a task; None if unknown."""
        found = self._by_id.get(identifier)
        return found.session if found is not None else None

    def child_ended(self) -> None:
        """Forget the numbers of calls, which start again with the next child."""
        self._by_number.clear()

    def of_call(self, number: int) -> TaskOwner | None:
        """Return the owner of the task that a call began; None without a task."""
        return self._by_number.get(number)

    def mine(self, session: Session, reply: Envelope) -> Envelope:
        """Return the answer to ``tasks/list`` without the tasks of other owners."""
        try:
            result = jsonrpc.read_object(reply["result"], "result")
            found = result["tasks"]
        except (KeyError, GatewayError):
            return reply
        try:
            tasks = jsonrpc.read_list(found, "tasks")
        except GatewayError:
            tasks = []  # an invalid list may hold other owners' tasks
        result["tasks"] = jsonrpc.raw([each for each in tasks if self.is_of(session, _task_id(each))])
        return reply | {"result": jsonrpc.raw(result)}

    def is_of(self, session: Session, identifier: str | None) -> bool:
        """True if a task is known to belong to that session."""
        owner = self._by_id.get(identifier) if identifier is not None else None
        return owner is not None and owner.is_of(session)

    def are_only_of(self, session: Session) -> bool:
        """True if no other session has begun a task with the present child."""
        return all(each.is_of(session) for each in self._by_number.values())

    def has(self, identifier: str, principal: str) -> bool:
        """True if a task belongs to a principal, in any of its sessions."""
        owner = self._by_id.get(identifier)
        return owner is not None and owner.principal == principal


def _task_id(task: Raw) -> str | None:
    return peek.text(peek.members({"task": task}, "task"), "taskId")


def related(message: Envelope) -> str | None:
    """Return the id of the task that a message names in its ``_meta``; None without one."""
    meta = peek.members(peek.members(message, "params"), "_meta")
    return peek.text(peek.members(meta, RELATED), "taskId")


class Learner(SinkFilter):
    """Records the task that an answer begins, or removes other owners' tasks from the answer to ``tasks/list``."""

    _tasks: Tasks

    def answered(self, request: Request, reply: Envelope) -> None:
        """Record the task, or filter the list, and pass the answer on."""
        if request.method == "tasks/list":
            reply = self._tasks.mine(request.session, reply)
        else:
            self._tasks.learn(request, reply)
        self.sink.answered(request, reply)
