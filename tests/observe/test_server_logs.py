"""The log of a server: lines taken apart, redacted and kept, however much of them comes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock

from mcpgateway.observe.event_feed import FeedEntry
from mcpgateway.observe.server_logs import (
    BATCH,
    HISTORY,
    LINE_BYTES,
    LINE_CHARS,
    PAUSE_S,
    QUEUE_LINES,
    ServerLogs,
    stamp,
)
from mcpgateway.policy.secrets.redaction import MASK, Redactor
from tests.support.serverlogs import MemoryLog

SECRET = "correct-horse-battery-9"


class Stage:
    """Logs in memory, and a clock that stands."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.clock.advance(1_000_000_000)
        self.files: dict[str, MemoryLog] = {}
        self.logs = ServerLogs(Redactor(), self.clock, lambda name: self.files.setdefault(name, MemoryLog()))

    def texts(self, name: str = "one") -> list[str]:
        """The lines of a log without their times."""
        return [line.split(" ", 1)[1] for line in self.files[name].lines]


class Follower:
    """A follower that keeps its entries."""

    def __init__(self) -> None:
        self.heard: list[str] = []
        self.has_ended = False

    def added(self, entry: FeedEntry) -> None:
        """Keep an entry."""
        self.heard.append(entry.text)

    def ended(self) -> None:
        """No more."""
        self.has_ended = True


class HearingTests:
    """The stderr of a child."""

    @given(
        st.lists(st.text(st.characters(codec="ascii", exclude_categories=["C"]), min_size=1), max_size=9),
        st.data(),
    )
    def test_chunking_does_not_matter(self, lines: list[str], data: st.DataObject) -> None:
        """However the bytes arrive, the lines are the same."""
        whole = "".join(f"{line}\n" for line in lines).encode() + b"the end"
        cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=9)))
        one, other = Stage(), Stage()
        hearing = one.logs.hearing("one")
        for start, end in zip([0, *cuts], [*cuts, len(whole)], strict=True):
            hearing.heard(whole[start:end])
        hearing.ended()
        at_once = other.logs.hearing("one")
        at_once.heard(whole)
        at_once.ended()
        one.logs.close()
        other.logs.close()
        assert one.texts() == other.texts()
        assert len(one.texts()) == sum(bool(line.strip()) for line in lines) + 1

    def test_a_secret_across_chunks(self) -> None:
        """A secret across two chunks of stderr is masked."""
        stage = Stage()
        hearing = stage.logs.hearing("one", (SECRET,))
        for each in f"it is {SECRET}!\n":
            hearing.heard(each.encode())
        assert stage.texts() == [f"stderr it is {MASK}!"]

    def test_a_short_secret(self) -> None:
        """A secret that is too short to be masked everywhere is masked in the stderr of its own child."""
        stage = Stage()
        stage.logs.hearing("one", ("abcd",)).heard(b"it is abcd\n")
        stage.logs.hearing("two").heard(b"it is abcd\n")
        assert stage.texts("one") == [f"stderr it is {MASK}"]
        assert stage.texts("two") == ["stderr it is abcd"]

    def test_a_secret_where_a_line_is_cut(self) -> None:
        """A secret that is cut with its line leaves no half of it."""
        for before in range(LINE_CHARS - len(SECRET), LINE_CHARS + 1):
            stage = Stage()
            stage.logs.hearing("one", (SECRET,)).heard(
                b". " * (before // 2) + b"." * (before % 2) + SECRET.encode() + b"\n"
            )
            assert "corr" not in stage.texts()[0]

    def test_a_line_without_end(self) -> None:
        """The beginning of a line without an end is kept, and no more than that is held."""
        stage = Stage()
        hearing = stage.logs.hearing("one")
        for _ in range(100):
            hearing.heard(b"so on and " * 1000)
        hearing.heard(b"\nnext\n")
        assert len(stage.texts()[0]) < LINE_CHARS + 20
        assert stage.texts()[1] == "stderr next"
        hearing.heard(b"x" * LINE_BYTES * 3)
        assert len(hearing._rest) <= LINE_BYTES

    def test_escapes(self) -> None:
        """Bytes that are no text are escaped."""
        stage = Stage()
        stage.logs.hearing("one").heard(b"a\x1b[2J\xff\r\nb\0\n\n  \n")
        assert stage.texts() == ["stderr a\\x1b[2J�", "stderr b\\x00"]


class ServerLogTests:
    """The kept lines of a server."""

    def test_a_burst(self) -> None:
        """A burst is written bit by bit, and none of a thousand lines is lost."""
        stage = Stage()
        stage.logs.hearing("one").heard(b"".join(b"line %d\n" % number for number in range(HISTORY)))
        assert len(stage.texts()) == BATCH
        for _ in range(HISTORY // BATCH):
            stage.clock.advance(PAUSE_S)
        assert stage.texts() == [f"stderr line {number}" for number in range(HISTORY)]
        stage.clock.advance(PAUSE_S)
        assert not stage.clock.getDelayedCalls()

    def test_a_flood(self) -> None:
        """The newest lines of a flood are kept, with the number of those that were left out."""
        stage = Stage()
        hearing = stage.logs.hearing("one")
        hearing.heard(b"".join(b"line %d\n" % number for number in range(3 * QUEUE_LINES)))
        stage.logs.close()
        assert stage.texts()[-1] == f"stderr line {3 * QUEUE_LINES - 1}"
        assert (
            stage.texts()[0] == f"gateway {2 * QUEUE_LINES} lines were left out: it writes too many at once"
        )
        assert len(stage.texts()) == QUEUE_LINES + 1

    def test_times_are_names(self) -> None:
        """No two lines have the same time, also where the clock stands or goes back, and after a restart."""
        stage = Stage()
        log = stage.logs.of("one")
        for number in range(50):
            log.say("gateway", str(number))
        again = Stage()
        again.clock = Clock()  # at the beginning of time
        again.logs = ServerLogs(Redactor(), again.clock, lambda _: stage.files["one"])
        again.logs.of("one").say("gateway", "later")
        times = [line.partition(" ")[0] for line in stage.files["one"].lines]
        assert times == sorted(set(times))
        assert len(times) == 51

    def test_history(self) -> None:
        """The last lines, or those after one that was seen."""
        stage = Stage()
        log = stage.logs.of("one")
        for number in range(HISTORY + 5):
            log.say("gateway", str(number))
        assert len(log.history()) == HISTORY
        last = log.history(2)
        assert [each.text.rpartition(" ")[2] for each in last] == ["1003", "1004"]
        assert log.history(HISTORY, last[0].identifier) == last[1:]
        assert log.history(0) == []

    def test_a_full_disk(self) -> None:
        """Lines that cannot be written are kept in memory, as far as there is room, and passed on all the same."""
        stage = Stage()
        log, follower = stage.logs.of("one"), Follower()
        log.follow(follower)
        log.say("gateway", "one")
        stage.files["one"].is_full = True
        for number in range(2 * HISTORY):
            log.say("gateway", f"line {number}")
        stage.files["one"].is_full = False
        log.say("gateway", "three")
        texts = [each.text.split(" ", 2)[2] for each in log.history()]
        assert texts[-2:] == [f"line {2 * HISTORY - 1}", "three"]
        assert len(follower.heard) == 2 * HISTORY + 2

    @pytest.mark.parametrize(
        ("data", "text"),
        [
            (b'"the disk\\nis full"', "message [warning] the disk\\nis full"),
            (b'{"a":"' + SECRET.encode() + b'"}', 'message [warning] {"a":"' + MASK + '"}'),
            (b'"\\ud800"', 'message [warning] "\\ud800"'),
            (b'"' + b"so on and " * 10_000 + b'"', None),
        ],
    )
    def test_messages(self, data: bytes, text: str | None) -> None:
        """A log message of MCP is kept as one line, of any size."""
        stage = Stage()
        stage.logs.redactor.learn([SECRET])
        stage.logs.log_message("one", "warning", data)
        (found,) = stage.texts()
        assert found == (text or found)
        assert len(found) < LINE_CHARS + 20

    def test_a_server_that_goes(self) -> None:
        """A follower is told of the end; the last lines of a server are written."""
        stage, follower = Stage(), Follower()
        hearing = stage.logs.hearing("one")
        stage.logs.of("one").follow(follower)
        stage.logs.forget("one")
        assert follower.has_ended
        assert not stage.logs.is_known("one")
        hearing.heard(b"my last words\n")
        assert stage.texts() == ["stderr my last words"]

    @given(st.floats(0, 4e9), st.text(max_size=30))
    def test_stamps(self, seconds: float, after: str) -> None:
        """A time follows the one before it, whatever stood there."""
        made = stamp(seconds, stamp(seconds, after))
        assert made > stamp(seconds, after)
