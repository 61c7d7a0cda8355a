"""Real clients, one gateway, real servers: every client hears its own answers, alone and beside all the others."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.clients.clients import CLIENTS, servers_of
from tests.clients.job import JOBS, PER_SESSION, World
from tests.clients.program import Home
from tests.support.gateway import Gateway

pytestmark = pytest.mark.functional

ROUNDS = ("alone", "together")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """What the servers work on."""
    made = World(tmp_path_factory.mktemp("world"), len(CLIENTS) * len(ROUNDS))
    made.make()
    return made


@pytest.fixture(scope="module")
def gateway(world: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """The one gateway for all of them."""
    with Gateway(tmp_path_factory.mktemp("gateway"), world.servers()) as running:
        yield running


def use(client: str, round_: str, world: World, gateway: Gateway) -> None:
    """Let one client do its jobs in a home of its own, and see that each answer is its own."""
    at = ROUNDS.index(round_)
    number = list(CLIENTS).index(client) + at * len(CLIENTS)
    jobs = [world.job(server, number) for server in servers_of(client, at)]
    urls = {name: f"{gateway.url}/{name}/mcp" for name in JOBS}
    with Home(world.home(number)) as home:
        results = CLIENTS[client](home, urls, jobs)
    assert len(results) == len(jobs)
    for job, result in zip(jobs, results, strict=True):
        assert job.proof in result, f"{client}, {job.server} {job.tool}: {result}"


class ClientTests:
    """Every client that can be had without a login."""

    @pytest.mark.parametrize("client", CLIENTS)
    def test_alone(self, client: str, world: World, gateway: Gateway) -> None:
        """It connects, lists and calls."""
        use(client, "alone", world, gateway)

    def test_all_together(self, world: World, gateway: Gateway) -> None:
        """All of them at the same time get their own answers, from one process of each server that can be shared."""
        with ThreadPoolExecutor(len(CLIENTS)) as pool:
            running = {client: pool.submit(use, client, "together", world, gateway) for client in CLIENTS}
        failures = {client: str(why) for client, each in running.items() if (why := each.exception())}
        assert not failures, "\n\n".join(f"{client}: {why}" for client, why in failures.items())
        for name in JOBS:
            backend = gateway.backend(name)
            assert backend["share"] == ("session" if name in PER_SESSION else "global"), backend
            assert name in PER_SESSION or len(backend["pids"]) == 1, backend

    def test_nothing_is_wrong_in_the_log(self, gateway: Gateway) -> None:
        """After all this the log holds no traceback."""
        assert "Traceback" not in gateway.log
        assert "Unhandled" not in gateway.log
