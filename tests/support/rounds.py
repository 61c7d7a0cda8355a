"""Let something go wrong again and again, and see that it costs nothing for good."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any

from attrs import frozen

from tests.support.gateway import IS_SOAK, LIMIT_S, Gateway, eventually
from tests.support.http_client import REVISION, Answer, Client, message, tool_call

ROUNDS = int(os.environ.get("MCPGATEWAY_ROUNDS", "0")) or (1000 if IS_SOAK else 10)
WARM_ROUNDS = 100 if IS_SOAK else 4  # many side by side need room that is kept for the next
UNTIL_S = 0.2  # between two looks of one of many that wait side by side
LEAKS = 3  # rounds of rounds that all have to grow before it is a leak
GROWTH_KIB = 4_000
HEAVY_KIB = (
    24_000  # where a round moves megabytes, freed memory stays in pieces; a leak would be five times as much
)
SESSIONS_KIB = 12_000  # where each round has a session: some thousand heads and ended sessions are remembered


async def initialized(url: str, name: str) -> Answer:
    """The answer to an ``initialize``."""
    client = Client(url, f"/{name}/mcp")
    params = {"protocolVersion": REVISION, "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}}
    answer = await client.post(message("i", "initialize", params))
    client.close()
    assert answer.json["id"] == "i"
    return answer


async def failure(
    url: str, name: str, tool: str, number: Any = 5, **arguments: Any
) -> tuple[int, dict[str, Any]]:
    """The status and the error that a tool call of an anonymous session is answered with."""
    client = Client(url, f"/{name}/mcp")
    answer = await client.post(tool_call(number, tool, arguments))
    client.close()
    assert answer.json["id"] == number
    assert "result" not in answer.json, answer.json
    return answer.status, answer.json["error"]


async def echo(url: str, name: str = "fix") -> None:
    """See that a server still serves."""
    client = Client(url, f"/{name}/mcp")
    assert await client.text("echo", text="still here") == "still here"
    client.close()


async def until(holds: Callable[[], object], what: str) -> None:
    """Wait until something holds, and let others run meanwhile."""
    ends = time.monotonic() + LIMIT_S
    while not holds():
        assert time.monotonic() < ends, f"never: {what}"
        await asyncio.sleep(UNTIL_S)


async def repeat(happen: Callable[[], Awaitable[None]], rounds: int, at_once: int = 1) -> None:
    """Let something happen again and again."""
    for _ in range(0, rounds, at_once):
        await asyncio.gather(*(happen() for _ in range(at_once)))


def costs_nothing(
    gateway: Gateway,
    happen: Callable[[], Awaitable[None]],
    *,
    rounds: int = ROUNDS,
    at_once: int = 1,
    warm_rounds: int = WARM_ROUNDS,
    growth_kib: int = GROWTH_KIB,
) -> None:
    """Let something happen: calls, sessions, processes, descriptors and memory do not grow with the rounds.

    What leaks grows each time.  A heap that has made room for the largest messages once grows no more.
    """
    asyncio.run(repeat(happen, warm_rounds, at_once))
    eventually(lambda: gateway.health()["calls"] == 0, "no call is left")
    sessions = gateway.health()["sessions"]
    processes, descriptors = len(gateway.children()), gateway.descriptors()
    growths = []
    for _ in range(LEAKS):
        resident = gateway.resident_kib()
        asyncio.run(repeat(happen, rounds, at_once))
        eventually(lambda: gateway.health()["calls"] == 0, "no call is left")
        eventually(lambda: gateway.health()["sessions"] <= sessions, "the sessions are as many as before")
        eventually(lambda: len(gateway.children()) <= processes, "the processes are as many as before")
        eventually(lambda: gateway.descriptors() <= descriptors + 1, "the descriptors are as many as before")
        growths.append(gateway.resident_kib() - resident)
        if growths[-1] < growth_kib:
            break
    if IS_SOAK:
        print(f"{rounds} rounds, grown by {growths} KiB")
    assert min(growths) < growth_kib


@frozen
class Chaos:
    """Something that goes wrong with a server of its own, and what shows of it.

    :ivar happen: one round; the gateway and the server's name.
    :ivar entry: the server's.
    :ivar status: what ``/health`` says when all rounds are over.
    :ivar last_error: and why; ``NAME`` stands for the server's name.
    :ivar is_served: whether the next client can use it.
    :ivar rounds: how many, in the normal run.
    :ivar growth_kib: how much memory may have been taken when all rounds are over.
    """

    happen: Callable[[Gateway, str], Awaitable[None]]
    entry: Mapping[str, Any]
    status: str = "running"
    last_error: str = ""
    is_served: bool = True
    rounds: int = ROUNDS
    growth_kib: int = GROWTH_KIB

    @property
    def name(self) -> str:
        """Of its server."""
        return getattr(self.happen, "__name__", "").replace("_", "-")

    def shows(self, gateway: Gateway) -> int:
        """See that it shows as it should; how many processes its server has."""
        eventually(
            lambda: gateway.backend(self.name)["status"] == self.status, f"{self.name} is {self.status}"
        )
        shown = gateway.backend(self.name)
        assert shown["last_error"] == self.last_error.replace("NAME", self.name), shown["last_error"]
        assert (shown["calls"], shown["sessions"]) == (0, 0)
        return len(shown["pids"])


def hold(gateway: Gateway, *chaos: Chaos, at_once: int = 1) -> None:
    """Let it happen in all rounds; see that it costs nothing, that it shows, and that the next client is served.

    :param chaos: what happens; several go side by side, where each of them is mostly waiting.
    :param at_once: so many rounds of each run side by side.
    """
    others = len(gateway.children())
    _serve(gateway, chaos)

    async def happen() -> None:
        await asyncio.gather(*(each.happen(gateway, each.name) for each in chaos))

    rounds = ROUNDS if IS_SOAK else min(each.rounds for each in chaos)
    growth_kib = max(each.growth_kib for each in chaos)
    costs_nothing(
        gateway,
        happen,
        rounds=rounds,
        at_once=at_once,
        # In the short form they would take as long as all the others.
        warm_rounds=0 if at_once > 1 and not IS_SOAK else WARM_ROUNDS,
        growth_kib=growth_kib,
    )
    processes = others + sum([each.shows(gateway) for each in chaos])
    eventually(lambda: len(gateway.children()) == processes, "no other process is left")
    _serve(gateway, chaos)


def _serve(gateway: Gateway, chaos: Iterable[Chaos]) -> None:
    for each in chaos:
        if each.is_served:
            asyncio.run(_is_served(gateway, each.name))


async def _is_served(gateway: Gateway, name: str) -> None:
    client = await Client.open(gateway.url, name)
    assert await client.text("echo", text="still here") == "still here"
    assert (await client.ask("DELETE")).status == 200
    client.close()
