"""The checks of the configuration and of the programs that it names."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.doctoring import found, ids, is_fine, world, written


def configured(tmp_path: Path, **servers: dict[str, Any]) -> Any:
    """A home with these servers."""
    made = world(tmp_path)
    written(made, "config.json", json.dumps({"servers": servers}))
    return made


class ConfigurationTests:
    """The check that the configuration can be used."""

    def test_good(self, tmp_path: Path) -> None:
        """A configuration without a fault is fine, and its servers are counted."""
        (only,) = found("configuration", configured(tmp_path, x={"command": "sh"}))
        assert only.text == "configuration: 1 server"

    def test_broken(self, tmp_path: Path) -> None:
        """An error names file and line."""
        looked_at = world(tmp_path)
        written(looked_at, "config.json", '{"servers": {"x": {"command": 7}}}')
        (only,) = found("configuration", looked_at)
        assert only.id == "configuration.error"
        assert "config.json, line 1" in only.text

    def test_doubtful(self, tmp_path: Path) -> None:
        """An unknown key is worth a note."""
        looked_at = configured(tmp_path, x={"command": "sh", "commandd": "x"})
        assert ids("configuration", looked_at) == ["configuration.warning", "configuration"]


class CommandTests:
    """The check that the programs of servers exist."""

    def test_there(self, tmp_path: Path) -> None:
        """A program on the PATH, one by its path, and one that is switched off are fine."""
        servers = {
            "x": {"command": "sh"},
            "y": {"command": "/bin/sh"},
            "z": {"command": "no", "enabled": False},
        }
        assert is_fine("commands", configured(tmp_path, **servers))

    def test_missing(self, tmp_path: Path) -> None:
        """A program that is nowhere is named, its arguments are not."""
        (only,) = found("commands", configured(tmp_path, x={"command": "nonesuch", "args": ["secret"]}))
        assert (only.id, only.text) == ("commands.missing", "x: the program nonesuch is not there")

    def test_no_node(self, tmp_path: Path) -> None:
        """A runner is of no use without the program that it needs."""
        runner = tmp_path / "bin" / "npx"
        runner.parent.mkdir()
        runner.write_text("#!/bin/sh\n")
        runner.chmod(0o755)
        server = {"command": "npx", "args": ["x"], "env": {"PATH": str(runner.parent)}}
        assert ids("commands", configured(tmp_path, x=server)) == ["commands.helper"]

    def test_no_directory(self, tmp_path: Path) -> None:
        """A server cannot work where there is no directory."""
        server = {"command": "sh", "cwd": str(tmp_path / "none")}
        assert ids("commands", configured(tmp_path, x=server)) == ["commands.directory"]

    @pytest.mark.parametrize("engine", ["docker", "nonesuch-engine"])
    def test_no_engine(self, tmp_path: Path, engine: str, monkeypatch: pytest.MonkeyPatch) -> None:
        """A container needs an engine."""
        monkeypatch.setenv("PATH", str(tmp_path))
        looked_at = world(tmp_path)
        written(
            looked_at, "config.json", json.dumps({"servers": {"x": {"docker": "image", "engine": engine}}})
        )
        assert "commands.engine" in ids("commands", looked_at)
