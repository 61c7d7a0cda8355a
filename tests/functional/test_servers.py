"""The servers that functional tests run behind the gateway, without the gateway: they start and speak."""

import json
import subprocess

import pytest

from tests.support import real_servers

pytestmark = pytest.mark.functional

INITIALIZE = {
    "jsonrpc": "2.0",
    "id": 0,
    "method": "initialize",
    "params": {
        "protocolVersion": "2025-06-18",
        "capabilities": {},
        "clientInfo": {"name": "test", "version": "1"},
    },
}
INITIALIZED = {"jsonrpc": "2.0", "method": "notifications/initialized"}


def conversation(argv, *messages):
    """The answers of a server to a handshake and some requests, in the order of their ids."""
    asked = [INITIALIZE, INITIALIZED, *messages]
    wanted = sum("id" in each for each in asked)
    with subprocess.Popen(
        argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as child:
        child.stdin.write(b"".join(json.dumps(each).encode() + b"\n" for each in asked))
        child.stdin.flush()
        answers = {}
        while len(answers) < wanted:
            message = json.loads(child.stdout.readline())
            if "method" not in message:
                answers[message["id"]] = message
        child.kill()
    return [answers[key] for key in sorted(answers)]


def request(number, method, **params):
    """A request."""
    return {"jsonrpc": "2.0", "id": number, "method": method, "params": params}


def tool_call(number, name, **arguments):
    """A tools/call."""
    return request(number, "tools/call", name=name, arguments=arguments)


class RealServerTests:
    """Servers of npm and PyPI."""

    @pytest.mark.parametrize(
        ("argv", "tool"),
        [
            (lambda _: real_servers.everything(), "echo"),
            (real_servers.filesystem, "list_directory"),
            (lambda _: real_servers.memory(), "read_graph"),
            (lambda _: real_servers.sequential_thinking(), "sequentialthinking"),
            (lambda _: real_servers.time(), "get_current_time"),
            (real_servers.git, "git_status"),
        ],
        ids=["everything", "filesystem", "memory", "sequential-thinking", "time", "git"],
    )
    def test_they_start_and_list_their_tools(self, argv, tool, tmp_path):
        """Each is installed, and has the tool that tests call."""
        subprocess.run(["git", "init", "--quiet", str(tmp_path)], check=True)
        _, listed = conversation(argv(str(tmp_path)), request(1, "tools/list"))
        assert tool in {each["name"] for each in listed["result"]["tools"]}


class FixtureTests:
    """Our own server."""

    def test_every_listed_tool_is_there(self):
        """A tool that the fixture lists is there."""
        _, listed = conversation(real_servers.fixture(), request(1, "tools/list"))
        names = {each["name"] for each in listed["result"]["tools"]}
        assert {"echo", "progress", "die", "mute", "fork", "raw_params"} <= names

    def test_slow_answers_are_overtaken(self):
        """A call that waits for its client does not hold up the next one."""
        calls = [tool_call(1, "ask", method="roots/list"), tool_call(2, "echo", text="quick")]
        with subprocess.Popen(real_servers.fixture(), stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
            child.stdin.write(b"".join(json.dumps(each).encode() + b"\n" for each in calls))
            child.stdin.flush()
            said = [json.loads(child.stdout.readline()) for _ in calls]
            assert {each["id"] for each in said} == {"fixture-1", 2}
            child.stdin.write(b'{"jsonrpc":"2.0","id":"fixture-1","result":{"roots":[]}}\n')
            child.stdin.flush()
            assert json.loads(child.stdout.readline())["id"] == 1

    @pytest.mark.parametrize("flag", ["--filler-tools=100", "--garbage-first", "--old-version=2024-11-05"])
    def test_flags_are_understood(self, flag):
        """A fixture told to misbehave still starts."""
        with subprocess.Popen(
            real_servers.fixture(flag), stdin=subprocess.PIPE, stdout=subprocess.PIPE
        ) as child:
            output, _ = child.communicate(json.dumps(INITIALIZE).encode() + b"\n")
        assert json.loads(output.splitlines()[-1])["id"] == 0
        assert child.returncode == 0
