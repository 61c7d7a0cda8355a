"""Known servers, by the commands of their entries or by their own introduction."""

from __future__ import annotations

import pytest

from mcpgateway.config.model import ServerSpec, Share
from mcpgateway.config.reach_settings import Container
from mcpgateway.policy.known_servers import TABLE, Trait, known_by_info, known_by_start, names_in
from mcpgateway.policy.sharing import scope_of

MEMORY = {Trait.WRITES, Trait.STATELESS}


def traits(*command: str) -> set[Trait]:
    """Return the traits of a server with this command."""
    return set(known_by_start(ServerSpec("s", command, {}, "/")).traits)


class StartTests:
    """Servers that are known by package, image and program, at any path."""

    @pytest.mark.parametrize(
        "command",
        [
            "npx -y @modelcontextprotocol/server-memory",
            "npx @modelcontextprotocol/server-memory@2026.1.2",
            "npm exec -- @modelcontextprotocol/server-memory",
            "npx --package @modelcontextprotocol/server-memory mcp-server-memory",
            "bunx @modelcontextprotocol/server-memory",
            "cmd /c npx -y @modelcontextprotocol/server-memory",
            "node /opt/x/node_modules/@modelcontextprotocol/server-memory/dist/index.js",
            "/usr/lib/node_modules/@modelcontextprotocol/server-memory/dist/index.js",
            "docker run -i --rm -v claude-memory:/app/dist mcp/memory",
            "mcp-server-memory",
            "/x/node_modules/.bin/mcp-server-memory",
            "env MEMORY_FILE_PATH=/x/m.jsonl mcp-server-memory",
        ],
    )
    def test_memory(self, command: str) -> None:
        """The same server, in the ways in which entries name it."""
        assert traits(*command.split()) == MEMORY

    @pytest.mark.parametrize(
        "command",
        [
            "uvx mcp-server-git --repository /serena",
            "uvx mcp-server-git@latest",
            "uvx --from mcp-server-git==2026.1 mcp-server-git",
            "uv --directory /x run mcp-server-git",
            "python -m mcp_server_git",
            "python3 -m mcp_server_git --repository /x",
            "/opt/venv/bin/mcp-server-git",
        ],
    )
    def test_python(self, command: str) -> None:
        """Packages of Python are known by their programs and their modules, too."""
        assert traits(*command.split()) == MEMORY

    @pytest.mark.parametrize(
        "command",
        [
            "npx -y @playwright/mcp@latest --headless",
            "docker run -i --rm --init mcp/playwright",
            "docker run -i mcr.microsoft.com/playwright/mcp:v1",
            "npx -y mongodb-mcp-server@latest --readOnly",
            "npx -y firebase-tools@latest mcp",
            "uvx mcp-server-motherduck --db-path :memory:",
            "uvx mcp-server-sqlite --db-path /x.db",
            "npx -y @cyanheads/git-mcp-server",
            "npx -y xcodebuildmcp@latest mcp",
            "node /src/servers/src/sequentialthinking/dist/index.js",
            "node node_modules/@modelcontextprotocol/server-sequential-thinking/dist/index.js",
            "uvx --from git+https://github.com/oraios/serena serena start-mcp-server",
            "npx -y @wonderwhy-er/desktop-commander",
        ],
    )
    def test_state(self, command: str) -> None:
        """Servers that keep state for their client get a child for each session."""
        server = ServerSpec("s", tuple(command.split()), {}, "/")
        assert Trait.STATE in known_by_start(server).traits
        assert scope_of(server) is Share.SESSION

    @pytest.mark.parametrize(
        "command",
        [
            "npx -y @modelcontextprotocol/server-everything /home/me/serena",
            "node /home/me/shop/dist/index.js --name mcp-server-memory",
            "uvx notes-of-mine mcp/playwright",
            "git clone",
            "x @playwright/test",
            "sh -c mcp-server-memory",
            "",
        ],
    )
    def test_arguments(self, command: str) -> None:
        """The arguments of a program do not make a known server of it."""
        assert not traits(*command.split())

    def test_container(self) -> None:
        """The image of a container that the gateway starts itself; what runs inside it is a part of that."""
        server = ServerSpec("s", ("mcp-server-memory",), {}, "/", reach=Container("mcp/playwright:latest"))
        assert known_by_start(server).traits == {Trait.STATE}

    def test_windows(self) -> None:
        """Paths with the other slash."""
        assert list(names_in(r"C:\Tools\mcp-server-git.exe"))[-1] == "mcp-server-git"


class InfoTests:
    """Servers that are known by the name they introduce themselves with."""

    def test_known(self) -> None:
        """A server is known by its name, with any command."""
        assert known_by_info("memory-server").traits == MEMORY
        assert known_by_info("Memory-Server").traits == MEMORY
        assert not known_by_info("something-else").traits


class TableTests:
    """The table itself."""

    def test_written_alike(self) -> None:
        """The names of the table are written as they are looked up, and each stands in one row only."""
        names = [name for each in TABLE for name in each.names]
        assert len(names) == len(set(names))
        assert all(name == name.lower() and "_" not in name for name in names)
        infos = [info.lower() for each in TABLE for info in each.infos]
        assert len(infos) == len(set(infos))

    def test_not_both(self) -> None:
        """A server that keeps state for one client is not to be shown to others."""
        assert not [each.names[0] for each in TABLE if {Trait.STATE, Trait.STATELESS} <= each.traits]
