"""Add to calls what the entry of their server says, where a tool takes it and its caller did not give it.

What a tool takes stands in its server's list of tools: the latest that passed by, else the one on record.  Nothing is
asked for, and a tool that nobody has listed is called as it was.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from attrs import define
from msgspec import Raw

from mcpgateway.hub.filters import Between
from mcpgateway.interfaces import Request
from mcpgateway.policy import argument_defaults as injection
from mcpgateway.protocol import peek
from mcpgateway.protocol.jsonrpc import Envelope, Message

if TYPE_CHECKING:
    from mcpgateway.hub.catalog.recorded import Snapshot
    from mcpgateway.hub.upstream import Upstream

LIST, CALL = "tools/list", "tools/call"

Taker = Callable[[Request], bool]


@define(eq=False)
class _Reader(Between):
    """Reads a list of tools as it passes by."""

    injection: Injection

    def answered(self, call: Request, reply: Envelope) -> None:
        """The list, or an error."""
        if "result" in reply:
            self.injection.learn(reply["result"])
        self.sink.answered(call, reply)


class Injection:
    """What is added to the calls of one slot.

    :param snapshot: what is known of its server while it does not run; None where nothing is kept.
    :param others: who looks at the requests of some methods too, by method.
    """

    def __init__(self, slot: Upstream, snapshot: Snapshot | None, others: Mapping[str, Taker]) -> None:
        self._slot = slot
        self._snapshot = snapshot
        self._others = others
        self._takers: dict[str, frozenset[str]] = {}  # which arguments each tool takes, of those to be added
        self._latest = 0

    def takers(self) -> dict[str, Taker]:
        """Who looks at the requests of which methods, the others included."""
        return {**self._others, LIST: self._list, CALL: self._call}

    def _list(self, call: Request) -> bool:
        call.sink = _Reader(call.sink, self)
        return self._pass_on(LIST, call)

    def _call(self, call: Request) -> bool:
        params = call.message.params
        if params is not None:
            if not self._takers:
                self._recall(call.message)
            taken = self._takers.get(peek.text(params, "name") or "")
            if taken:
                server = call.session.server if call.session is not None else self._slot.server
                values = {name: injection.value_of(server.inject.get(name, ""), server) for name in taken}
                arguments = injection.added(params, values)
                if arguments is not None:
                    params["arguments"] = arguments
        return self._pass_on(CALL, call)

    def _pass_on(self, method: str, call: Request) -> bool:
        other = self._others.get(method)
        return other is not None and other(call)

    def _recall(self, message: Message) -> None:
        snapshot = self._snapshot
        known = snapshot.find(LIST, snapshot.told(message)) if snapshot is not None else None
        for page in known.pages if known is not None else ():
            self.learn(page)

    def learn(self, result: Raw) -> None:
        """A page of the server's list of tools has passed by."""
        mark = hash(bytes(result))
        if mark != self._latest:
            self._latest = mark
            self._takers |= injection.takers(result, self._slot.server.inject)
