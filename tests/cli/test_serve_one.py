"""The words of ``serve`` for one server."""

import pytest

from mcpgateway.cli.commands.running.serve import names_one_server
from mcpgateway.cli.commands.running.serve_one import named_after
from mcpgateway.cli.main import run


class MeantTests:
    """One server is meant by a command behind --, a URL, or --stdio."""

    @pytest.mark.parametrize(
        ("words", "is_one"),
        [
            ("-- npx x", True),
            ("https://mcp.example/mcp", True),
            ("--stdio", True),
            ("--port 0 http://localhost:1/mcp", True),
            ("", False),
            ("--port 9300 --demo", False),
            ("--listen tcp:9301", False),
            ("--help", False),
        ],
    )
    def test_words(self, words, is_one):
        """Everything else is the gateway."""
        assert names_one_server(words.split()) is is_one


class NameTests:
    """A server is named after its package, program or host."""

    @pytest.mark.parametrize(
        ("words", "url", "name"),
        [
            ("npx -y @modelcontextprotocol/server-everything", "", "everything"),
            ("npx -y @modelcontextprotocol/server-filesystem@2026.1.14 /tmp", "", "filesystem"),
            ("uvx mcp-server-time==1.0 --local-timezone UTC", "", "time"),
            ("/usr/bin/python3 -m weather_server", "", "weather_server"),
            ("node dist/notes.js", "", "notes"),
            ("sh", "", "sh"),
            ("npx -y mcp", "", "server"),
            ("", "https://mcp.linear.app/mcp", "linear"),
            ("", "http://localhost:3000/mcp", "localhost"),
            ("", "http://127.0.0.1:3000/mcp", "server"),
        ],
    )
    def test_name(self, words, url, name):
        """The name is short, and fit for a URL."""
        assert named_after(words.split(), url) == name

    def test_a_text_for_a_shell(self):
        """A text of several words is no name."""
        assert named_after(["sh", "-c", "cd x && exec y"], "") == "server"


class UsageTests:
    """Mistakes end with 64 and a sentence, before anything is started."""

    @pytest.mark.parametrize(
        ("words", "says"),
        [
            (["--stdio"], "name the server: its URL, or a command behind --"),
            (["--stdio", "npx -y notes-mcp"], "expected a URL, or a command: it stands behind --"),
            (["http://localhost/mcp", "--", "cat"], "a server is given twice"),
            (["-H", "A: b", "--", "cat"], "--header goes with a URL"),
            (["-e", "A=b", "http://localhost/mcp"], "--env, --env-file and --cwd go with a command"),
            (["--stdio", "--port", "1", "--", "cat"], "--port and --host do not go with --stdio"),
            (["--nope", "--", "cat"], "No such option '--nope'"),
            (["--port", "x", "--", "cat"], "'x' is not a valid integer range"),
            (["--name", "a b", "--", "cat"], "--name: found 'a b'"),
            (["--name", "mcp", "--", "cat"], "--name: /mcp is a path of the gateway"),
            (["--share", "all", "--", "cat"], "--share: found 'all'; expected one of auto, global"),
            (["--timeout", "soon", "--", "cat"], "--timeout: found 'soon'; expected a duration"),
            (["--host", "nowhere", "--", "cat"], "--host: found 'nowhere'; expected an IP address"),
            (["--public-url", "x", "--", "cat"], "--public-url: found 'x'"),
            (["--log-level", "loud", "--", "cat"], "'loud' is not one of"),
            (["--demo", "--", "cat"], "No such option '--demo'"),
        ],
    )
    def test_a_mistake(self, words, says, capsys, tmp_path, monkeypatch):
        """The sentence names the option."""
        monkeypatch.setenv("TMPDIR", str(tmp_path))
        assert run(["--home", str(tmp_path / "h"), "serve", *words]) == 64
        assert says in capsys.readouterr().err
        assert list(tmp_path.iterdir()) == []

    def test_a_gateway_that_is_named(self, capsys):
        """The options for other gateways do not apply."""
        assert run(["--url", "http://localhost:1", "serve", "--", "cat"]) == 64
        assert "--url and --token-file do not apply" in capsys.readouterr().err

    def test_help(self, capsys):
        """The help shows both: the gateway, and one server."""
        assert run(["serve", "--help"]) == 0
        shown = capsys.readouterr().out
        assert "--config" in shown
        assert "--allow-origin" in shown
