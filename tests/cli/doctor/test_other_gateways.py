"""Other gateways, and servers that run twice."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcpgateway.cli.doctor.context import UserProcess
from mcpgateway.cli.doctor.other_gateways import essence
from mcpgateway.system.process.socket_owners import PortHolder
from tests.support.doctoring import answers, found, ids, is_fine, world, written

TWISTD = ("python", "/venv/bin/twistd", "-n", "mcpgateway")


def seen(
    tmp_path: Path, *programs: UserProcess, holders: dict[int, PortHolder] | None = None, **parts: Any
) -> Any:
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
        ours = UserProcess(5, 1, (*TWISTD, "--home", home))
        assert is_fine(
            "gateways",
            seen(tmp_path, ours, UserProcess(6, 1, ("vi", "mcpgateway")), UserProcess(7, 1, TWISTD)),
        )

    @pytest.mark.parametrize(
        ("program", "words"),
        [
            (UserProcess(5, 1, (*TWISTD, "--home", "/other")), "/other"),
            (UserProcess(5, 1, (*TWISTD, "--home=/other")), "/other"),
            (UserProcess(5, 1, TWISTD, home="/other"), "/other"),
            (UserProcess(5, 1, ("node", "/x/bin/immorterm-mcp-gateway", "start")), "immorterm-mcp-gateway"),
            (UserProcess(5, 1, ("/usr/bin/mcp-gateway",)), "mcp-gateway"),
            (UserProcess(5, 1, ("node", "/x/mcp-manager", "--start-all")), "mcp-manager"),
        ],
    )
    def test_another(self, tmp_path: Path, program: UserProcess, words: str) -> None:
        """A gateway of another home, and each of the other kinds, is named with its process."""
        (only,) = found("gateways", seen(tmp_path, program))
        assert only.id == "gateways.another"
        assert words in only.text
        assert "pid 5" in only.text

    def test_a_port(self, tmp_path: Path) -> None:
        """A port where such a gateway would be is told of, once for each process."""
        looked_at = seen(tmp_path, holders={8765: PortHolder(9, "thing", 0)})
        assert ids("gateways", looked_at) == ["gateways.port"]
        known = seen(
            tmp_path,
            UserProcess(9, 1, ("/usr/bin/mcp-gateway",)),
            holders={8765: PortHolder(9, "mcp-gateway", 0)},
        )
        assert ids("gateways", known) == ["gateways.another"]


class DuplicateTests:
    """Servers that clients run although the gateway serves them."""

    def served(self, tmp_path: Path, *programs: UserProcess) -> Any:
        """A gateway that serves one server, while these processes run."""
        made = seen(tmp_path, *programs, socket=answers())
        server = {"command": "npx", "args": ["-y", "@acme/mcp-files@1.2", "/data"]}
        written(made, "config.json", json.dumps({"servers": {"files": server}}))
        return made

    def test_none(self, tmp_path: Path) -> None:
        """The gateway's own children, programs with other arguments, and the runner itself are no duplicates."""
        started = UserProcess(5, 1, ("node", "/x/mcp-files", "/data"), is_of_gateway=True)
        other = UserProcess(6, 1, ("node", "/x/mcp-files", "/elsewhere"))
        runner = UserProcess(7, 1, ("npx", "-y", "@acme/mcp-files@1.2", "/data"))
        assert is_fine("duplicates", self.served(tmp_path, started, other, runner))

    def test_one(self, tmp_path: Path) -> None:
        """The same server, started by a client, is named with its process, and without its arguments."""
        (only,) = found(
            "duplicates", self.served(tmp_path, UserProcess(5, 1, ("node", "/x/.bin/mcp-files", "/data")))
        )
        assert only.id == "duplicates.running"
        assert only.text == "files also runs outside the gateway: a process (pid 5)"

    def test_a_common_name(self, tmp_path: Path) -> None:
        """A package whose own name says nothing is told by its scope: not everything with "mcp" in its path is it."""
        package = tmp_path / "node_modules" / "@acme" / "mcp" / "cli.js"
        package.parent.mkdir(parents=True)
        package.write_text("")
        link = tmp_path / "node_modules" / ".bin" / "acme-mcp"
        link.parent.mkdir()
        link.symlink_to(package)
        others = [
            UserProcess(5, 1, ("python3", "/home/me/mcpgateway/tool.py")),
            UserProcess(6, 1, ("/usr/bin/mcp",)),
            UserProcess(7, 1, ("node", "/x/node_modules/@other/mcp/cli.js")),
        ]
        mine = UserProcess(8, 1, ("node", str(link)))

        def looked_at(*programs: UserProcess) -> Any:
            made = seen(tmp_path, *programs, socket=answers())
            server = {"command": "npx", "args": ["@acme/mcp@latest"]}
            written(made, "config.json", json.dumps({"servers": {"acme": server}}))
            return made

        assert is_fine("duplicates", looked_at(*others))
        (only,) = found("duplicates", looked_at(*others, mine))
        assert only.text == "acme also runs outside the gateway: a process (pid 8)"

    @given(st.lists(st.text(min_size=1), min_size=1).map(tuple))
    def test_any_command(self, command: tuple[str, ...]) -> None:
        """The essence of any command can be found, and is the same behind a runner."""
        assert essence(("npx", "-y", *command)) == essence(command)


class ProgramTests:
    """The programs that this package's names lead to."""

    def looked_at(self, tmp_path: Path, text: str) -> Any:
        """A machine whose PATH has one program, of that text."""
        path = tmp_path / "bin" / "mcp-gateway"
        path.parent.mkdir()
        path.write_text(text)
        path.chmod(0o755)
        made = seen(tmp_path)
        made.environ = {**made.environ, "PATH": str(path.parent)}
        return made

    def test_ours(self, tmp_path: Path) -> None:
        """A script of this package is, whichever installation it belongs to."""
        script = "#!/x/python\nfrom mcpgateway.cli.entry import main\nmain()\n"
        assert is_fine("programs", self.looked_at(tmp_path, script))

    def test_another_package(self, tmp_path: Path) -> None:
        """Another program of that name is named with its place."""
        (only,) = found("programs", self.looked_at(tmp_path, "#!/bin/sh\n"))
        assert only.id == "programs.foreign"
        assert f"{tmp_path}/bin/mcp-gateway" in only.text

    def test_known_package(self, tmp_path: Path) -> None:
        """A program of the package that `namesakes` knows is told there and not here."""
        program = tmp_path / "theirs" / "bin" / "mcpgateway"
        program.parent.mkdir(parents=True)
        program.write_text("#!/bin/sh\n")
        program.chmod(0o755)
        (tmp_path / "theirs/lib/python3/site-packages/mcp_contextforge_gateway-1.0.dist-info").mkdir(
            parents=True
        )
        made = seen(tmp_path)
        made.environ = {**made.environ, "PATH": str(program.parent)}
        assert found("programs", made) == []
        assert [each.id for each in found("namesakes", made)] == ["namesakes.program"]
