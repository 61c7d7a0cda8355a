"""Restart the gateway of a home in its own process, without an interruption for its clients."""

from __future__ import annotations

import signal
import sys
from time import monotonic, sleep

from mcpgateway.cli.client import GatewayClient
from mcpgateway.cli.console import fail
from mcpgateway.cli.context import Globals
from mcpgateway.cli.start import Begun, StartLog, answers
from mcpgateway.cli.stop import send
from mcpgateway.shim import startup
from mcpgateway.system.process.procfs import command_of, is_alive, start_time
from mcpgateway.system.state import GatewayState, read_state

POLL_S = 0.02


def renew(globals_: Globals, pid: int, limit_s: float) -> Begun | None:
    """Have the gateway restart itself, and wait until it answers; None if it cannot, or has not in time.

    :raise Trouble: it has refused the restart, since it could not start again, and goes on.
    """
    home = globals_.home
    before = read_state(home)
    if before.pid != pid or not hasattr(signal, "SIGHUP") or not _can(before, pid):
        return None
    log, remote, began, born = StartLog(home), GatewayClient(globals_), monotonic(), start_time(pid)
    send(home, pid, signal.SIGHUP)
    while monotonic() - began < limit_s:
        now = read_state(home)
        if now.refused > before.refused and now.started_at == before.started_at:
            fail(
                "the gateway goes on as it was: it could not start again with its configuration as it is now",
                f"mcpgateway servers test tells what is wrong; so does its log, {log.path}",
            )
        if now.pid == pid and now.started_at > before.started_at and answers(remote):
            return Begun(is_new=True, is_ours=True, took_s=monotonic() - began)
        if not is_alive(pid) or start_time(pid) != born:
            return None
        sleep(POLL_S)
    return None


def _can(state: GatewayState, pid: int) -> bool:
    if not state.renews:
        return False
    # A gateway that this program starts has to run this program's code, which may have been installed elsewhere since.
    words = command_of(pid)
    return f"--logger={startup.LOGGER}" not in words or words[:1] == [sys.executable]
