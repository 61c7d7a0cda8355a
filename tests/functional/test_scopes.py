"""Scopes of children, seen from outside: the process table, environments, answers and logs."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import threading
import urllib.request
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.shim.driver import Shim
from tests.support.gateway import LIMIT_S, Gateway, eventually, server
from tests.support.processes import environment_of
from tests.support.real_servers import fixture

pytestmark = [
    pytest.mark.functional,
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux tells where a process works"),
]

TOKEN = "SHOP_TOKEN"
VALUES = {TOKEN: f"${{{TOKEN}}}"}
SCOPES = ("global", "workspace", "credential", "session", "isolated")
# An entry without a word of it is given all that there is, as in files of Klipide's gateway.
UNNAMED = "unnamed"
SERVERS = {each: server(fixture(), share=each, env=VALUES) for each in SCOPES} | {
    UNNAMED: server(fixture(), share="per-credential", env_policy="full")
}
# Each of two credentials in two workspaces.
CREDENTIALS = {"shop": "secret-one", "shop-too": "secret-one", "blog": "secret-two", "blog-too": "secret-two"}
NOBODYS = {"", None}

# Begins a session, and says the token of its server: a client that says nothing of itself but where it is started.
CLIENT = """
import http.client, json, socket, sys
address, server = sys.argv[1:]
if address.startswith("/"):
    connection = http.client.HTTPConnection("localhost", timeout=60)
    connection.sock = socket.socket(socket.AF_UNIX)
    connection.sock.connect(address)
else:
    connection = http.client.HTTPConnection("127.0.0.1", int(address), timeout=60)
headers = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}
def ask(method, params):
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
    connection.request("POST", "/" + server + "/mcp", body, headers)
    answer = connection.getresponse()
    said = answer.read()
    if answer.getheader("Mcp-Session-Id"):
        headers["Mcp-Session-Id"] = answer.getheader("Mcp-Session-Id")
    return json.loads(said)
ask("initialize", {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "c", "version": "1"}})
print(json.dumps(ask("tools/call", {"name": "env", "arguments": {"name": "SHOP_TOKEN"}})))
"""


def repository(gateway: Gateway, name: str, token: str = "") -> Path:
    """A repository in the home of the gateway's user."""
    root = gateway.directory / "work" / name
    (root / ".git").mkdir(parents=True, exist_ok=True)
    if token:
        (root / ".env").write_text(f"{TOKEN}={token}\n")
    return root


class Client:
    """A client that says where it works, and its session."""

    def __init__(self, gateway: Gateway, name: str, where: object = "", **headers: str) -> None:
        self.gateway, self.name, self.headers = gateway, name, dict(headers)
        if where:
            self.headers["Mcp-Project-Path"] = str(where)

    def ask(self, method: str, **params: Any) -> dict[str, Any]:
        """Send a request; its whole answer."""
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode()
        usual = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}
        request = urllib.request.Request(
            f"{self.gateway.url}/{self.name}/mcp", body, {**usual, **self.headers}, method="POST"
        )
        with urllib.request.urlopen(request, timeout=LIMIT_S) as answer:
            if answer.headers["Mcp-Session-Id"]:
                self.headers["Mcp-Session-Id"] = answer.headers["Mcp-Session-Id"]
            text = answer.read()
        if text.startswith(b"{"):
            return dict(json.loads(text))
        lines = [line for line in text.split(b"\n") if line.startswith(b"data: {")]
        return dict(json.loads(lines[-1][6:]))

    def open(self) -> Client:
        """Begin a session."""
        info = {"name": "c", "version": "1"}
        answer = self.ask("initialize", protocolVersion="2025-11-25", capabilities={}, clientInfo=info)
        assert "result" in answer, answer
        return self

    def end(self) -> None:
        """End the session."""
        request = urllib.request.Request(
            f"{self.gateway.url}/{self.name}/mcp", headers=self.headers, method="DELETE"
        )
        urllib.request.urlopen(request, timeout=LIMIT_S).close()

    def listen(self, heard: list[bytes]) -> threading.Thread:
        """Listen until the session ends."""
        headers = {**self.headers, "Accept": "text/event-stream"}
        request = urllib.request.Request(f"{self.gateway.url}/{self.name}/mcp", headers=headers)
        stream = urllib.request.urlopen(request, timeout=LIMIT_S)

        def read() -> None:
            with stream:
                heard.extend(stream)

        thread = threading.Thread(target=read, daemon=True)
        thread.start()
        return thread

    def call(self, tool: str, **arguments: Any) -> Any:
        """Call a tool; the value of its answer."""
        answer = self.ask("tools/call", name=tool, arguments=arguments)
        assert "result" in answer, answer
        return json.loads(answer["result"]["content"][0]["text"])

    @property
    def token(self) -> Any:
        """The token of its server."""
        return self.call("env", name=TOKEN)

    @property
    def server(self) -> int:
        """The process that serves it."""
        return int(self.call("pid")["pid"])


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[Gateway]:
    """A gateway with a server of each scope."""
    with Gateway(tmp_path, SERVERS) as running:
        yield running


def _text(lines: list[bytes]) -> str:
    return b"".join(lines).decode()


class TableTests:
    """The process table."""

    def test_twenty_sessions(self, gateway: Gateway) -> None:
        """Twenty sessions in four workspaces with two credentials at servers of every scope."""
        roots = {name: repository(gateway, name, token) for name, token in CREDENTIALS.items()}
        for root in roots.values():
            (root / "src").mkdir()
        clients: list[tuple[str, Client]] = []
        for number in range(20):
            name = list(roots)[number % 4]
            where = roots[name] / "src" if number >= 16 else roots[name]
            clients += [(name, Client(gateway, server, where).open()) for server in SERVERS]
        served: dict[str, set[int]] = {each: set() for each in SERVERS}
        for name, client in clients:
            wanted = NOBODYS if client.name == "global" else {CREDENTIALS[name]}
            assert client.token in wanted
            pid = client.server
            served[client.name].add(pid)
            assert environment_of(pid)[TOKEN] in wanted
            assert not {*CREDENTIALS.values()} - wanted & {*environment_of(pid).values()}
        counts = {each: len(pids) for each, pids in served.items()}
        assert counts == {
            "global": 1,
            "workspace": 4,
            "credential": 2,
            "session": 20,
            "isolated": 8,
            UNNAMED: 2,
        }
        assert sorted(gateway.children()) == sorted(set().union(*served.values()))
        cwds = Counter(os.readlink(f"/proc/{pid}/cwd") for pid in served["isolated"])
        assert cwds == Counter(str(each) for root in roots.values() for each in (root, root / "src"))
        assert {os.readlink(f"/proc/{pid}/cwd") for pid in served["workspace"]} == set(
            map(str, roots.values())
        )
        for secret in CREDENTIALS.values():
            assert secret not in gateway.log
            assert secret not in json.dumps(gateway.health())
            digest = hashlib.sha256(secret.encode()).hexdigest()
            assert digest not in json.dumps(gateway.health())

    def test_what_servers_say(self, gateway: Gateway) -> None:
        """A notification of the child of one workspace is not heard in another."""
        names = ("shop", "blog")
        heard: dict[str, list[bytes]] = {name: [] for name in names}
        roots = [repository(gateway, name, CREDENTIALS[name]) for name in names]
        listeners = [Client(gateway, "workspace", root).open() for root in roots]
        threads = [each.listen(heard[name]) for each, name in zip(listeners, names, strict=True)]
        for name, root in zip(names, roots, strict=True):
            client = Client(gateway, "workspace", root).open()
            client.call(
                "notify", method="notifications/tools/list_changed", params={"said": f"only for {name}"}
            )
            eventually(
                lambda name=name: f"only for {name}" in _text(heard[name]), "its own workspace hears it"
            )
        for each in listeners:
            each.end()
        for each in threads:
            each.join(LIMIT_S)
        assert "only for blog" not in _text(heard["shop"])
        assert "only for shop" not in _text(heard["blog"])

    def test_isolated_ends(self, gateway: Gateway) -> None:
        """A process that is isolated ends with its last session; that of a workspace waits for the next."""
        root = repository(gateway, "shop", "secret-one")
        one, two = (Client(gateway, scope, root).open() for scope in ("isolated", "workspace"))
        lasting = two.server
        for client in (one, two):
            client.end()
        eventually(lambda: gateway.children() == [lasting], "only the shared one is left")
        assert Client(gateway, "workspace", root).open().server == lasting


class RestartTests:
    """A gateway that is killed."""

    def test_kill(self, gateway: Gateway) -> None:
        """Sessions are back in their workspaces, with the values of today, wherever they are said to be from."""
        roots = {name: repository(gateway, name, CREDENTIALS[name]) for name in ("shop", "blog")}
        clients = {
            (name, scope): Client(gateway, scope, root).open()
            for name, root in roots.items()
            for scope in SCOPES
        }
        before = gateway.health()["uptime"]
        eventually(lambda: gateway.health()["uptime"] > before + 1, "all is on record")
        gateway.kill()
        repository(gateway, "blog", "secret-new")
        gateway.start()
        wanted = {"shop": "secret-one", "blog": "secret-new"}
        for (name, scope), client in clients.items():
            client.headers["Mcp-Project-Path"] = str(roots["blog" if name == "shop" else "shop"])
            assert client.token in (NOBODYS if scope == "global" else {wanted[name]}), (name, scope)


class NeighbourTests:
    """Clients that say nothing of where they work."""

    @pytest.mark.parametrize("way", ["loopback", "socket"])
    def test_where_they_are(self, gateway: Gateway, way: str) -> None:
        """Clients work where they were started, whichever way they come."""
        address = str(gateway.port) if way == "loopback" else str(gateway.home / "gateway.sock")
        for name, token in CREDENTIALS.items():
            ran = subprocess.run(
                [sys.executable, "-I", "-S", "-c", CLIENT, address, "workspace"],
                cwd=repository(gateway, name, token),
                capture_output=True,
                timeout=LIMIT_S,
                check=True,
            )
            text = json.loads(ran.stdout)["result"]["content"][0]["text"]
            assert json.loads(text) == token

    def test_the_shim(self, gateway: Gateway) -> None:
        """A client on stdio works where it has started the shim, whatever that place is called."""
        for name, token in (("my shop", "secret-one"), ("blög", "secret-two")):
            root = repository(gateway, name, token)
            with Shim("--url", gateway.url, "connect", "workspace", cwd=root) as shim:
                shim.open()
                assert json.loads(shim.call("env", name=TOKEN)) == token


class RepositoryTests:
    """Servers that a repository defines."""

    def test_approved(self, gateway: Gateway) -> None:
        """Servers of a repository run for its clients once its file is approved, and until it changes."""
        root = repository(gateway, "shop", "secret-one")
        command, *arguments = fixture()
        entry = {"command": command, "args": arguments, "env": {**VALUES}}
        (root / ".mcp.json").write_text(json.dumps({"mcpServers": {"own": entry}}))
        refused = Client(gateway, "own", root).ask("initialize", protocolVersion="2025-11-25")
        assert "mcpgateway config approve" in refused["error"]["message"]
        waiting = [{"path": f"{root}/.mcp.json", "servers": ["own"]}]
        assert gateway.health()["approvals"] == waiting
        assert not gateway.children()
        approve = (
            "import sys, time; from mcpgateway.system import approvals as a;"
            "path = a.target(sys.argv[2]); a.approve(sys.argv[1], path, a.digest_of(path), time.time())"
        )
        subprocess.run(
            [sys.executable, "-c", approve, str(gateway.home), str(root)], timeout=LIMIT_S, check=True
        )
        client = Client(gateway, "own", root).open()
        assert client.token == "secret-one"
        assert client.call("cwd") == str(root)
        os.kill(client.server, 9)
        assert gateway.health()["approvals"] == []
        (root / ".mcp.json").write_text(
            json.dumps({"mcpServers": {"own": {**entry, "args": ["-c", "evil"]}}})
        )
        assert "error" in Client(gateway, "own", root).ask("initialize", protocolVersion="2025-11-25")


class ReplicaTests:
    """Several processes of one server."""

    def test_side_by_side(self, tmp_path: Path) -> None:
        """Calls that keep a process busy run in as many as there may be, and no process is started before."""
        with Gateway(tmp_path, {"r": server(fixture(), share="global", replicas=3)}) as gateway:
            client = Client(gateway, "r").open()
            for _ in range(3):
                client.call("pid")
            assert len(gateway.children()) == 1
            pids: list[int] = []

            def work() -> None:
                one = Client(gateway, "r").open()
                one.call("sleep", ms=1500, text="1")
                pids.append(one.server)

            threads = [threading.Thread(target=work) for _ in range(6)]
            for each in threads:
                each.start()
            eventually(lambda: len(gateway.children()) == 3, "all replicas run")
            for each in threads:
                each.join(LIMIT_S)
            assert len(pids) == 6
            assert set(pids) <= set(gateway.children())
            assert len(gateway.children()) == 3
