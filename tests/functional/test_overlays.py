"""Overlays in a gateway that runs: a client's server is changed by commands, and its file stays byte for byte."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from mcp import Client

from tests.functional.test_servers_cli import ran
from tests.support.gateway import LIMIT_S, Gateway, eventually, server

pytestmark = pytest.mark.functional

FIXTURE = (sys.executable, "-I", "-S", str(Path(__file__).parents[1] / "servers" / "fixture.py"))
FILE = json.dumps({"numStartups": 3, "mcpServers": {"fx": server(FIXTURE, env={"TOKEN": "old-s3cret"})}})


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[Gateway]:
    """A gateway that serves a client's file, without entries of its own."""
    running = Gateway(tmp_path)
    running.source.write_text(FILE)
    with running:
        yield running
    assert "s3cret" not in running.log


def token(gateway: Gateway) -> str:
    """Ask the server for the value of its variable, as a client does."""

    async def asked() -> Any:
        async with Client(f"{gateway.url}/fx/mcp") as client:
            return await client.call_tool("env", {"name": "TOKEN"})

    return str(asyncio.run(asyncio.wait_for(asked(), LIMIT_S)))


class RotationTests:
    def test_a_token(self, gateway: Gateway) -> None:
        """One command gives a running server of a client's file another token; taking it out restores the file's."""
        assert "old-s3cret" in token(gateway)
        code, out, err = ran(gateway.home, "set-env", "fx", "TOKEN=-", stdin="new-s3cret\n")
        assert (code, "s3cret" in out + err) == (0, False)
        assert "new-s3cret" in token(gateway)
        assert gateway.source.read_text() == FILE
        assert ran(gateway.home, "unset-env", "fx", "TOKEN")[0] == 0
        assert "old-s3cret" in token(gateway)

    def test_by_hand(self, gateway: Gateway) -> None:
        """An overlay that is written by hand counts without a command; one over no server is reported."""
        gateway.config.write_text(json.dumps({"servers": {"fx": {"disabled": True}, "fy": {"timeout": 5}}}))
        eventually(lambda: gateway.backend("fx")["status"] == "disabled", "the server is switched off")
        assert "lies over no server" in gateway.log
        assert ran(gateway.home, "enable", "fx")[0] == 0
        eventually(lambda: gateway.backend("fx")["status"] != "disabled", "the server is switched on")
        assert gateway.source.read_text() == FILE

    def test_remove(self, gateway: Gateway) -> None:
        """A removed server of a client's file is switched off, and its entry stays."""
        assert ran(gateway.home, "remove", "fx")[0] == 1
        code, out, _ = ran(gateway.home, "remove", "fx", "--yes")
        assert (code, out.splitlines()[0]) == (0, "fx is switched off; its own entry stays.")
        assert gateway.backend("fx")["status"] == "disabled"
        assert gateway.source.read_text() == FILE
