"""Texts for agents follow a running gateway: its servers, its endpoint for all of them, its end."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.gateway import eventually
from tests.support.real_servers import fixture
from tests.support.user import User

pytestmark = pytest.mark.functional
PROMISE = "# Mine\r\n\r\nNothing else"


@pytest.fixture
def user(tmp_path: Path) -> Iterator[User]:
    """A user with a gateway that runs, a repository, and a file of Codex."""
    with User(tmp_path, has_service=False) as user:
        (user.work / ".git").mkdir()
        user.write(".codex/config.toml", f'[mcp_servers.all]\nurl = "{user.url}/mcp"\n')
        user.write("work/AGENTS.md", PROMISE)
        user.mcpgateway("start")
        yield user


class InstructionTests:
    """``mcpgateway instructions`` beside a gateway."""

    def test_follows_the_gateway(self, user: User) -> None:
        """A server comes and goes with its file, the text names what is listed, and at last all is as it was."""
        template = user.write("template.md", "${server_name} at ${server_url}: $ARGUMENTS")
        user.mcpgateway(
            "instructions", "install", "--client", "codex", "--project", "--template", str(template)
        )
        block, skills = user.work / "AGENTS.md", user.work / ".agents" / "skills"
        assert "`gateway_search`" in block.read_text()
        assert "gateway_get_result" in (skills / "gateway-page" / "SKILL.md").read_text()

        user.mcpgateway("servers", "add", "clock", "--", *fixture())
        its = skills / "use-clock" / "SKILL.md"
        eventually(its.exists, "the server has its file")
        assert f"clock at {user.url}/clock/mcp: (the words" in its.read_text()
        user.mcpgateway("servers", "remove", "clock", "--yes")
        eventually(lambda: not its.parent.exists(), "the file is removed with its server")

        user.mcpgateway("config", "set", "gateway.expose", "full")
        eventually(lambda: "`gateway_list_tools`" in block.read_text(), "the text names what is listed now")
        assert "`gateway_search`" not in block.read_text()

        def states() -> set[str]:
            return {each["state"] for each in user.told("instructions", "list")["items"]}

        eventually(lambda: states() == {"up to date"}, "all files are up to date")

        user.mcpgateway("stop")
        assert "gateway_" in block.read_text()
        user.mcpgateway("uninstall", "--yes")
        assert block.read_bytes() == PROMISE.encode()
        assert sorted(each.name for each in user.work.iterdir()) == [".git", "AGENTS.md"]

    def test_the_plugin(self, user: User) -> None:
        """The plugin's entry has the port of a gateway that is restarted at another."""
        user.mcpgateway("instructions", "install", "--client", "claude-plugin")
        entry = user.gateway_home / "claude-plugin" / ".mcp.json"
        user.mcpgateway("stop")
        user.write(".mcp-gateway/config.yaml", f"gateway:\n  http_port: {(port := User(user.home).port)}\n")
        user.mcpgateway("start")

        def is_current() -> bool:
            found = json.loads(entry.read_text())["mcpServers"]["mcpgateway"]
            return bool(found["url"] == f"http://localhost:{port}/mcp")

        eventually(is_current, "the entry has the new port")
