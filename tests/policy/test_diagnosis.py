"""The diagnosis of a server that does not work, from known facts."""

from __future__ import annotations

from typing import Any

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from mcpgateway.policy.diagnosis import Failure, ServerFacts, Trip, advise, verdict
from mcpgateway.policy.health import HealthState
from mcpgateway.policy.readiness import Remedy

MISSING = Remedy("did you mean npx?", "mcpgateway servers set x command=npx")
BROKEN = ServerFacts(
    "notes", HealthState.ERROR, failure=Failure.ENDED_EARLY, fault="it ended (exit code 1)", code=1, starts=1
)


def causes(facts: ServerFacts) -> list[str]:
    """The names of what is found."""
    return [each.cause for each in advise(facts)]


def first(**more: Any) -> str:
    """The surest cause for a server that has failed."""
    return causes(evolve(BROKEN, **more))[0]


class CauseTests:
    """The causes, each told apart from the others."""

    def test_all_is_well(self) -> None:
        """A server that runs has no cause."""
        facts = ServerFacts("notes", HealthState.RUNNING, starts=1)
        assert advise(facts) == []
        assert verdict(facts, []) == "notes is running, and nothing is wrong with it"

    def test_what_it_printed(self) -> None:
        """The surest is what the program itself has said; the line is quoted."""
        facts = evolve(BROKEN, words="boom\nModuleNotFoundError: No module named 'mcp'\n")
        found = advise(facts)[0]
        assert (found.cause, found.is_trouble) == ("missing-module", True)
        assert "No module named 'mcp'" in found.says
        assert verdict(facts, advise(facts)).startswith("notes does not work: its Python has no module mcp")

    @pytest.mark.parametrize(
        ("more", "cause"),
        [
            (
                {"failure": Failure.LAUNCH, "program": "npx", "is_found": False, "missing": MISSING},
                "command-not-found",
            ),
            ({"failure": Failure.LAUNCH, "program": "npx", "fault": "'npx' was not found"}, "found-since"),
            ({"failure": Failure.LAUNCH, "has_directory": False}, "missing-directory"),
            ({"failure": Failure.LAUNCH, "fault": "EAGAIN"}, "not-started"),
            ({"failure": Failure.LATE, "code": None}, "handshake-timeout"),
            ({"failure": Failure.LATE, "stray": "Welcome!"}, "stdout-pollution"),
            ({"failure": Failure.REFUSED, "code": None}, "handshake-refused"),
            ({"failure": Failure.UNREACHABLE, "address": "https://h/mcp"}, "unreachable"),
            ({"failure": Failure.AUTHORIZATION, "fault": "open https://a"}, "authorization"),
            ({"failure": Failure.UNAVAILABLE, "fault": "HTTP 503"}, "unavailable"),
            ({"failure": Failure.APPROVAL}, "not-approved"),
            ({"code": 127}, "command-not-found"),
            ({"code": 126}, "not-executable"),
            ({"code": 0}, "ended-at-once"),
            (
                {"code": 0, "words": "ERROR:mcp_server_git.server:. is not a valid Git repository"},
                "exception",
            ),
            ({"code": 137}, "killed"),
            ({"code": None, "signal": 9}, "killed"),
            ({"code": None, "signal": 11}, "crashed"),
            ({"code": None, "signal": 15}, "terminated"),
            ({"code": 3}, "failed"),
            ({"problems": ("a.yaml, line 3: unknown key",)}, "configuration"),
            ({"unapproved": "/p/.mcp.json"}, "not-approved"),
            ({"state": HealthState.DISABLED, "is_off": True}, "switched-off"),
            (
                {"state": HealthState.DISABLED, "is_off": True, "is_enabled": False, "file": "a.yaml"},
                "disabled",
            ),
            ({"words": "EADDRINUSE"}, "port-in-use"),
        ],
    )
    def test_surest(self, more: dict[str, Any], cause: str) -> None:
        """The surest cause comes first, and something can be done about it."""
        facts = evolve(BROKEN, **more)
        assert causes(facts)[0] == cause
        assert advise(facts)[0].remedy

    def test_a_missing_program(self) -> None:
        """The remedy for a missing program is the one that was found where it was looked up."""
        facts = evolve(BROKEN, failure=Failure.LAUNCH, program="npxx", is_found=False, missing=MISSING)
        found = advise(facts)[0]
        assert (found.cause, found.do, found.run) == ("command-not-found", *MISSING)

    def test_a_failure_of_the_past(self) -> None:
        """A server that runs again is not blamed for its former end."""
        assert causes(evolve(BROKEN, state=HealthState.RUNNING, failure=Failure.NONE)) == []

    def test_at_rest_after_a_failure(self) -> None:
        """An unused server is stopped, and its last failure is shown all the same."""
        assert first(state=HealthState.STOPPED, words="EADDRINUSE") == "port-in-use"


class WaitingTests:
    """The time of the next attempt."""

    def test_breaker(self) -> None:
        """An open breaker is told with its arithmetic and the next try, after what has caused it."""
        trip = Trip("circuit breaker: 5 failed starts", 212, failures=5)
        found = advise(evolve(BROKEN, state=HealthState.DISABLED, words="EADDRINUSE", trip=trip))
        assert [each.cause for each in found] == ["port-in-use", "circuit-open"]
        assert found[-1].says == "circuit breaker: 5 failed starts; it is tried again in 3 min 32 s"
        assert "reset-circuit notes" in found[-1].remedy

    @pytest.mark.parametrize(
        ("trip", "says"),
        [
            (Trip("open", None), "operator"),
            (Trip("open", 0), "the next call"),
            (Trip("open", 5, is_trying=True), "right now"),
        ],
    )
    def test_when(self, trip: Trip, says: str) -> None:
        """The diagnosis names the end of the wait: a time, a call or an operator."""
        assert says in advise(evolve(BROKEN, trip=trip))[-1].says

    def test_back_off(self) -> None:
        """A wait is told with how many chances are left, and is no trouble of its own."""
        found = advise(evolve(BROKEN, retry_in_s=20, trip=Trip(failures=2)))[-1]
        assert (
            found.says
            == "it is started again by the next call, or in 20 s; 3 more failed starts, and it is given up"
        )
        assert not found.is_trouble

    def test_probe(self) -> None:
        """Where nothing answers, the next look at its address is told."""
        facts = evolve(BROKEN, state=HealthState.UNREACHABLE, failure=Failure.UNREACHABLE, retry_in_s=60)
        assert causes(facts) == ["unreachable", "probing"]

    def test_unwell(self) -> None:
        """A server that answers with HTTP 503 is not told as one where nothing answers."""
        facts = evolve(
            BROKEN,
            state=HealthState.UNREACHABLE,
            failure=Failure.UNAVAILABLE,
            fault="it answers with HTTP 503",
        )
        said = advise(facts)[0].says
        assert "HTTP 503" in said
        assert "nothing answers" not in said

    def test_what_callers_are_told(self) -> None:
        """The hint for callers comes first, and is given once."""
        facts = evolve(BROKEN, hint="put ca_file right in its entry")
        assert advise(facts)[0].do.startswith("put ca_file right in its entry; its log may tell more")
        login = evolve(
            BROKEN,
            state=HealthState.NEEDS_LOGIN,
            failure=Failure.AUTHORIZATION,
            fault="it wants its user to sign in",
        )
        assert advise(login)[0].remedy == "mcpgateway servers login notes"
        assert advise(evolve(login, hint="give its entry a header"))[0].remedy == "give its entry a header"
        assert verdict(login, advise(login)) == "notes needs login: it wants its user to sign in"

    def test_lazy(self) -> None:
        """A server that nobody has needed yet is in no trouble."""
        facts = ServerFacts("notes", HealthState.STOPPED)
        assert causes(facts) == ["never-started"]
        assert (
            verdict(facts, advise(facts))
            == "notes is stopped, and has not been started since the gateway runs"
        )


class NoteTests:
    """Notes on a server that works."""

    def test_notes(self) -> None:
        """Pollution, restarts and a replacement to come are no trouble while it works."""
        facts = ServerFacts(
            "notes",
            HealthState.RUNNING,
            stray="hello",
            restarts=3,
            starts=4,
            excess="400 MB",
            knows_no_ping=True,
        )
        found = advise(facts)
        assert [each.cause for each in found] == ["stdout-pollution", "unsteady", "replaced-soon", "no-pings"]
        assert not any(each.is_trouble for each in found)

    def test_degraded(self) -> None:
        """A server without answers to pings, or with an unwell service, is in trouble."""
        assert causes(ServerFacts("notes", HealthState.DEGRADED, starts=1)) == ["pings-missed"]
        assert causes(ServerFacts("notes", HealthState.DEGRADED, starts=1, service_fault="503")) == [
            "service-unwell"
        ]


FACTS = st.builds(
    ServerFacts,
    st.just("notes"),
    st.sampled_from(HealthState),
    is_enabled=st.booleans(),
    is_off=st.booleans(),
    is_found=st.booleans(),
    has_directory=st.booleans(),
    failure=st.sampled_from(Failure),
    fault=st.text(max_size=20),
    code=st.none() | st.integers(0, 255),
    signal=st.none() | st.integers(1, 64),
    words=st.text(max_size=100),
    stray=st.text(max_size=10),
    retry_in_s=st.none() | st.integers(0, 300),
    trip=st.builds(
        Trip, st.text(max_size=5), st.none() | st.integers(0, 9), st.booleans(), st.integers(0, 9)
    ),
    starts=st.integers(0, 3),
)


class AnyFactsTests:
    """The diagnosis of any facts."""

    @given(FACTS)
    def test_any_facts(self, facts: ServerFacts) -> None:
        """A cause is named once; a failed server in error has one; trouble comes with a remedy."""
        found = advise(facts)
        assert len({each.cause for each in found}) == len(found)
        if facts.failure is not Failure.NONE and facts.state is HealthState.ERROR:
            assert any(each.is_trouble for each in found)
        for each in found:
            assert each.remedy or not each.is_trouble
        assert verdict(facts, found).startswith(
            ("notes is ", "notes needs ", "notes has ", "notes does not work")
        )
