"""Calls of modern clients to tools that a legacy server runs only as tasks, which the modern era does not have.

The server is asked to begin a task (MCP 2025-11-25, basic/utilities/tasks), and then for the task's result, which it
sends when the task has ended: that result answers the call.  Cancelling the call cancels its task.
"""

from __future__ import annotations

from collections.abc import Iterable

from twisted.logger import Logger
from twisted.python.failure import Failure

from mcpgateway.errors import GatewayError
from mcpgateway.hub.filters import SinkFilter
from mcpgateway.hub.slot import Slot
from mcpgateway.interfaces import Request
from mcpgateway.protocol import jsonrpc, peek
from mcpgateway.protocol.jsonrpc import Envelope

CALL, RESULT, CANCEL = "tools/call", "tasks/result", "tasks/cancel"
KEPT_MS = 3_600_000  # the ``ttl`` that the gateway asks for; the server may choose another

_log = Logger()


class TaskCall(SinkFilter):
    """The sink of a call that runs as a task, between the call and its own sink.

    :ivar task: the task id; empty before the task has begun.
    """

    slot: Slot
    task: str = ""

    def answered(self, request: Request, reply: Envelope) -> None:
        """Take a response: after the task has begun, ask for its result; pass a result or an error on."""
        began = peek.members(peek.members(reply, "result"), "task") if not self.task else {}
        identifier = peek.text(began, "taskId")
        if identifier is None:
            self.sink.answered(request, reply)
            return
        self.task, request.method = identifier, RESULT
        self.slot.tasks.learn(request, reply)  # so its progress and its questions are this call's
        params: Envelope = {"taskId": jsonrpc.raw(identifier)}
        request.message = jsonrpc.own_request(RESULT, params)
        try:
            self.slot.submit(request)
        except GatewayError as why:
            self.sink.failed(request, why)


def begin(slot: Slot, known: Iterable[Slot], request: Request) -> bool:
    """Turn a tool call into a task where the tool needs one.

    :param known: slots in which the server's list of tools may be known; those of other servers are ignored.
    :return: True if the call runs as a task; False if it is unchanged.
    """
    params = request.message.params
    if params is None:
        return False
    name = peek.text(params, "name")
    if not any(name in each.tasked for each in known if each.server.name == slot.server.name):
        return False
    params["task"] = jsonrpc.raw({"ttl": KEPT_MS})
    request.message.envelope["params"] = jsonrpc.raw(params)
    request.sink = TaskCall(request.sink, slot)
    return True


def take_back(request: Request) -> None:
    """Cancel the task of a cancelled call, if it has one."""
    sink = request.sink
    if isinstance(sink, TaskCall) and sink.task and sink.slot.conversation is not None:
        sink.slot.ask(CANCEL, {"taskId": sink.task}).addErrback(_not_taken_back, sink.slot.server.name)


def _not_taken_back(why: Failure, server: str) -> None:
    why.trap(GatewayError)
    _log.debug(
        "a task of {server} could not be taken back: {why}",
        event="task.not_cancelled",
        server=server,
        why=why,
    )
