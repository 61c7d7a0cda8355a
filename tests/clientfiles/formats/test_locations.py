"""Where clients' files are."""

from pathlib import Path

import pytest

from mcpgateway.clientfiles.formats.clients import DIALECTS
from mcpgateway.clientfiles.formats.locations import project_files, user_files

HOME = "/home/ann"


class UserFileTests:
    """The files of a user."""

    @pytest.mark.parametrize(
        ("client", "platform", "environ", "first"),
        [
            ("claude-code", "linux", {}, "/home/ann/.claude.json"),
            ("claude-code", "darwin", {"CLAUDE_CONFIG_DIR": "/c/"}, "/c/.claude.json"),
            ("claude-code", "linux", {"CLAUDE_CONFIG_DIR": "relative"}, "/home/ann/.claude.json"),
            ("claude-desktop", "linux", {}, "/home/ann/.config/Claude/claude_desktop_config.json"),
            (
                "claude-desktop",
                "darwin",
                {},
                "/home/ann/Library/Application Support/Claude/claude_desktop_config.json",
            ),
            (
                "claude-desktop",
                "win32",
                {"APPDATA": "C:\\Users\\ann\\AppData\\Roaming"},
                "C:\\Users\\ann\\AppData\\Roaming/Claude/claude_desktop_config.json",
            ),
            ("vscode", "linux", {"XDG_CONFIG_HOME": "/x"}, "/x/Code/User/mcp.json"),
            ("vscode", "freebsd14", {}, "/home/ann/.config/Code/User/mcp.json"),
            ("vscode", "darwin", {}, "/home/ann/Library/Application Support/Code/User/mcp.json"),
            ("zed", "linux", {}, "/home/ann/.config/zed/settings.json"),
            ("codex", "linux", {"CODEX_HOME": "/codex"}, "/codex/config.toml"),
            ("codex", "linux", {}, "/home/ann/.codex/config.toml"),
            ("copilot", "linux", {"COPILOT_HOME": "/copilot"}, "/copilot/mcp-config.json"),
            ("goose", "linux", {}, "/home/ann/.config/goose/config.yaml"),
            ("goose", "win32", {"APPDATA": "C:/a"}, "C:/a/Block/goose/config/config.yaml"),
            ("opencode", "linux", {}, "/home/ann/.config/opencode/opencode.json"),
        ],
    )
    def test_the_usual_one(self, client, platform, environ, first):
        """The usual place comes first, by platform and variables; a relative directory is none."""
        assert user_files(DIALECTS[client], platform, environ, HOME)[0] == first

    @pytest.mark.parametrize("platform", ["linux", "darwin", "win32"])
    @pytest.mark.parametrize("client", sorted(set(DIALECTS) - {"custom"}))
    def test_every_client_has_some(self, client, platform):
        """Every client has a file on every platform, and no place is named twice."""
        found = user_files(DIALECTS[client], platform, {}, HOME)
        assert found
        assert len(set(found)) == len(found)
        assert all(each.startswith(HOME) and "{" not in each for each in found)

    def test_no_file_is_two_clients(self):
        """A file belongs to one client only."""
        every = [each for one in DIALECTS.values() for each in user_files(one, "linux", {}, HOME)]
        assert len(set(every)) == len(every)
        every = [each for one in DIALECTS.values() for each in one.project]
        assert len(set(every)) == len(every)


class ProjectFileTests:
    """The files of a project."""

    def test_in_a_project(self):
        """The files of a project are named with the project's directory."""
        assert project_files(DIALECTS["claude-code"], "/p/") == ("/p/.mcp.json",)
        assert project_files(DIALECTS["custom"], "/p") == ()


class ReferenceTests:
    """The reference of clients."""

    def test_it_names_every_client(self):
        """The reference names every client, with its files of projects."""
        text = (Path(__file__).parents[3] / "docs" / "reference" / "clients.rst").read_text()
        for each in DIALECTS.values():
            assert f"``{each.name}``" in text
            assert all(f"``{path}`` in a project" in text for path in each.project)
