"""Checks of the gateway of this home: it runs, answers, and owns its port."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from functools import partial
from typing import Any

from mcpgateway.cli.doctor.context import DoctorContext
from mcpgateway.cli.doctor.finding import Check, DoctorFinding, Repair, counted, fine, note, problem
from mcpgateway.cli.gateway_process import end_in_words
from mcpgateway.errors import ConfigError, without_name
from mcpgateway.hints import cli
from mcpgateway.policy.readiness import AUTHORIZATION
from mcpgateway.shim.startup import LOCK
from mcpgateway.system import state as running_state
from mcpgateway.units import MB, size

START = cli("start")

FREE = note("lock.free", "No gateway was started from this home, or it has ended.", START)
UNREADABLE = problem(
    "lock.unreadable",
    "The lock that keeps a second gateway away cannot be used.",
    "look at its owner and mode",
)
MUTE = problem(
    "lock.mute",
    "Something holds the gateway's lock, but no gateway answers.",
    f"{cli('restart')}; logs/gateway.log says what it is at",
)


def lock(world: DoctorContext) -> Iterator[DoctorFinding]:
    """Check that a gateway holds the lock of this home."""
    path = world.in_home(LOCK)
    try:
        is_held = _is_held(path)
    except FileNotFoundError:
        is_held = False
    except OSError as why:
        yield UNREADABLE.found(f"{path}: {why.strerror}")
        return
    if not is_held and world.pid:
        yield fine("lock", "the gateway runs; whoever started it needs no lock")
    elif not is_held:
        yield FREE.found("nobody holds the lock: no gateway was started from this home")
    elif not world.socket.status:
        yield MUTE.found(f"the lock is held, but nobody answers at the socket: {world.socket.why}")
    else:
        yield fine("lock", "the lock is held by the gateway that runs")


def _is_held(path: str) -> bool:
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


NONE = note("state.none", "There is no state.json: the gateway does not run.", START)
STALE = problem(
    "state.stale",
    "state.json is of a gateway that ended without clearing up.",
    f"{cli('start')} takes up where it left off; {cli('stop')} restores clients' files",
    undo="nothing is lost: a gateway that runs writes the file anew",
)
DAMAGED = problem(
    "state.damaged",
    "state.json is no state that a gateway has written.",
    f"{cli('start')} writes it anew; {cli('doctor --fix')} removes it",
    undo="nothing is lost: a gateway that runs writes the file anew",
)


CRASHED = note(
    "state.crashed",
    "The gateway ended without a stop within the last day, such as by a crash, and was started again.",
    f"{cli('logs --gateway')} shows why, and {cli('restart')} makes this note end",
)


def state(world: DoctorContext) -> Iterator[DoctorFinding]:
    """Check that the state file is that of a living gateway."""
    try:
        found = running_state.read(world.home)
    except ConfigError as why:
        yield DAMAGED.found(str(why), repair=_removal(world))
        return
    if said := end_in_words(world.home):
        yield CRASHED.found(said)
    if found is not None and running_state.is_alive(found):
        yield fine("state", f"the gateway runs (pid {found.pid}, port {found.port})")
    elif found is not None:
        yield STALE.found(f"state.json is stale: pid {found.pid} is dead", repair=_removal(world))
    elif world.pid:
        yield fine("state", f"the gateway runs (pid {world.pid}, port {world.port})")
    else:
        yield NONE.found("no state.json: the gateway does not run")


def _removal(world: DoctorContext) -> Repair | None:
    if _has_holder(world):
        return None
    path = running_state.file_of(world.home)
    return Repair(f"remove {path}", partial(_remove_state, world))


def _has_holder(world: DoctorContext) -> bool:
    try:
        return _is_held(world.in_home(LOCK))
    except FileNotFoundError:
        return False
    except OSError:
        return True  # unknown


def _remove_state(world: DoctorContext) -> None:
    # A gateway may have been started since the check.
    if not _has_holder(world):
        with suppress(FileNotFoundError):
            os.unlink(running_state.file_of(world.home))


AWAY = note("health.away", "No gateway answers at the port.", START)
REFUSED = problem(
    "health.refused",
    "The gateway answers, but not with its health.",
    f"{cli('--token-file FILE status')}; the token is in the gateway's home",
)
SICK = problem(
    "health.server",
    "A server is not well: it fails, is given up or cannot be reached.",
    f"{cli('why NAME')} lists the causes, and what helps",
)
NEEDS_LOGIN = problem(
    "health.login",
    "A remote server wants its user to sign in.",
    f"{cli('servers login NAME')} opens where that is done, and waits",
)
OTHER = problem(
    "health.other",
    "The gateway that answers at the port is not the one of this home.",
    f"{cli('--home HOME stop')} ends the other one; or choose another port: {cli('start --port N')}",
)
STOPPING = note("health.stopping", "The gateway is about to end.")
WORDS_ALONE = note(
    "health.search",
    "The semantic search is installed and does not work; gateway_search ranks tools by words alone.",
    f"{cli('logs --gateway')} shows more; a search tries it again after ten minutes",
)
WELL = frozenset(("running", "asleep", "stopped", "idle", "starting", "restarting"))


def health(world: DoctorContext) -> Iterator[DoctorFinding]:
    """Check the health of the gateway and each of its servers."""
    reply = world.socket if world.socket.status else world.health
    if not reply.status:
        yield AWAY.found(f"no gateway answers at port {world.port}: {reply.why}")
        return
    if reply.status != 200 or "status" not in reply.body:
        yield REFUSED.found(f"GET /health at port {world.port} was answered with status {reply.status}")
        return
    if other := _stranger(world):
        yield OTHER.found(f"port {world.port} is that of another gateway (pid {other})")
        if not world.socket.status:
            return
    body = reply.body
    if not world.health.status:
        yield MUTE_PORT.found(
            f"the gateway answers at its socket, and not at port {world.port}: {world.health.why}"
        )
    if body["status"] != "ok":
        yield STOPPING.found(f"the gateway says that it is {body['status']}")
    servers = [each for each in body.get("backends", ()) if isinstance(each, dict)]
    children = sum(len(each.get("pids", ())) for each in servers)
    memory = size(float(body.get("memory_mb") or 0) * MB)
    numbers = f"{counted(len(servers), 'server')}, {_children(children)}, {memory}"
    yield fine("health", f"the gateway answers: {numbers}", map(_server, servers))
    yield from _search(body.get("search") or {})
    for each in servers:
        if each.get("name") in world.needs:
            yield _in_need(world.needs[str(each["name"])])
        elif each.get("status") not in WELL | {"disabled"} or each.get("last_error"):
            yield from _sick(each)


def _stranger(world: DoctorContext) -> int:
    """Return the process of a gateway at the port that is none of this home; 0 if it is the right one."""
    reported = world.health.body.get("pid")
    pid = reported if isinstance(reported, int) else 0
    if world.pid:
        return pid if pid != world.pid else 0
    with suppress(ConfigError):
        found = running_state.read(world.home)
        if found is not None and found.pid == pid:
            return 0
    # A gateway that could write neither its state nor its socket still holds the lock.
    return 0 if _has_holder(world) else pid


def _search(found: Mapping[str, str]) -> Iterator[DoctorFinding]:
    if why := found.get("reason"):
        words = f"gateway_search ranks by words alone: {why}"
        yield WORDS_ALONE.found(words) if found["state"] == "failed" else fine("health.search", words)


def _in_need(need: Mapping[str, str]) -> DoctorFinding:
    kind = NEEDS_LOGIN if need["cause"] == AUTHORIZATION else SICK
    return kind.found(f"{need['name']}: {need['says']}", advice=need["do"], run=need["run"])


def _sick(server: dict[str, Any]) -> Iterator[DoctorFinding]:
    name, status = str(server.get("name")), server.get("status")
    if status == "needs login":
        yield NEEDS_LOGIN.found(f"{name} wants its user to sign in", advice=cli("servers login {}", name))
    elif status not in WELL:
        error = without_name(name, str(server.get("last_error") or ""))
        state = "does not work" if status == "error" else f"is {status}"
        says = f"{name} {state}" + (f": {error}" if error else "")
        yield SICK.found(says, advice=f"{cli('why {}', name)} lists the causes, and what helps")


def _children(number: int) -> str:
    return "1 child" if number == 1 else f"{number} children"


def _server(server: dict[str, Any]) -> str:
    mark = "◆" if server.get("share") in ("session", "isolated") else "○"
    pids = len(server.get("pids", ()))
    lives = _children(pids) if pids else str(server.get("status", "?"))
    return (
        f"{mark} {server.get('name')} ({server.get('share')}, {lives}, {server.get('requests', 0)} requests)"
    )


MUTE_PORT = problem(
    "health.port",
    "The gateway answers at its socket, but not at the port clients are led to.",
    f"look at gateway.bind_address and gateway.http_port, then {cli('restart')}",
)
FOREIGN = problem(
    "ports.foreign",
    "Another program listens at the gateway's port.",
    "end it, or choose another port: gateway.http_port",
)
CLOSED = note("ports.closed", "Nobody listens at the gateway's port.", START)


def ports(world: DoctorContext) -> Iterator[DoctorFinding]:
    """Check that the gateway's port is its own."""
    found = world.holders(world.port)
    ours = {world.pid, world.health.body.get("pid") if world.pid else 0} - {0}
    others = [each for each in found if each.pid not in ours]
    if world.health.status == 200 and "status" in world.health.body and _stranger(world):
        return  # `health` tells of the gateway there
    if not found and world.health.status:
        yield fine("ports", f"port {world.port} answers")
    elif not found:
        yield CLOSED.found(f"port {world.port} is free")
    elif others and not ours:
        yield FOREIGN.found(f"port {world.port} is held by {others[0]}")
    elif others and len(others) == len(found):
        yield FOREIGN.found(f"port {world.port} is held by {others[0]}, not by the gateway (pid {world.pid})")
    else:
        yield fine("ports", f"port {world.port} is the gateway's")


FIRST = (
    Check("lock", "the lock", lock, (FREE, UNREADABLE, MUTE)),
    Check("state", "the state on disk", state, (NONE, STALE, DAMAGED, CRASHED)),
    Check(
        "health",
        "what the gateway says",
        health,
        (AWAY, MUTE_PORT, REFUSED, OTHER, SICK, STOPPING, WORDS_ALONE),
    ),
)
CHECKS = (Check("ports", "the port", ports, (CLOSED, FOREIGN)),)
