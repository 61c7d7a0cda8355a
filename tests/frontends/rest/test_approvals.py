"""Approvals of repositories' files, as the control plane shows and takes them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mcpgateway.config.merge import WorkspaceSpec, World
from mcpgateway.hub.repo_servers import Approvals
from tests.support.gateway_in_memory import Answer, MemoryGateway

ADMIN = {"Authorization": "Bearer admin-token"}
DB = {"command": "/opt/db", "args": ["--token=sekret123456"], "env": {"NODE_OPTIONS": "-r x", "A": "hidden"}}
PATH = "/api/v1/approvals"


class House:
    """A gateway on a machine with a repository."""

    def __init__(self, directory: Path) -> None:
        self.gateway = MemoryGateway()
        self.file = directory / "shop" / ".mcp.json"
        self.file.parent.mkdir()
        self.write(db=DB)
        home = directory / "home"
        home.mkdir(mode=0o700)
        world = World({"PATH": "/bin"}, {}, str(directory))
        made = Approvals(str(home), world, lambda root: WorkspaceSpec(root, {}), lambda: (), lambda: 0.0)
        made.projects = (str(self.file.parent),)
        self.gateway.dispatcher.scopes.repositories = made

    def write(self, **servers: Any) -> None:
        """Write the file of the repository."""
        self.file.write_text(json.dumps({"mcpServers": servers}))

    def file_now(self) -> Any:
        """The file as it is shown."""
        (found,) = self.gateway.client().ask(b"", "GET", PATH).json["items"]
        return found

    def answer(self, answer: str, header: dict[str, str] = ADMIN, **changed: str) -> Answer:
        """Answer for the file as it was shown."""
        shown = self.file_now()
        body = {"path": shown["path"], "sha256": shown["sha256"], "answer": answer, **changed}
        return self.gateway.client("x", **header).ask(body, "POST", PATH)

    def waits(self) -> bool:
        """Return whether the health has the file among those that wait."""
        return bool(self.gateway.client().ask(b"", "GET", "/health").json["approvals"])


@pytest.fixture
def house(tmp_path: Path) -> House:
    """A machine."""
    return House(tmp_path.resolve())


class ApprovalTests:
    """Requests about approvals."""

    def test_shown(self, house: House) -> None:
        """A file is shown with what it would run, and without any value of a secret."""
        found = house.file_now()
        assert found["path"] == str(house.file)
        assert found["state"] == "waiting"
        (server,) = found["servers"]
        assert server["name"] == "db"
        assert server["runs"].startswith("/opt/db '--token=")
        assert server["env"] == ["A", "NODE_OPTIONS"]
        assert server["code_loading"] == ["NODE_OPTIONS"]
        assert not any(each in json.dumps(found) for each in ("sekret", "hidden"))

    def test_answers(self, house: House) -> None:
        """A file is approved or refused as it is, waits again once it changes, and the answer can be withdrawn."""
        assert house.waits()
        assert house.answer("refuse").json["state"] == "refused"
        assert not house.waits()
        assert house.answer("approve").json["state"] == "approved"
        assert not house.waits()
        house.write(db={**DB, "command": "/opt/other"})
        assert house.file_now()["state"] == "changed"
        assert house.waits()
        assert house.answer("revoke").json["state"] == "waiting"

    def test_another_content(self, house: House) -> None:
        """An answer counts for the content that was shown, and for no other file."""
        assert house.answer("approve", sha256="0" * 64).status == 412
        assert house.answer("approve", path="/etc/.mcp.json").status == 404
        assert house.answer("perhaps").status == 400
        assert house.file_now()["state"] == "waiting"

    @pytest.mark.parametrize("header", [{}, {"Authorization": "Bearer bearer-token"}])
    def test_administrators_only(self, house: House, header: dict[str, str]) -> None:
        """Only an administrator decides what runs."""
        assert house.answer("approve", header).status in (401, 403)
        assert house.file_now()["state"] == "waiting"

    def test_no_repositories(self) -> None:
        """Without workspaces of their own servers there is nothing to approve."""
        assert MemoryGateway().client().ask(b"", "GET", PATH).json == {"items": []}
