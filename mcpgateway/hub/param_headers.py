"""The check of headers that repeat a tool's arguments, as annotated in its server's list of tools."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Raw
from twisted.internet import defer
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from mcpgateway.errors import GatewayError
from mcpgateway.hub.probes.traits import all_tools
from mcpgateway.hub.upstream import Learning, Upstream
from mcpgateway.protocol import jsonrpc, param_headers, peek
from mcpgateway.protocol.jsonrpc import Message
from mcpgateway.protocol.param_headers import Param

PAGES_LIMIT = 100  # of a list of tools
PATIENCE_S = 10.0  # then calls go on unchecked
EMPTY_LIST = Raw(b"[]")

_MARK = param_headers.ANNOTATION.encode()


def check(
    slot: Upstream, message: Message, headers: Mapping[bytes, bytes] | None, *, has_to_know: bool = False
) -> Deferred[None] | None:
    """Check a request; if the list of tools is unknown, return a Deferred that fires when it can be checked.

    :param headers: the headers of the request; None if its transport has none.
    :param has_to_know: true if the list of tools is needed even without headers.
    :raise HeaderMismatch: a header contradicts the body.
    """
    if message.method != "tools/call" or (headers is None and not has_to_know):
        return None
    if slot.mirrored is None:
        return _learn(slot)
    if slot.mirrored and headers is not None:
        params = message.params or {}
        annotated = slot.mirrored.get(peek.text(params, "name") or "")
        if annotated:
            param_headers.check_params(annotated, params.get("arguments"), headers)
    return None


def _learn(slot: Upstream) -> Deferred[None]:
    if slot.learning is not None:
        return slot.learning.wait()
    learning = slot.learning = Learning()
    done = learning.wait()
    asked = Deferred.fromCoroutine(_ask_until_true(slot, learning)).addTimeout(PATIENCE_S, slot.clock)
    asked.addErrback(_unknown).addCallback(_learnt, slot, learning).addErrback(_over, slot, learning)
    return done


def _unknown(why: Failure) -> dict[str, tuple[Param, ...]]:
    why.trap(defer.TimeoutError)  # a call does not wait for its check without end
    return {}


async def _ask_until_true(slot: Upstream, learning: Learning) -> dict[str, tuple[Param, ...]]:
    found = await _ask(slot)
    if learning.is_outdated:
        # Not a third time: some servers announce a change of their tools at each request for them.
        found = await _ask(slot)
    return found


async def _ask(slot: Upstream) -> dict[str, tuple[Param, ...]]:
    found: dict[str, tuple[Param, ...]] = {}
    tasked: frozenset[str] = frozenset()
    for page in await all_tools(slot.ask, PAGES_LIMIT):
        tools = peek.members({"result": page}, "result").get("tools", EMPTY_LIST)
        found |= param_headers.annotations(tools)
        tasked |= tools_of_tasks(tools)
    slot.tasked = tasked
    return found


def _learnt(found: dict[str, tuple[Param, ...]], slot: Upstream, learning: Learning) -> None:
    slot.mirrored = found
    _over(None, slot, learning)


def _over(why: Failure | None, slot: Upstream, learning: Learning) -> None:
    if slot.learning is learning:
        slot.learning = None
    learning.over(why)


def tools_of_tasks(tools: Raw) -> frozenset[str]:
    """Return the names of the tools in a list of ``tools`` that run as tasks only."""
    if b"taskSupport" not in bytes(tools):
        return frozenset()
    try:
        listed = [peek.members({"tool": each}, "tool") for each in jsonrpc.read_list(tools, "tools")]
    except GatewayError:
        return frozenset()
    only = (each for each in listed if peek.mapping(each, "execution").get("taskSupport") == "required")
    return frozenset(peek.text(each, "name") or "" for each in only)


def learn_from(slot: Upstream, result: Raw) -> None:
    """Update the annotations of a slot's tools from a list that a client has requested."""
    if slot.mirrored is None or (not slot.mirrored and _MARK not in bytes(result)):
        return
    tools = peek.members({"result": result}, "result").get("tools", EMPTY_LIST)
    listed = param_headers.annotations(tools)
    for name in param_headers.names(tools) if slot.mirrored else ():
        slot.mirrored.pop(name, None)
    slot.mirrored |= listed
