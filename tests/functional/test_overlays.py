"""Overlays in a gateway that runs: a client's server is changed by commands, and its file stays byte for byte."""

from __future__ import annotations

import asyncio
import json
import stat
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from mcp import Client

from tests.functional.test_servers_cli import ran
from tests.support import forkserver
from tests.support.gateway import BIN, LIMIT_S, Gateway, eventually, server

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


def in_project(gateway: Gateway, project: Path) -> str:
    """Ask the project's own server for the value of its variable, as a client without a session does there."""
    params = {"name": "env", "arguments": {"name": "TOKEN"}}
    message = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
    headers = {"Content-Type": "application/json", "Mcp-Project-Path": str(project)}
    request = urllib.request.Request(f"{gateway.url}/repo/mcp", json.dumps(message).encode(), headers)
    try:
        with urllib.request.urlopen(request, timeout=LIMIT_S) as answer:
            return str(answer.read())
    except urllib.error.HTTPError as why:
        return str(why.read())


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
        values = gateway.home / ".env"
        assert values.read_text() == '# for the server fx\nFX_TOKEN="new-s3cret"\n'
        assert stat.S_IMODE(values.stat().st_mode) == 0o600
        entry = gateway.config.read_text()
        assert ("s3cret" in entry, "${FX_TOKEN}" in entry) == (False, True)
        code, out, err = ran(gateway.home, "set-env", "fx", "TOKEN=-", "PLAIN=word", stdin="next-s3cret\n")
        assert (code, "as FX_TOKEN" in out, "process is replaced" in out) == (0, True, True), err
        assert "next-s3cret" in token(gateway)
        assert values.read_text() == '# for the server fx\nFX_TOKEN="next-s3cret"\n'
        assert '"word"' in gateway.config.read_text()
        assert ran(gateway.home, "unset-env", "fx", "PLAIN")[0] == 0
        assert json.loads(gateway.config.read_text()) == json.loads(entry)
        code, out, _ = ran(gateway.home, "set-env", "fx", "TOKEN=-", stdin="last-s3cret\n")
        assert (code, "env.TOKEN: its process is replaced" in out) == (0, True), out
        assert "last-s3cret" in token(gateway)
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
        assert (code, "fx is switched off, not removed: its entry stays in" in out) == (0, True)
        assert "mcpgateway servers enable fx switches it on again." in " ".join(out.split())
        assert gateway.backend("fx")["status"] == "disabled"
        assert gateway.source.read_text() == FILE

    def test_a_project(self, gateway: Gateway, tmp_path: Path) -> None:
        """A server of an approved project's file, which no client's file leads to, is changed in the same way."""
        project = tmp_path / "project"
        (project / ".git").mkdir(parents=True)
        file = project / ".mcp.json"
        text = json.dumps({"mcpServers": {"repo": server(FIXTURE, env={"TOKEN": "old-s3cret"})}})
        file.write_text(text)
        assert ran(gateway.home, "set", "repo", "timeout=30s")[0] == 1  # not approved
        path = str(file)
        done = forkserver.ran(
            [BIN / "mcpgateway", "--home", gateway.home, "config", "approve", "--yes", path]
        )
        assert done.returncode == 0, done.stderr
        eventually(lambda: "old-s3cret" in in_project(gateway, project), "the approval counts")
        code, out, err = ran(gateway.home, "set-env", "repo", "TOKEN=-", stdin="new-s3cret\n")
        assert (code, "s3cret" in out + err) == (0, False), err
        assert "new-s3cret" in in_project(gateway, project)
        assert ran(gateway.home, "set", "repo", "timeout=30s")[0] == 0
        assert "timeout=30s" in ran(gateway.home, "get", "repo")[1]
        code, out, err = ran(gateway.home, "edit", "repo", EDITOR="sed -i s/30s/40s/")
        assert (code, "timeout: counts " in out) == (0, True), (out, err)
        assert "timeout=40s" in ran(gateway.home, "get", "repo")[1]
        assert "lies over no server" not in gateway.log
        assert ran(gateway.home, "disable", "repo")[0] == 0
        assert "repo is disabled" in in_project(gateway, project)
        assert ran(gateway.home, "enable", "repo")[0] == 0
        assert ran(gateway.home, "unset-env", "repo", "TOKEN")[0] == 0
        assert "old-s3cret" in in_project(gateway, project)
        assert file.read_text() == text
