"""The model of the servers of a storm on views: their presence, their names, and doubts about both."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping
from math import inf
from typing import Any

from attrs import define, field

from tests.support.gateway import server
from tests.support.real_servers import fixture

WHO = "WHO"
PROFILE = "x"
MODERN, DUAL = ("--era", "modern"), ("--era", "dual")

STEADY = {
    "plain": ((), {"share": "global"}),
    "dual": (DUAL, {"share": "global"}),
    "modern": (MODERN, {"share": "global"}),
    "asks": ((), {"interactive": True}),
    "own": ((), {"share": "session", "interactive": True}),
}
PROFILED = {"px": ((), {"share": "global"}), "py": (MODERN, {"share": "global"})}
COMING = {
    "c0": ((), {"share": "global"}),
    "c1": (MODERN, {"share": "global"}),
    "c2": ((), {"share": "global"}),
    "c3": (DUAL, {"share": "global"}),
}
RENAMED, VEILED = "renamed", "veiled"
PREFIXES = (RENAMED, "other")  # what the names of one server's tools begin with, by turns
ASKING = ("modern", "asks", "own")  # servers that may ask their clients something


def entry(name: str, flags: tuple[str, ...], keys: Mapping[str, Any]) -> dict[str, Any]:
    """A server that knows its name."""
    return server(fixture(*flags), env={WHO: name}, **keys)


@define(eq=False)
class Doubt:
    """A time in which a server may be there or not, for a reason."""

    why: str
    begun: float
    ended: float = inf


@define(eq=False)
class Server:
    """One server, as clients should find it.

    :ivar history: since when its tools have had which prefix; None: they were not there.
    """

    name: str
    history: list[tuple[float, str | None]]
    doubts: list[Doubt] = field(factory=list)

    def doubted(self, begun: float, done: float) -> str:
        """Why it may not have been there at some moment; "" where there is no such reason."""
        return next((each.why for each in self.doubts if each.begun <= done and begun <= each.ended), "")

    @property
    def prefix(self) -> str | None:
        """The present prefix of its tools' names; None if the server is absent."""
        return self.history[-1][1]


@define(eq=False)
class World:
    """The model of all servers, and the faults that were found.

    :ivar profiled: the servers of the profile; the others are on no profile's view.
    :ivar stories: the messages around each lost call.
    """

    clock: Callable[[], float]
    servers: dict[str, Server] = field(init=False)
    wrong: list[str] = field(factory=list)
    stories: list[str] = field(factory=list)
    counts: Counter[str] = field(factory=Counter)
    is_veiled: bool = False

    def __attrs_post_init__(self) -> None:
        there = dict.fromkeys((*STEADY, *PROFILED, VEILED), "")
        known = {name: name for name in there} | {RENAMED: PREFIXES[0], "c0": "c0"}
        self.servers = {
            name: Server(name, [(-inf, known.get(name))])
            for name in (*STEADY, *PROFILED, *COMING, RENAMED, VEILED)
        }

    def complain(self, what: str) -> None:
        """Something is wrong."""
        self.wrong.append(f"{self.clock():.1f} {what}"[:1500])

    def document(self, marked: Callable[[Mapping[str, Any]], Any], **settings: Any) -> str:
        """The configuration that makes the gateway's servers those of this world."""
        entries: dict[str, Any] = {name: entry(name, *each) for name, each in STEADY.items()}
        entries |= {
            name: entry(name, *each) for name, each in COMING.items() if self.servers[name].prefix is not None
        }
        entries[RENAMED] = entry(RENAMED, (), {"share": "global", "prefix": self.servers[RENAMED].prefix})
        entries[VEILED] = entry(VEILED, (), {"share": "global"})
        profiled = {name: marked(entry(name, *each)) for name, each in PROFILED.items()}
        veil = {"mode": "blocklist", "exclude_servers": [VEILED]} if self.is_veiled else {}
        return json.dumps(
            {
                "gateway": {"tool_filter": veil, "circuit": {"restarts": 0}, **settings},
                "servers": {name: marked(each) for name, each in entries.items()},
                "profiles": {PROFILE: {"servers": profiled}},
            }
        )

    def seen_from(self, path: str) -> list[Server]:
        """The servers that an endpoint leads to, those among them that are not there just now."""
        if path.startswith(f"/mcp/p/{PROFILE}"):
            return [self.servers[name] for name in PROFILED]
        if is_view(path):
            return list(self.servers.values())
        return [self.servers[path.split("/")[1]]]


def is_view(path: str) -> bool:
    """Return whether an endpoint is one for many servers."""
    return path == "/sse" or path.startswith("/mcp")


def news_of(path: str) -> str:
    """Return the notifications to a view's clients when a server comes or goes; one view always lists equal tools."""
    kind = "prompts" if path == "/mcp/search" else "tools"
    return f"notifications/{kind}/list_changed"
