"""The scope of a server, as its error messages show it."""

from __future__ import annotations

import pytest

from mcpgateway.policy.lock_errors import TEXT_LIMIT, LockError, reason_to_move, reported_lock

WORDS = [
    (
        "The profile appears to be in use by another Chromium process (4711) on another computer",
        LockError.PROFILE,
    ),
    ("Failed to create /home/u/.config/x/SingletonLock: File exists (17)", LockError.PROFILE),
    (
        "Error: Browser is already in use for /home/u/.cache/p, use --isolated to run several",
        LockError.PROFILE,
    ),
    ("The browser is already running for /home/u/.cache/x. Use --isolated", LockError.PROFILE),
    (
        "session not created: probably user data directory is already in use, please specify",
        LockError.PROFILE,
    ),
    ("Firefox is already running, but is not responding.", LockError.PROFILE),
    ("sqlite3.OperationalError: database is locked", LockError.STORE),
    ("SQLITE_BUSY: the table is in use", LockError.STORE),
    ('IO Error: Could not set lock on file "x.duckdb": Conflicting lock is held in python', LockError.STORE),
    ("IO error: lock /x/LOCK: Resource temporarily unavailable", LockError.STORE),
    ("Error: listen EADDRINUSE: address already in use :::3000", LockError.PORT),
    ("the file was not found", None),
    ("Unknown tool: lock", None),
    ("", None),
]


class LockTests:
    """Errors of a resource in use."""

    @pytest.mark.parametrize(("text", "lock"), WORDS)
    def test_words(self, text: str, lock: LockError | None) -> None:
        """The words of browsers, databases and servers are known, however they are written."""
        assert reported_lock(text) is lock
        assert reported_lock(text.upper()) is lock

    def test_what_is_long_is_data(self) -> None:
        """A page that tells of locks is no complaint."""
        assert reported_lock("database is locked".ljust(TEXT_LIMIT)) is LockError.STORE
        assert reported_lock("database is locked".ljust(TEXT_LIMIT + 1)) is None


class ReasonTests:
    """When more children are the answer."""

    def test_sessions_that_share_a_browser(self) -> None:
        """The only child of a server that several sessions use has met its own browser."""
        assert "2 sessions" in reason_to_move(LockError.PROFILE, sessions=2, others=0)

    @pytest.mark.parametrize(
        ("lock", "sessions", "others"),
        [
            (LockError.PROFILE, 1, 0),
            (LockError.PROFILE, 2, 1),
            (LockError.STORE, 2, 0),
            (LockError.PORT, 2, 0),
        ],
    )
    def test_what_more_children_would_make_worse(self, lock: LockError, sessions: int, others: int) -> None:
        """A stranger, another child, and whatever processes fight for are no reason to start more of them."""
        assert reason_to_move(lock, sessions=sessions, others=others) == ""
