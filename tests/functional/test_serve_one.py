"""``mcpgateway serve -- COMMAND`` and ``serve URL``: one server alone, without a file."""

from __future__ import annotations

import asyncio
import json
import os
import re
import secrets
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from attrs import frozen
from mcp import Client, ClientSession, StdioServerParameters
from mcp.client.sse import sse_client
from mcp.client.stdio import stdio_client

from tests.support import forkserver, real_servers
from tests.support.gateway import BIN, LIMIT_S, MARKER, eventually
from tests.support.pages import DOCS, commands
from tests.support.processes import bearing, is_alive
from tests.support.real_servers import fixture
from tests.support.terminal import Terminal

pytestmark = pytest.mark.functional

CTRL_C, CTRL_D = "\x03", "\x04"
PAGE = DOCS / "howto" / "migrate" / "stdio-proxies.rst"
SERVED = re.compile(r"is served at (\S+)")


@frozen
class Person:
    """A person with an empty home, who serves one server.

    :ivar home: the home directory, which has to stay empty.
    :ivar temporary: where temporary directories are.
    """

    home: Path
    temporary: Path
    mark: str

    @property
    def environ(self) -> dict[str, str]:
        """The environment of the commands."""
        return {
            "PATH": f"{BIN}:{os.environ['PATH']}",
            "HOME": str(self.home),
            "TMPDIR": str(self.temporary),
            "LANG": "C.UTF-8",
            MARKER: self.mark,
        }

    @contextmanager
    def serving(self, *words: str, **more: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
        """Serve, and yield the process and the URL that it prints."""
        argv = [str(BIN / "mcpgateway"), "serve", *words]
        with subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**self.environ, **more},
            cwd=self.home,
            start_new_session=True,
        ) as process:
            try:
                assert process.stdout is not None
                line = process.stdout.readline()
                found = SERVED.search(line)
                assert found, line + (process.communicate()[1] if not line else "")
                yield process, found[1]
            finally:
                process.send_signal(signal.SIGTERM)
                process.communicate(timeout=LIMIT_S)

    def ran(self, *words: str, given: str | None = None) -> subprocess.CompletedProcess[str]:
        """Serve until the command ends by itself.

        :param given: the messages of a client on stdin, which it closes then.
        """
        argv = [BIN / "mcpgateway", "serve", *words]
        return forkserver.ran(argv, env=self.environ, cwd=self.home, given=given, has_ended=False)

    def refused(self, *words: str) -> tuple[int, str, str]:
        """Serve a server that cannot be served; return the exit code, stdout and stderr."""
        done = self.ran("--port", "0", *words)
        return done.returncode, done.stdout, done.stderr

    def leaves_nothing(self) -> None:
        """Check that no process and no file is left."""
        eventually(lambda: not any(map(is_alive, bearing(f"{MARKER}={self.mark}"))), "all processes are gone")
        assert list(self.home.iterdir()) == []
        assert list(self.temporary.iterdir()) == []


@pytest.fixture
def person(tmp_path: Path) -> Iterator[Person]:
    """A person of this machine."""
    # A long path would put the gateway's socket into another directory, which stays.
    with tempfile.TemporaryDirectory(prefix="t", dir="/tmp", ignore_cleanup_errors=True) as temporary:
        made = Person(tmp_path / "home", Path(temporary), secrets.token_hex(8))
        made.home.mkdir()
        yield made
        for pid in bearing(f"{MARKER}={made.mark}"):
            with suppress(OSError):
                os.kill(pid, signal.SIGKILL)


def told(result: Any) -> str:
    """The text of a tool's result."""
    return str(result.content[0].text)


async def call(transport: Any, tool: str, **arguments: Any) -> str:
    """Call a tool by the client of the Python SDK."""
    async with asyncio.timeout(LIMIT_S), Client(transport) as client:
        return told(await client.call_tool(tool, arguments))


async def call_sse(url: str, tool: str, **arguments: Any) -> str:
    """Call a tool over HTTP with SSE."""
    async with asyncio.timeout(LIMIT_S), sse_client(url) as ways, ClientSession(*ways) as client:
        await client.initialize()
        return told(await client.call_tool(tool, arguments))


async def call_stdio(argv: list[str], person: Person, tool: str, **arguments: Any) -> str:
    """Call a tool of a command that a client starts."""
    parameters = StdioServerParameters(command=argv[0], args=argv[1:], env=person.environ)
    return await call(stdio_client(parameters), tool, **arguments)


class UrlTests:
    """A command is served at a URL."""

    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=str)
    def test_it_is_served_until_a_signal(self, person: Person, number: signal.Signals) -> None:
        """Clients of both transports call it at once; a signal ends everything, in order and without a word."""
        with person.serving("--port", "0", "--", *fixture()) as (process, url):
            assert re.fullmatch(r"http://127\.0\.0\.1:\d+/fixture/mcp", url)
            assert asyncio.run(call(url, "echo", text="by HTTP")) == "by HTTP"
            assert asyncio.run(call_sse(f"{url.removesuffix('/mcp')}/sse", "echo", text="by SSE")) == "by SSE"
            assert json.loads(asyncio.run(call(url, "cwd"))) == str(person.home)
            process.send_signal(number)
            rest, errors = process.communicate(timeout=LIMIT_S)
            assert process.returncode == 0
            assert (errors, "Traceback" in rest) == ("", False)
        person.leaves_nothing()

    def test_its_process_group_is_interrupted(self, person: Person) -> None:
        """Ctrl-C at a terminal reaches every process of the group."""
        with person.serving("--port", "0", "--", *fixture()) as (process, _):
            os.killpg(process.pid, signal.SIGINT)
            _, errors = process.communicate(timeout=LIMIT_S)
            assert (process.returncode, errors) == (0, "")
        person.leaves_nothing()

    def test_the_gateway_ends_with_the_command(self, person: Person) -> None:
        """A command that is killed leaves no process behind."""
        with person.serving("--port", "0", "--", *fixture()) as (process, _):
            process.kill()
            process.communicate(timeout=LIMIT_S)
        eventually(lambda: not bearing(f"{MARKER}={person.mark}"), "all processes are gone")

    def test_a_server_of_npm(self, person: Person) -> None:
        """The reference server works, under the name of its package."""
        with person.serving("--port", "0", "--", *real_servers.everything()) as (_, url):
            assert url.endswith("/everything/mcp")
            assert asyncio.run(call(url, "echo", message="hello")) == "Echo: hello"
            assert (
                asyncio.run(call_sse(f"{url.removesuffix('/mcp')}/sse", "echo", message="hi")) == "Echo: hi"
            )
        person.leaves_nothing()

    def test_variables(self, person: Person) -> None:
        """The command has the variables of the shell, and those of options."""
        options = ("--port", "0", "-e", "GIVEN=by option", "--name", "mine")
        with person.serving(*options, "--", *fixture(), FROM_SHELL="by shell") as (_, url):
            assert url.endswith("/mine/mcp")
            assert asyncio.run(call(url, "env", name="GIVEN")) == '"by option"'
            assert asyncio.run(call(url, "env", name="FROM_SHELL")) == '"by shell"'

    def test_a_process_for_each_session(self, person: Person) -> None:
        """``--share session`` gives every client a process of its own."""

        async def both(url: str) -> set[str]:
            async with Client(url, mode="legacy") as one, Client(url, mode="legacy") as two:
                return {told(await each.call_tool("pid", {})) for each in (one, two)}

        with person.serving("--port", "0", "--share", "session", "--", *fixture()) as (_, url):
            assert len(asyncio.run(both(url))) == 2

    def test_the_documented_output(self, person: Person) -> None:
        """The page for those who come from such programs shows what is printed, but for the port."""
        (command,) = commands(PAGE)
        assert command == "mcpgateway serve -- npx -y @modelcontextprotocol/server-everything"
        with person.serving("--port", "0", "--", *real_servers.everything()) as (process, url):
            assert process.stdout is not None
            second = process.stdout.readline()
        port = url.split(":")[2].partition("/")[0]
        shown = PAGE.read_text().replace(":8000/", f":{port}/")
        assert f"   everything is served at {url}\n   {second}" in shown


class StdioTests:
    """A server is offered on stdin and stdout."""

    def test_a_url(self, person: Person) -> None:
        """A server at a URL is a command of a client, as its process is."""
        with person.serving("--port", "0", "--", *fixture()) as (_, url):
            argv = [str(BIN / "mcpgateway"), "serve", "--stdio", url]
            assert asyncio.run(call_stdio(argv, person, "echo", text="through")) == "through"

    def test_a_command(self, person: Person) -> None:
        """A command is passed on to the client, also within a gateway, and nothing is left of it."""
        argv = [str(BIN / "mcpgateway"), "serve", "--stdio", "--", *fixture()]
        assert asyncio.run(call_stdio(argv, person, "echo", text="through")) == "through"
        person.leaves_nothing()

    @pytest.mark.parametrize("key", [CTRL_C, CTRL_D], ids=["interrupted", "ended"])
    def test_on_a_terminal(self, person: Person, key: str) -> None:
        """A person is told what the command waits for, and ends it by a key."""
        argv = [str(BIN / "mcpgateway"), "serve", "--stdio", "--", *fixture()]
        terminal = Terminal(argv, {**person.environ, "TERM": "dumb"}, person.home)
        assert terminal.shows("fixture waits for the messages of an MCP client on stdin; Ctrl-D ends it")
        terminal.type(key)
        assert terminal.ended() == 0
        assert "Traceback" not in terminal.text
        person.leaves_nothing()

    def test_a_gateway_starts_it(self, person: Person) -> None:
        """A gateway serves a command that is such a server."""
        inner = [str(BIN / "mcpgateway"), "serve", "--stdio", "--", *fixture()]
        with person.serving("--port", "0", "--name", "outer", "--", *inner) as (_, url):
            assert asyncio.run(call(url, "echo", text="through")) == "through"
        eventually(lambda: not bearing(f"{MARKER}={person.mark}"), "all processes are gone")

    def test_stdout_has_messages_only(self, person: Person) -> None:
        """A client that closes stdin ends everything; the answers are all there is on stdout."""
        hello = {
            "jsonrpc": "2.0",
            "id": 1,
            "method": "initialize",
            "params": {
                "protocolVersion": "2025-06-18",
                "capabilities": {},
                "clientInfo": {"name": "t", "version": "1"},
            },
        }
        done = person.ran("--stdio", "--", *fixture(), given=json.dumps(hello) + "\n")
        (line,) = done.stdout.splitlines()
        assert json.loads(line)["result"]["serverInfo"]["name"] == "fixture"
        assert (done.returncode, done.stderr) == (0, "")
        person.leaves_nothing()


class FaultTests:
    """A server that cannot be served is named with its fault, and nothing is left."""

    @pytest.mark.parametrize(
        ("words", "says"),
        [
            (["--", "no-such-program"], "the program 'no-such-program' was not found\n"),
            (
                ["--", sys.executable, "-c", "import sys; sys.exit('boom')"],
                "ended during the handshake (exit code 1)\n  boom\n",
            ),
            (["http://127.0.0.1:9/mcp"], "no connection to 127.0.0.1:9: connection refused\n"),
            (["--stdio", "http://127.0.0.1:9/mcp"], "no connection to 127.0.0.1:9: connection refused\n"),
        ],
        ids=["missing", "ends", "unreachable", "stdio"],
    )
    def test_a_fault(self, person: Person, words: list[str], says: str) -> None:
        """The fault is told once, with what the command has said."""
        options = [] if "--stdio" in words else ["--port", "0"]
        done = person.ran(*options, *words)
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr.startswith("mcpgateway: ")
        assert done.stderr.endswith(says)
        assert done.stderr.count(says) == 1
        person.leaves_nothing()

    def test_a_port_in_use(self, person: Person) -> None:
        """The port is named."""
        with person.serving("--port", "0", "--", *fixture()) as (_, url):
            port = url.split(":")[2].partition("/")[0]
            code, _, errors = person.refused("--port", port, "--", *fixture())
        assert code == 1
        assert errors.startswith(f"mcpgateway: cannot listen on 127.0.0.1, port {port}: it is in use")
        person.leaves_nothing()
