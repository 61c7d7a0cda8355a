"""Other gateways, and servers that run twice."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcpgateway.local.doctor.listening import Holder
from mcpgateway.local.doctor.neighbours import essence
from mcpgateway.local.doctor.processes import Program
from tests.support.doctoring import answers, found, ids, is_fine, world, written

TWISTD = ("python", "/venv/bin/twistd", "-n", "mcpgateway")


def seen(tmp_path: Path, *programs: Program, holders: dict[int, Holder] | None = None, **parts: Any) -> Any:
    """A world in which these processes run and listen."""
    held = holders or {}
    return world(
        tmp_path, programs=programs, holders=lambda port: [held[port]] if port in held else [], **parts
    )


class GatewayTests:
    """Other gateways on this machine."""

    def test_none(self, tmp_path: Path) -> None:
        """Our own gateway, and programs of other kinds, are no other gateways."""
        home = str(tmp_path / "user" / ".mcp-gateway")
        ours = Program(5, 1, (*TWISTD, "--home", home))
        assert is_fine(
            "gateways", seen(tmp_path, ours, Program(6, 1, ("vi", "mcpgateway")), Program(7, 1, TWISTD))
        )

    @pytest.mark.parametrize(
        ("program", "words"),
        [
            (Program(5, 1, (*TWISTD, "--home", "/other")), "/other"),
            (Program(5, 1, (*TWISTD, "--home=/other")), "/other"),
            (Program(5, 1, TWISTD, home="/other"), "/other"),
            (Program(5, 1, ("node", "/x/bin/immorterm-mcp-gateway", "start")), "immorterm-mcp-gateway"),
            (Program(5, 1, ("/usr/bin/mcp-gateway",)), "mcp-gateway"),
            (Program(5, 1, ("node", "/x/mcp-manager", "--start-all")), "mcp-manager"),
        ],
    )
    def test_another(self, tmp_path: Path, program: Program, words: str) -> None:
        """A gateway of another home, and each of the other kinds, is named with its process."""
        (only,) = found("gateways", seen(tmp_path, program))
        assert only.id == "gateways.another"
        assert words in only.text
        assert "pid 5" in only.text

    def test_a_port(self, tmp_path: Path) -> None:
        """A port where such a gateway would be is told of, once for each process."""
        looked_at = seen(tmp_path, holders={8765: Holder(9, "thing", 0)})
        assert ids("gateways", looked_at) == ["gateways.port"]
        known = seen(
            tmp_path, Program(9, 1, ("/usr/bin/mcp-gateway",)), holders={8765: Holder(9, "mcp-gateway", 0)}
        )
        assert ids("gateways", known) == ["gateways.another"]


class DuplicateTests:
    """Servers that clients run although the gateway serves them."""

    def served(self, tmp_path: Path, *programs: Program) -> Any:
        """A gateway that serves one server, while these processes run."""
        made = seen(tmp_path, *programs, socket=answers())
        server = {"command": "npx", "args": ["-y", "@acme/mcp-files@1.2", "/data"]}
        written(made, "config.json", json.dumps({"servers": {"files": server}}))
        return made

    def test_none(self, tmp_path: Path) -> None:
        """What the gateway has started, what has other arguments, and the runner itself are no duplicates."""
        started = Program(5, 1, ("node", "/x/mcp-files", "/data"), is_of_gateway=True)
        other = Program(6, 1, ("node", "/x/mcp-files", "/elsewhere"))
        runner = Program(7, 1, ("npx", "-y", "@acme/mcp-files@1.2", "/data"))
        assert is_fine("duplicates", self.served(tmp_path, started, other, runner))

    def test_one(self, tmp_path: Path) -> None:
        """The same server, started by a client, is named with its process, and without its arguments."""
        (only,) = found(
            "duplicates", self.served(tmp_path, Program(5, 1, ("node", "/x/.bin/mcp-files", "/data")))
        )
        assert only.id == "duplicates.running"
        assert only.text == "files also runs outside the gateway: a process (pid 5)"

    @given(st.lists(st.text(min_size=1), min_size=1).map(tuple))
    def test_any_command(self, command: tuple[str, ...]) -> None:
        """Whatever a command is, its essence can be told, and is the same behind a runner."""
        assert essence(("npx", "-y", *command)) == essence(command)
