"""Clients' own files lead to a real gateway: read, followed, given back, and what the gateway says of it."""

import json
import os
import stat
import sys
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from mcpgateway.system.service_files import service_file
from tests.support.gateway import LIMIT_S, MARKER, Gateway, eventually
from tests.support.ports import free_port

pytestmark = pytest.mark.functional

SERVER = str(Path(__file__).resolve().parents[1] / "servers" / "fixture.py")
LIST = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}
# Looser than what is promised: nobody's machine is to fail for being busy.


class Adopting(Gateway):
    """A gateway whose user has clients."""

    def __init__(self, directory, **more):
        super().__init__(directory, **more)
        self.port = free_port()
        self.cursor = directory / ".cursor" / "mcp.json"
        self.cursor.parent.mkdir()

    def entry(self):
        """A program of a client's file."""
        return {"command": sys.executable, "args": [SERVER], "env": {MARKER: self._marker}}

    def write(self, **entries):
        """Let Cursor's file list these; its text."""
        text = json.dumps({"mcpServers": entries}, indent=2) + "\n"
        self.cursor.write_text(text)
        return text

    def listed(self):
        """The servers that Cursor's file lists."""
        return json.loads(self.cursor.read_text())["mcpServers"]

    def leads_here(self, name):
        """Return whether an entry of Cursor's is a URL of this gateway's."""
        url = self.listed().get(name, {}).get("url", "")
        return url == f"http://localhost:{self.port}/{name}/mcp"

    def ask(self, path, said=None, **more):
        """Ask the control plane with the admin token; the status and what it says."""
        token = (self.home / "admin.token").read_text().strip()
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json", **more}
        body = None if said is None else json.dumps(said).encode()
        request = urllib.request.Request(f"{self.url}{path}", body, headers)
        try:
            with urllib.request.urlopen(request, timeout=LIMIT_S) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as refusal:
            return refusal.code, json.load(refusal)

    def names(self):
        """The names of the servers that are served."""
        return [each["name"] for each in self.health()["backends"]]

    def tools(self, name, **headers):
        """The tools of a server, as a client gets them."""
        return self.ask(f"/{name}/mcp", LIST, **headers)


@pytest.fixture
def gateway(tmp_path):
    """A gateway, not started yet."""
    return Adopting(tmp_path)


class RegisterTests:
    def test_there_and_back(self, gateway):
        """A client is led here, its servers are reached by the URLs in its file, and it gets its own text back."""
        text = gateway.write(fast=gateway.entry())
        with gateway:
            assert gateway.names() == []
            status, said = gateway.ask("/clients/register", {"tool": "cursor"})
            assert (status, said["registered"]) == (200, ["fast"]), said
            assert gateway.leads_here("fast")
            status, answer = gateway.tools("fast")
            assert status == 200
            assert answer["result"]["tools"]
            (client,) = gateway.health()["clients"]
            assert (client["name"], client["servers"], client["suspended"]) == ("cursor", ["fast"], "")
            self.switched_off(gateway, text)
        assert gateway.cursor.read_text() == text
        with gateway:
            assert gateway.health()["disabled"] is True
            assert gateway.tools("fast")[0] == 503
            assert gateway.ask("/api/gateway/enable", {})[1] == {"ok": True, "status": "enabled"}
            assert gateway.leads_here("fast")
            assert gateway.tools("fast")[0] == 200
        # One that is ended and has no successor leaves nobody at a dead port.
        eventually(lambda: gateway.cursor.read_text() == text, "the client has its own text")

    def switched_off(self, gateway, text):
        """The soft switch gives the client its own text back, and answers nobody."""
        assert gateway.ask("/api/gateway/disable", {})[1] == {"ok": True, "status": "disabled"}
        assert gateway.cursor.read_text() == text
        status, answer = gateway.tools("fast")
        assert (status, answer["error"]["message"]) == (503, "Gateway is disabled")
        assert gateway.ask("/api/gateway/config")[1]["disabled"] is True

    def test_one_server(self, gateway):
        """A server is given back to its clients while the others stay, and is taken in again."""
        gateway.write(fast=gateway.entry(), other=gateway.entry())
        with gateway:
            gateway.ask("/clients/register", {"tool": "cursor"})
            for _ in range(2):
                status, said = gateway.ask("/api/servers/fast/disable", {})
                assert (status, said) == (200, {"ok": True, "server": "fast", "enabled": False})
                assert gateway.listed()["fast"] == gateway.entry()
                assert gateway.leads_here("other")
                assert gateway.ask("/api/gateway/config")[1]["optedOut"] == ["fast"]
                assert gateway.ask("/api/servers/fast/enable", {})[1]["enabled"] is True
                assert gateway.leads_here("fast")
                assert gateway.tools("fast")[0] == 200
            assert gateway.ask("/api/servers/nobody/enable", {})[0] == 404

    def test_detect(self, gateway):
        """The clients on this machine are told."""
        gateway.write(fast=gateway.entry())
        with gateway:
            status, found = gateway.ask("/clients/detect")
        assert status == 200
        assert str(gateway.cursor) in json.dumps(found["detected"])

    def test_project(self, gateway):
        """A project's file is led here, for its own clients; what others put into it later does not run."""
        path = gateway.directory / "shop" / ".mcp.json"
        path.parent.mkdir()
        path.write_text(json.dumps({"mcpServers": {"fast": gateway.entry()}}))
        with gateway:
            status, said = gateway.ask("/projects/register", {"configPath": str(path)})
            assert (status, said) == (200, {"registered": ["fast"], "passthrough": 0}), said
            found = json.loads(path.read_text())
            assert gateway.tools("fast", **found["mcpServers"]["fast"]["headers"])[0] == 200
            assert gateway.tools("fast")[0] == 404
            assert "fast" not in json.dumps(gateway.ask("/mcp/full", LIST))
            found["mcpServers"]["evil"] = {"command": "touch", "args": [str(gateway.directory / "evil")]}
            path.write_text(json.dumps(found))
            eventually(
                lambda: [each["servers"] for each in gateway.health()["approvals"]] == [["evil"]],
                "it waits for approval",
            )
            assert gateway.names() == ["fast"]
            assert json.loads(path.read_text())["mcpServers"]["evil"]["command"] == "touch"

    def test_bad_file(self, gateway):
        """A request that cannot be done is refused in words."""
        with gateway:
            status, said = gateway.ask("/projects/register", {"configPath": "/no/such/.mcp.json"})
        assert status == 400
        assert "/no/such/.mcp.json" in said["error"]


class FollowTests:
    def test_added_and_removed(self, gateway):
        """A server that a client adds is led here by itself; one that it removes is served no more."""
        gateway.write(fast=gateway.entry())
        with gateway:
            gateway.ask("/clients/register", {"tool": "cursor"})
            gateway.cursor.write_text(
                json.dumps({"mcpServers": {**gateway.listed(), "two": gateway.entry()}})
            )
            eventually(lambda: gateway.leads_here("two"), "the new server is led here")
            eventually(lambda: "two was added, and is enrolled" in gateway.log, "the log has it")
            eventually(lambda: gateway.names() == ["fast", "two"], "both are served")
            assert gateway.tools("two")[0] == 200
            (pid,) = gateway.backend("two")["pids"]
            gateway.cursor.write_text(json.dumps({"mcpServers": {"fast": gateway.listed()["fast"]}}))
            eventually(lambda: gateway.names() == ["fast"], "the removed server is served no more")
            eventually(lambda: not Path(f"/proc/{pid}").exists(), "its child is stopped")
            assert list(gateway.listed()) == ["fast"]
        assert "clients.failed" not in gateway.log

    def test_half_written(self, gateway):
        """While a client writes its file, everything is served as before, and the file is left to the client."""
        gateway.write(fast=gateway.entry())
        with gateway:
            gateway.ask("/clients/register", {"tool": "cursor"})
            whole = gateway.cursor.read_text()
            gateway.cursor.write_text(whole[:20])
            eventually(lambda: gateway.health()["config"]["warnings"], "the gateway has noticed")
            assert gateway.names() == ["fast"]
            assert gateway.tools("fast")[0] == 200
            assert gateway.cursor.read_text() == whole[:20]

    def test_option(self, tmp_path):
        """``--adopt`` leads all clients here when the gateway starts, by URL where a service starts it again."""
        service = Path(service_file({"HOME": str(tmp_path)}))
        service.parent.mkdir(parents=True)
        service.touch()
        gateway = Adopting(tmp_path, options=["--adopt"])
        gateway.write(fast=gateway.entry())
        with gateway:
            eventually(lambda: gateway.leads_here("fast"), "the client is led here")
            eventually(lambda: gateway.names() == ["fast"], "it is served")


class StateTests:
    def test_while_it_runs(self, gateway):
        """A gateway that listens says so in its home, for its owner alone, and takes it back at the end."""
        file = gateway.home / "state.json"
        with gateway:
            eventually(file.exists, "the state is written")
            said = json.loads(file.read_text())
            assert stat.S_IMODE(os.stat(file).st_mode) == 0o600
            assert (said["format"], said["pid"], said["port"]) == (1, gateway.pid, gateway.port)
            assert f"127.0.0.1:{gateway.port}" in said["listeners"]
            assert "--port" in said["command"]
        assert not file.exists()

    def test_killed(self, gateway):
        """A gateway that was killed leaves its state file, and the next one writes its own."""
        with gateway:
            former = gateway.pid
            gateway.kill()
            assert json.loads((gateway.home / "state.json").read_text())["pid"] == former
            gateway.start()
            assert json.loads((gateway.home / "state.json").read_text())["pid"] == gateway.pid


class MemoryTests:
    def test_nothing_is_loaded(self, gateway):
        """Without a ledger, nothing is loaded that reads clients' files."""
        code = (
            "import sys, mcpgateway.app.build\n"
            "from mcpgateway.system.settings import LoadOptions, load\n"
            "import os; load(LoadOptions(home=sys.argv[1]), os.environ)\n"
            "wanted = ('mcpgateway.clientfiles.formats', 'mcpgateway.clientfiles.enrolled_text',"
            " 'mcpgateway.clientfiles.ledger', 'tomlkit', 'mcpgateway.manage.client_files', 'mcpgateway.cli.local')\n"
            "print([each for each in sys.modules if each.startswith(wanted)])"
        )
        found = self.ran(code, str(gateway.home))
        assert found == "[]"

    @staticmethod
    def ran(code, home):
        """The output of a program."""
        import subprocess

        environ = {"PATH": os.environ["PATH"], "HOME": home}
        root = Path(__file__).resolve().parents[2]
        done = subprocess.run(
            [sys.executable, "-c", code, home],
            capture_output=True,
            text=True,
            check=True,
            env=environ,
            cwd=root,
            timeout=LIMIT_S,
        )
        return done.stdout.strip()
