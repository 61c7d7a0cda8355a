"""Adds to calls the arguments that the entry of their server sets, if the tool takes them and the caller omits them.

The arguments of a tool are known from its server's list of tools: the latest that was passed on, else the recorded one.
No list is requested for that, and a call of an unlisted tool stays unchanged.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from msgspec import Raw

from mcpgateway.hub.filters import SinkFilter
from mcpgateway.interfaces import Request
from mcpgateway.policy import argument_defaults as injection
from mcpgateway.protocol import peek
from mcpgateway.protocol.jsonrpc import Envelope, Message

if TYPE_CHECKING:
    from mcpgateway.hub.catalog.recorded import Snapshot
    from mcpgateway.hub.upstream import Upstream

LIST, CALL = "tools/list", "tools/call"

Taker = Callable[[Request], bool]


class _Reader(SinkFilter):
    """Reads a list of tools that is passed on."""

    injection: Injection

    def answered(self, request: Request, reply: Envelope) -> None:
        """Read the list, and pass the response on."""
        if "result" in reply:
            self.injection.learn(reply["result"])
        self.sink.answered(request, reply)


class Injection:
    """The added arguments of one slot's calls.

    :param snapshot: the recorded answers of its server; None if none are kept.
    :param others: the takers of other parts, by method, which get a request after this one.
    """

    def __init__(self, slot: Upstream, snapshot: Snapshot | None, others: Mapping[str, Taker]) -> None:
        self._slot = slot
        self._snapshot = snapshot
        self._others = others
        self._takers: dict[str, frozenset[str]] = {}  # the arguments of the entry that each tool takes
        self._latest = 0

    def takers(self) -> dict[str, Taker]:
        """Return the takers of requests by method, the other parts' included."""
        return {**self._others, LIST: self._list, CALL: self._call}

    def _list(self, request: Request) -> bool:
        request.sink = _Reader(request.sink, self)
        return self._pass_on(LIST, request)

    def _call(self, request: Request) -> bool:
        params = request.message.params
        if params is not None:
            if not self._takers:
                self._recall(request.message)
            taken = self._takers.get(peek.text(params, "name") or "")
            if taken:
                server = request.session.server if request.session is not None else self._slot.server
                values = {name: injection.value_of(server.inject.get(name, ""), server) for name in taken}
                arguments = injection.added(params, values)
                if arguments is not None:
                    params["arguments"] = arguments
        return self._pass_on(CALL, request)

    def _pass_on(self, method: str, request: Request) -> bool:
        other = self._others.get(method)
        return other is not None and other(request)

    def _recall(self, message: Message) -> None:
        snapshot = self._snapshot
        known = snapshot.find(LIST, snapshot.handshake_of(message)) if snapshot is not None else None
        for page in known.pages if known is not None else ():
            self.learn(page)

    def learn(self, result: Raw) -> None:
        """Read a page of the server's list of tools."""
        mark = hash(bytes(result))
        if mark != self._latest:
            self._latest = mark
            self._takers |= injection.takers(result, self._slot.server.inject)
