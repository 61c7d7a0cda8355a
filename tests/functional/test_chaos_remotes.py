"""Remote servers that do everything wrong, in many rounds: what is shown, what their clients are told, what is left."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from attrs import evolve, frozen

from tests.support.certificates import Authority
from tests.support.faulty import SECRET, FaultyServer
from tests.support.gateway import Gateway, eventually
from tests.support.rounds import ROUNDS, Chaos, costs_nothing, echo, failure, hold, initialized

pytestmark = pytest.mark.functional

AT_ONCE = 10
SETTINGS = {
    "limits": {"handshake": "4s", "spawns": 100},
    "circuit": {"restarts": 0},  # what fails here fails on purpose
}
CLOSED = "the connection to HERE broke: it was closed before the answer was whole"
REDIRECTED = (
    "it redirects (HTTP 307) to http://STRANGER, which is not http://HERE; "
    "if that is right, configure that URL"
)
NOT_TRUSTED = "no authority that is trusted here has signed it"
HTML = "it answered with HTTP 200, and with no answer to the request"


@frozen
class InCall:
    """A call that fails; the server is not lost for that, unless it shows.

    :ivar told: what the client is told.
    """

    kind: str
    told: str
    status: str = "running"
    last_error: str = ""
    code: int = -32603

    @property
    def __name__(self) -> str:
        """Of its server."""
        return f"call-{self.kind}"

    async def __call__(self, gateway: Gateway, name: str) -> None:
        """Run a round."""
        status, error = await failure(gateway.url, name, self.kind, text="x")
        assert (status, error["code"]) == (200, self.code)
        assert error["message"] == self.told


@frozen
class InHandshake:
    """A server that fails in its handshake, each time."""

    kind: str
    told: str
    status: str = "error"
    last_error: str = ""

    @property
    def __name__(self) -> str:
        """Of its server."""
        return f"greeting-{self.kind}"

    async def __call__(self, gateway: Gateway, name: str) -> None:
        """Run a round."""
        answer = await initialized(gateway.url, name)
        assert answer.status == 200
        assert answer.json["error"]["message"] == self.told
        assert "mcp-session-id" not in answer.headers


QUICK = (
    InCall("resets", f"NAME: {CLOSED}"),
    InCall("fails-inside", "NAME: it answers with HTTP 500"),
    InCall("is-away", "NAME: it answers with HTTP 503"),
    InCall("answers-html", f"NAME: {HTML}"),
    InCall("truncates", f"NAME: {CLOSED}"),
    InCall("truncates-the-stream", "NAME: it ended the stream before the answer"),
    InCall("redirects", f"NAME: {REDIRECTED}"),
    InCall(
        "forgets-its-session",
        "NAME ended before it answered (the server does not know its session any more)",
        "idle",
        "NAME has ended: the server does not know its session any more",
    ),
    InHandshake("resets", f"NAME: {CLOSED}"),
    InHandshake("fails-inside", "NAME: it answers with HTTP 500"),
    InHandshake("is-away", "NAME: it answers with HTTP 503", "unreachable"),
    InHandshake("answers-html", f"NAME: {HTML}"),
    InHandshake("truncates", f"NAME: {CLOSED}"),
    InHandshake("truncates-the-stream", "NAME: it ended the stream before the answer"),
    InHandshake("redirects", f"NAME: {REDIRECTED}"),
)
STALLS = ("stalls-before-headers", "stalls-in-the-body", "stalls-in-the-stream")
SLOW = tuple(InCall(kind, "NAME did not answer within 1 s", code=-32001) for kind in STALLS) + tuple(
    InHandshake(kind, "NAME did not answer the handshake within 4 s") for kind in STALLS
)


@pytest.fixture(scope="module")
def far() -> Iterator[FaultyServer]:
    """The one server behind all of them."""
    with FaultyServer() as running:
        yield running


def chaos_of(each: InCall | InHandshake, far: FaultyServer) -> Chaos:
    """The expectations of a trouble, now that the server's place is known."""
    here = f"127.0.0.1:{far.port}"
    told = each.told.replace("NAME", each.__name__).replace("HERE", here).replace("STRANGER", far.elsewhere)
    if isinstance(each, InCall):
        return Chaos(evolve(each, told=told), {}, each.status, each.last_error)
    happen = evolve(each, told=told)
    return Chaos(happen, {}, each.status, each.last_error or told, is_served=False)


def entry(far: FaultyServer, each: InCall | InHandshake) -> dict[str, object]:
    """The server's."""
    if isinstance(each, InCall):
        return {
            "type": "http",
            "url": f"http://127.0.0.1:{far.port}/mcp",
            "timeout": "1s" if each in SLOW else 0,
        }
    url = f"http://127.0.0.1:{far.port}/fails/{each.kind}"
    return {"type": "http", "url": url, "share": "session" if each in SLOW else "global"}


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory, far: FaultyServer) -> Iterator[Gateway]:
    """A gateway for all tests: each has a server of its own."""
    servers = {each.__name__: entry(far, each) for each in (*QUICK, *SLOW)}
    with Gateway(tmp_path_factory.mktemp("gateway"), servers, settings=SETTINGS) as running:
        yield running


class RemotesTests:
    """Each kind of trouble has its words and its state, and leaves nothing behind."""

    @pytest.mark.parametrize("each", QUICK, ids=lambda each: each.__name__)
    def test_is_shown_and_costs_nothing(
        self, each: InCall | InHandshake, gateway: Gateway, far: FaultyServer
    ) -> None:
        """The clients are told, it shows in /health, the next client is served, and nothing grows with the rounds."""
        hold(gateway, chaos_of(each, far))

    def test_are_shown_and_cost_nothing(self, gateway: Gateway, far: FaultyServer) -> None:
        """The same of those that mostly wait, side by side."""
        hold(gateway, *(chaos_of(each, far) for each in SLOW), at_once=AT_ONCE)

    def test_nobody_is_forgotten(self, gateway: Gateway, far: FaultyServer) -> None:
        """Each server has one session with the gateway at most, and none when it ends; no stranger has been asked."""
        assert len(far.sessions) <= len(QUICK) + len(SLOW)
        assert far.strangers == 0

    def test_no_secret_is_told(self, gateway: Gateway) -> None:
        """A secret in a server's words is neither in the log nor in /health, and no error is a traceback."""
        for where in (gateway.log, json.dumps(gateway.health())):
            assert SECRET not in where
            assert "Traceback" not in where
            assert "Unhandled" not in where


class CertificateTests:
    """A server whose certificate is another one from now on."""

    def test_is_not_believed(self, tmp_path: Path) -> None:
        """Calls are refused while the certificate is not good, and served when it is; no session is lost for that."""
        (tmp_path / "other").mkdir()
        authority, other = Authority(tmp_path), Authority(tmp_path / "other")
        good, bad = authority.issue("localhost"), other.issue("localhost")
        with FaultyServer(good) as far:
            entry = {"type": "http", "url": f"https://localhost:{far.port}/mcp", "ca_file": authority.file}
            with Gateway(tmp_path, {"far": entry}, settings=SETTINGS) as gateway:

                async def changes() -> None:
                    await echo(gateway.url, "far")
                    far.certify(bad)
                    status, error = await failure(gateway.url, "far", "echo", text="x")
                    far.certify(good)
                    told = f"far: the certificate of localhost:{far.port} is not accepted: {NOT_TRUSTED}"
                    assert (status, error["code"], error["message"]) == (200, -32603, told)

                costs_nothing(gateway, changes)
                shown = gateway.backend("far")
                assert (shown["status"], shown["last_error"]) == ("running", "")
                assert len(far.sessions) == 1
                asyncio.run(echo(gateway.url, "far"))
            eventually(lambda: not far.sessions, "the session is ended with the gateway")


class BreakerTests:
    """The same with the breaker on."""

    def test_given_up(self, tmp_path: Path) -> None:
        """A server that fails its handshakes is refused in words, is not asked meanwhile, and costs nothing."""
        settings = {"circuit": {"restarts": 2, "window": "60s", "open": "1h"}}
        with FaultyServer() as far:
            entry = {"type": "http", "url": f"http://127.0.0.1:{far.port}/fails/fails-inside"}
            with Gateway(tmp_path, {"far": entry}, settings=settings) as gateway:

                async def refused() -> None:
                    error = (await initialized(gateway.url, "far")).json["error"]
                    assert error["message"] == "far has failed (circuit breaker: 2 failed starts)"
                    assert "far: it answers with HTTP 500" in error["data"]["hint"]

                for _ in range(2):
                    error = asyncio.run(initialized(gateway.url, "far")).json["error"]
                    assert error["message"] == "far: it answers with HTTP 500"
                costs_nothing(gateway, refused, rounds=10 * ROUNDS)
                shown = gateway.backend("far")
                assert (shown["status"], shown["starts"]) == ("disabled", 2)
