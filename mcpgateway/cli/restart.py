"""Restart the gateway of a home in its own process, without an interruption for its clients."""

from __future__ import annotations

import os
import signal
import sys
from contextlib import suppress
from time import monotonic, sleep
from typing import NamedTuple

from mcpgateway.cli.client import GatewayClient, NoGateway
from mcpgateway.cli.console import fail
from mcpgateway.cli.context import Globals
from mcpgateway.cli.start import ANSWER_S, Begun, StartLog, answers
from mcpgateway.cli.stop import send
from mcpgateway.hints import cli
from mcpgateway.shim import startup
from mcpgateway.system.process.procfs import command_of, is_alive, start_time
from mcpgateway.system.state import GatewayState, read_state

POLL_S = 0.02
LOOK_S = 0.5  # between two questions to the gateway itself, whose state file a full disk does not take


class _Account(NamedTuple):
    """The start of a gateway, and its sentence on the latest restart that it has refused; empty for none."""

    started_at: str = ""
    refusal: str = ""


def renew(globals_: Globals, pid: int, limit_s: float) -> Begun | None:
    """Have the gateway restart itself, and wait until it answers; None if it cannot, or has not in time.

    :raise Trouble: it has refused the restart, since it could not start again, and goes on.
    """
    home = globals_.home
    before = read_state(home)
    if before.pid != pid or not hasattr(signal, "SIGHUP") or not _can(before, pid):
        return None
    log, remote, began, born = StartLog(home), GatewayClient(globals_), monotonic(), start_time(pid)
    next_look, former = began + LOOK_S, _account(remote)
    with suppress(OSError):  # of a home that cannot be written
        startup.forget(home, startup.CRASHED)
    _keep_path(home)
    send(home, pid, signal.SIGHUP)
    while monotonic() - began < limit_s:
        now = read_state(home)
        is_new = now.pid == pid and now.started_at != before.started_at  # the clock may be set back
        # A program that goes on since the next one has failed counts anew.
        is_refused = now.refused > (0 if is_new else before.refused)
        if not is_new and former.started_at and monotonic() >= next_look:
            next_look, account = monotonic() + LOOK_S, _account(remote)
            is_new = account.started_at not in ("", former.started_at)
            is_refused = is_refused or account.refusal not in ("", former.refusal)
        if is_refused:
            _tell_errors(home)
            refusal = _account(remote).refusal or "the gateway goes on as it was: it could not start again"
            fail(refusal, f"its log tells more: {log.path}")
        if is_new and (answers(remote) or _account(remote).started_at):  # /healthz fails on a full disk
            return Begun(is_new=True, is_ours=True, took_s=monotonic() - began)
        if not is_alive(pid) or start_time(pid) != born:
            return None
        sleep(POLL_S)
    return None


def _account(remote: GatewayClient) -> _Account:
    """Return the gateway's own account of itself; an empty one where it does not answer."""
    with suppress(NoGateway):
        found = remote.ask("/health", limit_s=ANSWER_S).value
        if isinstance(found, dict):
            refusals = [
                str(each["message"]) for each in found.get("problems", ()) if each["code"] == "restart"
            ]
            return _Account(str(found.get("started_at", "")), *refusals[:1])
    return _Account()


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
