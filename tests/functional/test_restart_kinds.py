"""Servers of other kinds than plain processes on stdin and stdout, over a restart of the gateway in place."""

import http.client
import json
import os
import sys
from pathlib import Path

import pytest

from tests.functional.test_sleep import repl
from tests.functional.test_websocket import Port
from tests.support import real_servers
from tests.support.certificates import Authority
from tests.support.far import Server
from tests.support.gateway import LIMIT_S, eventually, server
from tests.support.home import Home
from tests.support.ports import free_port
from tests.support.processes import children_of, command_line, is_alive
from tests.support.real_servers import ROOT
from tests.support.restarting import Client, InBackground, asked, hung_up, renewed, state

pytestmark = pytest.mark.functional

SESSIONS = str(ROOT / "tests" / "servers" / "sessions.py")


def again(home):
    """Restart the gateway; it is the same process."""
    before = hung_up(home)
    assert renewed(home, before)["pid"] == before["pid"]
    assert "Traceback" not in home.log, home.log


def calls_of(home):
    """The number of calls under way."""
    return json.loads(asked(home.port, "GET", "/health")[2])["calls"]


def begun(home):
    """Start the gateway, detached; its home."""
    home.json("start", "--adopt", "never")
    return home


class RemoteTests:
    """Sessions at servers that are reached by URL."""

    @pytest.mark.parametrize(("options", "known"), [((), {}), (("--events",), {"type": "http"})])
    def test_session_is_kept(self, tmp_path, options, known):
        """The session goes on at the server, with its state: it is neither begun anew nor ended."""
        with Server([sys.executable, SESSIONS, "PORT", *options]) as remote:
            servers = {"far": {"url": remote.url, "share": "session", **known}}
            with Home(tmp_path, servers) as home:
                begun(home)
                clients = [Client(home.port, "/far/mcp") for _ in range(2)]
                assert [each.said("count") for each in clients] == ["1", "1"]
                before = [json.loads(each.said("facts")) for each in clients]
                again(home)
                assert [each.said("count") for each in clients] == ["2", "2"]
                after = [json.loads(each.said("facts")) for each in clients]
                assert [each["session"] for each in after] == [each["session"] for each in before]
                assert after[-1]["seen"].count("initialize") == before[-1]["seen"].count("initialize")
                assert "DELETE" not in after[-1]["seen"]
                home.run("stop")

    def test_another_header(self, tmp_path):
        """A session of other settings is ended at the server, and another one begun."""
        with Server([sys.executable, SESSIONS, "PORT"]) as remote:
            far = {"url": remote.url, "share": "session", "headers": {"X-Who": "me"}}
            with Home(tmp_path, {"far": far}) as home:
                begun(home)
                client = Client(home.port, "/far/mcp")
                assert client.said("count") == "1"
                far["headers"]["X-Who"] = "another"
                config = home.path / "config.json"
                document = json.loads(config.read_text())
                config.write_text(json.dumps({**document, "servers": {"far": far}}))
                again(home)
                assert client.said("count") == "1"
                seen = json.loads(client.said("facts"))["seen"]
                assert [seen.count(each) for each in ("initialize", "DELETE")] == [2, 1]

    def test_stream_is_kept(self, tmp_path):
        """The stream of HTTP with SSE, which is the session, stays open, and answers arrive by it."""
        with Server([sys.executable, SESSIONS, "PORT", "--sse"]) as remote:
            url, gate = f"http://127.0.0.1:{remote.port}/sse", tmp_path / "gate"
            with Home(tmp_path, {"far": {"type": "sse", "url": url, "share": "session"}}) as home:
                begun(home)
                client = Client(home.port, "/far/mcp")
                assert client.said("count") == "1"
                before = json.loads(client.said("facts"))
                call = InBackground(lambda _: client.said("wait", file=str(gate)))
                eventually(gate.with_suffix(".begun").exists, "it is under way")
                for nth in (2, 3):
                    again(home)
                    assert client.said("count") == str(nth)
                gate.touch()
                assert call.result() == "waited"
                after = json.loads(client.said("facts"))
                assert after["session"] == before["session"]
                assert [after["seen"].count(each) for each in ("initialize", "GET")] == [1, 1]

    @pytest.mark.parametrize("options", [(), ("--events",), ("--events", "--resumable", "--certificate")])
    def test_calls_go_on(self, tmp_path, options):
        """A call under way is answered on its client's connection, and not sent again.

        Its own connection goes on; with TLS, the rest of the answer is fetched by another one.
        """
        authority, gate = Authority(tmp_path), tmp_path / "gate"
        is_secure = "--certificate" in options
        words = (*options, authority.issue("127.0.0.1")) if is_secure else options
        with Server([sys.executable, SESSIONS, "PORT", *words]) as remote:
            url = remote.url.replace("http:", "https:") if is_secure else remote.url
            far = {"type": "http", "url": url, "share": "session", "ca_file": authority.file}
            with Home(tmp_path, {"far": far}) as home:
                begun(home)
                client = Client(home.port, "/far/mcp")
                assert client.said("count") == "1"
                call = InBackground(lambda _: client.said("wait", file=str(gate)))
                eventually(gate.with_suffix(".begun").exists, "it is under way")
                for _ in range(2):
                    again(home)
                    assert calls_of(home) == 1
                gate.touch()
                assert call.result() == "waited"
                assert client.said("count") == "2"
                seen = json.loads(client.said("facts"))["seen"]
                assert [seen.count(each) for each in ("initialize", "tools/call", "DELETE")] == [1, 4, 0]


@pytest.fixture
def websocket():
    """A server behind a WebSocket; it is ended afterwards."""
    port = Port()
    yield port
    port.stop()


def pid_of(client):
    """The process behind a client's connection."""
    return json.loads(client.said("pid"))["pid"]


class WebSocketTests:
    """Servers behind a WebSocket, whose sessions are connections."""

    @pytest.mark.parametrize("kind", ["late", "halves"])
    def test_connections_and_calls_go_on(self, tmp_path, websocket, kind):
        """The connections stay open; an answer that has not begun arrives, and one of which a half has come."""
        hold = tmp_path / "hold"
        far = {"url": f"ws://127.0.0.1:{websocket.number}/{kind}?{hold}", "share": "session"}
        with Home(tmp_path, {"far": far}) as home:
            begun(home)
            clients = [Client(home.port, "/far/mcp") for _ in range(2)]
            before = [pid_of(each) for each in clients]
            assert [each.said("count") for each in clients] == ["1", "1"]
            hold.touch()
            call = InBackground(lambda _: clients[0].said("count"))
            eventually(hold.with_suffix(".begun").exists, "the call is under way")
            for _ in range(2):
                again(home)
                assert calls_of(home) == 1
            hold.unlink()
            assert call.result() == "2"
            assert [each.said("count") for each in clients] == ["3", "2"]
            assert [pid_of(each) for each in clients] == before
            home.run("stop")

    def test_long_message(self, tmp_path, websocket):
        """A message of which more than 64 KiB have come is waited for, and the connection goes on after it."""
        hold, text = tmp_path / "hold", "x" * 200_000
        far = {"url": f"ws://127.0.0.1:{websocket.number}/halves?{hold}", "share": "session"}
        with Home(tmp_path, {"far": far}) as home:
            begun(home)
            client = Client(home.port, "/far/mcp")
            before = pid_of(client)
            hold.touch()
            call = InBackground(lambda _: client.said("echo", text=text))
            eventually(hold.with_suffix(".begun").exists, "a half has come")
            former = hung_up(home)
            eventually(lambda: "the gateway restarts; 1 calls" in home.log, "it waits")
            hold.unlink()
            assert call.result() == text
            renewed(home, former)
            assert pid_of(client) == before

    def test_tls(self, tmp_path):
        """A connection with TLS is begun anew, and its client's session goes on with another process."""
        authority = Authority(tmp_path)
        port = Port("--certificate", authority.issue("127.0.0.1"))
        far = {"url": f"wss://127.0.0.1:{port.number}/", "share": "session", "ca_file": authority.file}
        try:
            with Home(tmp_path, {"far": far}) as home:
                begun(home)
                client = Client(home.port, "/far/mcp")
                before = pid_of(client)
                again(home)
                assert pid_of(client) != before
        finally:
            port.stop()

    def test_another_path(self, tmp_path, websocket):
        """A connection of other settings is closed, and the next one is opened."""
        far = {"url": f"ws://127.0.0.1:{websocket.number}/", "share": "session"}
        with Home(tmp_path, {"far": far}) as home:
            begun(home)
            client = Client(home.port, "/far/mcp")
            before = pid_of(client)
            config = home.path / "config.json"
            document = json.loads(config.read_text())
            document["servers"]["far"]["url"] += "binary"
            config.write_text(json.dumps(document))
            again(home)
            assert pid_of(client) != before
            eventually(lambda: not is_alive(before), "the former one is closed")


class DaemonTests:
    """Programs with a port of their own."""

    @pytest.mark.parametrize(
        ("options", "more"), [((), {}), (("--sse",), {"transport": "sse", "path": "/sse"})]
    )
    def test_process_and_sessions_are_kept(self, tmp_path, options, more):
        """The process goes on with all its sessions; the last of them ends it."""
        port = free_port()
        entry = server((sys.executable, SESSIONS, str(port), *options), port=port, share="session", **more)
        with Home(tmp_path, {"far": entry}) as home:
            begun(home)
            clients = [Client(home.port, "/far/mcp") for _ in range(2)]
            before = [json.loads(each.said("facts")) for each in clients]
            assert [each.said("count") for each in clients] == ["1", "1"]
            gate = tmp_path / "gate"
            call = InBackground(lambda _: clients[0].said("wait", file=str(gate)))
            eventually(gate.with_suffix(".begun").exists, "a call is under way")
            again(home)
            gate.touch()
            assert call.result() == "waited"
            assert [each.said("count") for each in clients] == ["2", "2"]
            after = [json.loads(each.said("facts")) for each in clients]
            for name in ("pid", "session"):
                assert [each[name] for each in after] == [each[name] for each in before]
            assert after[-1]["seen"].count("initialize") == before[-1]["seen"].count("initialize")
            home.run("stop")
            assert not is_alive(after[0]["pid"])

    def test_another_command(self, tmp_path):
        """A process whose command has changed ends, and the next one gets its port."""
        port = free_port()
        entry = server((sys.executable, SESSIONS, str(port)), port=port)
        with Home(tmp_path, {"far": entry}) as home:
            begun(home)
            client = Client(home.port, "/far/mcp")
            before = json.loads(client.said("facts"))
            config = home.path / "config.json"
            document = json.loads(config.read_text())
            document["servers"]["far"]["args"].append("--events")
            config.write_text(json.dumps(document))
            again(home)
            after = json.loads(client.said("facts"))
            assert after["pid"] != before["pid"]
            eventually(lambda: not is_alive(before["pid"]), "the former process has ended")


class ContainerTests:
    """Containers, with a program in the place of the engine's command line."""

    def test_container_is_kept(self, tmp_path):
        """The command line goes on, and the container is removed under its name at the end."""
        programs, told = tmp_path / "bin", tmp_path / "told"
        programs.mkdir()
        (programs / "docker").write_text(
            f'#!/bin/sh\necho "$@" >> {told}\n[ "$1" = run ] || exit 0\n'
            f"exec {sys.executable} {ROOT}/tests/servers/fixture.py\n"
        )
        (programs / "docker").chmod(0o755)
        entry = {"docker": {"image": "there:1"}, "share": "global"}
        with Home(tmp_path, {"box": entry}, PATH=f"{programs}:{os.environ['PATH']}") as home:
            begun(home)
            client = Client(home.port, "/box/mcp")
            assert client.said("count") == "1"
            again(home)
            assert client.said("count") == "2"
            (run,) = [each.split() for each in told.read_text().splitlines() if each.startswith("run ")]
            name = run[run.index("--name") + 1]
            assert f"rm --force {name}" not in told.read_text()
            home.run("stop")
            assert f"rm --force {name}" in told.read_text()


@pytest.mark.skipif(sys.platform != "linux", reason="templates are of Linux")
class TemplateTests:
    """Python servers that are forked from a template."""

    def test_children_and_template_are_kept(self, tmp_path):
        """Forked processes go on, and the next one is forked from the same template."""
        path = str(ROOT / "tests")
        entry = server(
            (sys.executable, "-m", "servers.fixture_server"), share="session", env={"PYTHONPATH": path}
        )
        with Home(tmp_path, {"many": {**entry, "prefork": "auto"}}) as home:
            begun(home)
            clients = [Client(home.port, "/many/mcp") for _ in range(3)]
            assert [each.said("count") for each in clients] == ["1"] * 3
            before = processes(home)
            (template,) = [pid for pid, line in before.items() if b"template_main" in line]
            assert sum(space_of(each) == space_of(template) for each in before) >= 2
            again(home)
            assert [each.said("count") for each in clients] == ["2"] * 3
            assert processes(home) == before
            assert Client(home.port, "/many/mcp").said("count") == "1"
            (new,) = processes(home).keys() - before.keys()
            assert space_of(new) == space_of(template)
            home.run("stop")
            assert not is_alive(template)


def processes(home):
    """The command lines of the gateway's children, without the guardian, by pid."""
    found = {each: command_line(each) for each in children_of(state(home)["pid"])}
    return {pid: line for pid, line in found.items() if b"guardian_main" not in line}


def space_of(pid):
    """Where the kernel has put a process's own code, by chance: a fork has the same place."""
    return Path(f"/proc/{pid}/auxv").read_bytes()


class AsleepTests:
    """Servers that are frozen since nobody uses them."""

    def test_they_sleep_on(self, tmp_path):
        """A frozen server stays frozen over the restart, and goes on with the next message."""
        with Home(tmp_path, {"calm": server(real_servers.fixture(), share="global")}) as home:
            config = home.path / "config.json"
            document = json.loads(config.read_text())
            document["gateway"]["sleep"] = {"after": "2s"}
            config.write_text(json.dumps(document))
            begun(home)
            client = Client(home.port, "/calm/mcp")
            assert client.said("count") == "1"
            (pid,) = processes(home)
            eventually(lambda: run_state(pid) == "T", "it sleeps")
            again(home)
            assert run_state(pid) == "T"
            assert client.said("count") == "2"
            assert list(processes(home)) == [pid]
            eventually(lambda: run_state(pid) == "T", "it sleeps once more")


def run_state(pid):
    """The state of a process: T if it is stopped."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


class ReplicaTests:
    """Several processes of one server."""

    def test_replicas_and_their_calls_are_kept(self, tmp_path):
        """Each process goes on with its call, and takes further ones."""
        gate, begun_calls = tmp_path / "gate", [tmp_path / f"call-{nth}" for nth in range(3)]
        wait = f"import pathlib, time\nwhile not pathlib.Path({str(gate)!r}).exists(): time.sleep(0.1)\nanswer = "
        with Home(tmp_path, {"many": server(repl(), share="global", replicas=3, concurrency="none")}) as home:
            begun(home)
            client = Client(home.port, "/many/mcp")
            assert client.said("run", code="answer = known = 1") == "1"
            calls = [
                InBackground(lambda _, c=f"open({str(path)!r}, 'w')\n{wait}{nth}": client.said("run", code=c))
                for nth, path in enumerate(begun_calls)
            ]
            eventually(lambda: all(each.exists() for each in begun_calls), "each replica has a call")
            before = processes(home)
            again(home)
            assert calls_of(home) == 3
            gate.touch()
            assert [each.result() for each in calls] == ["0", "1", "2"]
            assert client.said("run", code="answer = known") == "1"
            assert processes(home) == before


class AskingClient(Client):
    """A client that can be asked, in the middle of a call."""

    offer = {"elicitation": {}}

    def begin_call(self, name, **arguments):
        """Call a tool; its messages as they come."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=LIMIT_S)
        params = {"name": name, "arguments": arguments}
        body = json.dumps({"jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": params})
        headers = {name.replace("_", "-"): value for name, value in self.headers.items()}
        connection.request("POST", self.path, body, headers)
        answer = connection.getresponse()
        assert answer.headers["Content-Type"] == "text/event-stream"
        return (json.loads(line[5:]) for line in answer if line.startswith(b"data: {"))


class QuestionTests:
    """Servers that wait for the answer of a client."""

    @pytest.mark.parametrize("path", ["/own/mcp", "/mcp/full"])
    def test_answer_arrives(self, tmp_path, path):
        """The question is asked once, its answer reaches the same process, and the call is answered on its stream."""
        with Home(tmp_path, {"own": server(real_servers.fixture(), share="session")}) as home:
            begun(home)
            client, prefix = AskingClient(home.port, path), "" if path.startswith("/own") else "own__"
            assert client.said(f"{prefix}count") == "1"
            before = processes(home)
            form = {"message": "Which?", "requestedSchema": {"type": "object", "properties": {}}}
            messages = client.begin_call(f"{prefix}ask", method="elicitation/create", params=form)
            question = next(messages)
            assert question["method"] == "elicitation/create"
            again(home)
            chosen = {"action": "accept", "content": {"which": "this"}}
            answer = {"jsonrpc": "2.0", "id": question["id"], "result": chosen}
            assert asked(home.port, "POST", path, json.dumps(answer), **client.headers)[0] == 202
            result = next(messages)["result"]["content"][0]["text"]
            assert json.loads(result)["result"] == chosen
            assert client.said(f"{prefix}count") == "2"
            assert processes(home) == before
