"""Lock errors in a server's output, which show that it must not run twice.

# Note [A lock says that there are two]
A server that reports a lock has met another user of the same resource.  Where that is another process, one child for
each session makes it worse: all of them compete for the one lock.  So a resource that servers keep for themselves
across processes - a database, an index, a port - is never a reason to start more of them.

The profile of a browser is different in one case.  If a child is the only one of its server, and several sessions use
it, the profile is most likely held by the browser that it has opened for another session: the server takes all sessions
for one client.  With a child for each session every client gets what it would have without the gateway.  If another
child runs, that child holds the profile; if there is one session only, a program outside of the gateway does.  More
children would help against neither.
"""

from __future__ import annotations

import re
from enum import Enum

TEXT_LIMIT = 16_384  # characters; error messages are short, and longer texts are data


class LockError(Enum):
    """A resource that is in use already."""

    PROFILE = "the profile of a browser"
    STORE = "a file or a database"
    PORT = "a port"


_WORDS = {
    LockError.PROFILE: (
        "profile appears to be in use by another",
        "user data dir(?:ectory)? is already in use",
        "SingletonLock",
        "browser is already (?:running|in use) for",
        "profile (?:directory )?is (?:already )?(?:in use|locked)",
        "is already running, but is not responding",
    ),
    LockError.PORT: ("EADDRINUSE", "address already in use"),
    LockError.STORE: (
        "database (?:table )?is locked",
        "SQLITE_BUSY",
        "could not set lock on file",
        "conflicting lock is held",
        r"\block\b.{0,80}resource temporarily unavailable",
        "index is locked",
        "another process (?:has|holds) the lock",
    ),
}
_LOCKS = {lock: re.compile("|".join(words), re.IGNORECASE | re.DOTALL) for lock, words in _WORDS.items()}


def reported_lock(text: str) -> LockError | None:
    """Return the resource that a server's output names as in use already; None where it names none."""
    if len(text) > TEXT_LIMIT:
        return None
    return next((lock for lock, words in _LOCKS.items() if words.search(text)), None)


def reason_to_move(lock: LockError, *, sessions: int, others: int) -> str:
    """Return why a shared server needs a child for each session from now on; empty where it does not.

    See Note [A lock says that there are two].

    :param sessions: the number of sessions that use the child which has reported the lock.
    :param others: the number of other children of its server.
    """
    if lock is LockError.PROFILE and sessions > 1 and not others:
        return f"it reports that {lock.value} is in use, and {sessions} sessions share it"
    return ""
