"""Tools that a legacy server runs as tasks only, called by clients of the modern era, which has no such tasks.

The server is asked to begin a task (MCP 2025-11-25, basic/utilities/tasks), and then for the task's result, which it
gives once there is one: that is the answer to the call.  A call that is taken back takes its task back.
"""

from __future__ import annotations

from collections.abc import Iterable

from attrs import define
from twisted.logger import Logger
from twisted.python.failure import Failure

from mcpgateway.errors import GatewayError
from mcpgateway.hub.filters import Between
from mcpgateway.hub.slot import Slot
from mcpgateway.interfaces import Request
from mcpgateway.protocol import jsonrpc, peek
from mcpgateway.protocol.jsonrpc import Envelope

CALL, RESULT, CANCEL = "tools/call", "tasks/result", "tasks/cancel"
KEPT_MS = 3_600_000  # for how long the server is asked to keep a task; it may say otherwise

_log = Logger()


@define(eq=False)
class TaskCall(Between):
    """A call that is run as a task; it stands between the call and its sink.

    :ivar task: its id; empty before it has begun.
    """

    slot: Slot
    task: str = ""

    def answered(self, call: Request, reply: Envelope) -> None:
        """The task has begun, and its result is asked for; or this is the result, or a refusal."""
        began = peek.members(peek.members(reply, "result"), "task") if not self.task else {}
        identifier = peek.text(began, "taskId")
        if identifier is None:
            self.sink.answered(call, reply)
            return
        self.task, call.method = identifier, RESULT
        self.slot.tasks.learn(call, reply)  # so its progress and its questions are this call's
        params: Envelope = {"taskId": jsonrpc.raw(identifier)}
        call.message = jsonrpc.own_request(RESULT, params)
        try:
            self.slot.submit(call)
        except GatewayError as why:
            self.sink.failed(call, why)


def begin(slot: Slot, known: Iterable[Slot], call: Request) -> bool:
    """Have a call of a server's tool run as a task, if the tool wants that; else leave it as it is, and be false.

    :param known: any slots: those of the same server are asked for its tools in each other's place.
    """
    params = call.message.params
    if params is None:
        return False
    name = peek.text(params, "name")
    if not any(name in each.tasked for each in known if each.server.name == slot.server.name):
        return False
    params["task"] = jsonrpc.raw({"ttl": KEPT_MS})
    call.message.envelope["params"] = jsonrpc.raw(params)
    call.sink = TaskCall(call.sink, slot)
    return True


def take_back(call: Request) -> None:
    """Nobody waits for a call any more: its task, if it has one, is not to go on."""
    errand = call.sink
    if isinstance(errand, TaskCall) and errand.task and errand.slot.conversation is not None:
        errand.slot.ask(CANCEL, {"taskId": errand.task}).addErrback(_not_taken_back, errand.slot.server.name)


def _not_taken_back(why: Failure, server: str) -> None:
    why.trap(GatewayError)
    _log.debug(
        "a task of {server} could not be taken back: {why}",
        event="task.not_cancelled",
        server=server,
        why=why,
    )
