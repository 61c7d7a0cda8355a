"""Tests of a cluster under load: nodes are killed, and restarted one after the other."""

from __future__ import annotations

import itertools
import os
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from http.client import HTTPException
from pathlib import Path
from typing import Any

import pytest

from tests.support.cluster import LONG, Client, Cluster, Node, ask, known
from tests.support.gateway import server
from tests.support.postgres import Postgres

FIXTURE = (sys.executable, "-I", "-S", str(Path(__file__).parents[1] / "servers" / "fixture.py"))
SERVERS = {"own": server(FIXTURE, share="session"), "shared": server(FIXTURE, share="global")}
IS_LONG = os.environ.get("MCPGATEWAY_CLUSTER") == "1"
CLIENTS, BETWEEN_S, PAUSE_S = (24, 6.0, 0.0) if IS_LONG else (4, 1.0, 0.05)
GIVE_UP_S = 60.0
CHECK_S = 0.2
LOST_MOST = 3  # of one client, by one kill


@pytest.fixture
def cluster(tmp_path: Path, store: str) -> Iterator[Cluster]:
    """Nodes with the fixture server, which each session has for itself or shares."""
    made = Cluster(tmp_path, store, SERVERS)
    try:
        yield made
    finally:
        made.close()


class Balancer(threading.Thread):
    """Knows which nodes are ready, as a balancer does that checks them a few times a second."""

    def __init__(self, nodes: list[Node], over: threading.Event) -> None:
        super().__init__(daemon=True)
        self._nodes, self._over = nodes, over
        self._ready = list(nodes)
        self._turn = itertools.count()

    def run(self) -> None:
        """Check the nodes until it is over."""
        while not self._over.wait(CHECK_S):
            self._ready = [each for each in self._nodes if self._is_ready(each)]

    def _is_ready(self, node: Node) -> bool:
        try:
            return ask(node, "GET", "/readyz").status == 200
        except (OSError, HTTPException):
            return False

    def node(self) -> Node:
        """Return the next node that is ready."""
        ready = self._ready or self._nodes
        return ready[next(self._turn) % len(ready)]


class Caller(threading.Thread):
    """A client that calls again and again, at any node that takes connections, as a balancer sends it.

    :ivar right: the number of right answers.
    :ivar wrong: what was wrong.
    :ivar lost: the calls that failed after they were sent.
    :ivar gaps: the longest time without an answer, in seconds.
    """

    def __init__(self, nodes: list[Node], name: str, balancer: Balancer, over: threading.Event) -> None:
        super().__init__(daemon=True)
        self.right = 0
        self.wrong: list[str] = []
        self.lost: list[str] = []
        self.gap = 0.0
        self._balancer, self._over, self._server = balancer, over, name
        self._client = Client(nodes[0], name)
        self._count = 0

    def run(self) -> None:
        """Call until it is over."""
        latest = time.monotonic()
        number = 0
        while not self._over.wait(PAUSE_S):
            number += 1
            found = self._call(f"{id(self)}-{number}")
            if found is None:
                continue
            now = time.monotonic()
            self.gap, latest = max(self.gap, now - latest), now
            self._judge(found, f"{id(self)}-{number}")

    def _call(self, text: str) -> str | None:
        own = self._server == "own"
        params = {"name": "count", "arguments": {}} if own else {"name": "echo", "arguments": {"text": text}}
        body = {"jsonrpc": "2.0", "id": text, "method": "tools/call", "params": params}
        began = time.monotonic()
        while True:
            node = self._balancer.node()
            try:
                answer = ask(node, "POST", self._client.path, body, self._client.headers)
            except ConnectionRefusedError:
                # As a balancer does with a connection that is refused: the next one.
                if time.monotonic() - began > GIVE_UP_S:
                    raise
                continue
            except (OSError, HTTPException) as why:
                self.lost.append(repr(why))
                return None
            if answer.status == 503 and time.monotonic() - began < GIVE_UP_S:
                time.sleep(0.05)
                continue
            return self._text(answer)

    def _text(self, answer: Any) -> str | None:
        found = answer.messages[-1] if answer.status == 200 and answer.messages else None
        if found is not None and "result" in found:
            text: str = found["result"]["content"][0]["text"]
            return text
        (self.lost if answer.status in {200, 502} else self.wrong).append(
            f"{answer.status} {answer.body!r:.300}"
        )
        return None

    def _judge(self, found: str, text: str) -> None:
        if self._server == "own":
            count = int(found)
            # A life begins at 1 again; within one, no call is answered twice, and none by another child.
            if count not in {1, self._count + 1} and not self.lost:
                self.wrong.append(f"{count} after {self._count}")
            self._count = count
        elif found != text:
            self.wrong.append(f"{found} for {text}")
        self.right += 1


def stormed(nodes: list[Node], kinds: tuple[str, ...], during: Any) -> list[Caller]:
    """Let clients call while something happens; return them when they have ended."""
    over = threading.Event()
    balancer = Balancer(nodes, over)
    callers = [Caller(nodes, kinds[number % len(kinds)], balancer, over) for number in range(CLIENTS)]
    balancer.start()
    for each in callers:
        each.start()
    try:
        during()
    finally:
        over.set()
        for each in callers:
            each.join(GIVE_UP_S + 30)
    assert not any(each.is_alive() for each in callers)
    return callers


def told(callers: list[Caller]) -> str:
    """Describe what the callers have seen."""
    kinds = Counter(each for caller in callers for each in (*caller.wrong, *caller.lost))
    right, gap = sum(each.right for each in callers), max(each.gap for each in callers)
    return f"{right} right, longest gap {gap:.2f} s, {dict(kinds.most_common(8))}"


def test_kills(cluster: Cluster, postgres: Postgres) -> None:
    """Each node is killed in turn under load: no answer is wrong, and few calls fail.

    A client can lose three calls by one kill: one that each of the other nodes has passed on over a connection that it
    does not yet know to be broken, and one that the node had just taken itself.
    """
    nodes = known(cluster.start("a", "b", "c"), postgres)
    victims = nodes if IS_LONG else nodes[:1]

    def during() -> None:
        for node in victims:
            time.sleep(BETWEEN_S)
            node.kill()
            time.sleep(BETWEEN_S)
            node.start()
        time.sleep(BETWEEN_S)

    callers = stormed(nodes, ("own", "shared"), during)
    assert [each.wrong for each in callers if each.wrong] == [], told(callers)
    assert all(len(each.lost) <= LOST_MOST * len(victims) for each in callers), told(callers)
    assert all(each.right > 5 for each in callers), told(callers)
    owned = sum("own" in each._server for each in callers)
    running = sum(len(each.children()) for each in nodes)
    assert running <= owned + len(nodes), told(callers)


@LONG
def test_rolling_restart(cluster: Cluster, postgres: Postgres) -> None:
    """Nodes are stopped in order and started again, one after the other: no call of a shared server fails."""
    nodes = known(cluster.start("a", "b", "c"), postgres)
    victims = nodes if IS_LONG else nodes[:1]

    def during() -> None:
        for node in victims:
            time.sleep(BETWEEN_S)
            node.terminate()
            node.start()
        time.sleep(BETWEEN_S)

    callers = stormed(nodes, ("shared",), during)
    assert [(each.wrong, each.lost) for each in callers if each.wrong or each.lost] == [], told(callers)
    assert all(each.right > 5 for each in callers), told(callers)


@LONG
def test_store_killed(cluster: Cluster, tmp_path: Path) -> None:
    """The store is away for 30 s under load: no call fails, and sessions that began meanwhile are in it afterwards."""
    postgres = Postgres().start()
    alone = Cluster(tmp_path / "more", postgres.database(), SERVERS)
    try:
        nodes = known(alone.start("a", "b"), postgres, alone.store)
        begun: list[Client] = []

        def during() -> None:
            time.sleep(2)
            postgres.kill()
            begun.extend(Client(node, "own") for node in nodes)
            time.sleep(30)
            postgres.start()
            time.sleep(5)

        callers = stormed(nodes, ("own", "shared"), during)
        assert [(each.wrong, each.lost) for each in callers if each.wrong or each.lost] == [], told(callers)
        rows = postgres.query(alone.store, "SELECT count(*) FROM sessions")[0][0]
        assert rows >= CLIENTS + len(begun)
    finally:
        with suppress(AssertionError):
            alone.close()
        postgres.close()
