"""Sharing of a child where the entry leaves it open: the sessions of one principal share."""

from __future__ import annotations

from typing import Any

import pytest

from mcpgateway.config.model import Concurrency, ServerSpec, Share
from mcpgateway.protocol.versions import Era
from tests.support.agents import agent
from tests.support.gateway_in_memory import HELLO, Client, MemoryGateway
from tests.support.modern_client import post, request

KEYS = ("k" * 32, "l" * 32)
UNKNOWN, STATELESS, WRITER = ("run",), ("npx", "mcp-server-time"), ("npx", "mcp-server-memory")


def gateway_of(
    command: tuple[str, ...] = UNKNOWN, share: Share = Share.AUTO, *, looks: bool = False, **more: Any
) -> MemoryGateway:
    """A gateway with one server."""
    more = {"protocol": Era.LEGACY, **more}
    made = MemoryGateway(
        more=(ServerSpec("s", command, {}, "/", share=share, title="s", **more),), looks=looks
    )
    made.bearers.admit_keys(KEYS, {})
    return made


def everybody(gateway: MemoryGateway) -> list[dict[str, str]]:
    """The headers of four principals."""
    return [agent(gateway, "one"), agent(gateway, "two"), *({"X-API-Key": each} for each in KEYS)]


def come(gateway: MemoryGateway, headers: dict[str, str]) -> Client:
    """Begin a session."""
    client = gateway.client("s", **headers)
    client.initialize(protocolVersion="2025-11-25", capabilities={})
    return client


class SharerTests:
    """Tokens, keys and the gateway's own user."""

    @pytest.mark.parametrize("said", [None, Concurrency(1)])
    def test_principals_are_apart(self, said: Concurrency | None) -> None:
        """Each token and each key has a child of its own, for all its sessions, whether or not calls take turns."""
        gateway = gateway_of(concurrency=said)
        those = everybody(gateway)
        for each in (*those, *those):
            come(gateway, each)
        assert len(gateway.launcher.children) == len(those)

    def test_the_gateways_own_user(self) -> None:
        """A client on this machine without a token is the same principal as one with the gateway's own."""
        gateway = gateway_of()
        for each in ({}, {"Authorization": "Bearer bearer-token"}):
            come(gateway, each)
        assert len(gateway.launcher.children) == 1
        come(gateway, agent(gateway, "one"))
        assert len(gateway.launcher.children) == 2

    @pytest.mark.parametrize("command", [STATELESS, WRITER])
    def test_what_keeps_nothing(self, command: tuple[str, ...]) -> None:
        """A server that is known to keep nothing for its client has one child for all."""
        gateway = gateway_of(command)
        for each in ({}, *everybody(gateway)):
            come(gateway, each)
        assert len(gateway.launcher.children) == 1

    def test_said_to_be_for_all(self) -> None:
        """A server whose entry shares it with all has one child for all, too."""
        gateway = gateway_of(share=Share.GLOBAL)
        for each in ({}, *everybody(gateway)):
            come(gateway, each)
        assert len(gateway.launcher.children) == 1

    def test_modern(self) -> None:
        """Requests without a session are told apart in the same way."""
        gateway = gateway_of(protocol=Era.MODERN)
        gateway.launcher.eras["s"] = (Era.MODERN,)
        those = everybody(gateway)
        for number, each in enumerate((*those, *those)):
            post(gateway.client("s", **each), request(number, "tools/call", name="t"))
        assert len(gateway.launcher.children) == len(those)


class OneTooManyTests:
    """A child that comes up when it is known already that its server may have one only."""

    def test_what_waits_for_the_other(self) -> None:
        """A call that waits for its turn at the child that gives way is sent to the one that stays."""
        gateway = gateway_of(share=Share.GLOBAL, looks=True)
        first = come(gateway, {})
        gateway.launcher.silent.add("s")
        gateway.client("s").send(
            {"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": {"capabilities": {"sampling": {}}}}
        )
        one, other = gateway.launcher.children
        gateway.edit("s", concurrency=Concurrency(1))
        second = gateway.client("s", **first.headers)
        first.call(1, name="write")
        second.call(2, name="write")
        assert len(one.asked("tools/call")) == 1
        other.answer(other.asked("initialize")[0], HELLO)
        one.answer(one.asked("tools/call")[0], {"content": []})
        (waited,) = other.asked("tools/call")
        other.answer(waited, {"content": []})
        for each in (first, second):
            assert each.heard is not None
            assert "result" in each.heard.json
