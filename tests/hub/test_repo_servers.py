"""The servers of a repository: inert until their user approves, and then there for its clients alone."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from mcpgateway.config.dotenv import parse_dotenv
from mcpgateway.config.merge import WorkspaceSpec, World
from mcpgateway.config.model import ServerSpec, Share
from mcpgateway.hub.repo_servers import Approvals
from mcpgateway.hub.workspaces import WorkspaceSettings
from mcpgateway.system import approvals as kept
from mcpgateway.system.workspaces import WorkspaceFinder
from tests.support.gateway_in_memory import Answer, Client, MemoryGateway
from tests.support.modern_client import list_tools, post, reply, request

DB = {"command": "/opt/db", "args": ["--url", "x y"], "env": {"DB_TOKEN": "${TOKEN}", "B": "hidden value"}}
GLOBAL = ServerSpec("everybodys", ("run",), {}, "/", share=Share.GLOBAL, title="everybodys")


class House:
    """A gateway on a machine with repositories."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory.resolve()
        self.home = self.directory / "gateway"
        self.home.mkdir(mode=0o700, exist_ok=True)
        self.start()

    def start(self, store: Any = None) -> None:
        """Begin with a new gateway."""
        self.gateway = MemoryGateway(more=(GLOBAL,), store=store)
        scopes = self.gateway.dispatcher.scopes
        places = WorkspaceFinder((), str(self.directory), self.gateway.clock.seconds)
        scopes.configure(WorkspaceSettings(places, (), self.read, lambda server, _: server, lambda _: False))
        world = World({"PATH": "/bin"}, {}, str(self.directory))
        self.approvals = Approvals(
            str(self.home), world, scopes.workspace, self.gateway.dispatcher.servers.keys, lambda: 0.0
        )
        scopes.repositories = self.approvals

    def read(self, path: str) -> WorkspaceSpec:
        """The values of a workspace."""
        file = Path(path, ".env")
        return WorkspaceSpec(path, parse_dotenv(file.read_text(), str(file)) if file.exists() else {})

    def repository(self, name: str, **servers: Any) -> Path:
        """A repository that defines servers."""
        root = self.directory / name
        (root / ".git").mkdir(parents=True, exist_ok=True)
        (root / ".env").write_text(f"TOKEN={name}\n")
        (root / ".mcp.json").write_text(json.dumps({"mcpServers": servers}))
        return root

    def approve(self, root: Path) -> None:
        """Approve a repository's file as it is."""
        path = kept.target(str(root))
        self.approvals.approve(str(root), kept.digest_of(path))

    def client(self, server: str, where: Path) -> Client:
        """A new connection of a client that works somewhere."""
        return self.gateway.client(server, **{"Mcp-Project-Path": str(where)})

    def begin(self, server: str, where: Path) -> tuple[Client, Answer]:
        """Return a client of a server in a directory, with the answer to its handshake."""
        client = self.client(server, where)
        return client, client.initialize(protocolVersion="2025-06-18")


@pytest.fixture
def house(tmp_path: Path) -> House:
    """A machine."""
    return House(tmp_path)


class InertTests:
    """Servers that are not approved."""

    def test_refused(self, house: House) -> None:
        """The refusal says what would run, whole, from which file, and how to approve; and no value."""
        root = house.repository("shop", db=DB)
        _, answer = house.begin("db", root)
        error = answer.json["error"]
        assert answer.json["id"] == 0
        assert f"{root}/.mcp.json" in error["message"]
        assert "/opt/db --url 'x y', with B, DB_TOKEN set" in error["message"]
        assert f"mcpgateway config approve {root}/.mcp.json" in error["message"]
        assert error["data"]["command"] == ["/opt/db", "--url", "x y"]
        assert error["data"]["sha256"] == hashlib.sha256((root / ".mcp.json").read_bytes()).hexdigest()
        assert "hidden value" not in answer.body.decode()
        assert not house.gateway.launcher.children

    def test_forged(self, house: House) -> None:
        """Control characters of a terminal are shown, and nothing is cut."""
        long = "x" * 5000
        root = house.repository("shop", db={"command": "run", "args": ["\x1b[2Kharmless\n", long]})
        _, answer = house.begin("db", root)
        message = answer.json["error"]["message"]
        assert "\\x1b[2Kharmless\\n" in message
        assert long in message
        assert "\x1b" not in message

    def test_changed(self, house: House) -> None:
        """A file that has changed is inert again, whatever has changed in it."""
        root = house.repository("shop", db=DB)
        house.approve(root)
        assert "result" in house.begin("db", root)[1].json
        with (root / ".mcp.json").open("a") as file:
            file.write("\n")
        assert "error" in house.begin("db", root)[1].json
        house.approve(root)
        assert "result" in house.begin("db", root)[1].json
        assert house.approvals.revoke(str(root / ".mcp.json"))
        assert not house.approvals.revoke(str(root))
        assert "error" in house.begin("db", root)[1].json

    def test_moved(self, house: House) -> None:
        """The same bytes at another place are not approved."""
        shop, copy = house.repository("shop", db=DB), house.repository("copy", db=DB)
        house.approve(shop)
        assert "error" in house.begin("db", copy)[1].json

    def test_approvals_lost(self, house: House) -> None:
        """Where it cannot be read what was approved, nothing was."""
        root = house.repository("shop", db=DB)
        house.approve(root)
        (house.home / "approvals.json").write_text("?")
        assert "error" in house.begin("db", root)[1].json

    @pytest.mark.parametrize(
        "text", ["", "{", "[]", '{"mcpServers": 1}', '{"mcpServers": {"db": {"url": "http://x"}}}', "\0"]
    )
    def test_unusable(self, house: House, text: str) -> None:
        """A file that says nothing of a server is no error, and the server is unknown."""
        root = house.repository("shop")
        (root / ".mcp.json").write_text(text)
        _, answer = house.begin("db", root)
        assert (answer.status, answer.json["error"]["message"]) == (404, "Unknown server: db")

    def test_waiting(self, house: House) -> None:
        """Health shows the files of the workspaces that are known, until they are approved."""
        seen, never, project = (
            house.repository(each, db=DB, web=DB) for each in ("seen", "never", "project")
        )
        house.approvals.projects = (str(project), "/no/such")
        house.begin("db", seen)
        health = house.gateway.client().ask(b"", "GET", "/health")
        body = health.json
        assert body["approvals"] == [
            {"path": f"{root}/.mcp.json", "servers": ["db", "web"]} for root in (seen, project)
        ]
        assert str(never) not in health.body.decode()
        house.approve(seen)
        assert [each["path"] for each in house.approvals.waiting()] == [f"{project}/.mcp.json"]


class ApprovedTests:
    """Servers that are approved."""

    def test_served(self, house: House) -> None:
        """An approved server runs in its repository, with the values of that one."""
        root = house.repository("shop", db=DB)
        house.approve(root)
        client, _ = house.begin("db", root)
        launched = house.gateway.child.launched
        assert launched is not None
        assert (launched.argv, launched.cwd) == (("/opt/db", "--url", "x y"), str(root))
        assert launched.env["DB_TOKEN"] == "shop"
        client.call(1)
        assert house.gateway.child.asked("tools/call")

    def test_nobody_elses(self, house: House) -> None:
        """Another workspace has its own server of that name, or none."""
        shop, blog, wiki = (
            house.repository("shop", db=DB),
            house.repository("blog", db=DB),
            house.repository("wiki"),
        )
        for root in (shop, blog, shop):
            house.approve(root)
            assert "result" in house.begin("db", root)[1].json
        assert "Unknown server" in house.begin("db", wiki)[1].json["error"]["message"]
        tokens = [each.launched.env["DB_TOKEN"] for each in house.gateway.launcher.children if each.launched]
        assert tokens == ["shop", "blog"]

    def test_a_name_that_is_taken(self, house: House) -> None:
        """A repository's server never takes the name of one that is there for everybody."""
        root = house.repository("shop", everybodys=DB)
        house.approve(root)
        house.begin("everybodys", root)
        assert house.gateway.child.launched is not None
        assert house.gateway.child.launched.argv == ("run",)
        assert "result" in house.begin("everybodys-shop", root)[1].json
        assert house.gateway.child.launched.argv[0] == "/opt/db"

    def test_without_a_path(self, house: House) -> None:
        """A session needs not say again where it works."""
        root = house.repository("shop", db=DB)
        house.approve(root)
        client, _ = house.begin("db", root)
        del client.headers["Mcp-Project-Path"]
        client.call(1)
        assert house.gateway.child.asked("tools/call")

    def test_after_a_restart(self, house: House) -> None:
        """A session comes back to the server of its workspace, if that is still approved."""
        root = house.repository("shop", db=DB)
        house.approve(root)
        client, _ = house.begin("db", root)
        del client.headers["Mcp-Project-Path"]
        house.start(house.gateway.store)
        house.gateway.client("db", **client.headers).call(1)
        assert house.gateway.child.asked("tools/call")
        house.approvals.revoke(str(root))
        house.start(house.gateway.store)
        again = house.gateway.client("db", **client.headers)
        again.call(1)
        assert again.heard is not None
        assert "approve" in again.heard.json["error"]["message"]

    def test_modern(self, house: House) -> None:
        """A request without a session is served by where it comes from."""
        root = house.repository("shop", db=DB)
        client = house.client("db", root)
        client.headers["X-Mcpgateway-Stdio"] = "1"
        house.approve(root)
        house.begin("db", root)
        post(client, request(1, "tools/call", name="t"))
        child = house.gateway.launcher.children[0]
        list_tools(child)
        child.answer(child.asked("tools/call")[-1], {"content": []})
        assert "result" in reply(client)

    def test_old_sse(self, house: House) -> None:
        """The stream of a client of 2024-11-05 is served as any other."""
        root = house.repository("shop", db=DB)
        house.approve(root)
        stream = house.client("db", root)
        stream.send(b"", "GET", "/db/sse", Accept="text/event-stream")
        address = stream.transport.taken.split(b"data: ")[1].split(b"\n")[0].decode()
        body = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {}}
        assert house.gateway.client().ask(body, path=address).status == 202
        assert b'"serverInfo"' in stream.transport.taken

    @pytest.mark.parametrize("share", ["global", "credential"])
    def test_never_shared_further(self, house: House, share: str) -> None:
        """A repository's server is shared by its workspace at most, with any known traits."""
        root = house.repository("shop", db={**DB, "share": share})
        house.approve(root)
        house.begin("db", root)
        (slot,) = house.gateway.dispatcher.pool
        assert slot.server.share is Share.WORKSPACE
        assert slot.server.workspace == str(root)
