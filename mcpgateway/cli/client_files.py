"""Enrol clients' files when the gateway is started, and restore them when it is stopped."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Container, Mapping, Sequence
from contextlib import suppress
from time import monotonic, sleep
from typing import TYPE_CHECKING, Any

from mcpgateway.cli.console import can_ask, choose, fail, say
from mcpgateway.cli.context import Globals
from mcpgateway.cli.files import files_at_work, working_directory
from mcpgateway.cli.pager import paged
from mcpgateway.hints import cli
from mcpgateway.shim.startup import opener

if TYPE_CHECKING:
    from mcpgateway.clientfiles.enrolment import Enrollable
    from mcpgateway.clientfiles.machine import Machine
    from mcpgateway.clientfiles.plan import UntouchedEntry
    from mcpgateway.clientfiles.report import FileReport, Report

ADOPT = ASK, ALWAYS, NEVER = "ask", "always", "never"
NO_ADOPT = "--no-adopt"  # an option for the daemon
CONFIG_VARIABLE = "MCPGATEWAY_CONFIG"
NAMING = ("--config", "-c", "--source")
STOPPED = "stopped"
YES, SERVICE, NO = "y", "s", "n"  # answers
DIFF, HELP = "d", "?"
ASKED = "asked.json"
ASKED_LIMIT = 1_048_576
PATIENCE_S, AGAIN_S = 5.0, 0.5
LEDGER = "ledger"
HINT = f"{cli('clients plan')} shows how, and {cli('clients apply')} enrols them"


def restore(globals_: Globals, *, is_all_or_none: bool = False) -> Report | None:
    """Restore the clients' own entries until the gateway is started again; None if no file uses the gateway.

    A file that cannot be changed at the moment, perhaps because its client is writing it, is tried again for a while.
    The report has the files that could not be changed.

    :param is_all_or_none: no file is restored where one cannot be.
    """
    if not os.path.isdir(os.path.join(globals_.home, LEDGER)):
        return None
    from attrs import evolve

    with files_at_work("restoring"):
        given = _restored(globals_, is_all_or_none=is_all_or_none)
        ends = monotonic() + PATIENCE_S
        while given.errors and monotonic() < ends:
            sleep(AGAIN_S)
            again = _restored(globals_, is_all_or_none=is_all_or_none)
            given = evolve(again, files=(*(each for each in given.files if not each.error), *again.files))
    return given


def _restored(globals_: Globals, *, is_all_or_none: bool) -> Report:
    from mcpgateway.clientfiles import enrolment
    from mcpgateway.clientfiles.report import FileReport, Report
    from mcpgateway.errors import ConfigError

    try:
        return enrolment.suspend(globals_.home, os.environ, STOPPED, is_all_or_none=is_all_or_none)
    except ConfigError as why:
        return Report((FileReport("", "", "", error=str(why)),))


class StartEnrolment:
    """The outcome of a start for clients' files.

    :ivar reports: the changes of files, step by step.
    :ivar lacks_service: the user wants the service, and it cannot be installed.
    """

    def __init__(self) -> None:
        self.reports: list[Report] = []
        self.lacks_service = False


def enrol(
    globals_: Globals,
    adopt: str | None,
    options: list[str],
    install: Callable[[], bool],
    *,
    is_agreed: bool = False,
) -> StartEnrolment:
    """Enrol clients at the running gateway: those that were enrolled before, and others if that is wanted.

    :param adopt: the value on the command line, in place of the configuration's.
    :param options: the gateway's options, which may name a configuration of its own.
    :param install: installs the service, and returns whether it is installed.
    :param is_agreed: the user agrees to what would be asked.
    :raise Trouble: the configuration or the ledger cannot be used.
    """
    from mcpgateway.errors import ConfigError

    environ = environment_of(options)
    try:
        if (adopt or _configured(globals_, environ, is_agreed=is_agreed)) == NEVER:
            return StartEnrolment()
        done = StartEnrolment()
        resumed = _resumed(globals_, environ)
        done.reports += [resumed] if resumed is not None else []
        # Without a terminal, the gateway itself applies its configuration.
        if adopt == ALWAYS:
            done.reports.append(_applied(globals_, environ))
        elif is_agreed:
            done.reports.append(_applied(globals_, environ, working_directory()))
        elif can_ask(globals_):
            _offer(globals_, environ, adopt, done, None if options else install)
        elif not globals_.as_json:
            _tell_unasked(globals_, environ, adopt)
    except ConfigError as why:
        fail(f"the gateway runs, but clients' files cannot be enrolled: {why}")
    return done


def _configured(globals_: Globals, environ: Mapping[str, str], *, is_agreed: bool = False) -> str:
    """Return ``clients.adopt`` of the configuration; `ASK` if no file was ever enrolled and nobody answers."""
    has_answer = is_agreed or can_ask(globals_)
    if not os.path.isdir(os.path.join(globals_.home, LEDGER)) and not has_answer:
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


def follow(globals_: Globals, options: list[str], *, resumes: bool = False) -> Report | None:
    """Change the port in enrolled entries to the gateway's present one; None if no file uses the gateway.

    :param resumes: files that were restored when the gateway was stopped are enrolled again.
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
        return _resumed(globals_, environ) if resumes else sync.sync(globals_.home, environ)
    except ConfigError as why:
        fail(f"the gateway runs, but clients' files could not be brought up to date: {why}")


def _resumed(globals_: Globals, environ: Mapping[str, str]) -> Report | None:
    if not os.path.isdir(os.path.join(globals_.home, LEDGER)):
        return None
    from attrs import evolve

    from mcpgateway.clientfiles import enrolment, sync

    with files_at_work("enrolling"):
        resumed = enrolment.resume(globals_.home, environ)
        followed = sync.sync(globals_.home, environ)
    return evolve(resumed, files=(*resumed.files, *(each for each in followed.files if each.renewed)))


def _applied(
    globals_: Globals, environ: Mapping[str, str], around: str = "", *, lacks_service: bool = False
) -> Report:
    from mcpgateway.clientfiles import enrolment
    from mcpgateway.clientfiles.files import FileChoice
    from mcpgateway.clientfiles.machine import FAIL_OPEN
    from mcpgateway.clientfiles.plan import EnrolRequest
    from mcpgateway.system.service_files import has_service

    machine = enrolment.machine_of(globals_.home, environ)
    # Files of a service that does not work, such as one that cannot be enabled, do not start a gateway.
    mode = FAIL_OPEN if lacks_service and has_service(machine.home, machine.environ) else ""
    with files_at_work("enrolling"):
        return enrolment.apply(machine, EnrolRequest(FileChoice(around=around), mode=mode))


def _offer(
    globals_: Globals,
    environ: Mapping[str, str],
    adopt: str | None,
    done: StartEnrolment,
    install: Callable[[], bool] | None,
) -> None:
    """Enrol the files of the user and of the project around, if the user agrees or has agreed by the configuration.

    :param install: installs the service; None where the service would not run the gateway as it runs now.
    """
    from mcpgateway.clientfiles import enrolment

    around = working_directory()
    found = enrolment.adoptable(globals_.home, environ, around)
    adopt = adopt or found.adopt
    if adopt == NEVER:
        return
    if not found.servers:
        if not found.suspended and not os.path.isdir(os.path.join(globals_.home, LEDGER)):
            from mcpgateway.cli.client_tables import tell_untouched

            tell_untouched(found.left)
        return
    if adopt == ALWAYS:
        # A setting approves no project's file, which others may have written.
        done.reports.append(_applied(globals_, environ))
        return
    with_service = install is not None and _can_install_service(globals_.home)
    chosen = _agreement(globals_, found, with_service=with_service)
    if chosen == SERVICE and install is not None:
        # Before any file is enrolled: entries have the gateway's URL where a service starts it.
        done.lacks_service = not install()
    if chosen != NO:
        report = _applied(globals_, environ, around, lacks_service=done.lacks_service)
        done.reports.append(_without_told(report, found.left))


def _without_told(report: Report, told: Mapping[str, Sequence[UntouchedEntry]]) -> Report:
    """Return a report without the entries that stay as they are, as its user has been told before the question."""
    from attrs import evolve

    def news(each: FileReport) -> tuple[UntouchedEntry, ...]:
        return tuple(one for one in each.left if one not in told.get(each.path, ()))

    return evolve(report, files=tuple(evolve(each, left=news(each)) for each in report.files))


def _can_install_service(home: str) -> bool:
    """True if a service manager answers, and has no service of this user yet."""
    from mcpgateway.cli.service.managers import find
    from mcpgateway.cli.service.service import Service
    from mcpgateway.errors import ConfigError
    from mcpgateway.shim import locations

    environ = locations.environment()
    try:
        find(environ, sys.platform)
        return not Service(home, environ).status().is_installed
    except ConfigError:
        return False


def _has_files(machine: Machine) -> bool:
    from mcpgateway.clientfiles.plan import EnrolRequest, plan

    return any(each.before for each in plan(machine, EnrolRequest()))


def _tell_unasked(globals_: Globals, environ: Mapping[str, str], adopt: str | None) -> None:
    from mcpgateway.clientfiles.machine import Machine

    machine = Machine(globals_.home, environ)
    if (adopt or machine.clients.adopt.value) == ASK and not machine.records.files and _has_files(machine):
        say(
            "No client's file was changed, since there is no terminal to ask at:"
            f" {cli('clients plan')} shows the changes, and {cli('clients apply --yes')} makes them, as"
            f" {cli('start --yes')} does.",
            dim=True,
        )


def tell_unreadable(home: str, told: Container[str]) -> None:
    """Print the clients' files that cannot be read.

    :param told: the real paths of those that have been told of.
    """
    from mcpgateway.cli.local.broken import with_excerpt
    from mcpgateway.observe.unreadable_files import UnreadableFiles

    for each in UnreadableFiles(home, os.environ)():
        if os.path.realpath(each.path) not in told:
            first, *excerpt = with_excerpt(each.trouble).splitlines()
            say(f"mcpgateway: {first}", err=True, fg="yellow")
            for line in excerpt:
                say(f"  {line}", err=True, dim=True)
            say(
                f"  {each.client}'s servers are left as they are; {cli('doctor')} says more.",
                err=True,
                dim=True,
            )


def _agreement(globals_: Globals, found: Enrollable, *, with_service: bool) -> str:
    """Ask the user, once for the same entries; afterwards only print the command that enrols them."""
    servers = found.servers
    known = _asked(globals_.home)
    new = {
        path: [each for each in titles if each not in known.get(path, ())] for path, titles in servers.items()
    }
    if not any(new.values()):
        say(f"{_counted(servers)} could use the gateway: {HINT}", dim=True)
        return NO
    from mcpgateway.cli.client_tables import tell_changes, tell_differences, tell_left_behind, tell_untouched
    from mcpgateway.system.service_files import has_service

    say(f"{_counted(servers)} could use the gateway; `{cli('stop')}` restores each file to the byte.")
    tell_changes(found.plans, has_service=has_service(globals_.home, os.environ))
    tell_left_behind(found.behind)
    tell_untouched(found.left)
    for each in found.read_only:
        say(each, fg="yellow")
    say(
        "An enrolled entry leads to the gateway, which runs its server for all clients. d shows the changed lines."
    )
    if with_service:
        say("s installs the service, so that the gateway is there after a reboot, and enrols them by URL.")
    letters = f"{YES}{SERVICE}{NO}" if with_service else f"{YES}{NO}"
    while (chosen := choose("Enrol them?", letters, DIFF + HELP)) in (DIFF, HELP):
        if chosen == DIFF:
            with paged(is_on=globals_.is_paged):
                tell_differences(found.plans)
        else:
            _explain(with_service=with_service)
    if chosen == NO:
        _keep(globals_.home, servers)
        say(HINT, dim=True)
    return chosen


def _explain(*, with_service: bool) -> None:
    """Print what each answer does."""
    say("y enrols the files: their servers are then run once, by the gateway, for all clients.")
    if with_service:
        say("s installs the service, too, which starts the gateway at each login.")
    say(
        f"n leaves the files as they are; {cli('clients apply')} enrols them later, and"
        f" {cli('clients apply CLIENT')} those of one client."
    )
    say("d shows the changed lines of each file, without secrets.")


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
