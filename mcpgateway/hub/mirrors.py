"""Whether the headers that repeat a tool's arguments agree with them; which those are stands in its server's list."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec import Raw
from twisted.internet.defer import Deferred

from mcpgateway.hub.slot import Slot
from mcpgateway.wire import jsonrpc, mirrored, peek
from mcpgateway.wire.jsonrpc import Message

PAGES_LIMIT = 100  # of a list of tools
EMPTY_LIST = Raw(b"[]")


def check(slot: Slot, message: Message, headers: Mapping[bytes, bytes] | None) -> Deferred[None] | None:
    """Check a request; where the server has to be asked for its tools first, what fires when it can be checked.

    :param headers: None where the client could send none.
    :raise HeaderMismatch: a header says something else than the body.
    """
    if headers is None or message.method != "tools/call":
        return None
    if slot.mirrored is None:
        return Deferred.fromCoroutine(_learn(slot))
    params = message.params or {}
    annotated = slot.mirrored.get(peek.text(params, "name") or "")
    if annotated:
        mirrored.check_params(annotated, params.get("arguments"), headers)
    return None


async def _learn(slot: Slot) -> None:
    found: dict[str, tuple[mirrored.Param, ...]] = {}
    params: dict[str, Any] = {}
    for _ in range(PAGES_LIMIT):
        result = peek.members(await slot.ask("tools/list", params), "result")
        found |= mirrored.annotations(result.get("tools", EMPTY_LIST))
        cursor = peek.text(result, "nextCursor", jsonrpc.URI_LIMIT)
        if cursor is None:
            break
        params = {"cursor": cursor}
    slot.mirrored = found


def learn_from(slot: Slot, result: Raw) -> None:
    """Read a list of tools that somebody has asked for."""
    if slot.mirrored is not None:
        tools = peek.members({"result": result}, "result").get("tools", EMPTY_LIST)
        slot.mirrored |= mirrored.annotations(tools)
