"""Trying a server: how long each step may take, and what is said of it."""

from __future__ import annotations

from attrs import define, evolve, field
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from mcpgateway.backends.validation import EXITED, PING_S, PROTOCOL, TIMED_OUT, ValidationReport, validate
from mcpgateway.config.model import ServerSpec, Share
from mcpgateway.interfaces import Launch
from mcpgateway.protocol.versions import Era
from tests.support.gateway_in_memory import HELLO, MemoryLauncher

SERVER = ServerSpec("x", ("npx", "x"), {}, "/", share=Share.GLOBAL)
GOOD = {**HELLO, "capabilities": {}}


@define
class FetchingLauncher(MemoryLauncher):
    """Has to fetch each program first, until the test says that it is there."""

    fetching: list[tuple[Launch, Deferred[Launch]]] = field(factory=list)

    def prepare(self, launch: Launch) -> Deferred[Launch]:
        self.fetching.append((launch, done := Deferred()))
        return done

    def fetched(self) -> None:
        """The oldest program that is being fetched is there."""
        launch, done = self.fetching.pop()
        done.callback(evolve(launch, argv=("/cache/x",)))


@define
class Trial:
    """A trial, under the test's own clock."""

    launcher: MemoryLauncher
    clock: Clock = field(factory=Clock)
    reports: list[ValidationReport] = field(factory=list)

    def begin(self) -> Trial:
        """Let it begin."""
        validate(SERVER, self.launcher, self.clock).addCallback(self.reports.append)
        return self

    def told(self) -> list[tuple[str, bool, str]]:
        """The steps of its report, and what kind of thing went wrong."""
        return [(each.name, each.passed, each.fault) for each in self.reports[0].steps]


def refuse(launcher: MemoryLauncher) -> None:
    """Let the latest child refuse the first words."""
    child = launcher.children[-1]
    error = {"code": -32601, "message": "no"}
    child.say({"jsonrpc": "2.0", "id": child.received[-1]["id"], "error": error})


class ConnectingTests:
    """The time for connecting."""

    def test_two_eras(self) -> None:
        """A server that refuses one era late has the rest of the ten seconds for the other."""
        trial = Trial(MemoryLauncher(hello=None)).begin()
        trial.clock.advance(9)
        refuse(trial.launcher)
        trial.clock.advance(0.9)
        assert trial.reports == []
        trial.clock.advance(0.2)
        assert trial.told() == [("connect", False, TIMED_OUT)]
        assert trial.reports[0].steps[0].elapsed_s < 10.2
        assert "refused" in trial.reports[0].steps[0].detail

    def test_one_that_does_not_leave(self) -> None:
        """The trial does not wait longer than that for the first child to end, either."""
        trial = Trial(MemoryLauncher(hello=None)).begin()
        trial.launcher.children[0].lingers = Deferred()
        refuse(trial.launcher)
        trial.clock.advance(10.1)
        trial.launcher.children[0].lingers.callback(None)
        assert trial.told() == [("connect", False, TIMED_OUT)]
        assert len(trial.launcher.children) == 1

    def test_both_refused(self) -> None:
        """Refusals in both eras are a matter of the protocol; an end is told first."""
        for ends in (False, True):
            trial = Trial(MemoryLauncher(hello=None)).begin()
            refuse(trial.launcher)
            if ends:
                trial.launcher.children[-1].exit(3, "oops")
            else:
                refuse(trial.launcher)
            assert trial.told() == [("connect", False, EXITED if ends else PROTOCOL)]

    def test_the_other_era(self) -> None:
        """A server of the other era is connected to."""
        trial = Trial(MemoryLauncher(hello=GOOD, eras={"x": (Era.MODERN,)})).begin()
        trial.clock.advance(PING_S)  # which is not answered
        assert trial.told()[0] == ("connect", True, "")


class FetchingTests:
    """A package that is not there yet."""

    def test_a_while(self) -> None:
        """Fetching it is a step of its own, and takes nothing from the time for connecting."""
        launcher = FetchingLauncher(hello=GOOD)
        trial = Trial(launcher).begin()
        trial.clock.advance(20)
        launcher.fetched()
        launcher.fetched()
        trial.clock.advance(PING_S)  # which is not answered
        steps = trial.reports[0].steps
        assert [each.name for each in steps] == ["fetch", "connect", "list_tools", "ping", "close"]
        assert (steps[0].elapsed_s, steps[0].detail) == (20, "/cache/x is there")

    def test_no_time(self) -> None:
        """Where it was there, connecting is the first step."""
        launcher = FetchingLauncher(hello=GOOD)
        trial = Trial(launcher).begin()
        launcher.fetched()
        launcher.fetched()
        trial.clock.advance(PING_S)
        assert trial.told()[0][0] == "connect"

    def test_too_long(self) -> None:
        """The fetching may take no longer than the whole trial."""
        trial = Trial(FetchingLauncher(hello=GOOD)).begin()
        trial.clock.advance(30.1)
        assert trial.told() == [("fetch", False, TIMED_OUT)]
