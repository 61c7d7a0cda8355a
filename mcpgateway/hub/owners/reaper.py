"""The reaper: it puts aside sessions whose owners have exited or are silent; their ids stay valid."""

from __future__ import annotations

from twisted.logger import Logger

from mcpgateway.hub.dispatch import LegacyDispatcher
from mcpgateway.hub.sessions import Session, Sessions
from mcpgateway.interfaces import IProcessTable
from mcpgateway.policy.reaping import IDLE_TICKS, EndReason, SessionFacts, judge


class Reaper:
    """Judges all sessions every `Limits.reap_s` seconds, and puts aside those that are not used any more.

    Children that have exited need no search: their exit is an event (`Slot`), and a call finds them gone.
    """

    log = Logger()

    def __init__(self, sessions: Sessions, dispatcher: LegacyDispatcher, processes: IProcessTable) -> None:
        self._sessions = sessions
        self._dispatcher = dispatcher
        self._processes = processes

    def look_around(self, idle_s: float = IDLE_TICKS) -> int:
        """Put aside the sessions that are not used any more; return their number.

        :param idle_s: seconds for which a session without a known process may be silent.
        """
        verdicts = judge(self._facts(), idle_s)
        for verdict in verdicts:
            session = self._sessions.named(verdict.id)
            if session is not None:
                self._dispatcher.park(session, verdict.why.value)
        return len(verdicts)

    def owner_ended(self, sessions: list[Session]) -> None:
        """Put aside the sessions of a process that has exited."""
        for session in sessions:
            self._dispatcher.park(session, EndReason.OWNER_DEAD.value)

    def _facts(self) -> list[SessionFacts]:
        busy = self._dispatcher.calls.busy()
        alive: dict[int, bool] = {}
        for session in self._sessions:
            if session.owner is not None and session.owner not in alive:
                alive[session.owner] = self._processes.is_alive(session.owner)
        return [self._facts_of(session, busy, alive) for session in self._sessions]

    def _facts_of(self, session: Session, busy: set[Session], alive: dict[int, bool]) -> SessionFacts:
        is_busy = session in busy or session.has_stream
        if is_busy:
            session.seen = self._sessions.now
        return SessionFacts(
            session.id,
            session.owner,
            session.owner is None or alive[session.owner],
            self._sessions.now - session.seen,
            is_busy,
            session.is_left and not session.has_called,
        )
