"""Which processes are servers that nobody needs any more."""

import pytest

from mcpgateway.cli.client_files import CONFIG_VARIABLE, environment_of
from mcpgateway.cli.duplicates import client_of, duplicates, runs


class RunsTests:
    """The test whether a process runs an entry."""

    @pytest.mark.parametrize(
        ("words", "argv"),
        [
            ("uvx mcp-server-time", "uvx mcp-server-time"),
            ("/usr/bin/python3 /opt/bin/uvx mcp-server-time", "uvx mcp-server-time"),
            ("/usr/bin/node /usr/bin/npx -y pkg --flag", "npx -y pkg --flag"),
            ("node /usr/lib/node_modules/npm/bin/npx-cli.js -y pkg", "npx -y pkg"),
            ("npm exec pkg --flag", "npx -y pkg --flag"),
            ("/opt/x/server", "/opt/x/server"),
            ("/bin/sh /opt/x/server.sh a", "/opt/x/server.sh a"),
        ],
    )
    def test_it_does(self, words, argv):
        """A process runs an entry by the entry's words, behind an interpreter, or as npm names itself."""
        assert runs(words.split(" "), argv.split())

    @pytest.mark.parametrize(
        ("words", "argv"),
        [
            ("uvx mcp-server-time --more", "uvx mcp-server-time"),
            ("uvx mcp-server-fetch", "uvx mcp-server-time"),
            ("/opt/y/server", "/opt/x/server"),
            ("vim uvx mcp-server-time", "vi mcp-server-time"),
            ("grep -r uvx mcp-server-time", "uvx mcp-server-time"),
            ("npm exec other", "npx -y pkg"),
            ("", "x"),
            ("x", ""),
        ],
    )
    def test_it_does_not(self, words, argv):
        """A process with other words, more words, or another program does not run the entry."""
        assert not runs(words.split(), argv.split())


class ClientTests:
    """The test whether a process is a client."""

    @pytest.mark.parametrize(
        ("words", "client"),
        [
            ("claude", "claude"),
            (
                "/usr/bin/node /usr/lib/node_modules/@anthropic-ai/claude-code/cli.js --continue",
                "claude-code",
            ),
            ("/opt/Cursor/cursor --type=utility", "cursor"),
            ("node /usr/bin/gemini", "gemini"),
            ("bash -c claude", ""),
            ("/usr/bin/python3 server.py --name claude", ""),
            ("", ""),
        ],
    )
    def test_named(self, words, client):
        """A client is known by its own name, or by the package that it is in; not by other words."""
        assert client_of(words.split()) == client

    def test_nothing_leads_here(self):
        """Where nothing leads here, nothing is looked for in vain."""
        assert duplicates({}) == []


class EnvironmentTests:
    """Where the configuration of a gateway is found that is not the usual one."""

    @pytest.mark.parametrize("options", [["--config", "/c"], ["--config=/c"], ["--demo", "-c", "/c"]])
    def test_a_configuration_of_its_own(self, options):
        """The configuration directory of the gateway's start counts for its clients, too."""
        assert environment_of(options)[CONFIG_VARIABLE] == "/c"
