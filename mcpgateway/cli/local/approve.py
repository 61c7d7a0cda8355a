"""``config approve``: approve the servers of a repository's own file, after showing their commands."""

from __future__ import annotations

import os
import shlex
import sys
import time
from collections.abc import Iterator, Mapping

from mcpgateway.cli.console import shortened
from mcpgateway.clientfiles.machine import Machine
from mcpgateway.clientfiles.reader import read_repository
from mcpgateway.config.document import visible
from mcpgateway.config.entry import Entry
from mcpgateway.config.environment import code_loading
from mcpgateway.config.merge import depends_on_place
from mcpgateway.config.names import slug
from mcpgateway.errors import ConfigError
from mcpgateway.hints import cli
from mcpgateway.system import approvals, files, paths, printing
from mcpgateway.system.approvals import REPOSITORY_FILE, Repository
from mcpgateway.system.settings import LoadOptions


def approve(
    options: LoadOptions, environ: Mapping[str, str], named: str, *, digest: str | None, is_sure: bool
) -> int:
    """Show the commands of a file, and approve the file as it is; return 1 if its user refuses.

    :param digest: the expected digest of the file.
    :param is_sure: approve without asking.
    :raise ConfigError: the file needs no approval, has another digest, or the user cannot be asked.
    """
    home = paths.gateway_home(environ, options.home or None)
    repository = _read(_target(named, environ), home)
    path = visible(shortened(repository.path))
    if digest is not None and digest.lower() != repository.digest:
        raise ConfigError(f"{path}: has the digest {repository.digest}; it is not the file that was meant")
    printing.put(*_would_run(repository))
    if not is_sure and not _is_agreed():
        printing.put("nothing is approved")
        return 1
    files.make_home(home)
    approvals.approve(home, repository.path, repository.digest, time.time())
    printing.put(f"{path}: approved, until it changes", *_next(Machine(home, environ), repository))
    return 0


def refuse(options: LoadOptions, environ: Mapping[str, str], named: str) -> int:
    """Refuse a file as it is, for which nothing asks until it changes.

    :raise ConfigError: the file needs no approval.
    """
    home = paths.gateway_home(environ, options.home or None)
    repository = _read(_target(named, environ), home)
    files.make_home(home)
    approvals.refuse(home, repository.path, repository.digest, time.time())
    printing.put(f"{visible(shortened(repository.path))}: refused, until it changes")
    return 0


def revoke(options: LoadOptions, environ: Mapping[str, str], named: str) -> int:
    """Withdraw the approval or the refusal of a file, which may have been removed.

    :raise ConfigError: the file was neither approved nor refused.
    """
    path = _target(named, environ)
    home = paths.gateway_home(environ, options.home or None)
    files.make_home(home)
    if not approvals.revoke(home, path):
        raise ConfigError(f"{visible(path)}: is not approved")
    printing.put(f"{visible(shortened(path))}: no longer approved; what runs goes on until its sessions end")
    return 0


def _target(named: str, environ: Mapping[str, str]) -> str:
    path = paths.absolute(named, environ)
    found = approvals.target(path)
    if found.rpartition("/")[2] == REPOSITORY_FILE:
        return found
    if os.path.exists(path):
        raise ConfigError(
            f"{visible(path)}: found another file; expected a repository, or its {REPOSITORY_FILE}"
        )
    # A repository that was removed can still be named.
    return approvals.target(f"{path.rstrip('/')}/{REPOSITORY_FILE}")


def _read(path: str, home: str) -> Repository:
    try:
        found = read_repository(path, home)
    except FileNotFoundError as why:
        raise ConfigError(f"{visible(path)}: there is no such file") from why
    if not found.entries and Machine(home, os.environ).record_of(path) is not None:
        raise ConfigError(
            f"{visible(path)}: its entries use the gateway, and what they lead to is approved already"
        )
    if not found.entries:
        raise ConfigError(f"{visible(path)}: defines no server that would run")
    return found


def _would_run(repository: Repository) -> Iterator[str]:
    yield f"{visible(shortened(repository.path))} (SHA-256 {repository.digest}) would run:"
    for entry in repository.entries:
        yield f"  {visible(entry.title)}: {visible(shlex.join(entry.argv))}"
        yield from _circumstances(entry)


def _next(machine: Machine, repository: Repository) -> Iterator[str]:
    """Iterate over sentences: where the clients of a repository find its servers, and what is left to do."""
    root = os.path.dirname(repository.path)
    shown = visible(shortened(root))
    if machine.answer is None:
        yield f"No gateway runs: {cli('start')} serves them to the clients that work in {shown}."
        return
    try:
        known = machine.settings.blueprints
    except ConfigError:
        known = {}
    yield f"The clients that work in {shown} find them at {machine.url('')}, and each by itself:"
    for name, entry in repository.named(root, known).items():
        # An entry that equals one of all clients leads to the server of that one, once its file is enrolled.
        everybodys = known.get(slug(entry.title))
        is_same = everybodys is not None and _is_same(entry, everybodys.entry)
        yield f"  {visible(entry.title)}: {machine.url(slug(entry.title) if is_same else name)}"
    yield f"{cli('clients apply --project {}', root)} leads the entries of the file there."


def _is_same(entry: Entry, other: Entry) -> bool:
    here, there = ((each.argv, dict(each.env), each.cwd) for each in (entry, other))
    return not other.origin.project and not depends_on_place(entry) and here == there


def _circumstances(entry: Entry) -> Iterator[str]:
    if entry.cwd:
        yield f"    in {visible(entry.cwd)}"
    if entry.env:
        yield f"    with {', '.join(visible(each) for each in sorted(entry.env))} set"
    risky = code_loading(entry.env)
    if risky:
        yield f"    beware: {', '.join(visible(each) for each in risky)} can make it run other code"


def _is_agreed() -> bool:
    if not sys.stdin.isatty():
        raise ConfigError("nothing is approved: there is no terminal to ask at; --yes approves it unasked")
    return printing.ask("Approve? [y/N]:").lower() in ("y", "yes")
