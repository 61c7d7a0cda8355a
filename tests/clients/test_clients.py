"""Real clients, one gateway, real servers: every client hears its own answers, alone and beside all the others."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.clients import matrix
from tests.clients.agents import AGENTS
from tests.clients.fronts import Front, way
from tests.clients.job import JOBS, PER_SESSION, Job, World
from tests.clients.libraries import Call
from tests.clients.program import Home
from tests.support.gateway import Gateway

pytestmark = pytest.mark.functional

ROUNDS = ("alone", "together")
KINDS = 8  # of clients, by what a server may ask them, in each era; of 26
# Some of the servers know only sessions; what becomes of those who know none is in test_eras.
LIBRARIES = [name for name, client in matrix.CLIENTS.items() if matrix.SESSIONS in client.eras]
CLIENTS = [*AGENTS, *LIBRARIES]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """The world that the servers work on."""
    made = World(tmp_path_factory.mktemp("world"), len(CLIENTS) * len(ROUNDS))
    made.make()
    return made


@pytest.fixture(scope="module")
def gateway(world: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """The one gateway for all of them."""
    with Gateway(tmp_path_factory.mktemp("gateway"), world.servers()) as running:
        yield running


def servers_of(client: str, round_: int) -> list[str]:
    """Which servers this client calls; an agent's differs from round to round, and from other agents'."""
    if client in LIBRARIES:
        return list(JOBS)
    at = list(AGENTS).index(client) + round_
    return [list(JOBS)[at % len(JOBS)]]


def results_of(client: str, home: Home, jobs: Sequence[Job], gateway: Gateway) -> list[str]:
    """The result of each job, as the client shows it."""
    if client in AGENTS:
        urls = {name: f"{gateway.url}/{name}/mcp" for name in JOBS}
        return AGENTS[client](home, urls, jobs)
    calls = [Call(job, way(gateway, Front.HTTP, job.server)) for job in jobs]
    return [outcome.text or outcome.error for outcome in matrix.CLIENTS[client].run(home, calls)]


def use(client: str, round_: str, world: World, gateway: Gateway) -> None:
    """Let one client do its jobs in a home of its own, and see that each answer is its own."""
    at = ROUNDS.index(round_)
    number = CLIENTS.index(client) + at * len(CLIENTS)
    jobs = [world.job(server, number) for server in servers_of(client, at)]
    with Home(world.home(number)) as home:
        results = results_of(client, home, jobs, gateway)
    assert len(results) == len(jobs)
    for job, result in zip(jobs, results, strict=True):
        assert job.proof in result, f"{client}, {job.server} {job.tool}: {result}"


class ClientTests:
    """Every client that can be had without a login."""

    @pytest.mark.parametrize("client", CLIENTS)
    def test_alone(self, client: str, world: World, gateway: Gateway) -> None:
        """A client connects, lists and calls."""
        use(client, "alone", world, gateway)

    def test_all_together(self, world: World, gateway: Gateway) -> None:
        """All at the same time get their own answers; a shared server has a process for each kind of client."""
        with ThreadPoolExecutor(len(CLIENTS)) as pool:
            running = {client: pool.submit(use, client, "together", world, gateway) for client in CLIENTS}
        failures = {client: str(why) for client, each in running.items() if (why := each.exception())}
        assert not failures, "\n\n".join(f"{client}: {why}" for client, why in failures.items())
        for name in JOBS:
            backend = gateway.backend(name)
            assert backend["share"] == ("session" if name in PER_SESSION else "global"), backend
            assert name in PER_SESSION or len(backend["pids"]) <= KINDS, backend

    def test_nothing_is_wrong_in_the_log(self, gateway: Gateway) -> None:
        """After all this the log holds no traceback."""
        assert "Traceback" not in gateway.log
        assert "Unhandled" not in gateway.log
