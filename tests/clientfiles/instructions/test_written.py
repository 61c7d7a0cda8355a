"""Texts for agents in files: written once, kept up to date, and removed without a trace."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from mcpgateway.clientfiles.enrolment import undo
from mcpgateway.clientfiles.instructions.agents import PLUGIN, clients
from mcpgateway.clientfiles.instructions.wanted import InstalledTexts
from mcpgateway.clientfiles.instructions.written import TextState, install, listed, refresh, uninstall
from mcpgateway.clientfiles.ledger import Ledger
from mcpgateway.clientfiles.machine import Machine
from mcpgateway.clientfiles.plan import EnrolRequest
from mcpgateway.errors import ConfigError

BEGIN = "<!-- mcpgateway begin"


class Desk:
    """The home of a user whose gateway serves x, and a project."""

    def __init__(self, tmp_path: Path) -> None:
        self.user = tmp_path / "user"
        self.home = self.user / ".mcp-gateway"
        self.home.mkdir(parents=True, mode=0o700)
        self.project = tmp_path / "shop"
        self.project.mkdir()
        self.machine = Machine(str(self.home), {"HOME": str(self.user), "PATH": "/bin"})
        self.serve("x")

    def serve(self, *names: str, **settings: object) -> None:
        """Let the configuration have these servers."""
        servers = {each: {"command": "sh"} for each in names}
        (self.home / "config.json").write_text(json.dumps({"gateway": settings, "servers": servers}))
        self.machine = Machine(str(self.home), self.machine.environ)

    def install(self, *names: str, template: str | None = None, project: bool = True) -> dict[str, TextState]:
        """Install the texts of clients; the state of each file."""
        where = str(self.project) if project else ""
        return self.told(install(self.machine, [InstalledTexts(each, where, template) for each in names]))

    def uninstall(self, *names: str) -> dict[str, TextState]:
        """Remove them, or all."""
        return self.told(uninstall(self.machine, lambda each: not names or each.client in names))

    def told(self, reports: object) -> dict[str, TextState]:
        """The states by the paths, relative to the project or the home."""
        found = {}
        for each in reports:  # type: ignore[attr-defined]
            assert not each.error, each
            root = self.project if each.path.startswith(str(self.project)) else self.user
            found[os.path.relpath(each.path, root)] = each.state
        return found

    @property
    def files(self) -> dict[str, bytes | None]:
        """All files and directories of the project and of the user, other than the gateway's."""
        return {
            str(each): each.read_bytes() if each.is_file() else None
            for root in (self.project, self.user)
            for each in root.rglob("*")
            if self.home not in (each, *each.parents) or PLUGIN in each.parts
        }


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    """A desk at which nothing is installed."""
    return Desk(tmp_path)


class InstallTests:
    """Files for agents."""

    @pytest.mark.parametrize("project", [True, False])
    @pytest.mark.parametrize("name", [*clients(), PLUGIN])
    def test_there_and_back(self, name: str, project: bool, desk: Desk) -> None:  # noqa: FBT001
        """Every client's files are made, a second time nothing changes, and then files and directories are gone."""
        (desk.project / "AGENTS.md").write_bytes(b"# Mine\r\n\r\nNo end")
        before = desk.files
        desk.install(name, project=project, template="")
        during = desk.files
        assert set(desk.install(name, project=project, template="").values()) <= {TextState.CURRENT}
        assert desk.files == during
        assert {each.state for each in listed(desk.machine)} <= {TextState.CURRENT}
        desk.uninstall()
        assert desk.files == before
        assert not (desk.home / "instructions.json").exists()

    def test_one_block_for_all_its_readers(self, desk: Desk) -> None:
        """Clients that read one file share a block, which stays until the last of them is uninstalled."""
        (desk.project / "AGENTS.md").write_text("# Mine\n")
        (desk.project / "CLAUDE.md").symlink_to("AGENTS.md")
        desk.install("codex", "opencode", "copilot", "vscode", "claude-code")
        assert (desk.project / "AGENTS.md").read_text().count(BEGIN) == 1
        desk.uninstall("codex", "opencode", "copilot", "vscode")
        assert (desk.project / "AGENTS.md").read_text().count(BEGIN) == 1
        desk.uninstall("claude-code")
        assert (desk.project / "AGENTS.md").read_text() == "# Mine\n"
        assert (desk.project / "CLAUDE.md").is_symlink()

    def test_imported(self, desk: Desk) -> None:
        """A CLAUDE.md that imports AGENTS.md gets no block of its own."""
        (desk.project / "AGENTS.md").write_text("# Mine\n")
        (desk.project / "CLAUDE.md").write_text("See @AGENTS.md\n")
        desk.install("codex", "claude-code")
        assert BEGIN in (desk.project / "AGENTS.md").read_text()
        assert (desk.project / "CLAUDE.md").read_text() == "See @AGENTS.md\n"

    def test_no_file_is_hidden(self, desk: Desk) -> None:
        """opencode reads a CLAUDE.md only where no AGENTS.md is, so none is made beside it; Codex reads an override."""
        (desk.project / "CLAUDE.md").write_text("# Mine\n")
        desk.install("opencode")
        assert not (desk.project / "AGENTS.md").exists()
        (desk.project / "AGENTS.override.md").write_text("# Over\n")
        desk.install("codex")
        assert BEGIN in (desk.project / "AGENTS.override.md").read_text()

    def test_edits_around(self, desk: Desk) -> None:
        """What its user writes around the block stays, when the block changes and when it is taken out."""
        file = desk.project / "GEMINI.md"
        file.write_text("above\n")
        desk.install("gemini")
        file.write_text("first\n" + file.read_text() + "below\n")
        desk.serve("x", http_port=9999)
        assert TextState.BEHIND in {each.state for each in listed(desk.machine)}
        refresh(desk.machine)
        assert "localhost:9999/" in file.read_text()
        assert file.read_text().startswith("first\nabove\n")
        assert desk.uninstall()["GEMINI.md"] is TextState.RESTORED
        assert file.read_text() == "first\nabove\nbelow\n"

    def test_a_file_of_ones_own(self, desk: Desk) -> None:
        """A command that was there before, and one that its user edits, are never changed or removed."""
        commands = desk.project / ".claude" / "commands"
        commands.mkdir(parents=True)
        (commands / "gateway-find.md").write_text("mine")
        states = desk.install("claude-code")
        assert states[".claude/commands/gateway-find.md"] is TextState.FOREIGN
        (commands / "gateway-add.md").write_text("better")
        states = desk.install("claude-code")
        assert states[".claude/commands/gateway-add.md"] is TextState.EDITED
        desk.uninstall()
        assert {each.name: each.read_text() for each in commands.iterdir()} == {
            "gateway-find.md": "mine",
            "gateway-add.md": "better",
        }

    def test_removed_by_its_user(self, desk: Desk) -> None:
        """A command that its user removes stays removed until it is installed again."""
        desk.install("claude-code")
        file = desk.project / ".claude" / "commands" / "gateway-add.md"
        file.unlink()
        refresh(desk.machine)
        assert not file.exists()
        assert TextState.GONE in {each.state for each in listed(desk.machine)}
        desk.install("claude-code")
        assert file.exists()

    def test_again_later(self, desk: Desk) -> None:
        """A file that cannot be changed when the texts are removed is restored the next time."""
        file = desk.project / "GEMINI.md"
        file.write_text("mine\n")
        desk.install("gemini")
        file.chmod(0o444)
        reports = uninstall(desk.machine, lambda _: True)
        assert ["read-only" in each.error for each in reports if each.error] == [True]
        file.chmod(0o644)
        assert desk.uninstall() == {"GEMINI.md": TextState.RESTORED}
        assert file.read_text() == "mine\n"

    def test_bytes_of_any_encoding(self, desk: Desk) -> None:
        """A file that is not UTF-8 gets the block, and loses it, and keeps all other bytes."""
        file, other = desk.project / "GEMINI.md", desk.project / "AGENTS.md"
        file.write_bytes(b"caf\xe9\r\n")
        desk.install("gemini")
        assert file.read_bytes().startswith(b"caf\xe9\r\n\r\n<!-- mcpgateway begin")
        file.write_bytes(b"\xff" + file.read_bytes())
        assert desk.uninstall()["GEMINI.md"] is TextState.RESTORED
        assert file.read_bytes() == b"\xffcaf\xe9\r\n"
        other.write_bytes(before := "x".encode("utf-16"))
        reports = install(desk.machine, [InstalledTexts("codex", str(desk.project))])
        assert ["is UTF-16; save it as UTF-8" in each.error for each in reports if each.error] == [True]
        assert other.read_bytes() == before

    def test_one_file_of_a_project(self, desk: Desk) -> None:
        """Clients that read AGENTS.md share its block: no file of the user's is hidden by one that is made."""
        names = (
            "claude-code",
            "codex",
            "cursor",
            "vscode",
            "windsurf",
            "cline",
            "qwen",
            "opencode",
            "copilot",
        )
        (desk.project / "AGENTS.md").write_text("# Mine\n")
        (desk.project / ".clinerules").write_text("Be kind.\n")
        desk.install(*names)
        with_block = [path for path, data in desk.files.items() if data and BEGIN.encode() in data]
        assert with_block == [f"{desk.project}/AGENTS.md"]

    @pytest.mark.parametrize(
        ("file", "text"), [("CLAUDE.md", "@./AGENTS.md"), (".claude/CLAUDE.md", "@../AGENTS.md")]
    )
    def test_imported_by_a_path(self, file: str, text: str, desk: Desk) -> None:
        """An import may begin with dots."""
        (desk.project / ".claude").mkdir()
        (desk.project / file).write_text(text)
        (desk.project / "AGENTS.md").write_text("# Mine\n")
        desk.install("claude-code")
        assert (desk.project / file).read_text() == text
        assert BEGIN in (desk.project / "AGENTS.md").read_text()

    def test_a_link_to_a_file_that_is_not_there(self, desk: Desk) -> None:
        """The file that a link leads to is made, and goes with the texts; the link stays."""
        (desk.project / "GEMINI.md").symlink_to("docs/agents.md")
        before = desk.files
        desk.install("gemini")
        assert BEGIN in (desk.project / "docs" / "agents.md").read_text()
        desk.uninstall()
        assert desk.files == before
        assert (desk.project / "GEMINI.md").is_symlink()

    def test_in_a_directory_with_braces(self, desk: Desk) -> None:
        """The name of a project is not taken for the place of a command's name."""
        desk.project = desk.project / "{}"
        desk.project.mkdir()
        desk.install("claude-code")
        assert (desk.project / ".claude" / "commands" / "gateway-add.md").is_file()

    def test_a_project_that_is_gone(self, desk: Desk) -> None:
        """A directory that its user has removed is not made again, whatever else is installed or served."""
        desk.install("claude-code", template="")
        shutil.rmtree(desk.project)
        desk.serve("x", "y")
        refresh(desk.machine)
        desk.install("gemini", project=False)
        assert not desk.project.exists()
        desk.uninstall()
        assert listed(desk.machine) == []

    def test_only_what_is_installed_is_made_again(self, desk: Desk) -> None:
        """A command that its user has removed stays removed when texts of another client are installed."""
        desk.install("claude-code")
        (desk.project / ".claude" / "commands" / "gateway-add.md").unlink()
        desk.install("gemini")
        assert not (desk.project / ".claude" / "commands" / "gateway-add.md").exists()

    def test_files_that_cannot_be_written(self, desk: Desk) -> None:
        """A file of another's, and one that cannot be made, are listed; removing other texts tells nothing of them."""
        (desk.project / ".claude").mkdir()
        (desk.project / ".claude" / "commands").write_text("a file")
        (desk.project / ".gemini" / "commands").mkdir(parents=True)
        (desk.project / ".gemini" / "commands" / "gateway-add.toml").write_text("mine")
        names = ("claude-code", "gemini", "qwen")
        reports = install(desk.machine, [InstalledTexts(each, str(desk.project)) for each in names])
        errors = [each.error for each in reports if each.error]
        assert errors
        assert all("cannot be changed and is as it was: " in each for each in errors)
        states = {os.path.basename(each.path): each.state for each in listed(desk.machine)}
        assert states["gateway-add.toml"] is TextState.FOREIGN
        assert states["gateway-add.md"] is TextState.GONE
        assert set(desk.uninstall("qwen").values()) <= {TextState.WRITTEN, TextState.REMOVED}

    def test_listed_during_a_change(self, desk: Desk) -> None:
        """The list waits for a change that is under way, in the middle of which each file looks edited."""
        desk.install("claude-code")
        with Ledger(str(desk.home)).locked(), pytest.raises(ConfigError, match="another mcpgateway"):
            listed(desk.machine)
        assert {each.state for each in listed(desk.machine)} == {TextState.CURRENT}

    def test_the_history(self, desk: Desk) -> None:
        """The history says that a text was written; only `instructions uninstall` takes it out for good."""
        (desk.project / "GEMINI.md").write_text("mine\n")
        desk.install("gemini")
        desk.serve("x", http_port=9999)
        refresh(desk.machine)
        desk.uninstall()
        found = list(desk.machine.ledger.history.listed(str(desk.project / "GEMINI.md")))
        assert [each.act.value for each in found] == ["restored", "updated", "written"]
        with pytest.raises(ConfigError, match="instructions uninstall"):
            undo(desk.machine, EnrolRequest(), found[-1].number)

    def test_a_large_file(self, desk: Desk) -> None:
        """A file that is large enough to be written is not too large to be restored."""
        file = desk.project / "GEMINI.md"
        file.write_bytes(b"x" * 5_000_000)
        desk.install("gemini")
        assert desk.uninstall()["GEMINI.md"] is TextState.RESTORED
        assert file.stat().st_size == 5_000_000

    def test_a_damaged_block(self, desk: Desk) -> None:
        """A file with half a block is left, and the others are written all the same."""
        (desk.project / "AGENTS.md").write_text(f"{BEGIN} 0 -->\nx\n")
        reports = install(desk.machine, [InstalledTexts("codex", str(desk.project))])
        assert {each.path: each.error for each in reports if each.error}.keys() == {
            f"{desk.project}/AGENTS.md"
        }
        assert len(reports) > 1


class FollowTests:
    """Texts that follow the gateway."""

    def test_servers(self, desk: Desk) -> None:
        """A server that is added gets its file, with the template, and loses it when it is removed."""
        desk.install("claude-code", template="${server_name}|${server_url}")
        commands = desk.project / ".claude" / "commands"
        desk.serve("x", "y")
        refresh(desk.machine)
        assert (commands / "use-y.md").read_text().split("\n")[1] == "y|http://localhost:9100/y/mcp"
        desk.serve("y")
        refresh(desk.machine)
        assert not (commands / "use-x.md").exists()
        assert (commands / "use-y.md").exists()

    def test_the_endpoint(self, desk: Desk) -> None:
        """The text names the gateway's tools once the client has the entry for all servers, if they are listed."""
        (desk.user / ".gemini").mkdir()
        settings = desk.user / ".gemini" / "settings.json"
        settings.write_text("{}")
        desk.install("gemini", project=False)
        file = desk.user / ".gemini" / "GEMINI.md"
        page = desk.user / ".gemini" / "commands" / "gateway-page.toml"
        assert "gateway_" not in file.read_text()
        assert not page.exists()
        settings.write_text('{"mcpServers": {"all": {"httpUrl": "http://localhost:9100/mcp"}}}')
        refresh(desk.machine)
        assert "`gateway_search`" in file.read_text()
        assert page.exists()
        desk.serve("x", expose="full")
        refresh(desk.machine)
        assert "`gateway_search`" not in file.read_text()
        assert "`gateway_list_tools`" in file.read_text()

    def test_the_plugin_in_use(self, desk: Desk) -> None:
        """Claude Code has the entry for all servers where it has the plugin."""
        settings = desk.user / ".claude" / "settings.json"
        settings.parent.mkdir()
        settings.write_text('{"enabledPlugins": {"mcpgateway@mcpgateway": true}}')
        desk.install("claude-code", project=False)
        assert "`gateway_search`" in (desk.user / ".claude" / "CLAUDE.md").read_text()
        for other in (
            '{"enabledPlugins": {"mcpgateway@mcpgateway": false}}',
            "[]",
            "{",
            '{"enabledPlugins": []}',
        ):
            settings.write_text(other)
            refresh(desk.machine)
            assert "`gateway_search`" not in (desk.user / ".claude" / "CLAUDE.md").read_text()

    def test_the_plugin(self, desk: Desk) -> None:
        """The plugin's entry has the gateway's present port."""
        desk.install(PLUGIN, project=False)
        file = desk.home / PLUGIN / ".mcp.json"
        assert json.loads(file.read_text())["mcpServers"]["mcpgateway"]["url"] == "http://localhost:9100/mcp"
        desk.serve("x", http_port=9999)
        refresh(desk.machine)
        assert json.loads(file.read_text())["mcpServers"]["mcpgateway"]["url"] == "http://localhost:9999/mcp"

    def test_a_damaged_record(self, desk: Desk) -> None:
        """A record that cannot be read is told with the remedy, and stops nothing else."""
        desk.install("codex")
        (desk.home / "instructions.json").write_text("[]")
        refresh(desk.machine)
        with pytest.raises(ConfigError, match=r"instructions\.json: is damaged"):
            listed(desk.machine)
