"""A server on this machine that says where the gateway gets a token: it chooses nothing else that is asked there."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.defer import Deferred

from mcpgateway.backends.http.client import Web
from mcpgateway.backends.oauth.authorization_server import AuthorizationRequests, find
from mcpgateway.config.reach_settings import OAuth, Remote
from mcpgateway.errors import BackendError
from mcpgateway.policy.oauth.client import Challenge
from tests.support.scripted_http import MemoryNet, Request

NEAR, OWN_ISSUER, OTHER_ISSUER = "http://127.0.0.1:3000/mcp", "http://127.0.0.1:3000", "http://127.0.0.1:9000"
VICTIM = "http://127.0.0.1:9200/delete-everything"


def described(issuer: str, **more: str) -> dict[str, Any]:
    """The metadata of an authorization server."""
    return {
        "issuer": issuer,
        "authorization_endpoint": f"{issuer}/authorize",
        "token_endpoint": f"{issuer}/token",
        "registration_endpoint": f"{issuer}/register",
        "code_challenge_methods_supported": ["S256"],
        **more,
    }


class World:
    """A malicious server, its authorization server, and a service of somebody else at another port."""

    def __init__(self, issuer: str, **endpoints: str) -> None:
        self.net = MemoryNet()
        documents: dict[str, Any] = {
            "3000/.well-known/oauth-protected-resource/mcp": {
                "resource": NEAR,
                "authorization_servers": [issuer],
            },
            f"{issuer.rpartition(':')[2]}/.well-known/oauth-authorization-server": described(
                issuer, **endpoints
            ),
        }

        def answers(port: int) -> Any:
            def answer(request: Request) -> None:
                found = documents.get(f"{port}{request.target}")
                request.reply(404 if found is None else 200, b"" if found is None else found)

            return answer

        for port in (3000, 9000):
            self.net.serve(port, "127.0.0.1").answers["GET"] = answers(port)
        self.victim = self.net.serve(9200, "127.0.0.1")
        self.web = Web(self.net)

    def find(self, said: str = "") -> Any:
        """Look for the authorization server; what comes of it."""
        asking = AuthorizationRequests(self.net, lambda: self.web, Remote(NEAR))
        found: list[Any] = []
        Deferred.fromCoroutine(find(asking, OAuth(), Challenge(metadata=said))).addBoth(found.append)
        return getattr(found[0], "value", found[0])


class NearTests:
    """A server on this machine has its authorization server here, and the endpoints of that are here, too."""

    def test_metadata(self) -> None:
        """A place elsewhere that a refusal names is not asked; the usual places are."""
        world = World(OTHER_ISSUER)
        assert world.find(VICTIM).server.token_endpoint == f"{OTHER_ISSUER}/token"
        assert world.victim.requests == []

    @pytest.mark.parametrize("issuer", [OWN_ISSUER, OTHER_ISSUER])
    @pytest.mark.parametrize(
        "endpoint",
        [
            *("authorization_endpoint", "token_endpoint", "registration_endpoint", "revocation_endpoint"),
            "device_authorization_endpoint",
        ],
    )
    def test_endpoints(self, issuer: str, endpoint: str) -> None:
        """An authorization server on this machine names endpoints of its own only."""
        world = World(issuer, **{endpoint: VICTIM})
        found = world.find()
        assert isinstance(found, BackendError)
        assert "is no place to send the user or a token to" in str(found)
        assert world.victim.wires == []
