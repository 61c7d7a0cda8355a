"""Which sessions are ended."""

from __future__ import annotations

from msgspec.structs import replace

from mcpgateway.policy.reaping import IDLE_TICKS, OWNED_IDLE_TICKS, EndReason, ReapNow, SessionFacts, judge


def session(
    name: bytes, owner: int | None = None, idle: int = 0, *, alive: bool = True, busy: bool = False
) -> SessionFacts:
    """Facts of one session."""
    return SessionFacts(name, owner, alive, idle, busy)


class JudgeTests:
    """The reaper's judgement."""

    def test_nobody(self) -> None:
        """Fresh sessions stay."""
        assert judge([session(b"a"), session(b"b", 7)]) == []

    def test_dead_owner(self) -> None:
        """The end of an owner ends its sessions, busy or not."""
        facts = [session(b"a", 7, alive=False), session(b"b", 7, alive=False, busy=True), session(b"c", 8)]
        assert judge(facts) == [ReapNow(b"a", EndReason.OWNER_DEAD), ReapNow(b"b", EndReason.OWNER_DEAD)]

    def test_idle_without_owner(self) -> None:
        """Silence for as long as is said ends a session nobody owns, unless a call is under way."""
        facts = [
            session(b"a", idle=IDLE_TICKS),
            session(b"b", idle=IDLE_TICKS - 1),
            session(b"c", idle=9**9, busy=True),
        ]
        assert judge(facts) == [ReapNow(b"a", EndReason.IDLE)]

    def test_never_used(self) -> None:
        """A session whose unused client has gone ends at the next look, unless it is used now."""
        facts = [
            replace(session(b"a"), is_unused=True),
            replace(session(b"b", busy=True), is_unused=True),
            replace(session(b"c", 7), is_unused=True),
        ]
        assert judge(facts) == [ReapNow(b"a", EndReason.LEFT)]

    def test_owner_counts_for_all_its_sessions(self) -> None:
        """Activity in one session of an owner keeps the others."""
        old = OWNED_IDLE_TICKS
        assert judge([session(b"a", 7, old), session(b"b", 7, 0)]) == []
        assert judge([session(b"a", 7, old), session(b"b", 7, old, busy=True)]) == []
        assert {each.id for each in judge([session(b"a", 7, old), session(b"b", 7, old)])} == {b"a", b"b"}
        assert judge([session(b"a", 7, IDLE_TICKS)]) == []
