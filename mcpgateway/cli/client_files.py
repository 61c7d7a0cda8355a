"""Enrol clients' files when the gateway is started, and restore them when it is stopped."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from time import monotonic, sleep
from typing import TYPE_CHECKING, Any

from mcpgateway.cli.console import confirm, fail, is_terminal, say
from mcpgateway.cli.context import Globals
from mcpgateway.shim.startup import opener

if TYPE_CHECKING:
    from mcpgateway.clientfiles.report import Report

ADOPT = ASK, ALWAYS, NEVER = "ask", "always", "never"
NO_ADOPT = "--no-adopt"  # an option for the daemon
CONFIG_VARIABLE = "MCPGATEWAY_CONFIG"
NAMING = ("--config", "-c", "--source")
STOPPED = "stopped"
ASKED = "asked.json"
ASKED_LIMIT = 1_048_576
PATIENCE_S, AGAIN_S = 5.0, 0.5
LEDGER = "ledger"
HINT = "mcpgateway clients plan shows how, and apply enrols them"


def restore(globals_: Globals) -> Report | None:
    """Restore the clients' own entries until the gateway is started again; None if no file uses the gateway.

    A file that cannot be changed at the moment, perhaps because its client is writing it, is tried again for a while.
    The report has the files that could not be changed.
    """
    if not os.path.isdir(os.path.join(globals_.home, LEDGER)):
        return None
    from attrs import evolve

    given = _restored(globals_)
    ends = monotonic() + PATIENCE_S
    while given.errors and monotonic() < ends:
        sleep(AGAIN_S)
        again = _restored(globals_)
        given = evolve(again, files=(*(each for each in given.files if not each.error), *again.files))
    return given


def _restored(globals_: Globals) -> Report:
    from mcpgateway.clientfiles import enrolment
    from mcpgateway.clientfiles.report import FileReport, Report
    from mcpgateway.errors import ConfigError

    try:
        return enrolment.suspend(globals_.home, os.environ, STOPPED)
    except ConfigError as why:
        return Report((FileReport("", "", "", error=str(why)),))


def enrol(globals_: Globals, adopt: str | None, options: list[str]) -> list[Report]:
    """Enrol clients at the running gateway: those that were enrolled before, and others if that is wanted.

    :param adopt: the value on the command line, in place of the configuration's.
    :param options: the gateway's options, which may name a configuration of its own.
    :raise Trouble: the configuration or the ledger cannot be used.
    """
    from mcpgateway.errors import ConfigError

    environ = environment_of(options)
    try:
        if (adopt or _configured(globals_, environ)) == NEVER:
            return []
        reports = [_resumed(globals_, environ)]
        # Without a terminal, the gateway itself applies its configuration.
        if adopt == ALWAYS or _can_ask(globals_):
            reports.append(_others(globals_, environ, adopt))
    except ConfigError as why:
        fail(f"the gateway runs, but clients' files cannot be enrolled: {why}")
    return [each for each in reports if each is not None]


def _configured(globals_: Globals, environ: Mapping[str, str]) -> str:
    """Return ``clients.adopt`` of the configuration; `ASK` if no file was ever enrolled and there is no terminal."""
    if not os.path.isdir(os.path.join(globals_.home, LEDGER)) and not _can_ask(globals_):
        return ASK
    from mcpgateway.clientfiles.machine import Machine

    return Machine(globals_.home, environ).clients.adopt.value


def environment_of(options: list[str]) -> Mapping[str, str]:
    """Return the environment in which a gateway with these options finds its configuration."""
    for at, word in enumerate(options):
        name, equals, value = word.partition("=")
        if name in ("--config", "-c"):
            named = value if equals else "".join(options[at + 1 : at + 2])
            return {**os.environ, CONFIG_VARIABLE: named}
    return os.environ


def named_in(options: list[str]) -> frozenset[str]:
    """Return the files that the options of a gateway name, as real paths."""
    pairs = ((each.partition("="), options[at + 1 : at + 2]) for at, each in enumerate(options))
    found = [value if equals else "".join(rest) for (name, equals, value), rest in pairs if name in NAMING]
    return frozenset(os.path.realpath(each) for each in found if each)


def follow(globals_: Globals, options: list[str]) -> Report | None:
    """Change the port in enrolled entries to the gateway's present one; None if no file uses the gateway.

    :raise Trouble: the configuration or the ledger cannot be used.
    """
    environ = environment_of(options)
    if not os.path.isdir(os.path.join(globals_.home, LEDGER)) or NO_ADOPT in options:
        return None
    from mcpgateway.clientfiles import sync
    from mcpgateway.errors import ConfigError

    try:
        if _configured(globals_, environ) == NEVER:
            return None
        return sync.sync(globals_.home, environ)
    except ConfigError as why:
        fail(f"the gateway runs, but clients' files could not be brought up to date: {why}")


def _resumed(globals_: Globals, environ: Mapping[str, str]) -> Report | None:
    if not os.path.isdir(os.path.join(globals_.home, LEDGER)):
        return None
    from attrs import evolve

    from mcpgateway.clientfiles import enrolment, sync

    resumed = enrolment.resume(globals_.home, environ)
    followed = sync.sync(globals_.home, environ)
    return evolve(resumed, files=(*resumed.files, *(each for each in followed.files if each.renewed)))


def _others(globals_: Globals, environ: Mapping[str, str], adopt: str | None) -> Report | None:
    from mcpgateway.clientfiles import enrolment
    from mcpgateway.clientfiles.plan import EnrolRequest

    if adopt != ALWAYS:  # else the report has the files that cannot be enrolled, too
        found = enrolment.adoptable(globals_.home, environ)
        adopt = adopt or found.adopt
        if not found.servers or adopt == NEVER:
            return None
        if adopt != ALWAYS and not _is_agreed(globals_, found.servers):
            return None
    return enrolment.apply(enrolment.machine_of(globals_.home, environ), EnrolRequest())


def _can_ask(globals_: Globals) -> bool:
    return not globals_.as_json and is_terminal() and sys.stdin.isatty()


def _is_agreed(globals_: Globals, servers: Mapping[str, tuple[str, ...]]) -> bool:
    """Ask the user, once for the same entries; afterwards only print the command that enrols them."""
    known = _asked(globals_.home)
    new = {
        path: [each for each in titles if each not in known.get(path, ())] for path, titles in servers.items()
    }
    if not any(new.values()):
        say(f"{_counted(servers)} could use the gateway: {HINT}", dim=True)
        return False
    from mcpgateway.config.document import visible

    say(f"{_counted(servers)} could use the gateway:")
    for path, titles in servers.items():
        say(f"  {visible(path)}: {', '.join(map(visible, titles))}")
    agrees = confirm("Enrol them? (`mcpgateway stop` restores them)", default=False)
    if not agrees:
        _keep(globals_.home, servers)
        say(HINT, dim=True)
    return agrees


def _counted(servers: Mapping[str, tuple[str, ...]]) -> str:
    entries = sum(map(len, servers.values()))
    return f"{entries} {'entry' if entries == 1 else 'entries'} of clients' files"


def _asked(home: str) -> Mapping[str, Any]:
    try:
        with open(os.path.join(home, ASKED), encoding="utf-8", opener=opener) as file:
            found = json.loads(file.read(ASKED_LIMIT))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _keep(home: str, servers: Mapping[str, tuple[str, ...]]) -> None:
    from mcpgateway.errors import ConfigError
    from mcpgateway.system.home_files import keep

    text = json.dumps({path: list(titles) for path, titles in servers.items()})
    with suppress(ConfigError):  # the user is asked again
        keep(os.path.join(home, ASKED), text.encode(), lasting=False)


def tell(
    reports: list[Report], write: Callable[[Report], None] | None = None, *, is_whole: bool = False
) -> None:
    """Print for a person what was done with the files.

    :param is_whole: True to include the unchanged files, with the reasons.
    """
    from mcpgateway.cli.client_tables import tell_report
    from mcpgateway.clientfiles.report import together

    # A file that an earlier step has changed or left is not reported again as one without a need for a change.
    for each in together(reports):
        if each.is_changed or each.errors or each.rolled_back or (is_whole and each.files):
            (write or tell_report)(each)
        for warning in each.warnings:
            say(f"mcpgateway: {warning}", err=True, fg="yellow")
