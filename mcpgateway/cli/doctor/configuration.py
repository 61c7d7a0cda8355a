"""Checks of the configuration: it can be read, and its servers' programs exist."""

from __future__ import annotations

import os
from collections.abc import Iterator
from shutil import which

from mcpgateway.cli.doctor.context import DoctorContext
from mcpgateway.cli.doctor.finding import Check, DoctorFinding, FindingKind, counted, fine, note, problem
from mcpgateway.config.model import ServerSpec
from mcpgateway.config.problems import Problem
from mcpgateway.config.reach_settings import Container, Daemon
from mcpgateway.hints import cli
from mcpgateway.system.launch.missing import remedy

NEEDS = {"npx": "node", "npm": "node", "pnpm": "node", "yarn": "node", "uvx": "uv"}
"""Programs that are of no use without another."""

BROKEN = problem(
    "configuration.error",
    "The configuration cannot be used.",
    f"{cli('config check')} says all that is wrong",
)
DOUBTFUL = note(
    "configuration.warning",
    "Something in the configuration is ignored, or not what it looks like.",
    "put it right in that file, or leave it: the gateway works as it is",
)


def configuration(world: DoctorContext) -> Iterator[DoctorFinding]:
    """Check that the configuration can be used."""
    found = world.examined
    for each in found.problems:
        kind = BROKEN if each.is_error else DOUBTFUL
        yield kind.found(str(each), advice=_advice(each), more=each.excerpt.splitlines())
    if found.settings is not None:
        yield fine("configuration", f"configuration: {counted(len(found.settings.servers), 'server')}")


def _advice(problem: Problem) -> str:
    """Return the remedy of a problem, where it differs from the usual one."""
    match problem.where.key.split("."):
        case ["servers", name, "env", variable] if not problem.is_error:
            return f"{cli('servers set-env {} {}', name, variable)} asks for its value, and sets it"
        case _:
            return ""


NO_PROGRAM = problem(
    "commands.missing",
    "The program of a server is not there, or not on the PATH that the server gets.",
    f"install it, or write its absolute path into the entry: {cli('servers edit NAME')}",
)
NO_HELPER = problem(
    "commands.helper",
    "A program that the server's own needs is not on the PATH: npx needs node, uvx needs uv.",
    "install it, or put its directory on the PATH of the server",
)
NO_ENGINE = problem(
    "commands.engine",
    "A server runs in a container, and there is no engine to run it.",
    "install docker or podman",
)
NO_DIRECTORY = problem(
    "commands.directory", "The directory that a server works in is not there.", "make it, or change cwd"
)


def commands(world: DoctorContext) -> Iterator[DoctorFinding]:
    """Check that each server's program exists."""
    checked = wrong = 0
    for server in _servers(world):
        if not server.enabled or not (server.reach is None or isinstance(server.reach, Daemon | Container)):
            continue
        checked += 1
        if server.name in world.needs:
            wrong += 1  # told by the gateway
            continue
        for each in _amiss(server):
            wrong += 1
            yield each
    if not wrong:
        yield fine("commands", f"the programs of {counted(checked, 'server')} are there")


def _servers(world: DoctorContext) -> tuple[ServerSpec, ...]:
    settings = world.examined.settings
    return settings.servers if settings is not None else ()


def _amiss(server: ServerSpec) -> Iterator[DoctorFinding]:
    path = server.env.get("PATH", os.defpath)
    if isinstance(server.reach, Container):
        engines = (server.reach.engine,) if server.reach.engine else ("docker", "podman")
        if not any(which(each, path=path) or which(each) for each in engines):
            yield NO_ENGINE.found(f"{server.name}: there is no {' or '.join(engines)} on the PATH")
        return
    if not server.command:
        return
    if server.cwd and not os.path.isdir(server.cwd):
        run = cli("servers set {} cwd=DIRECTORY", server.name)
        yield NO_DIRECTORY.found(
            f"{server.name}: {server.cwd} is no directory", advice="make it, or name another", run=run
        )
    program = server.command[0]
    where = program if os.path.dirname(program) == "" else os.path.join(server.cwd, program)
    if which(where, path=path) is None:
        yield _missing(NO_PROGRAM, f"{server.name}: the program {program} is not there", server, program)
        return
    needed = NEEDS.get(os.path.basename(program))
    if needed and which(needed, path=path) is None:
        says = f"{server.name}: {os.path.basename(program)} is there, but {needed} is not"
        yield _missing(NO_HELPER, says, server, needed)


def _missing(kind: FindingKind, says: str, server: ServerSpec, program: str) -> DoctorFinding:
    do, run = remedy(program, server.env, server.cwd, server.name, is_of_client=server.is_of_client)
    return kind.found(says, advice=do, run=run)


CHECKS = (
    Check("configuration", "the configuration", configuration, (BROKEN, DOUBTFUL)),
    Check("commands", "programs of servers", commands, (NO_PROGRAM, NO_HELPER, NO_ENGINE, NO_DIRECTORY)),
)
