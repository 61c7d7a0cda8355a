"""Programs that share the servers of the crowd among its sessions: the gateway, and others."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from attrs import field, frozen

from tests.bench.subjects import STATE, Command, Place, Program
from tests.bench.tools import CACHE, INSTALL_LIMIT_S

PROXY = ("mcp-proxy", "0.13.0")  # of PyPI


@frozen
class Server:
    """A real server, as an entry of a configuration names it, and a call of one of its tools.

    :ivar is_offline: it answers without the internet; else the answer of a tool may be that it has failed.
    """

    name: str
    argv: tuple[str, ...]
    tool: str
    arguments: dict[str, Any]
    env: dict[str, str] = field(factory=dict)
    is_offline: bool = True


@frozen
class Shared:
    """A way of sharing servers: one program for all of them, or one for each.

    :ivar command: takes the servers of a program, and the variables that all of them get.
    :ivar path: the address of a server, with its name in braces.
    """

    name: str
    command: Callable[[Place, Sequence[Server], Mapping[str, str]], list[str]]
    path: str
    is_for_all: bool = True
    needs_npm: bool = True

    def programs(self, servers: Sequence[Server], variables: Mapping[str, str]) -> dict[str, Program]:
        """Return the program of each server, by its name."""
        groups = [servers] if self.is_for_all else [[each] for each in servers]
        programs = [Program(self.name, self._starts(group, variables)) for group in groups]
        return {
            server.name: program for group, program in zip(groups, programs, strict=True) for server in group
        }

    def _starts(self, servers: Sequence[Server], variables: Mapping[str, str]) -> Callable[[Place], Command]:
        return lambda place: Command(self.command(place, servers, variables), "")


def _ours(place: Place, servers: Sequence[Server], variables: Mapping[str, str]) -> list[str]:
    given = {"servers": _entries(servers, variables), "gateway": {"limits": {"handshake": 120}}}
    config = place.write("config.json", json.dumps(given))
    source = place.write("source.json", "{}")
    twistd = [str(place.python.parent / "twistd"), "-n", "--pidfile=", "mcpgateway"]
    options = ["--port", str(place.port), "--config", config, "--source", source]
    return [*twistd, *options, "--home", str(place.home / STATE)]


def _immorterm(place: Place, servers: Sequence[Server], variables: Mapping[str, str]) -> list[str]:
    entries = {name: {"type": "stdio", **entry} for name, entry in _entries(servers, variables).items()}
    place.write(".claude.json", json.dumps({"mcpServers": entries}))
    return [*_node(place, "immorterm-mcp-gateway/dist/index.js"), "start", "--foreground", *_port(place)]


def _supergateway(place: Place, servers: Sequence[Server], variables: Mapping[str, str]) -> list[str]:
    argv = _with(variables, servers, _node(place, "supergateway/dist/index.js"))
    options = ["--outputTransport", "streamableHttp", "--stateful", "--logLevel", "none"]
    return [*argv, "--stdio", shlex.join(servers[0].argv), *options, *_port(place)]


def _npm_proxy(place: Place, servers: Sequence[Server], variables: Mapping[str, str]) -> list[str]:
    argv = _with(variables, servers, _node(place, "mcp-proxy/dist/bin/mcp-proxy.mjs"))
    return [*argv, "--host", "127.0.0.1", *_port(place), "--server", "stream", "--", *servers[0].argv]


def _pypi_proxy(place: Place, servers: Sequence[Server], variables: Mapping[str, str]) -> list[str]:
    argv = _with(variables, servers, [str(in_environment(*PROXY) / "mcp-proxy")])
    named = [word for each in servers for word in ("--named-server", each.name, shlex.join(each.argv))]
    options = ["--host", "127.0.0.1", *_port(place), "--pass-environment", "--log-level", "ERROR"]
    return [*argv, *options, *named]


def _entries(servers: Sequence[Server], variables: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    return {
        each.name: {"command": each.argv[0], "args": each.argv[1:], "env": {**variables, **each.env}}
        for each in servers
    }


def _node(place: Place, script: str) -> list[str]:
    return ["node", str(place.npm / "node_modules" / script)]


def _port(place: Place) -> list[str]:
    return ["--port", str(place.port)]


def _with(variables: Mapping[str, str], servers: Sequence[Server], argv: list[str]) -> list[str]:
    given = {**variables, **{name: value for each in servers for name, value in each.env.items()}}
    return ["env", *(f"{name}={value}" for name, value in given.items()), *argv]


def in_environment(package: str, version: str = "") -> Path:
    """Return the directory of a package's programs, in a virtual environment of its own that is made once."""
    place = CACHE / package
    if not (place / "installed").exists():
        subprocess.run([sys.executable, "-m", "venv", str(place)], check=True)
        wanted = f"{package}=={version}" if version else package
        pip = [str(place / "bin" / "python"), "-m", "pip", "install", "--quiet", wanted]
        subprocess.run(pip, check=True, timeout=INSTALL_LIMIT_S)
        (place / "installed").touch()
    return place / "bin"


OURS = Shared("mcpgateway", _ours, "/{}/mcp", needs_npm=False)
OTHERS = (
    Shared("immorterm-mcp-gateway", _immorterm, "/{}/mcp"),
    Shared("supergateway, stateful", _supergateway, "/mcp", is_for_all=False),
    Shared("mcp-proxy of npm", _npm_proxy, "/mcp", is_for_all=False),
    Shared("mcp-proxy of PyPI", _pypi_proxy, "/servers/{}/mcp", needs_npm=False),
)
