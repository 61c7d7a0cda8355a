"""Upgrades by the tools that have installed the program, uv and pipx, while a gateway runs."""

from __future__ import annotations

import http.client
import json
import os
import re
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import twisted
from mcpgateway import __version__
from tests.support import real_servers
from tests.support.gateway import server
from tests.support.ports import free_port
from tests.support.processes import children_of
from tests.support.real_servers import PYPI_BIN, ROOT
from tests.support.restarting import Client, InBackground, asked

pytestmark = pytest.mark.functional

OLD = "0.0.1"
SOURCES = ("README.md", "LICENSE", "LICENSE.Apache-2.0", "NOTICE", "pyproject.toml", "setup.cfg")
LIMIT_S = 300.0
INITIALIZE = {
    "protocolVersion": "2025-06-18",
    "capabilities": {},
    "clientInfo": {"name": "t", "version": "1"},
}


def ran(*argv: str, **more: Any) -> str:
    """Run a program that has to succeed; return its output."""
    done = subprocess.run(
        argv, check=False, capture_output=True, text=True, timeout=LIMIT_S, stdin=subprocess.DEVNULL, **more
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def wheel(folder: Path, version: str, module: str = "", before: str = "", line: str = "") -> Path:
    """Build the wheel of this checkout, with a version of its own.

    :param module: a module that is changed.
    :param before: the line of it after which there is one more.
    :param line: that one.
    """
    copy = folder / version
    for name in ("mcpgateway", "twisted"):
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in SOURCES:
        shutil.copy(ROOT / name, copy)
    (copy / "ui").mkdir()
    shutil.copy(ROOT / "ui" / "backend.py", copy / "ui")
    path = copy / "mcpgateway" / "__init__.py"
    path.write_text(path.read_text().replace(__version__, version))
    if module:
        path = copy / "mcpgateway" / module
        text = path.read_text()
        assert text.count(before) == 1
        path.write_text(text.replace(before, f"{before}\n{line}"))
    ran(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(copy / "dist"), str(copy))
    (found,) = (copy / "dist").glob("*.whl")
    return found


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The wheel of an older release, and that of the checkout."""
    folder = tmp_path_factory.mktemp("wheels")
    return wheel(folder, OLD), wheel(folder, __version__)


@pytest.fixture(scope="module")
def tools(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory for the tools that install."""
    return bare(tmp_path_factory.mktemp("tools")).parent


def bare(environment: Path) -> Path:
    """Make a virtual environment without pip, whose own installation takes the longest; return its interpreter."""
    ran(sys.executable, "-m", "venv", "--without-pip", str(environment))
    return environment / "bin" / "python"


def install(python: Path, *words: str, **more: Any) -> None:
    """Install packages in the environment of that interpreter."""
    pip = [sys.executable, "-m", "pip", "--python", str(python), "--disable-pip-version-check"]
    ran(*pip, "install", "--quiet", "--no-compile", *words, **more)


class Machine:
    """A user's machine, where a tool installs what is in a directory of wheels.

    :ivar links: that directory.
    """

    def __init__(self, home: Path, tools: Path) -> None:
        self.home, self.links, self.port = home, home / "links", free_port()
        self.links.mkdir()
        configuration = Path("~/.config/pip/pip.conf").expanduser()
        pip = {"PIP_CONFIG_FILE": str(configuration)} if configuration.exists() else {}
        known = os.environ.get("PIP_FIND_LINKS", "")
        self.environ = {
            **{
                name: value
                for name, value in os.environ.items()
                if not name.startswith(("MCP", "VIRTUAL_ENV"))
            },
            **pip,
            "HOME": str(home),
            "PATH": f"{home}/.local/bin:{tools}:/usr/local/bin:/usr/bin:/bin",
            "PIP_FIND_LINKS": f"{self.links} {known}".strip(),
            "UV_FIND_LINKS": ",".join([str(self.links), *known.split()]),
        }
        for name in ("PIPX_HOME", "PIPX_BIN_DIR", "UV_TOOL_DIR", "XDG_DATA_HOME", "XDG_BIN_HOME"):
            self.environ.pop(name, None)

    def run(self, *argv: str) -> str:
        """Run a program as the user."""
        return ran(*argv, env=self.environ, cwd=self.home)

    def configure(self, **servers: dict[str, Any]) -> None:
        """Write the configuration of a gateway; without servers, it has one."""
        if not servers:
            program = shutil.which("mcpgateway", path=self.environ["PATH"])
            assert program is not None
            (python,) = re.findall(r"^#!(\S+)", Path(program).read_text())
            servers = {"clock": {"command": [python, "-P", "-m", "mcpgateway.demo.clock"]}}
        home = self.home / ".mcp-gateway"
        home.mkdir(mode=0o700)
        document = {"gateway": {"http_port": self.port}, "servers": servers}
        (home / "config.json").write_text(json.dumps(document))

    def ask(self, method: str, params: dict[str, Any], session: str = "") -> tuple[str, dict[str, Any]]:
        """Ask the server through the gateway; return the session, and the result."""
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}/clock/mcp",
            json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode(),
            {
                "Content-Type": "application/json",
                "Accept": "application/json, text/event-stream",
                **({"Mcp-Session-Id": session} if session else {}),
            },
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            text = answer.read().decode()
            found = re.search(r"\{.*\}", text)
            assert found is not None, text
            return answer.headers.get("Mcp-Session-Id") or session, json.loads(found[0])["result"]


@pytest.fixture
def machine(tmp_path: Path, tools: Path) -> Iterator[Machine]:
    """A machine on which nothing is installed yet."""
    made = Machine(tmp_path, tools)
    yield made
    if shutil.which("mcpgateway", path=f"{tmp_path}/.local/bin"):
        made.run("mcpgateway", "stop")


def environment_of(machine: Machine, release: Path) -> Path:
    """Install a release, without what it requires, in an environment of pip; return its interpreter."""
    python = bare(machine.home / "environment")
    install(python, "--no-deps", str(release), env=machine.environ, cwd=machine.home)
    (packages,) = python.parents[1].glob("lib/python*/site-packages")
    (packages / "requirements.pth").write_text(f"{Path(twisted.__file__).parents[1]}\n")
    return python


class UpgradeTests:
    """The command `mcpgateway upgrade`."""

    @pytest.mark.parametrize("by", [pytest.param("pipx", marks=pytest.mark.soak), "uv"])
    def test_while_a_gateway_runs(
        self, machine: Machine, tools: Path, wheels: tuple[Path, Path], by: str
    ) -> None:
        """The program is the new release, the gateway is the same process, and the session goes on."""
        install(tools / "python", by)
        old, new = wheels
        shutil.copy(old, machine.links)
        machine.run(*({"pipx": ["pipx", "install"], "uv": ["uv", "tool", "install"]}[by]), "mcpgateway")
        assert machine.run("mcpgateway", "--version") == f"mcpgateway {OLD}\n"
        machine.configure()
        machine.run("mcpgateway", "start")
        session, _ = machine.ask("initialize", INITIALIZE)
        pid = json.loads(machine.run("mcpgateway", "--json", "status"))["pid"]
        assert "is the newest release" in machine.run("mcpgateway", "upgrade")

        shutil.copy(new, machine.links)
        told = machine.run("mcpgateway", "upgrade", "--check")
        assert f"{OLD} was installed by {by}.\nThe newest release is {__version__}.\n" in told
        assert machine.run("mcpgateway", "--version") == f"mcpgateway {OLD}\n"
        told = machine.run("mcpgateway", "upgrade")
        assert told == f"mcpgateway {OLD} is now {__version__}.\nThe gateway runs it, with its sessions.\n"
        assert machine.run("mcpgateway", "--version") == f"mcpgateway {__version__}\n"
        assert json.loads(machine.run("mcpgateway", "--json", "status"))["pid"] == pid
        _, result = machine.ask("tools/call", {"name": "now", "arguments": {}}, session)
        assert not result["isError"]

    @pytest.mark.soak
    @pytest.mark.parametrize("backend", ["pip", "uv"])
    def test_a_check_changes_nothing(
        self, machine: Machine, tools: Path, wheels: tuple[Path, Path], backend: str
    ) -> None:
        """The record of pipx is the same after a check, whichever tool pipx uses and whatever it has installed."""
        install(tools / "python", "pipx", "uv")
        machine.environ["PIPX_DEFAULT_BACKEND"] = backend
        record = machine.home / ".local/share/pipx/venvs/mcpgateway/pipx_metadata.json"
        old, new = wheels
        shutil.copy(old, machine.links)
        for source in ("mcpgateway", str(old)):
            machine.run("pipx", "install", "--force", source)
            before = record.read_bytes()
            assert json.loads(before)["backend"] == backend
            (machine.links / new.name).unlink(missing_ok=True)
            machine.run("mcpgateway", "upgrade", "--check")
            shutil.copy(new, machine.links)
            told = machine.run("mcpgateway", "upgrade", "--check")
            assert ("The newest release is" in told) is (source == "mcpgateway")
            assert record.read_bytes() == before

    def test_elsewhere(self, machine: Machine, wheels: tuple[Path, Path]) -> None:
        """In an environment of pip nothing is changed; the command for it is named."""
        python = environment_of(machine, wheels[0])
        environment = python.parents[1]
        (packages,) = environment.glob("lib/python*/site-packages")
        argv = [str(environment / "bin" / "mcpgateway"), "upgrade"]
        done = subprocess.run(argv, env=machine.environ, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stdout) == (1, "")
        assert f"{python} -m pip install --upgrade mcpgateway, then mcpgateway restart" in done.stderr
        shutil.copy(wheels[1], machine.links)
        told = machine.run(*argv, "--check")
        assert f"The newest release is {__version__}." in told
        assert "pip install --upgrade mcpgateway" in told

        # Of a directory, such as a checkout, no index has a newer release.
        (record,) = packages.glob("mcpgateway-*.dist-info/direct_url.json")
        record.write_text(json.dumps({"url": f"file://{machine.home}/a%20checkout", "dir_info": {}}))
        told = machine.run(*argv, "--check")
        pull = f"git -C '{machine.home}/a checkout' pull"
        assert f"{pull}, then {python} -m pip install '{machine.home}/a checkout', then mcp" in told
        assert "--upgrade" not in told
        machine.environ |= {"PIP_FIND_LINKS": "", "PIP_NO_INDEX": "1"}
        record.unlink()
        told = machine.run(*argv, "--check")
        assert "The package index has no release of mcpgateway." in told
        assert "--upgrade" not in told


BUILDS = {
    "0.0.2": (
        # All that a restart needs of the former build is loaded before its files are replaced.
        "hub/children/hand_over.py",
        "from __future__ import annotations",
        'if __import__("mcpgateway").__version__ != "0.0.2": raise ImportError("this is of another build")',
    ),
    "0.0.3": (
        "app/build.py",
        "from __future__ import annotations",
        "import no_such_module",
    ),
    "0.0.4": (
        "app/daemon.py",
        "        super().startService()",
        "        raise OSError('it starts nothing')",
    ),
    "0.0.5": (
        # The test before a restart has no file for its settings.
        "app/daemon.py",
        "        self.renewal.handover.take_over(self)",
        "        if self.reload.config_file: raise OSError('it cannot go on')",
    ),
}
SAYS = {
    "0.0.3": "No module named 'no_such_module'",
    "0.0.4": "OSError: it starts nothing",
    "0.0.5": "OSError: it cannot go on",
}
THOUGHT = {"thought": "t", "thoughtNumber": 1, "totalThoughts": 9, "nextThoughtNeeded": True}


class BuildTests:
    """Builds that differ, installed one over the other by pip, with ``mcpgateway restart`` after each."""

    @pytest.mark.soak
    def test_servers_go_on(
        self, machine: Machine, wheels: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory
    ) -> None:
        """Servers, their state and connections go on in the next build, and in the former where that one crashes."""
        folder = tmp_path_factory.mktemp("builds")
        python = environment_of(machine, wheels[0])
        program = str(python.parent / "mcpgateway")
        graph = {"MEMORY_FILE_PATH": str(machine.home / "graph.json")}
        machine.configure(
            memory=server(real_servers.memory(), env=graph),
            pad=server(real_servers.sequential_thinking()),
            repl=server(
                [str(PYPI_BIN / "python"), str(ROOT / "tests" / "servers" / "repl.py")], share="session"
            ),
        )
        machine.environ["MCPGATEWAY_KEEP_AFTER"] = "0"
        machine.run(program, "start", "--adopt", "never")

        def status() -> dict[str, Any]:
            found: dict[str, Any] = json.loads(asked(machine.port, "GET", "/health")[2])
            return found

        def upgraded(release: Path) -> subprocess.CompletedProcess[str]:
            install(python, "--no-deps", "--force-reinstall", str(release), env=machine.environ)
            argv = [program, "restart"]
            return subprocess.run(argv, env=machine.environ, capture_output=True, text=True, check=False)

        try:
            memory, pad, repl = (Client(machine.port, f"/{each}/mcp") for each in ("memory", "pad", "repl"))
            memory.said("create_entities", entities=[{"name": "a", "entityType": "b", "observations": []}])
            repl.said("run", code="it = counted = 0")
            pid, thoughts = status()["pid"], 0
            servers = sorted(children_of(pid))
            posts = InBackground(lambda background: posted(machine.port, repl, background))

            def goes_on(version: str) -> None:
                nonlocal thoughts
                thoughts += 1
                assert (
                    json.loads(pad.said("sequentialthinking", **THOUGHT))["thoughtHistoryLength"] == thoughts
                )
                assert json.loads(memory.said("read_graph"))["entities"][0]["name"] == "a"
                found = status()
                assert (found["pid"], found["version"]) == (pid, version)
                assert sorted(children_of(pid)) == servers

            goes_on(OLD)
            for version, (module, before, line) in BUILDS.items():
                done = upgraded(wheel(folder, version, module, before, line))
                says = SAYS.get(version, "")
                assert (bool(done.returncode), says in done.stderr) == (bool(says), True), done.stderr
                goes_on("0.0.2")
                refused = [each["message"] for each in status()["problems"] if each["code"] == "restart"]
                assert [each.endswith(says) for each in refused] == ([True] if says else [])
            done = upgraded(wheels[1])
            assert done.returncode == 0, done.stderr
            goes_on(__version__)
            assert status()["problems"] == []
            assert posts.result() == int(repl.said("run", code="it = counted"))
        finally:
            print((machine.home / ".mcp-gateway" / "logs" / "gateway.log").read_text())
            machine.run(program, "stop")


def posted(port: int, client: Client, background: InBackground) -> int:
    """Count in a session, on one connection that is never opened again, until told to stop; return how far."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=LIMIT_S)
    connection.connect()
    connection.auto_open = 0
    headers = {name.replace("_", "-"): value for name, value in client.headers.items()}
    params = {"name": "run", "arguments": {"code": "counted += 1; it = counted"}}
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params})
    count = 0
    while background.is_wanted:
        count += 1
        connection.request("POST", client.path, body, headers)
        text = connection.getresponse().read().decode()
        assert f'"text":"{count}"' in text.replace(" ", ""), text
        time.sleep(0.05)
    connection.close()
    return count
