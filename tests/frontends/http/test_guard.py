"""The guard judges every request: by its headers, and by the connection it comes on."""

from __future__ import annotations

from typing import Any

import pytest
from attrs import define
from twisted.internet.address import IPv4Address, UNIXAddress
from twisted.internet.task import Clock

from mcpgateway.frontends.http.exchange import Exchange
from mcpgateway.frontends.http.guard import Guard
from mcpgateway.frontends.http.peers import HttpPeer
from mcpgateway.frontends.http.request_head import read_head
from mcpgateway.manage.credentials import CredentialStore
from mcpgateway.policy.access import AccessPolicy, Deny, Pass, Reach, RouteClass, networks
from mcpgateway.policy.agent_tokens import AgentToken, digest_of
from mcpgateway.policy.login_throttle import ATTEMPTS, WINDOW_S
from tests.support.gateway_in_memory import MemoryGateway

AGENT = "mcpg_an-agents-own-token"
KEY, PROJECT = "a key of a client's", "the token of a project"
HERE = HttpPeer(IPv4Address("TCP", "127.0.0.1", 5000), Reach.LOOPBACK, inode=7)
SOCKET = HttpPeer(UNIXAddress(b""), Reach.SOCKET, pid=9)
THERE = HttpPeer(IPv4Address("TCP", "10.0.0.7", 5000), Reach.REMOTE)
OPEN = AccessPolicy(allow_remote=True)


@define
class Wire:
    """The connection that an exchange comes on, as far as a judgement goes."""

    caller: HttpPeer
    secure: bool = False


class Gate:
    """A guard, and what comes to it."""

    def __init__(self, policy: AccessPolicy = OPEN) -> None:
        self.clock = Clock()
        self.clock.advance(1000)
        self.bearers = CredentialStore.of("bearer-token", "admin-token", seconds=self.clock.seconds)
        self.bearers.admit_keys([KEY], {PROJECT: "shop"})
        self.agent = AgentToken("1", "one", digest_of(AGENT.encode()).hex(), 0.0, 2000.0, ("notes",))
        self.bearers.admit_agents([self.agent])
        self.guard = Guard(policy, self.bearers)
        self.exchange: Any = None

    def ask(self, caller: HttpPeer = HERE, route: RouteClass = RouteClass.MCP, **headers: str) -> Any:
        """The verdict about a POST with these headers, whose underscores are hyphens."""
        lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
        head = read_head(f"POST /a/mcp HTTP/1.1\r\nHost: localhost\r\n{lines}\r\n".encode())
        self.exchange = Exchange(Wire(caller), head)  # type: ignore[arg-type]  # a channel has more
        return self.guard.judge(self.exchange, route)

    def status(self, *args: Any, **headers: str) -> int:
        """The status of that; 0 where it passes."""
        verdict = self.ask(*args, **headers)
        return verdict.status if isinstance(verdict, Deny) else 0


def bearer(token: str) -> dict[str, str]:
    """The header that shows a token."""
    return {"authorization": f"Bearer {token}"}


class PrincipalTests:
    """Principals are told apart."""

    @pytest.mark.parametrize("caller", [HERE, THERE])
    def test_distinct(self, caller: HttpPeer) -> None:
        """Each credential makes a principal of its own, and the same one wherever it is shown."""
        gate = Gate()
        shown = [bearer(each) for each in ("bearer-token", KEY, PROJECT, AGENT)]
        names = [gate.ask(caller, **each).principal for each in shown]
        assert len(set(names)) == len(names)
        assert gate.ask(caller, x_api_key=KEY).principal == names[1]
        assert names[3] == gate.agent.principal
        assert not any(secret in name for name in names for secret in (KEY, PROJECT, AGENT))

    def test_project(self) -> None:
        """The token of a project says which workspace its bearer works in."""
        assert Gate().ask(THERE, **bearer(PROJECT)).project == "shop"
        assert Gate().ask(THERE, **bearer(KEY)).project == ""

    def test_clients_manage_nothing(self) -> None:
        """A client's credential uses servers; it neither changes nor ends what is not its own, even from here."""
        gate = Gate()
        for token in (KEY, PROJECT, AGENT):
            for route in (RouteClass.MUTATE, RouteClass.ADMIN, RouteClass.END_SESSION, RouteClass.READ):
                assert gate.status(HERE, route, **bearer(token)) == 403
            for route in (RouteClass.MCP, RouteClass.LOOK, RouteClass.USE):
                assert gate.status(HERE, route, **bearer(token)) == 0
        assert gate.status(HERE, RouteClass.WATCH, **bearer(KEY)) == 0
        assert gate.status(HERE, RouteClass.WATCH, **bearer(AGENT)) == 403

    def test_digests(self) -> None:
        """Settings may hold the digest of a key in its place, and the digest itself is no key."""
        gate = Gate()
        mark = f"sha256:{digest_of(b'secret key').hex()}"
        gate.bearers.admit_keys([mark], {})
        assert gate.status(THERE, **bearer("secret key")) == 0
        assert gate.status(THERE, **bearer(mark)) == 401
        assert gate.status(THERE, **bearer(KEY)) == 401

    def test_trusted_addresses(self) -> None:
        """A trusted address needs no token, as a client of its own; only the connection tells what it is."""
        policy = AccessPolicy(allow_remote=True, trusted=networks(("10.0.0.0/24",)))
        gate = Gate(policy)
        assert gate.ask(THERE) == Pass("address 10.0.0.7")
        other = HttpPeer(IPv4Address("TCP", "10.0.1.7", 1), Reach.REMOTE)
        assert gate.status(other) == 401
        assert gate.status(other, x_forwarded_for="10.0.0.7") == 401
        assert gate.status(THERE, x_forwarded_for="8.8.8.8") == 401
        assert gate.status(THERE, RouteClass.MUTATE) == 403


class StreamTests:
    """Streams that were begun under another policy."""

    def test_are_judged_again(self) -> None:
        """The stream of a client that would not be let in any more ends, and all others go on."""
        gateway = MemoryGateway()
        ears, reader = gateway.listen(gateway.session()), gateway.client("x")
        reader.ask(b"", "GET", "/api/v1/events")
        known = gateway.client("shared", **bearer("bearer-token"))
        known.initialize(protocolVersion="2025-06-18")
        kept = gateway.listen(known)
        gateway.guard.configure(AccessPolicy())
        assert not ears.transport.is_aborted
        gateway.guard.configure(AccessPolicy(bearer_required=True))
        assert ears.transport.is_aborted
        assert reader.transport.is_aborted
        assert not kept.transport.is_aborted


class ProxyTests:
    """A proxy's clients are not on this machine."""

    @pytest.mark.parametrize("caller", [HERE, SOCKET])
    @pytest.mark.parametrize("header", ["x_forwarded_for", "forwarded", "x_real_ip", "X_Forwarded_Host"])
    def test_remote(self, caller: HttpPeer, header: str) -> None:
        """A request that came through a proxy on this machine is remote: it needs a token, and has no process here."""
        gate = Gate()
        assert gate.status(caller, RouteClass.MCP, **{header: "127.0.0.1"}) == 401
        assert gate.status(caller, RouteClass.ADMIN, **{header: "::1"}) == 401
        assert gate.ask(caller, **{header: "8.8.8.8"}, **bearer("bearer-token")).principal == "remote"
        found = gate.exchange.caller
        assert (found.reach, found.pid, found.inode) == (Reach.REMOTE, 0, 0)
        assert Gate(AccessPolicy()).status(caller, RouteClass.MCP, **{header: "127.0.0.1"}) == 403

    def test_not_remembered(self) -> None:
        """Having let in a plain request from here lets in no other that comes through a proxy."""
        gate = Gate()
        assert gate.status() == 0
        assert gate.status(HERE, RouteClass.MCP, x_forwarded_for="1.1.1.1") == 401
        assert gate.status() == 0


WRONG_ONES: tuple[dict[str, str], ...] = (
    bearer("wrong"),
    bearer(""),
    {"authorization": "Basic eDp5"},
    {"authorization": "bearer-token"},
    {"authorization": ""},
    {"x_api_key": "wrong"},
    {"x_api_key": ""},
    {**bearer("bearer-token"), "x_api_key": "wrong"},
    {**bearer("wrong"), "x_api_key": KEY},
)


class WrongTokenTests:
    """Wrong tokens."""

    def test_local(self) -> None:
        """A wrong token is refused from here and over the socket too, however often; none is none."""
        gate = Gate()
        for caller in (HERE, SOCKET):
            for _ in range(ATTEMPTS + 2):
                for wrong in WRONG_ONES:
                    assert gate.status(caller, **wrong) == 401, wrong
            assert gate.status(caller) == 0
            assert gate.status(caller, **bearer("bearer-token")) == 0
        gate.clock.advance(1000)
        assert gate.status(HERE, **bearer(AGENT)) == 401
        gate.bearers.admit_agents([])
        assert gate.status(HERE, **bearer(AGENT)) == 401

    def test_revoked(self) -> None:
        """A principal whose token is revoked may use no server any more."""
        gate = Gate()
        assert gate.bearers.scopes[gate.agent.principal].admits_server("notes")
        gate.bearers.admit_agents([])
        assert not gate.bearers.scopes[gate.agent.principal].admits_server("notes")

    def test_told(self) -> None:
        """A principal whose credential has ended is reported, and no other, so that its streams can end."""
        gate, told = Gate(), []
        gate.bearers.gone = told.append
        key = gate.ask(THERE, **bearer(KEY)).principal
        gate.bearers.admit_keys([KEY], {PROJECT: "shop"})
        assert told == []
        gate.bearers.admit_keys([], {PROJECT: "shop"})
        assert told == [frozenset((key,))]
        gate.clock.advance(1000)
        gate.bearers.tick()
        gate.bearers.tick()
        assert told[1:] == [frozenset((gate.agent.principal,))]
        gate.bearers.renew(bearer="another")
        assert told[2:] == [frozenset(("token", "remote"))]

    def test_rotated(self) -> None:
        """The token that was is good no more, the new one is, at once."""
        gate = Gate()
        gate.bearers.renew(bearer="another")
        assert gate.status(THERE, **bearer("bearer-token")) == 401
        assert gate.status(THERE, **bearer("another")) == 0
        assert gate.status(THERE, RouteClass.ADMIN, **bearer("admin-token")) == 0
        gate.bearers.renew(admin="master")
        assert gate.status(THERE, RouteClass.ADMIN, **bearer("admin-token")) == 401
        assert gate.status(THERE, RouteClass.ADMIN, **bearer("master")) == 0

    def test_too_many(self) -> None:
        """A machine that has sent so many wrong tokens is not heard for a while, not even with the right one."""
        gate = Gate()
        statuses = [gate.status(THERE, **bearer(f"guess {n}")) for n in range(ATTEMPTS + 2)]
        assert statuses == [401] * ATTEMPTS + [429] * 2
        refused = gate.ask(THERE, **bearer("bearer-token"))
        assert (refused.status, 0 < refused.wait_s <= WINDOW_S) == (429, True)
        assert (
            gate.status(HttpPeer(IPv4Address("TCP", "10.0.0.8", 1), Reach.REMOTE), **bearer("bearer-token"))
            == 0
        )
        assert gate.status() == 0
        gate.clock.advance(WINDOW_S)
        assert gate.status(THERE, **bearer("bearer-token")) == 0

    def test_behind_a_proxy(self) -> None:
        """A caller who guesses behind a proxy does not lock out the others behind it, nor those on this machine."""
        gate = Gate()
        for number in range(ATTEMPTS + 1):
            last = gate.status(HERE, x_forwarded_for="9.9.9.9, 6.6.6.6", **bearer(f"guess {number}"))
        assert last == 429
        assert gate.status(HERE, x_forwarded_for="6.6.6.6", **bearer("bearer-token")) == 429
        assert gate.status(HERE, x_forwarded_for="7.7.7.7", **bearer("bearer-token")) == 0
        assert gate.status(HERE, **bearer("bearer-token")) == 0

    def test_local_limit(self) -> None:
        """Where tokens are required here too, wrong ones are limited, and the right one is always heard."""
        gate = Gate(AccessPolicy(bearer_required=True))
        statuses = [gate.status(HERE, **bearer(f"guess {n}")) for n in range(ATTEMPTS + 1)]
        assert statuses[-1] == 429
        assert gate.status(HERE, **bearer("bearer-token")) == 0
