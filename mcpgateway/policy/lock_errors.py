"""Lock errors in a server's output, which show that it must not run twice.

# Note [A lock says that there are two]
Who reports a lock has met somebody else at the same thing.  Where that is another process, one child for each session
makes it worse: they all fight for the one lock.  So what servers keep for themselves across processes, a database, an
index, a port, is never a reason to start more of them.

The profile of a browser is different in one case.  If a child is the only one of its server's, and several sessions use
it, the browser in its way is most likely the one that it has opened for another session: it takes them all for its only
client.  With a child for each session every client gets what it would have without the gateway.  If another child runs,
it holds the profile; if there is one session only, a stranger does.  More children would help against neither.
"""

from __future__ import annotations

import re
from enum import Enum

TEXT_LIMIT = 16_384  # characters; a complaint is short, and what is long is data


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
    """Why a shared server needs a child for each session from now on; empty where it does not.

    See Note [A lock says that there are two].

    :param sessions: how many sessions use the child that has reported the lock.
    :param others: how many other children of its server run.
    """
    if lock is LockError.PROFILE and sessions > 1 and not others:
        return f"it reports that {lock.value} is in use, and {sessions} sessions share it"
    return ""
