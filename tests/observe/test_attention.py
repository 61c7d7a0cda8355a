"""Since when needs are there, and the news of them."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.logger import capturedLogs

from mcpgateway.observe.attention import SETTLE_S, Attention
from mcpgateway.observe.event_feed import EventHistory, FeedEntry


class Desk:
    """An attention, and what it finds."""

    def __init__(self) -> None:
        self.feed, self.clock = EventHistory(10, 1000), Clock()
        self.attention = Attention(self.feed, self.clock)
        self.attention.look = self.look
        self.needs: set[str] = set()
        self.looks = 0

    def look(self) -> None:
        """Find the needs."""
        self.looks += 1
        self.attention.dated(dict.fromkeys(self.needs, self.clock.seconds()))

    def happens(self, kind: str) -> None:
        """Something happens, and a moment passes."""
        self.feed.add(FeedEntry("1", "{}", kind))
        self.clock.advance(SETTLE_S)


def test_beginning() -> None:
    """The time of a need is that of its first sight, until it goes."""
    attention = Attention(EventHistory(1, 1), Clock())
    assert attention.dated({"a": 1.0}) == {"a": 1.0}
    assert attention.dated({"a": 2.0, "b": 3.0}) == {"a": 1.0, "b": 3.0}
    assert attention.dated({"b": 4.0}) == {"b": 3.0}
    assert attention.dated({"a": 5.0, "b": 4.0}) == {"a": 5.0, "b": 3.0}


def test_news() -> None:
    """Followers are told of changes after events, each once; a burst of events is one look."""
    desk = Desk()
    desk.attention.begin()
    desk.clock.advance(SETTLE_S)
    with capturedLogs() as told:
        desk.needs = {"a"}
        desk.feed.add(FeedEntry("1", "{}", "server.state"))
        desk.happens("server.state")
        desk.happens("server.state")
        desk.happens("session.opened")
        desk.needs = {"b"}
        desk.happens("config.reloaded")
    changes = [
        (each["came"], each["went"], each["number"]) for each in told if each["event"] == "attention.changed"
    ]
    assert changes == [(1, 0, 1), (1, 1, 1)]
    assert desk.looks == 4


def test_nobody_follows() -> None:
    """Without followers nothing is looked for."""
    desk = Desk()
    ends = [desk.attention.begin(), desk.attention.begin()]
    desk.clock.advance(SETTLE_S)
    ends[0]()
    desk.happens("server.state")
    assert desk.looks == 2
    desk.feed.add(FeedEntry("1", "{}", "server.state"))
    ends[1]()
    desk.clock.advance(SETTLE_S)
    desk.happens("server.state")
    assert desk.looks == 2
    desk.attention.begin()
    desk.happens("server.state")
    assert desk.looks == 3


def test_broken_look() -> None:
    """A look that breaks is logged, and the next one is made."""
    desk = Desk()
    desk.attention.look = lambda: 1 / 0
    desk.attention.begin()
    with capturedLogs() as told:
        desk.clock.advance(SETTLE_S)
    assert "log_failure" in told[0]
    desk.attention.look = desk.look
    desk.happens("server.state")
    assert desk.looks == 1
