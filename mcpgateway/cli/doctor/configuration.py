"""Checks of the configuration: it can be read, and its servers' programs exist."""

from __future__ import annotations

import os
from collections.abc import Iterator
from shutil import which

from mcpgateway.cli.doctor.context import DoctorContext
from mcpgateway.cli.doctor.finding import Check, DoctorFinding, counted, fine, note, problem
from mcpgateway.config.model import ServerSpec
from mcpgateway.config.reach_settings import Container, Daemon

NEEDS = {"npx": "node", "npm": "node", "pnpm": "node", "yarn": "node", "uvx": "uv"}
"""Programs that are of no use without another."""

BROKEN = problem(
    "configuration.error",
    "The configuration cannot be used.",
    "mcpgateway config check says all that is wrong",
)
DOUBTFUL = note(
    "configuration.warning",
    "Something in the configuration is ignored, or not what it looks like.",
    "mcpgateway config check",
)


def configuration(world: DoctorContext) -> Iterator[DoctorFinding]:
    """Check that the configuration can be used."""
    found = world.examined
    for each in found.problems:
        kind = BROKEN if each.is_error else DOUBTFUL
        yield kind.found(str(each))
    if found.settings is not None:
        yield fine("configuration", f"configuration: {counted(len(found.settings.servers), 'server')}")


NO_PROGRAM = problem(
    "commands.missing",
    "The program of a server is not there, or not on the PATH that the server gets.",
    "install it, or write its absolute path; mcpgateway config show --server NAME shows the PATH",
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
        yield NO_DIRECTORY.found(f"{server.name}: {server.cwd} is no directory")
    program = server.command[0]
    where = program if os.path.dirname(program) == "" else os.path.join(server.cwd, program)
    if which(where, path=path) is None:
        yield NO_PROGRAM.found(f"{server.name}: the program {program} is not found")
        return
    needed = NEEDS.get(os.path.basename(program))
    if needed and which(needed, path=path) is None:
        yield NO_HELPER.found(f"{server.name}: {os.path.basename(program)} is there, but {needed} is not")


CHECKS = (
    Check("configuration", "the configuration", configuration, (BROKEN, DOUBTFUL)),
    Check("commands", "programs of servers", commands, (NO_PROGRAM, NO_HELPER, NO_ENGINE, NO_DIRECTORY)),
)
