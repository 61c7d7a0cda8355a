"""Whose task is whose on one child: ids learnt as the server gives them out.

In the legacy era a task is its session's (MCP 2025-11-25, basic/utilities/tasks); in the modern one, which has no
sessions, its principal's (``io.modelcontextprotocol/tasks``).
"""

from __future__ import annotations

from attrs import define, frozen
from msgspec import Raw

from mcpgateway.errors import GatewayError
from mcpgateway.hub.filters import Between
from mcpgateway.hub.sessions import Session
from mcpgateway.interfaces import Request
from mcpgateway.protocol import jsonrpc, peek
from mcpgateway.protocol.jsonrpc import Envelope

LIMIT = 10_000  # tasks of one child; the oldest are forgotten
RELATED = "io.modelcontextprotocol/related-task"
OWNED = frozenset(("tasks/get", "tasks/result", "tasks/cancel"))


@frozen
class TaskOwner:
    """Whom a task belongs to.

    :ivar session: the id of the session that began it; empty for a request without one.
    :ivar principal: whose session that is.
    :ivar token: that call's own progress token.
    """

    session: bytes
    principal: str
    token: bytes | None

    def is_of(self, session: Session) -> bool:
        """Whether that is the session."""
        return (self.session, self.principal) == (session.id, session.principal)


@define
class Tasks:
    """The tasks of one slot, by their ids; and by the number of the call that began them, for progress."""

    _by_id: dict[str, TaskOwner]
    _by_number: dict[int, TaskOwner]

    @classmethod
    def none(cls) -> Tasks:
        """No task has begun yet."""
        return cls({}, {})

    def learn(self, call: Request, reply: Envelope) -> None:
        """Read a reply that may have begun a task."""
        result = peek.members(reply, "result")
        # The legacy era has the task within the result, the extension of the modern one is the result.
        began = result if peek.text(result, "resultType") == "task" else peek.members(result, "task")
        identifier = peek.text(began, "taskId")
        if identifier is None:
            return
        session: Session = call.session
        owner = TaskOwner(session.id, session.principal, call.token)
        self._by_id[identifier] = self._by_number[call.number] = owner
        if len(self._by_id) > LIMIT:
            del self._by_id[next(iter(self._by_id))]
        if len(self._by_number) > LIMIT:
            del self._by_number[next(iter(self._by_number))]

    @property
    def have_begun(self) -> bool:
        """Whether this child has begun any, which may still run."""
        return bool(self._by_number)

    def owner(self, identifier: str) -> bytes | None:
        """The id of the session that a task belongs to."""
        found = self._by_id.get(identifier)
        return found.session if found is not None else None

    def child_ended(self) -> None:
        """The next child's calls are numbered from the beginning."""
        self._by_number.clear()

    def of_call(self, number: int) -> TaskOwner | None:
        """Whose task a call began."""
        return self._by_number.get(number)

    def mine(self, session: Session, reply: Envelope) -> Envelope:
        """The answer to ``tasks/list`` without the tasks of others."""
        try:
            result = jsonrpc.read_object(reply["result"], "result")
            found = result["tasks"]
        except (KeyError, GatewayError):
            return reply
        try:
            tasks = jsonrpc.read_list(found, "tasks")
        except GatewayError:
            tasks = []  # whatever it is, it may hold what is somebody else's
        result["tasks"] = jsonrpc.raw([each for each in tasks if self.is_of(session, _task_id(each))])
        return reply | {"result": jsonrpc.raw(result)}

    def is_of(self, session: Session, identifier: str | None) -> bool:
        """Whether a task is known to be that session's."""
        owner = self._by_id.get(identifier) if identifier is not None else None
        return owner is not None and owner.is_of(session)

    def are_only_of(self, session: Session) -> bool:
        """Whether no other session has begun any with this child."""
        return all(each.is_of(session) for each in self._by_number.values())

    def has(self, identifier: str, principal: str) -> bool:
        """Whether a task was begun here for a principal, in whichever of its sessions."""
        owner = self._by_id.get(identifier)
        return owner is not None and owner.principal == principal


def _task_id(task: Raw) -> str | None:
    return peek.text(peek.members({"task": task}, "task"), "taskId")


def related(message: Envelope) -> str | None:
    """The task that a message says it belongs to."""
    meta = peek.members(peek.members(message, "params"), "_meta")
    return peek.text(peek.members(meta, RELATED), "taskId")


@define(eq=False)
class Learner(Between):
    """Reads a call's answer: a task it begins, or the list of all of them."""

    _tasks: Tasks

    def answered(self, call: Request, reply: Envelope) -> None:
        """Learn, and pass on what is the caller's."""
        if call.method == "tasks/list":
            reply = self._tasks.mine(call.session, reply)
        else:
            self._tasks.learn(call, reply)
        self.sink.answered(call, reply)
