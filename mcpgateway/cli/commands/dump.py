"""Commands that dump the state of the gateway, and end it."""

from __future__ import annotations

import time
from typing import Any

import click

from mcpgateway.cli.client import GatewayClient, GatewayLate, NoGateway
from mcpgateway.cli.console import DONE, FAILED, answer, emit, say, spinner
from mcpgateway.cli.context import Globals
from mcpgateway.cli.queries import ask, rows_table, text

POLL_S = 0.1
ASK_S = 2.0
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
    say(f"{'memory':<15} {memory / 2**20:.0f} MB")
    for name in ("descriptors", "connections", "slots", "sessions", "calls", "timers"):
        say(f"{name:<15} {(found.get(name) or {}).get('count', '?')}")
    slots = (found.get("slots") or {}).get("shown") or []
    if slots:
        say()
        rows_table(SLOTS, slots)
    say()
    say("mcpgateway debug dump --json has all of it", dim=True)


def shut_down(globals_: Globals, timeout: float, *, no_wait: bool) -> int:
    """Have the gateway end as SIGTERM does, on this machine or another; return the exit code.

    Clients' files are restored unless a gateway runs again within ten seconds, or is to be started by a service
    manager.
    """
    remote = GatewayClient(globals_)
    found = remote.fetch("/api/v1/shutdown", method="POST")
    has_ended = False
    if not no_wait:
        with spinner("running calls may end"):
            has_ended = _has_ended(remote, timeout)
    value = {**(found if isinstance(found, dict) else {}), "ended": has_ended}

    sentence = "Gateway has ended." if has_ended else "Gateway is ending."
    answer(globals_, value, lambda: say(sentence))
    return DONE if has_ended or no_wait else FAILED


def _has_ended(remote: GatewayClient, limit_s: float) -> bool:
    ends = time.monotonic() + limit_s
    while time.monotonic() < ends:
        try:
            remote.ask("/healthz", limit_s=ASK_S)
        except GatewayLate:
            pass  # it is shutting down
        except NoGateway:
            return True
        time.sleep(POLL_S)
    return False
