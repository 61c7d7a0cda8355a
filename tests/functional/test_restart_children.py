"""Servers that go on while the gateway is restarted in place, with all that they keep in memory."""

import http.client
import json
import os
import signal
import sys
import time
from pathlib import Path

import pytest

from tests.support import real_servers
from tests.support.gateway import IS_SOAK, LIMIT_S, eventually, server
from tests.support.home import Home
from tests.support.modern_client import headers_of, request
from tests.support.processes import children_of, command_line, is_alive
from tests.support.real_servers import PYPI_BIN, ROOT
from tests.support.restarting import Client, InBackground, asked, hung_up, renewed, state

pytestmark = pytest.mark.functional

FIXTURE = (sys.executable, "-I", "-S", str(ROOT / "tests" / "servers" / "fixture.py"))
REPL = (str(PYPI_BIN / "python"), str(ROOT / "tests" / "servers" / "repl.py"))
STORM_S, RESTART_S = (300, 5) if IS_SOAK else (6, 1)
SERVERS = {
    "shared": server(FIXTURE, share="global"),
    "own": server(FIXTURE, share="session"),
}


@pytest.fixture
def home(tmp_path):
    """A home with a gateway that runs detached."""
    with Home(tmp_path, SERVERS) as made:
        made.json("start", "--adopt", "never")
        yield made


def again(home):
    """Restart the gateway; it is the same process."""
    before = hung_up(home)
    assert renewed(home, before)["pid"] == before["pid"]


def calls_of(home):
    """The number of calls under way."""
    return json.loads(asked(home.port, "GET", "/health")[2])["calls"]


def servers_of(home):
    """The pids of the gateway's servers."""
    found = children_of(state(home)["pid"])
    return sorted(each for each in found if b"guardian_main" not in command_line(each))


class SamplingClient(Client):
    """A client that offers sampling."""

    offer = {"sampling": {}}


class GoingOnTests:
    """Idle servers and sessions."""

    def test_state_is_kept(self, home):
        """Servers of one session and of all are the same processes, greeted once; each session has its own."""
        paths = ("/shared/mcp", "/shared/mcp", "/own/mcp", "/own/mcp")
        clients = [Client(home.port, each) for each in paths]
        view = Client(home.port, "/mcp/full")
        assert [each.said("count") for each in clients] == ["1", "2", "1", "1"]
        assert view.said("own__count") == "1"
        before = servers_of(home)
        assert len(before) == 4
        for nth in range(2):
            again(home)
            assert servers_of(home) == before
            counts = [each.said("count") for each in clients]
            assert counts == [str(each) for each in (3 + 2 * nth, 4 + 2 * nth, 2 + nth, 2 + nth)]
            assert view.said("own__count") == str(2 + nth)
        told = json.loads(clients[2].said("initialized"))
        assert len(told["handshakes"]) == 1
        assert servers_of(home) == before
        assert "Traceback" not in home.log, home.log

    def test_many_sessions_of_a_server(self, home):
        """Of many sessions those with equal capabilities share the same server as before, and no others do."""
        plain = [Client(home.port) for _ in range(5)]
        asking = [SamplingClient(home.port) for _ in range(4)]
        assert [each.said("count") for each in plain] == ["1", "2", "3", "4", "5"]
        assert [each.said("count") for each in asking] == ["1", "2", "3", "4"]
        before = servers_of(home)
        assert len(before) == 2
        again(home)
        assert servers_of(home) == before
        assert [each.said("count") for each in plain] == ["6", "7", "8", "9", "10"]
        assert [each.said("count") for each in asking] == ["5", "6", "7", "8"]
        assert servers_of(home) == before

    def test_path_of_another_shell(self, tmp_path):
        """Servers that run are kept where the restart takes over another PATH; servers started later get that."""
        with Home(tmp_path, SERVERS, SHLVL="1", TERM="dumb") as home:
            home.json("start", "--adopt", "never")
            asking = Client(home.port, "/shared/mcp")
            assert asking.said("count") == "1"
            before = servers_of(home)
            home.environ["PATH"] = f"{tmp_path}:{home.environ['PATH']}"
            home.json("restart")
            assert asking.said("count") == "2"
            assert servers_of(home) == before
            assert Client(home.port, "/own/mcp").said("count") == "1"
            (later,) = set(servers_of(home)) - set(before)
            environ = Path(f"/proc/{later}/environ").read_bytes().split(b"\0")
            assert f"PATH={home.environ['PATH']}".encode() in environ

    def test_many_servers(self, tmp_path):
        """Of many servers all are kept, whether a request or the gateway takes them over first."""
        names = [f"server-{nth}" for nth in range(20)]
        with Home(tmp_path, {each: server(FIXTURE, share="global") for each in names}) as home:
            home.json("start", "--adopt", "never")
            clients = [Client(home.port, f"/{each}/mcp") for each in names]
            assert {each.said("count") for each in clients} == {"1"}
            before = servers_of(home)
            assert len(before) == len(names)
            for nth in range(2, 4):
                again(home)
                assert {each.said("count") for each in reversed(clients)} == {str(nth)}
                assert servers_of(home) == before
            assert "Traceback" not in home.log, home.log

    def test_real_servers(self, tmp_path):
        """A thinking pad of npm and a Python interpreter of PyPI keep what they were told."""
        servers = {"pad": server(real_servers.sequential_thinking()), "repl": server(REPL, share="session")}
        with Home(tmp_path, servers) as home:
            home.json("start", "--adopt", "never")
            pad, ours, theirs = (Client(home.port, f"/{each}/mcp") for each in ("pad", "repl", "repl"))
            thought = {"thought": "t", "thoughtNumber": 1, "totalThoughts": 9, "nextThoughtNeeded": True}
            pad.said("sequentialthinking", **thought)
            ours.said("run", code="it = known = 41")
            theirs.said("run", code="it = 0")
            before = servers_of(home)
            again(home)
            assert json.loads(pad.said("sequentialthinking", **thought))["thoughtHistoryLength"] == 2
            assert ours.said("run", code="it = known + 1") == "42"
            assert theirs.said("run", code="it = 'known' in globals()") == "False"
            assert servers_of(home) == before

    def test_stop_ends_them(self, home):
        """A server that was taken over ends with the gateway, in order or killed."""
        Client(home.port).said("count")
        (ours,) = servers_of(home)
        again(home)
        (helper,) = set(children_of(state(home)["pid"])) - {ours}
        home.run("stop")
        assert not is_alive(ours)
        eventually(lambda: not is_alive(helper), "the guardian ends, too")

    def test_kill_ends_them(self, home):
        """The guardian goes on, and ends the servers of a gateway that is killed after a restart."""
        Client(home.port).said("count")
        again(home)
        Client(home.port, "/own/mcp").said("count")
        ours = servers_of(home)
        (home.path / "wanted").unlink()
        os.kill(state(home)["pid"], signal.SIGKILL)
        eventually(lambda: not any(map(is_alive, ours)), "no server is left")

    @pytest.mark.parametrize("pause_s", [0, 0.3, 1])
    def test_kill_on_the_way(self, home, pause_s):
        """A gateway that is killed while its servers go from one program to the next leaves none of them."""
        Client(home.port).said("count")
        ours = servers_of(home)
        before = hung_up(home)
        eventually(lambda: "are handed over" in home.log, "they are on their way")
        time.sleep(pause_s)
        (home.path / "wanted").unlink()
        os.kill(before["pid"], signal.SIGKILL)
        eventually(lambda: not any(map(is_alive, ours)), "no server is left")


class UnderWayTests:
    """Calls that are not over within a moment."""

    def test_calls(self, tmp_path):
        """Calls are answered on their connections, as JSON and as events, once; the restart does not wait for them."""
        gate = tmp_path / "gate"
        code = (
            f"import pathlib, time\nwhile not pathlib.Path({str(gate)!r}).exists(): time.sleep(0.1)\nit = 1"
        )
        servers = {**SERVERS, "repl": server(REPL, share="session")}
        with Home(tmp_path, servers) as home:
            home.json("start", "--adopt", "never")
            clients = [Client(home.port, each) for each in ("/repl/mcp", "/repl/mcp", "/mcp/full")]
            names = ("run", "run", "repl__run")
            calls = [
                InBackground(lambda _, c=client, n=name: c.said(n, code=code))
                for client, name in zip(clients, names, strict=True)
            ]
            told, listener = Client(home.port, "/own/mcp"), Client(home.port)
            listener.said("count")
            steps = {
                "name": "progress",
                "arguments": {"steps": 12, "ms": 1000},
                "_meta": {"progressToken": 7},
            }
            progress = InBackground(lambda _: told.post("tools/call", **steps))
            stream = listener.stream()
            eventually(lambda: calls_of(home) == 4, "the calls are under way")
            before = servers_of(home)
            again(home)
            assert calls_of(home) >= 3
            gate.touch()
            assert [each.result() for each in calls] == ["1"] * 3
            _, headers, text = progress.result()
            assert headers["Content-Type"] == "text/event-stream"
            messages = [json.loads(line[5:]) for line in text.splitlines() if line.startswith("data: {")]
            assert [each["params"]["progress"] for each in messages[:-1]] == list(range(1, 13))
            assert "result" in messages[-1]
            assert listener.said("count") == "2"
            assert servers_of(home) == before
            news = {"method": "notifications/tools/list_changed"}
            listener.post("tools/call", name="notify", arguments=news)
            assert any(b"list_changed" in line for line in stream)
            assert "Traceback" not in home.log, home.log

    def test_modern_call(self, tmp_path):
        """A call of a modern client goes on, too."""
        gate = tmp_path / "gate"
        code = (
            f"import pathlib, time\nwhile not pathlib.Path({str(gate)!r}).exists(): time.sleep(0.1)\nit = 1"
        )
        with Home(tmp_path, {"repl": server(REPL, share="global")}) as home:
            home.json("start", "--adopt", "never")
            body = request(5, "tools/call", name="run", arguments={"code": code})
            headers = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}
            call = InBackground(
                lambda _: asked(
                    home.port, "POST", "/repl/mcp", json.dumps(body), **headers, **headers_of(body)
                )
            )
            eventually(lambda: calls_of(home) == 1, "the call is under way")
            eventually(lambda: servers_of(home), "its server runs")
            before = servers_of(home)
            again(home)
            assert calls_of(home) == 1
            gate.touch()
            status, _, text = call.result()
            assert (status, '"text":"1"' in text.replace(" ", "")) == (200, True), text
            assert servers_of(home) == before

    def test_killed_meanwhile(self, home):
        """A call whose server is killed during the restart gets an error, and is not sent to the next one."""
        client = Client(home.port)
        call = InBackground(lambda _: client.said("sleep", ms=60_000))
        eventually(lambda: calls_of(home) == 1, "the call is under way")
        (ours,) = servers_of(home)
        os.kill(ours, signal.SIGSTOP)
        before = hung_up(home)
        eventually(lambda: "are handed over" in home.log, "it is handed over")
        os.kill(ours, signal.SIGKILL)
        renewed(home, before)
        assert "may have had effects" in call.result()["message"]
        assert client.said("count") == "1"


def counting(port, path):
    """Count in a session on one connection until nobody wants it any more; how often, and the longest pause."""
    client = Client(port, path)
    headers = {name.replace("_", "-"): value for name, value in client.headers.items()}

    def work(background):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=LIMIT_S)
        connection.connect()
        connection.auto_open = 0
        count, longest = 0, 0.0
        while background.is_wanted:
            count += 1
            began = time.monotonic()
            for name, arguments in (("count", {}), ("sleep", {"ms": 300 * (count % 8), "text": str(count)})):
                params = {"name": name, "arguments": arguments}
                body = {"jsonrpc": "2.0", "id": count, "method": "tools/call", "params": params}
                connection.request("POST", path, json.dumps(body), headers)
                answer = json.loads(connection.getresponse().read())
                assert answer["id"] == count
                assert answer["result"]["content"][0]["text"] == str(count)
            longest = max(longest, time.monotonic() - began - 0.3 * (count % 8))
        return count, longest

    return InBackground(work)


class StormTests:
    """A restart after the other, under load."""

    def test_every_call_once(self, home):
        """No connection is closed; each call is carried out once and answered, by the same processes all the time."""
        clients = [counting(home.port, "/own/mcp") for _ in range(4)]
        eventually(lambda: len(servers_of(home)) == 4, "all servers run")
        before = servers_of(home)
        ends = time.monotonic() + STORM_S
        restarts = 0
        while time.monotonic() < ends:
            again(home)
            restarts += 1
            time.sleep(RESTART_S)
        found = [each.result() for each in clients]
        assert servers_of(home) == before
        print(f"{restarts} restarts, {sum(count for count, _ in found)} calls; longest pauses:", found)


class NotGoingOnTests:
    """Servers that cannot go on."""

    def test_other_settings(self, home):
        """A server whose settings have changed is stopped, and its clients get a new one; others go on."""
        ours, theirs = Client(home.port), Client(home.port, "/own/mcp")
        assert (ours.said("count"), theirs.said("count")) == ("1", "1")
        config = home.path / "config.json"
        document = json.loads(config.read_text())
        document["servers"]["shared"]["env"] = {"OTHER": "1"}
        config.write_text(json.dumps(document))
        again(home)
        assert (ours.said("count"), theirs.said("count")) == ("1", "2")
        eventually(lambda: len(servers_of(home)) == 2, "the former process has ended")

    def test_killed_meanwhile(self, home):
        """A server that is killed during the restart is started again by the next call."""
        client = Client(home.port)
        client.said("count")
        (ours,) = servers_of(home)
        os.kill(ours, signal.SIGSTOP)
        before = hung_up(home)
        eventually(lambda: "are handed over" in home.log, "it is handed over")
        os.kill(ours, signal.SIGKILL)
        renewed(home, before)
        assert client.said("count") == "1"
        (new,) = servers_of(home)
        assert new != ours
