"""The model of the servers of a storm on views: their presence, their names, and doubts about both."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from attrs import define

from tests.support.gateway import server
from tests.support.harness.model import Model, Server
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
class ViewModel(Model):
    """The model of all servers."""

    is_veiled: bool = False

    def __attrs_post_init__(self) -> None:
        there = {name: name for name in (*STEADY, *PROFILED, VEILED, "c0")} | {RENAMED: PREFIXES[0]}
        self.servers = {name: Server(name, there.get(name)) for name in (*there, *COMING)}

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
        """The servers that an endpoint leads to, also those that are absent just now."""
        if path.startswith(f"/mcp/p/{PROFILE}"):
            return [self.servers[name] for name in PROFILED]
        name = path.split("/")[1]
        return [self.servers[name]] if name in self.servers else list(self.servers.values())


def news_of(path: str) -> str:
    """Return the notifications to a view's clients when a server comes or goes; one view always lists equal tools."""
    kind = "prompts" if path == "/mcp/search" else "tools"
    return f"notifications/{kind}/list_changed"
