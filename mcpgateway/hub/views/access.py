"""What the gateway's own tools get to know of who calls them, and what they may do in that client's name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from msgspec import Raw
from twisted.internet.defer import Deferred

from mcpgateway.catalog.records import Item, Kind
from mcpgateway.config.model import ServerSpec
from mcpgateway.interfaces import Call
from mcpgateway.wire.jsonrpc import Message

if TYPE_CHECKING:
    from mcpgateway.hub.sessions import Session
    from mcpgateway.hub.views.view import View


class Access(Protocol):
    """Made for each call of one of the gateway's own tools; both eras have one.

    :ivar principal: who calls.
    :ivar session: the caller's session with the view; None in the modern era, which knows none.
    :ivar message: the call as the client sent it, whose ``_meta`` a redirected call keeps.
    """

    principal: str
    view: View
    session: Session | None
    message: Message

    def specs(self) -> tuple[ServerSpec, ...]:
        """The servers this caller may use."""

    def anew(self) -> Access:
        """The same caller, after the configuration has changed in the middle of the call."""

    def redirect(
        self,
        call: Call,
        message: Message,
        target: tuple[str, str],
        arguments: Raw,
        *,
        limit_s: float,
        level: Any,
    ) -> None:
        """Let a call become that of a server's tool: its sink hears what becomes of it.

        :param target: the server, and the tool's own name.
        :param limit_s: when it ends unanswered, whatever progress it makes; 0: never.
        :param level: how its result is shielded; None for what the view says.
        :raise GatewayError: it goes nowhere.
        """

    def begin(self, server: str, tool: str, arguments: Raw, sink: Any) -> Call:
        """Make a call of its own, which no client waits for; the sink hears everything.

        :raise GatewayError: it goes nowhere.
        """

    def cancel(self, call: Call, why: str) -> None:
        """Take a call back that was redirected or begun; its sink hears that it is cancelled."""

    def list(self, server: str, kind: Kind) -> Deferred[tuple[Item, ...]]:
        """What a server has of a kind, asked for if it must be.

        :raise GatewayError: (through the Deferred) it cannot be asked.
        """

    def elicit(self, call: Call, params: dict[str, Any]) -> Deferred[dict[str, Any]]:
        """Ask the human at the caller's client; fires with the result of the elicitation.

        :raise QuestionRefused: (through the Deferred) the client cannot ask anybody.
        """
