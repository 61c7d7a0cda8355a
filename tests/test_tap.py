"""Libraries and modules that the service maker leaves out of the process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from mcpgateway.config.gateway_settings import GatewaySettings
from mcpgateway.config.model import ServerSpec
from mcpgateway.config.reach_settings import Container, Daemon, Remote, Rest
from mcpgateway.config.settings import Settings
from mcpgateway.tap import Options, needs_openssl

# A gateway that listens, and ends after it has named its modules.
IDLE = """
import os, sys
from mcpgateway.tap import Options, makeService

options = Options()
options.parseOptions(sys.argv[1:])
service = makeService(options)
from twisted.internet import reactor

def tell():
    print(*(name for name, module in sys.modules.items() if module), flush=True)
    os._exit(0)

service.startService()
reactor.callLater(0, tell)
reactor.run()
"""
LIBRARIES = {
    "attr",
    "attrs",
    "constantly",
    "httptools",
    "incremental",
    "msgspec",
    "twisted",
    "typing_extensions",
    "zope",
}
# Packages and modules for requests, servers and settings that a gateway may never have.
LATER = (
    "mcpgateway.backends.daemon",
    "mcpgateway.backends.http",
    "mcpgateway.backends.oauth",
    "mcpgateway.backends.rest",
    "mcpgateway.backends.streamable",
    "mcpgateway.cli",
    "mcpgateway.clientfiles.apply",
    "mcpgateway.clientfiles.formats",
    "mcpgateway.clientfiles.machine",
    "mcpgateway.credentials",
    "mcpgateway.demo",
    "mcpgateway.frontends.http.metrics",
    "mcpgateway.frontends.http.modern",
    "mcpgateway.frontends.manhole",
    "mcpgateway.frontends.rest",
    "mcpgateway.hub.bridge",
    "mcpgateway.hub.modern_dispatch",
    "mcpgateway.manage.tools",
    "mcpgateway.owntools",
    "mcpgateway.truncation",
    "mcpgateway.views.registry",
    "twisted.conch",
    "twisted.internet.endpoints",
    "twisted.internet.ssl",
    "twisted.web",
)


def settings(reach: Any = None, *listen: str) -> Settings:
    """Settings with one server, reached like this."""
    return Settings(GatewaySettings(listen=listen), (ServerSpec("one", ("run",), {}, "/", reach=reach),))


class OpenSslTests:
    """Gateways that need OpenSSL."""

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
        """A gateway needs OpenSSL where it listens with TLS, or reaches a server by it."""
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


class IdleTests:
    """The modules of a gateway that listens and has got no request."""

    def test_imported(self, tmp_path: Path) -> None:
        """An idle gateway has imported few libraries, and no module for some requests, servers or settings only."""
        config, source = tmp_path / "servers.json", tmp_path / "claude.json"
        config.write_text(json.dumps({"servers": {"echo": {"command": "cat"}}}), encoding="utf-8")
        source.write_text("{}", encoding="utf-8")
        words = [
            "--port",
            "0",
            "--home",
            f"{tmp_path}/home",
            "--config",
            str(config),
            "--source",
            str(source),
        ]
        environ = {"HOME": str(tmp_path), "PATH": os.environ["PATH"]}
        ran = subprocess.run(
            [sys.executable, "-c", IDLE, *words],
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
            env=environ,
        )
        modules = set(ran.stdout.split())
        others = {each.partition(".")[0] for each in modules} - sys.stdlib_module_names - {"mcpgateway"}
        libraries = {each for each in others if not each.startswith("_") and "cython" not in each}
        assert libraries - LIBRARIES == set()
        assert {
            each for each in modules if f"{each}.".startswith(tuple(f"{late}." for late in LATER))
        } == set()
        assert "mcpgateway.app.daemon" in modules

    @pytest.mark.parametrize("name", LATER)
    def test_exists(self, name: str) -> None:
        """The modules that it has not imported exist under these names."""
        assert find_spec(name)
