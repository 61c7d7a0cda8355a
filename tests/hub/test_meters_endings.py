"""Calls that have begun end once each in the count, whatever happens to them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcpgateway.config.model import ServerSpec, Share
from mcpgateway.hub.meters import CANCELLED, ERROR, OK, Row
from mcpgateway.interfaces import Request
from mcpgateway.protocol.versions import Era
from tests.support.gateway_in_memory import Client, MemoryChild, MemoryGateway
from tests.support.modern_client import hang_up, post, request

STEPS = (
    "call",
    "modern",
    "rest",
    "answer",
    "error",
    "cancel",
    "crash",
    "end",
    "hang_up",
    "tick",
    "refuse",
    "start",
)


class Account:
    """The calls that have begun and ended, and how."""

    def __init__(self, gateway: MemoryGateway) -> None:
        self.begun: list[Request] = []
        self.ended: list[tuple[Request, str]] = []
        gateway.hub.meters.on_begin = self._begun
        gateway.hub.meters.on_end = self._ended

    def _begun(self, call: Request, row: Row) -> None:
        self.begun.append(call)

    def _ended(self, call: Request, row: Row, spent: float, outcome: str, said: Any) -> None:
        assert spent >= 0
        self.ended.append((call, outcome))


class Storm:
    """Clients of all kinds, at servers of all kinds."""

    def __init__(self) -> None:
        more = (
            ServerSpec(
                "m", ("run",), {}, "/", share=Share.GLOBAL, timeout_s=20.0, protocol=Era.MODERN, title="m"
            ),
            ServerSpec(
                "r",
                ("run",),
                {},
                "/",
                share=Share.GLOBAL,
                timeout_s=20.0,
                protocol=Era.LEGACY,
                title="r",
                replicas=2,
            ),
        )
        self.gateway = MemoryGateway(more=more, timeout_s=20.0)
        self.gateway.launcher.eras = {"m": (Era.MODERN,)}
        self.account = Account(self.gateway)
        self.clients: list[Client] = []
        self.number = 0

    def step(self, step: str, server: str, nth: int) -> None:
        """Let one thing happen."""
        self.number += 1
        getattr(self, step)(server, nth)

    def _client(self, nth: int) -> Client | None:
        return self.clients[nth % len(self.clients)] if self.clients else None

    def _child(self, nth: int) -> MemoryChild | None:
        living = [each for each in self.gateway.launcher.children if not each.is_stopping]
        return living[nth % len(living)] if living else None

    def call(self, server: str, nth: int) -> None:
        """A session calls a tool."""
        self.clients.append(made := self.gateway.session(server))
        made.call(self.number, name="echo")

    def modern(self, server: str, nth: int) -> None:
        """A client without a session does."""
        self.clients.append(made := self.gateway.client(server))
        post(made, request(self.number, "tools/call", name="echo", arguments={}))

    def rest(self, server: str, nth: int) -> None:
        """A script does."""
        self.clients.append(made := self.gateway.client(Authorization="Bearer bearer-token"))
        made.send({"tool": "echo", "arguments": {}}, "POST", f"/api/v1/servers/{server}/call")

    def answer(self, server: str, nth: int) -> None:
        """A child answers what it was asked last."""
        self._say(nth, result={"content": [], "resultType": "complete", "tools": []})

    def error(self, server: str, nth: int) -> None:
        """A child refuses what it was asked last."""
        self._say(nth, error={"code": -32000, "message": "no"})

    def _say(self, nth: int, **said: Any) -> None:
        child = self._child(nth)
        for each in child.received[-3:] if child is not None else ():
            if child is not None and "id" in each and "method" in each:
                child.say({"jsonrpc": "2.0", "id": each["id"], **said})

    def crash(self, server: str, nth: int) -> None:
        """A child ends."""
        child = self._child(nth)
        if child is not None:
            child.is_stopping = True
            child.exit(1)

    def cancel(self, server: str, nth: int) -> None:
        """A client takes a call back, if it is one of its own."""
        client = self._client(nth)
        if client is not None:
            other = self.gateway.client(**client.headers)
            other.path = client.path
            params = {"requestId": self.number - 1}
            other.send({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": params})

    def end(self, server: str, nth: int) -> None:
        """A client ends its session."""
        client = self._client(nth)
        if client is not None:
            self.gateway.client(**client.headers).send(b"", "DELETE", client.path)

    def hang_up(self, server: str, nth: int) -> None:
        """A client goes away."""
        client = self._client(nth)
        if client is not None:
            self.clients.remove(client)
            hang_up(client)

    def tick(self, server: str, nth: int) -> None:
        """Time passes."""
        self.gateway.tick(nth)

    def refuse(self, server: str, nth: int) -> None:
        """No child can be started any more."""
        self.gateway.launcher.refuses = True

    def start(self, server: str, nth: int) -> None:
        """Children can start again."""
        self.gateway.launcher.refuses = False


@given(
    st.lists(
        st.tuples(st.sampled_from(STEPS), st.sampled_from(("shared", "own", "m", "r")), st.integers(0, 12)),
        max_size=40,
    )
)
def test_each_ends_once(steps: list[tuple[str, str, int]]) -> None:
    """When the gateway has stopped, every call that has begun has ended, once, and the counts say the same."""
    storm = Storm()
    calls = storm.gateway.dispatcher.calls
    for step in steps:
        storm.step(*step)
        assert all(call.holder is not None for holder in calls.holders() for call in holder.calls())
    storm.gateway.dispatcher.close()
    storm.gateway.hub.close()
    storm.gateway.clock.advance(60)
    account = storm.account
    assert not [each for each in account.begun if each.meter is not None]
    ended = [call for call, _ in account.ended]
    assert len(set(map(id, ended))) == len(ended)
    assert set(map(id, ended)) == set(map(id, account.begun))
    rows = storm.gateway.hub.meters.rows
    counted = (
        sum(each.requests for each in rows),
        sum(each.errors for each in rows),
        sum(each.cancelled for each in rows),
    )
    outcomes = [outcome for _, outcome in account.ended]
    assert counted == (len(outcomes), outcomes.count(ERROR), outcomes.count(CANCELLED))
    assert set(outcomes) <= {OK, ERROR, CANCELLED}


@pytest.mark.parametrize("step", STEPS)
def test_each_step(step: str) -> None:
    """Each of these can happen to a call under way."""
    storm = Storm()
    storm.step("call", "shared", 0)
    storm.step(step, "shared", 0)
    assert storm.account.begun
