"""Package runners in front of servers: real ones, a registry of our own, and two packages of the public registries."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from mcp import Client
from twisted.internet import reactor
from twisted.internet.task import deferLater

from mcpgateway.backends import spawn
from mcpgateway.backends.spawn import Launcher
from mcpgateway.errors import LaunchFailed
from mcpgateway.interfaces import Gone, Launch
from mcpgateway.system.process.children import ChildGuard
from mcpgateway.system.process.guardian import Guardian
from mcpgateway.system.process.orphans import ChildRegistry as Children
from mcpgateway.system.process.processes import bearing
from tests.support.gateway import Gateway, eventually, server
from tests.support.ports import free_port
from tests.support.processes import command_line
from tests.support.registry import PORTED, PROGRAM, Registry

pytestmark = pytest.mark.functional

LIMIT_S = 120
DAY_S = 86_400
CERTIFICATES = ("SSL_CERT_FILE", "NODE_EXTRA_CA_CERTS", "PIP_CERT", "UV_INDEX_URL", "UV_DEFAULT_INDEX")
OF_THE_WRAPPER = {"npm_config_script_shell", "_", "SHLVL", "PWD", "OLDPWD", "npm_lifecycle_script"}
OF_THE_GATEWAY = {"MCPGATEWAY_INSTANCE", "MCPGATEWAY_CHILD", "MCPGATEWAY_TEST_RUN"}


@pytest.fixture
def registry() -> Iterator[Registry]:
    """A registry with one package, which tells how it was started."""
    with Registry() as made:
        made.publish("teller", "1.0.0")
        yield made


def entry(registry: Registry, line: str, *args: str, **env: str) -> dict[str, Any]:
    """An entry whose packages come from our registry."""
    return server([*line.split(), *args], env={"npm_config_registry": registry.url, **env})


def told(gateway: Gateway, name: str = "teller") -> dict[str, Any]:
    """The server's own report of how it was started."""

    async def ask() -> dict[str, Any]:
        async with (
            asyncio.timeout(LIMIT_S),
            Client(f"{gateway.url}/{name}/mcp", mode="legacy") as client,
        ):
            result: Any = await client.call_tool("tell", {})
            said: dict[str, Any] = json.loads(result.content[0].text)
            return said

    return asyncio.run(ask())


def refusal(gateway: Gateway, name: str) -> str:
    """Return the reason why a client does not get to a server."""
    try:
        told(gateway, name)
    except BaseExceptionGroup as why:
        inner: BaseException = why
        while isinstance(inner, BaseExceptionGroup):
            inner = inner.exceptions[0]
        return str(inner)
    return ""


def kill_child(gateway: Gateway, name: str = "teller") -> None:
    """End the server, so that the next call starts it anew."""
    (pid,) = gateway.backend(name)["pids"]
    os.kill(pid, 9)
    eventually(lambda: gateway.backend(name)["pids"] == [], "it is gone")


def commands(gateway: Gateway) -> list[str]:
    """The command lines of everything that runs for the servers."""
    return [command_line(pid).decode() for pid in gateway.children()]


def grown_old(gateway: Gateway, days: float) -> None:
    """Let what has been found have been found long ago."""
    path = gateway.home / "launch-cache.json"
    content = json.loads(path.read_text())
    for each in content["entries"].values():
        each["checked_at"] -= days * DAY_S
    path.write_text(json.dumps(content))


class DaemonTests:
    """Programs with ports of their own that a package runner is to start."""

    def test_a_first_start(self, tmp_path: Path, registry: Registry) -> None:
        """To fetch the package is no part of the start, and no runner stays beside the program."""
        registry.publish("ported", "1.0.0", PORTED)
        registry.delay_s = 4.0
        port = free_port()
        words = entry(registry, "npx -y ported", str(port))
        words |= {"port": port, "lazy": {"connectTimeoutMs": 3000}}
        with Gateway(tmp_path, {"ported": words}) as gateway:
            assert "Method not found" in refusal(gateway, "ported")  # it has been reached, and tells nothing
            assert gateway.backend("ported")["status"] == "running"
            (command,) = commands(gateway)
            assert re.match(r"\S*node (--\S+ )?/", command)
            assert command.endswith(f"ported {port}")


class NpxTests:
    """npx, with a registry of our own."""

    def test_the_same_as_written(self, tmp_path: Path, registry: Registry) -> None:
        """The server gets the very arguments, directory and environment that npx gives it, and npx is not there."""
        args = ["--flag", "a b", "$HOME `x`", "q\"'"]
        words = entry(registry, "npx -y teller@1.0.0", *args)
        with Gateway(tmp_path, {"teller": {**words, "cwd": str(tmp_path)}}) as gateway:
            ours = told(gateway)
            (command,) = commands(gateway)
            assert re.match(r"\S*node (--\S+ )?/", command)
            assert "is started as" in gateway.log
            environ = {key: each for key, each in ours["env"].items() if key not in OF_THE_GATEWAY}
            # What npx does when it runs the server itself, in what the gateway gives to every child.
            given = {
                name: environ[name] for name in ("HOME", "LANG", "npm_config_registry") if name in environ
            } | {"PATH": os.environ["PATH"]}
            lines = [
                {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {}},
            ]
            ran = subprocess.run(
                ["npx", "-y", "teller@1.0.0", *args],
                input="".join(json.dumps(each) + "\n" for each in lines),
                capture_output=True,
                text=True,
                env=given,
                cwd=tmp_path,
                timeout=LIMIT_S,
                check=False,
            )
            theirs = json.loads(json.loads(ran.stdout)["result"]["content"][0]["text"])
            assert ours["argv"] == theirs["argv"]
            assert ours["argv"][1:] == args
            assert ours["cwd"] == theirs["cwd"]
            differing = {
                name
                for name in {*environ, *theirs["env"]} - OF_THE_WRAPPER
                if environ.get(name) != theirs["env"].get(name)
            }
            assert differing == set()

    def test_offline(self, tmp_path: Path, registry: Registry) -> None:
        """Once found, a server is started without a registry, also by another gateway of the same home."""
        with Gateway(tmp_path, {"teller": entry(registry, "npx -y teller")}) as gateway:
            assert told(gateway)["version"] == "1.0.0"
            registry.close()
            gateway.stop()
            gateway.start()
            assert told(gateway)["version"] == "1.0.0"
            assert len(commands(gateway)) == 1

    def test_a_newer_version(self, tmp_path: Path, registry: Registry) -> None:
        """A newer version is looked for behind the back of the running server, and its next start is the known one."""
        with Gateway(tmp_path, {"teller": entry(registry, "npx -y teller")}) as gateway:
            assert told(gateway)["version"] == "1.0.0"
            gateway.stop()
            registry.publish("teller", "1.1.0")
            grown_old(gateway, 8)
            gateway.start()
            first = told(gateway)
            assert first["version"] == "1.0.0"
            eventually(lambda: "teller: teller 1.1.0 is there, after 1.0.0" in gateway.log, "it is found")
            assert Path(first["argv"][0]).exists()
            assert told(gateway)["version"] == "1.0.0"
            kill_child(gateway)
            assert told(gateway)["version"] == "1.0.0"

    @pytest.mark.parametrize("spec", ["teller@1.0.0", "teller@^1"])
    def test_not_yet(self, tmp_path: Path, registry: Registry, spec: str) -> None:
        """A package of one exact version is never looked for again, one of a range not before a week has passed."""
        with Gateway(tmp_path, {"teller": entry(registry, f"npx -y {spec}")}) as gateway:
            told(gateway)
            gateway.stop()
            registry.publish("teller", "1.1.0")
            grown_old(gateway, 1000 if spec == "teller@1.0.0" else 6)
            registry.asked.clear()
            gateway.start()
            assert told(gateway)["version"] == "1.0.0"
            assert "teller" not in registry.asked

    def test_it_has_vanished(self, tmp_path: Path, registry: Registry) -> None:
        """A program whose files have been removed is found again."""
        with Gateway(tmp_path, {"teller": entry(registry, "npm exec --yes -- teller")}) as gateway:
            told(gateway)
            shutil.rmtree(tmp_path / ".npm" / "_npx")
            kill_child(gateway)
            assert told(gateway)["version"] == "1.0.0"
            assert "is not there any more" in gateway.log

    def test_it_needs_its_runner(self, tmp_path: Path, registry: Registry) -> None:
        """A server that does not work by itself fails once, and is run by its runner from then on."""
        registry.publish("stubborn", "0.1.0")
        with Gateway(tmp_path, {"stubborn": entry(registry, "npx -y stubborn")}) as gateway:
            assert "ended during the handshake" in refusal(gateway, "stubborn")
            assert told(gateway, "stubborn")["version"] == "0.1.0"
            assert any("npx" in each or "npm" in each for each in commands(gateway))

    def test_installed_in_the_project(self, tmp_path: Path, registry: Registry) -> None:
        """A package that is installed in the server's directory is taken from there, as npx does."""
        modules = tmp_path / "project" / "node_modules"
        (modules / "teller").mkdir(parents=True)
        manifest = {"name": "teller", "version": "5.0.0", "bin": {"teller": "cli.js"}}
        (modules / "teller" / "package.json").write_text(json.dumps(manifest))
        program = modules / "teller" / "cli.js"
        program.write_text(PROGRAM.replace("__VERSION__", '"5.0.0"'))
        program.chmod(0o755)
        (modules / ".bin").mkdir()
        (modules / ".bin" / "teller").symlink_to("../teller/cli.js")
        words = entry(registry, "npx -y teller")
        with Gateway(tmp_path, {"teller": {**words, "cwd": str(modules.parent)}}) as gateway:
            assert told(gateway)["version"] == "5.0.0"
            assert len(commands(gateway)) == 1
        assert "teller" not in registry.asked

    def test_a_package_that_is_not_there(self, tmp_path: Path, registry: Registry) -> None:
        """Where npx itself fails, the client is told what npx says."""
        with Gateway(tmp_path, {"teller": entry(registry, "npx -y missing")}) as gateway:
            assert "ended during the handshake" in refusal(gateway, "teller")
            assert "is run by npx: it failed with exit code" in gateway.log


class PublicTests:
    """Packages that people use, from where they get them."""

    def test_npx(self, tmp_path: Path) -> None:
        """A server of npm runs without npx, and lists its tools."""
        line = "npx -y @modelcontextprotocol/server-memory@2026.8.31"
        self._tools(tmp_path, line, "read_graph", "mcp-server-memory")

    def test_uvx(self, tmp_path: Path) -> None:
        """A server of PyPI runs without uvx, and lists its tools."""
        tools = tmp_path / "tools"
        pip = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-compile"]
        pip += ["--disable-pip-version-check", "--target", str(tools), "uv"]
        subprocess.run(pip, check=True, timeout=LIMIT_S)
        self._tools(tmp_path, f"{tools}/bin/uvx mcp-server-time", "get_current_time", "mcp-server-time")

    def _tools(self, directory: Path, line: str, tool: str, program: str) -> None:
        env = {name: os.environ[name] for name in CERTIFICATES if name in os.environ}

        async def names(gateway: Gateway) -> list[str]:
            async with (
                asyncio.timeout(LIMIT_S),
                Client(f"{gateway.url}/it/mcp", mode="legacy") as client,
            ):
                return [each.name for each in (await client.list_tools()).tools]

        with Gateway(directory, {"it": server(line.split(), env=env)}) as gateway:
            assert tool in asyncio.run(names(gateway))
            (command,) = commands(gateway)
            assert program in command
            assert "npx" not in command.split()[0]
            assert "is started as" in gateway.log


class Recorder:
    """Writes down what a child says."""

    def __init__(self) -> None:
        self.lines: list[bytes] = []
        self.ends: list[Gone] = []

    def line_received(self, line: bytes) -> None:
        """Record a line."""
        self.lines.append(line)

    def line_overflowed(self, head: bytes, limit: int) -> None:
        """Too long a line."""

    def gone(self, why: Gone) -> None:
        """The end."""
        self.ends.append(why)


class RunTests:
    """Programs that are run to their end."""

    @pytest.fixture
    def launcher(self, tmp_path: Path) -> Iterator[Launcher]:
        """A launcher."""
        self.instance = f"test{os.getpid()}x{time.monotonic_ns()}"
        guardian = Guardian(reactor, self.instance)
        self.cwd = str(tmp_path)
        yield Launcher(reactor, ChildGuard(Children(str(tmp_path), self.instance), guardian))
        assert bearing(f"MCPGATEWAY_INSTANCE={self.instance}") == []
        guardian.stop()

    def _run(self, launcher: Launcher, script: str, *, is_idle: bool = False) -> Any:
        env = {"PATH": os.environ["PATH"]}
        return launcher.run(Launch("s", ("sh", "-c", script), env, self.cwd), is_idle=is_idle)

    @pytest.mark.parametrize(
        ("script", "end", "verdicts"),
        [
            ("echo '{\"a\":1}'; echo two; exit 3", "", [True]),
            ("echo not a message; exit 3", "", [False]),
            ("exit 0", "", [False]),
            ("exec sleep 600", "stop", []),
            ("exec sleep 600", "kill", []),
        ],
    )
    @pytest_twisted.ensureDeferred
    async def test_a_trial(self, launcher: Launcher, script: str, end: str, verdicts: list[bool]) -> None:
        """A caller is told once whether a program has spoken, but not of one that we ended ourselves."""
        heard: list[bool] = []

        def told(*, has_spoken: bool) -> None:
            heard.append(has_spoken)

        env = {"PATH": os.environ["PATH"]}
        recorder = Recorder()
        child = launcher.launch(Launch("s", ("sh", "-c", script), env, self.cwd, told=told), recorder)
        if end == "kill":
            child.kill()
        while not recorder.ends:
            await (child.stop() if end == "stop" else deferLater(reactor, 0.02))
        await child.stop()
        assert heard == verdicts
        assert len(recorder.ends) == 1
        assert len(recorder.lines) == script.count("echo")

    @pytest_twisted.ensureDeferred
    async def test_its_output(self, launcher: Launcher) -> None:
        """The stdin of a program is empty, its output and its end are told, and nothing it started is left."""
        ran = await self._run(launcher, "cat; echo one; echo two >&2; sleep 600 & exit 3")
        assert (ran.code, ran.output, ran.complaint) == (3, "one\n", "two")

    @pytest_twisted.ensureDeferred
    async def test_too_much(self, launcher: Launcher) -> None:
        """A program that does not stop talking is killed."""
        ran = await self._run(launcher, "yes")
        assert ran.code is None
        assert len(ran.output) <= spawn.RUN_BYTES

    @pytest_twisted.ensureDeferred
    async def test_in_the_background(self, launcher: Launcher) -> None:
        """A program that no caller waits for gives way to others."""
        ran = await self._run(launcher, "sleep 0.3; nice", is_idle=True)
        assert int(ran.output) == max(spawn.NICE, os.nice(0))

    @pytest_twisted.ensureDeferred
    async def test_not_there(self, launcher: Launcher) -> None:
        """A program that cannot be started fails."""
        with pytest.raises(LaunchFailed):
            await launcher.run(Launch("s", ("no-such-program",), {"PATH": "/"}, "/"), is_idle=False)

    @pytest_twisted.ensureDeferred
    async def test_the_end(self, launcher: Launcher) -> None:
        """When the gateway stops, all of them end, and no more are run."""
        running = self._run(launcher, "trap '' TERM; sleep 600")
        await launcher.close()
        assert (await running).code is None
        with pytest.raises(LaunchFailed, match="being stopped"):
            await self._run(launcher, "true")
