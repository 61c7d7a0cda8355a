"""The log level of one child: it has one for all its sessions, what the most verbose of them asked for."""

from __future__ import annotations

from collections.abc import Callable, Collection

from attrs import define
from twisted.logger import Logger
from twisted.python.failure import Failure

from mcpgateway.backends.conversation import Conversation
from mcpgateway.errors import GatewayError
from mcpgateway.hub.filters import Between
from mcpgateway.hub.sessions import Session
from mcpgateway.interfaces import Request
from mcpgateway.policy import routing
from mcpgateway.protocol import jsonrpc, legacy
from mcpgateway.protocol.jsonrpc import Envelope, Message

SET_LEVEL = "logging/setLevel"


@define(eq=False)
class _Wish(Between):
    """Sees whether the server agrees to a client's wish."""

    _levels: Levels
    _nth: int

    def answered(self, call: Request, reply: Envelope) -> None:
        """It agrees, or does not."""
        self._levels.answered(reply, self._nth)
        self.sink.answered(call, reply)


class Levels:
    """What the sessions of one slot wish for, and what its child was asked.

    :param sessions: those of the slot; read each time.
    :param submit: brings a client's request to the child.
    """

    log = Logger()

    def __init__(self, server: str, sessions: Collection[Session], submit: Callable[[Request], None]) -> None:
        self._server = server
        self._sessions = sessions
        self._submit = submit
        self._conversation: Conversation | None = None
        self._level: str | None = (
            None  # what this child was last asked for; None while nobody has wished for any
        )
        self._asked = 0  # how often a child was asked
        self._has_agreed = False  # this child, to the latest

    def begin(self, conversation: Conversation | None) -> None:
        """There is a child whose level can be set, or none any more: the next one has to be asked anew."""
        self._conversation = conversation
        self._level, self._has_agreed = None, False
        self.tune()

    def end(self) -> None:
        """The child has gone; what it was asked for is what the calls that wait for the next one wish."""
        self._conversation = None

    def wish(self, call: Request) -> None:
        """Take a client's request, whose session knows its wish already."""
        wanted = self._wanted()
        is_set = self._conversation is not None and self._has_agreed and wanted == self._level
        if wanted is None or is_set or not call.session.id:
            call.sink.answered(call, jsonrpc.result(jsonrpc.NULL, {}))
            return
        call.sink = _Wish(call.sink, self, self._ask(wanted))
        self.update(call.message)
        self._submit(call)

    def update(self, message: Message) -> None:
        """Have a client's request ask for the level that is wanted now: others may have wished since."""
        if message.params is not None and self._level is not None:
            message.params["level"] = jsonrpc.raw(self._level)

    def joined(self, session: Session) -> None:
        """A session is there, perhaps with a wish."""
        if session.has_level or (session.level and self._level not in (None, session.level)):
            self.tune()

    def left(self, session: Session) -> None:
        """A session has gone; perhaps nobody else wants to hear so much."""
        if self._level == session.level and all(each.level != self._level for each in self._sessions):
            self.tune()

    def tune(self) -> None:
        """Have the child set to what its sessions want now."""
        wanted = self._wanted()
        if self._conversation is None or wanted is None or wanted == self._level:
            return
        nth = self._ask(wanted)
        asked = self._conversation.ask(SET_LEVEL, {"level": wanted})
        asked.addCallback(self._told, nth).addErrback(self._lost)

    def _wanted(self) -> str | None:
        # Who never wished for a level hears what the server chooses to say, and nobody knows what that is: it counts
        # as the most verbose.  As long as nobody has wished for any, the server is left alone.
        if self._level is None and not any(each.has_level for each in self._sessions):
            return None
        return routing.most_verbose(each.level for each in self._sessions if each.level)

    def _ask(self, level: str) -> int:
        self._level, self._has_agreed = level, False
        self._asked += 1
        return self._asked

    def answered(self, reply: Envelope, nth: int) -> None:
        """The child has answered the nth wish; what it refused it is asked again by the next who wishes for it."""
        self._has_agreed = self._has_agreed or (nth == self._asked and "result" in reply)

    def _told(self, reply: Envelope, nth: int) -> None:
        self.answered(reply, nth)
        if "error" in reply:
            raise GatewayError(legacy.error_text(reply["error"]))

    def _lost(self, why: Failure) -> None:
        why.trap(GatewayError)
        self.log.info(
            "{server} lost its log level: {why}", event="level.lost", server=self._server, why=why.value
        )
