"""The secrets of a configuration are told from its other values."""

from __future__ import annotations

import pytest

from mcpgateway.config.gateway_settings import GatewaySettings, TraceSettings
from mcpgateway.config.model import Profile, ServerSpec
from mcpgateway.config.reach_settings import OAuth, Remote, Rest
from mcpgateway.config.resolve import World
from mcpgateway.config.security import Security
from mcpgateway.config.settings import Settings
from mcpgateway.policy.secrets.configured import configured, secrets_of_server, written


def server(**said: object) -> ServerSpec:
    """A server with whatever else is said of it."""
    return ServerSpec(**{"name": "one", "command": ("run",), "env": {}, "cwd": "/", **said})  # type: ignore[arg-type]


class ConfiguredTests:
    """The values of an entry that are never shown."""

    @pytest.mark.parametrize(
        ("name", "value", "is_one"),
        [
            ("GREETING", "hunter22x", True),
            ("A_TOKEN", "abcdef", True),
            ("DSN", "postgres://me:s3cret@db/shop", True),
            ("ROOT", "/srv/data-2024", False),
            ("BASE", "http://localhost:8080/v1", False),
            ("MODE", "production", False),
        ],
    )
    def test_variables(self, name: str, value: str, is_one: bool) -> None:  # noqa: FBT001 - a row of the table
        """The value that a file gives a variable is a secret, unless it is a path, an address or a word."""
        assert (value in written({name: value})) is is_one

    def test_only_what_is_written(self) -> None:
        """A variable of the login is judged by its name and its look only."""
        env = {"LANG_OF_LOGIN": "en-US2345", "OWN": "hunter22x"}
        assert set(secrets_of_server(server(env=env), ["OWN"])) == {"hunter22x"}

    def test_outside(self) -> None:
        """A value from a keyring or a command is a secret, whatever it looks like and wherever it is used."""
        world = World({}, {}, "/home", outside={"keyring:a/b": "production"})
        assert set(configured(Settings(GatewaySettings(), (), world=world))) == {"production"}

    def test_addresses(self) -> None:
        """Headers, passwords and keys in addresses and a client's secret are."""
        headers = {"X-Api-Key": "k1-of-one", "Accept": "text/html", "Authorization": "Bearer tok-1"}
        remote = Remote(
            "https://u:pass-1@e.com/?api_key=key-12", headers=headers, oauth=OAuth(client_secret="cs-123")
        )
        found = set(secrets_of_server(server(reach=remote)))
        assert {"k1-of-one", "Bearer tok-1", "tok-1", "cs-123", "pass-1", "key-12"} <= found
        assert "text/html" not in found
        assert "k1" in set(secrets_of_server(server(reach=Rest("https://e.com", headers={"X-K": "k1"}))))

    def test_collectors(self) -> None:
        """The headers that spans are sent with are."""
        trace = TraceSettings(otlp="http://h:4318", otlp_headers={"x-team": "team-key-1"})
        assert "team-key-1" in set(configured(Settings(GatewaySettings(trace=trace), ())))

    def test_arguments(self) -> None:
        """The value behind an option for a secret is one."""
        assert "hunter22" in secrets_of_server(server(command=("run", "--token", "hunter22")))

    def test_all_of_them(self) -> None:
        """Secrets of profiles and of all servers are found."""
        keys = Security(api_keys=("key-of-client", "sha256:abc"), project_tokens={"tok-of-place": "p"})
        profile = Profile("p", env={"A": "value-of-profile-1"})
        settings = Settings(
            GatewaySettings(security=keys), (server(env={"B_TOKEN": "of-server"}),), profiles={"p": profile}
        )
        assert set(configured(settings)) == {
            "value-of-profile-1",
            "of-server",
            "key-of-client",
            "tok-of-place",
        }
