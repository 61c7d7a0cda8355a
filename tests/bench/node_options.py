"""The memory and the speed of real servers from npm under options of Node.js.

``python -m tests.bench.node_options FOLDER`` measures the servers whose packages are installed in a folder; see
`SERVERS`.  Each variant of each server is started a few times, the variants by turns.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import Any

from attrs import frozen

from tests.bench import tables
from tests.bench.crowd import Direct
from tests.bench.crowd_client import CLAUDE_CODE, Person
from tests.bench.crowd_programs import Server
from tests.bench.procs import MIB
from tests.bench.subjects import environment

STARTS = 3
WARM = 100  # calls before those that count
CALLS = 400
SETTLE_S = 1.0

VARIANTS: dict[str, dict[str, str]] = {
    "as it is": {},
    "semi-space 1": {"NODE_OPTIONS": "--max-semi-space-size=1"},
    "semi-space 2": {"NODE_OPTIONS": "--max-semi-space-size=2"},
    "semi-space 1, pool 1": {"NODE_OPTIONS": "--max-semi-space-size=1 --v8-pool-size=1"},
    "arenas 2": {"MALLOC_ARENA_MAX": "2"},
}

KEY = "none"
SERVERS = (
    Server("everything", ("mcp-server-everything",), "get-sum", {"a": 2, "b": 3}),
    Server("filesystem", ("mcp-server-filesystem", "/usr"), "list_allowed_directories", {}),
    Server("memory", ("mcp-server-memory",), "read_graph", {}),
    Server(
        "sequential-thinking",
        ("mcp-server-sequential-thinking",),
        "sequentialthinking",
        {"thought": "x", "thoughtNumber": 1, "totalThoughts": 1, "nextThoughtNeeded": False},
    ),
    Server("context7", ("context7-mcp",), "", {}),
    Server("tavily", ("tavily-mcp",), "", {}, {"TAVILY_API_KEY": KEY}),
    Server("playwright", ("playwright-mcp",), "", {}),
    Server("brave-search", ("brave-search-mcp-server",), "", {}, {"BRAVE_API_KEY": KEY}),
    Server("firecrawl", ("firecrawl-mcp",), "", {}, {"FIRECRAWL_API_KEY": KEY}),
    Server("exa", ("exa-mcp-server",), "", {}, {"EXA_API_KEY": KEY}),
    Server("notion", ("notion-mcp-server",), "", {}, {"NOTION_TOKEN": KEY}),
    Server("chart", ("mcp-server-chart",), "", {}),
)
"""Twelve servers; one without a tool that answers offline is asked for its list of tools."""


@frozen
class Figures:
    """One start: private memory and PSS in MiB, seconds to the list of tools, microseconds of CPU time for a call."""

    private: float
    pss: float
    start_s: float
    call_us: float


KEYS = ("private", "pss", "start_s", "call_us")


def measured(folder: Path) -> dict[str, dict[str, list[Figures]]]:
    """Measure each server under each variant."""
    found: dict[str, dict[str, list[Figures]]] = {}
    for server in SERVERS:
        program = folder / "node_modules" / ".bin" / server.argv[0]
        if not program.exists():
            print(f"{server.name} is not installed", file=sys.stderr)
            continue
        own = found[server.name] = {each: [] for each in VARIANTS}
        for _ in range(STARTS):
            for name, variables in VARIANTS.items():
                own[name].append(_one(server, program, variables))
        shown = {variant: [round(value, 2) for value in _medians(those)] for variant, those in own.items()}
        print(server.name, json.dumps(shown), flush=True)
    return found


def _one(server: Server, program: Path, variables: dict[str, str]) -> Figures:
    with tempfile.TemporaryDirectory() as home, ExitStack() as stack:
        began = time.monotonic()
        process = subprocess.Popen(
            ["node", str(program.resolve()), *server.argv[1:]],
            cwd=home,
            env=environment(Path(home)) | server.env | variables,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        direct = Direct(process, Person(CLAUDE_CODE, home))
        stack.callback(direct.stop)
        direct.begin()
        direct.ask(1, "tools/list", {})
        start_s = time.monotonic() - began
        _call(direct, server, 2, WARM)
        before = _cpu_ns(process.pid)
        _call(direct, server, 2 + WARM, CALLS)
        call_us = (_cpu_ns(process.pid) - before) / CALLS / 1000
        time.sleep(SETTLE_S)
        private, pss = _memory(process.pid)
        return Figures(private, pss, start_s, call_us)


def _call(direct: Direct, server: Server, first: int, count: int) -> None:
    params: dict[str, Any] = {"name": server.tool, "arguments": server.arguments} if server.tool else {}
    for number in range(first, first + count):
        direct.ask(number, "tools/call" if server.tool else "tools/list", params)


def _cpu_ns(pid: int) -> int:
    # Of all its threads: the collector has some of its own.
    return sum(int(each.read_text().split()[0]) for each in Path(f"/proc/{pid}/task").glob("*/schedstat"))


def _memory(pid: int) -> tuple[float, float]:
    kib: dict[str, int] = {}
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]:
        name, _, value = line.partition(":")
        kib[name] = int(value.split()[0])
    return (kib["Private_Clean"] + kib["Private_Dirty"]) / MIB, kib["Pss"] / MIB


def table(found: dict[str, dict[str, list[Figures]]]) -> tables.Table:
    """Return the figures of each variant, as medians, and as medians of the servers' ratios to the first."""
    first = next(iter(VARIANTS))
    rows = []
    for variant in VARIANTS:
        row = [variant]
        for figure in KEYS:
            values = {
                name: median(getattr(each, figure) for each in own[variant]) for name, own in found.items()
            }
            ratios = [
                value / median(getattr(each, figure) for each in found[name][first])
                for name, value in values.items()
            ]
            row.append(
                f"{tables.number(sum(values.values()) / len(values))} ({median(ratios):.2f}, {max(ratios):.2f})"
            )
        rows.append(row)
    head = ("", "private, MB", "PSS, MB", "start, s", "CPU of a call, µs")
    note = f"Means of {len(found)} servers; in brackets the median and the worst ratio to the first row."
    return tables.Table("Options of Node.js", head, rows, note)


def _medians(those: list[Figures]) -> tuple[float, ...]:
    return tuple(median(getattr(each, key) for each in those) for key in KEYS)


def main() -> None:
    """Measure, and print all figures and the table."""
    found = measured(Path(sys.argv[1]))
    print(tables.text(table(found)))


if __name__ == "__main__":
    main()
