"""A gateway that begins anew in its own process: what its clients notice of it, which is nothing."""

import http.client
import json
import os
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.shim.driver import Shim
from tests.support.certificates import Authority
from tests.support.gateway import BIN, IS_SOAK, LIMIT_S, eventually, server
from tests.support.home import Home
from tests.support.ports import free_port
from tests.support.processes import children_of, command_line, is_alive, open_files
from tests.support.real_servers import ROOT
from tests.support.restarting import Client, InBackground, asked, hung_up, posting, renewed, state
from tests.support.service_manager import Manager

pytestmark = pytest.mark.functional

FIXTURE = (sys.executable, "-I", "-S", str(Path(__file__).parents[1] / "servers" / "fixture.py"))
SERVERS = {"shared": server(FIXTURE)}
TIMES = 5 if IS_SOAK else 2
PAUSES_S = (0, 0.02, 0.05, 0.1, 0.2, 0.3) if IS_SOAK else (0, 0.05, 0.3)


@pytest.fixture
def home(tmp_path):
    """A home with a gateway that runs detached."""
    with Home(tmp_path, SERVERS) as made:
        made.json("start", "--adopt", "never")
        yield made


def shown(port):
    """The certificate that a port shows."""
    return ssl.get_server_certificate(("127.0.0.1", port), timeout=LIMIT_S)


class UnnoticedTests:
    """SIGHUP to a gateway that is used."""

    def test_clients_notice_nothing(self, home):
        """A long call is answered, others go on meanwhile; the process is the same, and so are its servers."""
        slow, busy = Client(home.port), Client(home.port)
        busy.said("echo", text="warm")
        servers = set(children_of(state(home)["pid"]))
        call = InBackground(lambda _: slow.said("sleep", ms=5000, text="slept"))
        eventually(
            lambda: json.loads(asked(home.port, "GET", "/health")[2])["calls"], "the call is under way"
        )
        posts = posting(busy)
        before = hung_up(home)
        after = renewed(home, before)
        assert call.result() == "slept"
        assert busy.said("echo", text="after") == "after"
        count, _ = posts.result()
        assert count > 20
        assert (after["pid"], after["port"]) == (before["pid"], before["port"])
        assert servers == set(children_of(after["pid"]))
        assert "Traceback" not in home.log, home.log

    def test_clients_on_stdio_notice_nothing(self, home):
        """A message of the shim's client meanwhile is taken once, by one gateway or the other, in its session."""
        with Shim("--home", home.path, "connect", "shared", cwd=home.directory) as shim:
            shim.open()
            shim.call("echo", text="warm")
            slow = shim.begin("tools/call", name="sleep", arguments={"ms": 1000, "text": "slept"})

            def work(background):
                numbers = [slow]
                while background.is_wanted:
                    arguments = {"text": str(len(numbers))}
                    numbers.append(shim.begin("tools/call", name="echo", arguments=arguments))
                    time.sleep(0.01)
                return numbers

            calls = InBackground(work)
            for _ in range(2):
                renewed(home, hung_up(home))
            numbers = calls.result()
            answers = {}
            while len(answers) < len(numbers):
                message = shim.hear()
                if "method" not in message:
                    answers[message["id"]] = message
            assert [each for each in answers.values() if "error" in each] == []
            said = [answers[each]["result"]["content"][0]["text"] for each in numbers]
            assert said == ["slept", *map(str, range(1, len(numbers)))]
            assert json.loads(asked(home.port, "GET", "/health")[2])["sessions"] == 1
            assert "begun again" not in shim.stderr
            assert shim.end() == 0

    def test_connections_stay(self, home):
        """A client that keeps its connection open, and never opens another, is answered on it each time."""
        client = Client(home.port)
        client.said("echo", text="warm")
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "ping"})
        headers = {name.replace("_", "-"): value for name, value in client.headers.items()}

        def work(background):
            connection = http.client.HTTPConnection("127.0.0.1", home.port, timeout=LIMIT_S)
            connection.connect()
            connection.auto_open = 0
            while background.is_wanted:
                connection.request("POST", "/shared/mcp", body, headers)
                answer = connection.getresponse()
                assert (answer.status, json.loads(answer.read())["id"]) == (200, 1)
                time.sleep(0.01)
            connection.close()

        posts = [InBackground(work) for _ in range(4)]
        for _ in range(TIMES):
            renewed(home, hung_up(home))
        for each in posts:
            each.result()

    def test_again_and_again(self, home):
        """Under load, again and again: nothing is refused, and nothing is left over."""
        client = Client(home.port)
        client.said("echo", text="warm")
        posts = posting(client)
        for _ in range(TIMES):
            after = renewed(home, hung_up(home))
            client.said("echo", text="again")
        posts.result()
        pid = after["pid"]
        eventually(lambda: len(children_of(pid)) == 2, "a guardian, a server, and no zombies")
        (ours,) = [each for each in children_of(pid) if b"fixture.py" in command_line(each)]
        assert _nofile(Path(f"/proc/{ours}/limits").read_text()) == _nofile(
            Path("/proc/self/limits").read_text()
        )

    def test_descriptors_do_not_grow(self, home):
        """After the last time as many files are open as after the first."""
        pid = state(home)["pid"]
        for nth in range(TIMES):
            renewed(home, hung_up(home))
            eventually(lambda: len(children_of(pid)) == 1, "nothing but the guardian is there")
            if not nth:
                time.sleep(0.5)
                first = len(open_files(pid))
        eventually(lambda: len(open_files(pid)) <= first, "no more files are open than after the first time")

    def test_a_stream_goes_on(self, home):
        """A stream stays open, and brings the messages that come after the restart."""
        client = Client(home.port)
        client.said("echo", text="warm")
        stream = client.stream()
        renewed(home, hung_up(home))
        client.post("tools/call", name="notify", arguments={"method": "notifications/tools/list_changed"})
        assert any(b"list_changed" in line for line in stream)

    def test_the_socket_survives(self, home):
        """The Unix socket is the same one, as private as before, and goes when the gateway stops."""
        path = home.path / "gateway.sock"
        before = path.stat()
        renewed(home, hung_up(home))
        after = path.stat()
        assert (after.st_ino, after.st_mode) == (before.st_ino, before.st_mode)
        with socket.socket(socket.AF_UNIX) as caller:
            caller.settimeout(LIMIT_S)
            caller.connect(str(path))
            caller.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert caller.recv(100).startswith(b"HTTP/1.1 200")
        assert home.run("stop").returncode == 0
        assert not path.exists()
        assert home.daemons() == []


def _nofile(text):
    return next(line for line in text.splitlines() if line.startswith("Max open files"))


class RefusedTests:
    """SIGHUP when there is something against it."""

    def test_a_broken_configuration(self, home):
        """The gateway goes on as it is, and says why; the command fails and has ended nothing."""
        config = home.path / "config.json"
        good = config.read_text()
        config.write_text("{")
        before = hung_up(home)
        eventually(lambda: "keeps running" in home.log, "it says so")
        done = home.run("restart")
        assert done.returncode != 0
        assert "goes on as it was" in done.stderr
        assert state(home)["started_at"] == before["started_at"]
        assert Client(home.port).said("echo", text="still") == "still"
        config.write_text(good)
        assert home.json("restart")["pid"] == before["pid"]
        assert state(home)["started_at"] > before["started_at"]

    @pytest.mark.parametrize("kind", ["import", "settings"])
    def test_a_broken_release(self, tmp_path, kind):
        """An upgrade that does not load, or not start with these settings, is not begun; ``status`` says so."""
        package = tmp_path / "release"
        shutil.copytree(
            ROOT / "mcpgateway", package / "mcpgateway", ignore=shutil.ignore_patterns("__pycache__")
        )
        module = package / "mcpgateway" / "app" / ("build.py" if kind == "import" else "daemon.py")
        good = module.read_text()
        start = "super().startService()\n"
        broken, says = {
            "import": ("import no_such_module\n", "No module named 'no_such_module'"),
            "settings": (
                good.replace(
                    start,
                    f"{start}        if self.settings.gateway.limits.drain_s == 7:\n            1 / 0\n",
                ),
                "ZeroDivisionError: division by zero",
            ),
        }[kind]
        with Home(tmp_path, SERVERS, limits={"drain": "7s"}, PYTHONPATH=str(package)) as home:
            home.json("start", "--adopt", "never")
            client = Client(home.port)
            client.said("count")
            servers = children_of(state(home)["pid"])
            module.write_text(broken)
            before = state(home)
            done = home.run("restart")
            assert (done.returncode, says in " ".join(done.stderr.split())) == (1, True), done.stderr
            assert says in home.log
            eventually(lambda: home.json("status")["problems"], "its status says so")
            (problem,) = json.loads(asked(home.port, "GET", "/health")[2])["problems"]
            assert problem["code"] == "restart"
            assert problem["message"].endswith(says)
            assert client.said("count") == "2"
            module.write_text(good)
            hung_up(home)
            assert renewed(home, before)["pid"] == before["pid"]
            assert json.loads(asked(home.port, "GET", "/health")[2])["problems"] == []
            assert client.said("count") == "3"
            assert children_of(before["pid"]) == servers

    def test_twice(self, home):
        """A second signal while it is under way changes nothing."""
        client = Client(home.port)
        call = InBackground(lambda _: client.said("sleep", ms=1500, text="slept"))
        eventually(
            lambda: json.loads(asked(home.port, "GET", "/health")[2])["calls"], "the call is under way"
        )
        before = hung_up(home)
        for _ in range(30):
            os.kill(before["pid"], signal.SIGHUP)
            time.sleep(0.1)
        after = renewed(home, before)
        assert call.result() == "slept"
        assert after["pid"] == before["pid"]
        assert client.said("echo", text="on") == "on"

    @pytest.mark.parametrize("pause_s", PAUSES_S)
    def test_a_stop_wins(self, home, pause_s):
        """SIGTERM ends it, whatever it is about."""
        Client(home.port).said("echo", text="warm")
        before = hung_up(home)
        time.sleep(pause_s)
        os.kill(before["pid"], signal.SIGTERM)
        eventually(lambda: not is_alive(before["pid"]), "it has ended")
        assert "Traceback" not in home.log, home.log


class CutOffTests:
    """A call that cannot go on, and takes longer than it may."""

    def test_it_is_told_the_truth(self, tmp_path):
        """The client of a cut call is told that the gateway was restarted, and that the call may have had effects."""
        with Home(tmp_path, SERVERS, limits={"drain_ms": 1000}) as home:
            home.json("start", "--adopt", "never")
            client = Client(home.port)
            call = InBackground(lambda _: client.said("sleep", ms=60_000, text="long" * 20_000))
            eventually(
                lambda: json.loads(asked(home.port, "GET", "/health")[2])["calls"], "the call is under way"
            )
            renewed(home, hung_up(home))
            told = call.result()["message"]
            assert "stopped or restarted before shared answered" in told
            assert "may have had effects" in told


class FollowedTests:
    """A gateway whose logs and events are followed."""

    def test_they_are_not_waited_for(self, tmp_path):
        """The streams of logs and events end in order, though calls would have an hour, and their readers come back."""
        with Home(tmp_path, SERVERS, limits={"drain_ms": 3_600_000}) as home:
            home.json("start", "--adopt", "never")
            streams = []
            for path in ("/api/v1/events", "/api/v1/servers/shared/logs"):
                connection = http.client.HTTPConnection("127.0.0.1", home.port, timeout=LIMIT_S)
                connection.request("GET", path)
                streams.append(connection.getresponse())
            before = hung_up(home)
            for stream in streams:
                assert stream.read().startswith(b"retry:")
            renewed(home, before)
            assert asked(home.port, "GET", "/api/v1/events?follow=0")[0] == 200


class CommandTests:
    """``mcpgateway restart``."""

    def test_in_place(self, home):
        """The process stays, it is reported, and clients go on."""
        client = Client(home.port)
        posts = posting(client)
        before = state(home)
        done = home.json("restart")
        posts.result()
        assert done["pid"] == before["pid"]
        assert state(home)["started_at"] > before["started_at"]

    def test_a_program_that_was_installed_since(self, tmp_path):
        """A restart takes the PATH of its shell; until then all say where that shell finds the program."""
        added = tmp_path / "added"
        added.mkdir()
        with Home(tmp_path, {"late": server(("late-server",))}, TERM="xterm", SHLVL="1") as made:
            made.json("start", "--adopt", "never")
            fixture = f"#!/bin/sh\nexec {' '.join(FIXTURE)}\n"
            (added / "late-server").write_text(fixture)
            (added / "late-server").chmod(0o700)
            made.environ["PATH"] += f":{added}"
            says = (
                "his shell finds late-server in ~/added, and the gateway, with the PATH of an earlier start,"
            )
            for words in (("servers", "start", "late"), ("servers", "test", "late"), ("why", "late")):
                done = made.run(*words)
                assert done.returncode == 1
                told = " ".join(done.stdout.split()).replace(": mcpgateway", " mcpgateway")
                assert f"{says} does not mcpgateway restart" in told
            before = state(made)
            assert made.json("restart")["pid"] == before["pid"]
            assert made.json("servers", "start", "late")["server"]["status"] == "running"

    def test_a_program_of_its_user(self, tmp_path):
        """The gateway names the program in a usual directory that its PATH lacks; a cron job's PATH is not taken."""
        added = tmp_path / ".local" / "bin"
        added.mkdir(parents=True)
        with Home(tmp_path, {"late": server(("late-server",))}, TERM="xterm", SHLVL="1") as made:
            made.json("start", "--adopt", "never")
            (added / "late-server").symlink_to("/bin/true")
            found = made.run("--json", "why", "late")
            (first,) = [
                each for each in json.loads(found.stdout)["advice"] if each["cause"] == "command-not-found"
            ]
            assert (first["run"], f"late-server is in {added}" in first["do"]) == ("mcpgateway restart", True)
            kept = made.path / "environment.json"
            before = json.loads(kept.read_text())["PATH"]
            del made.environ["TERM"]
            made.environ["PATH"] = f"{added}:{before}"
            made.json("restart")
            assert json.loads(kept.read_text())["PATH"] == before

    def test_one_that_does_not_know_how(self, home):
        """A gateway that does not offer it is ended and started."""
        path = home.path / "state.json"
        before = state(home)
        path.write_text(json.dumps({**before, "renews": False}))
        assert home.json("restart")["pid"] != before["pid"]
        assert not is_alive(before["pid"])


class EndpointsTests:
    """Further endpoints of the gateway."""

    def test_further_endpoints(self, tmp_path):
        """The further sockets are the same afterwards, and no caller is refused meanwhile."""
        with Home(tmp_path, SERVERS) as home:
            more, other = tmp_path / "more.sock", free_port()
            listen = ["--listen", f"unix:{more}:mode=600", "--listen", f"tcp:{other}:interface=127.0.0.1"]
            home.json("start", "--adopt", "never", "--", *listen)
            before = more.stat()
            posts = posting(Client(other))
            renewed(home, hung_up(home))
            posts.result()
            assert Client(other).said("echo", text="tcp") == "tcp"
            after = more.stat()
            assert (after.st_ino, after.st_mode) == (before.st_ino, before.st_mode)
            assert state(home)["listeners"][-1].endswith(str(other))

    def test_another_certificate(self, home):
        """The gateway shows the certificate that its files hold by then, and sessions go on."""
        authority = Authority(home.path)
        pair = home.path / "pair.pem"
        former, latter = (Path(authority.issue(name)).read_bytes() for name in ("localhost", "localhost"))
        pair.write_bytes(former)
        config = home.path / "config.json"
        document = json.loads(config.read_text())
        document["gateway"] |= {"tls_cert_path": str(pair), "tls_key_path": str(pair)}
        config.write_text(json.dumps(document))
        client = Client(home.port)
        renewed(home, hung_up(home))
        assert shown(home.port) in former.decode()
        pair.write_bytes(latter)
        renewed(home, hung_up(home))
        assert shown(home.port) in latter.decode()
        assert client.said("echo", text="still there") == "still there"

    def test_another_port_that_is_taken(self, home):
        """The gateway goes on where it is, and says which port is taken."""
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            config = home.path / "config.json"
            document = json.loads(config.read_text())
            document["gateway"]["http_port"] = port
            config.write_text(json.dumps(document))
            hung_up(home)
            eventually(lambda: "keeps running" in home.log, "it says so")
            assert f"cannot listen on 127.0.0.1, port {port}" in home.log
        assert Client(home.port).said("echo", text="still") == "still"

    def test_another_port(self, home):
        """A port that the configuration names since then is listened on, and the former one is not."""
        port = free_port()
        config = home.path / "config.json"
        document = json.loads(config.read_text())
        document["gateway"]["http_port"] = port
        config.write_text(json.dumps(document))
        home.json("restart")
        assert Client(port).said("echo", text="there") == "there"
        with pytest.raises(ConnectionRefusedError):
            asked(home.port, "GET", "/healthz")


class ManagedTests:
    """A gateway that a service manager has started."""

    def test_it_is_told(self, tmp_path):
        """The manager hears of the new beginning and that the gateway is ready, from the same process and port."""
        manager = Manager(str(tmp_path / "notify"))
        with Home(tmp_path, SERVERS, NOTIFY_SOCKET=manager.address, WATCHDOG_USEC="2000000") as home:
            argv = [str(BIN / "twist"), "mcpgateway", "--home", str(home.path), "--port", "0"]
            with subprocess.Popen(
                argv, env=home.environ, cwd=tmp_path, start_new_session=True, stdout=subprocess.DEVNULL
            ) as process:
                try:
                    manager.until(lambda message: message.get("READY") == "1")
                    before = state(home)
                    client = Client(before["port"])
                    done = home.json("restart")
                    found = manager.until(lambda message: message.get("READY") == "1")
                    assert any(each.get("RELOADING") == "1" for each in found)
                    assert not any("STOPPING" in each for each in found)
                    manager.until(lambda message: message.get("WATCHDOG") == "1")
                    assert (done["pid"], done["port"]) == (process.pid, before["port"])
                    assert client.said("echo", text="on") == "on"
                finally:
                    process.terminate()
        manager.close()
