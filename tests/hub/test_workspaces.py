"""Workspaces, credentials, directories and sessions of callers, and the child that serves each, in both eras."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from attrs import evolve
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mcpgateway.config.dotenv import parse_dotenv
from mcpgateway.config.merge import WorkspaceSpec
from mcpgateway.config.model import ServerSpec, Share, Workspace
from mcpgateway.errors import ConfigError
from mcpgateway.frontends.http.peers import HttpPeer
from mcpgateway.hub.pool import IDLE_TICKS, PLACES_LIMIT
from mcpgateway.hub.workspaces import WorkspaceSettings
from mcpgateway.policy.access import AccessPolicy, Reach
from mcpgateway.policy.agent_tokens import AgentToken, digest_of
from mcpgateway.protocol.versions import Era
from mcpgateway.system.files import read_text
from mcpgateway.system.workspaces import WorkspaceFinder
from tests.support.gateway_in_memory import Client, MemoryChild, MemoryGateway
from tests.support.modern_client import meta

AGENT_TOKEN = "mcpg_agent"
VARIABLE = "TOKEN"


def credential(token: str) -> str:
    """The credential of a token."""
    return hashlib.sha256(token.encode()).hexdigest()


def spec(name: str, share: Share, **more: Any) -> ServerSpec:
    """A server whose entry takes one value from the environment, which our own is ``mine``."""
    own = {"env": {VARIABLE: "mine"}, "credential": credential("mine"), "title": name, **more}
    return ServerSpec(name, ("run",), cwd="/", share=share, **own)


def built(server: ServerSpec, workspace: WorkspaceSpec) -> ServerSpec:
    """The same server with a workspace's value."""
    token = workspace.variables.get(VARIABLE, "mine")
    env = {VARIABLE: token}
    return evolve(server, env=env, workspace=workspace.path, credential=credential(token))


def takes_values(server: ServerSpec) -> bool:
    """Return whether a server takes values of a workspace."""
    return VARIABLE in server.env


def read(path: str) -> WorkspaceSpec:
    """The values of a workspace."""
    try:
        return WorkspaceSpec(path, parse_dotenv(read_text(f"{path}/.env", 4096), f"{path}/.env"))
    except FileNotFoundError:
        return WorkspaceSpec(path)


SERVERS = tuple(spec(f"s-{each.value}", each) for each in Share if each is not Share.AUTO)


class House:
    """A gateway on a machine with a few workspaces."""

    def __init__(self, directory: Path, *, more: tuple[ServerSpec, ...] = SERVERS) -> None:
        self.directory = directory.resolve()
        self.named = (Workspace("named", str(self.workspace("named", "named"))),)
        self.gateway = MemoryGateway(more=more)
        self.settle()

    def settle(self) -> None:
        """Let the gateway know the workspaces."""
        roots = (each.path for each in self.named)
        places = WorkspaceFinder(roots, str(self.directory), self.gateway.clock.seconds)
        self.gateway.dispatcher.scopes.configure(
            WorkspaceSettings(places, self.named, read, built, takes_values)
        )

    def workspace(self, name: str, token: str = "") -> Path:
        """A repository, with a token of its own if it has one."""
        root = self.directory / name
        (root / ".git").mkdir(parents=True, exist_ok=True)
        if token:
            (root / ".env").write_text(f"{VARIABLE}={token}\n")
        return root

    def client(self, server: str, where: object = "", **headers: str) -> Client:
        """A new connection of a client that says where it works."""
        said = {"Mcp-Project-Path": str(where)} if where else {}
        return self.gateway.client(server, **said, **headers)

    def session(self, server: str, where: object = "", **headers: str) -> Client:
        """Return a client with a session."""
        client = self.client(server, where, **headers)
        assert client.initialize(protocolVersion="2025-06-18").status == 200
        return client

    def serves(self, client: Client) -> MemoryChild:
        """The child that a client's calls go to."""
        before = [len(each.received) for each in self.gateway.launcher.children]
        client.call(1)
        (child,) = [
            each
            for each, had in zip(self.gateway.launcher.children, [*before, *([0] * 9)], strict=False)
            if len(each.received) > had and each.asked("tools/call")
        ]
        request = child.asked("tools/call")[-1]
        child.answer(request, {"content": []})
        return child

    def token(self, client: Client) -> str:
        """The token that a client's child was given."""
        launched = self.serves(client).launched
        assert launched is not None
        return launched.env[VARIABLE]


@pytest.fixture
def house(tmp_path: Path) -> House:
    """A machine."""
    return House(tmp_path)


class ShareTests:
    """Sessions that share a child."""

    @pytest.mark.parametrize(
        ("share", "children"),
        [
            (Share.GLOBAL, 1),
            (Share.WORKSPACE, 3),
            (Share.CREDENTIAL, 2),
            (Share.ISOLATED, 4),
            (Share.SESSION, 8),
        ],
    )
    def test_table(self, house: House, share: Share, children: int) -> None:
        """Two sessions in each of four directories of three workspaces, two of which have one token."""
        shop, blog, wiki = (house.workspace(*each) for each in (("shop", "a"), ("blog", "b"), ("wiki", "a")))
        (shop / "src").mkdir()
        found = [
            house.serves(house.session(f"s-{share.value}", where))
            for where in (shop, shop / "src", blog, wiki) * 2
        ]
        assert len(set(map(id, found))) == children
        tokens = [each.launched.env[VARIABLE] for each in found if each.launched is not None]
        assert tokens == (["mine"] * 8 if share is Share.GLOBAL else ["a", "a", "b", "a"] * 2)

    def test_nobodys_workspace(self, house: House) -> None:
        """A client in no workspace gets the server as its entry says."""
        for server in SERVERS:
            assert house.token(house.session(server.name)) == "mine"

    def test_values_change(self, house: House) -> None:
        """New values of a workspace give new sessions another child; those that are open keep theirs."""
        shop = house.workspace("shop", "old")
        before = house.session("s-workspace", shop)
        assert house.token(before) == "old"
        house.workspace("shop", "brand new")
        after = house.session("s-workspace", shop)
        assert (house.token(after), house.token(before)) == ("brand new", "old")

    def test_unusable_values(self, house: House) -> None:
        """A workspace whose values cannot be read gets an error that names the file, not others' values."""
        shop = house.workspace("shop")
        (shop / ".env").write_text("this is none\n")
        answer = house.client("s-workspace", shop).initialize(protocolVersion="2025-06-18")
        assert f"{shop}/.env, line 1" in answer.json["error"]["message"]
        assert house.session("s-global", shop)

    def test_a_link_to_the_values_of_others(self, house: House) -> None:
        """A repository that links to another's secrets is not given them."""
        shop = house.workspace("shop", "secret")
        evil = house.workspace("evil")
        (evil / ".env").symlink_to(shop / ".env")
        answer = house.client("s-credential", evil).initialize(protocolVersion="2025-06-18")
        assert "leads out of its workspace" in answer.json["error"]["message"]
        assert not house.gateway.launcher.children


class WhoTests:
    """Workspaces of clients."""

    def test_in_order(self, house: House) -> None:
        """The path of a request goes before its project, that before its handshake's words, that before its process."""
        for name in ("one", "two", "three"):
            house.workspace(name, name)
        one, two, three = (str(house.directory / each) for each in ("one", "two", "three"))
        client = house.client("s-workspace", one, **{"X-MCP-Project": two})
        client.initialize(protocolVersion="2025-06-18", cwd=three)
        assert house.token(client) == "one"
        client = house.client("s-workspace", **{"X-MCP-Project": two})
        client.initialize(protocolVersion="2025-06-18", cwd=three)
        assert house.token(client) == "two"
        client = house.client("s-workspace", **{"X-Client-Pid": str(os.getpid())})
        client.initialize(
            protocolVersion="2025-06-18", clientInfo={"name": "x", "version": "1", "cwd": three}
        )
        assert house.token(client) == "three"

    def test_a_name(self, house: House) -> None:
        """A project can be named as the configuration names its workspace."""
        assert house.token(house.session("s-workspace", **{"X-MCP-Project": "named"})) == "named"

    def test_as_the_shim_says_it(self, house: House) -> None:
        """A path may be written as it stands in a URL."""
        where = house.workspace("my shop", "a")
        assert house.token(house.session("s-workspace", str(where).replace(" ", "%20"))) == "a"

    @pytest.mark.parametrize("said", ["relative", "/no/such/place", "/etc/hosts", "/", "/%00", "~", "{home}"])
    def test_no_workspace(self, house: House, said: str) -> None:
        """A path that is no directory of ours is no workspace, and no error."""
        assert house.token(house.session("s-workspace", said.format(home=house.directory))) == "mine"

    def test_its_process(self, house: House, monkeypatch: pytest.MonkeyPatch) -> None:
        """A client that names no directory works where the process at the other end of the connection does."""
        monkeypatch.chdir(house.workspace("shop", "a"))
        said = house.session("s-workspace", **{"X-Client-Pid": str(os.getpid() + 0)})
        assert house.token(said) == "mine"  # our own process is nobody's client
        for caller in (
            HttpPeer(None, Reach.SOCKET, pid=os.getpid()),
            HttpPeer(None, Reach.LOOPBACK, inode=7),
        ):
            house.gateway.processes.sockets[7] = os.getpid()
            client = house.client("s-workspace")
            client.channel.caller = caller
            client.initialize(protocolVersion="2025-06-18")
            assert house.token(client) == "a"

    def test_a_path_of_another_machine(self, house: House) -> None:
        """From another machine only a name means something, however a path is written."""
        house.gateway = MemoryGateway(more=SERVERS, policy=AccessPolicy(allow_remote=True))
        house.settle()
        shop = str(house.workspace("shop", "a"))
        encoded = quote(shop, safe="")
        for headers, token in (
            ({"Mcp-Project-Path": shop}, "mine"),
            ({"X-MCP-Project": shop}, "mine"),
            ({"X-MCP-Project": encoded}, "mine"),
            ({"X-MCP-Project": quote(encoded, safe="")}, "mine"),
            ({"Mcp-Project-Path": encoded, "X-MCP-Project": f".{encoded}"}, "mine"),
            ({"X-MCP-Project": "named"}, "named"),
        ):
            client = house.client("s-workspace", **headers, Authorization="Bearer bearer-token")
            client.channel.caller = HttpPeer(None, Reach.REMOTE)
            answer = client.initialize(protocolVersion="2025-06-18", cwd=shop)
            assert answer.status == 200
            assert house.token(client) == token

    @pytest.mark.parametrize(
        ("reach", "header"),
        [(Reach.LOOPBACK, f"Bearer {AGENT_TOKEN}"), (Reach.OTHER_USER, "Bearer bearer-token")],
    )
    def test_a_credential_of_his_own(self, house: House, reach: Reach, header: str) -> None:
        """A client with a token of its own, or of another user, chooses no directory; it may name a
        configured workspace.
        """
        agent = AgentToken("1", "agent", digest_of(AGENT_TOKEN.encode()).hex(), 0.0)
        house.gateway.bearers.admit_agents((agent,))
        shop = str(house.workspace("shop", "a"))
        for headers, token in (
            ({"Mcp-Project-Path": shop}, "mine"),
            ({"X-MCP-Project": shop}, "mine"),
            ({"X-MCP-Project": quote(shop, safe="")}, "mine"),
            ({"X-MCP-Project": "named"}, "named"),
        ):
            client = house.client("s-workspace", **headers, Authorization=header)
            client.channel.caller = HttpPeer(None, reach)
            assert client.initialize(protocolVersion="2025-06-18", cwd=shop).status == 200
            assert house.token(client) == token

    def test_nobody_is_looked_for_in_vain(self, house: House) -> None:
        """Where it does not matter where somebody works, it is only looked whose the sessions are, once."""
        for server in ("s-global", "shared", "own"):
            client = house.client(server)
            client.channel.caller = HttpPeer(None, Reach.LOOPBACK, inode=7)
            client.initialize(protocolVersion="2025-06-18")
            client.call(1)
        assert house.gateway.processes.searches == [{7}]


class RoadTests:
    """The ways that a request takes."""

    def test_without_a_session(self, house: House) -> None:
        """Requests without an id are told apart by where they come from."""
        for name in ("shop", "blog"):
            house.workspace(name, name)
        for name in ("shop", "blog", "shop"):
            assert house.token(house.client("s-workspace", house.directory / name)) == name
        assert len(house.gateway.launcher.children) == 2

    def test_a_session_keeps_its_place(self, house: House) -> None:
        """Wherever a request of a session says that it comes from, its child stays."""
        shop, blog = house.workspace("shop", "a"), house.workspace("blog", "b")
        client = house.session("s-credential", shop)
        client.headers["Mcp-Project-Path"] = str(blog)
        assert house.token(client) == "a"

    def test_a_slight_change(self, house: House) -> None:
        """A time that changes in the entry of a server ends no call, no child and no session of any workspace."""
        shops = [house.session("s-workspace", house.workspace(each, each)) for each in ("shop", "blog")]
        children = [house.serves(each) for each in shops]
        shops[0].call(2)
        house.gateway.edit("s-workspace", timeout_s=5.0)
        children[0].answer(children[0].asked("tools/call")[-1], {"x": 1})
        assert shops[0].heard.json["result"] == {"x": 1}
        assert [house.serves(each) for each in shops] == children
        assert [each.is_stopping for each in children] == [False, False]
        house.gateway.edit("s-workspace", command=("other",))
        assert all(each.is_stopping for each in children)

    def test_nobodys_place(self, house: House) -> None:
        """Where no workspace is known, a value that an entry demands of one is missed, and nothing is started."""

        def demanding(server: ServerSpec, workspace: WorkspaceSpec) -> ServerSpec:
            if not workspace.path:
                raise ConfigError("TOKEN: say it")
            return built(server, workspace)

        scopes = house.gateway.dispatcher.scopes
        finder = WorkspaceFinder((), "/none", lambda: 0.0)
        scopes.configure(WorkspaceSettings(finder, (), read, demanding, takes_values))
        for name in ("s-credential", "s-credential", "s-workspace"):
            answer = house.client(name, house.directory / "nowhere").initialize()
            assert answer.json["error"]["message"] == "TOKEN: say it"
        assert house.gateway.launcher.children == []
        assert house.token(house.session("s-credential", house.workspace("shop", "a"))) == "a"

    def test_after_a_restart(self, house: House) -> None:
        """A session that comes back is served for the workspace that it was begun in, with its values of today."""
        shop, blog = house.workspace("shop", "a"), house.workspace("blog", "b")
        client = house.session("s-credential", shop)
        former = house.gateway
        house.workspace("shop", "changed")
        again = House(house.directory)
        again.gateway = MemoryGateway(more=SERVERS, store=former.store)
        again.gateway.dispatcher.scopes.configure(
            WorkspaceSettings(WorkspaceFinder((), "/none", lambda: 0.0), (), read, built, takes_values)
        )
        back = again.gateway.client("s-credential", **{**client.headers, "Mcp-Project-Path": str(blog)})
        assert again.token(back) == "changed"

    def test_old_sse(self, house: House) -> None:
        """A stream is of the workspace that its request names; its handshake may name another."""
        shop, blog = house.workspace("shop", "a"), house.workspace("blog", "b")
        for said, token in (({}, "a"), ({"cwd": str(blog)}, "b")):
            stream = house.client("s-workspace", shop)
            stream.send(b"", "GET", "/s-workspace/sse", Accept="text/event-stream")
            address = stream.transport.taken.split(b"data: ")[1].split(b"\n")[0].decode()
            poster = house.client("s-workspace")
            for method, params in (("initialize", said), ("tools/call", {})):
                answer = poster.ask(
                    {"jsonrpc": "2.0", "id": method, "method": method, "params": params}, path=address
                )
                assert answer.status == 202
            child = house.gateway.launcher.children[-1]
            assert child.launched is not None
            assert (child.launched.env[VARIABLE], len(child.asked("tools/call"))) == (token, 1)


class ModernTests:
    """The era without sessions."""

    @pytest.mark.parametrize("era", list(Era))
    def test_its_workspace(self, tmp_path: Path, era: Era) -> None:
        """A request is served for the workspace that it comes from, also by a server of the other era."""
        server = spec("m", Share.WORKSPACE, protocol=era)
        house = House(tmp_path, more=(server,))
        house.gateway.launcher.eras["m"] = (era,)
        for name in ("shop", "blog", "shop"):
            house.workspace(name, name)
            client = house.client("m", house.directory / name, **{"X-Mcpgateway-Stdio": "1"})
            client.send(
                {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "t", "_meta": meta()}}
            )
            child = next(
                each
                for each in house.gateway.launcher.children
                if each.launched is not None and each.launched.env[VARIABLE] == name
            )
            child.answer(child.asked("tools/call")[-1], {"resultType": "complete", "content": []})
            assert client.heard is not None
            assert client.heard.status == 200
        assert len(house.gateway.launcher.children) == 2


class LettingGoTests:
    """The end of children that nobody uses any more."""

    def test_after_a_while(self, house: House) -> None:
        """The child of a workspace waits for the next session of its kind, and not for ever."""
        shop = house.workspace("shop", "a")
        house.session("s-workspace", shop).ask(b"", "DELETE")
        house.gateway.tick(IDLE_TICKS)
        assert not house.gateway.child.is_stopping
        house.gateway.tick(2)
        assert house.gateway.child.is_stopping
        assert house.token(house.session("s-workspace", shop)) == "a"
        assert len(house.gateway.launcher.children) == 2

    def test_used(self, house: House) -> None:
        """The child of a workspace stays as long as there is a session."""
        client = house.session("s-workspace", house.workspace("shop", "a"))
        house.gateway.tick(IDLE_TICKS + 2)
        assert not house.gateway.child.is_stopping
        assert house.token(house.gateway.client("s-workspace", **client.headers)) == "a"

    def test_isolated(self, house: House) -> None:
        """A child that is isolated ends with its last session."""
        shop = house.workspace("shop", "a")
        one, two = house.session("s-isolated", shop), house.session("s-isolated", shop)
        one.ask(b"", "DELETE")
        house.gateway.tick(3)
        assert not house.gateway.child.is_stopping
        two.ask(b"", "DELETE")
        house.gateway.tick(3)
        assert house.gateway.child.is_stopping

    def test_without_a_session(self, house: House) -> None:
        """Requests without an id get another child where theirs was let go of."""
        client = house.client("s-workspace", house.workspace("shop", "a"))
        first = house.serves(client)
        house.gateway.tick(IDLE_TICKS + 2)
        assert first.is_stopping
        assert house.serves(house.client("s-workspace", house.directory / "shop")) is not first
        assert len(list(house.gateway.dispatcher.pool)) == 1

    def test_no_more_than(self, house: House) -> None:
        """A server has children for so many workspaces; the next takes the place of one that is not used."""
        sessions = [house.session("s-workspace", house.workspace(f"w{each}")) for each in range(PLACES_LIMIT)]
        another = house.client("s-workspace", house.workspace("another"))
        assert "workspaces" in another.initialize(protocolVersion="2025-06-18").json["error"]["message"]
        assert len(house.gateway.sessions) == PLACES_LIMIT
        sessions[3].ask(b"", "DELETE")
        assert another.initialize(protocolVersion="2025-06-18").status == 200
        assert house.gateway.launcher.children[3].is_stopping


class ApartTests:
    """A child serves the sessions of its own workspace and credential only."""

    @settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(
        st.lists(
            st.tuples(
                st.sampled_from(SERVERS),
                st.sampled_from("wxyz"),
                st.sampled_from("ab-"),
                st.booleans(),
                st.booleans(),
            ),
            min_size=1,
            max_size=12,
        )
    )
    def test_any_order(self, tmp_path: Path, steps: list[tuple[ServerSpec, str, str, bool, bool]]) -> None:
        """The child of a session has the session's workspace and credential, after any history."""
        house = House(tmp_path)
        open_ones: list[tuple[Client, ServerSpec, str, str]] = []
        for server, name, token, has_session, ends in steps:
            where = house.workspace(name, token if token != "-" else "")
            if token == "-":
                (where / ".env").unlink(missing_ok=True)
            had = "mine" if server.share is Share.GLOBAL or token == "-" else token
            if has_session or server.share is Share.SESSION:
                client = house.session(server.name, where)
                open_ones.append((client, server, str(where), had))
            else:
                assert house.token(house.client(server.name, where)) == had
            if ends and open_ones:
                open_ones.pop(0)[0].ask(b"", "DELETE")
                house.gateway.tick(2)
            for client, its, root, expected in open_ones:
                assert house.token(client) == expected
                session = house.gateway.sessions.named(client.headers["Mcp-Session-Id"].encode())
                assert session is not None
                assert session.slot is not None
                seen = session.slot.server
                assert seen.credential == (credential(expected))
                if its.share not in (Share.GLOBAL, Share.CREDENTIAL):
                    assert seen.workspace == root
