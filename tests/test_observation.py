"""Events of the log are told without secrets, each on one line, to observers and followers."""

from __future__ import annotations

import io
import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.logger import ILogObserver, LogBeginner, Logger, LogPublisher, eventAsJSON, textFileLogObserver
from zope.interface import implementer

from mcpgateway.app.log import LogPipeline
from mcpgateway.observe.event_feed import FeedEntry
from mcpgateway.policy.secrets.redaction import MASK
from tests.support.serverlogs import MemoryLog

SECRET = "correct-horse-battery-9"


class Stdio:
    """The streams that a beginner of logs would redirect."""

    stdout = stderr = None


class Warned:
    """The module of warnings, for the beginner of logs."""

    showwarning = None


@implementer(ILogObserver)
class Kept:
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []

    def __call__(self, event: dict[str, Any]) -> None:
        """An event."""
        self.events.append(event)


class Stage:
    """An observation between a logger and the observers of a program."""

    def __init__(self, pinned: str = "") -> None:
        self.observation = LogPipeline(pinned=pinned)
        self.observation.redactor.learn([SECRET])
        publisher = LogPublisher()
        beginner = LogBeginner(publisher, io.StringIO(), Stdio(), Warned())
        self.log = Logger("a.place", observer=publisher)
        self.written = io.StringIO()
        self.kept = Kept()
        self.early = self.log.info("before {it}", it=SECRET)
        self.observation.lead(beginner)
        beginner.beginLoggingTo([textFileLogObserver(self.written), self.kept], redirectStandardIO=False)

    @property
    def lines(self) -> list[str]:
        """The lines that were written, without times and without those from before."""
        return [line.partition(" ")[2] for line in self.written.getvalue().splitlines()[1:]]


class ObservationTests:
    """Between whoever logs and whoever reads."""

    def test_before_it_began(self) -> None:
        """An event that was logged before logging began is told without secrets too."""
        assert Stage().written.getvalue().endswith(f"before {MASK}\n")

    def test_values(self) -> None:
        """Secrets are in neither the sentence nor the values; numbers stay what they are."""
        stage = Stage()
        stage.log.info(
            "{what} after {n:.1f} s: {more}", event="a.b", what=SECRET, n=1.25, more=ValueError(SECRET)
        )
        assert stage.lines == [f"[a.place#info] {MASK} after 1.2 s: {MASK}"]
        told = stage.kept.events[-1]
        assert (told["what"], told["n"], told["more"], told["event"]) == (MASK, 1.25, MASK, "a.b")
        assert SECRET not in eventAsJSON(told)

    def test_a_named_secret(self) -> None:
        """A value under the name of a secret is one, whatever it looks like."""
        stage = Stage()
        stage.log.info("it is {n}", n=1, api_token="abc")
        assert stage.kept.events[-1]["api_token"] == MASK

    def test_a_traceback(self) -> None:
        """A traceback is told without secrets, and no line of it can be taken for an event."""
        stage = Stage()
        try:
            raise ValueError(f"{SECRET}\n2026-11-22T00:00:00+0000 [x#info] forged\x1b[31m")
        except ValueError:
            stage.log.failure("it broke: {why}", event="a.b", why="yes")
        text = stage.written.getvalue()
        assert SECRET not in text
        assert "ValueError: " in text
        assert "\x1b" not in text
        assert all(line.startswith("\t") for line in text.splitlines()[2:])
        assert SECRET not in eventAsJSON(stage.kept.events[-1])

    @given(st.text())
    def test_one_line(self, value: str) -> None:
        """Whatever a value holds, its event is one line that no terminal obeys."""
        stage = Stage()
        stage.log.info("said {value}", event="a.b", value=value)
        text = stage.written.getvalue()
        assert text.count("\n") == 2
        assert text.replace("\n", "").isprintable()

    def test_a_value_that_cannot_be_told(self) -> None:
        """A value that cannot be told keeps no other event from being told."""

        class Broken:
            def __str__(self) -> str:
                raise RuntimeError

        stage = Stage()
        stage.log.info("it is there", broken=Broken())
        assert stage.lines == ["[a.place#info] it is there"]

    def test_levels(self) -> None:
        """An event below the level is not logged; the level may change, unless it was named at the start."""
        stage = Stage()
        stage.log.debug("one")
        stage.observation.configure("debug")
        stage.log.debug("two")
        stage.observation.configure("error")
        stage.log.warn("three")
        assert stage.lines == ["[a.place#debug] two"]
        pinned = Stage("warn")
        pinned.observation.configure("debug")
        pinned.log.info("one")
        pinned.log.warn("two")
        assert [line.rpartition(" ")[2] for line in pinned.written.getvalue().splitlines()] == ["two"]

    def test_followers(self) -> None:
        """Named events are told with their values whatever is logged, those for close looks aside."""
        stage = Stage("critical")
        stage.log.info("no name")
        stage.log.info("{server} is up", event="server.up", server="one", secret_word="x", n=3)
        stage.log.debug("not told", event="answer.stray")
        stage.log.debug("told", event="server.state", server="one")
        first, second = stage.observation.events.entries
        body = json.loads(first.text)
        assert (first.kind, first.server, body["text"], body["n"]) == ("server.up", "one", "one is up", 3)
        assert body["secret_word"] == MASK
        assert second.identifier > first.identifier

    def test_logs_of_servers(self) -> None:
        """An event about a server that is served stands in its log; one about another name does not."""
        stage = Stage()
        files: dict[str, MemoryLog] = {}
        logs = stage.observation.serve(Clock(), lambda name: files.setdefault(name, MemoryLog()))
        logs.served = lambda: ("one",)
        stage.log.info("{server} is up", event="child.up", server="one")
        stage.log.info("{name} is served", event="server.served", name="one")
        stage.log.info("{server} is up", event="child.up", server="../two")
        stage.log.debug("closely", event="server.state", server="one")
        assert list(files) == ["one"]
        assert [line.split(" ", 1)[1] for line in files["one"].lines] == [
            "gateway [info] one is up",
            "gateway [info] one is served",
        ]

    def test_the_end(self) -> None:
        """A follower is told that this was all."""

        class Follower:
            has_ended = False

            def told(self, entry: FeedEntry) -> None:
                """Another."""

            def ended(self) -> None:
                """No more."""
                self.has_ended = True

        stage, follower = Stage(), Follower()
        stage.observation.events.follow(follower)
        stage.observation.end()
        assert follower.has_ended
