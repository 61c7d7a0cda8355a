"""Remove all that the gateway has left on this machine, except for its program."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING

from mcpgateway.cli.console import answer, can_ask, confirm, fail, say, shortened, spinner
from mcpgateway.cli.context import Globals
from mcpgateway.cli.files import careful, files_at_work, machine_of
from mcpgateway.cli.gateway_process import gateway_pid
from mcpgateway.cli.installation import installation, where
from mcpgateway.cli.stop import STOP_S, clear_up, end, unwanted
from mcpgateway.hints import cli
from mcpgateway.shim import locations

if TYPE_CHECKING:
    from mcpgateway.cli.service.service import Removed
    from mcpgateway.clientfiles.report import Report

QUESTION = "Remove {home}, too, with the configuration, tokens and logs of the gateway?"
RESTORE = "Restore clients' files, remove the service, and stop the gateway?"
AS_BEFORE = "Clients' files are as they were, so nothing in the gateway's home is needed for them any more."
PROGRAM = "The program itself is still installed; this removes it: {}"
REMOVER = "MCPGATEWAY_REMOVER"  # set by installers that remove the program next
STAYS = "The program itself stays; it was installed {}."


def uninstall_all(globals_: Globals, *, yes: bool, keep_home: bool) -> None:
    """Restore all clients' files for good, remove the service, stop the gateway, and remove its home if that is agreed.

    :param yes: the home is removed unasked.
    :param keep_home: the home stays, unasked.
    :raise Trouble: a client's file cannot be restored, or the service or the home not removed.
    """
    home = globals_.home
    if yes:
        _check_removable(home)
    elif can_ask(globals_) and not confirm(RESTORE, default=False):
        fail("nothing was changed")
    report = _restored(globals_)
    service = _service_removed(globals_)
    pid = gateway_pid(home)
    unwanted(home)  # or else its guardian starts it again
    if pid:
        with spinner("running calls may end"):
            end(home, pid, STOP_S)
    clear_up(home)
    _remove_socket(home)
    from mcpgateway.cli.home_content import content_of

    content = content_of(machine_of(globals_))
    if not globals_.as_json:
        _tell(globals_, report, service, pid, content)
    is_removed = yes or (not keep_home and _is_agreed(globals_, content))
    if is_removed:
        _remove(home)
    value = {
        "clients": report.as_json(),
        "service": list(service.removed) if service is not None else [],
        "pid": pid or None,
        "home": home,
        "home_removed": is_removed,
        "home_content": content,
    }
    answer(globals_, value, lambda: _tell_rest(home, is_removed=is_removed))


def _is_agreed(globals_: Globals, content: Mapping[str, list[str]]) -> bool:
    home = globals_.home
    if not (can_ask(globals_) and os.path.isdir(home)):
        return False
    if not content:
        say(AS_BEFORE)
    agrees = confirm(QUESTION.format(home=shortened(home)), default=False)
    if agrees:
        _check_removable(home)
    return agrees


def _check_removable(home: str) -> None:
    """Refuse to remove a directory that holds the user's own files.

    :raise Trouble: the home is the user's directory, or above it.
    """
    real, user = os.path.realpath(home), os.path.realpath(os.path.expanduser("~"))
    if os.path.commonpath([real, user]) == real:
        fail(
            f"{home} is not removed, and nothing is changed: your own files are in it",
            f"{cli('uninstall --keep-home')} does the rest",
        )


def _restored(globals_: Globals) -> Report:
    """Restore clients' files for good.

    :raise Trouble: a file cannot be restored; the gateway runs on.
    """
    from mcpgateway.clientfiles import enrolment
    from mcpgateway.clientfiles.instructions import written
    from mcpgateway.clientfiles.plan import EnrolRequest

    with files_at_work("restoring"):
        report = careful(lambda: enrolment.broken(machine_of(globals_)))
        if not report.errors:
            report = careful(lambda: enrolment.undo(machine_of(globals_), EnrolRequest()))
            texts = careful(lambda: written.uninstall(machine_of(globals_), lambda _: True))
            if left := next((each.error for each in texts if each.error), ""):
                fail(f"the gateway stays installed: {left}", f"mend that file, and {cli('uninstall')} again")
    if report.errors:
        from mcpgateway.cli.client_tables import tell_report

        if not globals_.as_json:
            tell_report(report)
        fail(
            "the gateway stays installed, because a client's file that uses it cannot be restored",
            f"mend that file, and {cli('uninstall')} again",
        )
    return report


def _service_removed(globals_: Globals) -> Removed | None:
    """Remove the service of this home; None where there is none."""
    from mcpgateway.cli.service.service import Service

    service = Service(globals_.home, locations.environment())
    if not service.has_files():
        return None
    with spinner("ending the service"):
        return careful(service.uninstall)


def _remove_socket(home: str) -> None:
    # A gateway that was killed leaves its socket, which is outside of a home with a long path.
    with suppress(OSError, locations.Unusable):
        if not gateway_pid(home):
            os.unlink(locations.socket_path(locations.environment(), home))


def _remove(home: str) -> None:
    try:
        shutil.rmtree(home)
    except FileNotFoundError:
        return
    except OSError as why:
        fail(
            f"{why.filename or home}: cannot be removed: {why.strerror or why}",
            f"rm -r {home} removes the rest",
        )


def _tell(
    globals_: Globals, report: Report, service: Removed | None, pid: int, content: Mapping[str, list[str]]
) -> None:
    from mcpgateway.cli import home_content, kept_values
    from mcpgateway.cli.client_tables import tell_report

    if report.files:
        tell_report(report)
        kept_values.tell(globals_, report.files)
    for path in service.removed if service is not None else ():
        say(f"removed {shortened(path)}")
    for path in service.left if service is not None else ():
        say(f"left {shortened(path)}: it has been changed since it was written")
    if pid:
        say(f"Gateway stopped (pid {pid}).")
    if content:
        home_content.tell(globals_.home, content)


def _tell_rest(home: str, *, is_removed: bool) -> None:
    is_leaving = REMOVER in os.environ
    if is_removed:
        say(f"removed {shortened(home)}")
    elif os.path.isdir(home):
        removal = f"rm -r {shortened(home)}" if is_leaving else cli("uninstall --yes")
        say(f"{shortened(home)} stays, with the configuration and the logs: {removal} removes it")
    if is_leaving:
        return
    found = installation(sys.prefix)
    say(PROGRAM.format(found.removal) if found.removal else STAYS.format(where(found)), dim=True)
