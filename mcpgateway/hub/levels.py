"""The log level of one child: the most verbose level that any of its sessions has set."""

from __future__ import annotations

from collections.abc import Callable, Collection

from twisted.logger import Logger
from twisted.python.failure import Failure

from mcpgateway.backends.conversation import Conversation
from mcpgateway.errors import GatewayError
from mcpgateway.hub.filters import SinkFilter
from mcpgateway.hub.sessions import Session
from mcpgateway.interfaces import Request
from mcpgateway.policy import routing
from mcpgateway.protocol import jsonrpc, legacy
from mcpgateway.protocol.jsonrpc import Envelope, Message

SET_LEVEL = "logging/setLevel"


class _LevelSink(SinkFilter):
    """Records whether the server accepts a level that a client sets."""

    _levels: Levels
    _nth: int

    def answered(self, request: Request, reply: Envelope) -> None:
        """Record the server's answer, and pass it on."""
        self._levels.answered(reply, self._nth)
        self.sink.answered(request, reply)


class Levels:
    """The log levels of one slot's sessions, and the level of its child.

    :param sessions: the sessions of the slot; read each time.
    :param submit: sends a client's request to the child.
    """

    log = Logger()

    def __init__(self, server: str, sessions: Collection[Session], submit: Callable[[Request], None]) -> None:
        self._server = server
        self._sessions = sessions
        self._submit = submit
        self._conversation: Conversation | None = None
        self._level: str | None = (
            None  # the level that the child was last asked to use; None before any session has set one
        )
        self._asked = 0  # the number of requests for a level
        self._has_agreed = False  # True if the child has accepted the latest level

    @property
    def agreed(self) -> str | None:
        """The level that the child uses; None if unknown."""
        return self._level if self._has_agreed else None

    def begin(self, conversation: Conversation | None, agreed: str | None = None) -> None:
        """Set the level of a new child; None for a child without log levels.

        :param agreed: the level that it uses already; None if unknown.
        """
        self._conversation = conversation
        self._level, self._has_agreed = agreed, agreed is not None
        if self._sessions or agreed is None:
            self.tune()

    def end(self) -> None:
        """Handle the end of the child; its level stays the one that the waiting requests ask for."""
        self._conversation = None

    def wish(self, request: Request) -> None:
        """Handle a client's ``logging/setLevel``, whose level its session has already."""
        wanted = self._wanted()
        is_set = self._conversation is not None and self._has_agreed and wanted == self._level
        if wanted is None or is_set or not request.session.id:
            request.sink.answered(request, jsonrpc.result(jsonrpc.NULL, {}))
            return
        request.sink = _LevelSink(request.sink, self, self._ask(wanted))
        self.update(request.message)
        self._submit(request)

    def update(self, message: Message) -> None:
        """Change a client's request to the level of the most verbose session, which others may have set since."""
        if message.params is not None and self._level is not None:
            message.params["level"] = jsonrpc.raw(self._level)

    def joined(self, session: Session) -> None:
        """Handle a new session of the slot, which may have a level."""
        if session.has_level or (session.level and self._level not in (None, session.level)):
            self.tune()

    def left(self, session: Session) -> None:
        """Handle a session that has left the slot; the level may fall."""
        if self._level == session.level and all(each.level != self._level for each in self._sessions):
            self.tune()

    def tune(self) -> None:
        """Have the child use the most verbose level of its sessions."""
        wanted = self._wanted()
        if self._conversation is None or wanted is None or wanted == self._level:
            return
        nth = self._ask(wanted)
        asked = self._conversation.ask(SET_LEVEL, {"level": wanted})
        asked.addCallback(self._answered, nth).addErrback(self._lost)

    def _wanted(self) -> str | None:
        # A session without a level of its own gets the messages that the server sends by default, which is unknown, so
        # it counts as the most verbose.  Before any session has set a level, the server's is left alone.
        if self._level is None and not any(each.has_level for each in self._sessions):
            return None
        return routing.most_verbose(each.level for each in self._sessions if each.level)

    def _ask(self, level: str) -> int:
        self._level, self._has_agreed = level, False
        self._asked += 1
        return self._asked

    def answered(self, reply: Envelope, nth: int) -> None:
        """Record the child's answer to the nth request; a refused level is requested again by the next client."""
        self._has_agreed = self._has_agreed or (nth == self._asked and "result" in reply)

    def _answered(self, reply: Envelope, nth: int) -> None:
        self.answered(reply, nth)
        if "error" in reply:
            raise GatewayError(legacy.error_text(reply["error"]))

    def _lost(self, why: Failure) -> None:
        why.trap(GatewayError)
        self.log.info(
            "{server} lost its log level: {why}", event="level.lost", server=self._server, why=why.value
        )
