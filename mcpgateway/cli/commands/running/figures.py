"""Views of numbers: the calls of tools, the state of servers, the savings of sharing."""

from __future__ import annotations

import math
import re
import time
from datetime import UTC, datetime
from typing import Any

from mcpgateway.cli.console import answer, answer_list, coloured, say, table
from mcpgateway.cli.context import Globals
from mcpgateway.cli.queries import Cell, ask, number, rows_table, text
from mcpgateway.units import HOUR_S, MB, MINUTE_S, duration, size

_HUMP = re.compile(r"(?<=[a-z0-9])([A-Z]+)")
BARS = "▁▂▃▄▅▆▇█"
ORDERS = {"calls": "calls", "errors": "errors", "avg": "avgMs", "p99": "p99Ms", "last": "lastCalledAt"}
DAYS = 7
MORE = "more than without"
PRINCIPAL = "principal"
SERVERS: dict[str, Cell] = {
    "SERVER": text("name"),
    "STATE": lambda each: coloured(each.get("state") or (each["status"] if each["enabled"] else "disabled")),
    "CHILDREN": number("activeChildren"),
    "CALLS": number("totalCalls"),
    "REQUESTS": number("totalRequests"),
    "RESTARTS": lambda each: str(each.get("restart_count", "")),
    "MTBF": lambda each: each.get("mtbf", "") if each.get("restart_count") else "",
    "UPTIME": lambda each: duration(each["uptime_seconds"]) if each.get("uptime_seconds") else "",
    "LAST CRASH": text("last_crash_at"),
}


PRIVATE = ("token", PRINCIPAL)
USES = ("client", "server", "tool", "project", *PRIVATE)
USAGE: dict[str, Cell] = {
    "CALLS": number("calls"),
    "FAILED": number("failed"),
    "SESSIONS": number("sessions"),
    "TIME": lambda each: duration(each["total_ms"] / 1000),
    "MEDIAN": lambda each: milliseconds(each["p50_ms"]),
    "P95": lambda each: milliseconds(each["p95_ms"]),
    "RESULT TOKENS": number("result_tokens"),
}


def milliseconds(value: float | None) -> str:
    """Return a duration; empty where it is not known."""
    return "" if value is None else duration(value / 1000)


def show_stats(globals_: Globals, server: str | None, sort: str, limit: int) -> None:
    """Print which tools are called, how often they fail, how long they take, and how servers fare.

    As JSON the items are the servers; the older command `stats` prints GET /api/health/stats as it is.
    """
    found = ask(globals_, "/api/health/stats", has="toolStats")
    lives = ask(globals_, "/api/v1/metrics", has="servers")
    known = {each["name"]: each for each in lives["servers"]}
    for each in ask(globals_, "/api/v1/overview", has="backends")["backends"]:
        known[each["name"]] = known.get(each["name"], {}) | {
            key: each[key] for key in ("state", "uptime_seconds")
        }
    found["servers"] = [{**known.get(each["name"], {}), **each} for each in found["servers"]]
    if server is not None:
        found["servers"] = [each for each in found["servers"] if each["name"] == server]
        tools = found["toolStats"].items()
        found["toolStats"] = {name: each for name, each in tools if each["server"] == server}
    tools = [{"name": name, **each} for name, each in found["toolStats"].items()]
    more = {key: each for key, each in found.items() if key not in ("servers", "toolStats")}
    answer_list(
        globals_,
        _in_snake_case(found["servers"]),
        lambda: tell_stats(found, sort, limit, time.time()),
        older=found,
        tools=_in_snake_case(tools),
        **_in_snake_case(more),
    )


def _in_snake_case(value: Any) -> Any:
    """Return JSON with its members named as in the gateway's other answers."""
    match value:
        case dict():
            return {_HUMP.sub(r"_\1", key).lower(): _in_snake_case(each) for key, each in value.items()}
        case list():
            return [_in_snake_case(each) for each in value]
        case _:
            return value


def tell_stats(found: dict[str, Any], sort: str, limit: int, now: float) -> None:
    """Print the numbers of the gateway, its tools and its servers."""
    say(f"Uptime:    {duration(found['uptimeSeconds'])}")
    say(f"Calls:     {found['totalCalls']:,} of tools, of which {found['totalCallErrors']:,} failed")
    say(f"Requests:  {found['totalRequests']:,} in all, of which {found['totalErrors']:,} failed")
    _tell_hour(found["timeline"], found["timelineSince"] / 1000)
    say(f"Children:  {found['activeConnections']}")
    say(f"Memory:    {size(found['memoryMB'] * MB)}")
    _tell_tools(found["toolStats"], sort, limit, now)
    _tell_servers(found["servers"])


def _tell_hour(minutes: list[dict[str, Any]], since: float) -> None:
    calls, failed = (sum(each[name] for each in minutes) for name in ("calls", "callErrors"))
    is_partial = since > minutes[0]["minuteTs"] / 1000
    known = f", known since {datetime.fromtimestamp(since, UTC):%Y-%m-%dT%H:%M:%SZ}" if is_partial else ""
    say(f"Last hour: {calls:,} calls, of which {failed:,} failed{known}")
    say(f"           {spark([each['calls'] for each in minutes])}")


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
            duration(each["avgMs"] / 1000),
            duration(each["p99Ms"] / 1000),
            f"{duration(max(0.0, now - each['lastCalledAt'] / 1000))} ago",
        )
        for name, each in ordered[:limit]
    ]
    say()
    table(("TOOL", "SERVER", "CALLS", "ERRORS", "", "AVERAGE", "P99", "LAST"), rows)
    if len(ordered) > limit:
        say(f"{len(ordered) - limit} more are shown by --limit {len(ordered)}.")


def _tell_servers(servers: list[dict[str, Any]]) -> None:
    if servers:
        say()
        rows_table(SERVERS, servers)


def show_usage(globals_: Globals, by: str, window_s: float, server: str | None) -> None:
    """Print the calls of a span of time; as JSON that is GET /api/v1/usage."""
    params = {"by": by, "minutes": max(1, math.ceil(window_s / MINUTE_S)), "server": server or ""}
    found = ask(globals_, "/api/v1/usage", params=params, has="series", is_admin=by in PRIVATE)
    answer(globals_, found, lambda: tell_usage(found))


def tell_usage(found: dict[str, Any]) -> None:
    """Print the calls of a span of time, in all and in rows."""
    since = "" if found["known_since"] == found["since"] else f", known since {found['known_since']}"
    say(f"Calls:  {found['calls']:,} in {duration(found['minutes'] * 60)}, {found['failed']:,} failed{since}")
    say(f"        {spark([each['calls'] for each in found['series']])}")
    if found["items"]:
        say()
        rows_table({found["by"].upper(): text("name", "(not known)"), **USAGE}, found["items"])


def show_savings(globals_: Globals) -> None:
    """Print what sharing saves: processes, memory, and tokens of models."""
    found = ask(globals_, "/api/v1/savings", has="processes")
    answer(globals_, found, lambda: tell_savings(found))


def tell_savings(found: dict[str, Any]) -> None:
    """Print the savings, and the servers that they come from."""
    processes, memory, tokens = found["processes"], found["memory"], found["tokens"]
    say(
        f"Processes: {abs(processes['saved']):,} {'saved' if processes['saved'] >= 0 else MORE}:"
        f" {processes['running']} run, {processes['without']} would without the gateway"
    )
    since = duration(found["uptime_seconds"])
    hours = processes["hours_saved"]
    spent = "saved" if hours >= 0 else MORE
    say(f"           {duration(abs(hours) * HOUR_S)} of process time {spent} in {since}")
    saved, templates = memory["saved_mb"], memory.get("templates_mb") or 0
    of_templates = f" {size(templates * MB)} for templates of servers," if templates else ""
    say(
        f"Memory:    {size(abs(saved) * MB)} {'saved' if saved >= 0 else MORE}:"
        f" {size(memory['running_mb'] * MB)} and {size(memory['gateway_mb'] * MB)} for the gateway,{of_templates}"
        f" {size(memory['without_mb'] * MB)} without"
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
            size(each["memory_mb"] * MB),
            _signed(each["saved_mb"]),
        )
        for each in found["servers"]
        if each["running"]
    ]
    if rows:
        say()
        table(("SERVER", "SESSIONS", "PROCESSES", "SAVED", "MEMORY", "SAVED"), rows)


def _signed(megabytes: float) -> str:
    return f"{'-' if megabytes < 0 else ''}{size(abs(megabytes) * MB)}"


def spark(values: list[int]) -> str:
    """Return numbers as a row of bars, with a dot for zero."""
    most = max(values, default=0)
    return "".join(BARS[(each * len(BARS) - 1) // most] if each else "·" for each in values)
