"""Habits of agents when a call takes long, when the gateway goes away, and when they leave: the gateway relies on them.

Where time matters it is a client's own patience, with room for a machine that is slow.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from itertools import chain, repeat
from pathlib import Path
from typing import Any

import pytest

from tests.clients.agents import TURNS
from tests.clients.mock_model import MockModel
from tests.clients.program import LIMIT_S, Home
from tests.clients.slow_server import HEARD, UNHEARD, SlowServer
from tests.support.gateway import IS_SOAK, Gateway, eventually, server
from tests.support.real_servers import fixture

pytestmark = pytest.mark.functional

CODEX_PATIENCE_S = 5.0  # how long Codex waits for its GET stream to end after DELETE
SLOW_CALL_S = 75  # Claude Code waits 60 s for the head of a response
OUTAGE_S = 20.0  # long enough for clients to give up their streams
TRIES, RETRY_S = 30, 2.0  # of a call after an outage
IDLE_S = 20
# Claude Code looks every 30 s whether a call has been silent for too long, so it has looked once by then.
WORKS_S = 45.0
# The gateway shows progress of its own 150 s after the call, and every 120 s from then on.
SILENT_CALL_S, SILENCE_S = 240, 170
FIRST, SECOND = {"text": "first-x"}, {"text": "second-x"}


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[Gateway]:
    """A gateway with a server that does what a test asks."""
    with Gateway(tmp_path, {"fixture": server(fixture())}) as running:
        yield running


def turn(client: str, home: Home, url: str, model: MockModel, **more: str) -> list[str]:
    """Let an agent do what the model wants; what came of each call."""
    said = TURNS[client](home, {model.server: url}, model, **more)
    assert model.done, f"{model.results}; offered: {sorted(model.offered)}; said:\n{said}"
    return model.results


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mapping[str, Future[str]]]:
    """The outcomes of some long calls of Claude Code; all of them at once, because each takes its time."""
    with ExitStack() as stack:
        home = tmp_path_factory.mktemp("homes")
        pool = stack.enter_context(ThreadPoolExecutor(3 + len(HEARD) + len(UNHEARD)))
        running = stack.enter_context(Gateway(tmp_path_factory.mktemp("gateway"), {"it": server(fixture())}))

        def call(name: str, url: str, tool: str, arguments: Mapping[str, Any], **more: str) -> Future[str]:
            def use() -> str:
                with Home(home / name) as at, MockModel("it", tool, [arguments]) as model:
                    return turn("claude-code", at, url, model, **more)[0]

            return pool.submit(use)

        url = f"{running.url}/it/mcp"
        slow = {"ms": SLOW_CALL_S * 1000, "text": "rested-x"}
        steps = {"steps": int(WORKS_S / 2), "ms": 2000}
        idle = {"CLAUDE_CODE_MCP_TOOL_IDLE_TIMEOUT": str(IDLE_S * 1000)}
        found = {
            # MCP_TIMEOUT would raise the limit for the head, too.
            "slow": call("slow", url, "sleep", slow, MCP_TIMEOUT="30000"),
            "steps": call("steps", url, "progress", steps, **idle),
        }
        if IS_SOAK:
            silent = {"ms": SILENT_CALL_S * 1000, "text": "rested-x"}
            patience = {"CLAUDE_CODE_MCP_TOOL_IDLE_TIMEOUT": str(SILENCE_S * 1000)}
            found["silent"] = call("silent", url, "sleep", silent, **patience)
        for name, sign in {**HEARD, **UNHEARD}.items():
            at = stack.enter_context(SlowServer(sign, WORKS_S)).url
            found[name] = call(name.replace(" ", "-"), at, "slow", {}, **idle)
        yield found


class LongCallTests:
    """Claude Code and calls that take long."""

    def test_longer_than_a_head_may_take(self, outcomes: Mapping[str, Future[str]]) -> None:
        """A call that takes longer than Claude Code waits for the head of its response is answered."""
        assert "rested-x" in outcomes["slow"].result()

    def test_progress_of_the_server(self, outcomes: Mapping[str, Future[str]]) -> None:
        """A server's own progress keeps a call alive for longer than Claude Code bears silence."""
        assert str(int(WORKS_S / 2)) in outcomes["steps"].result()

    @pytest.mark.skipif(not IS_SOAK, reason="takes minutes; MCPGATEWAY_SOAK=1 runs it")
    def test_progress_of_the_gateway(self, outcomes: Mapping[str, Future[str]]) -> None:
        """Where the server reports nothing the gateway does, so that silence does not end a call."""
        assert "rested-x" in outcomes["silent"].result()

    @pytest.mark.parametrize("sign", UNHEARD)
    def test_no_sign_of_life(self, outcomes: Mapping[str, Future[str]], sign: str) -> None:
        """A call without progress of its own is silent for Claude Code, whatever else comes on its stream."""
        assert "sent no response or progress" in outcomes[sign].result()

    @pytest.mark.parametrize("sign", HEARD)
    def test_sign_of_life(self, outcomes: Mapping[str, Future[str]], sign: str) -> None:
        """Progress under the call's own token is what counts; it needs no total and no message."""
        assert "done" in outcomes[sign].result()


class RestartTests:
    """``kill -9`` of the gateway in mid-session, with all agents at once."""

    def results(
        self, gateway: Gateway, directory: Path, outage: Callable[[Sequence[Home]], None], tries: int
    ) -> Mapping[str, list[str]]:
        """Let each agent call in one turn, and again after an outage that begins when all have called."""
        homes = {client: Home(directory / client) for client in TURNS}
        here = threading.Barrier(len(TURNS), lambda: outage(list(homes.values())), timeout=LIMIT_S)
        url = f"{gateway.url}/fixture/mcp"

        def call(client: str) -> list[str]:
            waits = chain([here.wait], repeat(lambda: time.sleep(RETRY_S)))

            def between() -> None:
                next(waits)()

            calls = [FIRST, *tries * [SECOND]]
            model = MockModel("fixture", "echo", calls, between, SECOND["text"])
            try:
                with homes[client] as home, model:
                    return turn(client, home, url, model)
            except BaseException:
                here.abort()  # nobody needs to wait for it
                raise

        with ThreadPoolExecutor(len(TURNS)) as pool:
            running = {client: pool.submit(call, client) for client in TURNS}
        failures = {client: str(why) for client, each in running.items() if (why := each.exception())}
        assert not failures, "\n\n".join(f"{client}: {why}" for client, why in failures.items())
        return {client: each.result() for client, each in running.items()}

    def check(self, results: Mapping[str, list[str]]) -> None:
        """Each agent has got both answers."""
        for client, (first, *_, last) in results.items():
            assert FIRST["text"] in first, f"{client}: {first}"
            assert SECOND["text"] in last, f"{client}: {last}"

    def test_restart(self, gateway: Gateway, tmp_path: Path) -> None:
        """Agents go on in the session they have, and listen again, without a new handshake."""
        seen: dict[str, Any] = {}

        def restart(homes: Sequence[Home]) -> None:
            with ExitStack() as stack:
                for home in homes:
                    stack.enter_context(home.frozen())
                gateway.kill()
                gateway.start()
            eventually(lambda: gateway.health()["streams"] == len(homes), "all of them listen again")
            seen.update(gateway.health())

        self.check(self.results(gateway, tmp_path, restart, tries=1))
        assert seen["sessions"] == len(TURNS)
        assert gateway.log.count("a session of fixture is restored") == len(TURNS)

    def test_outage(self, gateway: Gateway, tmp_path: Path) -> None:
        """After an outage that is too long for their streams, agents get through with a later call of the same turn."""

        def restart(homes: Sequence[Home]) -> None:
            gateway.kill()
            time.sleep(OUTAGE_S)
            gateway.start()

        # Claude Code refuses calls itself until its next attempt to connect.
        self.check(self.results(gateway, tmp_path, restart, tries=TRIES))


class LeavingTests:
    """Ends of agents' sessions."""

    def test_codex(self, gateway: Gateway, tmp_path: Path) -> None:
        """Codex ends its session with DELETE, and need not wait for the end of its stream."""
        waited = []
        for nth in range(3):  # a machine that is busy in one of them does not decide
            with Home(tmp_path / f"codex-{nth}") as home, MockModel("fixture", "echo", [FIRST]) as model:
                turn("codex", home, f"{gateway.url}/fixture/mcp", model)
                waited.append(time.monotonic() - model.done)
            assert gateway.log.count("a session of fixture ends: its client asked for it") == nth + 1
            eventually(lambda: gateway.health()["streams"] == 0, "its stream has ended")
        assert min(waited) < CODEX_PATIENCE_S, waited
