"""Servers that are installed: tried first, written then, listed at last."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve
from twisted.internet.defer import Deferred

from mcpgateway.backends.validation import ValidationReport
from mcpgateway.config.edit.edits import Put, Remove
from mcpgateway.config.model import ServerSpec, Share
from mcpgateway.errors import (
    BackendError,
    BackendGone,
    ConfigError,
    InvalidParams,
    NeedsApproval,
    NeedsAuthorization,
    Overloaded,
    UnknownServer,
)
from mcpgateway.manage.install import WAITING_LIMIT, InstallOutcome
from mcpgateway.manage.install_plans import words_of
from mcpgateway.policy.secrets.shapes import MASK
from mcpgateway.system import approvals
from tests.support.managed import CONFIG, Managed, failed, repository, worked

TIME = {"command": "uvx", "args": ["mcp-server-time"]}


@pytest.fixture
def managed(tmp_path: Path) -> Managed:
    """A gateway's configuration."""
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    return Managed(home)


class Outcome:
    """The outcome of an installation."""

    def __init__(self, begun: Deferred[InstallOutcome]) -> None:
        self.done: InstallOutcome | None = None
        self.error: BaseException | None = None
        begun.addCallbacks(self._done, self._failed)

    def _done(self, found: InstallOutcome) -> None:
        self.done = found

    def _failed(self, why: Any) -> None:
        self.error = why.value


def install(
    managed: Managed, name: str = "time", entry: Any = None, root: str = "", tools: Any = ("now",)
) -> Outcome:
    """Plan and install a server, whose tools are these or cannot be listed."""

    async def listed(_: ServerSpec) -> Sequence[str]:
        if isinstance(tools, Exception):
            raise tools
        return tools

    plan = managed.plans.plan(name, TIME if entry is None else entry, root)
    return Outcome(managed.installing.install(plan, listed))


class GlobalTests:
    """Servers for everybody."""

    def test_installed(self, managed: Managed) -> None:
        """A server that works is written among the servers, comments stay, and is served at once."""
        found = install(managed)
        assert found.done is not None
        assert found.done.tools == ("now",)
        assert [each.command for each in managed.tried] == [("uvx", "mcp-server-time")]
        assert managed.text.startswith(CONFIG)
        assert managed.names == ["a", "time"]

    def test_it_is_tried_as_it_would_be(self, managed: Managed) -> None:
        """The server that is tried is the one that the configuration would make, with its values."""
        (managed.home / ".env").write_text("KEY=value of it\n")
        managed.reload.read()
        install(managed, entry={**TIME, "env": {"K": "${KEY}"}})
        (tried,) = managed.tried
        assert tried.env["K"] == "value of it"
        assert tried == managed.reload.settings.servers[1]

    def test_what_does_not_work(self, managed: Managed) -> None:
        """A server that does not work is not written and not served, and its last words are passed on without
        secrets.
        """
        (managed.home / ".env").write_text("TOKEN=sesame-open-up\n")
        managed.reload.read()
        managed.reports["time"] = failed(
            "time", "exited unexpectedly (exit code 1)\nbad token sesame-open-up"
        )
        found = install(managed, entry={**TIME, "env": {"TOKEN": "${TOKEN}"}})
        assert isinstance(found.error, BackendError)
        assert f"bad token {MASK}" in str(found.error)
        assert "sesame" not in str(found.error)
        assert managed.text == CONFIG
        assert managed.names == ["a"]

    def test_what_cannot_be_listed(self, managed: Managed) -> None:
        """A written entry is taken back byte for byte where the tools cannot be listed in the end."""
        found = install(managed, tools=BackendGone("it has ended"))
        assert "time was not installed: it has ended" in str(found.error)
        assert managed.text == CONFIG
        assert managed.names == ["a"]

    def test_somebody_else_writes_meanwhile(self, managed: Managed) -> None:
        """Another writer's changes stay when the entry is taken back."""

        async def listed(_: ServerSpec) -> Sequence[str]:
            managed.file.write_text(managed.text.replace("# mine", "# theirs"))
            raise BackendGone("it has ended")

        found = Outcome(managed.installing.install(managed.plans.plan("time", TIME), listed))
        assert found.error is not None
        assert managed.text == CONFIG.replace("# mine", "# theirs")
        assert managed.names == ["a"]

    def test_the_same_again(self, managed: Managed) -> None:
        """A server that is installed already is not written and not tried, only listed."""
        install(managed)
        before = managed.text
        found = install(managed)
        assert found.done is not None
        assert found.done.was_there
        assert found.done.tools == ("now",)
        assert len(managed.tried) == 1
        assert managed.text == before

    @pytest.mark.parametrize("name", ["a"])
    def test_a_name_that_is_taken(self, managed: Managed, name: str) -> None:
        """Another definition of a known name is refused before anything is tried."""
        with pytest.raises(InvalidParams, match="already, and it is defined otherwise") as caught:
            managed.plans.plan(name, TIME)
        assert "remove_server" in caught.value.hint

    @pytest.mark.parametrize(
        ("entry", "says"),
        [
            ({"command": "x", "url": "http://e.com"}, "either a command or a url"),
            ({"args": ["x"]}, "it is not an entry with a command, a url"),
            ({"command": "x", "share": "everybody"}, "share"),
            ({"command": "x", "env": {"PATH": "/evil"}}, "PATH"),
            ({"command": "x", "headers": {"Host": "evil"}}, "Host"),
            ({"command": "${MISSING:?is needed}"}, "is needed"),
        ],
    )
    def test_what_a_configuration_would_refuse(self, managed: Managed, entry: Any, says: str) -> None:
        """A definition that could not be used is refused before it is written or tried."""
        with pytest.raises((InvalidParams, ConfigError), match=says):
            managed.plans.plan("x", entry)
        assert managed.text == CONFIG

    def test_a_broken_configuration(self, managed: Managed) -> None:
        """Where the file has an error already, that is to be mended first."""
        managed.file.write_text("servers: [")
        managed.reload.read()
        with pytest.raises(ConfigError, match="mend that first"):
            managed.plans.plan("time", TIME)

    def test_a_server_that_wants_its_user(self, managed: Managed) -> None:
        """Where a user has to let the gateway in, the address for that is passed on."""
        why = NeedsAuthorization("linear wants you: open https://x/y", "", {"url": "https://x/y"})
        managed.reports["linear"] = failed("linear", why.message, why)
        found = install(managed, "linear", {"url": "https://mcp.linear.app/mcp", "oauth": True})
        assert isinstance(found.error, NeedsAuthorization)
        assert found.error.data == {"url": "https://x/y"}
        assert "install it again" in found.error.hint
        assert managed.text == CONFIG


class QueueTests:
    """Several at once."""

    def test_one_after_the_other(self, managed: Managed) -> None:
        """The second begins when the first is done."""
        waiting: Deferred[ValidationReport] = Deferred()
        managed.reports["one"] = waiting
        first, second = install(managed, "one"), install(managed, "two")
        assert [each.name for each in managed.tried] == ["one"]
        waiting.callback(worked("one"))
        assert first.done is not None
        assert second.done is not None
        assert managed.names == ["a", "one", "two"]

    def test_two_of_one_name(self, managed: Managed) -> None:
        """A plan that waited for another installation is checked again: an equal server is there, another is
        refused.
        """
        waiting: Deferred[ValidationReport] = Deferred()
        managed.reports["one"] = waiting
        install(managed, "one")
        same, other = install(managed, "one"), install(managed, "one", {"command": "other"})
        waiting.callback(worked("one"))
        assert same.done is not None
        assert same.done.was_there
        assert isinstance(other.error, InvalidParams)

    def test_not_too_many(self, managed: Managed) -> None:
        """Beyond a limit nobody waits."""
        managed.reports["x"] = Deferred()
        for _ in range(WAITING_LIMIT + 1):
            install(managed, "x")
        with pytest.raises(Overloaded):
            install(managed, "x")


class WorkspaceTests:
    """Servers of one workspace."""

    def test_a_new_file(self, managed: Managed, tmp_path: Path) -> None:
        """A workspace's new file is made and approved, and its server is served in the workspace alone."""
        root = repository(tmp_path / "shop")
        found = install(managed, root=str(root))
        assert found.done is not None
        file = root / ".mcp.json"
        assert json.loads(file.read_text()) == {"mcpServers": {"time": TIME}}
        assert approvals.read(str(managed.home)) == {str(file): approvals.digest_of(str(file))}
        own = managed.plans.workspaces.own("time", str(root))
        assert (own.workspace, own.share) == (str(root), Share.WORKSPACE)
        assert managed.names == ["a"]
        assert managed.text == CONFIG
        (tried,) = managed.tried
        # Its launch digest is part of it only where it is run.
        assert evolve(tried, credential=own.credential) == own

    def test_taken_back(self, managed: Managed, tmp_path: Path) -> None:
        """A file whose server's tools cannot be listed is removed again."""
        root = repository(tmp_path / "shop")
        assert install(managed, root=str(root), tools=BackendGone("gone")).error is not None
        assert not (root / ".mcp.json").exists()

    def test_a_file_that_nobody_approved_of(self, managed: Managed, tmp_path: Path) -> None:
        """A file that nobody has approved is not written to, as its other entries would be approved as well."""
        text = '{"mcpServers": {"evil": {"command": "evil"}}}'
        root = repository(tmp_path / "shop", text)
        with pytest.raises(NeedsApproval) as caught:
            install(managed, root=str(root))
        assert "mcpgateway config approve" in caught.value.hint
        assert (root / ".mcp.json").read_text() == text

    def test_a_file_that_was_approved_of(self, managed: Managed, tmp_path: Path) -> None:
        """An approved file stays approved with the new entry, and the rest of it is unchanged."""
        text = '{\n  "mcpServers": {\n    "b": {"command": "b"}\n  },\n  "note": 1\n}\n'
        root = repository(tmp_path / "shop", text)
        path = str(root / ".mcp.json")
        approvals.approve(str(managed.home), path, approvals.digest_of(path), 0.0)
        assert install(managed, root=str(root)).done is not None
        assert managed.plans.workspaces.own("b", str(root)).command == ("b",)
        assert '"b": {"command": "b"}' in (root / ".mcp.json").read_text()
        assert install(managed, "other", root=str(root), tools=BackendGone("gone")).error is not None
        assert managed.plans.workspaces.own("time", str(root)).command == ("uvx", "mcp-server-time")
        managed.installing.change((Remove(("time",)),), str(root))
        assert json.loads((root / ".mcp.json").read_text()) == json.loads(text)
        assert managed.plans.workspaces.own("b", str(root)).command == ("b",)

    def test_the_same_again(self, managed: Managed, tmp_path: Path) -> None:
        """A server that the workspace has already is only listed."""
        root = repository(tmp_path / "shop")
        install(managed, root=str(root))
        found = install(managed, root=str(root))
        assert found.done is not None
        assert found.done.was_there

    def test_what_cannot_stand_there(self, managed: Managed, tmp_path: Path) -> None:
        """A remote is reached by clients themselves, and everybody's names stay everybody's."""
        root = repository(tmp_path / "shop")
        with pytest.raises(InvalidParams, match="url cannot stand"):
            install(managed, entry={"url": "https://e.com/mcp"}, root=str(root))
        with pytest.raises(InvalidParams, match="already"):
            install(managed, "a", root=str(root))

    def test_a_link_out_of_the_workspace(self, managed: Managed, tmp_path: Path) -> None:
        """A file that is a link is not written through."""
        root = repository(tmp_path / "shop")
        (tmp_path / "secret.json").write_text("{}")
        (root / ".mcp.json").symlink_to(tmp_path / "secret.json")
        with pytest.raises(ConfigError, match="leads out"):
            install(managed, root=str(root))
        assert (tmp_path / "secret.json").read_text() == "{}"


class ChangeTests:
    """Servers that are there."""

    def test_removed(self, managed: Managed) -> None:
        """An entry is taken out, and the rest of the file stays."""
        install(managed)
        assert managed.installing.change((Remove(("time",)),)) == str(managed.file)
        assert managed.text == CONFIG
        assert managed.names == ["a"]

    def test_unknown(self, managed: Managed, tmp_path: Path) -> None:
        """A server that does not exist cannot be changed."""
        with pytest.raises(UnknownServer):
            managed.installing.change((Remove(("b",)),))
        root = repository(tmp_path / "shop")
        with pytest.raises(UnknownServer):
            managed.installing.change((Remove(("b",)),), str(root))

    def test_a_change_that_breaks_a_workspace(self, managed: Managed, tmp_path: Path) -> None:
        """A change that breaks a workspace's file is taken back."""
        root = repository(tmp_path / "shop")
        install(managed, root=str(root))
        before = (root / ".mcp.json").read_text()
        with pytest.raises(ConfigError, match="could not be run"):
            managed.installing.change((Put(("time", "args"), 7),), str(root))
        assert (root / ".mcp.json").read_text() == before


class WordsTests:
    """The questions that a user is asked."""

    def test_word_by_word(self, managed: Managed) -> None:
        """The question has every word of the command, and no word can pass for another line."""
        entry = {
            "command": "run",
            "args": ["a b", "x\u202ey", "z" * 500],
            "cwd": "/t\x1b[2J",
            "env": {"K": "${K:-v}"},
        }
        said = words_of(managed.plans.plan("x", entry))
        assert f"It would run: run 'a b' 'x\\u202ey' {'z' * 500}" in said.replace("\\\\", "\\")
        assert 'env: {"K": "${K:-v}"}' in said
        assert "\x1b" not in said
        assert str(managed.file) in said
        assert "all clients" in said
