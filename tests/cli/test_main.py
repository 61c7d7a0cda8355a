"""The command line as a whole: what is found, what is said of mistakes, and what none of it loads."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mcpgateway import __version__
from mcpgateway.cli import entry
from mcpgateway.cli.command_table import COMMANDS
from mcpgateway.cli.commands.running import serve
from mcpgateway.cli.main import program, run
from mcpgateway.shim.arguments import COMMANDS as SHIM
from mcpgateway.shim.arguments import VALUES

FIRST = "start stop status servers clients tools logs why config doctor".split()
HEAVY = {"twisted", "msgspec", "attr", "klein", "ruamel", "rich", "asyncio"}


class EntryTests:
    """Where each program begins."""

    @pytest.mark.parametrize(
        ("words", "name"),
        [
            ("connect x", "connect"),
            ("--home /h --url=u proxy", "proxy"),
            ("--home", ""),
            ("", ""),
            ("-h", "-h"),
        ],
    )
    def test_the_command(self, words: str, name: str) -> None:
        """The command is the first word that belongs to no option."""
        assert entry.command(words.split()) == name

    def test_it_knows_what_the_shim_knows(self) -> None:
        """The entry, which imports nothing of ours, has the same commands and options as the shim."""
        assert (set(SHIM), set(VALUES)) == (entry.SHIM, entry.VALUES)

    def test_another_command(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """A command that is not for the shim is run by the command line."""
        monkeypatch.setattr(sys, "argv", ["mcpgateway", "version"])
        assert entry.main() == 0
        assert capsys.readouterr().out == f"mcpgateway {__version__}\n"

    def test_a_pipe(self, tmp_path: Path) -> None:
        """The program serves all servers together only on a pipe or a socket, as clients start servers."""
        code = "import sys; from mcpgateway.cli.entry import is_piped; sys.exit(is_piped())"

        def asked(stdin: Any) -> int:
            return subprocess.run(
                [sys.executable, "-c", code], stdin=stdin, timeout=60, check=False
            ).returncode

        ours, theirs = socket.socketpair()
        with ours, theirs, (tmp_path / "file").open("w+b") as file:
            found = {"file": asked(file), "socket": asked(theirs)}
        found |= {"null": asked(subprocess.DEVNULL), "pipe": asked(subprocess.PIPE)}
        assert found == {"file": 0, "socket": 1, "null": 0, "pipe": 1}

    def test_a_terminal(self, tmp_path: Path) -> None:
        """The shim on a terminal says what it waits for, and Ctrl-D ends it."""
        code = "import sys; from mcpgateway.cli.entry import main; sys.exit(main())"
        words = ["--home", str(tmp_path), "--url", "http://127.0.0.1:1", "connect", "shared"]
        ours, theirs = os.openpty()
        try:
            with subprocess.Popen(
                [sys.executable, "-c", code, *words],
                stdin=theirs,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
            ) as process:
                os.write(ours, b"\x04")
                _, text = process.communicate(timeout=60)
        finally:
            os.close(ours)
            os.close(theirs)
        assert text.startswith(entry.waits())

    def test_a_closed_stdin(self, tmp_path: Path) -> None:
        """No stdin at all is no pipe."""
        code = "import os; os.close(0); from mcpgateway.cli.entry import is_piped; print(is_piped())"
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True, cwd=tmp_path
        )
        assert done.stdout == "False\n"


class StreamsTests:
    """Streams that are not as usual."""

    @pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-"])
    @pytest.mark.parametrize(
        ("words", "code"), [("tools call a__b --json-args -", 1), ("status", 2), ("clients list", 0)]
    )
    def test_closed(self, tmp_path: Path, closed: str, words: str, code: int) -> None:
        """A stream that is closed is one that nobody reads or writes."""
        done = self._done(tmp_path, f"{words} {closed}")
        assert "Traceback" not in done.stdout + done.stderr
        assert done.returncode == code

    def test_a_full_disk(self, tmp_path: Path) -> None:
        """A failure to write is reported in one line."""
        done = self._done(tmp_path, "version > /dev/full")
        assert (done.returncode, done.stderr) == (1, "mcpgateway: [Errno 28] No space left on device\n")

    @staticmethod
    def _done(home: Path, line: str) -> subprocess.CompletedProcess[str]:
        code = "import sys; from mcpgateway.cli.main import run; sys.exit(run(sys.argv[1:]))"
        argv = ["sh", "-c", f'"$0" -c "$1" --home "$2" {line}', sys.executable, code, str(home)]
        return subprocess.run(
            argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False
        )


class HelpTests:
    """The help for people."""

    @pytest.mark.parametrize(
        "words", ["connect --help", "proxy -h", "stdio --help", "--home /h connect x --help"]
    )
    def test_help_of_the_shim(
        self, words: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """The shim has help, too, for a person who wants to know its options."""
        monkeypatch.setattr(sys, "argv", ["mcpgateway", *words.split()])
        assert entry.main() == 0
        assert "--patience SECONDS" in capsys.readouterr().out

    def test_help_of_the_original(self) -> None:
        """The words behind ``--`` are the original's."""
        assert not entry.asks_for_help("connect x -- thing --help".split())

    @pytest.mark.parametrize("word", ["help", "--help", "-h"])
    def test_the_first_page(self, word: str, capsys: pytest.CaptureFixture[str]) -> None:
        """The first page of help has ten commands, and says where the others are."""
        assert run([word]) == 0
        text = capsys.readouterr().out
        listed = text.partition("Commands:\n")[2].partition("\n\n")[0]
        assert [line.split()[0] for line in listed.splitlines()] == FIRST
        assert "mcpgateway help --all" in text

    @pytest.mark.parametrize("words", ["help --all", "--help --all", "--all -h"])
    def test_all(self, words: str, capsys: pytest.CaptureFixture[str]) -> None:
        """The list of all commands has a sentence for each, under the heading of a subject."""
        assert run(words.split()) == 0
        text = capsys.readouterr().out
        assert all(f"\n  {name} " in text for name, told in COMMANDS.items() if told.section)
        assert all(f"\n{told.section}:\n" in text for told in COMMANDS.values() if told.section)
        assert all(told.short.endswith(".") and told.short[0].isupper() for told in COMMANDS.values())

    @pytest.mark.parametrize(
        ("words", "code", "said"),
        [
            ("servers add", 0, "Usage: mcpgateway servers add "),
            ("servers", 0, "reset-circuit"),
            ("daemon status", 0, "Usage: mcpgateway status "),
            ("servers ls", 64, "did you mean servers list?"),
            ("zzz", 64, "unknown command: zzz"),
            ("servers list here", 64, "mcpgateway servers list has no commands of its own"),
        ],
    )
    def test_of_one_command(
        self, words: str, code: int, said: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """The help of a command is found by its words."""
        assert run(["help", *words.split()]) == code
        assert said in "".join(capsys.readouterr())

    @pytest.mark.parametrize("name", COMMANDS)
    def test_every_command_is_there(self, name: str) -> None:
        """Each command that is listed can be loaded, and tells what it is for."""
        context = program.make_context("mcpgateway", [], resilient_parsing=True)
        command = program.get_command(context, name)
        assert command is not None
        assert command.get_short_help_str()

    @pytest.mark.parametrize(
        ("word", "hint"),
        [
            ("configg", "did you mean config?"),
            ("zzz", "mcpgateway help --all"),
            ("sevre", "serve?"),
            ("ls", "did you mean servers list?"),
            ("list", "did you mean servers list, tools list, or clients list?"),
            ("servers zzz", "mcpgateway servers --help"),
            ("servers rm", "did you mean servers remove?"),
            ("tools fnd", "did you mean tools search?"),
        ],
    )
    def test_unknown(self, word: str, hint: str, capsys: pytest.CaptureFixture[str]) -> None:
        """A command that does not exist is an error that names those that are meant."""
        assert run(word.split()) == 64
        text = capsys.readouterr().err
        assert f"unknown command: {word}" in text
        assert hint in text

    def test_an_option_without_its_value(self, capsys: pytest.CaptureFixture[str]) -> None:
        """A mistake in the global options is an error."""
        assert run(["--home"]) == 64
        assert "--home" in capsys.readouterr().err

    def test_no_command(self, capsys: pytest.CaptureFixture[str]) -> None:
        """The help is printed where no command is named, unless a client speaks: see `EntryTests`."""
        assert run([]) == 0
        assert "Usage:" in capsys.readouterr().out


class GlobalTests:
    """Options for all commands."""

    @pytest.mark.parametrize("words", [["--json", "version"], ["version", "--json"]])
    def test_json(self, words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
        """Results are for programs where that is asked for, before the command or behind it."""
        assert run(words) == 0
        assert json.loads(capsys.readouterr().out) == {"version": __version__}

    def test_a_failure_in_json(self, capsys: pytest.CaptureFixture[str]) -> None:
        """A program is told of a failure in JSON too."""
        assert run(["--json", "config", "explain", "share", "--url", "http://x"]) == 64
        out, err = capsys.readouterr()
        assert "--url" in (out + err)

    @pytest.mark.parametrize("name", ["serve", "config", "servers test"])
    def test_needless(self, name: str, capsys: pytest.CaptureFixture[str]) -> None:
        """An option that is for the programs that talk to a gateway is a mistake."""
        assert run(["--url", "x", *name.split()]) == 64
        assert f"{name}: --url" in capsys.readouterr().err

    def test_light(self) -> None:
        """A light command loads neither the gateway's code nor what only some commands need."""
        code = (
            "import sys; from mcpgateway.cli.main import run; run(['version']);"
            f" print(sorted({HEAVY!r} & set(sys.modules)), file=sys.stderr)"
        )
        argv = [sys.executable, "-c", code]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=True)
        assert done.stderr.strip() == "[]"


class ServeTests:
    """A gateway in the foreground."""

    def test_becomes_twistd(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A gateway in the foreground is twistd in the same process, with the options passed on."""
        became: list[list[str]] = []
        become: Callable[[str, list[str]], None] = lambda _, argv: became.append(argv)  # noqa: E731
        monkeypatch.setattr(serve.os, "execv", become)
        run(["--home", "/h", "serve", "--port", "1"])
        assert became[0][0] == sys.executable
        assert became[0][-7:] == ["-n", "--pidfile=", "mcpgateway", "--home", "/h", "--port", "1"]


class LocalTests:
    """Programs that work on the files here."""

    def test_the_words_behind_a_dash(self, capfd: pytest.CaptureFixture[str]) -> None:
        """The words behind ``--`` are the command that is tried."""
        code = "import sys; from mcpgateway.cli.entry import main; sys.exit(main())"
        argv = [sys.executable, "-c", code, "validate", "--", "sh", "-c", "exit 3"]
        assert subprocess.run(argv, timeout=60, check=False).returncode == 1
        assert "exit code 3" in capfd.readouterr().out

    def test_config(self, tmp_path: object, capsys: pytest.CaptureFixture[str]) -> None:
        """The configuration's verbs are given all that was said."""
        assert run(["config", "explain", "share", "--home", str(tmp_path)]) == 0
        assert capsys.readouterr().out.startswith("servers.NAME.share\n")
