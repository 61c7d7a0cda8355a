"""The owners of sessions: the client process that each belongs to, and that process's exit.

The owner is the process that the client names (``X-Client-Pid``, ``clientInfo.pid``), else the process at the other
end of the connection.

# Note [When it is looked for]
The kernel's list of open files is long, so one search runs at a time.  It begins with ``initialize``, since some
programs live for a second; sessions that come meanwhile are searched for together, in the next second.

# Note [Programs that live for one request]
Several short programs may use a session one after the other.  So the exit of a program ends its session only if the
session has called nothing yet, in which case nothing is lost, or if the program has lived for `BRIEF_TICKS`, or if the
client has named it as the owner.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection

import msgspec
from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from mcpgateway.hub.sessions import Session, Sessions
from mcpgateway.interfaces import IExitWatch, IProcessTable
from mcpgateway.records import FrozenRecord, Record

Holders = Callable[[Collection[int]], Deferred[dict[int, int]]]
Ended = Callable[[list[Session]], None]


BRIEF_TICKS = 2  # a program that exits before may have lived for one request
KNOWN_TICKS = 60  # for which the process at the other end of a connection is remembered
KNOWN_LIMIT = 10_000


class _UnknownOwner(FrozenRecord, frozen=True):
    """A session whose owner is at the other end of its connection, a socket with this inode."""

    session: Session
    inode: int


class _PeerProcess(Record):
    """The process at the other end of one connection.

    :ivar since: the tick at which the search began.
    :ivar pid: the process id, 0 where none was found; None during the search.
    :ivar sessions: the sessions that wait for the result.
    """

    since: int
    pid: int | None = None
    sessions: list[Session] = msgspec.field(default_factory=list)


class Owners:
    """Finds the owners of sessions, and has their exit watched.

    :param holders: finds the process that holds each of some sockets (`mcpgateway.system.process.socket_owners`).
    :param ended: called with the sessions of an owner that has exited.
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
        self._unknown_owners: list[_UnknownOwner] = []
        self._peers: dict[int, _PeerProcess] = {}  # by the inode of the socket
        self._watched: set[int] = set()
        self._is_searching = False

    def living(self, *pids: int | None) -> int | None:
        """Return the first process that can be an owner, one that lives and is not the gateway; else None."""
        return next((pid for pid in pids if pid and self._is_other(pid)), None)

    def _is_other(self, pid: int) -> bool:
        return pid != os.getpid() and self._processes.is_alive(pid)

    def expect(self, inode: int) -> None:
        """Search at once for the process at the other end of a connection, where a session is about to begin.

        :param inode: the inode of the socket there, 0 if it is not known.
        """
        if not inode or inode in self._peers or self._is_searching or len(self._peers) >= KNOWN_LIMIT:
            return
        self._peers[inode] = _PeerProcess(self._sessions.now)
        self._search({inode}).addCallback(self._looked, inode)

    def _looked(self, found: dict[int, int], inode: int) -> None:
        end = self._peers.get(inode)
        if end is None:
            return  # the owners are not watched any more
        end.pid = pid = found.get(inode, 0)
        sessions, end.sessions = end.sessions, []
        for each in sessions:
            self._settle(each, pid)

    def claim(self, session: Session, pid: int, inode: int) -> None:
        """Keep the owner that the client has named, if it lives; else find the process at the connection's other end.

        :param pid: the process at the other end, 0 if it is not known.
        :param inode: the inode of its socket, 0 if it is not known.
        """
        session.is_unclaimed = False
        owner = self.living(session.owner)
        session.names_owner = owner is not None
        self._give(session, owner)
        end = self._peers.get(inode)
        if owner is not None:
            return
        if pid:
            self._settle(session, pid)
        elif end is not None and end.pid is None:
            end.sessions.append(session)
        elif end is not None:
            self._settle(session, end.pid or 0)
        elif inode:
            self._unknown_owners.append(_UnknownOwner(session, inode))

    def _settle(self, session: Session, pid: int) -> None:
        if self._sessions.named(session.id) is not session:
            return
        owner = self.living(pid)
        session.is_left = owner is None
        if owner is not None:
            self._give(session, owner)

    def tick(self) -> None:
        """Advance by one second: search for the owners of sessions that began during another search."""
        old = self._sessions.now - KNOWN_TICKS
        for inode in [inode for inode, end in self._peers.items() if end.pid is not None and end.since < old]:
            del self._peers[inode]
        if self._is_searching or not self._unknown_owners:
            return
        wanted, self._unknown_owners = self._unknown_owners, []
        self._search({each.inode for each in wanted}).addCallback(self._found, wanted)

    def _search(self, inodes: Collection[int]) -> Deferred[dict[int, int]]:
        self._is_searching = True
        searched = self._holders(inodes)
        return searched.addErrback(self._not_searched).addCallback(self._searched)

    def _found(self, found: dict[int, int], wanted: list[_UnknownOwner]) -> None:
        for each in wanted:
            self._settle(each.session, found.get(each.inode, 0))

    def _not_searched(self, why: Failure) -> dict[int, int]:
        self.log.failure("owners could not be looked for", why, event="owner.not_searched")
        return {}

    def _searched(self, found: dict[int, int]) -> dict[int, int]:
        self._is_searching = False
        return found

    def _give(self, session: Session, pid: int | None) -> None:
        if session.owner != pid:
            session.owner = pid
            if session.is_on_record:  # else it is recorded when its client gets its answer
                self._sessions.remember(session)
        if pid is not None and pid not in self._watched and self._watch.watch(pid, self._exited):
            self._watched.add(pid)

    def _exited(self, pid: int) -> None:
        self._watched.discard(pid)
        sessions = self._sessions.owned_by(pid)
        brief = [each for each in sessions if self._is_brief(each)]
        for each in brief:  # see Note [Programs that live for one request]
            self._give(each, None)
        self._ended([each for each in sessions if each not in brief])

    def _is_brief(self, session: Session) -> bool:
        is_new = self._sessions.now - session.begun < BRIEF_TICKS
        return is_new and session.has_called and not session.names_owner

    def tidy(self) -> None:
        """Stop watching processes that own no session any more."""
        for pid in self._watched - {session.owner for session in self._sessions}:
            self._watched.discard(pid)
            self._watch.forget(pid)

    def close(self) -> None:
        """Stop watching all processes, and forget the searches."""
        self._unknown_owners.clear()
        self._peers.clear()
        self._watched.clear()
        self._watch.close()
