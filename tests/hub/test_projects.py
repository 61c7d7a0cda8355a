"""The servers of a project: there for clients in its directory, and for all others there is none of that name."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import quote

import pytest

from mcpgateway.config.diff import compare
from mcpgateway.config.gateway_settings import GatewaySettings
from mcpgateway.config.merge import WorkspaceSpec
from mcpgateway.config.model import ServerSpec, Share
from mcpgateway.config.settings import Settings
from mcpgateway.hub.workspaces import WorkspaceSettings
from mcpgateway.policy.agent_tokens import PREFIX, AgentToken, digest_of
from mcpgateway.system.workspaces import WorkspaceFinder
from mcpgateway.views.roots import paths_in
from tests.support.gateway_in_memory import Answer, Client, MemoryGateway, MemoryProcesses
from tests.support.modern_client import hang_up, post, reply, request
from tests.support.views import Offer, Stage, tool

SECRET = PREFIX + "a" * 40
VERSION = "2025-06-18"
EVERYBODYS = ["own__count", "shared__echo"]
UNKNOWN = "Unknown server: db-shop"


class House:
    """A gateway on a machine with two projects, each of which has a server ``db``."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory.resolve()
        self.shop, self.blog = self.made("shop"), self.made("blog")
        self.made("shop/src")
        self.processes = MemoryProcesses()
        self.servers = (self.server("db-shop", self.shop), self.server("db-blog", self.blog))
        self.gateway = MemoryGateway(more=self.servers, processes=self.processes)
        offers = {each.name: Offer(tools=[tool("query")]) for each in self.servers}
        self.stage = Stage(self.gateway, **offers)
        places = WorkspaceFinder((), str(self.directory), self.gateway.clock.seconds)
        ground = WorkspaceSettings(places, (), WorkspaceSpec, lambda server, _: server, lambda _: False)
        self.gateway.dispatcher.scopes.configure(ground)

    def made(self, name: str) -> Path:
        """A directory."""
        made = self.directory / name
        made.mkdir(parents=True, exist_ok=True)
        return made

    def server(self, name: str, project: Path) -> ServerSpec:
        """A server of a project."""
        return ServerSpec(
            name, ("run",), {}, str(project), share=Share.GLOBAL, title="db", project=str(project)
        )

    def client(self, where: Path | None, path: str, **headers: str) -> Client:
        """A connection of a client, which may say where it works."""
        said = {"Mcp-Project-Path": str(where)} if where is not None else {}
        return Client(self.gateway.factory.buildProtocol(None), path, said | headers)

    def names(self, where: Path | None, path: str = "/mcp/full") -> list[str]:
        """The tools that a client with a session is listed on a view."""
        client = self.client(where, path)
        client.initialize(protocolVersion=VERSION)
        return sorted(self.stage.names(client))

    def modern(self, where: Path | None, method: str, path: str, **params: Any) -> Any:
        """The answer to a client of the modern era."""
        client = self.client(where, path)
        post(client, request(1, method, **params))
        self.stage.play()
        return reply(client)

    def own_tool(self, where: Path | None, name: str, **arguments: Any) -> str:
        """The answer of one of the gateway's own tools, to a client with a session."""
        client = self.client(where, "/mcp/full")
        client.initialize(protocolVersion=VERSION)
        client.call(2, "tools/call", name=f"gateway_{name}", arguments=arguments)
        self.stage.play()
        assert client.heard is not None
        return client.heard.body.decode()


@pytest.fixture
def house(tmp_path: Path) -> House:
    """A machine."""
    return House(tmp_path)


Working = Callable[[Path], str]


@pytest.fixture
def working() -> Iterator[Working]:
    """Starts processes that work in a directory, and tells their numbers."""
    with ExitStack() as stack:

        def start(where: Path) -> str:
            """Start one."""
            process = stack.enter_context(subprocess.Popen(["/bin/sleep", "60"], cwd=where))
            stack.callback(process.kill)
            return str(process.pid)

        yield start


class DoorTests:
    """The paths of one server."""

    @pytest.mark.parametrize("path", ["/db-shop/mcp", "/mcp/db-shop"])
    def test_session(self, house: House, path: str) -> None:
        """A client in the project begins a session; for all others there is no such server, and no child starts."""
        assert house.client(house.shop, path).initialize(protocolVersion=VERSION).status == 200
        assert house.client(house.shop / "src", path).initialize(protocolVersion=VERSION).status == 200
        count = len(house.gateway.launcher.children)
        for where in (None, house.blog, house.directory):
            refused = house.client(where, path).initialize(protocolVersion=VERSION)
            assert (refused.status, refused.json["error"]["message"]) == (404, UNKNOWN)
        assert len(house.gateway.launcher.children) == count == 1

    def test_modern(self, house: House) -> None:
        """The same in the modern era."""
        house.gateway.launcher.eras["db-shop"] = ()
        post(client := house.client(house.blog, "/db-shop/mcp"), request(1, "tools/list"))
        assert reply(client)["error"]["message"] == UNKNOWN
        post(client := house.client(house.shop, "/db-shop/mcp"), request(1, "tools/list"))
        assert house.gateway.launcher.children

    def test_without_a_session(self, house: House) -> None:
        """A request without a session needs its project, too."""
        asked = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}
        assert house.client(None, "/db-shop/mcp").ask(asked).status == 404
        house.client(house.shop, "/db-shop/mcp").send(asked)
        house.stage.play()
        assert house.gateway.launcher.children

    def test_another_session_opens_no_door(self, house: House) -> None:
        """A client that names a session of another server is placed as all others are."""
        other = house.client(None, "/shared/mcp")
        other.initialize(protocolVersion=VERSION)
        client = house.client(None, "/db-shop/mcp", **{"Mcp-Session-Id": other.headers["Mcp-Session-Id"]})
        assert client.initialize(protocolVersion=VERSION).status == 404
        post(client, request(1, "tools/list"))
        assert reply(client)["error"]["message"] == UNKNOWN

    def test_its_own_session(self, house: House) -> None:
        """A session that was begun in the project is good, whatever its requests say of the place."""
        client = house.client(house.shop, "/db-shop/mcp")
        client.initialize(protocolVersion=VERSION)
        del client.headers["Mcp-Project-Path"]
        client.call(1, "ping")
        assert client.heard is not None
        assert client.heard.json["result"] == {}

    def test_stream(self, house: House) -> None:
        """The older transport's path is one of the doors."""
        headers = {"Accept": "text/event-stream"}
        refused = house.client(None, "/db-shop/sse", **headers).ask(b"", "GET")
        assert refused.status == 404
        client = house.client(house.shop, "/db-shop/sse", **headers)
        client.send(b"", "GET")
        assert b"event: endpoint" in client.transport.taken

    def test_process(self, house: House, working: Working) -> None:
        """A client that names no directory works where its process does; one of its entry goes first."""
        for said, where, status in (
            (None, house.shop, 200),
            (None, house.blog, 404),
            (house.blog, house.shop, 404),
        ):
            client = house.client(said, "/db-shop/mcp", **{"X-Client-Pid": working(where)})
            assert client.initialize(protocolVersion=VERSION).status == status

    @pytest.mark.parametrize("path", ["/db-shop/mcp?project={}", "/mcp/db-shop?names=dotted&project={}"])
    def test_in_the_url(self, house: House, path: str) -> None:
        """A client whose entries have no headers says it in the URL."""
        client = house.client(None, path.format(quote(str(house.shop), safe="")))
        assert client.initialize(protocolVersion=VERSION).status == 200
        refused = house.client(None, path.format(house.blog)).initialize(protocolVersion=VERSION)
        assert refused.status == 404
        client = house.client(None, f"/mcp/full?project={house.shop}")
        client.initialize(protocolVersion=VERSION)
        assert sorted(house.stage.names(client)) == ["db-shop__query", *EVERYBODYS]

    def test_by_a_variable(self, house: House, working: Working) -> None:
        """A directory that a client puts in place of a variable counts; a variable that it left as it was
        says nothing.
        """
        for said, status in ((str(house.shop), 200), (str(house.blog), 404), ("$PWD", 200), ("", 200)):
            headers = {"X-Client-Cwd": said, "X-Client-Pid": working(house.shop)}
            client = house.client(None, "/db-shop/mcp", **headers)
            assert client.initialize(protocolVersion=VERSION).status == status

    def test_a_home_is_no_roof(self, house: House) -> None:
        """A server that Claude Code keeps for the home directory is for clients started there, and no deeper."""
        server = house.server("db-home", house.directory)
        everything = (*house.gateway.dispatcher.servers.values(), server)
        house.gateway.serve(*everything)
        for where, status in ((house.directory, 200), (house.shop, 404), (None, 404)):
            assert house.client(where, "/db-home/mcp").initialize(protocolVersion=VERSION).status == status
        assert "db-home__query" not in house.names(house.shop)


class ViewTests:
    """Endpoints of all servers."""

    def test_listed(self, house: House) -> None:
        """Each project's clients are listed its own, others neither."""
        assert house.names(house.shop) == ["db-shop__query", *EVERYBODYS]
        assert house.names(house.blog) == ["db-blog__query", *EVERYBODYS]
        assert house.names(None) == EVERYBODYS
        assert house.names(house.directory) == EVERYBODYS

    def test_modern(self, house: House) -> None:
        """The same in the modern era."""
        for where, own in ((house.shop, ["db-shop__query"]), (house.blog, ["db-blog__query"]), (None, [])):
            house.modern(where, "tools/list", "/mcp/full")
            listed = house.modern(where, "tools/list", "/mcp/full")["result"]["tools"]
            assert [each["name"] for each in listed if each["name"].startswith("db")] == own

    def test_called(self, house: House) -> None:
        """A tool of another project's is unknown, and its server is not started."""
        client = house.client(house.blog, "/mcp/full")
        client.initialize(protocolVersion=VERSION)
        client.call(2, "tools/call", name="db-shop__query")
        house.stage.play()
        assert client.heard is not None
        assert "Unknown tool" in client.heard.json["error"]["message"]
        answered = house.modern(house.blog, "tools/call", "/mcp/full", name="db-shop__query", arguments={})
        assert "Unknown tool" in answered["error"]["message"]
        assert "db-shop" not in [house.stage.name(each) for each in house.gateway.launcher.children]

    @pytest.mark.parametrize(
        ("name", "arguments"),
        [
            ("search", {"query": "query"}),
            ("list_servers", {}),
            ("list_all_servers", {}),
            ("list_tools", {}),
            ("status", {}),
            ("describe", {"id": "db__query"}),
        ],
    )
    def test_own_tools(self, house: House, name: str, arguments: dict[str, Any]) -> None:
        """The gateway's own tools tell nobody else of it."""
        house.names(house.shop)  # what its tools are is known by now
        for where in (None, house.blog):
            said = house.own_tool(where, name, **arguments)
            assert str(house.shop) not in said
            assert "db-shop" not in said

    @pytest.mark.parametrize("name", ["invoke", "describe"])
    def test_named(self, house: House, name: str) -> None:
        """A caller who knows the id of its tool is told that there is no such server."""
        house.names(house.shop)
        assert "Unknown server: db-shop" in house.own_tool(house.blog, name, id="db-shop__query")

    def test_found(self, house: House) -> None:
        """The tools of a project's server are found by the project's clients."""
        house.names(house.shop)
        assert "db-shop__query" in house.own_tool(house.shop, "search", query="query")

    def test_a_project_within_a_workspace(self, house: House) -> None:
        """Where a project is a part of a repository, the rest of it is no part of the project."""
        (house.shop / ".git").mkdir()
        server = house.server("db-src", house.shop / "src")
        house.gateway.serve(*house.gateway.dispatcher.servers.values(), server)
        house.stage.offers["db-src"] = Offer(tools=[tool("query")])
        assert house.names(house.shop / "src") == ["db-shop__query", "db-src__query", *EVERYBODYS]
        assert house.names(house.shop) == ["db-shop__query", *EVERYBODYS]

    def test_comes_later(self, house: House, working: Working) -> None:
        """A session that was begun before the project had any servers is listed them from then on."""
        former = tuple(each for each in house.gateway.dispatcher.servers.values() if not each.project)
        house.gateway.serve(*former)
        client = house.client(None, "/mcp/full", **{"X-Client-Pid": working(house.shop)})
        client.initialize(protocolVersion=VERSION)
        assert sorted(house.stage.names(client)) == EVERYBODYS
        house.gateway.serve(*former, *house.servers)
        assert sorted(house.stage.names(client)) == ["db-shop__query", *EVERYBODYS]

    def test_switched_on(self, house: House) -> None:
        """A server that an operator switches on is shown in its project, if no other depends on a place."""
        for each in house.servers:
            house.gateway.health.disable(each.name)
        client = house.client(house.shop, "/mcp/full")
        client.initialize(protocolVersion=VERSION)
        assert sorted(house.stage.names(client)) == EVERYBODYS
        for each in house.servers:
            house.gateway.health.enable(each.name)
        assert house.names(house.shop) == sorted(["db-shop__query", *EVERYBODYS])
        assert house.names(house.blog) == sorted(["db-blog__query", *EVERYBODYS])

    def test_moves_to_another_project(self, house: House) -> None:
        """A server that becomes another project's is no more there for the former's clients."""
        client = house.client(house.shop, "/db-shop/mcp")
        client.initialize(protocolVersion=VERSION)
        servers = house.gateway.dispatcher.servers
        moved = house.server("db-shop", house.blog)
        house.gateway.serve(*(moved if each.name == "db-shop" else each for each in servers.values()))
        client.call(1, "tools/list")
        assert client.heard is not None
        assert client.heard.status == 404


class RootsTests:
    """Clients that say nothing of where they work, and have roots."""

    def viewer(
        self, house: House, *roots: str, headers: dict[str, str] | None = None, **capabilities: Any
    ) -> Client:
        """A client with a stream, whose answer to ``roots/list`` this is."""
        client = house.client(None, "/mcp/full", **(headers or {}))
        client.initialize(protocolVersion=VERSION, capabilities=capabilities or {"roots": {}})
        client.send({"jsonrpc": "2.0", "method": "notifications/initialized"})
        self.answer(house, client, roots)
        return client

    def answer(self, house: House, client: Client, roots: Iterable[str]) -> bool:
        """Answer what the client is asked; false when that is nothing."""
        ears = house.client(None, "/mcp/full", **client.headers, Accept="text/event-stream")
        ears.send(b"", "GET")
        assert ears.heard is not None
        asked = [each["id"] for each in ears.heard.events if each.get("method") == "roots/list"]
        for each in asked:
            listed = [{"uri": uri} for uri in roots]
            client.send({"jsonrpc": "2.0", "id": each, "result": {"roots": listed}})
        hang_up(ears)
        return bool(asked)

    def uri(self, where: Path) -> str:
        """A root."""
        return f"file://{quote(str(where))}"

    def test_project(self, house: House) -> None:
        """Clients with roots are listed the servers of the project that is one of their roots."""
        client = self.viewer(
            house, "https://x/", self.uri(house.made("else where")), self.uri(house.shop / "src")
        )
        assert sorted(house.stage.names(client)) == ["db-shop__query", *EVERYBODYS]

    def test_before_the_process(self, house: House, working: Working) -> None:
        """Roots go before the directory of the process; without any, that counts."""
        process = {"X-Client-Pid": working(house.blog)}
        client = self.viewer(house, self.uri(house.shop), headers=process)
        assert sorted(house.stage.names(client)) == ["db-shop__query", *EVERYBODYS]
        client = self.viewer(house, headers=process)
        assert sorted(house.stage.names(client)) == ["db-blog__query", *EVERYBODYS]

    def test_changed(self, house: House) -> None:
        """A client that opens another folder is asked anew, and what it had of the former is out of its reach."""
        client = self.viewer(house, self.uri(house.shop))
        house.stage.names(client)
        client.send({"jsonrpc": "2.0", "method": "notifications/roots/list_changed"})
        assert self.answer(house, client, [self.uri(house.blog)])
        assert sorted(house.stage.names(client)) == ["db-blog__query", *EVERYBODYS]

    @pytest.mark.parametrize("why", ["said", "none offered", "no projects", "token"])
    def test_not_asked(self, house: House, why: str) -> None:
        """A client whose roots do not count is not asked for them."""
        headers = {"X-MCP-Project": str(house.blog)} if why == "said" else {}
        if why == "token":
            headers = RestTests().agent(house)
        if why == "no projects":
            house.gateway.serve(
                *(each for each in house.gateway.dispatcher.servers.values() if not each.project)
            )
        offered: dict[str, Any] = {"sampling": {}} if why == "none offered" else {"roots": {}}
        client = house.client(None, "/mcp/full", **headers)
        client.initialize(protocolVersion=VERSION, capabilities=offered)
        client.send({"jsonrpc": "2.0", "method": "notifications/initialized"})
        assert not self.answer(house, client, [])

    def test_odd_answers(self, house: House) -> None:
        """An answer that is no list of directories changes nothing."""
        for odd in ("file://elsewhere/p", "file:relative", "file:///no/such", "http://[", ""):
            client = self.viewer(house, odd)
            assert sorted(house.stage.names(client)) == EVERYBODYS
        assert paths_in({"roots": [3, {}, {"uri": 3}]}) == paths_in({}) == paths_in({"roots": {}}) == []


def test_compared() -> None:
    """Another project is reason enough that no session stays."""
    before, after = (
        Settings(GatewaySettings(), (ServerSpec("a", (), {}, "/", project=each),)) for each in ("/p", "/q")
    )
    (changed,) = compare(before, after).changed
    assert changed.regroups


class RestTests:
    """Plain HTTP: the gateway's own user sees the servers of all projects, a token's holder those of where he works."""

    TOKEN: ClassVar = {"Authorization": "Bearer bearer-token"}

    def agent(self, house: House) -> dict[str, str]:
        """The header of somebody who has a token of his own."""
        digest = digest_of(SECRET.encode()).hex()
        house.gateway.bearers.admit_agents([AgentToken("7", "an agent", digest, 0.0, 0.0)])
        return {"Authorization": f"Bearer {SECRET}"}

    def ask(
        self, house: House, path: str, header: dict[str, str], method: str = "GET", **body: Any
    ) -> Answer:
        """Ask something."""
        client = house.client(None, path, **header)
        client.send(body or b"", method)
        house.stage.play()
        assert client.heard is not None
        return client.heard

    def test_servers(self, house: House) -> None:
        """Each server is shown with its project."""
        found = self.ask(house, "/api/v1/servers", self.TOKEN).json
        projects = {each["name"]: each["project"] for each in found}
        assert projects == {"shared": "", "own": "", "db-shop": str(house.shop), "db-blog": str(house.blog)}

    def test_tools(self, house: House) -> None:
        """The user's tools are those of all projects; a token's are not."""
        ours = self.ask(house, "/api/v1/tools", self.TOKEN).json
        assert sorted(each["name"] for each in ours) == ["db-blog__query", "db-shop__query", *EVERYBODYS]
        agents = self.ask(house, "/api/v1/tools", self.agent(house)).json
        assert sorted(each["name"] for each in agents) == EVERYBODYS
        found = self.ask(house, "/api/v1/tools?q=query", self.agent(house)).json
        assert "db" not in repr(found)

    def test_one_server(self, house: House) -> None:
        """The bearer of a token that may not use a server gets the same answer as for one that does not exist."""
        assert self.ask(house, "/api/v1/tools?server=db-shop", self.TOKEN).status == 200
        agent = self.agent(house)
        for name in ("db-shop", "db-shoq"):
            refused = self.ask(house, f"/api/v1/tools?server={name}", agent)
            assert refused.status == 404
            assert "blog" not in refused.body.decode()

    def test_called(self, house: House) -> None:
        """The user calls a project's tool from wherever he is; a token's holder does not."""
        path = "/api/v1/servers/db-shop/call"
        refused = self.ask(house, path, self.agent(house), "POST", tool="query")
        assert refused.status == 404
        assert not house.gateway.launcher.children
        house.client(None, path, **self.TOKEN).send({"tool": "query"})
        house.stage.play()
        assert house.stage.child("db-shop").asked("tools/call")
