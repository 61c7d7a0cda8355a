"""Children that do everything wrong, in many rounds: what is shown, what their clients are told, and what is left."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.gateway import IS_SOAK, Gateway, server
from tests.support.http_client import Client, message, text_of, tool_call
from tests.support.processes import is_alive
from tests.support.real_servers import fixture
from tests.support.rounds import (
    HEAVY_KIB,
    ROUNDS,
    SESSIONS_KIB,
    Chaos,
    costs_nothing,
    echo,
    failure,
    hold,
    initialized,
    until,
)

pytestmark = pytest.mark.functional

MB = 1_000_000
LONG_LINE = 100 * MB
GARBAGE = 120_000  # lines; more than is borne, and more than a pipe holds
LEAK_LIMIT_MB, LEAK = 40, 40 * MB
LATE_MS = 6000  # behind the limit of 3 s, which is looked at once a second
AT_ONCE = 20 if IS_SOAK else 4
SETTINGS = {
    "ping_interval": "1s",
    "limits": {"handshake": "5s", "spawns": 20},
    "circuit": {"restarts": 0},  # what fails here fails on purpose
}


async def exits_at_once(gateway: Gateway, name: str) -> None:
    """A program that is no server."""
    error = (await initialized(gateway.url, name)).json["error"]
    assert (error["code"], error["message"]) == (-32603, f"{name} ended during the handshake (exit code 3)")
    assert error["data"]["hint"] == "no"


async def hangs_in_the_handshake(gateway: Gateway, name: str) -> None:
    """A server that never says hello."""
    error = (await initialized(gateway.url, name)).json["error"]
    assert error["message"] == f"{name} did not answer the handshake within 5 s"


async def prints_garbage(gateway: Gateway, name: str) -> None:
    """A server that chats in between is served."""
    client = Client(gateway.url, f"/{name}/mcp")
    assert await client.value("garbage", lines=100) == "and now the answer"
    client.close()


async def prints_nothing_but_garbage(gateway: Gateway, name: str) -> None:
    """A server that only chats is none."""
    status, error = await failure(gateway.url, name, "garbage", lines=GARBAGE)
    assert (status, error["code"]) == (200, -32603)
    assert error["message"] == (
        f"{name} ended before it answered (it printed 10000 lines in a row that are not JSON-RPC)"
    )


async def prints_no_newline(gateway: Gateway, name: str) -> None:
    """A server that writes a hundred MB without a newline is stopped at 32 MiB."""
    _, error = await failure(gateway.url, name, "nonewline", bytes=LONG_LINE)
    assert error["message"] == (
        f"{name} ended before it answered (it wrote more than 33554432 bytes without a newline)"
    )


async def forks_and_dies(gateway: Gateway, name: str) -> None:
    """A server that leaves helpers behind, one of which has left its process group."""
    client = Client(gateway.url, f"/{name}/mcp")
    helpers = [(await client.value("fork", kind=kind))["pid"] for kind in ("holder", "double")]
    client.close()
    _, error = await failure(gateway.url, name, "die", code=9)
    assert error["message"] == f"{name} ended before it answered (exit code 9)"
    await until(lambda: not any(map(is_alive, helpers)), "its helpers end with it")


async def ignores_term(gateway: Gateway, name: str) -> None:
    """A server that ignores the end of its stdin, and SIGTERM too."""
    client = await Client.open(gateway.url, name)
    pid = (await client.value("pid"))["pid"]
    assert (await client.ask("DELETE")).status == 200
    client.close()
    await until(lambda: not is_alive(pid), "it is killed")


async def leaks_memory(gateway: Gateway, name: str) -> None:
    """A server that has grown too large is replaced; its client hears nothing of that."""
    client = await Client.open(gateway.url, name)
    pid = (await client.value("pid"))["pid"]
    await client.value("grow", bytes=LEAK)
    await until(lambda: not is_alive(pid), "it is replaced")
    assert (await client.value("pid"))["pid"] != pid
    assert (await client.ask("DELETE")).status == 200
    client.close()


async def answers_twice(gateway: Gateway, name: str) -> None:
    """The first answer counts, and the next call gets its own."""
    client = Client(gateway.url, f"/{name}/mcp")
    assert await client.text("twice", text="the first") == "the first"
    assert await client.text("echo", text="the next") == "the next"
    client.close()


async def answers_what_was_cancelled(gateway: Gateway, name: str) -> None:
    """An answer to a call that was taken back reaches nobody."""
    client = await Client.open(gateway.url, name)
    waiting = await client.begin(tool_call(7, "sleep", {"ms": 100, "text": "too late"}))
    answer = asyncio.ensure_future(waiting.answer())
    while not answer.done():
        await client.post(message(None, "notifications/cancelled", {"requestId": 7}))
        await asyncio.wait([answer], timeout=0.01)
    assert answer.result().json["error"] == {"code": -32800, "message": "Request cancelled"}
    late = await client.post(tool_call(7, "sleep", {"ms": 150, "text": "the other"}))
    assert text_of(late.messages[-1]) == "the other"
    waiting.close()
    assert (await client.ask("DELETE")).status == 200
    client.close()


async def answers_too_late(gateway: Gateway, name: str) -> None:
    """An answer to a call whose time was up reaches nobody."""
    status, error = await failure(gateway.url, name, "sleep", ms=LATE_MS, text="too late")
    assert (status, error["code"], error["message"]) == (200, -32001, f"{name} did not answer within 3 s")
    client = Client(gateway.url, f"/{name}/mcp")
    for _ in range(20):  # meanwhile it comes
        assert await client.text("echo", text="in time") == "in time"
        await asyncio.sleep(0.2)
    client.close()


async def closes_stdout(gateway: Gateway, name: str) -> None:
    """A server that lives on and cannot be heard any more is ended."""
    client = await Client.open(gateway.url, name)
    pid = (await client.value("pid"))["pid"]
    error = (await client.call("close_stdout"))["error"]
    assert error["message"] == f"{name} ended before it answered (it closed its stdout)"
    assert not is_alive(pid)
    assert (await client.value("pid"))["pid"] != pid
    assert (await client.ask("DELETE")).status == 200
    client.close()


async def stands_still(gateway: Gateway, name: str) -> None:
    """A process that is stopped is noticed, killed and replaced before anybody calls it."""
    client = await Client.open(gateway.url, name)
    pid = (await client.value("pid"))["pid"]
    os.kill(pid, signal.SIGSTOP)
    await until(lambda: gateway.backend(name)["status"] == "degraded" or not is_alive(pid), "it shows")
    # What is sent before the gateway has noticed the end is lost with the process.
    await until(lambda: pid not in gateway.backend(name)["pids"], "it is killed, and that is known")
    assert (await client.value("pid"))["pid"] != pid
    assert (await client.ask("DELETE")).status == 200
    client.close()


async def stands_still_in_a_call(gateway: Gateway, name: str) -> None:
    """A process that is stopped in a call costs this call; it might be busy, and is left when its client leaves."""
    client = await Client.open(gateway.url, name)
    pid = (await client.value("pid"))["pid"]
    os.kill(pid, signal.SIGSTOP)
    error = (await client.call("echo", {"text": "x"}))["error"]
    assert (error["code"], error["message"]) == (-32001, f"{name} did not answer within 3 s")
    assert is_alive(pid)
    assert (await client.ask("DELETE")).status == 200
    client.close()
    await until(lambda: not is_alive(pid), "it is killed")


QUICK = (
    Chaos(
        exits_at_once,
        server(["sh", "-c", "echo no >&2; exit 3"]),
        status="error",
        last_error="NAME ended during the handshake (exit code 3)",
        is_served=False,
    ),
    Chaos(prints_garbage, server(fixture())),
    Chaos(
        prints_nothing_but_garbage,
        server(fixture()),
        status="idle",
        last_error="NAME has ended: it printed 10000 lines in a row that are not JSON-RPC",
        rounds=4,
        growth_kib=HEAVY_KIB,
    ),
    Chaos(
        prints_no_newline,
        server(fixture()),
        status="idle",
        last_error="NAME has ended: it wrote more than 33554432 bytes without a newline",
        rounds=3,
        growth_kib=HEAVY_KIB,
    ),
    Chaos(forks_and_dies, server(fixture()), status="idle", last_error="NAME has ended: exit code 9"),
    Chaos(answers_twice, server(fixture())),
    Chaos(answers_what_was_cancelled, server(fixture()), growth_kib=SESSIONS_KIB),
)
ALONE = {"share": "session"}  # where many rounds run side by side, each has a child of its own
SLOW = (
    Chaos(
        hangs_in_the_handshake,
        server(fixture("--mute-handshake"), **ALONE),
        status="error",
        last_error="NAME did not answer the handshake within 5 s",
        is_served=False,
    ),
    Chaos(
        ignores_term,
        server(fixture("--stubborn"), **ALONE),
        status="idle",
        rounds=AT_ONCE,
        growth_kib=SESSIONS_KIB,
    ),
    Chaos(leaks_memory, server(fixture(), lazy={"maxRamMb": LEAK_LIMIT_MB}, **ALONE), status="idle"),
    Chaos(answers_too_late, server(fixture(), timeout="3s", concurrency="none")),
    Chaos(closes_stdout, server(fixture(), **ALONE), status="idle"),
    Chaos(stands_still, server(fixture(), **ALONE), status="idle"),
    Chaos(stands_still_in_a_call, server(fixture(), timeout="3s", **ALONE), status="idle"),
)


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A gateway for all tests: each has a server of its own."""
    servers = {each.name: each.entry for each in (*QUICK, *SLOW)}
    with Gateway(tmp_path_factory.mktemp("gateway"), servers, settings=SETTINGS) as running:
        yield running


class ChildrenTests:
    """Each kind of trouble has its words and its state, and leaves nothing behind."""

    @pytest.mark.parametrize("chaos", QUICK, ids=lambda each: each.name)
    def test_is_shown_and_costs_nothing(self, chaos: Chaos, gateway: Gateway) -> None:
        """The clients are told, it shows in /health, the next client is served, and nothing grows with the rounds."""
        hold(gateway, chaos)

    def test_are_shown_and_cost_nothing(self, gateway: Gateway) -> None:
        """The same of those that mostly wait, side by side."""
        hold(gateway, *SLOW, at_once=AT_ONCE)

    def test_the_log_shows_no_traceback(self, gateway: Gateway) -> None:
        """Trouble with servers is told in sentences."""
        assert "Traceback" not in gateway.log
        assert "Unhandled" not in gateway.log


class BreakerTests:
    """The same with the breaker on."""

    def test_given_up(self, tmp_path: Path) -> None:
        """A server that dies too often is refused in words, which starts nothing and costs nothing."""
        settings = {"circuit": {"restarts": 2, "window": "60s", "open": "1h"}}
        with Gateway(tmp_path, {"fragile": server(fixture())}, settings=settings) as gateway:

            async def refused() -> None:
                status, error = await failure(gateway.url, "fragile", "die", code=9)
                assert (status, error["message"]) == (
                    200,
                    "fragile has failed (circuit breaker: 2 restarts in 1m0s)",
                )
                assert "fragile has ended: exit code 9" in error["data"]["hint"]

            for _ in range(3):
                asyncio.run(echo(gateway.url, "fragile"))
                asyncio.run(failure(gateway.url, "fragile", "die", code=9))
            costs_nothing(gateway, refused, rounds=10 * ROUNDS)
            shown = gateway.backend("fragile")
            assert (shown["status"], shown["starts"], shown["pids"]) == ("disabled", 3, [])
            assert shown["last_error"] == (
                "circuit breaker: 2 restarts in 1m0s; last: fragile has ended: exit code 9"
            )
