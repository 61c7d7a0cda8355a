"""The texts say what the program does."""

from __future__ import annotations

import os
import re
from pathlib import Path

import click
import pytest

from mcpgateway.cli.instructions import files
from mcpgateway.cli.instructions.texts import READERS, instructions, setup
from mcpgateway.cli.main import program
from mcpgateway.errors import ConfigError

TEXTS = {"instructions": instructions(9123), "setup": setup()}


def commands_in(text: str) -> set[str]:
    """The commands that a text names."""
    return {" ".join(each.split()) for each in re.findall(r"`mcpgateway ([^`]+)`", text)}


class TextTests:
    """The texts for agents."""

    @pytest.mark.parametrize("name", TEXTS)
    def test_every_command_is_there(self, name: str) -> None:
        """Each command that a text names can be given, with its options."""
        for line in commands_in(TEXTS[name]):
            words = [each for each in line.split() if each not in ("--", "COMMAND")]
            command: click.Command | None = program
            context = program.make_context("mcpgateway", [], resilient_parsing=True)
            for word in [each for each in words if not each.startswith("-")]:
                assert isinstance(command, click.Group), line
                command = command.get_command(context, word)
                assert command is not None, line

    def test_the_port(self) -> None:
        """The port is the one of this gateway, everywhere."""
        assert set(re.findall(r"localhost:(\S+?)[/`]", TEXTS["instructions"])) == {"9123"}
        assert "{" not in TEXTS["instructions"]

    @pytest.mark.parametrize("name", TEXTS)
    def test_it_is_short(self, name: str) -> None:
        """The text that every session pays for stays below 600 words."""
        assert len(TEXTS[name].split()) < 600


class FileTests:
    """Putting the text into files."""

    def test_in_and_out(self, tmp_path: Path) -> None:
        """A file keeps its mode and its bytes; a second time nothing is written."""
        path = tmp_path / "CLAUDE.md"
        path.write_bytes(b"# Mine\r\n\xff")
        path.chmod(0o640)
        assert files.write(str(path), "text")
        before = path.stat().st_ino
        assert not files.write(str(path), "text")
        assert (path.stat().st_ino, path.stat().st_mode & 0o777) == (before, 0o640)
        assert not files.remove(str(path))
        assert path.read_bytes() == b"# Mine\r\n\xff"

    @pytest.mark.parametrize("name", READERS)
    def test_a_new_file(self, tmp_path: Path, name: str) -> None:
        """A file that was made, with the directories above it, is gone again."""
        reader = READERS[name]
        path = tmp_path / reader.file
        assert files.write(str(path), "text", reader.front)
        assert path.read_text().startswith(reader.front or "<!-- mcpgateway")
        assert files.remove(str(path), reader.front)
        assert not path.exists()

    def test_a_link(self, tmp_path: Path) -> None:
        """A link stays a link."""
        (tmp_path / "AGENTS.md").write_text("a\n")
        link = tmp_path / "CLAUDE.md"
        link.symlink_to("AGENTS.md")
        files.write(str(link), "text")
        assert link.is_symlink()
        assert "text" in (tmp_path / "AGENTS.md").read_text()

    def test_refusals(self, tmp_path: Path) -> None:
        """A failure is reported with the file's name."""
        with pytest.raises(ConfigError, match="no such file"):
            files.remove(str(tmp_path / "none"))
        (tmp_path / "x").write_text("a")
        with pytest.raises(ConfigError, match="x: there is nothing"):
            files.remove(str(tmp_path / "x"))
        os.mkfifo(tmp_path / "fifo")
        with pytest.raises(ConfigError, match="not a regular file"):
            files.write(str(tmp_path / "fifo"), "text")
        with pytest.raises(ConfigError, match="cannot be written"):
            files.write(str(tmp_path / "x" / "y"), "text")
