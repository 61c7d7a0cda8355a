"""Whose sessions are whose: the process that a session belongs to, and that process's end.

An owner is what its client says (``X-Client-Pid``, ``clientInfo.pid``), else the process at the other end of the
connection.  That one is looked for after the answer to ``initialize``, for all sessions of a tick at once, since the
kernel's list of open files is long.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection

from attrs import frozen
from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from mcpgateway.hub.sessions import Session, Sessions
from mcpgateway.interfaces import IExitWatch, IProcessTable

Holders = Callable[[Collection[int]], Deferred[dict[int, int]]]
Ended = Callable[[list[Session]], None]


@frozen
class _Sought:
    """A session whose owner is at the other end of its connection: as a process, or as the number of a socket."""

    session: Session
    pid: int
    inode: int


class Owners:
    """Finds owners, and has them watched.

    :param holders: which process holds each of some sockets (`mcpgateway.host.holders`).
    :param ended: is told the sessions of an owner that has exited.
    """

    log = Logger()

    def __init__(
        self,
        sessions: Sessions,
        processes: IProcessTable,
        watch: IExitWatch,
        holders: Holders,
        ended: Ended,
    ) -> None:
        self._sessions = sessions
        self._processes = processes
        self._watch = watch
        self._holders = holders
        self._ended = ended
        self._sought: list[_Sought] = []
        self._watched: set[int] = set()
        self._is_searching = False

    def living(self, *pids: int | None) -> int | None:
        """The first of these that can be an owner: a number of a process that has gone says nothing."""
        return next((pid for pid in pids if pid and self._is_other(pid)), None)

    def _is_other(self, pid: int) -> bool:
        return pid != os.getpid() and self._processes.is_alive(pid)

    def claim(self, session: Session, pid: int, inode: int) -> None:
        """See whether a session's owner lives; else it belongs to whoever is at the other end of its connection.

        :param pid: that process, 0 if it is not known.
        :param inode: the number of its socket, 0 if it is not known.
        """
        session.is_unclaimed = False
        owner = self.living(session.owner)
        self._give(session, owner)
        if owner is None and (pid or inode):
            self._sought.append(_Sought(session, pid, inode))

    def tick(self) -> None:
        """A second has passed: look for the owners of the sessions that have begun in it."""
        if self._is_searching or not self._sought:
            return
        self._is_searching = True
        sought, self._sought = self._sought, []
        searched = self._holders({each.inode for each in sought if each.inode})
        searched.addCallback(self._found, sought).addErrback(self._not_searched).addBoth(self._searched)

    def _found(self, found: dict[int, int], sought: list[_Sought]) -> None:
        for each in sought:
            # A program that lives for one request leaves its session to the next.
            pid = self.living(each.pid, found.get(each.inode))
            if pid is not None and self._sessions.named(each.session.id) is each.session:
                self._give(each.session, pid)

    def _not_searched(self, why: Failure) -> None:
        self.log.failure("owners could not be looked for", why, event="owner.not_searched")

    def _searched(self, _: None) -> None:
        self._is_searching = False

    def _give(self, session: Session, pid: int | None) -> None:
        if session.owner != pid:
            session.owner = pid
            self._sessions.remember(session)
        if pid is not None and pid not in self._watched and self._watch.watch(pid, self._exited):
            self._watched.add(pid)

    def _exited(self, pid: int) -> None:
        self._watched.discard(pid)
        self._ended(self._sessions.owned_by(pid))

    def tidy(self) -> None:
        """Stop watching the processes that own nothing any more."""
        for pid in self._watched - {session.owner for session in self._sessions}:
            self._watched.discard(pid)
            self._watch.forget(pid)

    def close(self) -> None:
        """Stop watching all of them."""
        self._sought.clear()
        self._watched.clear()
        self._watch.close()
