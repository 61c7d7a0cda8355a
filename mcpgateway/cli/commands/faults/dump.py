"""The command that dumps the state of the gateway."""

from __future__ import annotations

from typing import Any

import click

from mcpgateway.cli.console import emit, say
from mcpgateway.cli.context import Globals
from mcpgateway.cli.queries import ask, rows_table, text
from mcpgateway.hints import cli
from mcpgateway.units import size

DUMP_S = 30.0
SLOTS = {"SLOT": text("server", "-")} | {
    key.upper(): text(key, "-") for key in ("era", "state", "pid", "sessions", "load", "starts")
}


@click.command()
@click.pass_obj
def dump(globals_: Globals) -> None:
    """Print the whole state of the gateway, without secrets, to find or report a fault.

    Slots, sessions, calls, timers, connections, descriptors and memory; on a terminal only how many.
    """
    found = ask(globals_, "/api/v1/debug/dump", limit_s=DUMP_S)
    if globals_.as_json or not isinstance(found, dict):
        emit(found)
        return
    _tell(found)


def _tell(found: dict[str, Any]) -> None:
    gateway = found.get("gateway") or {}
    for name in ("version", "python", "reactor", "pid", "uptime_seconds", "is_open"):
        say(f"{name:<15} {gateway.get(name, '')}")
    memory = (found.get("memory") or {}).get("resident_bytes") or 0
    say(f"{'memory':<15} {size(memory)}")
    for name in ("descriptors", "connections", "slots", "sessions", "calls", "timers"):
        say(f"{name:<15} {(found.get(name) or {}).get('count', '?')}")
    slots = (found.get("slots") or {}).get("shown") or []
    if slots:
        say()
        rows_table(SLOTS, slots)
    say()
    say(f"{cli('debug dump --json')} has all of it", dim=True)
