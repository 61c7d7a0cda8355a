"""The number of a server's calls at once, and the decision on a second child."""

from __future__ import annotations

import pytest
from attrs import evolve

from mcpgateway.config.model import UNLIMITED, WRITES, Concurrency, ServerSpec, Share
from mcpgateway.policy.concurrency import (
    FAILED_CALLS,
    QUIET_CALLS,
    ConcurrencyFinding,
    Tally,
    concurrency_of,
    is_single,
    judge,
    readers,
)

PLAIN = ServerSpec("s", ("true",), {}, "/")
SHARED = (Share.GLOBAL, Share.WORKSPACE, Share.CREDENTIAL, Share.ISOLATED)


class LimitTests:
    """The number of calls at once."""

    def test_found_out(self) -> None:
        """Where the entry says nothing, calls of a server that is known to write are kept apart."""
        assert concurrency_of(PLAIN, is_writer=True) == WRITES
        assert concurrency_of(PLAIN, is_writer=False) == UNLIMITED

    @pytest.mark.parametrize("is_writer", [True, False])
    @pytest.mark.parametrize("said", [UNLIMITED, WRITES, Concurrency(1), Concurrency(7)])
    def test_said(self, said: Concurrency, *, is_writer: bool) -> None:
        """The entry's setting goes before the known traits."""
        assert concurrency_of(evolve(PLAIN, concurrency=said), is_writer=is_writer) == said


class SingleTests:
    """The decision on a second child."""

    @pytest.mark.parametrize("scope", SHARED)
    @pytest.mark.parametrize("said", [WRITES, Concurrency(1), Concurrency(7)])
    def test_limited(self, said: Concurrency, scope: Share) -> None:
        """A shared server whose calls are counted has one child."""
        assert is_single(evolve(PLAIN, concurrency=said, replicas=3), scope, is_writer=False)

    def test_known(self) -> None:
        """A server that is known to write has a single child."""
        assert is_single(PLAIN, Share.GLOBAL, is_writer=True)
        assert not is_single(PLAIN, Share.GLOBAL, is_writer=False)

    def test_said_otherwise(self) -> None:
        """An entry that says that it does not mind, or asks for several children, gets several."""
        assert not is_single(evolve(PLAIN, concurrency=UNLIMITED), Share.GLOBAL, is_writer=True)
        assert not is_single(evolve(PLAIN, replicas=2), Share.GLOBAL, is_writer=True)

    def test_own_children(self) -> None:
        """Where each session has a child of its own, there are as many as there are sessions."""
        assert not is_single(evolve(PLAIN, concurrency=WRITES), Share.SESSION, is_writer=True)


class ReaderTests:
    """Which tools only read."""

    TOOLS = (
        {"name": "says_so", "annotations": {"readOnlyHint": True}},
        {"name": "get_but_writes", "annotations": {"readOnlyHint": False}},
        {"name": "get_things"},
        {"name": "list_things", "annotations": {"title": "List"}},
        {"name": "add_thing", "annotations": {"readOnlyHint": "yes"}},
        {"name": 5},
        {},
    )

    def test_hints(self) -> None:
        """Where names are not meant, only what says so itself does."""
        assert readers(self.TOOLS, by_name=False) == {"says_so"}

    def test_names(self) -> None:
        """A tool without annotations is judged by its name."""
        assert readers(self.TOOLS, by_name=True) == {"says_so", "get_things", "list_things"}

    def test_nonsense(self) -> None:
        """An entry that is no tool is passed over."""
        assert readers(["x", None, 3], by_name=True) == frozenset()


class JudgeTests:
    """The verdict on watched calls."""

    @staticmethod
    def seen(*calls: tuple[str, int] | tuple[str, None]) -> ConcurrencyFinding:
        """Return the verdict on calls of tools that have written so much, or have failed (None)."""
        tallies: dict[str, Tally] = {}
        for tool, written in calls:
            tallies.setdefault(tool, Tally()).count(written or 0, has_failed=written is None)
        return judge(tallies.values())

    def test_nothing_seen(self) -> None:
        """Too few calls say nothing."""
        assert self.seen() is ConcurrencyFinding.OPEN
        assert self.seen(*[("a", 0)] * (QUIET_CALLS - 1)) is ConcurrencyFinding.OPEN

    def test_quiet(self) -> None:
        """A server is free after so many calls without a byte, of any tools."""
        assert self.seen(*[("a", 0), ("b", 0)] * QUIET_CALLS) is ConcurrencyFinding.FREE

    def test_writer(self) -> None:
        """A tool that writes again is a writer for good, whatever comes later."""
        assert self.seen(("a", 4096)) is ConcurrencyFinding.PERHAPS
        assert self.seen(("a", 4096), ("a", 1)) is ConcurrencyFinding.WRITES
        assert self.seen(("a", 4096), ("a", 1), *[("a", 0)] * 50) is ConcurrencyFinding.WRITES
        assert self.seen(("a", 4096), *[("b", 0)] * 50) is ConcurrencyFinding.PERHAPS

    def test_first_use(self) -> None:
        """A single write at the first use of a tool is no sign."""
        assert self.seen(("a", 4096), *[("a", 0)] * QUIET_CALLS) is ConcurrencyFinding.FREE

    def test_failures(self) -> None:
        """Calls that fail prove little."""
        assert self.seen(*[("a", None)] * (FAILED_CALLS - 1)) is ConcurrencyFinding.OPEN
        assert self.seen(*[("a", None)] * FAILED_CALLS) is ConcurrencyFinding.FREE
        assert self.seen(("a", None), ("a", 10)) is ConcurrencyFinding.PERHAPS
