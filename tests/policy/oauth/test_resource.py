"""The audience of tokens, and the metadata that clients get."""

from __future__ import annotations

from typing import Any

import pytest

from mcpgateway.config.security import Issuer
from mcpgateway.policy.oauth.resource import base_of, challenge, described, is_for, scopes_in, subject_of

OURS = ("https://mcp.example/base", "urn:mcp")
ISSUER = Issuer("https://login.example", ("https://mcp.example",), "", ("mcp", "more"))


class AudienceTests:
    """The audience of a token."""

    @pytest.mark.parametrize(
        "audience",
        [
            "urn:mcp",
            ["other", "urn:mcp"],
            "https://mcp.example/base",
            "https://MCP.example/base/",
            "https://mcp.example/base/notes/mcp",
        ],
    )
    def test_ours(self, audience: Any) -> None:
        """The audience of an accepted token is one of the settings, or a URL below one."""
        assert is_for(audience, OURS)

    @pytest.mark.parametrize(
        "audience",
        [
            None,
            "",
            [],
            [""],
            {},
            5,
            [5, None],
            "urn:mcp:more",
            "urn",
            "https://mcp.example",
            "https://mcp.example/based",
            "https://mcp.example/base/../other",
            "https://mcp.example/base/%2e%2e/other",
            "https://mcp.example.evil/base",
            "https://mcp.example:444/base",
            "https://evil@mcp.example/base",
            "http://mcp.example/base",
            "https://[::1/base",
        ],
    )
    def test_others(self, audience: Any) -> None:
        """A token with another audience, or with none, is not for this gateway."""
        assert not is_for(audience, OURS)

    def test_nobody_configured(self) -> None:
        """Where no audience is known nothing is for us."""
        assert not is_for("anything", ())


class ClaimTests:
    """The claims of tokens."""

    def test_scopes(self) -> None:
        """A text or a list, under either name."""
        assert scopes_in({"scope": "a b", "scp": ["c", 5]}) == {"a", "b", "c"}
        assert scopes_in({"scope": 5}) == set()

    def test_subject(self) -> None:
        """A user, or a program that speaks for itself; never the one for the other."""
        assert subject_of({"sub": "a", "client_id": "c"}) != subject_of({"client_id": "a"})
        assert subject_of({"sub": ""}) == subject_of({}) == subject_of({"sub": 5}) == ""


class ToldTests:
    """The metadata for clients."""

    def test_base(self) -> None:
        """The settings know the scheme that a proxy takes away."""
        assert base_of(b"mcp.example", is_secure=False, issuer=ISSUER) == "https://mcp.example"
        assert base_of(b"localhost:9100", is_secure=False, issuer=ISSUER) == "http://localhost:9100"
        assert base_of(b"localhost:9100", is_secure=True, issuer=ISSUER) == "https://localhost:9100"

    def test_metadata(self) -> None:
        """The document of RFC 9728."""
        assert described("https://mcp.example", "/notes/mcp", ISSUER) == {
            "resource": "https://mcp.example/notes/mcp",
            "authorization_servers": ["https://login.example"],
            "bearer_methods_supported": ["header"],
            "resource_name": "mcpgateway",
            "scopes_supported": ["mcp", "more"],
        }

    def test_challenge(self) -> None:
        """Without an issuer nobody is sent looking for one."""
        assert (
            challenge("", "/mcp", None, "invalid_token") == b'WWW-Authenticate: Bearer realm="mcpgateway"\r\n'
        )
        assert challenge("https://mcp.example", "/mcp", ISSUER, "invalid_token") == (
            b'WWW-Authenticate: Bearer realm="mcpgateway",'
            b' resource_metadata="https://mcp.example/.well-known/oauth-protected-resource/mcp",'
            b' error="invalid_token", scope="mcp more"\r\n'
        )
