"""Views of numbers: the calls of tools, the state of servers, the savings of sharing."""

from __future__ import annotations

import time
from typing import Any

from mcpgateway.cli.console import answer, coloured, format_duration, say, table
from mcpgateway.cli.context import Globals
from mcpgateway.cli.queries import Cell, ask, number, rows_table, text

BARS = "▁▂▃▄▅▆▇█"
ORDERS = {
    "calls": "calls",
    "errors": "errors",
    "avg": "avgMs",
    "p99": "p99Ms",
    "last": "lastCalledAt",
}
DAYS = 7
SERVERS: dict[str, Cell] = {
    "SERVER": text("name"),
    "STATE": lambda each: coloured(each["status"] if each["enabled"] else "disabled"),
    "CHILDREN": number("activeChildren"),
    "CALLS": number("totalCalls"),
    "REQUESTS": number("totalRequests"),
    "RESTARTS": lambda each: str(each.get("restart_count", "")),
    "MTBF": lambda each: each.get("mtbf", "") if each.get("restart_count") else "",
    "UPTIME": text("uptime"),
    "LAST CRASH": text("last_crash_at"),
}


def show_stats(globals_: Globals, server: str | None, sort: str, limit: int) -> None:
    """Print which tools are called, how often they fail, how long they take, and how servers fare.

    As JSON that is GET /api/health/stats, and of each server what GET /api/v1/metrics says.
    """
    found = ask(globals_, "/api/health/stats", has="toolStats")
    lives = ask(globals_, "/api/v1/metrics", has="servers")
    known = {each["name"]: each for each in lives["servers"]}
    found["servers"] = [{**known.get(each["name"], {}), **each} for each in found["servers"]]
    if server is not None:
        found["servers"] = [each for each in found["servers"] if each["name"] == server]
        tools = found["toolStats"].items()
        found["toolStats"] = {name: each for name, each in tools if each["server"] == server}
    answer(globals_, found, lambda: tell_stats(found, sort, limit, time.time()))


def tell_stats(found: dict[str, Any], sort: str, limit: int, now: float) -> None:
    """Print the numbers of the gateway, its tools and its servers."""
    say(f"Uptime:    {format_duration(found['uptimeSeconds'])}")
    say(f"Calls:     {found['totalCalls']:,} of tools, of which {found['totalCallErrors']:,} failed")
    say(f"Requests:  {found['totalRequests']:,} in all, of which {found['totalErrors']:,} failed")
    say(f"Last hour: {spark([each['requests'] for each in found['timeline']])}")
    say(f"Children:  {found['activeConnections']}")
    say(f"Memory:    {found['memoryMB']} MB")
    _tell_tools(found["toolStats"], sort, limit, now)
    _tell_servers(found["servers"])


def _tell_tools(tools: dict[str, dict[str, Any]], sort: str, limit: int, now: float) -> None:
    if not tools:
        return
    ordered = sorted(tools.items(), key=lambda each: (-each[1][ORDERS[sort]], each[0]))
    rows = [
        (
            name,
            each["server"],
            f"{each['calls']:,}",
            f"{each['errors']:,}",
            f"{each['errorRate']:.1%}" if each["errors"] else "",
            milliseconds(each["avgMs"]),
            milliseconds(each["p99Ms"]),
            f"{format_duration(max(0.0, now - each['lastCalledAt'] / 1000))} ago",
        )
        for name, each in ordered[:limit]
    ]
    say()
    table(("TOOL", "SERVER", "CALLS", "ERRORS", "", "AVERAGE", "P99", "LAST"), rows)
    if len(ordered) > limit:
        say(f"… and {len(ordered) - limit} more: --limit {len(ordered)}")


def _tell_servers(servers: list[dict[str, Any]]) -> None:
    if servers:
        say()
        rows_table(SERVERS, servers)


def show_savings(globals_: Globals) -> None:
    """Print what sharing saves: processes, memory, and tokens of models."""
    found = ask(globals_, "/api/v1/savings", has="processes")
    answer(globals_, found, lambda: tell_savings(found))


def tell_savings(found: dict[str, Any]) -> None:
    """Print the savings, and the servers that they come from."""
    processes, memory, tokens = found["processes"], found["memory"], found["tokens"]
    say(
        f"Processes: {processes['saved']} saved: {processes['running']} run,"
        f" {processes['without']} would without the gateway"
    )
    since = format_duration(found["uptime_seconds"])
    say(f"           {processes['hours_saved']:,} hours of processes in {since}")
    saved = memory["saved_mb"]
    say(
        f"Memory:    {abs(saved):,} MB {'saved' if saved >= 0 else 'more than without'}:"
        f" {memory['running_mb']:,} MB and {memory['gateway_mb']:,} MB for the gateway,"
        f" {memory['without_mb']:,} MB without"
    )
    if tokens.get("total"):
        say(f"Tokens:    {tokens['total']:,} spared, {tokens['today']:,} of them today")
        for day in sorted(tokens["days"])[-DAYS:]:
            spared = sum(sum(each.values()) for each in tokens["days"][day].values())
            say(f"           {day}  {spared:,}")
    rows = [
        (
            each["name"],
            str(each["sessions"]),
            str(each["running"]),
            str(each["saved"]),
            f"{each['memory_mb']:,} MB",
            f"{each['saved_mb']:,} MB",
        )
        for each in found["servers"]
        if each["running"]
    ]
    if rows:
        say()
        table(("SERVER", "SESSIONS", "PROCESSES", "SAVED", "MEMORY", "SAVED"), rows)


def milliseconds(value: float) -> str:
    """Return a duration in words: ``0.4 ms``, ``35 ms``, ``2.1 s``."""
    if value >= 1000:
        return f"{value / 1000:.1f} s"
    return f"{value:.0f} ms" if value >= 10 else f"{value:.1f} ms"


def spark(values: list[int]) -> str:
    """Return numbers as a row of bars, with a dot for zero."""
    most = max(values, default=0)
    return "".join(BARS[(each * len(BARS) - 1) // most] if each else "·" for each in values)
