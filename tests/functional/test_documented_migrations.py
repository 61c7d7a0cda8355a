"""The pages for those who come from other gateways: their commands run over configurations of those gateways."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.pages import DOCS, commands
from tests.support.ports import free_port
from tests.support.user import User

PAGES = DOCS / "howto" / "migrate"
CLOCK = [sys.executable, "-m", "mcpgateway.demo.clock"]
STDIO: dict[str, Any] = {"command": CLOCK[0], "args": CLOCK[1:]}
OWN = ".mcp-gateway/config"
OTHERS = {"immorterm-mcp-gateway stop"}  # the program of the other gateway

pytestmark = pytest.mark.functional


def immorterm(user: User) -> None:
    """Write a client's file and the classification of immorterm-mcp-gateway."""
    user.write(".claude.json", json.dumps({"mcpServers": {"clock": {"type": "stdio", **STDIO}}}))
    user.write(".immorterm/mcp-gateway/classification.json", json.dumps({"clock": {"mode": "stateful"}}))


def klipide(user: User) -> None:
    """Write a configuration with profiles and workspaces, as JSON, which is YAML too."""
    profile = {"capabilities": ["time"], "servers": {"clock": {**STDIO, "scope": "global"}}}
    text = {
        "profiles": {"office": profile},
        "workspaces": {"shop": {"path": str(user.work), "profiles": ["office"]}},
    }
    user.write(f"{OWN}.yaml", json.dumps(text))


def session_manager(user: User) -> None:
    """Write a list of daemons."""
    port = free_port()
    user.write(f"{OWN}.json", json.dumps([{"name": "clock", **STDIO, "port": port, "transport": "http"}]))


def mcp_ctl(user: User) -> None:
    """Write a configuration with a gateway and its servers."""
    text = {"gateway": {"compress_schemas": True}, "servers": {"clock": {**STDIO, "env": ["A=b"]}}}
    user.write(f"{OWN}.json", json.dumps(text))


def harshal(user: User) -> None:
    """Write a map of servers."""
    text = {"clock": {"type": "local", "command": CLOCK, "lazy": {"enabled": True}}}
    user.write(".config/harshal-mcp-proxy/config.json", json.dumps(text))


GATEWAYS = {
    "immorterm": immorterm,
    "klipide": klipide,
    "session-manager": session_manager,
    "mcp-ctl": mcp_ctl,
    "harshal": harshal,
}


class MovingTests:
    """The section "Moving" of each page."""

    def test_every_page(self) -> None:
        """Each page is tried; `tests.functional.test_serve_one` tries that of programs without a configuration."""
        assert {page.stem for page in PAGES.glob("*.rst")} == {*GATEWAYS, "index", "stdio-proxies"}

    @pytest.mark.parametrize("name", GATEWAYS)
    def test_commands(self, name: str, tmp_path: Path) -> None:
        """The gateway finds no error in the other gateway's configuration, starts, and serves its server."""
        typed = [each for each in commands(PAGES / f"{name}.rst") if each not in OTHERS]
        assert "mcpgateway start" in typed
        with User(tmp_path / "h") as user:
            # The port is in a file of its own, since the other gateway's takes the place of the gateway's.
            (user.gateway_home / "config.yaml").rename(user.gateway_home / "config.local.yaml")
            GATEWAYS[name](user)
            for command in typed:
                done = user.ran("sh", "-euc", command)
                assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}\n{user.log}"
                assert "config check" not in command or "no errors" in done.stdout
            assert user.serves("clock")
            user.mcpgateway("stop")
