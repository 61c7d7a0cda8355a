"""All servers together as one program on stdio: the bare command, its views, and clients' files that lead there."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.shim.driver import MODERN, Shim
from tests.support import forkserver
from tests.support.gateway import BIN, LIMIT_S, MARKER, Gateway, eventually, server
from tests.support.processes import command_line
from tests.support.whole import whole_result

pytestmark = pytest.mark.functional

FIXTURE = (sys.executable, "-I", "-S", str(Path(__file__).parents[1] / "servers" / "fixture.py"))
SERVERS = {"shared": server(FIXTURE), "own": server(FIXTURE, share="session")}
PROGRAM = (str(BIN / "mcpgateway"),)
READY = "__MCP_GATEWAY_STDIO_READY__"


@pytest.fixture
def gateway(tmp_path):
    """A gateway with two servers."""
    with Gateway(tmp_path, SERVERS) as running:
        yield running


def everything(gateway, *words, **more):
    """A client's program for all servers."""
    return Shim("--home", gateway.home, *words, cwd=gateway.directory, **more)


def names(shim):
    """The names of all tools that are listed."""
    return {each["name"] for each in whole_result(lambda: shim.ask("tools/list"))["tools"]}


class AggregateTests:
    """The same shim, for all servers."""

    @pytest.mark.parametrize("words", [(), ("stdio",)])
    def test_all_servers(self, gateway, words):
        """A client that starts the program with a pipe gets the tools of all servers, callable by their names."""
        with everything(gateway, *words, shim=PROGRAM) as shim:
            shim.open()
            assert shim.call("shared__echo", text="süß") == "süß"
            assert shim.call("own__echo", text="two") == "two"
            assert READY not in shim.stderr
            assert shim.end() == 0
            assert gateway.health()["sessions"] == 0

    def test_it_is_the_shim(self, gateway):
        """The bare command becomes the small program that relays, not a second gateway."""
        with everything(gateway, shim=PROGRAM) as shim:
            shim.open()
            assert b"shim_main.py" in command_line(shim.process.pid)
            assert json.loads(shim.call("shared__pid"))["pid"] in gateway.children()

    def test_a_view(self, gateway):
        """A view can be named."""
        with everything(gateway, "stdio", "--view", "full") as shim:
            shim.open()
            found = names(shim)
            assert {"shared__echo", "own__echo"} <= found

    def test_an_unknown_profile(self, gateway):
        """A view that the gateway does not have is an error."""
        with everything(gateway, "stdio", "--view", "p/none") as shim:
            assert "error" in shim.hear()
            assert shim.process.wait(LIMIT_S) == 1

    def test_ready(self, gateway):
        """Where that is asked for, a line on stderr says that requests are taken, and stdout holds nothing else."""
        with everything(gateway, "stdio", "--ready-line") as shim:
            shim.open()
            assert READY in shim.stderr.splitlines()

    def test_progress(self, gateway):
        """Calls are cancelled, and progress comes, as with one server."""
        with everything(gateway, "stdio", "--view=full") as shim:
            shim.open()
            number = shim.begin("tools/call", name="shared__mute", arguments={})
            shim.notify("notifications/cancelled", requestId=number)
            assert shim.call("shared__echo", text="x") == "x"

    def test_a_question_while_another_server_leaves(self, tmp_path):
        """A server that is taken out ends its calls and not the session: what another has asked gets its answer."""
        asks, leaves = server(FIXTURE, share="session", interactive=True), server(FIXTURE)
        question = {"message": "who?", "requestedSchema": {"type": "object", "properties": {}}}
        given = {"method": "elicitation/create", "params": question}
        with (
            Gateway(tmp_path, {"asks": asks, "leaves": leaves}) as gateway,
            everything(gateway, "stdio", "--view", "full") as shim,
        ):
            shim.open(capabilities={"elicitation": {}})
            assert {"asks__ask", "leaves__mute"} <= names(shim)
            asking = shim.begin("tools/call", name="asks__ask", arguments=given)
            while (asked := shim.hear()).get("method") != "elicitation/create":
                pass
            held = shim.begin("tools/call", name="leaves__mute", arguments={})
            eventually(lambda: gateway.backend("leaves")["calls"], "it is under way")
            gateway.config.write_text(gateway.configured({"asks": asks}))
            assert "taken out" in shim.answer(held)["error"]["message"]
            shim.say({"jsonrpc": "2.0", "id": asked["id"], "result": {"action": "decline"}})
            assert "decline" in shim.answer(asking)["result"]["content"][0]["text"]
            assert "begun again" not in shim.stderr
            assert shim.end() == 0

    def test_the_modern_era(self, gateway):
        """A client of the newer era is served without a session."""
        with everything(gateway, "stdio", "--view", "full") as shim:
            found = shim.ask("server/discover", _meta=MODERN)["result"]["supportedVersions"]
            assert "2026-07-28" in found
            answer = shim.ask("tools/call", _meta=MODERN, name="shared__echo", arguments={"text": "hello"})
            assert answer["result"]["content"][0]["text"] == "hello"

    def test_the_gateway_is_started(self, tmp_path):
        """Where none runs one is started, and it is the one that others use, too."""
        home = tmp_path / "home"
        home.mkdir(mode=0o700)
        marked = {name: {**each, "env": {MARKER: str(tmp_path)}} for name, each in SERVERS.items()}
        document = {"gateway": {"http_port": 0, "limits": {"idle_exit": 1}}, "servers": marked}
        (home / "config.json").write_text(json.dumps(document))
        with Shim("--home", home, cwd=tmp_path, shim=PROGRAM) as shim:
            shim.open()
            assert shim.call("shared__echo", text="x") == "x"
            ran = forkserver.ran(
                [*PROGRAM, "--home", home, "status", "--json"],
                env={"PATH": os.environ["PATH"], "HOME": str(tmp_path)},
            )
            found = json.loads(ran.stdout)
            assert found["aggregate"] == f"http://localhost:{found['port']}/mcp"
            shim.end()
        forkserver.ran(
            [*PROGRAM, "--home", home, "stop"], env={"PATH": os.environ["PATH"], "HOME": str(tmp_path)}
        )

    def test_help(self, tmp_path):
        """Without a pipe nobody speaks MCP, so it is help that is printed."""
        ran = subprocess.run(
            PROGRAM,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            env={"PATH": os.environ["PATH"], "HOME": str(tmp_path)},
            check=True,
        )
        assert "Usage:" in ran.stdout


class SingleTests:
    """A client's file with a single entry for all of its servers."""

    def test_there_and_back(self, gateway):
        """The client's own servers are served behind the one entry, and come back to the byte."""
        file = gateway.directory / ".cursor" / "mcp.json"
        file.parent.mkdir()
        entry = {"command": FIXTURE[0], "args": list(FIXTURE[1:])}
        file.write_text(json.dumps({"mcpServers": {"mine": entry, "other": entry}}, indent=1))
        before = file.read_bytes()
        assert "mcpgateway" in clients(gateway, "plan", "--single", "--diff")
        assert file.read_bytes() == before
        clients(gateway, "apply", "--single", "--yes")
        assert json.loads(file.read_text()) == {
            "mcpServers": {"mcpgateway": {"url": f"http://localhost:{gateway.port}/mcp"}}
        }
        served = lambda: {each["name"] for each in gateway.health()["backends"]}  # noqa: E731
        eventually(lambda: {"mine", "other"} <= served(), "the client's own servers are served")
        with everything(gateway, "stdio") as shim:
            shim.open()
            assert shim.call("mine__echo", text="x") == "x"
        clients(gateway, "undo")
        assert file.read_bytes() == before


def clients(gateway, *words):
    """Run a command that goes through the clients' files; what it says."""
    ran = forkserver.ran(
        [*PROGRAM, "--home", gateway.home, "clients", *words],
        env={"PATH": os.environ["PATH"], "HOME": str(gateway.directory)},
    )
    return ran.stdout
