"""The first question of a server on a fresh home reaches the client whose call it is: on every door, in both eras."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mcp_types as types
import pytest
from mcp import Client

from tests.support import real_servers
from tests.support.gateway import Gateway, server

pytestmark = pytest.mark.functional

LIMIT_S = 60
MODES = ("legacy", "auto")
FORM = {"mode": "form", "message": "Who?", "requestedSchema": {"type": "object", "properties": {}}}
TOOLS: dict[str, tuple[str, dict[str, Any]]] = {
    "looks-npm": ("trigger-elicitation-request", {}),
    "looks-pypi": ("ask_user", {}),
    "asks": ("ask", {"method": "elicitation/create", "params": FORM}),
}


@pytest.fixture(scope="module", params=[(0, 1), (1, 0)], ids=["legacy first", "modern first"])
def gateway(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A fresh gateway whose entries say nothing of questions, and in which order the eras come."""
    home: Path = tmp_path_factory.mktemp("questions")
    servers = {
        "looks-npm": server(real_servers.everything(), env_policy="full"),
        "looks-pypi": server(real_servers.dual_python(), env_policy="full"),
        "asks": server(real_servers.fixture("--era=legacy")),
    }
    with Gateway(home, servers, settings={"bridge": "always"}) as running:
        yield running, [MODES[each] for each in request.param]


class Person:
    """The person before a client, who is asked.

    :ivar asked: how often.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.asked = 0

    async def elicited(self, context: Any, params: Any) -> types.ElicitResult:
        """Fill in a form."""
        self.asked += 1
        return types.ElicitResult(action="accept", content={"name": self.name})


async def _call(url: str, mode: Any, tool: str, arguments: dict[str, Any]) -> int:
    person = Person("Ada")
    async with Client(url, mode=mode, elicitation_callback=person.elicited) as client:
        result = await client.call_tool(tool, arguments)
        assert not result.is_error, result
    return person.asked


def call(*said: Any) -> int:
    """Return how often a client is asked that calls a tool once."""

    async def limited() -> int:
        async with asyncio.timeout(LIMIT_S):
            return await _call(*said)

    return asyncio.run(limited())


class FirstTests:
    """Every call is asked, the first and those after it."""

    @pytest.mark.parametrize("name", TOOLS)
    def test_at_the_server(self, gateway: Any, name: str) -> None:
        """At the server's own endpoint."""
        running, modes = gateway
        tool, arguments = TOOLS[name]
        for mode in [*modes, *modes]:
            assert call(f"{running.url}/{name}/mcp", mode, tool, arguments) == 1, mode
        assert running.backend(name)["share"] == "global"

    @pytest.mark.parametrize("name", TOOLS)
    def test_on_a_view(self, gateway: Any, name: str) -> None:
        """At the endpoint of all servers."""
        running, modes = gateway
        tool, arguments = TOOLS[name]
        for mode in modes:
            if (name, mode) == ("looks-npm", "auto"):
                continue  # what it lists for this client alone is not on the views of the modern era
            assert call(f"{running.url}/mcp/full", mode, f"{name}__{tool}", arguments) == 1, mode
