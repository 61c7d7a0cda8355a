"""The rules of OAuth 2.1 for a client: what is read, what is believed, where nothing is sent."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from mcpgateway.errors import BackendError
from mcpgateway.policy.oauth import client
from mcpgateway.policy.oauth.client import AuthServer, Challenge, Grant, OAuthClient

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
        assert client.challenge(header) == found

    @given(st.text())
    def test_anything(self, header: str) -> None:
        """A challenge is read from a header of any text."""
        client.challenge(header)
        client.challenge(f"Bearer {header}")


class PlaceTests:
    """Where metadata is looked for."""

    def test_of_resources(self) -> None:
        """Where the refusal says, then under the path, then at the root."""
        assert client.resource_metadata_urls(URL, "https://said") == (
            "https://said",
            *client.resource_metadata_urls(URL, ""),
        )
        assert client.resource_metadata_urls(URL, "") == (
            "https://mcp.example/.well-known/oauth-protected-resource/tenant/mcp",
            "https://mcp.example/.well-known/oauth-protected-resource",
        )
        assert len(client.resource_metadata_urls("https://mcp.example/", "")) == 1

    def test_of_servers(self) -> None:
        """OAuth's place before OpenID's, with a path between or behind."""
        assert client.server_metadata_urls(ISSUER) == (
            f"{ISSUER}/.well-known/oauth-authorization-server",
            f"{ISSUER}/.well-known/openid-configuration",
        )
        assert client.server_metadata_urls(f"{ISSUER}/t/") == (
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
        assert client.resource_of(url) == name

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
        assert client.may_ask(url, configured) is may


class NamingTests:
    """A server on this machine names services on this machine."""

    def test_without_tls(self) -> None:
        """Without TLS only what is at its own origin is asked; the usual places are, in any case."""
        near = "http://127.0.0.1:3000/mcp"
        for said in ("http://127.0.0.1:9200/_shutdown", "http://localhost:3000/x", "http://127.0.0.1:3001/"):
            assert client.resource_metadata_urls(near, said) == client.resource_metadata_urls(near, "")
        for said in ("http://127.0.0.1:3000/here", "https://elsewhere.example/x"):
            assert client.resource_metadata_urls(near, said)[0] == said

    def test_registration(self) -> None:
        """Nor is a registration taken back anywhere else."""
        told = {"client_id": "c", "registration_access_token": "t"}
        for where, kept in (
            ("http://127.0.0.1:9200/delete", ""),
            ("http://127.0.0.1:9000/c", "http://127.0.0.1:9000/c"),
            ("https://as.example/c", "https://as.example/c"),
        ):
            found = client.registered(
                {**told, "registration_client_uri": where}, "http://127.0.0.1:9000", "http://r", ""
            )
            assert found.manage_url == kept


class MetadataTests:
    """Metadata, which is believed where it is whole and of the right resource or server."""

    def test_of_a_resource(self) -> None:
        """The authorization servers are read from metadata of this resource, or of one above it."""
        told = {"resource": URL, "authorization_servers": [ISSUER, "https://b"], "scopes_supported": ["a"]}
        assert client.check_resource(told, URL) == ((ISSUER, "https://b"), ("a",))
        assert client.check_resource({**told, "resource": "https://mcp.example"}, URL)[0][0] == ISSUER

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
            client.check_resource(told, URL)

    def test_of_a_server(self) -> None:
        """The capabilities of an authorization server are read."""
        found = client.check_server(
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
        """Metadata of another server, without an endpoint, or without PKCE are refused."""
        with pytest.raises(BackendError):
            client.check_server({**METADATA, **change}, ISSUER)


class RequestTests:
    """The requests for tokens, and the reading of the answers."""

    def test_the_challenge(self) -> None:
        """The example of RFC 7636, appendix B."""
        assert (
            client.code_challenge("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk")
            == "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
        )

    def test_the_url(self) -> None:
        """The authorization URL has all parameters, beside those of the endpoint's own query."""
        server = AuthServer(ISSUER, f"{ISSUER}/a?tenant=1", f"{ISSUER}/t", scopes=("offline_access",))
        url = client.authorization_url(server, OAuthClient("c"), "http://127.0.0.1/cb", "s", "ch", "a b", URL)
        assert parse_qs(urlsplit(url).query) == {
            "tenant": ["1"],
            "response_type": ["code"],
            "client_id": ["c"],
            "redirect_uri": ["http://127.0.0.1/cb"],
            "state": ["s"],
            "code_challenge": ["ch"],
            "code_challenge_method": ["S256"],
            "resource": [URL],
            "scope": ["a b"],
        }
        assert client.with_offline_access(server, "a b") == "a b offline_access"
        assert client.with_offline_access(server, "a offline_access") == "a offline_access"
        assert client.with_offline_access(evolve(server, scopes=()), "a") == "a"

    def test_scopes(self) -> None:
        """The entry decides, else the refusal adds to what was granted, else all that are known are asked for."""
        assert client.scope_for(("x",), "a", ("k",), "g") == "x"
        assert client.scope_for((), "a g", ("k",), "g") == "g a"
        assert client.scope_for((), "", ("k", "l"), "g") == "k l"

    def test_tokens(self) -> None:
        """A token is read with its end; what a renewal does not say stays."""
        first = client.read_grant(
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
        assert first == Grant("a", "r", 1100.0, "s", "i", 1075.0)
        later = client.read_grant({"access_token": "b", "token_type": "Bearer"}, 2000.0, "i", first)
        assert later == Grant("b", "r", 0.0, "s", "i")
        assert later.is_good(9e9)
        assert "'a'" not in repr(first)

    @pytest.mark.parametrize(("lasts", "used_s"), [(3600, 3540), (240, 180), (60, 45), (10, 7.5), (1, 0.75)])
    def test_when_it_is_renewed(self, lasts: float, used_s: float) -> None:
        """A token is renewed a minute before its end, and a short one in the last quarter of its life."""
        answer = {"access_token": "a", "token_type": "bearer", "expires_in": lasts}
        grant = client.read_grant(answer, 1000.0, "i")
        assert grant.is_good(1000.0 + used_s - 0.1)
        assert not grant.is_good(1000.0 + used_s)

    def test_what_is_granted(self) -> None:
        """A scope that the answer does not say is the one that was asked for."""
        answer = {"access_token": "a", "token_type": "bearer"}
        assert client.read_grant(answer, 0.0, "i", asked="a b").scope == "a b"
        assert client.read_grant({**answer, "scope": "a"}, 0.0, "i", asked="a b").scope == "a"

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
        """An answer without a bearer token, or with one that could not stand in a header, is refused."""
        with pytest.raises(BackendError):
            client.read_grant(answer, 0.0, "i")


class RegistrationTests:
    """The gateway's registration at an authorization server."""

    def test_what_is_said(self) -> None:
        """The scopes that will be needed are named, and how the gateway proves who it is."""
        said = client.registration("http://127.0.0.1/cb", "1", "a b", "client_secret_basic")
        assert said["scope"] == "a b"
        assert said["redirect_uris"] == ["http://127.0.0.1/cb"]
        assert said["token_endpoint_auth_method"] == "client_secret_basic"
        assert "scope" not in client.registration("http://127.0.0.1/cb", "1", "", "none")

    @pytest.mark.parametrize(
        ("known", "chosen"),
        [
            (("none", "client_secret_basic"), "none"),
            (("client_secret_post", "client_secret_basic"), "client_secret_basic"),
            (("client_secret_post",), "client_secret_post"),
            (("private_key_jwt",), "none"),
        ],
    )
    def test_proofs(self, known: tuple[str, ...], chosen: str) -> None:
        """A public client where the server lets it be one; else with a secret."""
        assert client.token_method(AuthServer(ISSUER, "a", "t", token_methods=known)) == chosen

    def test_what_is_registered(self) -> None:
        """The answer is read; a server that names fewer scopes than it was asked for may still grant them."""
        answer = {
            "client_id": "c",
            "client_secret": "hidden",
            "client_secret_expires_at": 2000,
            "token_endpoint_auth_method": "client_secret_post",
            "scope": "b c",
            "registration_client_uri": "https://as.example/r/c",
            "registration_access_token": "key",
        }
        made = client.registered(answer, ISSUER, "http://127.0.0.1/cb", "a b")
        assert made.client == OAuthClient("c", "hidden", "client_secret_post")
        assert made.scope == "a b c"
        assert "hidden" not in repr(made)
        assert "key" not in repr(made)
        for bad in (None, [], {}, {"client_id": ""}, {"client_id": 1}):
            with pytest.raises(BackendError):
                client.registered(bad, ISSUER, "http://127.0.0.1/cb", "")

    def test_what_it_is_good_for(self) -> None:
        """A registration is good for its own server, redirect and scopes, until its secret ends."""
        made = client.registered({"client_id": "c"}, ISSUER, "http://127.0.0.1:1/cb", "a b")
        assert made.serves(ISSUER, "http://127.0.0.1:1/cb", "a", 0.0)
        assert made.serves(ISSUER, "", "", 0.0)
        assert not made.serves("https://b", "http://127.0.0.1:1/cb", "a", 0.0)
        assert not made.serves(ISSUER, "http://127.0.0.1:2/cb", "a", 0.0)
        assert not made.serves(ISSUER, "http://127.0.0.1:1/cb", "a c", 0.0)
        assert not evolve(made, expires=10.0).serves(ISSUER, "", "", 11.0)

    def test_the_document(self) -> None:
        """The client's document names itself as the client, and the address that browsers come back to."""
        url = "https://gateway.example/oauth/client.json"
        said = client.client_document(url, "https://gateway.example/oauth/callback")
        assert said["client_id"] == url
        assert said["redirect_uris"] == ["https://gateway.example/oauth/callback"]
        assert said["token_endpoint_auth_method"] == "none"

    def test_steps_up(self) -> None:
        """A scope that a server wants beyond the granted ones is asked for, within those that its entry names."""
        assert client.more_wanted((), "a b", "a") == "b"
        assert client.more_wanted((), "a", "a b") == ""
        assert client.more_wanted(("a", "b"), "a b c", "a") == "b"
        assert client.more_wanted(("a",), "b", "a") == ""
