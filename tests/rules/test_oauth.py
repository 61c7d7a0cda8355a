"""The rules of OAuth 2.1 for a client: what is read, what is believed, where nothing is sent."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcpgateway.errors import BackendError
from mcpgateway.rules import oauth
from mcpgateway.rules.oauth import AuthServer, Challenge, Client, Grant

ISSUER = "https://as.example"
METADATA: dict[str, Any] = {
    "issuer": ISSUER,
    "authorization_endpoint": f"{ISSUER}/authorize",
    "token_endpoint": f"{ISSUER}/token",
    "code_challenge_methods_supported": ["S256"],
}
URL = "https://mcp.example/tenant/mcp"


class ChallengeTests:
    """A refusal says what is missing and where to learn more."""

    @pytest.mark.parametrize(
        ("header", "found"),
        [
            ("", Challenge()),
            ("Basic realm=x", Challenge()),
            ("Bearer", Challenge()),
            (
                'Bearer realm="a, b", error="insufficient_scope", scope="a b", resource_metadata="https://x/y"',
                Challenge("insufficient_scope", "a b", "https://x/y"),
            ),
            ('Basic realm="x", bearer scope=one', Challenge(scope="one")),
        ],
    )
    def test_reading(self, header: str, found: Challenge) -> None:
        """Quoted and bare values are read, of the Bearer scheme only."""
        assert oauth.challenge(header) == found

    @given(st.text())
    def test_anything(self, header: str) -> None:
        """No header breaks it."""
        oauth.challenge(header)
        oauth.challenge(f"Bearer {header}")


class PlaceTests:
    """Where metadata is looked for."""

    def test_of_resources(self) -> None:
        """Where the refusal says, else under the path, else at the root."""
        assert oauth.resource_metadata_urls(URL, "https://said") == ("https://said",)
        assert oauth.resource_metadata_urls(URL, "") == (
            "https://mcp.example/.well-known/oauth-protected-resource/tenant/mcp",
            "https://mcp.example/.well-known/oauth-protected-resource",
        )
        assert len(oauth.resource_metadata_urls("https://mcp.example/", "")) == 1

    def test_of_servers(self) -> None:
        """OAuth's place before OpenID's, with a path between or behind."""
        assert oauth.server_metadata_urls(ISSUER) == (
            f"{ISSUER}/.well-known/oauth-authorization-server",
            f"{ISSUER}/.well-known/openid-configuration",
        )
        assert oauth.server_metadata_urls(f"{ISSUER}/t/") == (
            f"{ISSUER}/.well-known/oauth-authorization-server/t",
            f"{ISSUER}/.well-known/openid-configuration/t",
            f"{ISSUER}/t/.well-known/openid-configuration",
        )

    @pytest.mark.parametrize(
        ("url", "name"),
        [
            ("https://MCP.example:443/a/?key=secret#x", "https://mcp.example/a"),
            ("http://127.0.0.1:8000/mcp", "http://127.0.0.1:8000/mcp"),
            ("http://[::1]:80/", "http://[::1]"),
        ],
    )
    def test_names(self, url: str, name: str) -> None:
        """The name of a resource has neither its usual port nor anything that may be secret."""
        assert oauth.resource_of(url) == name

    @pytest.mark.parametrize(
        ("url", "configured", "may"),
        [
            ("https://as.example/x", URL, True),
            ("http://as.example/x", URL, False),
            ("https://10.0.0.1/x", URL, False),
            ("https://169.254.169.254/latest", URL, False),
            ("http://localhost:1/x", URL, False),
            ("https://[::1]/x", URL, False),
            ("https://metadata.google.internal/", URL, False),
            ("http://localhost:1/x", "http://127.0.0.1:2/mcp", True),
            ("http://as.example/x", "http://127.0.0.1:2/mcp", False),
            ("https://as.example/x", "http://127.0.0.1:2/mcp", True),
            ("https://user@as.example/x", URL, False),
            ("file:///etc/passwd", URL, False),
            ("javascript:alert(1)", URL, False),
            ("", URL, False),
        ],
    )
    def test_what_may_be_asked(self, url: str, configured: str, *, may: bool) -> None:
        """A server elsewhere cannot send the gateway to this machine or its network, nor without TLS."""
        assert oauth.may_ask(url, configured) is may


class MetadataTests:
    """Metadata is believed if it is whole and of what was asked."""

    def test_of_a_resource(self) -> None:
        """The first server is taken, of this resource or of one above it."""
        told = {"resource": URL, "authorization_servers": [ISSUER, "https://b"], "scopes_supported": ["a"]}
        assert oauth.check_resource(told, URL) == (ISSUER, ("a",))
        assert oauth.check_resource({**told, "resource": "https://mcp.example"}, URL)[0] == ISSUER

    @pytest.mark.parametrize(
        "told",
        [
            None,
            [],
            {},
            {"resource": URL},
            {"resource": URL, "authorization_servers": []},
            {"resource": URL, "authorization_servers": "x"},
            {"resource": "https://mcp.example/ten", "authorization_servers": [ISSUER]},
            {"resource": "https://evil.example", "authorization_servers": [ISSUER]},
        ],
    )
    def test_of_another(self, told: Any) -> None:
        """Anything else is refused."""
        with pytest.raises(BackendError):
            oauth.check_resource(told, URL)

    def test_of_a_server(self) -> None:
        """What it can is read."""
        found = oauth.check_server(
            {**METADATA, "registration_endpoint": f"{ISSUER}/r", "scopes_supported": ["offline_access"]},
            ISSUER,
        )
        assert found.registration_endpoint == f"{ISSUER}/r"
        assert found.scopes == ("offline_access",)

    @pytest.mark.parametrize(
        "change",
        [
            {"issuer": "https://evil.example"},
            {"issuer": None},
            {"token_endpoint": None},
            {"authorization_endpoint": 1},
            {"code_challenge_methods_supported": ["plain"]},
            {"code_challenge_methods_supported": None},
        ],
    )
    def test_of_a_bad_server(self, change: dict[str, Any]) -> None:
        """One that is another, lacks an endpoint or does without PKCE is refused."""
        with pytest.raises(BackendError):
            oauth.check_server({**METADATA, **change}, ISSUER)


class RequestTests:
    """What is asked for, and what is made of the answer."""

    def test_the_challenge(self) -> None:
        """The example of RFC 7636, appendix B."""
        assert (
            oauth.code_challenge("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk")
            == "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
        )

    def test_the_url(self) -> None:
        """It says everything, beside what the endpoint's own query says."""
        server = AuthServer(ISSUER, f"{ISSUER}/a?tenant=1", f"{ISSUER}/t", scopes=("offline_access",))
        url = oauth.authorization_url(server, Client("c"), "http://127.0.0.1/cb", "s", "ch", "a b", URL)
        assert parse_qs(urlsplit(url).query) == {
            "tenant": ["1"],
            "response_type": ["code"],
            "client_id": ["c"],
            "redirect_uri": ["http://127.0.0.1/cb"],
            "state": ["s"],
            "code_challenge": ["ch"],
            "code_challenge_method": ["S256"],
            "resource": [URL],
            "scope": ["a b offline_access"],
        }

    def test_scopes(self) -> None:
        """The entry decides, else the refusal adds to what was granted, else all that are known are asked for."""
        assert oauth.scope_for(("x",), "a", ("k",), "g") == "x"
        assert oauth.scope_for((), "a g", ("k",), "g") == "g a"
        assert oauth.scope_for((), "", ("k", "l"), "g") == "k l"

    def test_tokens(self) -> None:
        """A token is read with its end; what a renewal does not say stays."""
        first = oauth.read_grant(
            {
                "access_token": "a",
                "token_type": "bearer",
                "refresh_token": "r",
                "expires_in": 100,
                "scope": "s",
            },
            1000.0,
            "i",
        )
        assert first == Grant("a", "r", 1100.0, "s", "i")
        assert first.is_good(1039.0)
        assert not first.is_good(1041.0)
        later = oauth.read_grant({"access_token": "b", "token_type": "Bearer"}, 2000.0, "i", first)
        assert later == Grant("b", "r", 0.0, "s", "i")
        assert later.is_good(9e9)
        assert "'a'" not in repr(first)

    @pytest.mark.parametrize(
        "answer",
        [
            None,
            {},
            {"access_token": "", "token_type": "bearer"},
            {"access_token": "a"},
            {"access_token": "a", "token_type": "mac"},
            {"access_token": "a\r\nX: y", "token_type": "bearer"},
            {"access_token": 1, "token_type": "bearer"},
        ],
    )
    def test_no_tokens(self, answer: Any) -> None:
        """What is no bearer token, or could not stand in a header, is refused."""
        with pytest.raises(BackendError):
            oauth.read_grant(answer, 0.0, "i")
