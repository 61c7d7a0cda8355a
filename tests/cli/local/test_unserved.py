"""Hints for servers that a client's file has, and the gateway does not serve."""

from __future__ import annotations

import json
from pathlib import Path

from mcpgateway.cli.local.unserved import found_in_a_file

FILE = {
    "mcpServers": {
        "far": {"type": "http", "url": "https://far.example/mcp"},
        "near": {"command": "python3", "args": ["x.py"]},
        "empty": {},
    }
}


def test_entries(tmp_path: Path) -> None:
    """Each entry has the command that has the gateway serve it, or the reason why it stays; others have no hint."""
    (tmp_path / ".claude.json").write_text(json.dumps(FILE))
    environ = {"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"}

    def hint(name: str) -> str:
        return found_in_a_file(name, str(tmp_path / ".mcp-gateway"), environ)

    assert "mcpgateway clients apply --remote --server far" in hint("far")
    assert "mcpgateway clients apply --server near" in hint("near")
    assert ".claude.json has it" in hint("empty")
    assert hint("other") == ""


def test_broken_file(tmp_path: Path) -> None:
    """A file that cannot be read gives no hint, and no error beside the one that is told."""
    (tmp_path / ".claude.json").write_text("{")
    assert found_in_a_file("far", str(tmp_path / "home"), {"HOME": str(tmp_path)}) == ""
