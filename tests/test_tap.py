"""What the service maker leaves out of the process."""

from __future__ import annotations

from typing import Any

import pytest

from mcpgateway.config.gateway_settings import GatewaySettings
from mcpgateway.config.model import ServerSpec
from mcpgateway.config.reach_settings import Container, Daemon, Remote, Rest
from mcpgateway.config.settings import Settings
from mcpgateway.tap import Options, needs_openssl


def settings(reach: Any = None, *listen: str) -> Settings:
    """Settings with one server, reached like this."""
    return Settings(GatewaySettings(listen=listen), (ServerSpec("one", ("run",), {}, "/", reach=reach),))


class OpenSslTests:
    """Whether a gateway needs OpenSSL."""

    @pytest.mark.parametrize(
        "needing",
        [
            settings(Remote("https://h/mcp")),
            settings(Remote("HTTPS://h/mcp")),
            settings(Remote("wss://h/mcp")),
            settings(Daemon(3000, "https://localhost:3000/mcp")),
            settings(Rest("https://h/api")),
            settings(Rest("http://h/api", openapi="https://h/openapi.json")),
            settings(None, "ssl:443:privateKey=key.pem"),
        ],
    )
    def test_needed(self, needing: Settings) -> None:
        """It does where it listens with TLS, or a server is reached by it."""
        assert needs_openssl(needing)

    @pytest.mark.parametrize(
        "plain",
        [
            settings(),
            settings(Remote("http://h/mcp")),
            settings(Remote("ws://h/mcp")),
            settings(Daemon(3000, "http://localhost:3000/mcp")),
            settings(Rest("http://h/api", openapi="openapi.json")),
            settings(Container("image")),
            settings(None, "tcp:9101"),
        ],
    )
    def test_not_needed(self, plain: Settings) -> None:
        """Else it goes without 15 MB."""
        assert not needs_openssl(plain)


class LevelTests:
    """The level of the log, as it is named at the start."""

    def test_words(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """An unknown one ends the program with one line that says what is expected, wherever it stands."""
        expected = "expected debug, info, warn, error or critical"
        with pytest.raises(SystemExit, match=f"--log-level: found 'loud'; {expected}"):
            Options().parseOptions(["--log-level", "loud"])
        monkeypatch.setenv("MCPGATEWAY_LOG_LEVEL", "quiet")
        with pytest.raises(SystemExit, match=f"MCPGATEWAY_LOG_LEVEL: found 'quiet'; {expected}"):
            Options().parseOptions([])
