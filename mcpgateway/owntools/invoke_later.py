"""The tools for calls in the background."""

from __future__ import annotations

from typing import Any, ClassVar

from attrs import define
from msgspec import Raw

from mcpgateway.errors import GatewayError, InvalidParams
from mcpgateway.interfaces import Request
from mcpgateway.owntools import answers, arguments
from mcpgateway.owntools.deadline import seconds_of
from mcpgateway.owntools.invoke import CallRedirection, CallTarget
from mcpgateway.owntools.job_records import JobRecord
from mcpgateway.owntools.jobs import QUIET_S, WHOLE_S, Jobs
from mcpgateway.owntools.search import not_found
from mcpgateway.owntools.tool import READ, RUN, Access, argument, define_tool
from mcpgateway.protocol import jsonrpc, peek
from mcpgateway.protocol.jsonrpc import Envelope

PRIORITY_LIMIT = 1_000_000
_BLOCKS = ("image", "audio")  # content that a text cannot contain


@define(eq=False, repr=False)
class InvokeAsync:
    """Queues a call of a tool, and answers at once."""

    invoking: CallRedirection
    jobs: Jobs
    name: ClassVar[str] = "invoke_async"
    tier: ClassVar[str] = RUN
    definition: ClassVar[bytes] = define_tool(
        "invoke_async",
        "Call a tool in the background.",
        {
            "id": argument("From a search"),
            "args": argument("The tool's arguments", "object"),
            "priority": argument("Higher ones begin first", "integer"),
        },
        ["id"],
    )

    def call(self, request: Request, given: Envelope, access: Access) -> None:
        """Answer with the id of the job."""
        quiet_s = seconds_of(arguments.value(given, "timeoutMs"), QUIET_S, WHOLE_S)
        priority = arguments.whole(given, "priority", 0, -PRIORITY_LIMIT, PRIORITY_LIMIT)
        level = arguments.level(given)

        async def queue() -> None:
            now, found = await self.invoking.sought(given, access)
            if not isinstance(found, CallTarget):
                raise InvalidParams(f"gateway_{found.name} answers at once", "call it with gateway_invoke")
            item = found.item
            record = self.jobs.add(
                now,
                item,
                found.identifier,
                found.given,
                priority=priority,
                level=level,
                quiet_s=quiet_s,
            )
            answers.text(
                request, {"jobId": record.job, "status": record.status.value, "toolId": found.identifier}
            )

        answers.later(queue(), request)


@define(eq=False, repr=False)
class InvokeStatus:
    """Shows the state of a job, or cancels it."""

    jobs: Jobs
    name: ClassVar[str] = "invoke_status"
    tier: ClassVar[str] = READ
    definition: ClassVar[bytes] = define_tool(
        "invoke_status",
        "A background call's status and result.",
        {"jobId": argument("From gateway_invoke_async"), "cancel": argument("Ends the call", "boolean")},
        ["jobId"],
    )

    def call(self, request: Request, given: Envelope, access: Access) -> None:
        """Answer with the job in S004's format; images and audio follow as content of their own."""
        name = arguments.needed(given, "jobId", "gateway_invoke_async answers with one")
        wants_end = arguments.value(given, "cancel") is True
        done = self.jobs.whole(name, access.principal, is_cancelled=wants_end)
        done.addCallback(lambda record: show(request, record, record.result))
        done.addErrback(not_found, request)


def show(request: Request, record: JobRecord, result: Raw) -> None:
    """Answer with a job, and its result unless that is JSON's null."""
    shown = record.shown()
    if result == jsonrpc.NULL:
        answers.text(request, shown)
        return
    result, apart = without_blocks(result)
    answers.text(request, shown | {"result": result}, *apart)


def without_blocks(result: Raw) -> tuple[Any, list[Raw]]:
    """Return a result with placeholders for images and audio, and these separately."""
    members = peek.members({"result": result}, "result")
    try:
        content = jsonrpc.read_list(members["content"], "content")
    except (KeyError, GatewayError):
        return result, []
    remaining: list[Any] = []
    apart: list[Raw] = []
    for block in content:
        kind = peek.text(peek.members({"block": block}, "block"), "type")
        if kind in _BLOCKS:
            apart.append(block)
            remaining.append({"type": kind, "_block": len(apart)})
        else:
            remaining.append(block)
    return (members | {"content": jsonrpc.raw(remaining)}, apart) if apart else (result, [])
