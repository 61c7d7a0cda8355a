"""The section that says who may call; nothing in it fails open."""

from __future__ import annotations

from typing import Any

import pytest

from mcpgateway.config.problems import Problems, Where
from mcpgateway.config.section import overlaid
from mcpgateway.config.security import Issuer, Security, settled
from tests.config.test_file_format import read

WHERE = Where("/c", 1, "settings.security")
LONG = "a key that is long enough"


def settle(**said: Any) -> tuple[Security, Problems]:
    """Return the settled section."""
    problems = Problems()
    sources = {"KEY": "a value of the environment", "SHORT": "abc", "EMPTY": ""}
    return settled(Security(**said), sources, WHERE, problems), problems


class KeyTests:
    """Keys and tokens."""

    def test_filled_in(self) -> None:
        """A key is a variable, a digest, or itself."""
        digest = "sha256:" + "0" * 64
        found, problems = settle(
            enabled=True, api_keys=("${KEY}", digest, LONG), project_tokens={"${KEY}": "shop"}
        )
        assert not problems
        assert found.api_keys == ("a value of the environment", digest, LONG)
        assert found.project_tokens == {"a value of the environment": "shop"}

    @pytest.mark.parametrize(
        "key",
        ["${NOBODY}", "${EMPTY}", "", "  ", "sha256:", "sha256:abc", "sha256:" + "G" * 64, "schlüssel" * 3],
    )
    def test_refused(self, key: str) -> None:
        """A key that admits nobody or everybody is an error, and is not shown."""
        for said in ({"api_keys": (key,)}, {"project_tokens": {key: "shop"}}):
            _, problems = settle(enabled=True, **said)
            assert problems.errors
            assert not key.strip() or key not in str(problems.errors[0]).replace("sha256:, and", "")

    def test_short(self) -> None:
        """A key that can be guessed is taken, with a warning."""
        _, problems = settle(enabled=True, api_keys=("${SHORT}",))
        assert not problems.errors
        assert "can be guessed" in problems.warnings[0]

    def test_switched_off(self) -> None:
        """A section that is not enabled admits nobody."""
        found, problems = settle(api_keys=(LONG,), trusted_ips=("10.0.0.1",), project_tokens={LONG: "x"})
        assert (found.api_keys, found.trusted_ips, found.project_tokens) == ((), (), {})
        assert not problems

    def test_not_shown(self) -> None:
        """No key is in what is printed of settings."""
        assert LONG not in repr(Security(api_keys=(LONG,), project_tokens={LONG: "shop"}))


class NetworkTests:
    """Addresses that are trusted."""

    @pytest.mark.parametrize(
        "network", ["0.0.0.0/0", "::/0", "10.0.0.0/4", "nowhere", "10.0.0.300", "", "10.0.0.0/33"]
    )
    def test_refused(self, network: str) -> None:
        """The whole world is not trusted, and neither is what is no address."""
        with pytest.raises(Exception, match="trusted_ips"):
            read(f"settings: {{security: {{auth: {{enabled: true, trusted_ips: ['{network}']}}}}}}\n")


class IssuerTests:
    """An authorization server."""

    @pytest.mark.parametrize(
        "oauth",
        [
            Issuer("https://login.example"),
            Issuer("https://login.example", ("",)),
            Issuer("", ("https://mcp.example",)),
            Issuer("http://login.example", ("x",)),
            Issuer("https://me@login.example", ("x",)),
            Issuer("login.example", ("x",)),
            Issuer("https://login.example", ("x",), "http://login.example/jwks"),
            Issuer("https://login.example", ("x",), "file:///etc/passwd"),
        ],
    )
    def test_refused(self, oauth: Issuer) -> None:
        """Without an audience, without an issuer, or without TLS, it is an error."""
        assert settle(oauth=oauth)[1].errors

    def test_taken(self) -> None:
        """An issuer on this machine needs no TLS."""
        for url in ("https://login.example/realm", "http://127.0.0.1:8080", "http://localhost:1"):
            assert not settle(oauth=Issuer(url, ("https://mcp.example",)))[1]


class OverlayTests:
    """Several files."""

    def test_single_keys(self) -> None:
        """A later file replaces what it says, and leaves the rest."""
        before = Security(True, ("10.0.0.1",), (LONG,), {}, Issuer("https://a", ("x",)))
        found = overlaid(before, {"auth": {"trusted_ips": ()}, "oauth": {"audience": ("y",)}})
        assert found == Security(True, (), (LONG,), {}, Issuer("https://a", ("y",)))
