"""End the gateway of a home, and clean up after one that was killed."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from time import monotonic, sleep

from mcpgateway.cli.client import GatewayClient, GatewayLate, NoGateway
from mcpgateway.cli.console import DONE, FAILED, answer, fail, say, spinner
from mcpgateway.cli.context import Globals
from mcpgateway.cli.gateway_process import gateway_pid
from mcpgateway.shim import startup
from mcpgateway.system import home_files
from mcpgateway.system.process.procfs import is_alive, start_time
from mcpgateway.system.state import file_of, read_state

STOP_S = 45.0  # running calls may take 30 s to end, and then servers are stopped
POLL_S = 0.02
KILLED_S = 10.0
ASK_S, ASK_AGAIN_S = 2.0, 0.1


def end(home: str, pid: int, timeout_s: float) -> bool:
    """End a gateway, in order if it ends in time; return false if it had to be killed.

    :raise Trouble: the process cannot be ended.
    """
    began = start_time(pid)
    send(home, pid, signal.SIGTERM)
    if _is_over(pid, began, timeout_s):
        return True
    # Its guardian ends the children that it leaves.
    send(home, pid, signal.SIGKILL)
    if not _is_over(pid, began, KILLED_S):
        fail(f"the gateway (pid {pid}) cannot be ended", "it waits for the kernel; look at its disk")
    return False


def send(home: str, pid: int, number: signal.Signals) -> None:
    """Send a signal to the gateway of a home, and to no other process.

    :raise Trouble: the gateway is another user's.
    """
    try:
        if not hasattr(os, "pidfd_open"):
            os.kill(pid, number)
            return
        # The pid could be reused by another process; the descriptor cannot.
        descriptor = os.pidfd_open(pid)
        try:
            if gateway_pid(home) in (pid, 0):
                signal.pidfd_send_signal(descriptor, number)
        finally:
            os.close(descriptor)
    except ProcessLookupError:
        return
    except PermissionError:
        fail(f"the gateway (pid {pid}) belongs to another user")


def _is_over(pid: int, began: int, limit_s: float) -> bool:
    ends = monotonic() + limit_s
    while is_alive(pid) and start_time(pid) == began:
        if monotonic() > ends:
            return False
        sleep(POLL_S)
    return True


def unwanted(home: str) -> None:
    """Record that the gateway is stopped: only a new client or the user starts it again."""
    try:
        if os.path.isdir(home):
            startup.write_stopped(home)
    except OSError as why:
        fail(f"{home}: cannot be written to: {why.strerror}")


def clear_up(home: str) -> list[str]:
    """Clean up after a gateway that did not end in order; return a sentence for each thing found."""
    found = []
    if home_files.names(f"{home}/children"):  # a gateway that ends in order removes its record
        from mcpgateway.system.process.orphans import (
            reap_leftovers,  # no other part of this program needs the gateway's code
        )

        found = [f"killed {each}" for each in reap_leftovers(home)]
    if read_state(home).exists and not gateway_pid(home):  # a supervisor may have started the next one
        with suppress(OSError):
            os.unlink(file_of(home))
            found.append(f"removed {file_of(home)}")
    return found


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
    ends = monotonic() + limit_s
    while monotonic() < ends:
        try:
            remote.ask("/healthz", limit_s=ASK_S)
        except GatewayLate:
            pass  # it is shutting down
        except NoGateway:
            return True
        sleep(ASK_AGAIN_S)
    return False
