"""The gateway as its user starts it, ends it, loses it and looks for it: real processes, throw-away homes."""

import json
import os
import re
import shutil
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest

from mcpgateway.shim import startup as daemon
from tests.shim.driver import INITIALIZE, Shim
from tests.support.gateway import IS_SOAK, LIMIT_S, eventually, server
from tests.support.home import Home
from tests.support.ports import free_port
from tests.support.processes import children_of, command_line, is_alive
from tests.support.terminal import Terminal, on_a_terminal

pytestmark = pytest.mark.functional

FIXTURE = (sys.executable, "-I", "-S", str(Path(__file__).parents[1] / "servers" / "fixture.py"))
SERVERS = {"shared": server(FIXTURE)}
# Runs on when its stdin has ended.
STUBBORN = {"shared": server(("sh", "-c", '"$@"; exec sleep 1000', "sh", *FIXTURE))}
QUICK = {"MCPGATEWAY_REVIVAL_PAUSES": "0.5 1 2"}


@pytest.fixture
def home(tmp_path):
    """A home with a server in its configuration."""
    with Home(tmp_path, SERVERS) as made:
        yield made


def answers(home):
    """Return whether the gateway of a home answers at its port."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{home.port}/healthz", timeout=5) as answer:
            return answer.status == 200
    except OSError:
        return False


def signal_all(pids, number):
    """Send a signal to all of some processes that are still there."""
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)


NOT_RUNNING = "Gateway is not running.\nNext:    mcpgateway start\n"


class Session:
    """A client of a server at a URL, as simple as can be: one connection for each request."""

    def __init__(self, port):
        self._url = f"http://127.0.0.1:{port}/shared/mcp"
        self._headers = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}
        answer, headers = self._ask("initialize", **INITIALIZE)
        assert answer["result"]["serverInfo"]["name"] == "fixture"
        self._headers["Mcp-Session-Id"] = headers["Mcp-Session-Id"]
        self._headers["MCP-Protocol-Version"] = answer["result"]["protocolVersion"]

    def echo(self, text):
        """Have a text said again."""
        answer, _ = self._ask("tools/call", name="echo", arguments={"text": text})
        return answer["result"]["content"][0]["text"]

    def _ask(self, method, **params):
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode()
        request = urllib.request.Request(self._url, body, self._headers)
        with urllib.request.urlopen(request, timeout=LIMIT_S) as answer:
            text = answer.read().decode()
            data = next((line[5:] for line in text.splitlines() if line.startswith("data:{")), None)
            data = data or next((line[6:] for line in text.splitlines() if line.startswith("data: {")), text)
            return json.loads(data), answer.headers


class StartTests:
    """``mcpgateway start``."""

    def test_an_unknown_key(self, home):
        """A start says that the configuration has a warning, and the gateway counts it."""
        config = home.path / "config.json"
        written = json.loads(config.read_text())
        config.write_text(json.dumps({**written, "gateway": {**written.get("gateway", {}), "porrt": 1}}))
        done = home.run("start", "--adopt", "never")
        assert done.returncode == 0, done.stderr
        assert "its configuration has a warning: mcpgateway config check shows more" in done.stderr

    def test_it_runs_when_start_returns(self, home):
        """The gateway answers at once, is detached, and start says where it is and what it serves."""
        done = home.run("start")
        assert done.returncode == 0, done.stderr
        assert answers(home)
        (daemon,) = home.daemons()
        assert re.search(
            rf"Gateway started \(pid {daemon}\) in [\d.]+ m?s: http://localhost:{home.port}", done.stdout
        )
        assert "Servers: shared" in done.stdout
        assert os.getsid(daemon) != os.getsid(0)
        assert os.readlink(f"/proc/{daemon}/cwd") == "/"

    def test_a_second_start_yields(self, home):
        """A gateway that runs is reported and left as it is."""
        first = home.json("start")
        second = home.json("start", "--port", home.port)
        assert (first["already_running"], second["already_running"]) == (False, True)
        assert first["pid"] == second["pid"] == home.daemons()[0]
        assert second["port"] == home.port

    def test_a_port_that_is_not_taken_over(self, home):
        """A start with another port than that of the gateway that runs fails, and says what moves it."""
        home.json("start")
        done = home.run("start", "--port", "1")
        assert done.returncode == 1
        assert f"port 1 was not taken over: a gateway runs already (pid {home.daemons()[0]})" in done.stderr
        assert "mcpgateway restart --port 1" in done.stderr

    def test_two_at_once(self, tmp_path):
        """Two at once are one gateway and two successes, however often."""
        with Home(tmp_path, SERVERS) as home:
            for _ in range(10 if IS_SOAK else 3):
                with ThreadPoolExecutor() as threads:
                    both = list(threads.map(lambda _: home.run("--json", "start"), range(2)))
                assert [each.returncode for each in both] == [0, 0], both
                assert len({json.loads(each.stdout)["pid"] for each in both}) == 1
                assert len(home.daemons()) == 1
                assert home.run("stop").returncode == 0
                assert home.daemons() == []

    def test_options(self, home, tmp_path):
        """A port, a file and options of the daemon itself are passed on, wherever start is said."""
        shutil.move(home.path / "config.json", tmp_path / "other.json")
        more = home.directory / "more.sock"
        port = free_port()
        done = home.json("start", "--port", port, "--config", "other.json", "--", "--listen", f"unix:{more}")
        assert (done["port"], done["servers"]) == (port, ["shared"])
        assert more.is_socket()

    def test_a_port_that_is_taken(self, tmp_path):
        """The program that has the port is named, with its pid, and nothing is left running."""
        with socket.create_server(("127.0.0.1", 0)) as stranger:
            port = stranger.getsockname()[1]
            with Home(tmp_path, SERVERS, port=port) as home:
                done = home.run("start")
                assert done.returncode == 1
                assert f"port {port}: it is in use by pid {os.getpid()} (python" in done.stderr
                assert "--port N" in done.stderr
                assert home.daemons() == []

    def test_a_port_of_another_gateway(self, home, tmp_path):
        """A gateway of another home is said to be one."""
        home.json("start")
        (tmp_path / "second").mkdir()
        with Home(tmp_path / "second", SERVERS, port=home.port) as other:
            done = other.run("start")
            assert done.returncode == 1
            assert f"pid {home.daemons()[0]}, the gateway of {home.path}" in done.stderr
            assert other.daemons() == []
        assert answers(home)

    def test_a_configuration_that_is_wrong(self, home):
        """The fault of a configuration is told, as the log has it."""
        (home.path / "config.json").write_text('{"gateway": {"http_port": "no"}}')
        done = home.run("start")
        assert done.returncode == 1
        assert "gateway.http_port: found 'no'" in done.stderr
        told = home.run("--json", "start")
        assert "gateway.http_port" in json.loads(told.stdout)["error"]

    def test_a_failure_keeps_nobody_from_trying_again(self, home):
        """A person may try again at once, and a program of a client may not."""
        good = (home.path / "config.json").read_text()
        (home.path / "config.json").write_text("{")
        assert home.run("start").returncode == 1
        (home.path / "config.json").write_text(good)
        with Shim("--home", home.path, "connect", "shared", "--", *FIXTURE, cwd=home.directory) as shim:
            shim.open()
            assert home.daemons() == []
        assert home.run("start").returncode == 0

    def test_a_home_that_cannot_be_written(self, tmp_path):
        """The message names the owner of the home that cannot be written; no gateway is started."""
        setpriv = shutil.which("setpriv")
        if os.getuid() == 0 and setpriv is None:
            pytest.skip("root may write everywhere")
        # The user stays, since another one might not read the checkout; but root's rights go.
        user = [setpriv, "--bounding-set=-all", "--inh-caps=-all"] if os.getuid() == 0 else []
        if user and subprocess.run([*user, "true"], check=False).returncode:
            pytest.skip("root's rights cannot be given up")
        with Home(tmp_path, SERVERS) as home:
            home.path.chmod(0o555)
            code = "import sys; from mcpgateway.cli.entry import main; sys.exit(main())"
            argv = [*user, sys.executable, "-c", code, "--home", str(home.path), "start"]
            done = subprocess.run(
                argv, capture_output=True, text=True, timeout=LIMIT_S, env=home.environ, cwd="/", check=False
            )
            assert done.returncode == 1
            assert "cannot be used as the gateway's home: Permission denied" in done.stderr
            assert "--home" in done.stderr

    def test_foreground(self, home):
        """In the foreground it logs to stdout, and ends with the terminal's signal."""
        with home.begin("start", "--foreground") as process:
            eventually(lambda: answers(home), "it answers")
            process.send_signal(signal.SIGINT)
            out, _ = process.communicate(timeout=LIMIT_S)
        assert "Main loop terminated." in out
        assert not (home.path / "logs" / "gateway.log").exists()

    def test_foreground_and_clients(self, home):
        """Clients are led to it where that is said; what cannot be done in the foreground is said."""
        path, original = client_file(home)
        with home.begin(
            "start", "--foreground", "--adopt", "always", "--wait", "5", "--end-duplicates"
        ) as process:
            eventually(lambda: path.read_text() != original, "the client is led here")
            process.send_signal(signal.SIGINT)
            _, said = process.communicate(timeout=LIMIT_S)
        assert "--wait has no meaning with --foreground" in said
        assert "--end-duplicates has no meaning with --foreground" in said
        eventually(lambda: path.read_text() == original, "it has its own servers back")
        with home.begin("start", "--foreground", "--adopt", "never") as process:
            eventually(lambda: answers(home), "it answers")
            assert home.json("status")["restored"]
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=LIMIT_S)
        assert path.read_text() == original

    def test_foreground_beside_another(self, home):
        """A gateway that runs already is named and left alone; for `serve` that is no error."""
        pid = home.json("start")["pid"]
        for words, code in ((("start", "--foreground"), 1), (("serve",), 0), (("serve", "--port", "0"), 0)):
            done = home.run(*words)
            assert done.returncode == code
            assert f"already running (pid {pid})" in done.stdout + done.stderr
        assert home.json("status")["pid"] == pid

    def test_again_after_a_crash(self, home):
        """Without options it is started as the one that crashed, until it is stopped."""
        port = free_port()
        pid = home.json("start", "--port", port)["pid"]
        os.kill(pid, signal.SIGKILL)
        eventually(lambda: not is_alive(pid), "it is dead")
        done = home.run("start")
        assert f"as it was started before: --port {port}; mcpgateway stop forgets that" in done.stderr
        assert home.json("status")["port"] == port
        assert "before" not in home.run("start").stderr
        home.run("stop")
        assert home.json("start")["port"] == home.port

    def test_without_a_wait(self, home):
        """The gateway is started, though the command does not wait, which says how to look after it."""
        done = home.run("start", "--wait", "0")
        # The command does not wait, but it may be so slow itself that the gateway answers by then.
        told = (
            (done.stderr, "mcpgateway status") if done.returncode == 1 else (done.stdout, "Gateway started")
        )
        assert (done.returncode in (0, 1), told[1] in told[0]) == (True, True)
        eventually(lambda: answers(home), "it answers")

    def test_the_log(self, home):
        """All is written to the log file, which is private, and nothing to where start was said."""
        done = home.run("start")
        assert "shared is served at" in home.log
        assert "shared is served at" not in done.stdout + done.stderr
        modes = [stat.S_IMODE((home.path / each).stat().st_mode) for each in ("logs", "logs/gateway.log")]
        assert modes == [0o700, 0o600]


class StopTests:
    """``mcpgateway stop``."""

    def test_it_ends(self, home):
        """The gateway and its servers are gone when stop returns."""
        home.json("start")
        with Shim("--home", home.path, "connect", "shared", cwd=home.directory) as shim:
            shim.open()
            told = home.json("stop")
        assert (told["was_running"], told["killed"]) == (True, False)
        assert home.processes() == []
        assert "Main loop terminated." in home.log

    def test_not_running(self, home):
        """A gateway that does not run cannot be stopped, and that is no error."""
        done = home.run("stop")
        assert (done.returncode, done.stdout) == (
            0,
            "Gateway is not running: no gateway runs with the home ~/home.\n",
        )

    def test_no_home(self, home):
        """A home that does not exist is not made."""
        nowhere = home.directory / "nowhere"
        done = home.run("--home", nowhere, "stop")
        assert done.returncode == 0
        assert not nowhere.exists()

    def test_one_that_hangs(self, home):
        """A gateway that does not end in time is killed, and its guardian ends its servers."""
        home.json("start")
        with Shim("--home", home.path, "connect", "shared", cwd=home.directory) as shim:
            shim.open()
            (daemon,) = home.daemons()
            os.kill(daemon, signal.SIGSTOP)
            told = home.json("stop", "--timeout", "1")
        assert (told["pid"], told["killed"]) == (daemon, True)
        eventually(lambda: home.processes() == [], "nothing is left")
        assert home.run("start").returncode == 0

    def test_a_pid_that_is_a_strangers_by_now(self, home):
        """A stranger is not ended because its number happens to stand in the state file."""
        with subprocess.Popen(["sleep", "60"]) as stranger:
            state = {"format": 1, "pid": stranger.pid, "port": home.port, "start_time": 1, "started_at": 1.0}
            (home.path / "state.json").write_text(json.dumps(state))
            told = home.json("stop")
            assert stranger.poll() is None
            stranger.kill()
        assert (told["was_running"], told["cleared_up"]) == (False, [f"removed {home.path / 'state.json'}"])

    def test_what_a_killed_one_has_left(self, tmp_path):
        """Servers that outlived the gateway and its guardian are ended."""
        with Home(tmp_path, STUBBORN) as home:
            self.lose_all(home)
            told = home.json("stop")
            assert any(each.startswith("killed shared") for each in told["cleared_up"])
            assert home.processes() == []

    def lose_all(self, home):
        """Kill the gateway and its guardian, so that neither can end what was started."""
        home.json("start")
        Session(home.port)
        (daemon,) = home.daemons()
        guardian = [pid for pid in children_of(daemon) if b"guardian" in command_line(pid)]
        for number in (signal.SIGSTOP, signal.SIGKILL):
            for pid in (*guardian, daemon):
                os.kill(pid, number)
        eventually(lambda: home.daemons() == [], "it is dead")

    def test_no_shim_starts_it_again(self, home):
        """The programs of clients that were there leave it stopped; one that comes anew starts it."""
        home.json("start")
        with Shim("--home", home.path, "--patience", "2", "connect", "shared", cwd=home.directory) as shim:
            shim.open()
            home.json("stop")
            answer = shim.ask("tools/call", name="echo", arguments={"text": "x"})
            assert answer["error"]["message"] == "The gateway is away"
            assert home.daemons() == []
            with Shim(
                "--home", home.path, "connect", "shared", cwd=home.directory, environ=home.environ
            ) as new:
                new.open()
                assert len(home.daemons()) == 1
            assert shim.call("echo", text="back") == "back"


class RestartTests:
    """``mcpgateway restart``."""

    def test_sessions_survive(self, home):
        """A session goes on after it, at the same address, with the options it was started with."""
        port = free_port()
        first = home.json("start", "--port", port)
        client = Session(port)
        assert client.echo("before") == "before"
        second = home.json("restart")
        assert second["pid"] == first["pid"]
        assert second["port"] == port
        assert client.echo("after") == "after"

    def test_other_options(self, home):
        """Options that are said take the place of those before."""
        home.json("start")
        port = free_port()
        assert home.json("restart", "--port", port)["port"] == port
        assert home.json("restart")["port"] == port

    def test_options_that_do_not_work(self, home):
        """With a port of another program or a wrong configuration the gateway runs as before, and says so."""
        home.json("start")
        wrong = home.path / "wrong.yaml"
        wrong.write_text("gateway: [")
        with socket.create_server(("127.0.0.1", 0)) as other:
            for words in (("--port", str(other.getsockname()[1])), ("--config", str(wrong))):
                done = home.run("restart", *words)
                assert done.returncode == 1
                assert "the gateway runs again as before" in done.stderr
                assert home.json("status")["port"] == home.port
        assert home.json("restart")["port"] == home.port

    def test_none_runs(self, home):
        """Where none runs it is started."""
        assert home.run("restart").stdout.startswith(
            "No gateway was running: one is started.\nGateway started (pid "
        )

    def test_after_a_stop(self, home):
        """A gateway that was stopped is started with the options that it had, and so is one that ended since."""
        port = str(free_port())
        home.json("start", "--port", port)
        home.json("stop")
        assert home.run("restart").stdout.startswith(
            f"No gateway was running: one is started, with the options it had: --port {port}.\n"
        )
        home.json("stop")
        home.json("stop")
        assert str(home.json("restart")["port"]) == port


class CrashTests:
    """A gateway that is killed."""

    def test_it_comes_back(self, tmp_path):
        """A killed gateway is started again on its port, with its options, and sessions go on."""
        with Home(tmp_path, SERVERS, **QUICK) as home:
            port = free_port()
            home.json("start", "--port", port)
            client = Session(port)
            for nth in range(1, 4):
                (daemon,) = home.daemons()
                os.kill(daemon, signal.SIGKILL)
                eventually(lambda old=daemon: home.daemons() not in ([], [old]), "another one is there")
                eventually(lambda: home.run("health").returncode == 0, "it answers")
                assert client.echo(f"crash {nth}") == f"crash {nth}"
            assert home.json("status")["port"] == port
            for pause in ("0.5", "1", "2"):
                assert f"it is started again in {pause} s" in home.log
            home.json("stop")
            eventually(lambda: home.processes() == [], "nothing is left")

    def test_without_servers(self, home, tmp_path):
        """A gateway that has started no server yet comes back as well: its guardian is there from the beginning."""
        home.environ.update(QUICK)
        first = home.json("start")["pid"]
        assert len(children_of(first)) == 1
        os.kill(first, signal.SIGKILL)
        while (done := home.run("status")).returncode:
            assert done.returncode == 2
            if "does not answer" in done.stdout:
                continue  # it is there again, and has not begun to serve
            assert "RESTARTING after a crash" in done.stdout
            assert "Return:  it is started again by itself" in done.stdout

    def test_when(self, home):
        """The first time it is started again at once; before the next there is a pause, and status says how long."""
        home.environ["MCPGATEWAY_REVIVAL_PAUSES"] = "0 600"
        first = home.json("start")["pid"]
        os.kill(first, signal.SIGKILL)
        eventually(lambda: home.daemons() not in ([], [first]) and answers(home), "it is back")
        assert "it is started again at once" in home.log
        crash = "logs --gateway shows why"
        for words in ("status", "doctor"):
            assert crash in home.run(words).stdout
        assert home.json("status")["crashed_at"]
        (second,) = home.daemons()
        os.kill(second, signal.SIGKILL)
        eventually(lambda: "is started again in 600 s" in home.log, "it is about to come back")
        found = home.json("status")
        assert found["state"] == "dead"
        assert 0 < found["starts_again_in_seconds"] <= 600
        shown = home.run("status").stdout
        assert "RESTARTING after a crash" in shown
        assert "Return:  it is started again by itself in " in shown
        assert "Next:    mcpgateway start to start it at once, or mcpgateway stop to clear up" in shown
        assert "it is being started again by itself" in home.run("sessions", "list").stderr
        home.json("stop")
        eventually(lambda: home.processes() == [], "nobody waits any more")
        assert home.json("status")["starts_again_in_seconds"] is None
        assert crash not in home.run("doctor").stdout

    def test_while_the_lock_is_taken(self, home):
        """A program that has the lock for a moment, to look for a gateway, does not keep it from coming back."""
        first = home.json("start")["pid"]
        lock = daemon.open_lock(str(home.path))
        others = [pid for pid in home.processes() if pid != first]
        try:
            signal_all(others, signal.SIGSTOP)  # none of them has the lock before the test
            os.kill(first, signal.SIGKILL)
            eventually(lambda: daemon.take(lock), "it is gone")
            signal_all(others, signal.SIGCONT)
            eventually(lambda: "it is started again at once" in home.log, "it is about to come back")
            time.sleep(0.5)
        finally:
            os.close(lock)
        eventually(lambda: answers(home), "it is back")

    def test_stop_wins(self, home):
        """A stop while the gateway is away has stopped it."""
        home.environ["MCPGATEWAY_REVIVAL_PAUSES"] = "60"
        first = home.json("start")["pid"]
        os.kill(first, signal.SIGKILL)
        eventually(lambda: "is started again in 60 s" in home.log, "it is about to come back")
        assert home.json("stop")["was_running"] is False
        eventually(lambda: home.processes() == [], "nobody waits any more")
        assert not answers(home)

    def test_start_wins(self, home):
        """A start while the gateway is away has started it, and there is one."""
        home.environ["MCPGATEWAY_REVIVAL_PAUSES"] = "3"
        first = home.json("start")["pid"]
        os.kill(first, signal.SIGKILL)
        eventually(lambda: "is started again in 3 s" in home.log, "it is about to come back")
        second = home.json("start")
        assert second["already_running"] is False
        eventually(lambda: len(home.processes()) == 2, "the gateway and its guardian, and nobody who waits")
        assert home.daemons() == [second["pid"]]

    def test_one_that_cannot_come_back(self, home):
        """A gateway that cannot come back is tried again and again, with longer pauses, until it can."""
        home.environ["MCPGATEWAY_REVIVAL_PAUSES"] = "0.3 0.6"
        good = (home.path / "config.json").read_text()
        first = home.json("start")["pid"]
        (home.path / "config.json").write_text("{")
        os.kill(first, signal.SIGKILL)
        eventually(lambda: home.log.count("again in 0.6 s") >= 2, "it has been tried")
        (home.path / "config.json").write_text(good)
        eventually(lambda: answers(home), "it is back")

    def test_one_in_the_foreground_stays_away(self, home):
        """A gateway that a person, or a supervisor, runs is theirs to start again."""
        with home.begin("serve") as process:
            eventually(lambda: answers(home), "it answers")
            process.kill()
        assert home.processes() == []

    def test_one_in_the_foreground_ends_in_order(self, home):
        """SIGTERM ends it with 0: it was not killed, however often it is told."""
        with home.begin("serve") as process:
            eventually(lambda: answers(home), "it answers")
            process.terminate()
            process.terminate()
            assert process.wait(60) == 0
        assert home.processes() == []


class StatusTests:
    """``mcpgateway status`` and ``health``."""

    def test_running(self, home):
        """PID, port, uptime and servers with their states."""
        pid = home.json("start")["pid"]
        lines = home.run("status").stdout
        assert re.search(
            rf"Status:  RUNNING\nPID:     {pid}\nPort:    {home.port}\n"
            rf"All:     http://localhost:{home.port}/mcp\nUptime:  [\d.]+ m?s\nServers: shared \(stopped\)\n",
            lines,
        )
        told = home.json("status")
        assert (told["state"], told["pid"], told["servers"]) == (
            "running",
            pid,
            [{"name": "shared", "state": "stopped"}],
        )

    def test_what_is_wrong(self, home):
        """A gateway that runs says what is wrong with it as a whole, and what helps, until that is mended."""

        def codes():
            return [each["code"] for each in home.json("status")["problems"]]

        home.run("start")
        assert codes() == []
        config = home.path / "config.json"
        good = config.read_text()
        config.write_text("{")
        eventually(lambda: codes() == ["configuration"], "it is read")
        config.write_text(good)
        eventually(lambda: codes() == [], "it is read again")
        with socket.socket(socket.AF_UNIX) as caller:
            caller.connect(str(next(home.path.glob("*.sock"))))
            caller.sendall(b"POST /api/gateway/disable HTTP/1.1\r\nHost: localhost\r\n")
            caller.sendall(b"Content-Length: 0\r\nConnection: close\r\n\r\n")
            while caller.recv(4096):
                pass
        lines = home.run("status").stdout
        assert "Clients are paused" in lines
        assert "mcpgateway clients resume" in lines
        with urllib.request.urlopen(f"http://127.0.0.1:{home.port}/healthz", timeout=60) as answer:
            assert json.load(answer) == {"status": "degraded", "problems": ["disabled"]}
        assert home.run("enable").returncode == 0
        assert codes() == []

    def test_absent(self, home):
        """Without one that is said, and the exit code tells it; its numbers cannot be had."""
        done = home.run("status")
        assert (done.returncode, done.stdout) == (2, NOT_RUNNING)
        done = home.run("health")
        assert done.returncode == 2
        assert "mcpgateway start" in done.stderr
        assert "No such file" not in done.stderr

    @pytest.mark.parametrize("text", ["", "{", "[]", '{"pid": "x"}', "\x00\xff", '{"pid": -1}'])
    def test_a_state_that_is_corrupt(self, home, text):
        """A state file of any content is reported by status, and does not keep a gateway from starting."""
        (home.path / "state.json").write_text(text)
        done = home.run("status")
        assert done.returncode == 1
        assert "DEAD (stale state)" in done.stdout
        assert "State:   " in done.stdout
        assert home.run("start").returncode == 0
        assert home.json("status")["state"] == "running"

    def test_a_state_that_is_stale(self, home):
        """A gateway that was killed is dead, and stop clears up."""
        state = {"format": 1, "pid": 2**22 - 1, "port": 1, "start_time": 7, "started_at": 1.0}
        (home.path / "state.json").write_text(json.dumps(state))
        assert "DEAD (stale state)" in home.run("status").stdout
        assert home.json("status")["running"] is False
        assert "cleared up" in home.run("stop").stdout
        assert home.run("status").stdout == NOT_RUNNING

    def test_one_that_hangs(self, home):
        """A gateway that does not answer is said not to, and which it is."""
        pid = home.json("start")["pid"]
        os.kill(pid, signal.SIGSTOP)
        told = home.run("status").stdout
        os.kill(pid, signal.SIGCONT)
        assert "does not answer" in told
        assert f"PID:     {pid}" in told
        assert "Next:    it is busy, or hangs: mcpgateway restart" in told
        assert "Servers:" not in told

    def test_a_home_that_cannot_be_read(self, home):
        """A home that cannot be read is reported as unknown, which is not a dead gateway."""
        loop = home.directory / "loop"
        loop.symlink_to(loop)
        done = home.run("--home", loop, "status")
        assert done.returncode == 1
        assert "cannot be told" in done.stdout
        assert "DEAD" not in done.stdout

    def test_a_url(self, home):
        """A gateway is asked at a URL just as well."""
        home.json("start")
        url = f"http://localhost:{home.port}"
        assert home.json("--url", url, "health")["port"] == home.port
        assert home.json("status", "--url", url)["state"] == "running"
        assert home.run("health", "--url", "http://127.0.0.1:1").returncode == 2

    def test_a_token(self, home):
        """The token of the home opens a gateway that wants one, over its socket and at its own port."""
        document = json.loads((home.path / "config.json").read_text())
        document["gateway"]["auth_mcp_transport"] = "bearer-required"
        (home.path / "config.json").write_text(json.dumps(document))
        home.json("start")
        assert home.json("health")["auth"] == "enabled"


class IdleTests:
    """A gateway that a shim has started by itself."""

    def test_it_ends_when_nobody_uses_it(self, tmp_path):
        """The gateway stays while there is a session, and ends some time after the last."""
        with Home(tmp_path, SERVERS, limits={"idle_exit": "2s"}) as home:
            with Shim("--home", home.path, "connect", "shared", cwd=tmp_path, environ=home.environ) as shim:
                shim.open()
                ticks = home.json("health")["uptime"]
                eventually(lambda: home.json("health")["uptime"] > ticks + 3, "time passes")
                assert shim.call("echo", text="x") == "x"
                assert shim.end() == 0
            eventually(lambda: home.processes() == [], "it ends")
            assert "no client has used the gateway for 2 s" in home.log
            assert "Main loop terminated." in home.log
            with Shim("--home", home.path, "connect", "shared", cwd=tmp_path, environ=home.environ) as shim:
                shim.open()

    def test_it_stays_when_somebody_wants_it(self, tmp_path):
        """A person who starts it while it is there keeps it there."""
        with Home(tmp_path, SERVERS, limits={"idle_exit": "2s"}) as home:
            with Shim("--home", home.path, "connect", "shared", cwd=tmp_path, environ=home.environ) as shim:
                shim.open()
                assert home.json("start")["already_running"] is True
            ticks = home.json("health")["uptime"]
            eventually(lambda: home.json("health")["uptime"] > ticks + 4, "time passes")


class LogTests:
    """``logs/gateway.log``."""

    def test_it_is_rotated(self, tmp_path):
        """A log that is too large makes room, three times, privately; both the log and stderr follow."""
        log = tmp_path / "gateway.log"
        code = (
            "import os, sys; from mcpgateway.system.logs import gateway_log; gateway_log.ROTATE_BYTES = 1000\n"
            "observe = gateway_log.observer()\n"
            "for n in range(100): observe({'log_time': 0, 'log_format': 'x' * 100, 'log_namespace': 'n'})\n"
            "os.write(2, b'a last word'); os.write(1, b'and another')\n"
        )
        environ = {**os.environ, "MCPGATEWAY_LOG": str(log)}
        subprocess.run([sys.executable, "-c", code], env=environ, timeout=LIMIT_S, check=True)
        names = sorted(each.name for each in tmp_path.iterdir())
        assert names == ["gateway.log", "gateway.log.1", "gateway.log.2", "gateway.log.3"]
        assert {stat.S_IMODE(each.stat().st_mode) for each in tmp_path.iterdir()} == {0o600}
        assert log.read_text().endswith("a last wordand another")
        assert max(each.stat().st_size for each in tmp_path.iterdir()) < 1300


def client_file(home, **more):
    """Claude Code's file in the home of a user, with a server of its own; its text."""
    entries = {"mine": {"type": "stdio", "command": FIXTURE[0], "args": list(FIXTURE[1:])}, **more}
    path = home.directory / ".claude.json"
    path.write_text(json.dumps({"numStartups": 7, "mcpServers": entries}, indent=3) + "\n")
    return path, path.read_text()


class AdoptionTests:
    """Clients' own files, as the gateway comes and goes."""

    def test_led_here_and_given_back(self, home):
        """Started, clients are led to it; stopped, they have their own, to the byte; and so on."""
        path, original = client_file(home)
        told = home.json("start", "--adopt", "always")
        led = path.read_text()
        assert json.loads(led)["mcpServers"]["mine"]["url"] == f"http://localhost:{home.port}/mine/mcp"
        assert [each["files"][0]["adopted"] for each in told["clients"]] == [{"mine": "mine"}]
        shown = [{"name": "claude-code", "servers": 1}]
        eventually(lambda: home.json("status")["clients"] == shown, "the gateway has noticed")
        assert "Client:  claude-code (1 server)" in home.run("status").stdout
        home.json("restart")
        assert path.read_text() == led
        stopped = home.json("stop")
        assert path.read_text() == original
        assert stopped["clients"]["files"][0]["exact"] is True
        home.json("start")
        assert json.loads(path.read_text())["mcpServers"]["mine"]["url"].endswith("/mine/mcp")
        home.run("stop")
        assert path.read_text() == original

    def test_another_clients_file(self, home):
        """A client's file that cannot be read is told, and no failure; what another brings is told at once."""
        (home.directory / ".claude.json").write_text("{")
        cursor = home.directory / ".cursor" / "mcp.json"
        cursor.parent.mkdir()
        cursor.write_text(
            json.dumps({"mcpServers": {"brought": {"command": FIXTURE[0], "args": [*FIXTURE[1:]]}}})
        )
        done = home.run("start", "--adopt", "always")
        assert done.returncode == 0, done
        assert ".claude.json, line 1, column 2: is not valid JSON" in done.stderr
        assert "nothing had to be changed" not in done.stdout
        assert done.stdout.splitlines()[-1].endswith(", brought")
        assert "brought" in [each["name"] for each in home.json("servers", "list")["items"]]
        home.run("stop")

    def test_a_client_file_that_is_named(self, home):
        """A client's own file that is named as the configuration is led here, or it is said why not."""
        path = home.directory / "theirs.json"
        entry = {"command": FIXTURE[0], "args": list(FIXTURE[1:])}
        path.write_text(json.dumps({"mcpServers": {"mine": entry}}))
        path.chmod(0o444)
        words = ("start", "--config", path, "--port", home.port, "--adopt", "always")
        done = home.run(*words)
        assert done.returncode == 1
        assert "~/theirs.json: is read-only" in done.stdout + done.stderr
        path.chmod(0o644)
        original = path.read_text()
        assert home.run(*words).returncode == 0
        url = f"http://localhost:{home.port}/mine/mcp"
        assert json.loads(path.read_text())["mcpServers"]["mine"]["url"] == url
        eventually(lambda: home.json("status")["clients"], "the gateway has noticed")
        assert [each["name"] for each in home.json("health")["backends"]] == ["mine"]
        home.json("stop")
        assert path.read_text() == original

    def test_never(self, home):
        """Clients' files are not changed where that is not wanted, nor where no user can be asked."""
        path, original = client_file(home)
        home.json("start", "--adopt", "never")
        home.json("start")
        assert path.read_text() == original

    def test_never_again(self, home):
        """Never means never: nor is a client led here that was before, whoever says so."""
        path, original = client_file(home)
        home.json("start", "--adopt", "always")
        home.json("stop")
        assert home.json("start", "--adopt", "never")["clients"] == []
        eventually(lambda: home.json("status")["restored"], "it is known")
        home.json("stop")
        document = json.loads((home.path / "config.json").read_text())
        (home.path / "config.json").write_text(json.dumps({**document, "clients": {"adopt": "never"}}))
        assert home.json("start")["clients"] == []
        home.json("restart", "--port", free_port())
        assert path.read_text() == original

    def test_ended_by_a_signal(self, home):
        """Ended for good, with Ctrl-C for one, it leaves no client behind; status says so, and the next one leads."""
        home.environ["MCPGATEWAY_RESTORE_AFTER"] = "1"
        path, original = client_file(home)
        for number, options in ((signal.SIGINT, ("--adopt",)), (signal.SIGTERM, ())):
            with self.led(home, path, *options) as process:
                process.send_signal(number)
                process.communicate(timeout=LIMIT_S)
            found = home.run("status").stdout
            assert found.startswith("Gateway is not running.\n")
            assert "Client:  claude-code" in found
            eventually(lambda: path.read_text() == original, f"its file is given back after {number}")
            assert home.json("status")["restored"] == [
                {"name": "claude-code", "servers": 1, "restored": "away", "mode": "http"}
            ]
            assert "is restored: a gateway that runs enrols it again" in home.run("status").stdout
        eventually(lambda: home.processes() == [], "nothing is left")

    def test_ended_and_begun_again(self, home):
        """Where a successor is there soon, or a service manager starts it again, clients notice nothing."""
        home.environ["MCPGATEWAY_RESTORE_AFTER"] = "30"
        path, original = client_file(home)
        with self.led(home, path, "--adopt") as process:
            process.terminate()
            process.communicate(timeout=LIMIT_S)
        led = path.read_text()
        assert led != original
        # A moment passes before the guardian says when it restores.
        eventually(lambda: home.json("status")["restores_in_seconds"] is not None, "it is to be restored")
        found = home.json("status")
        assert [each["servers"] for each in found["clients"]] == [1]
        assert 0 < found["restores_in_seconds"] <= 30
        assert "Next:    mcpgateway start, or mcpgateway stop" in home.run("status").stdout
        with self.led(home, path, "--managed") as process:
            eventually(lambda: "a gateway runs again" in home.log, "the guardian of the first has gone")
            process.terminate()
            process.communicate(timeout=LIMIT_S)
        eventually(lambda: home.processes() == [], "nobody waits for anything")
        assert path.read_text() == led

    def led(self, home, path, *options):
        """Start a gateway in the foreground to which a client is led."""
        (home.path / "logs").mkdir(exist_ok=True)
        process = home.begin("serve", *options)
        url = f"http://localhost:{home.port}/mine/mcp"
        eventually(lambda: url in path.read_text() and answers(home), "the client is led here")
        eventually(lambda: home.json("status")["clients"], "the gateway has noticed")
        return process

    def test_a_gateway_that_was_killed(self, home):
        """Stopping one that is dead gives the files back as well."""
        path, original = client_file(home)
        pid = home.json("start", "--adopt", "always")["pid"]
        assert path.read_text() != original
        os.kill(pid, signal.SIGKILL)
        eventually(lambda: not is_alive(pid), "it is dead")
        assert home.json("stop")["was_running"] is False
        assert path.read_text() == original

    def test_a_file_in_the_making(self, home):
        """A stop waits for a client that is writing its file."""
        path, original = client_file(home)
        home.json("start", "--adopt", "always")
        led = path.read_text()
        path.write_text(led[: len(led) // 2])
        writer = threading.Timer(2.0, path.write_text, (led,))
        writer.start()
        assert home.run("stop").returncode == 0
        writer.join()
        assert path.read_text() == original

    def test_a_file_that_cannot_be_given_back(self, home):
        """The gateway runs on while a file leads to it that is not valid; it can be forced to end."""
        path, original = client_file(home)
        pid = home.json("start", "--adopt", "always")["pid"]
        led = path.read_text()
        path.write_text(led[: len(led) // 2])
        refused = home.run("stop")
        assert refused.returncode == 1
        assert "runs on" in refused.stderr
        assert "--force" in refused.stderr
        assert is_alive(pid)
        path.write_text(led)
        assert home.run("stop").returncode == 0
        assert path.read_text() == original

    def test_another_port(self, home):
        """Entries follow a gateway that is started anew at another port."""
        path, original = client_file(home)
        home.json("start", "--adopt", "always")
        port = free_port()
        assert home.run("restart", "--port", str(port)).returncode == 0
        assert (
            json.loads(path.read_text())["mcpServers"]["mine"]["url"] == f"http://localhost:{port}/mine/mcp"
        )
        assert home.run("stop").returncode == 0
        assert path.read_text() == original

    def test_it_is_not_idle(self, tmp_path):
        """A gateway that a shim has started stays while a client's file leads to it."""
        with Home(tmp_path, SERVERS, limits={"idle_exit": "1s"}) as home:
            client_file(home)
            with Shim("--home", home.path, "connect", "shared", cwd=tmp_path, environ=home.environ) as shim:
                shim.open()
                assert home.run("clients", "apply", "--yes").returncode == 0
                eventually(lambda: home.json("health")["clients"], "it knows who is led to it")
            ticks = home.json("health")["uptime"]
            eventually(lambda: home.json("health")["uptime"] > ticks + 4, "time passes")
            assert home.run("clients", "undo").returncode == 0
            eventually(lambda: home.processes() == [], "it ends")

    @pytest.mark.parametrize("agrees", [True, False])
    def test_asked(self, home, agrees):
        """On a terminal it is asked, and once."""
        path, original = client_file(home)
        said = self.started(home, "y\n" if agrees else "n\n")
        assert "Enrol them?" in said
        assert (path.read_text() != original) is agrees
        assert "Enrol them?" not in self.started(home, "")

    def started(self, home, answer):
        """Start the gateway as a person does."""
        code, said = on_a_terminal(home.argv("start"), home.environ, home.directory, keys=answer)
        assert code == 0, said
        return said


CLIENT = """\
import subprocess, sys
server = subprocess.Popen(sys.argv[1:], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
print(server.pid, flush=True)
sys.stdin.read()
server.kill()
"""


class DuplicateTests:
    """Servers that running clients have started for themselves."""

    def test_ended(self, home, tmp_path):
        """The one whose entry leads here now is ended by the command that start names; whatever else runs is left."""
        client_file(home)
        client = tmp_path / "claude"
        client.write_text(CLIENT)
        with (
            subprocess.Popen([sys.executable, client, *FIXTURE], **PIPES) as user,
            subprocess.Popen([sys.executable, "-c", CLIENT, *FIXTURE], **PIPES) as stranger,
        ):
            mine, strange = int(user.stdout.readline()), int(stranger.stdout.readline())
            told = home.json("start", "--adopt", "always")
            assert [
                (each["pid"], each["server"], each["client"]) for each in told["duplicates"]["found"]
            ] == [(mine, "mine", "claude")]
            assert told["duplicates"]["found"][0]["rss_kib"] > 1000
            assert told["duplicates"]["ended"] is False
            assert is_alive(mine)
            terminal = Terminal(home.argv("start"), {**home.environ, "TERM": "xterm"})
            assert terminal.ended() == 0, terminal.text
            assert "mcpgateway start --end-duplicates ends them" in terminal.text
            assert is_alive(mine)
            said = home.run("start", "--end-duplicates").stdout
            assert "Ended 1." in said
            assert not is_alive(mine)
            assert is_alive(strange)
            # What the gateway itself runs is none.
            Session(home.port)
            assert home.json("start", "--end-duplicates")["duplicates"] == {"found": [], "ended": False}
            user.stdin.close()
            stranger.stdin.close()


PIPES = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
