"""The commands that are not the shim."""

import os
import subprocess
import sys

import pytest

from mcpgateway import __version__
from mcpgateway.bridge.arguments import COMMANDS, VALUES
from mcpgateway.ctl import commands, entry


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
    def test_the_command(self, words, name):
        """The command is the first word that belongs to no option."""
        assert entry.command(words.split()) == name

    def test_it_knows_what_the_shim_knows(self):
        """The entry, which imports nothing of ours, has the same commands and options as the shim."""
        assert (set(COMMANDS), set(VALUES)) == (entry.SHIM, entry.VALUES)

    def test_another_command(self, monkeypatch, capsys):
        """What is not for the shim is done here."""
        monkeypatch.setattr(sys, "argv", ["mcpgateway", "version"])
        assert entry.main() == 0
        assert capsys.readouterr().out == f"mcpgateway {__version__}\n"


class CommandTests:
    """What each does."""

    @pytest.mark.parametrize("word", ["help", "--help", "-h"])
    def test_help(self, word, capsys):
        """Help names every command and global option."""
        assert commands.run([word]) == 0
        text = capsys.readouterr().out
        assert all(each in text for each in [*COMMANDS, *VALUES, "serve", "version"])

    @pytest.mark.parametrize(
        ("word", "hint"),
        [("konnect", "did you mean connect?"), ("zzz", "mcpgateway help"), ("sevre", "serve?")],
    )
    def test_unknown(self, word, hint, capsys):
        """A command that does not exist is an error that names the nearest."""
        assert commands.run([word]) == 1
        text = capsys.readouterr().err
        assert f"unknown command: {word}" in text
        assert hint in text

    def test_an_option_without_its_value(self, capsys):
        """A mistake in the global options is an error."""
        assert commands.run(["--home"]) == 1
        assert "--home" in capsys.readouterr().err

    @pytest.mark.parametrize("is_terminal", [True, False])
    def test_no_command(self, monkeypatch, capsys, is_terminal):
        """A person gets help; a client, whose stdin is a pipe, is told that a server must be named."""
        monkeypatch.setattr(os, "isatty", lambda _: is_terminal)
        assert commands.run([]) == (0 if is_terminal else 1)
        out, err = capsys.readouterr()
        assert ("usage:" in out, "name a server" in err) == (is_terminal, not is_terminal)

    def test_serve(self):
        """A gateway in the foreground is twistd in this process, with the options passed on."""
        become = []
        commands.serve({"home": "/h"}, ["--port", "1"], lambda path, argv: become.append((path, argv)))
        ((path, argv),) = become
        assert path == argv[0] == sys.executable
        assert argv[-7:] == ["-n", "--pidfile=", "mcpgateway", "--home", "/h", "--port", "1"]

    def test_serve_elsewhere(self, capsys):
        """A gateway cannot be run at somebody else's address."""
        assert commands.run(["serve", "--url", "http://x"]) == 1
        assert "--url" in capsys.readouterr().err


class LocalTests:
    """Programs that work on the files here."""

    @pytest.mark.parametrize(
        ("options", "rest", "words"),
        [
            ({}, ["check", "x.yaml"], ["config", "check", "x.yaml"]),
            ({"home": "/h"}, ["show", "--json"], ["config", "show", "--json", "--home", "/h"]),
            ({}, ["--help"], ["config", "--help"]),
            ({}, [], ["config"]),
        ],
    )
    def test_config(self, options, rest, words):
        """The configuration's verbs are another program, which is given all that was said."""
        became = []
        assert commands.local(options, ["config", *rest], [], lambda *program: became.append(program)) == 0
        ((path, argv),) = became
        assert (path, argv) == (sys.executable, [sys.executable, "-P", "-m", "mcpgateway.local", *words])

    def test_needless(self, capsys):
        """An option that is for the programs that talk to a gateway is a mistake."""
        assert commands.run(["--url", "x", "config", "check"]) == 1
        assert "config: --url is for" in capsys.readouterr().err

    def test_for_real(self, tmp_path):
        """The program is there, and says what it has to say."""
        code = "import sys; from mcpgateway.ctl.entry import main; sys.exit(main())"
        argv = [sys.executable, "-c", code, "--home", str(tmp_path), "config", "explain", "share"]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
        assert done.stdout.startswith("servers.NAME.share\n")
