"""Real servers that are frozen while nobody uses them, and make room when memory is short."""

import asyncio
import json
import os
import random
import re
import signal
import socket
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from mcpgateway.system.process.tree_sizes import owners_of
from tests.support.browser import CHROMIUM
from tests.support.gateway import IS_SOAK, Gateway, eventually, server
from tests.support.http_client import Client
from tests.support.processes import is_alive
from tests.support.real_servers import fixture, memory, playwright, sequential_thinking
from tests.support.restarting import restarted

pytestmark = pytest.mark.functional

THOUGHT = {"nextThoughtNeeded": True, "thoughtNumber": 1, "totalThoughts": 3}
CALM = "some avg10=0.00 avg60=0.00 avg300=0.00 total=0\n"
SHORT = "some avg10=42.00 avg60=9.00 avg300=1.00 total=99\n"
# A server with state in its own process and in another one, which has left its session.
REPL = """
import json, os, socket, subprocess, sys
helper = subprocess.Popen(["sleep", "600"], start_new_session=True)
names = {"helper": helper}
for line in sys.stdin:
    message = json.loads(line)
    if "id" not in message:
        continue
    method, params = message["method"], message.get("params", {})
    if method == "initialize":
        result = {"protocolVersion": "2025-06-18", "capabilities": {"tools": {}},
                  "serverInfo": {"name": "repl", "version": "1"}}
    elif method == "tools/list":
        tool = {"name": "run", "inputSchema": {"type": "object"}}
        result = {"tools": [tool]}
    elif method == "tools/call":
        exec(params["arguments"]["code"], names)
        result = {"content": [{"type": "text", "text": str(names.get("answer"))}]}
    else:
        result = {}
    print(json.dumps({"jsonrpc": "2.0", "id": message["id"], "result": result}), flush=True)
"""


def repl():
    """The words of a Python prompt as a server."""
    return [sys.executable, "-c", REPL]


def state_of(pid):
    """The state of a process: T if it is stopped."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def sleeping(gateway, name):
    """Wait until a server sleeps, and return its process."""
    eventually(lambda: gateway.backend(name)["status"] == "asleep", f"{name} sleeps")
    (pid,) = gateway.backend(name)["pids"]
    return pid


def why(gateway, name):
    """The diagnosis of a server."""
    with urllib.request.urlopen(f"{gateway.url}/api/v1/servers/{name}/why") as answer:
        return json.load(answer)


def events(gateway, name):
    """The names of the events in the diagnosis of a server."""
    return [each["event"] for each in why(gateway, name)["history"]]


@pytest.fixture(scope="module")
def gateway(tmp_path_factory):
    """A gateway for all tests: each has a server of its own."""
    servers = {
        "thinking": server(sequential_thinking()),
        "memory": server(memory()),
        "repl": server(repl()),
        "listening": server(repl()),
        "forced": server(repl(), freeze="always"),
        "awake": server(fixture(), freeze="off"),
        "killed": server(repl()),
    }
    settings = {"ping_interval": "2s", "limits": {"stuck": "3s"}, "sleep": {"after": "2s"}}
    with Gateway(tmp_path_factory.mktemp("gateway"), servers, settings=settings) as running:
        yield running


class SleepTests:
    """Servers that nobody uses."""

    def test_state_is_kept(self, gateway):
        """A server of npm sleeps, is shown so, and goes on where it was with the next message."""

        async def scene():
            client = await Client.open(gateway.url, "thinking")
            await client.call("sequentialthinking", {"thought": "one", **THOUGHT})
            pid = sleeping(gateway, "thinking")
            assert state_of(pid) == "T"
            assert "server.asleep" in events(gateway, "thinking")
            assert why(gateway, "thinking")["verdict"] == "thinking is asleep, and nothing is wrong with it"
            answer = await client.call("sequentialthinking", {"thought": "two", **THOUGHT})
            assert '"thoughtHistoryLength": 2' in json.dumps(answer).replace("\\", "")
            assert gateway.backend("thinking")["pids"] == [pid]
            eventually(lambda: "server.awake" in events(gateway, "thinking"), "its waking is an event")
            client.close()

        asyncio.run(scene())

    def test_pings_do_not_wake_it(self, gateway):
        """A server that sleeps is neither pinged, nor called stuck, nor started again."""

        async def scene():
            client = await Client.open(gateway.url, "memory")
            await client.call("read_graph")
            pid = sleeping(gateway, "memory")
            await asyncio.sleep(6)  # three pings, and twice the time of a stuck one
            assert state_of(pid) == "T"
            health = gateway.backend("memory")
            assert (health["status"], health["pids"], health["restart_count"]) == ("asleep", [pid], 0)
            assert events(gateway, "memory").count("server.asleep") == 1
            client.close()

        asyncio.run(scene())

    def test_all_processes(self, gateway):
        """A process that has left the session of its server sleeps, too; both go on together."""

        async def scene():
            client = await Client.open(gateway.url, "repl")
            helper = int(await client.text("run", code="x = 41; answer = helper.pid"))
            pid = sleeping(gateway, "repl")
            assert {state_of(pid), state_of(helper)} == {"T"}
            assert await client.text("run", code="answer = x + 1") == "42"
            assert "T" not in {state_of(pid), state_of(helper)}
            client.close()

        asyncio.run(scene())

    def test_socket(self, gateway):
        """A server with a socket stays awake, now and later, and the reason is told; ``always`` freezes it."""

        async def both():
            listen = "import socket; s = socket.create_server(('127.0.0.1', 0)); answer = s.getsockname()[1]"
            awake = await Client.open(gateway.url, "listening")
            forced = await Client.open(gateway.url, "forced")
            await awake.text("run", code=listen)
            port = int(await forced.text("run", code=listen))
            sleeping(gateway, "forced")
            with socket.create_connection(
                ("127.0.0.1", port)
            ):  # the kernel accepts it for the frozen process
                assert await forced.text("run", code="c, _ = s.accept(); answer = 'met'") == "met"
            told = "it listens at a socket"
            eventually(lambda: gateway.backend("listening")["awake_for"] == told, "it is found out")
            await awake.text("run", code="s.close(); answer = 0")
            await asyncio.sleep(5)
            assert gateway.backend("listening")["status"] == "running"
            assert events(gateway, "listening").count("server.kept_awake") == 1
            for each in (awake, forced):
                each.close()

        asyncio.run(both())

    def test_off(self, gateway):
        """A server whose entry says off never sleeps; a kill of one that sleeps is an end like any other."""

        async def scene():
            awake = await Client.open(gateway.url, "awake")
            await awake.text("echo", text="x")
            killed = await Client.open(gateway.url, "killed")
            helper = int(await killed.text("run", code="answer = helper.pid"))
            pid = sleeping(gateway, "killed")
            assert gateway.backend("awake")["status"] == "running"
            os.kill(pid, signal.SIGKILL)
            eventually(lambda: not is_alive(helper), "its helper is ended with it")
            assert await killed.text("run", code="answer = 'new'") == "new"
            for each in (awake, killed):
                each.close()

        asyncio.run(scene())


async def begin(gateway, name):
    """Return a client of a server with a browser, whose page has a variable."""
    client = await Client.open(gateway.url, name)
    await client.call("browser_navigate", {"url": "data:text/html,<title>one</title>"})
    await client.call("browser_evaluate", {"function": "() => { window.x = 41 }"})
    return client


@pytest.mark.skipif(not CHROMIUM, reason="Chromium is not installed")
class BrowserTests:
    """A server with a browser."""

    def test_page(self, tmp_path):
        """A browser has sockets, and stays awake; ``always`` freezes all of it, and the page is there afterwards."""
        browser, environment = playwright(CHROMIUM), {"HOME": str(tmp_path)}
        servers = {
            "auto": server(browser, env=environment),
            "always": server(browser, env=environment, freeze="always"),
        }

        async def scene(gateway):
            auto, always = [await begin(gateway, each) for each in servers]
            pid = sleeping(gateway, "always")
            processes = owners_of((pid,))
            assert len(processes) > 3
            assert {state_of(each) for each in processes} == {"T"}
            assert "42" in await always.text("browser_evaluate", function="() => window.x + 1")
            eventually(
                lambda: gateway.backend("auto")["awake_for"], "it is found out why the other does not sleep"
            )
            assert gateway.backend("auto")["status"] == "running"
            for each in (auto, always):
                each.close()

        with Gateway(tmp_path, servers, settings={"sleep": {"after": "3s"}}) as gateway:
            asyncio.run(scene(gateway))

    def test_restart_in_place(self, tmp_path):
        """A browser, its page and what the page knows are there after a restart in place, those of a frozen one too."""
        browser, environment = playwright(CHROMIUM), {"HOME": str(tmp_path)}
        servers = {
            "used": server(browser, env=environment, freeze="off"),
            "asleep": server(browser, env=environment, freeze="always"),
        }

        async def scene(gateway):
            clients = [await begin(gateway, each) for each in servers]
            sleeping(gateway, "asleep")
            before = [owners_of(gateway.backend(each)["pids"]) for each in servers]
            assert all(len(each) > 3 for each in before)
            await asyncio.to_thread(restarted, gateway)
            for client in clients:
                assert "42" in await client.text("browser_evaluate", function="() => window.x + 1")
                assert "one" in await client.text("browser_snapshot")
            assert [owners_of(gateway.backend(each)["pids"]) for each in servers] == before
            for client in clients:
                client.close()

        gateway = Gateway(tmp_path, servers, settings={"sleep": {"after": "3s"}}, is_forked=False)
        with gateway:
            asyncio.run(scene(gateway))


class StormTests:
    """Many servers that fall asleep and are woken all the time."""

    def test_storm(self, tmp_path):
        """No call is lost or answered wrongly, and no server is started twice, whenever a call comes."""
        count, lasts_s = (6, 300.0) if IS_SOAK else (3, 15.0)
        interpreters = [f"repl{number}" for number in range(count)]
        pads, chance = [f"pad{number}" for number in range(count // 3)], random.Random(7)
        settings = {"sleep": {"after": "1s"}, "ping_interval": "2s", "limits": {"stuck": "3s"}}

        async def counted(client):
            return int(await client.text("run", code="x = globals().get('x', 0) + 1; answer = x"))

        async def thought(client):
            return json.loads(await client.text("sequentialthinking", thought="t", **THOUGHT))[
                "thoughtHistoryLength"
            ]

        async def use(gateway, name, ends):
            client, number = await Client.open(gateway.url, name), 0
            step = thought if name in pads else counted
            while time.monotonic() < ends:
                number += 1
                assert await step(client) == number
                await asyncio.sleep(chance.choice((0.0, 1.0, 2.0, 3.0, 3.5, 4.0, 5.0, 8.0)))
            client.close()
            return number

        async def scene(gateway):
            ends = time.monotonic() + lasts_s
            numbers = await asyncio.gather(*(use(gateway, each, ends) for each in servers))
            health = {each["name"]: each for each in gateway.health()["backends"]}
            assert {(health[each]["starts"], health[each]["restart_count"]) for each in servers} == {(1, 0)}
            print(f"{sum(numbers)} calls of {len(servers)} servers")

        servers = {
            **{each: server(repl(), freeze="always") for each in interpreters},
            **{each: server(sequential_thinking(), freeze="always") for each in pads},
        }
        with Gateway(tmp_path, servers, settings=settings) as gateway:
            asyncio.run(scene(gateway))
            print(f"{gateway.log.count('is asleep')} times asleep")
            assert all(re.search(rf"{each} \(pid \d+\) is asleep", gateway.log) for each in servers)


class GatewayEndTests:
    """The end of a gateway whose servers sleep."""

    @pytest.mark.parametrize("is_killed", [False, True])
    def test_no_process_is_left(self, tmp_path, is_killed):
        """Servers that sleep are stopped in order, and die with a gateway that is killed."""

        async def scene(gateway):
            client = await Client.open(gateway.url, "repl")
            helper = int(await client.text("run", code="answer = helper.pid"))
            client.close()
            return sleeping(gateway, "repl"), helper

        with Gateway(tmp_path, {"repl": server(repl())}, settings={"sleep": {"after": "1s"}}) as gateway:
            pids = asyncio.run(scene(gateway))
            if is_killed:
                gateway.kill()
            else:
                gateway.stop()
                assert "repl has ended: exit code 0" in gateway.log
            eventually(lambda: not any(map(is_alive, pids)), "no process is left")


CGROUPS = Path("/sys/fs/cgroup/unified" if Path("/sys/fs/cgroup/unified").exists() else "/sys/fs/cgroup")


@pytest.fixture
def delegated():
    """A cgroup that belongs to the gateway, as systemd makes one for a unit with ``Delegate=yes``."""
    group = CGROUPS / f"mcpgateway-test-{os.getpid()}"
    try:
        group.mkdir()
        os.setxattr(group, "user.delegate", b"1")
    except OSError as reason:
        pytest.skip(f"no cgroup can be made here: {reason}")
    yield group
    for each in [*group.glob("child-*"), group]:
        eventually(lambda: _removed(each), f"{each} is empty")  # noqa: B023 - it is called at once


def _removed(group):
    try:
        group.rmdir()
    except OSError:
        return False
    return True


class CgroupTests:
    """A gateway with a cgroup of its own."""

    @pytest.mark.parametrize("is_killed", [False, True])
    def test_cgroup(self, tmp_path, delegated, is_killed):
        """The kernel freezes a server with all its processes in a cgroup of their own, which goes with it."""
        runs_in = f'echo $$ > {delegated}/cgroup.procs && exec "$0" "$@"'

        async def scene(gateway):
            client = await Client.open(gateway.url, "repl")
            helper = int(await client.text("run", code="x = 41; answer = helper.pid"))
            (delegated / "cgroup.procs").write_text(str(helper))  # as if it were older than the cgroup
            pid = sleeping(gateway, "repl")
            group = delegated / f"child-{pid}"
            assert sorted(map(int, (group / "cgroup.procs").read_text().split())) == sorted((pid, helper))
            assert "frozen 1" in (group / "cgroup.events").read_text()
            assert state_of(pid) != "T"
            assert await client.text("run", code="answer = x + 1") == "42"
            assert "frozen 0" in (group / "cgroup.events").read_text()
            client.close()
            return sleeping(gateway, "repl"), helper, group

        gateway = Gateway(
            tmp_path, {"repl": server(repl())}, settings={"sleep": {"after": "1s"}}, is_forked=False
        )
        gateway._runner = ["sh", "-c", runs_in, *gateway._runner]
        with gateway:
            pid, helper, group = asyncio.run(scene(gateway))
            if is_killed:
                gateway.kill()
            else:
                gateway.stop()
                assert not group.exists()
            eventually(lambda: not is_alive(pid) and not is_alive(helper), "no process is left")


class PressureTests:
    """A machine that is short of memory."""

    def test_relief(self, tmp_path):
        """A server without state is stopped first, then one that sleeps, if the settings say so; none that works."""
        pressure = tmp_path / "pressure"
        pressure.write_text(CALM)
        servers = {
            "plain": server(fixture(), lazy={"idleTimeoutMs": 3_600_000}),
            "repl": server(repl()),
            "busy": server(fixture(), lazy={"idleTimeoutMs": 3_600_000}),
        }
        sleep = {"after": "1s", "relief": "asleep", "pressure_file": str(pressure)}

        async def scene(gateway):
            plain, held, busy = [await Client.open(gateway.url, each) for each in servers]
            await plain.text("echo", text="x")
            await held.text("run", code="x = 1")
            working = asyncio.ensure_future(busy.text("sleep", ms=25_000, text="done"))
            pid = sleeping(gateway, "repl")
            sleeping(gateway, "plain")
            await asyncio.sleep(0)
            await asyncio.to_thread(pressed, gateway, pid)
            assert await working == "done"
            pressure.write_text(CALM)
            assert await held.text("run", code="answer = 'new'") == "new"
            assert await plain.text("echo", text="y") == "y"
            for each in (plain, held, busy):
                each.close()

        def pressed(gateway, pid):
            pressure.write_text(SHORT)
            eventually(lambda: not is_alive(pid), "the one that sleeps is stopped")
            assert gateway.backend("plain")["pids"] == []
            assert gateway.backend("busy")["status"] == "running"
            reason = "memory is short (processes wait for memory for 42 % of the time)"
            for name in ("plain", "repl"):
                assert any(reason in each["text"] for each in why(gateway, name)["history"])
            assert gateway.log.index("plain is stopped: memory") < gateway.log.index(
                "repl is stopped: memory"
            )

        with Gateway(tmp_path, servers, settings={"sleep": sleep}) as gateway:
            asyncio.run(scene(gateway))
            assert "memory is short: processes wait" in gateway.log
