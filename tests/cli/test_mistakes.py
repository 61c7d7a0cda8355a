"""Words that people write for others, and the command that each error names."""

from __future__ import annotations

from pathlib import Path

import pytest

from mcpgateway.cli.main import run


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("servers add fs npx -y PKG DIR", ": mcpgateway servers add fs -- npx -y PKG DIR\n"),
        (
            "servers add --share session fs npx -y PKG",
            ": mcpgateway servers add fs -- npx -y PKG; options of this",
        ),
        (
            "servers add clock run-clock --zone UTC",
            ": mcpgateway servers add clock -- run-clock --zone UTC\n",
        ),
        ("servers add fs --bogus http://h", "No such option '--bogus'"),
        (
            'servers add fs {"command":"npx"}',
            """: mcpgateway servers add fs --definition '{"command":"npx"}'\n""",
        ),
        ("restart pg", "Got unexpected extra argument (pg)\n  mcpgateway servers restart pg\n"),
        ("servers list pg", "Got unexpected extra argument (pg)\n  mcpgateway servers get pg\n"),
        ("servers remove a pg", "Got unexpected extra argument (pg)\n  mcpgateway servers remove pg\n"),
        ("clients detect FILE", "Got unexpected extra argument (FILE)\n  mcpgateway clients detect --help\n"),
        ("servers add http://h/mcp", "name the server: mcpgateway servers add NAME http://h/mcp"),
        ("servers add fs -H X:y -- npx", "headers belong to a URL, and a program gets none"),
        ("servers add fs npx", "found 'npx' behind the name; expected a URL, or -- before a command"),
        ("servers add fs localhost:1 -y", "found 'localhost:1' behind the name"),
        ("serve --stdio npx -y PKG", ": mcpgateway serve -- npx -y PKG; options of this command"),
        (
            "servers set pg command /usr/bin/x timeout",
            "write command=VALUE, without a space between the key and its value",
        ),
        ("servers add fs --client nobody -- npx", "no client is called 'nobody'; known are claude-code, "),
        ("token rotate notes", "is given to it by mcpgateway servers set-env notes VARIABLE\n"),
    ],
)
def test_the_command_that_is_meant(
    words: str, says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """An error of usage names the whole command that is meant, and nothing is asked or changed before."""
    assert run(["--home", str(tmp_path / "home"), *words.split()]) == 64
    assert says in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
