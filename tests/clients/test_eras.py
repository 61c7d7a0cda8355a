"""Real clients of both eras, every way into one gateway, servers of both eras: whoever can be served is served."""

from __future__ import annotations

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.clients.agents import TURNS
from tests.clients.fronts import Front, listening, way
from tests.clients.libraries import PINNED, Call, Outcome
from tests.clients.matrix import CLIENTS, NEW, OLD, SERVERS, pairs, refusal, spoken
from tests.clients.mock_model import MockModel
from tests.clients.program import Home
from tests.support.gateway import Gateway

pytestmark = pytest.mark.functional

PAIRS = list(pairs())
ROUNDS = ("alone", "together")
AT_ONCE = 10  # programs of clients; each makes its calls at the same time


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """The one gateway for all of them."""
    directory = tmp_path_factory.mktemp("gateway")
    servers = {name: each.entry() for name, each in SERVERS.items()}
    with Gateway(directory, servers, options=listening(directory)) as running:
        yield running


def use(pair: tuple[str, Front], round_: str, gateway: Gateway, homes: Path) -> None:
    """Let one client call servers through one front, and see that each answer is its own, or a clear refusal."""
    client, front = pair
    number = PAIRS.index(pair) + ROUNDS.index(round_) * len(PAIRS)
    calls = []
    for name in CLIENTS[client].calls:
        word = f"{client}-{front.value}-{name}-{round_}-x"
        calls.append(Call(SERVERS[name].job(name, word, number), way(gateway, front, name)))
    with Home(homes / f"{client}-{front.value}-{round_}") as home:
        outcomes = CLIENTS[client].run(home, calls)
    for call, outcome in zip(calls, outcomes, strict=True):
        seen = outcome.error or f"served in {outcome.version or 'an era that the client does not tell'}"
        print(f"{client} through {front.value} to {call.job.server}: {seen}")
    wrong = [
        f"{call.job.server}: {why}"
        for call, outcome in zip(calls, outcomes, strict=True)
        if (why := complaint(pair, call, outcome))
    ]
    assert not wrong, "\n".join([f"{client} through {front.value}", *wrong])


def complaint(pair: tuple[str, Front], call: Call, outcome: Outcome) -> str:
    """The fault in the outcome of a call; empty where there is none."""
    client, front = pair
    if refusal(client, front, call.job.server):
        is_clear = outcome.error and re.search(CLIENTS[client].says, outcome.error.lower())
        return "" if is_clear and not outcome.text else f"not refused, or not clearly: {outcome}"
    if call.job.proof not in outcome.text:
        return f"no {call.job.proof}: {outcome}"
    spoke = {None: spoken(client, front), PINNED: NEW}.get(outcome.version, OLD)
    return "" if spoke & spoken(client, front) else f"spoke {outcome.version}"


class EraTests:
    """Every client through every front that it can take, to servers of either era and of both."""

    @pytest.mark.parametrize("pair", PAIRS, ids=[f"{client}-{front.value}" for client, front in PAIRS])
    def test_alone(self, pair: tuple[str, Front], gateway: Gateway, tmp_path: Path) -> None:
        """A client connects, lists and calls, or hears clearly that it cannot be served."""
        use(pair, "alone", gateway, tmp_path)

    @pytest.mark.parametrize("server", ["legacy", "modern", "dual"])
    @pytest.mark.parametrize("agent", TURNS)
    def test_agent(self, agent: str, server: str, gateway: Gateway, tmp_path: Path) -> None:
        """An agent gets its answer from a server of either era."""
        word = f"{agent}-{server}-x"
        url = f"{gateway.url}/{server}/mcp"
        with Home(tmp_path) as home, MockModel(server, "echo", [{"text": word}]) as model:
            said = TURNS[agent](home, {server: url}, model)
        assert model.results, said
        assert word in model.results[-1]

    def test_all_together(self, gateway: Gateway, tmp_path: Path) -> None:
        """All of them at the same time get their own answers, whatever era the next one speaks."""
        with ThreadPoolExecutor(AT_ONCE) as pool:
            running = {pair: pool.submit(use, pair, "together", gateway, tmp_path) for pair in PAIRS}
        failures = [str(why) for each in running.values() if (why := each.exception())]
        assert not failures, "\n\n".join(failures)

    def test_nothing_is_wrong_in_the_log(self, gateway: Gateway) -> None:
        """After all this the log holds no traceback."""
        assert "Traceback" not in gateway.log
        assert "Unhandled" not in gateway.log
