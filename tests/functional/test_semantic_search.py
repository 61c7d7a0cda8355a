"""The semantic search of a real gateway, with the real model: what it finds, and what is found without it."""

from __future__ import annotations

import json
import os
import re
import signal
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from mcpgateway.system.semantic.launch import NAME, model_path
from tests.functional.test_gateway_tools import asked, opened, run, until
from tests.support.gateway import Gateway, eventually, server
from tests.support.processes import command_line

pytestmark = [
    pytest.mark.functional,
    pytest.mark.skipif(not model_path(), reason="mcpgateway[semantic] is not installed"),
]

QUESTION = "is Berlin asleep"  # shares no word with a tool
SERVERS = {
    name: server([sys.executable, "-m", "tests.servers.recorded", name]) for name in ("time", "memory")
}


def helpers(gateway: Gateway) -> list[int]:
    """The processes of the semantic search."""
    return [pid for pid in gateway.helpers() if b"helper_main" in command_line(pid)]


def search(gateway: Gateway, times: int = 1) -> list[str]:
    """The ids of the hits of one search, the last of a few."""

    async def use() -> list[str]:
        client = await opened(gateway)
        for _ in range(times):
            answer = await asked(client, "gateway_search", query=QUESTION)
        return [hit["id"] for hit in answer["results"]]

    found: list[str] = run(use)
    return found


def search_state(gateway: Gateway) -> dict[str, str]:
    """What the overview tells of the search."""
    with urllib.request.urlopen(f"{gateway.url}/api/v1/overview") as answer:
        found: dict[str, str] = json.load(answer)["search"]
    return found


def searched_until_found(gateway: Gateway) -> None:
    """Search until the meaning counts."""

    async def use() -> None:
        client = await opened(gateway)

        async def is_found() -> bool:
            answer = await asked(client, "gateway_search", query=QUESTION)
            return any(hit["id"].startswith("time__") for hit in answer["results"][:2])

        await until(is_found)

    run(use)


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[Gateway]:
    """A gateway with two servers."""
    with Gateway(tmp_path, SERVERS) as made:
        yield made


def test_a_tool_is_found_by_its_meaning(gateway: Gateway) -> None:
    """The first search starts the program and is answered by words; when it has all vectors, meaning counts.

    The vectors are kept: after a kill the words answer, and a new gateway has all vectors at once.
    """
    assert helpers(gateway) == []
    search(gateway)
    searched_until_found(gateway)
    assert len(helpers(gateway)) == 1
    eventually((gateway.home / "vectors").exists, "the vectors are kept")
    os.kill(helpers(gateway)[0], signal.SIGKILL)
    eventually(lambda: helpers(gateway) == [], "the program has ended")
    assert not any(each.startswith("time__") for each in search(gateway, 2)[:2])
    assert helpers(gateway) == []  # it is not started again at once
    assert len(re.findall("searched by words alone", gateway.log)) == 1
    assert "killed by signal 9" in gateway.log
    state = search_state(gateway)
    assert state["state"] == "failed"
    assert "killed by signal 9" in state["reason"]
    assert NAME not in str(gateway.health()["backends"])


def test_a_program_that_hangs_delays_no_search(gateway: Gateway) -> None:
    """A search waits a moment for the program, and is answered by words."""
    searched_until_found(gateway)
    os.kill(helpers(gateway)[0], signal.SIGSTOP)
    assert not any(each.startswith("time__") for each in search(gateway)[:2])
    os.kill(helpers(gateway)[0], signal.SIGCONT)
    searched_until_found(gateway)


def test_nothing_starts_where_it_is_off(tmp_path: Path) -> None:
    """With ``semantic_search: off`` no program is started."""
    with Gateway(tmp_path, SERVERS, settings={"semantic_search": "off"}) as gateway:
        search(gateway, 2)
        assert helpers(gateway) == []
        assert "words alone" not in gateway.log
        assert search_state(gateway)["state"] == "off"


def test_the_program_ends_with_a_killed_gateway(gateway: Gateway) -> None:
    """The program does not outlive the gateway."""
    searched_until_found(gateway)
    (pid,) = helpers(gateway)
    gateway.kill()
    eventually(lambda: not Path(f"/proc/{pid}").exists(), "the program has ended")
