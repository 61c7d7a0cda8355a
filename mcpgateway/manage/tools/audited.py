"""Record calls of the gateway's own tools that change state in the activity log."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from attrs import frozen

from mcpgateway.errors import GatewayError
from mcpgateway.hub.filters import SinkFilter
from mcpgateway.interfaces import Request
from mcpgateway.owntools import answers
from mcpgateway.owntools.tool import READ, UNDERSCORED, Access, Tool
from mcpgateway.protocol import peek
from mcpgateway.protocol.jsonrpc import Envelope

Audit = Callable[[str, str, int, str, str], str]
"""`mcpgateway.observe.activity.ActivityLog.managed`."""

DONE, FAILED = 200, 400
NAME_CHARS = 128


def audited(tools: Iterable[Tool], audit: Audit) -> tuple[Tool, ...]:
    """Wrap management tools, so that their outcomes are recorded in the activity log."""
    return tuple(each if each.tier == READ else Audited(each, audit) for each in tools)


@frozen
class Audited:
    """A tool whose calls are recorded."""

    _tool: Tool
    _audit: Audit

    @property
    def name(self) -> str:
        """The name of the tool."""
        return self._tool.name

    @property
    def definition(self) -> bytes:
        """The list entry of the tool, as JSON."""
        return self._tool.definition

    @property
    def tier(self) -> str:
        """``write`` or ``run``."""
        return self._tool.tier

    def call(self, request: Request, arguments: Envelope, access: Access) -> None:
        """Serve the call, and record its outcome.

        :raise GatewayError: it cannot be served; the caller answers with a failed result.
        """
        about = peek.text(arguments, "name", NAME_CHARS) or peek.text(arguments, "server", NAME_CHARS) or ""
        operation, principal = UNDERSCORED + self.name, access.principal

        def ended(status: int) -> None:
            self._audit(operation, "tools/call", status, principal, about)

        request.sink = _Outcome(request.sink, ended)
        self._tool.call(request, arguments, access)


class _Outcome(SinkFilter):
    """Records the outcome of a call."""

    ended: Callable[[int], None]

    def answered(self, request: Request, reply: Envelope) -> None:
        """Record the result of the tool."""
        self.ended(FAILED if "error" in reply or answers.is_failed(reply) else DONE)
        self.sink.answered(request, reply)

    def failed(self, request: Request, why: GatewayError) -> None:
        """Record the error of the tool."""
        self.ended(FAILED)
        self.sink.failed(request, why)
