"""The remedy for a program that is not there, for PATHs with programs of the test."""

from __future__ import annotations

from pathlib import Path

import pytest

from mcpgateway.system.launch.missing import is_slip, remedy


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    """The variables of a server, with some programs on its PATH."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("npx", "uvx", "node", "docker", "python3", "mcp-server-time", "my-notes"):
        (folder / name).write_text("#!/bin/sh\n")
        (folder / name).chmod(0o755)
    (folder / "notes.txt").write_text("")
    return {"PATH": str(folder), "HOME": str(tmp_path)}


class SlipTests:
    """Names that are mistyped."""

    @pytest.mark.parametrize(
        ("typed", "name"),
        [("npxx", "npx"), ("nxp", "npx"), ("npz", "npx"), ("dockr", "docker"), ("nodejs", "node")],
    )
    def test_one(self, typed: str, name: str) -> None:
        """One letter too many, too few, another one, or two swapped."""
        assert is_slip(typed, name)
        assert is_slip(name, typed)

    @pytest.mark.parametrize(
        ("typed", "name"),
        [("mcp-server-git", "mcp-server-time"), ("docker-mcp", "docker"), ("sh", "npx"), ("abc", "xyz")],
    )
    def test_none(self, typed: str, name: str) -> None:
        """Names of other programs are no slips, though much of them is alike."""
        assert not is_slip(typed, name)


class RemedyTests:
    """The remedy, and its command."""

    @pytest.mark.parametrize(
        ("program", "meant"),
        [
            ("npxx", "npx"),
            ("nxp", "npx"),
            ("dockr", "docker"),
            ("python", "python3"),
            ("my-ntoes", "my-notes"),
        ],
    )
    def test_a_slip(self, env: dict[str, str], program: str, meant: str) -> None:
        """The program that is meant is named, with the command that corrects the entry, where the command stands."""
        found = remedy(program, env, "/", "a b")
        assert found == (
            f"did you mean {meant}? Correct the entry",
            f"mcpgateway servers set 'a b' command={meant}",
        )
        of_client = remedy(program, env, "/", "x", is_of_client=True)
        assert of_client.run == f"mcpgateway servers set x command={meant} --original"

    def test_no_entry(self, env: dict[str, str]) -> None:
        """A command that no configuration has is not corrected by a command."""
        assert remedy("npxx", env, "/") == ("did you mean npx?", "")
        assert remedy("nosuch", env, "/").run == ""

    @pytest.mark.parametrize("program", ["bunx", "mcp-server-git", "notes-txt", "x"])
    def test_no_slip(self, env: dict[str, str], program: str) -> None:
        """A program that is spelled right is to be installed; a file that is no program is none."""
        found = remedy(program, env, "/", "x")
        assert found.do.startswith("install ")
        assert found.run == "mcpgateway servers edit x"

    def test_a_path(self, env: dict[str, str]) -> None:
        """A path is corrected to a program beside it, or to the program of that name on the PATH."""
        assert remedy(f"{env['PATH']}/npxx", env, "/").do == f"did you mean {env['PATH']}/npx?"
        assert remedy("./my-nots", env, env["PATH"]).do == "did you mean ./my-notes?"
        assert remedy("/no/such/bin/npx", env, "/").do == "did you mean npx?"
        assert (
            remedy("/opt/bun", env, "/", "x").do == "install Bun there, or put the right path into the entry"
        )
        assert (
            remedy("/opt/bun", env, "/").do
            == "install Bun, or name it by its path, which the shell's command -v bun prints"
        )

    def test_a_path_of_an_earlier_start(self, env: dict[str, str], tmp_path: Path) -> None:
        """A program that was installed since where those of users usually are needs a restart, and no other name."""
        place = tmp_path / ".local" / "bin"
        place.mkdir(parents=True)
        (place / "npxx").write_text("#!/bin/sh\n")
        (place / "npxx").chmod(0o755)
        found = remedy("npxx", env, "/", "x")
        assert found.run == "mcpgateway restart"
        assert f"npxx is in {place}, which the gateway's PATH lacks" in found.do
