"""``mcpgateway config approve`` with a running gateway: the servers run, and the command says where."""

from __future__ import annotations

import json
import re
import sys
import urllib.request
from pathlib import Path

import pytest

from tests.support.gateway import BIN, LIMIT_S
from tests.support.user import User

pytestmark = pytest.mark.functional

FIXTURE = ("-I", "-S", str(Path(__file__).parents[1] / "servers" / "fixture.py"))
ENTRY = {"command": sys.executable, "args": list(FIXTURE)}


def test_next_step(tmp_path: Path) -> None:
    """Each printed URL answers the project's clients; the named command enrols the file."""
    with User(tmp_path / "h") as user:
        user.write(".claude.json", json.dumps({"mcpServers": {"web": {**ENTRY, "env": {"A": "b"}}}}))
        file = user.write("shop/.mcp.json", json.dumps({"mcpServers": {"web": ENTRY, "db": ENTRY}}))
        user.mcpgateway("start")
        said = user.mcpgateway("config", "approve", str(file.parent), "--yes")
        found = dict(re.findall(r"^  (\w+): (http\S+)$", said, re.MULTILINE))
        assert found == {"web": f"{user.url}/web-shop/mcp", "db": f"{user.url}/db/mcp"}
        for url in found.values():
            message = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/list"}).encode()
            headers = {"Content-Type": "application/json", "Mcp-Project-Path": str(file.parent)}
            with urllib.request.urlopen(
                urllib.request.Request(url, message, headers), timeout=LIMIT_S
            ) as answer:
                assert "tools" in json.load(answer)["result"]
        assert f"mcpgateway clients apply --project {file.parent} leads the entries" in said
        user.mcpgateway("clients", "apply", "--project", str(file.parent), "--yes")
        done = user.ran(str(BIN / "mcpgateway"), "config", "approve", str(file.parent), "--yes")
        assert (done.returncode, "its entries use the gateway" in " ".join(done.stderr.split())) == (1, True)
