"""The command lines of older gateways, in the words of this one."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mcpgateway.cli.aliases import ALIASES, MERGED, SERVING, meant
from mcpgateway.cli.command_table import COMMANDS
from mcpgateway.cli.commands.running.serve import serve
from mcpgateway.cli.main import program, run
from mcpgateway.tap import Options
from tests.support.ports import free_port


class MeantTests:
    """The words of aliases, and their meaning."""

    @pytest.mark.parametrize(
        ("words", "means"),
        [
            ("show-token --admin", "token show --admin"),
            ("enable-http", "token show --make"),
            ("daemon start --wait 10s", "start --wait 10s"),
            ("--discover --server x", "tools refresh --server x"),
            ("--daemon", "serve --port 8765"),
            ("--daemon --port 9", "serve --port 9"),
            ("--daemon -p=9", "serve -p=9"),
            ("--port 9", "serve --port 9"),
            ("--no-auth --config=/c", "serve --no-auth --config=/c"),
            ("/c.json", "serve --config /c.json"),
            ("/c.json --daemon", "serve --config /c.json --port 8765"),
            ("/c.json --port 9", "serve --config /c.json --port 9"),
            ("/c.json --discover", "with /c.json tools refresh"),
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
        assert run(["marketplac"]) == 64
        assert "did you mean marketplace" not in capsys.readouterr().err
        assert not [name for name, told in COMMANDS.items() if not told.section and f"  {name} " in text]

    @pytest.mark.parametrize("words", [["daemon"], ["daemon", "--help"], ["daemon", "stats"]])
    def test_daemon(self, words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
        """mcp-ctl's ``daemon`` says which words it has; one that is mistyped is told with the nearest."""
        assert run(words) == (0 if words[-1] == "--help" else 64)
        said = "".join(capsys.readouterr())
        assert "did you mean daemon status?" in said if words[-1] == "stats" else "restart" in said


# The options and the exit code without a gateway of each command of older releases.
FORMER = {
    "health": ("", 2),
    "stats": ("--server --sort --limit", 2),
    "savings": ("", 2),
    "dump": ("", 2),
    "record": ("", 64),
    "record export x": ("--output --last", 2),
    "manhole": ("--socket", 2),
    "trace x": ("", 2),
    "activity": ("--server --tool --failed --calls --changes --last", 2),
    "events": ("--kind --server --past --no-follow --no-reconnect", 2),
    "preflight --need x,y": ("--need", 2),
    "validate -- sh -c false": ("--command --args --cwd --env --config --server --env-file --timeout", 1),
    "disable": ("", 0),
    "enable": ("", 2),
    "shutdown": ("--no-wait --timeout", 2),
    "generate-config": ("--client --server --form --output", 1),
    "snippet zzz": ("--server --form", 1),
    "discover --timeout 5s": ("--server --timeout", 0),
    "clients register .": ("", 1),
}


class MergedTests:
    """The commands of older releases that are parts of others now."""

    @pytest.mark.parametrize(("former", "now"), MERGED.items())
    def test_each(
        self, former: tuple[str, ...], now: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Each takes the options it took, ends with the code it ended with, and is in no list."""
        monkeypatch.setenv("HOME", str(tmp_path))
        monkeypatch.chdir(tmp_path)
        own = tmp_path / "gateway"  # whose port no gateway of this machine has
        own.mkdir(0o700)
        (own / "config.yaml").write_text(f"gateway: {{http_port: {free_port()}}}\n")
        tested = [each for each in FORMER if tuple(each.split()[: len(former)]) == former]
        assert tested
        for line in tested:
            options, code = FORMER[line]
            done = self._done(tmp_path, line.split())
            assert done.returncode == code, (line, done.stderr)
            assert "unknown command" not in done.stderr
            helped = self._done(
                tmp_path, [*former, *(each for each in line.split() if each == "export"), "--help"]
            )
            assert helped.stdout.startswith(f"Usage: mcpgateway {now[0]}"), line
            listed = set(re.findall(r"--[a-z-]+", helped.stdout)) | {"--need"}
            assert [each for each in options.split() if each not in listed] == [], line
        context = program.make_context("mcpgateway", [], resilient_parsing=True)
        assert former[0] not in program.list_commands(context) or len(former) > 1

    def test_all_are_tested(self) -> None:
        """The table of this test names the commands of the table in the code."""
        named = {tuple(each.split()[:2]) for each in FORMER} | {tuple(each.split()[:1]) for each in FORMER}
        assert set(MERGED) <= named

    @staticmethod
    def _done(home: Path, words: list[str]) -> subprocess.CompletedProcess[str]:
        code = "import sys; from mcpgateway.cli.main import run; sys.exit(run(sys.argv[1:]))"
        argv = [sys.executable, "-c", code, "--home", str(home / "gateway"), *words]
        return subprocess.run(
            argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False
        )


@pytest.mark.parametrize(("name", "code"), [("mcpgateway", 64), ("mcp-ctl", 1), ("mcpg", 1)])
def test_usage(name: str, code: int, capsys: pytest.CaptureFixture[str]) -> None:
    """A mistyped command line has an exit code of its own, but under the names of other gateways."""
    assert run(["zzz"], name=name) == code
    assert "unknown command: zzz" in capsys.readouterr().err


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
            (["serve", "x.json"], "stands behind --: mcpgateway serve -- x.json"),
            (["serve", "-p"], "'-p' requires an argument"),
            (["--config"], "'--config' requires an argument"),
            (["--port", "1", "--bogus"], "No such option '--bogus'"),
        ],
    )
    def test_mistyped(self, words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
        """An option that the gateway does not take is refused in one line, under this program's name."""
        assert run(words) == 64
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
