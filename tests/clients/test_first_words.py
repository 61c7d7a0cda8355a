"""First requests of real clients, which find out which era a server speaks: the gateway's answers rest on them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.clients.agents import TURNS
from tests.clients.fronts import Front, Way
from tests.clients.job import Job
from tests.clients.libraries import Call, Outcome
from tests.clients.listener import LEGACY, MODERN, Heard, Listener
from tests.clients.matrix import CLIENTS
from tests.clients.mock_model import MockModel
from tests.clients.program import Home

pytestmark = pytest.mark.functional

DISCOVER, INITIALIZE = "server/discover", "initialize"
WORK = ["tools/list", "tools/call"]
AUTO = ("python-sdk-2-auto", "fastmcp", "typescript-sdk-2-auto")
LEGACY_ONLY = ("python-sdk-1", "python-sdk-2-legacy", "typescript-sdk-1", "typescript-sdk-2-legacy")
ASKING_AGENTS, OTHER_AGENTS = ("claude-code",), ("codex", "gemini-cli", "opencode")
TEXT = {"text": "first-word-x"}


def heard(client: str, home: Path, *, is_legacy: bool, is_modern: bool) -> tuple[list[Heard], Outcome]:
    """The requests of a client to a server of these eras, and the outcome of its one call."""
    with Listener(is_legacy, is_modern) as listener, Home(home) as at:
        job = Job("it", "echo", TEXT, TEXT["text"])
        call = Call(job, Way(Front.HTTP, listener.url, (), Path()))
        outcome = CLIENTS[client].run(at, [call])[0]
        return listener.heard, outcome


def heard_of_agent(agent: str, home: Path, *, is_legacy: bool, is_modern: bool) -> list[Heard]:
    """The requests of an agent to a server of these eras in a turn with one call."""
    with (
        Listener(is_legacy, is_modern) as listener,
        Home(home) as at,
        MockModel("it", "echo", [TEXT]) as model,
    ):
        said = TURNS[agent](at, {"it": listener.url}, model)
    assert TEXT["text"] in said, said
    return listener.heard


def posted(said: Sequence[Heard]) -> list[str]:
    """The requests that bear a message, without what comes by the way."""
    return [each.method for each in said if each.method in {DISCOVER, INITIALIZE, *WORK}]


def plain(request: Heard) -> tuple[Mapping[str, str], Mapping[str, Any]]:
    """A request without what names its server."""
    headers = {name: value for name, value in request.headers.items() if name != "host"}
    return headers, request.message


class OfferTests:
    """A server that offers the stateless era."""

    @pytest.mark.parametrize("client", [*AUTO, "typescript-sdk-2-pinned"])
    def test_taken(self, client: str, tmp_path: Path) -> None:
        """A client that asks for the stateless era takes it, and never shakes hands."""
        said, outcome = heard(client, tmp_path, is_legacy=True, is_modern=True)
        assert posted(said) == [DISCOVER, *WORK]
        assert outcome.version == MODERN

    def test_unasked(self, tmp_path: Path) -> None:
        """The Python client that is pinned to the stateless era does not ask for it."""
        said, _ = heard("python-sdk-2-pinned", tmp_path, is_legacy=True, is_modern=True)
        assert posted(said) == WORK

    @pytest.mark.parametrize("agent", ASKING_AGENTS)
    def test_taken_by_agent(self, agent: str, tmp_path: Path) -> None:
        """Claude Code asks for the stateless era and takes it; every request then bears an envelope."""
        said = heard_of_agent(agent, tmp_path, is_legacy=True, is_modern=True)
        assert posted(said) == [DISCOVER, *WORK]
        for each in said:
            assert each.headers["mcp-protocol-version"] == MODERN
            assert each.headers["mcp-method"] == each.method
            assert each.meta["io.modelcontextprotocol/protocolVersion"] == MODERN

    @pytest.mark.parametrize("agent", OTHER_AGENTS)
    def test_not_known_to_agent(self, agent: str, tmp_path: Path) -> None:
        """The other agents shake hands, whatever is offered."""
        said = heard_of_agent(agent, tmp_path, is_legacy=True, is_modern=True)
        assert posted(said)[0] == INITIALIZE
        assert DISCOVER not in posted(said)


class RefusalTests:
    """A server that refuses the stateless era with 400 and -32000, as the gateway does."""

    @pytest.mark.parametrize("client", AUTO)
    def test_fallback(self, client: str, tmp_path: Path) -> None:
        """A client that can speak both eras shakes hands at once."""
        said, outcome = heard(client, tmp_path, is_legacy=True, is_modern=False)
        assert posted(said) == [DISCOVER, INITIALIZE, *WORK]
        assert outcome.version == LEGACY

    @pytest.mark.parametrize("agent", ASKING_AGENTS)
    def test_fallback_of_agent(self, agent: str, tmp_path: Path) -> None:
        """Claude Code shakes hands at once, too."""
        said = heard_of_agent(agent, tmp_path, is_legacy=True, is_modern=False)
        assert posted(said) == [DISCOVER, INITIALIZE, *WORK]

    @pytest.mark.parametrize(
        ("client", "first"), [("python-sdk-2-pinned", "tools/list"), ("typescript-sdk-2-pinned", DISCOVER)]
    )
    def test_pinned(self, client: str, first: str, tmp_path: Path) -> None:
        """A client that is pinned to the stateless era gives up after one request."""
        said, outcome = heard(client, tmp_path, is_legacy=True, is_modern=False)
        assert posted(said) == [first]
        assert outcome.error

    def test_alike(self, tmp_path: Path) -> None:
        """The first requests of TypeScript do not tell a client that is pinned from one that can fall back."""
        auto, pinned = (plain(self.asks(mode, tmp_path / mode)[0]) for mode in ("auto", "pinned"))
        assert auto == pinned

    def asks(self, mode: str, home: Path) -> list[Heard]:
        """The requests of the TypeScript client in a mode."""
        return heard(f"typescript-sdk-2-{mode}", home, is_legacy=True, is_modern=False)[0]


class HandshakeTests:
    """A server that knows nothing of sessions."""

    @pytest.mark.parametrize("client", LEGACY_ONLY)
    def test_refused(self, client: str, tmp_path: Path) -> None:
        """A client that knows nothing else gives up when its handshake is refused."""
        said, outcome = heard(client, tmp_path, is_legacy=False, is_modern=True)
        assert posted(said) == [INITIALIZE]
        assert outcome.error
