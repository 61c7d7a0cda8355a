"""Starting and stopping the gateway, as its user does it."""

import asyncio
import fcntl
import json
import os
import socket
import subprocess
import threading
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest

from tests.support.gateway import BIN, LIMIT_S, RUNNERS, Gateway, eventually, ran, server
from tests.support.http_client import Client, Connection, tool_call
from tests.support.ports import free_port
from tests.support.processes import open_sockets
from tests.support.real_servers import fixture

pytestmark = pytest.mark.functional

every_runner = pytest.mark.parametrize("runner", RUNNERS)


@pytest.fixture
def certificate(tmp_path):
    """A private key and its certificate, signed by itself, in one file."""
    path = tmp_path / "both.pem"
    argv = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-days",
        "2",
        "-subj",
        "/CN=localhost",
    ]
    subprocess.run([*argv, "-keyout", path, "-out", tmp_path / "c.pem"], check=True, capture_output=True)
    path.write_text(path.read_text() + (tmp_path / "c.pem").read_text())
    return path


def start(runner, directory, *options):
    """The outcome of a gateway that is started with these options and cannot run."""
    return ran(*RUNNERS[runner], "--home", str(directory / "home"), *options, cwd=directory)


def status(gateway, *options):
    """The words of the status of a gateway."""
    argv = (str(BIN / "mcpgateway"), "--home", str(gateway.home), "status", *options)
    return " ".join(ran(*argv, cwd=gateway.home).stdout.split())


def complaint(runner, directory, *options):
    """The one line a gateway says that refuses to start."""
    done = start(runner, directory, "--source", empty(directory), *options)
    return only_line(done)


def only_line(done):
    """The one line on stderr of a program that refused to start."""
    assert done.returncode == 1, done
    assert "Traceback" not in done.stdout + done.stderr
    (line,) = done.stderr.splitlines()
    assert line.startswith("mcpgateway: ")
    return line


def empty(directory):
    """A client's file without servers."""
    path = directory / "claude.json"
    path.write_text("{}")
    return str(path)


async def echoed(address, name, text="through"):
    """The echo of the fixture behind an address."""
    client = await Client.open(address, name)
    try:
        return await client.text("echo", text=text)
    finally:
        client.close()


@every_runner
class RefusalTests:
    """A gateway that cannot run says why in one line, and ends with 1."""

    def test_a_port_in_use(self, runner, tmp_path):
        """The taken port is named."""
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = str(taken.getsockname()[1])
            line = complaint(runner, tmp_path, "--port", port)
        assert line == (
            f"mcpgateway: cannot listen on 127.0.0.1, port {port}: it is in use by another program; "
            "stop that or choose another --port"
        )

    def test_a_missing_configuration(self, runner, tmp_path):
        """A file that was named must be there."""
        line = complaint(runner, tmp_path, "--port", "0", "--config", "nowhere.yaml")
        assert line == f"mcpgateway: {tmp_path}/nowhere.yaml: there is no such file"

    def test_an_unreadable_configuration(self, runner, tmp_path):
        """The reason why a file cannot be read is told."""
        (tmp_path / "c.yaml").mkdir()
        line = complaint(runner, tmp_path, "--port", "0", "--config", "c.yaml")
        assert line == f"mcpgateway: {tmp_path}/c.yaml: is not a regular file"

    def test_a_file_that_is_no_yaml(self, runner, tmp_path):
        """The line of the mistake is named."""
        (tmp_path / "c.yaml").write_text("servers:\n  a: {command: x\n")
        line = complaint(runner, tmp_path, "--port", "0", "--config", "c.yaml")
        assert line.startswith(f"mcpgateway: {tmp_path}/c.yaml, line ")

    def test_a_file_that_is_no_json(self, runner, tmp_path):
        """The same for JSON."""
        (tmp_path / "c.json").write_text('{"servers": {\n"a": }}')
        line = complaint(runner, tmp_path, "--port", "0", "--config", "c.json")
        assert line.startswith(f"mcpgateway: {tmp_path}/c.json, line 2")

    def test_a_wrong_value(self, runner, tmp_path):
        """File, line, key, what was found and what is allowed."""
        (tmp_path / "c.yaml").write_text("gateway:\n  http_port: many\n")
        line = complaint(runner, tmp_path, "--config", "c.yaml")
        assert line == (
            f"mcpgateway: {tmp_path}/c.yaml, line 2: gateway.http_port: "
            "found 'many'; expected a whole number from 0 to 65535"
        )

    @pytest.mark.parametrize("endpoint", ["nonsense:1", "tcp:many", "ssl:0:privateKey=nowhere.pem", "tcp"])
    def test_a_bad_endpoint(self, runner, endpoint, tmp_path):
        """The endpoint is named."""
        line = complaint(runner, tmp_path, "--port", "0", "--listen", endpoint)
        assert line.startswith(f"mcpgateway: --listen {endpoint}: ")

    def test_a_bad_port(self, runner, tmp_path):
        """A port is a number."""
        line = complaint(runner, tmp_path, "--port", "http")
        assert line == "mcpgateway: --port: found 'http'; expected a number from 0 to 65535"

    def test_a_wildcard_address(self, runner, tmp_path):
        """Clients on other machines are admitted on purpose only, wherever the address is written."""
        (tmp_path / "c.yaml").write_text("gateway: {bind_address: 0.0.0.0}")
        line = complaint(runner, tmp_path, "--port", "0", "--config", "c.yaml")
        assert "0.0.0.0" in line
        assert "allow_remote: true" in line
        line = complaint(runner, tmp_path, "--port", "0", "--listen", "tcp:0")
        assert "allow_remote: true" in line

    def test_a_home_that_is_a_file(self, runner, tmp_path):
        """The home must be a directory."""
        (tmp_path / "home").write_text("")
        line = complaint(runner, tmp_path, "--port", "0")
        assert str(tmp_path / "home") in line


@every_runner
class RunnerTests:
    """The two runners serve."""

    def test_serves_and_ends(self, runner, tmp_path):
        """A server is called through it, and SIGTERM ends both."""
        with Gateway(tmp_path, {"fix": server(fixture())}, runner=runner) as gateway:
            assert asyncio.run(echoed(gateway.url, "fix")) == "through"
            (child,) = gateway.children()
            assert gateway.backend("fix")["pids"] == [child]
            assert len(gateway.helpers()) == 1
        assert "Traceback" not in gateway.log


class ListenTests:
    """Addresses at which the gateway is reached."""

    def test_both_families_and_the_socket_of_its_home(self, tmp_path):
        """localhost answers as 127.0.0.1 and ::1, and a private Unix socket lies in the home."""
        with Gateway(tmp_path, {"fix": server(fixture())}) as gateway:
            path = next(each for each in unix_sockets(gateway.pid) if each.endswith(".sock"))
            assert os.stat(path).st_mode & 0o777 == 0o600
            for address in (gateway.url, f"http://[::1]:{gateway.port}", f"unix:{path}"):
                assert asyncio.run(echoed(address, "fix")) == "through"
        assert not os.path.exists(path)

    def test_the_socket_of_a_gateway_that_was_killed(self, tmp_path):
        """A socket that nobody answers at is taken over, though its lock names a process that lives."""
        with Gateway(tmp_path, {"fix": server(fixture())}) as gateway:
            path = next(each for each in unix_sockets(gateway.pid) if each.endswith(".sock"))
            gateway.kill()
            with suppress(FileNotFoundError):
                os.unlink(f"{path}.lock")
            os.symlink(str(os.getpid()), f"{path}.lock")
            os.utime(f"{path}.lock", (0, 0), follow_symlinks=False)
            gateway.start()
            assert asyncio.run(echoed(f"unix:{path}", "fix")) == "through"

    def test_an_end_without_a_stop(self, tmp_path):
        """The next gateway tells that its former one was killed, or went down with the machine; a stop is not told."""
        with Gateway(tmp_path, {"fix": server(fixture())}) as gateway:
            told = partial(status, gateway)
            assert "ended without a stop" not in told()
            gateway.kill()
            gateway.start()
            assert "Crash: the gateway ended without a stop, and was started again at " in told()
            assert "ended without a stop, such as by a crash; this one follows it" in gateway.log
            state_file = gateway.home / "state.json"
            gateway.kill()
            left = json.loads(state_file.read_text())
            assert left["boot"]
            state_file.write_text(json.dumps({**left, "boot": "an earlier one"}))
            gateway.start()
            assert (
                "Reboot: the machine went down while the gateway ran, and the gateway was started" in told()
            )
            found = json.loads(status(gateway, "--json"))
            assert (found["crashed_at"], bool(found["rebooted_at"])) == (None, True)

    def test_further_endpoints(self, tmp_path, certificate):
        """TCP, Unix and TLS endpoints serve the same."""
        path = f"{tmp_path.parent}/s"
        tcp, tls = free_port(), free_port()
        options = [
            *("--listen", f"tcp:{tcp}:interface=127.0.0.1"),
            *("--listen", f"unix:{path}:mode=600"),
            *("--listen", f"ssl:{tls}:privateKey={certificate}:interface=127.0.0.1"),
        ]
        with Gateway(tmp_path, {"fix": server(fixture())}, options=options) as gateway:
            for address in (f"http://127.0.0.1:{tcp}", f"unix:{path}", f"https://127.0.0.1:{tls}"):
                assert asyncio.run(echoed(address, "fix", "x" * 200_000)) == "x" * 200_000
            assert has_tls(gateway.pid)

    def test_no_openssl_without_tls(self, tmp_path):
        """A gateway without TLS does not load it."""
        with Gateway(tmp_path, {"fix": server(fixture())}) as gateway:
            assert asyncio.run(echoed(gateway.url, "fix")) == "through"
            assert gateway.health()["running"] == 1
            assert not has_tls(gateway.pid)

    def test_a_second_gateway_of_one_home(self, tmp_path):
        """The second gateway says that the first runs, and leaves alone all that is the first's."""
        with Gateway(tmp_path, {"fix": server(fixture())}) as first:
            argv = first.argv
            argv[argv.index("--port") + 1] = str(free_port())
            state = (first.home / "state.json").read_bytes()
            second = subprocess.run(
                argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=LIMIT_S, check=False
            )
            assert second.returncode == 1
            assert b"already running (pid %d)" % first.pid in second.stdout
            assert (first.home / "state.json").read_bytes() == state
            (path,) = [each for each in unix_sockets(first.pid) if each.endswith(".sock")]
            assert asyncio.run(echoed(f"unix:{path}", "fix")) == "through"

    def test_a_second_gateway_while_the_first_ends(self, tmp_path):
        """The second gateway waits until the first is gone, and then runs."""
        with Gateway(tmp_path, {"fix": server(fixture())}) as first:
            lock = os.open(first.home / "daemon.lock", os.O_RDWR)
            first.terminate()
            # A lock that is held, and nobody who listens: that is a gateway on its way out.
            fcntl.flock(lock, fcntl.LOCK_EX)
            timer = threading.Timer(1.0, os.close, (lock,))
            timer.start()
            first.start()
            timer.join()
            assert asyncio.run(echoed(first.url, "fix")) == "through"


class SourceTests:
    """Files that servers are read from."""

    @pytest.mark.parametrize("runner", RUNNERS)
    def test_a_missing_file(self, runner, tmp_path):
        """A client's file that was named may come later; until then it is said that its servers are left out."""
        source = tmp_path / "later.json"
        with Gateway(tmp_path, options=["--source", str(source)], runner=runner) as gateway:
            assert self.served(gateway) == {}
            assert (
                f"{source}: there is no such file; its servers are left out until it can be read"
                in gateway.log
            )
            source.write_text(json.dumps({"mcpServers": {"one": server(fixture())}}))
            eventually(lambda: "one" in self.served(gateway), "the file is read")
            assert asyncio.run(echoed(gateway.url, "one")) == "through"

    def served(self, gateway):
        return {each["name"]: each["share"] for each in gateway.health()["backends"]}

    def test_a_claude_file(self, tmp_path):
        """User scope and every project's, with or without a type; a child works where its project is."""
        project = tmp_path / "shop"
        project.mkdir()
        entry = server(fixture())
        text = {
            "numStartups": 3,
            "mcpServers": {
                "user": entry,
                "typed": {"type": "stdio", **entry},
                "far": {"type": "http", "url": "http://example.test/mcp"},
            },
            "projects": {
                str(project): {"mcpServers": {"project": {**entry, "env": {"SHOP": "open"}}}},
                "/elsewhere": {"mcpServers": {}},
            },
        }
        source = tmp_path / "found.json"
        source.write_text(json.dumps(text))
        with Gateway(tmp_path, options=["--source", str(source)]) as gateway:
            assert self.served(gateway) == {"user": "global", "typed": "global", "project": "global"}

            async def look():
                client = await Client.open(gateway.url, "project", **{"Mcp-Project-Path": str(project)})
                found = (await client.value("cwd"), await client.value("env", name="SHOP"))
                client.close()
                return found

            assert asyncio.run(look()) == (str(project), "open")
            assert asyncio.run(echoed(gateway.url, "user")) == "through"

    @pytest.mark.parametrize("key", ["servers", "mcpServers"])
    def test_yaml(self, key, tmp_path):
        """A YAML file of ours, whatever it calls its servers."""
        command = "".join(f"\n      - {json.dumps(word)}" for word in fixture())
        path = tmp_path / "c.yaml"
        path.write_text(f"{key}:\n  one:\n    command:{command}\n    share: stateful\n")
        gateway = Gateway(tmp_path, options=["--config", str(path)])
        with gateway:
            assert self.served(gateway) == {"one": "session"}
            assert asyncio.run(echoed(gateway.url, "one")) == "through"

    def test_json(self, tmp_path):
        """A JSON file of ours."""
        with Gateway(tmp_path, {"one": server(fixture(), share="global")}) as gateway:
            assert self.served(gateway) == {"one": "global"}

    def test_a_clients_file_as_configuration(self, tmp_path):
        """A client's own file given to ``--config`` is taken as a source, and the log says so."""
        path = tmp_path / "mcp.json"
        path.write_text(json.dumps({"mcpServers": {"one": server(fixture())}}))
        with Gateway(tmp_path, options=["--config", str(path)]) as gateway:
            assert self.served(gateway) == {"one": "global"}
            assert f"{path}: is a client's own file; its servers are read as with --source" in gateway.log

    def test_nothing_to_serve(self, tmp_path):
        """Without any server it runs, and says what is missing."""
        with Gateway(tmp_path) as gateway:
            assert self.served(gateway) == {}
            assert "no servers to serve" in gateway.log


class EndTests:
    """SIGTERM."""

    def test_calls_under_way_are_awaited(self, tmp_path):
        """A call that is running when the gateway is told to stop still gets its answer."""
        with Gateway(tmp_path, {"fix": server(fixture())}) as gateway:

            async def work():
                client = await Client.open(gateway.url, "fix")
                slow = await client.begin(tool_call(1, "sleep", {"ms": 1500, "text": "done"}))
                await asyncio.to_thread(
                    eventually, lambda: gateway.health()["calls"], "the call is under way"
                )
                ended = asyncio.get_running_loop().run_in_executor(None, gateway.terminate)
                answer = await slow.answer()
                slow.close()
                client.close()
                await ended
                return answer

            answer = asyncio.run(work())
        assert answer.json["result"]["content"][0]["text"] == "done"
        assert gateway.children() == []

    def test_calls_that_do_not_end_are_told(self, tmp_path):
        """After the drain limit a call is answered with the reason, and new ones are refused meanwhile."""
        settings = {"limits": {"drain": "2s"}}
        with Gateway(tmp_path, {"fix": server(fixture())}, settings=settings) as gateway:

            async def work():
                client = await Client.open(gateway.url, "fix")
                mute = await client.begin(tool_call("m", "mute"))
                spare = await Connection.open(gateway.url)
                await asyncio.to_thread(
                    eventually, lambda: gateway.health()["calls"], "the call is under way"
                )
                ended = asyncio.get_running_loop().run_in_executor(None, gateway.terminate)
                answer = await mute.answer()
                for each in (mute, spare):
                    each.close()
                client.close()
                await ended
                return answer

            answer = asyncio.run(work())
        assert answer.json["id"] == "m"
        assert "was stopped or restarted before fix answered" in answer.json["error"]["message"]
        assert gateway.children() == []

    def test_a_stubborn_child_is_killed(self, tmp_path):
        """A child that ignores the end of its stdin and SIGTERM does not outlive the gateway."""
        with Gateway(tmp_path, {"fix": server(fixture("--stubborn"))}) as gateway:
            assert asyncio.run(echoed(gateway.url, "fix")) == "through"


def has_tls(pid):
    """Return whether a process has loaded the OpenSSL of the cryptography package, which Twisted uses."""
    return "cryptography" in Path(f"/proc/{pid}/maps").read_text()


def unix_sockets(pid):
    """The paths of the Unix sockets that a process listens on."""
    inodes = open_sockets(pid)
    lines = [line.split() for line in Path("/proc/net/unix").read_text().splitlines()[1:]]
    return [fields[7] for fields in lines if len(fields) == 8 and fields[6] in inodes]
