"""``python -m tests.house.roads``: which modules one call crosses, there and back.

Each road is walked in a gateway in memory: HTTP bytes in front, scripted children behind.  A module is crossed when a
function of it is called; importing it does not count, and neither does making a record.  A road is walked a few times
before it is measured, so everything is started, imported and known.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from types import FrameType
from typing import Any

from attrs import define, field, frozen

from mcpgateway.config.model import ServerSpec
from mcpgateway.protocol.versions import Era
from tests.support.edited import Edited
from tests.support.gateway_in_memory import Client
from tests.support.modern_client import done, post, reply, request
from tests.support.view_stage import FULL, Stage, legacy, modern, tool

PACKAGE = "mcpgateway"
# The floors on which a request is taken to its server; what stands before, below and beside them does not count.
INSIDE = ("mcpgateway.hub", "mcpgateway.views", "mcpgateway.owntools")
WALKS = 3  # before the one that is measured


@frozen
class Limit:
    """The number of modules that a road may cross.

    :ivar ceiling: as it stands; it may only fall.
    :ivar target: as it should be; None where there is no other than fewer.
    """

    ceiling: int
    target: int | None


LIMITS = {
    "legacy client, legacy server": Limit(4, 4),
    "modern client, modern server": Limit(5, 6),
    "legacy client, modern server": Limit(5, 6),
    "modern client, legacy server": Limit(6, 8),
    "legacy client, view, legacy server": Limit(8, 8),
    "legacy client, view, modern server": Limit(9, None),
    "modern client, view, modern server": Limit(9, 9),
    "modern client, view, legacy server": Limit(10, 11),
    "reload of an entry that keeps its child": Limit(12, 12),
    "reload of an entry that replaces its child": Limit(37, None),
}


@define
class Crossed:
    """The modules that were crossed, in order, each as often as it was entered from another."""

    modules: list[str] = field(factory=list)
    calls: int = 0

    @property
    def inside(self) -> list[str]:
        """The modules that count, each once, in the order in which they were first entered."""
        return [each for each in dict.fromkeys(self.modules) if is_inside(each)]


def is_inside(module: str) -> bool:
    """Return whether a module counts."""
    return any(module == each or module.startswith(each + ".") for each in INSIDE)


@contextmanager
def crossing() -> Iterator[Crossed]:
    """Take down the modules that are crossed meanwhile."""
    found = Crossed()

    def entered(frame: FrameType, event: str, _: Any) -> None:
        if event != "call" or frame.f_code.co_name == "<module>":
            return
        if frame.f_code.co_filename.startswith("<attrs generated"):
            return  # a record is made
        module = frame.f_globals.get("__name__", "")
        if module.startswith(PACKAGE + "."):
            found.calls += 1
            if found.modules[-1:] != [module]:
                found.modules.append(module)

    former = sys.getprofile()
    sys.setprofile(entered)
    try:
        yield found
    finally:
        sys.setprofile(former)


@frozen
class Road:
    """A road from a client's bytes to its answer.

    :ivar settle: brings about what the next walk begins with.
    """

    walk: Callable[[], None]
    settle: Callable[[], None] = lambda: None

    def crossed(self) -> Crossed:
        """Return the modules that a road crosses."""
        for _ in range(WALKS):
            self.walk()
            self.settle()
        with crossing() as found:
            self.walk()
        return found


def roads(home: Path) -> dict[str, Callable[[], Road]]:
    """All roads; each has a gateway of its own.

    :param home: a folder for the files of one of them.
    """
    view_tool = "a__t"
    return {
        "legacy client, legacy server": lambda: _legacy(legacy("a"), "/a/mcp", "t"),
        "modern client, modern server": lambda: _modern(modern("a"), "/a/mcp", "t"),
        "legacy client, modern server": lambda: _legacy(modern("a"), "/a/mcp", "t"),
        "modern client, legacy server": lambda: _modern(legacy("a"), "/a/mcp", "t"),
        "legacy client, view, legacy server": lambda: _legacy(legacy("a"), FULL, view_tool),
        "legacy client, view, modern server": lambda: _legacy(modern("a"), FULL, view_tool),
        "modern client, view, modern server": lambda: _modern(modern("a"), FULL, view_tool),
        "modern client, view, legacy server": lambda: _modern(legacy("a"), FULL, view_tool),
        "reload of an entry that keeps its child": lambda: _reload(home, "timeout", range(60, 90)),
        "reload of an entry that replaces its child": lambda: _reload(
            home, "args", ([str(n)] for n in count())
        ),
    }


def _answer(stage: Stage, client: Client) -> None:
    """Let the call of a client be answered by the child that has got it."""
    child = next(each for each in reversed(stage.children("a")) if each.asked("tools/call"))
    done(child, child.asked("tools/call")[-1], content=[])
    assert "result" in reply(client), reply(client)


def _legacy(server: ServerSpec, path: str, name: str) -> Road:
    """A call in the session of a legacy client."""
    stage = Stage(server, a=[tool("t")])
    client = _session(stage, path)

    def walk() -> None:
        client.call(7, name=name, arguments={})
        _answer(stage, client)

    return Road(walk)


def _session(stage: Stage, path: str) -> Client:
    client = stage.client(path)
    client.send(
        {
            "jsonrpc": "2.0",
            "id": 0,
            "method": "initialize",
            "params": {"protocolVersion": "2025-06-18", "capabilities": {}},
        }
    )
    stage.answer()
    said = client.transport.taken.split(b"Mcp-Session-Id: ")[1]
    client.headers["Mcp-Session-Id"] = said.partition(b"\r\n")[0].decode()
    client.call(1, "tools/list")
    stage.answer()
    stage.begin()
    return client


def _modern(server: ServerSpec, path: str, name: str) -> Road:
    """A call of a modern client."""
    stage = Stage(server, a=[tool("t")])
    client = stage.client(path)
    stage.send(client, "tools/list")
    stage.begin()

    def walk() -> None:
        post(client, request(7, "tools/call", name=name, arguments={}))
        stage.answer()
        _answer(stage, client)

    return Road(walk)


class Following(Stage):
    """Servers that a file defines."""

    def serve(self, *servers: ServerSpec) -> None:
        """Servers are what the file says."""
        self.gateway.launcher.eras = dict.fromkeys("ab", (Era.LEGACY,))


def _reload(home: Path, key: str, values: Iterable[Any]) -> Road:
    """An edit of a server that clients of both eras use, by itself and on the view."""
    value = iter(values)
    servers = {name: {"command": "run", "share": "global", "interactive": False} for name in "ab"}
    gateway = Edited(home, {"gateway": {}, "servers": servers})
    stage = Following(gateway=gateway, a=[tool("t")], b=[tool("t")])
    clients = {path: (_session(stage, path), stage.client(path)) for path in ("/a/mcp", FULL)}

    def walk() -> None:
        gateway.put(f"servers.a.{key}", next(value))

    def settle() -> None:
        for path, (old, new) in clients.items():
            name = "t" if path != FULL else "a__t"
            old.call(7, name=name, arguments={})
            answer(old)
            post(new, request(7, "tools/call", name=name, arguments={}))
            answer(new)

    def answer(client: Client) -> None:
        stage.answer()
        stage.begin()
        _answer(stage, client)

    settle()
    return Road(walk, settle)


def report() -> str:
    """Every road: how many modules it crosses, and the names of those that count."""
    lines = []
    with tempfile.TemporaryDirectory() as home:
        for name, road in roads(Path(home)).items():
            found, limit = road().crossed(), LIMITS[name]
            numbers = f"{len(found.inside)} modules (ceiling {limit.ceiling}, target {limit.target or '-'})"
            lines += [
                f"{name}: {numbers}, {len(set(found.modules))} with those outside, {found.calls} calls",
                *(f"    {each}" for each in found.inside),
                "",
            ]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.stdout.write(report())
