"""How widely a server is shared."""

from __future__ import annotations

import pytest

from mcpgateway.config.model import ServerSpec, Share
from mcpgateway.rules.sharing import scope_of


def server(name: str, *command: str, share: Share = Share.AUTO) -> ServerSpec:
    """A server of that name and command."""
    return ServerSpec(name, command or ("true",), {}, "/", share, title=name)


class ScopeTests:
    """`auto`, and what overrides it."""

    @pytest.mark.parametrize(
        ("name", "command"),
        [
            ("sequential-thinking", ("x",)),
            ("serena", ("x",)),
            ("thinker", ("npx", "-y", "@modelcontextprotocol/server-sequential-thinking")),
            ("thinker", ("npx", "-y", "@modelcontextprotocol/server-sequential-thinking@2026.8.31")),
            ("web", ("npx", "@playwright/mcp@latest")),
            ("web", ("npx", "chrome-devtools-mcp@1.2")),
            ("web", ("uvx", "serena-mcp-server")),
            ("web", ("node", "/opt/lib/mcp-server-puppeteer")),
        ],
    )
    def test_known_stateful(self, name: str, command: tuple[str, ...]) -> None:
        """Servers known to keep state per client get a child per session, by name or package."""
        assert scope_of(server(name, *command)) is Share.SESSION

    @pytest.mark.parametrize(
        "command",
        [("npx", "@modelcontextprotocol/server-memory"), ("git", "clone"), ("x", "@playwright/test")],
    )
    def test_all_others(self, command: tuple[str, ...]) -> None:
        """Every other server is shared."""
        assert scope_of(server("s", *command)) is Share.GLOBAL

    def test_said_is_said(self) -> None:
        """What the entry says wins over what is known."""
        assert scope_of(server("serena", share=Share.GLOBAL)) is Share.GLOBAL
        assert scope_of(server("memory", share=Share.SESSION)) is Share.SESSION
