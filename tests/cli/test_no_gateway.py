"""Commands where no gateway runs."""

import socket

import pytest

from mcpgateway.cli.main import run

COMMANDS = """\
status --stats
servers list
servers get x
servers add x --no-test -- cat
servers remove x --force
servers set x timeout=1s
servers start x
servers stop x
servers login x
why x
logs x
logs --events
logs --calls
tools list
tools describe x
tools call x__y
sessions list
wait x
token list
clients resume
debug dump
debug trace x
debug activity
debug events
debug record export x
"""


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A home without a gateway."""
    monkeypatch.delenv("MCP_GATEWAY_URL", raising=False)
    return tmp_path / "h"


class AbsentTests:
    """The sentence names the home, and no file that is missing there."""

    @pytest.mark.parametrize("words", COMMANDS.splitlines())
    def test_it_never_ran(self, words, home, capsys):
        """Exit code 2, and the command that starts it."""
        assert run(["--home", str(home), *words.split()]) == 2
        shown = capsys.readouterr()
        assert f"no gateway answers: none runs in the home {home}\n" in shown.err
        assert "mcpgateway start" in shown.err
        assert "gateway.sock" not in shown.out + shown.err

    def test_it_was_killed(self, home, capsys):
        """A socket that nothing listens at any more is told in the same words."""
        home.mkdir()
        with socket.socket(socket.AF_UNIX) as left:
            left.bind(str(home / "gateway.sock"))
        assert run(["--home", str(home), "servers", "list"]) == 2
        shown = capsys.readouterr().err
        assert f"none runs in the home {home}\n" in shown
        assert "gateway.sock" not in shown

    def test_no_manhole(self, home, capsys):
        """A missing manhole is told with the setting that opens it, and without the words of the system."""
        assert run(["--home", str(home), "debug", "manhole"]) == 2
        shown = capsys.readouterr().err
        assert "manhole: {socket: true}" in shown
        assert "No such file" not in shown
