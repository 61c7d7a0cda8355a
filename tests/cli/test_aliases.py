"""The command lines of older gateways, in the words of this one."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest

from mcpgateway.cli.aliases import ALIASES, SERVING, meant
from mcpgateway.cli.command_table import COMMANDS
from mcpgateway.cli.commands.serve import serve
from mcpgateway.cli.main import program, run
from mcpgateway.tap import Options


class MeantTests:
    """The words of aliases, and their meaning."""

    @pytest.mark.parametrize(
        ("words", "means"),
        [
            ("show-token --admin", "token show --admin"),
            ("enable-http", "token show --make"),
            ("daemon start --wait 10s", "start --wait 10s"),
            ("--discover --server x", "discover --server x"),
            ("--daemon", "serve --port 8765"),
            ("--daemon --port 9", "serve --port 9"),
            ("--daemon -p=9", "serve -p=9"),
            ("--port 9", "serve --port 9"),
            ("--no-auth --config=/c", "serve --no-auth --config=/c"),
            ("/c.json", "serve --config /c.json"),
            ("/c.json --daemon", "serve --config /c.json --port 8765"),
            ("/c.json --port 9", "serve --config /c.json --port 9"),
            ("/c.json --discover", "with /c.json discover"),
            ("/c.json status", "with /c.json status"),
            ("", ""),
            ("servers list", "servers list"),
            ("daemon", "daemon"),
        ],
    )
    def test_meant(self, words: str, means: str) -> None:
        """An alias is translated into words of this program, and its own words stay as they are."""
        assert meant(words.split(), is_piped=False) == means.split()

    def test_a_file_for_a_client(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A client that starts the alias with a file gets all servers of that file on stdin and stdout."""
        monkeypatch.chdir(tmp_path)
        assert meant(["c.json"], is_piped=True) == ["with", f"{tmp_path}/c.json", "stdio"]

    def test_they_are_there(self) -> None:
        """An alias stands for a command of this program, and is in no list of commands."""
        shown = program.list_commands(program.make_context("mcpgateway", [], resilient_parsing=True))
        for spelled, alias in ALIASES.items():
            assert alias.words[0] in shown
            assert spelled[0] not in shown

    def test_hidden(self, capsys: pytest.CaptureFixture[str]) -> None:
        """No list of commands has any of it, and neither is it offered for what is mistyped."""
        assert run(["help", "--all"]) == 0
        text = capsys.readouterr().out
        assert not any(word in text for word in ("show-token", "--daemon", "marketplace", "enable-http"))
        assert run(["marketplac"]) == 1
        assert "did you mean marketplace" not in capsys.readouterr().err
        assert not [name for name, told in COMMANDS.items() if not told.section and f"  {name} " in text]

    @pytest.mark.parametrize("words", [["daemon"], ["daemon", "--help"], ["daemon", "stats"]])
    def test_daemon(self, words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
        """mcp-ctl's ``daemon`` says which words it has; one that is mistyped is told with the nearest."""
        assert run(words) == (0 if words[-1] == "--help" else 1)
        said = "".join(capsys.readouterr())
        assert "did you mean daemon status?" in said if words[-1] == "stats" else "restart" in said


class ServeTests:
    """The gateway in the foreground."""

    @pytest.mark.parametrize("words", [["serve", "--help"], ["serve", "-h"], ["--port", "1", "--help"]])
    def test_help(self, words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
        """The help of ``serve`` names its options, and starts nothing."""
        assert run(words) == 0
        text = capsys.readouterr().out
        assert "mcpgateway serve" in text
        assert all(each in text for each in ("--config", "--env-file", "--no-auth", "--log-level"))

    @pytest.mark.parametrize("words", [["serve", "--version"], ["--version"]])
    def test_version(self, words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
        """The version of ``serve`` is that of the release."""
        assert run(words) == 0
        assert capsys.readouterr().out.startswith("mcpgateway ")

    @pytest.mark.parametrize(
        ("words", "said"),
        [
            (["serve", "--bogus"], "No such option '--bogus'"),
            (["serve", "--demo=1"], "--demo"),
            (["serve", "x.json"], "takes options only, and not x.json"),
            (["serve", "-p"], "'-p' requires an argument"),
            (["--config"], "'--config' requires an argument"),
            (["--port", "1", "--bogus"], "No such option '--bogus'"),
        ],
    )
    def test_mistyped(self, words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
        """An option that the gateway does not take is refused in one line, under this program's name."""
        assert run(words) == 1
        text = capsys.readouterr().err
        assert said in text
        assert text.startswith("mcpgateway: ")
        assert text.count("\n") == 1

    def test_the_options_are_those_of_the_daemon(self) -> None:
        """The options in the help are those of the daemon, beside those of all commands."""
        told = {word for each in serve.params for word in each.opts if word.startswith("--")}
        taken = {f"--{each.rstrip('=')}" for each in Options().longOpt}
        assert told - {"--version"} == taken - {"--help", "--version", "--home"}
        assert {each for each in SERVING if each.startswith("--")} <= told


class MarketplaceTests:
    """Leftovers of mcp-ctl in the plugins of Claude Code."""

    def test_cleanup(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """Old copies of marketplaces go; young ones, others and links stay."""
        old = time.time() - 8 * 86_400
        for name in ("a.bak", "young.bak", "a"):
            (tmp_path / name / "x").mkdir(parents=True)
        (tmp_path / "link.bak").symlink_to(tmp_path / "a")
        for name in ("a.bak", "a"):
            os.utime(tmp_path / name, (old, old))
        words = ["--json", "marketplace", "cleanup", "--root", str(tmp_path)]
        assert run([*words, "--dry-run"]) == 0
        assert json.loads(capsys.readouterr().out)["stale"] == [str(tmp_path / "a.bak")]
        assert (tmp_path / "a.bak").is_dir()
        assert run(words) == 0
        assert json.loads(capsys.readouterr().out)["removed"] == [str(tmp_path / "a.bak")]
        assert sorted(each.name for each in tmp_path.iterdir()) == ["a", "link.bak", "young.bak"]
        assert run(words[1:]) == 0
        assert "nothing to remove" in capsys.readouterr().out
