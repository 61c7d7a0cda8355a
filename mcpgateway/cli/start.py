"""Start the gateway of a home, once, and wait until it answers."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Sequence
from time import monotonic, sleep
from typing import NamedTuple, NoReturn

from mcpgateway.cli.client import GatewayClient, NoGateway
from mcpgateway.cli.console import fail, say
from mcpgateway.cli.context import Globals
from mcpgateway.cli.gateway_process import gateway_pid
from mcpgateway.hints import cli
from mcpgateway.shim import startup
from mcpgateway.system.process.procfs import command_of
from mcpgateway.units import duration

POLL_S = 0.01
PATIENCE_S = 60.0  # unless the user says otherwise
LOOK_S = 0.1  # between two checks of the lock, each of which holds it for a moment
ANSWER_S = 5.0
# Errors of the home or the disk as a whole, rather than of one file.
OUTSIDE = (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOENT)
LINES, TAIL_BYTES = 10, 65_536
PROGRAM_CHARACTERS = 80  # of a program's name in messages
WRONG = re.compile(r"(/.+?), line \d+")
"""An error of a configuration file."""

TAKEN = re.compile(r"cannot listen on (\S+), port (\d+): it is in use by another program")


class Begun(NamedTuple):
    """A gateway that answers.

    :ivar is_new: True if it has been started during this command, also by another program.
    :ivar is_ours: True if this command has started it.
    """

    is_new: bool
    is_ours: bool
    took_s: float


def begin(globals_: Globals, options: list[str], wait_s: float) -> Begun:
    """Start the gateway unless it runs, and wait until it answers.

    :raise Trouble: the gateway could not be started, or does not answer.
    """
    began = monotonic()
    remote = GatewayClient(globals_)
    if answers(remote):
        return Begun(is_new=False, is_ours=False, took_s=0.0)
    log = StartLog(globals_.home)
    starter = startup.Starter(globals_.home)
    is_ours = False
    next_look = began
    while not answers(remote):
        now = monotonic()
        if now - began > wait_s and next_look > began:
            _give_up(globals_, wait_s)
        if now >= next_look:
            next_look = now + LOOK_S
            # Of two commands at the same time, one starts the gateway; if that fails, the other one tries.
            if is_ours and _is_gone(globals_.home):
                _failed(log)
            is_ours = is_ours or _started(starter, globals_.home, options)
        sleep(POLL_S)
    return Begun(is_new=True, is_ours=is_ours, took_s=monotonic() - began)


def answers(remote: GatewayClient) -> bool:
    """Return whether a gateway answers at the socket of the home.

    :raise Trouble: the gateway refuses connections for want of descriptors.
    """
    try:
        answer = remote.ask("/healthz", limit_s=ANSWER_S)
    except NoGateway:
        return False
    if answer.status == 503:
        from mcpgateway.system.process.processes import RAISE_IT, TOO_MANY  # imports much of the gateway

        if TOO_MANY in str(answer.value):
            fail(TOO_MANY, RAISE_IT)
    return answer.status in (200, 401, 403)


def _started(starter: startup.Starter, home: str, options: list[str]) -> bool:
    try:
        return starter.start_wanted(options)
    except OSError as why:
        unusable(home, why)


def unusable(home: str, why: OSError) -> NoReturn:
    """End the command with the fault of the home, or of a file in it that the gateway needs."""
    if why.errno in OUTSIDE:
        fail(
            f"{home}: cannot be used as the gateway's home: {why.strerror}",
            "choose another with --home, or make it writable for you",
        )
    reason = "is a symbolic link" if why.errno == errno.ELOOP else why.strerror
    fail(f"{why.filename or home}: {reason}", "take it away: the gateway makes its own")


def _is_gone(home: str) -> bool:
    lock = startup.open_lock(home)
    try:
        return startup.take(lock)
    finally:
        os.close(lock)


def _give_up(globals_: Globals, wait_s: float) -> NoReturn:
    pid = gateway_pid(globals_.home)
    who = f"the gateway (pid {pid})" if pid else "the gateway"
    fail(
        f"{who} does not answer after {duration(wait_s)}",
        f"{cli('status')} says whether it does by now, {cli('stop')} ends it;"
        f" its log is {StartLog(globals_.home).path}",
    )


def _failed(log: StartLog) -> NoReturn:
    lines = log.lines()
    error = next((each for each in reversed(lines) if each.startswith("mcpgateway: ")), "")
    for line in lines:
        if line != error:
            say(f"  {line}", err=True, dim=True)
    taken = TAKEN.search(error)
    if taken:
        fail(_in_use(taken[1], int(taken[2])), f"stop that, or choose another port: {cli('start --port N')}")
    says = error.removeprefix("mcpgateway: ")
    wrong = WRONG.match(says)
    check = f"{cli('config check {}', wrong[1])} shows all that is wrong; " if wrong else ""
    if wrong:
        from mcpgateway.cli.local.broken import (
            with_excerpt,  # not at the top: the reader takes a while to load
        )

        says = with_excerpt(says)
    fail(says or "the gateway ended while it was starting", f"{check}its log is {log.path}")


def _in_use(address: str, port: int) -> str:
    from mcpgateway.system.process.socket_owners import port_holders

    pid = next((each.pid for each in port_holders(port)), 0)
    who = described(pid) if pid else "another program"
    return f"cannot listen on {address}, port {port}: it is in use by {who}"


def described(pid: int) -> str:
    """Return the name of a process for people: its pid, and its program or its gateway's home."""
    from mcpgateway.system.gateway_health import home_of_process

    if home := home_of_process(pid):
        return f"pid {pid}, the gateway of {home}"
    words = command_of(pid)
    # Without the arguments, which may contain secrets.
    name = os.path.basename(words[0])[:PROGRAM_CHARACTERS] if words else ""
    return f"pid {pid} ({name})" if name else f"pid {pid}"


class StartLog:
    """The part of the gateway's log after the start of this command.

    :ivar path: path of the log.
    """

    def __init__(self, home: str) -> None:
        self.path = f"{home}/logs/{startup.LOG}"
        try:
            self._at = os.stat(self.path).st_size
        except OSError:
            self._at = 0

    def lines(self) -> Sequence[str]:
        """Return the last lines."""
        try:
            with open(self.path, "rb", opener=startup.opener) as file:
                size = file.seek(0, os.SEEK_END)
                at = self._at if self._at <= size else 0  # the log was rotated
                file.seek(max(at, size - TAIL_BYTES))
                text = file.read().decode(errors="replace")
        except OSError:
            return []
        return [line for line in text.splitlines() if line.strip()][-LINES:]
