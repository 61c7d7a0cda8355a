"""The shim as a client starts it: with a gateway, without one, and with one that goes and comes."""

import asyncio
import json
import os
import secrets
import shutil
import signal
import socket
import stat
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest
from mcp import Client, StdioServerParameters

from tests.shim.driver import INITIALIZE, MODERN, SHIM, Shim
from tests.support.gateway import BIN, LIMIT_S, MARKER, Gateway, eventually, server
from tests.support.ports import free_port
from tests.support.processes import bearing, command_line, holders_of, is_alive, is_daemon

pytestmark = pytest.mark.functional

SOURCE = Path(__file__).parents[1] / "servers" / "fixture.py"
FIXTURE = (sys.executable, "-I", "-S", str(SOURCE))
SERVERS = {
    "shared": server(FIXTURE),
    "asking": server(FIXTURE, interactive=True),
    "modern": server((*FIXTURE, "--era=modern")),
    "dual": server((*FIXTURE, "--era=dual")),
}
MIB = 2**20


@pytest.fixture
def gateway(tmp_path):
    """A gateway that has the same port after each start."""
    with Gateway(tmp_path, SERVERS, options=("--port", str(free_port()))) as running:
        yield running


class Home:
    """A home without a gateway, in which the shim may start one.

    :ivar path: the home directory.
    """

    def __init__(self, directory, port=None):
        self._directory = directory
        self._marker = secrets.token_hex(8)
        self.path = directory / "home"
        self.path.mkdir(mode=0o700)
        self.port = port or free_port()
        document = {"gateway": {"http_port": self.port}, "servers": SERVERS}
        (self.path / "config.json").write_text(json.dumps(document))

    def shim(self, *arguments, **more):
        """Start a shim here."""
        environ = {MARKER: self._marker}
        return Shim("--home", self.path, *arguments, cwd=self._directory, environ=environ, **more)

    def run(self, word):
        """Run a command of the program here."""
        words = [BIN / "mcpgateway", "--home", self.path, word]
        environ = {**os.environ, MARKER: self._marker}
        subprocess.run(words, env=environ, capture_output=True, check=True, timeout=LIMIT_S)

    def daemons(self):
        """The gateways that were started here, and still run."""
        return [pid for pid in bearing(f"{MARKER}={self._marker}") if is_daemon(pid)]

    @property
    def log(self):
        """The log of the gateways."""
        return (self.path / "logs" / "gateway.log").read_text()

    def __enter__(self):
        return self

    def __exit__(self, *why):
        end = time.monotonic() + LIMIT_S
        for number in (signal.SIGTERM, signal.SIGKILL):
            while self.daemons() and time.monotonic() < end:
                for pid in self.daemons():
                    with suppress(OSError):
                        os.kill(pid, number)
                time.sleep(0.2)
        assert not self.daemons()


def connected(gateway, name="shared", *more, **options):
    """A shim of that gateway."""
    return Shim("connect", name, "--home", gateway.home, *more, cwd=gateway.directory, **options)


def led(gateway, name="shared"):
    """A shim of that gateway that never starts it: it is for the test to say when it comes back."""
    return Shim("--url", gateway.url, "connect", name, cwd=gateway.directory)


class RelayTests:
    """A gateway that is there."""

    def test_a_session(self, gateway):
        """A client begins a session, calls a tool, leaves, and nothing of it is left."""
        with connected(gateway) as shim:
            assert shim.open()["serverInfo"]["name"] == "fixture"
            assert shim.call("echo", text="süß") == "süß"
            eventually(lambda: gateway.health()["streams"] == 1, "the standing stream is open")
            assert shim.end() == 0
            assert shim.hear() is None
            assert gateway.health()["sessions"] == 0

    @pytest.mark.parametrize("words", [("proxy", "--target"), ("stdio", "--server")])
    def test_its_other_names(self, gateway, words):
        """The spellings of other gateways' proxies are the same program."""
        with Shim(*words, "shared", "--home", gateway.home, cwd=gateway.directory) as shim:
            shim.open()
            assert shim.end() == 0

    @pytest.mark.parametrize("program", ["mcpgateway", "mcp-ctl", "mcpg"])
    def test_the_installed_programs(self, gateway, program):
        """Each of the installed programs is the shim, in the same process that the client has started."""
        with connected(gateway, shim=(str(BIN / program),)) as shim:
            shim.open()
            assert b"shim_main.py" in command_line(shim.process.pid)
            assert shim.end() == 0

    def test_a_url(self, gateway):
        """A gateway is reached over TCP just as well."""
        with Shim("--url", gateway.url, "connect", "shared", cwd=gateway.directory) as shim:
            shim.open()
            assert shim.call("echo", text="over TCP") == "over TCP"
            assert shim.end() == 0

    def test_a_token(self, tmp_path):
        """The token of a file is shown on every request."""
        with Gateway(tmp_path, SERVERS, settings={"auth_mcp_transport": "bearer-required"}) as gateway:
            token = gateway.home / "auth.token"
            more = ("--token-file", token, "connect", "shared")
            with Shim("--url", gateway.url, *more, cwd=tmp_path) as shim:
                shim.open()
                assert shim.call("echo", text="let in") == "let in"
                assert shim.end() == 0
            with Shim("--url", gateway.url, "connect", "shared", cwd=tmp_path) as shim:
                assert "token" in shim.hear()["error"]["message"]
                assert shim.process.wait(LIMIT_S) == 1

    def test_big_messages(self, gateway):
        """A megabyte goes through either way, while small calls overtake it."""
        with connected(gateway) as shim:
            shim.open()
            assert shim.call("echo", text="x" * MIB) == "x" * MIB
            assert len(shim.call("big", bytes=5 * MIB)) == 5 * MIB

    def test_a_client_that_does_not_read(self, gateway):
        """Messages that a client does not read wait in the gateway, not in the shim; none is lost."""
        with connected(gateway) as shim:
            shim.open()
            numbers = [shim.begin("tools/call", name="big", arguments={"bytes": MIB}) for _ in range(40)]
            # The driver's thread reads; what this test can see is that all arrive whole.
            got = {shim.hear()["id"] for _ in numbers}
            assert got == set(numbers)

    def test_many_calls_at_once(self, gateway):
        """A slow call hinders no other."""
        with connected(gateway) as shim:
            shim.open()
            slow = shim.begin("tools/call", name="mute", arguments={})
            quick = [shim.begin("tools/call", name="echo", arguments={"text": str(n)}) for n in range(200)]
            got = {(message := shim.hear())["id"]: message for _ in quick}
            assert set(got) == set(quick)
            assert slow not in got

    def test_progress(self, gateway):
        """Progress comes before the answer, in its order."""
        with connected(gateway) as shim:
            shim.open()
            shim.begin("tools/call", name="progress", arguments={"steps": 3}, _meta={"progressToken": "p"})
            said = [shim.hear() for _ in range(4)]
            assert [each["params"]["progress"] for each in said[:3]] == [1, 2, 3]
            assert "result" in said[3]

    def test_cancel(self, gateway):
        """A request is called off, and the others go on."""
        with connected(gateway) as shim:
            shim.open()
            silent = shim.begin("tools/call", name="mute", arguments={})
            eventually(lambda: gateway.health()["calls"] == 1, "the call runs")
            shim.notify("notifications/cancelled", requestId=silent)
            eventually(lambda: gateway.health()["calls"] == 0, "the call is called off")
            assert json.loads(shim.call("cancelled")) != []

    def test_a_question_to_the_client(self, gateway):
        """A server asks its client in the middle of a call, and gets the answer."""
        with connected(gateway, "asking") as shim:
            shim.open(capabilities={"elicitation": {}})
            params = {"message": "Name?", "requestedSchema": {"type": "object", "properties": {}}}
            call = shim.begin(
                "tools/call", name="ask", arguments={"method": "elicitation/create", "params": params}
            )
            question = shim.hear()
            assert (question["method"], question["params"]["message"]) == ("elicitation/create", "Name?")
            shim.say({"jsonrpc": "2.0", "id": question["id"], "result": {"action": "decline"}})
            answer = json.loads(shim.answer(call)["result"]["content"][0]["text"])
            assert answer["result"] == {"action": "decline"}

    def test_news(self, gateway):
        """A notification that belongs to no call comes on the standing stream."""
        with connected(gateway) as shim:
            shim.open()
            eventually(lambda: gateway.health()["streams"] == 1, "the standing stream is open")
            shim.begin("tools/call", name="notify", arguments={"method": "notifications/tools/list_changed"})
            said = {shim.hear().get("method"), shim.hear().get("method")}
            assert "notifications/tools/list_changed" in said

    def test_lines_that_are_no_messages(self, gateway):
        """A broken line is answered with an error, under its id where that can be seen."""
        with connected(gateway) as shim:
            shim.say(b"\n  \r\n{broken\n")
            assert shim.hear() == {
                "jsonrpc": "2.0",
                "id": None,
                "error": {"code": -32700, "message": "Parse error"},
            }
            shim.say(b'{"jsonrpc":"2.0","id":"seven","method":nonsense}\n')
            assert shim.hear()["id"] == "seven"
            shim.open()

    def test_a_request_that_is_too_large(self, gateway):
        """A request that the gateway refuses unread is an error under its own id, and the session goes on."""
        with connected(gateway) as shim:
            shim.open()
            error = shim.ask("tools/call", name="echo", arguments={"text": "x" * 5 * MIB})["error"]
            assert error["code"] == -32000
            assert "too large" in error["message"]
            assert shim.call("echo", text="small") == "small"

    def test_who_it_is(self, gateway):
        """The session belongs to the shim: it ends when the shim is killed."""
        with connected(gateway) as shim:
            shim.open()
            assert gateway.health()["sessions"] == 1
            shim.process.kill()
            eventually(lambda: gateway.health()["sessions"] == 0, "the session ends")


class ServeTests:
    """The gateway in the foreground."""

    def test_it_serves(self, tmp_path):
        """``mcpgateway serve`` is a gateway, in the process that was started, until it is told to stop."""
        gateway = Gateway(tmp_path, SERVERS)
        gateway._runner = (str(BIN / "mcpgateway"), "serve")
        with gateway, connected(gateway) as shim:
            shim.open()
            assert shim.call("echo", text="served") == "served"
            assert gateway.health()["pid"] == gateway.pid


class EndTests:
    """Ends of a shim."""

    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
    def test_signals(self, gateway, number):
        """SIGTERM and SIGHUP end the session and the shim, with 0, whatever is under way."""
        with connected(gateway) as shim:
            shim.open()
            shim.begin("tools/call", name="mute", arguments={})
            eventually(lambda: gateway.health()["calls"] == 1, "the call runs")
            shim.process.send_signal(number)
            assert shim.process.wait(LIMIT_S) == 0
            eventually(lambda: gateway.health()["sessions"] == 0, "the session has ended")

    def test_an_interrupt(self, gateway):
        """SIGINT, which terminals send to all at once, changes nothing."""
        with connected(gateway, shim=(str(BIN / "mcpgateway"),)) as shim:
            shim.open()
            shim.process.send_signal(signal.SIGINT)
            assert shim.call("echo", text="still here") == "still here"
            assert shim.end() == 0

    def test_the_end_of_stdin(self, gateway):
        """A call that is under way when the client closes stdin is still answered."""
        with connected(gateway) as shim:
            shim.open()
            number = shim.begin("tools/call", name="sleep", arguments={"ms": 300, "text": "woke"})
            assert shim.end() == 0
            assert shim.answer(number)["result"]["content"][0]["text"] == "woke"
            assert gateway.health()["sessions"] == 0

    def test_a_last_line_without_its_end(self, gateway):
        """A line that stdin ends in is a line."""
        with connected(gateway) as shim:
            line = {"jsonrpc": "2.0", "id": "i", "method": "initialize", "params": INITIALIZE}
            shim.say(json.dumps(line).encode())
            assert shim.end() == 0
            assert "result" in shim.answer("i")

    def test_nobody_listens(self, gateway):
        """A shim whose stdout is closed ends with its session."""
        with connected(gateway, listens=False) as shim:
            shim.begin("initialize", **INITIALIZE)
            assert "result" in json.loads(shim.process.stdout.readline())
            shim.process.stdout.close()
            assert shim.process.wait(LIMIT_S) == 0
            eventually(lambda: gateway.health()["sessions"] == 0, "the session has ended")


class OutlivingTests:
    """A gateway that goes and comes."""

    def test_a_new_start(self, gateway):
        """A session goes on under its old id when the gateway is killed and started again."""
        with led(gateway) as shim:
            shim.open()
            assert shim.call("echo", text="before") == "before"
            gateway.kill()
            eventually(lambda: gateway.children() == [], "its children end with it")
            number = shim.begin("tools/call", name="echo", arguments={"text": "meanwhile"})
            gateway.start()
            assert shim.answer(number)["result"]["content"][0]["text"] == "meanwhile"
            assert shim.call("echo", text="after") == "after"
            eventually(lambda: gateway.health()["streams"] == 1, "the standing stream is open again")
            assert gateway.health()["sessions"] == 1
            assert "begun again" not in shim.stderr

    def test_a_call_under_way(self, gateway):
        """A call that the gateway takes with it fails, and is not made again."""
        with led(gateway) as shim:
            shim.open()
            number = shim.begin("tools/call", name="mute", arguments={})
            eventually(lambda: gateway.health()["calls"] == 1, "the call runs")
            gateway.kill()
            error = shim.answer(number)["error"]
            assert error["code"] == -32603
            assert "not sent twice" in error["message"]
            eventually(lambda: gateway.children() == [], "its children end with it")
            gateway.start()
            assert shim.call("echo", text="after") == "after"
            assert gateway.backend("shared")["requests"] == 1

    def test_a_call_that_has_begun_to_answer(self, gateway):
        """The stream of a call is taken up again, and says that its answer is lost."""
        with led(gateway) as shim:
            shim.open()
            arguments = {"steps": 1000, "ms": 100}
            number = shim.begin(
                "tools/call", name="progress", arguments=arguments, _meta={"progressToken": 1}
            )
            assert shim.hear()["method"] == "notifications/progress"
            gateway.kill()
            eventually(lambda: gateway.children() == [], "its children end with it")
            gateway.start()
            assert "the answer is lost" in shim.answer(number)["error"]["message"]

    def test_a_session_that_is_not_known(self, gateway):
        """A gateway that has lost all its sessions is told the beginning again; the client notices nothing."""
        with led(gateway) as shim:
            shim.open()
            gateway.kill()
            eventually(lambda: gateway.children() == [], "its children end with it")
            shutil.rmtree(gateway.home)
            gateway.start()
            texts = [shim.begin("tools/call", name="echo", arguments={"text": str(n)}) for n in range(5)]
            for number in texts:
                assert "result" in shim.answer(number)
            eventually(lambda: gateway.health()["streams"] == 1, "the standing stream is open again")
            assert gateway.health()["sessions"] == 1
            assert shim.stderr.count("begun again") == 1

    def test_it_is_started_again(self, tmp_path):
        """A gateway that stays away is started again."""
        with Home(tmp_path) as home, home.shim("connect", "shared") as shim:
            shim.open()
            (daemon,) = home.daemons()
            os.kill(daemon, signal.SIGKILL)
            eventually(lambda: not is_alive(daemon), "it is dead")
            assert shim.call("echo", text="again") == "again"
            (other,) = home.daemons()
            assert other != daemon

    def test_its_user_has_stopped_it(self, tmp_path):
        """The original takes the place of a stopped gateway at the next call, however patient the shim is."""
        words = ("--patience", "600", "connect", "shared", "--", *FIXTURE)
        with Home(tmp_path) as home:
            home.run("start")
            with home.shim(*words) as shim:
                shim.open()
                home.run("stop")
                assert shim.call("echo", text="instead") == "instead"
                assert home.daemons() == []

    def test_it_does_not_come_back(self, tmp_path):
        """The original takes the place of a gateway that stays away: same client, same session, other process."""
        with Gateway(tmp_path, SERVERS) as gateway:
            more = ("--patience", "1", "connect", "shared", "--", *FIXTURE)
            with Shim("--url", gateway.url, *more, cwd=tmp_path) as shim:
                shim.open()
                lost = shim.begin("tools/call", name="mute", arguments={})
                eventually(lambda: gateway.health()["calls"] == 1, "the call runs")
                gateway.kill()
                assert shim.answer(lost)["error"]["code"] == -32603
                assert shim.call("echo", text="instead") == "instead"
                known = json.loads(shim.call("initialized"))
                assert known["handshakes"] == [INITIALIZE]
                assert "notifications/initialized" in known["notified"][0]
                assert len(shim.call("big", bytes=3 * MIB)) == 3 * MIB
                assert "goes on in its place" in shim.stderr
                # A process that outlives it and holds its stdout does not keep the shim from ending.
                holder = json.loads(shim.call("fork", kind="holder"))["pid"]
                shim.begin("tools/call", name="die", arguments={"code": 7})
                assert shim.process.wait(LIMIT_S) == 7
                os.kill(holder, signal.SIGKILL)

    def test_it_does_not_come_back_and_nobody_else_is_there(self, tmp_path):
        """Without an original, what waits for too long fails; the session is not given up."""
        with (
            Gateway(tmp_path, SERVERS, options=("--port", str(free_port()))) as gateway,
            Shim("--url", gateway.url, "--patience", "1", "connect", "shared", cwd=tmp_path) as shim,
        ):
            shim.open()
            gateway.kill()
            eventually(lambda: gateway.children() == [], "its children end with it")
            answer = shim.ask("tools/call", name="echo", arguments={"text": "x"})
            assert answer["error"] == {"code": -32603, "message": "The gateway is away"}
            gateway.start()
            assert shim.call("echo", text="back") == "back"


class AbsentTests:
    """No gateway at the start."""

    def test_it_is_started(self, tmp_path):
        """The first shim starts the gateway, which belongs to nobody and outlives it."""
        with Home(tmp_path) as home:
            with home.shim("connect", "shared") as shim:
                shim.open()
                assert shim.call("echo", text="fresh") == "fresh"
                assert shim.end() == 0
            (daemon,) = home.daemons()
            assert os.getsid(daemon) not in (os.getsid(0), shim.process.pid)
            assert [os.readlink(f"/proc/{daemon}/fd/{n}") for n in (0, 1)] == [
                "/dev/null",
                str(home.path / "logs" / "gateway.log"),
            ]
            # The lock lives and dies with the daemon, not with what that has started.
            assert holders_of(home.path / "daemon.lock") == [daemon]
            modes = [stat.S_IMODE((home.path / each).stat().st_mode) for each in ("logs", "logs/gateway.log")]
            assert modes == [0o700, 0o600]
            with home.shim("connect", "shared") as shim:
                shim.open()
            assert home.daemons() == [daemon]

    def test_thirty_at_once(self, tmp_path):
        """However many find it away, it is started once, and serves them all."""
        with Home(tmp_path) as home:
            shims = [home.shim("connect", "shared") for _ in range(30)]
            try:
                for shim in shims:
                    shim.open()
                assert len(home.daemons()) == 1
                assert home.log.count("Log opened.") <= 1
                assert sum("is being started" in shim.stderr for shim in shims) == 1
            finally:
                for shim in shims:
                    shim.__exit__()

    def test_the_original_runs_instead(self, tmp_path):
        """With a gateway that cannot be had in a second the original runs, as if the client had started it."""
        with (
            Home(tmp_path, taken_port()) as home,
            home.shim("connect", "shared", "--", *FIXTURE, shim=(str(BIN / "mcpgateway"),)) as shim,
        ):
            shim.open()
            assert json.loads(shim.call("pid"))["pid"] == shim.process.pid
            status = Path(f"/proc/{shim.process.pid}/status").read_text()
            masks = {
                line.split()[0]: int(line.split()[1], 16)
                for line in status.splitlines()
                if line.startswith("SigIgn")
            }
            ignored = [n for n in range(1, 32) if masks["SigIgn:"] >> (n - 1) & 1]
            # The fixture is a Python program, which ignores these two by itself; others it may have been started with.
            inherited = {each for each in signal.valid_signals() if signal.getsignal(each) is signal.SIG_IGN}
            assert set(ignored) <= {signal.SIGPIPE, signal.SIGXFSZ} | inherited
            assert {os.readlink(f"/proc/{shim.process.pid}/fd/{n}")[:4] for n in (0, 1)} == {"pipe"}
            assert len(os.listdir(f"/proc/{shim.process.pid}/fd")) == 3
            assert shim.end() == 0

    def test_the_original_cannot_run_either(self, tmp_path):
        """An original that does not exist is said to be so."""
        with (
            Home(tmp_path, taken_port()) as home,
            home.shim("connect", "shared", "--", "no-such-program-here") as shim,
        ):
            assert "no-such-program-here" in shim.hear()["error"]["message"]
            assert shim.process.wait(LIMIT_S) == 127

    def test_an_original_without_a_name(self, tmp_path):
        """An empty command is one that cannot be found."""
        with Home(tmp_path, taken_port()) as home, home.shim("connect", "shared", "--", "") as shim:
            assert shim.hear()["error"]["message"] == "Cannot run "
            assert shim.process.wait(LIMIT_S) == 127

    @pytest.mark.parametrize("original", [(), FIXTURE])
    @pytest.mark.parametrize(
        "options",
        [
            ("--url", "http://no-such-host.invalid:1"),
            ("--url", "https://127.0.0.1:1"),
            ("--token-file", "nowhere"),
            ("--patience", "long"),
        ],
    )
    def test_a_place_that_cannot_be_used(self, tmp_path, options, original):
        """Options that lead to no gateway lead to the original, or to an error."""
        more = ("connect", "shared", *(("--", *original) if original else ()))
        with Shim(*options, *more, cwd=tmp_path) as shim:
            if original:
                shim.open()
                assert shim.end() == 0
            else:
                message = shim.hear()
                assert (message["id"], message["error"]["code"]) == (None, -32603)
                assert shim.process.wait(LIMIT_S) == 1
            assert options[0] in shim.stderr

    @pytest.mark.parametrize("home", ["link", "/proc/nowhere/home"])
    def test_a_home_that_cannot_be_made(self, tmp_path, home):
        """The original runs where the home cannot be made."""
        (tmp_path / "link").symlink_to(tmp_path / "nowhere")
        with Shim("--home", home, "connect", "shared", "--", *FIXTURE, cwd=tmp_path) as shim:
            shim.open()
            assert shim.end() == 0
            assert "cannot be started" in shim.stderr

    def test_a_working_directory_that_has_gone(self, tmp_path):
        """The original runs where a home is relative to nothing."""
        (folder := tmp_path / "gone").mkdir()
        way = ("sh", "-c", 'cd "$0"; rmdir "$0"; exec "$@"', str(folder), *SHIM)
        with Shim("--home", "home", "connect", "shared", "--", *FIXTURE, cwd=tmp_path, shim=way) as shim:
            shim.open()
            assert shim.end() == 0
            assert "the working directory" in shim.stderr

    @pytest.mark.parametrize("original", [(), FIXTURE])
    def test_an_unknown_server(self, gateway, original):
        """A server that the gateway does not know is run as the client would have, or is an error."""
        with connected(gateway, "nobody", *(("--", *original) if original else ())) as shim:
            if original:
                shim.open()
                assert shim.call("echo", text="mine") == "mine"
            else:
                error = {"code": -32603, "message": "Unknown server: nobody"}
                assert shim.hear() == {"jsonrpc": "2.0", "id": None, "error": error}
                assert shim.process.wait(LIMIT_S) == 1

    def test_a_gateway_that_serves_a_shim(self, tmp_path):
        """A gateway that takes an entry of ours for a server gets the original, or is told of the circle."""
        way = [*SHIM, "connect", "round", "--home", str(tmp_path / "home")]
        servers = {"round": server([*way, "--", *FIXTURE]), "circle": server(way)}
        with Gateway(tmp_path, servers) as gateway:
            with connected(gateway, "round") as shim:
                shim.open()
                assert shim.call("echo", text="once") == "once"
                (child,) = gateway.children()
                assert b"fixture.py" in command_line(child)
            with connected(gateway, "circle") as shim:
                assert "error" in shim.ask("initialize", **INITIALIZE)

    def test_another_program_has_the_port(self, tmp_path):
        """A port on which something else answers is no gateway."""
        with socket.create_server(("127.0.0.1", 0)) as stranger:
            url = f"http://127.0.0.1:{stranger.getsockname()[1]}"
            with Shim("--url", url, "connect", "shared", "--", *FIXTURE, cwd=tmp_path) as shim:
                first, _ = stranger.accept()
                with first:
                    first.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello")
                    shim.open()
                assert shim.call("echo", text="mine") == "mine"

    def test_another_program_has_an_error(self, tmp_path):
        """A program that refuses in JSON is no gateway either."""
        body = b'{"error":{"message":"nope"}}'
        head = b"HTTP/1.1 405 No\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body)
        with socket.create_server(("127.0.0.1", 0)) as stranger:
            url = f"http://127.0.0.1:{stranger.getsockname()[1]}"
            with Shim("--url", url, "connect", "shared", "--", *FIXTURE, cwd=tmp_path) as shim:
                first, _ = stranger.accept()
                with first:
                    first.sendall(head + body)
                    shim.open()
                assert shim.call("echo", text="mine") == "mine"

    def test_nothing_can_be_done(self, tmp_path):
        """Without an original, a gateway that cannot be had in fifteen seconds is an error, under every id as well."""
        with Home(tmp_path, taken_port()) as home, home.shim("connect", "shared") as shim:
            shim.say({"jsonrpc": "2.0", "id": "hello", "method": "initialize", "params": INITIALIZE})
            said, answered = shim.hear(), shim.hear()
            assert (said["id"], said["error"]["code"]) == (None, -32603)
            assert said["error"]["message"] == "Failed to start shared daemon"
            for text in (said["error"]["data"], answered["error"]["message"], shim.stderr):
                assert "Failed to start shared daemon: cannot listen on" in text
                assert "gateway.log, or run: mcpgateway doctor" in text
            assert answered["id"] == "hello"
            assert shim.process.wait(LIMIT_S) == 1
            assert "[Proxy:shared] " in shim.stderr

    def test_it_is_ended_while_it_waits(self, tmp_path):
        """SIGTERM ends a shim that waits for a gateway."""
        with Home(tmp_path, taken_port()) as home, home.shim("connect", "shared") as shim:
            eventually(lambda: "being started" in shim.stderr, "it waits")
            shim.process.terminate()
            assert shim.process.wait(LIMIT_S) == 0


def taken_port():
    """A port that another program has for as long as the tests run."""
    holder = socket.create_server(("127.0.0.1", 0))
    HOLDERS.append(holder)
    return holder.getsockname()[1]


HOLDERS = []


class ModernTests:
    """A client of 2026-07-28, for which there are no sessions."""

    def test_calls(self, gateway):
        """Requests are answered without any beginning, and nothing is left when the client leaves."""
        with connected(gateway, "modern") as shim:
            assert "2026-07-28" in shim.ask("server/discover", _meta=MODERN)["result"]["supportedVersions"]
            answer = shim.ask("tools/call", _meta=MODERN, name="echo", arguments={"text": "hello"})
            assert answer["result"]["content"][0]["text"] == "hello"
            assert shim.ask("no/such", _meta=MODERN)["error"]["code"] == -32601
            assert shim.end() == 0

    def test_cancel(self, gateway):
        """A request is called off at the server, and not answered."""
        with connected(gateway, "modern") as shim:
            silent = shim.begin("tools/call", _meta=MODERN, name="mute", arguments={})
            eventually(lambda: gateway.health()["calls"] == 1, "the call runs")
            shim.notify("notifications/cancelled", requestId=silent)
            eventually(lambda: gateway.health()["calls"] == 0, "the call is called off")
            assert "result" in shim.ask("tools/call", _meta=MODERN, name="echo", arguments={"text": "x"})

    def test_the_gateway_goes(self, gateway):
        """The end of a listening is told as its cancellation, and the next request finds the new gateway."""
        with led(gateway, "modern") as shim:
            number = shim.begin(
                "subscriptions/listen", _meta=MODERN, notifications={"toolsListChanged": True}
            )
            assert shim.hear()["method"] == "notifications/subscriptions/acknowledged"
            gateway.kill()
            cancelled = shim.hear()
            assert cancelled["method"] == "notifications/cancelled"
            assert cancelled["params"]["requestId"] == number
            eventually(lambda: gateway.children() == [], "its children end with it")
            waiting = shim.begin("tools/call", _meta=MODERN, name="echo", arguments={"text": "x"})
            gateway.start()
            assert "result" in shim.answer(waiting)


class ClientTests:
    """The official Python client."""

    @pytest.mark.parametrize("name", ["shared", "modern", "dual"])
    @pytest.mark.parametrize("mode", ["auto", "legacy"])
    def test_it_works(self, gateway, name, mode):
        """Either era, found out or chosen: list and call through the installed program."""
        arguments = ["--home", str(gateway.home), "connect", name]
        parameters = StdioServerParameters(command=str(BIN / "mcpgateway"), args=arguments)

        async def work():
            async with asyncio.timeout(LIMIT_S), Client(parameters, mode=mode) as client:
                tools = await client.list_tools()
                answer = await client.call_tool("echo", {"text": "from the SDK"})
                return [each.name for each in tools.tools], answer.content[0].text

        names, text = asyncio.run(work())
        assert "echo" in names
        assert text == "from the SDK"


class SizeTests:
    """The cost of a shim."""

    def test_memory(self, gateway):
        """An idle shim has at most 4 MB of its own."""
        with connected(gateway) as warm:
            warm.open()
            warm.end()
        with connected(gateway, shim=(str(BIN / "mcpgateway"),)) as shim:
            shim.open()
            assert shim.call("echo", text="x") == "x"
            rollup = Path(f"/proc/{shim.process.pid}/smaps_rollup").read_text()
            private = sum(int(row.split()[1]) for row in rollup.splitlines() if row.startswith("Private_"))
            assert private <= 4096

    def test_what_it_loads(self):
        """The shim loads no module that is slow or large."""
        root = str(Path(__file__).parents[2])
        modules = "mcpgateway.shim.main, mcpgateway.shim.fallback"
        program = f"import sys; sys.path.append({root!r}); import {modules}; print(*sys.modules)"
        done = subprocess.run([*SHIM[:3], "-c", program], capture_output=True, text=True, check=True)
        heavy = "os re json enum typing collections asyncio socket subprocess logging argparse urllib http twisted"
        assert set(done.stdout.split()).isdisjoint(heavy.split())
