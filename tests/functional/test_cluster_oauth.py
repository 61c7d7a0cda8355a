"""Signing in at a remote server at one node of a cluster, and renewing its token at another."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from attrs import evolve
from twisted.internet import reactor
from twisted.internet.defer import gatherResults

from mcpgateway.backends.http.client import Web
from mcpgateway.backends.oauth.flow import Accounts
from mcpgateway.config.reach_settings import Remote
from mcpgateway.errors import NeedsLogin
from mcpgateway.interfaces import OwnAddress
from tests.support.cluster_grants import GrantNode, until
from tests.support.protected import Protected, brought, several

pytestmark = pytest.mark.functional

CALLBACK = "http://127.0.0.1:9100/oauth/callback"
LIMIT_S = 60.0
CHALLENGE = "Bearer"


@pytest.fixture(scope="module")
def protected() -> Iterator[Protected]:
    with several() as start:
        yield start()


@pytest_twisted.ensureDeferred
async def test_one_renewal(store: str, tmp_path: Path, protected: Protected) -> None:
    """A sign-in at one node counts at another, and a token that both need anew is renewed by one of them, once."""
    web, remote = Web(reactor), Remote(protected.url)
    nodes = [GrantNode.of(store, tmp_path / name) for name in ("one", "two")]
    sides = [Accounts(reactor, lambda: web, each.grants, lambda: OwnAddress(CALLBACK)) for each in nodes]
    for node, side in zip(nodes, sides, strict=True):
        node.grants.on_change = side.changed
        node.tick()
    accounts: list[Any] = [each.of("s", remote) for each in sides]
    with pytest.raises(NeedsLogin) as caught:
        await sides[0].refused(accounts[0], 401, CHALLENGE, {})
    assert caught.value.data is not None
    answer = await web.request("GET", str(caught.value.data["url"]), {}, timeout_s=LIMIT_S)
    await sides[0].answered(brought(answer.headers[b"location"].decode()))
    await until(lambda: accounts[1].grant is not None)
    assert accounts[1].grant == accounts[0].grant
    first = accounts[0].grant
    asked = protected.asked("POST /token")
    for account in accounts:
        account.grant = evolve(account.grant, renew_at=1.0)
    headers = await gatherResults(
        [side.headers(account) for side, account in zip(sides, accounts, strict=True)]
    )
    assert protected.asked("POST /token") == asked + 1
    assert json.dumps(headers[0]) == json.dumps(headers[1])
    assert accounts[0].grant.access_token != first.access_token
    for each in nodes:
        each.store.close()
    await web.close()
