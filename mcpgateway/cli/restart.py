"""Restart the gateway of a home in its own process, without an interruption for its clients."""

from __future__ import annotations

import os
import signal
import sys
from contextlib import suppress
from time import monotonic, sleep

from mcpgateway.cli.client import GatewayClient, NoGateway
from mcpgateway.cli.console import fail
from mcpgateway.cli.context import Globals
from mcpgateway.cli.start import Begun, StartLog, answers
from mcpgateway.cli.stop import send
from mcpgateway.hints import cli
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
    startup.forget(home, startup.CRASHED)
    _keep_path(home)
    send(home, pid, signal.SIGHUP)
    while monotonic() - began < limit_s:
        now = read_state(home)
        # A program that goes on since the next one has failed counts anew.
        if now.refused > (before.refused if now.started_at == before.started_at else 0):
            _tell_errors(home)
            fail(_refusal(remote), f"its log tells more: {log.path}")
        if now.pid == pid and now.started_at > before.started_at and answers(remote):
            return Begun(is_new=True, is_ours=True, took_s=monotonic() - began)
        if not is_alive(pid) or start_time(pid) != born:
            return None
        sleep(POLL_S)
    return None


def _refusal(remote: GatewayClient) -> str:
    """Return the sentence of the gateway that it has refused the restart."""
    with suppress(NoGateway):
        for each in remote.ask("/health").value.get("problems", ()):
            if each["code"] == "restart":
                return str(each["message"])
    return "the gateway goes on as it was: it could not start again"


def _keep_path(home: str) -> None:
    """Let the gateway go on with the PATH of this shell, where programs may have been installed since its start."""
    from mcpgateway.errors import ConfigError
    from mcpgateway.system.settings import keep_path  # not at the top: the reader takes a while to load

    with suppress(ConfigError):  # the gateway goes on with its own
        keep_path(home, os.environ)


def _tell_errors(home: str) -> None:
    """Fail with the error of the configuration, if it has one.

    :raise Trouble: it has one.
    """
    from mcpgateway.cli.local.broken import (  # not at the top: the reader takes a while to load
        errors,
        with_excerpt,
    )

    for each in errors(home):
        check = cli("config check {}", each.where.file)
        fail(
            f"the gateway goes on as it was, since its configuration cannot be used: {with_excerpt(str(each))}",
            f"{check} shows all that is wrong",
        )


def _can(state: GatewayState, pid: int) -> bool:
    if not state.renews:
        return False
    # A gateway that this program starts has to run this program's code, which may have been installed elsewhere since.
    words = command_of(pid)
    return f"--logger={startup.LOGGER}" not in words or words[:1] == [sys.executable]
