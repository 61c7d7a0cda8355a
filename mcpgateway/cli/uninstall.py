"""Remove all that the gateway has left on this machine, except for its program."""

from __future__ import annotations

import os
import shutil
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from mcpgateway.cli.console import answer, confirm, fail, is_terminal, say, spinner
from mcpgateway.cli.context import Globals
from mcpgateway.cli.files import careful, machine_of
from mcpgateway.cli.gateway_process import gateway_pid
from mcpgateway.cli.stop import clear_up, end, unwanted
from mcpgateway.shim import locations

if TYPE_CHECKING:
    from mcpgateway.cli.service.service import Removed
    from mcpgateway.clientfiles.report import Report

STOP_S = 45.0
QUESTION = "Remove {home}, too, with the configuration, tokens, logs and copies of clients' files?"
PROGRAM = (
    "The program is removed as it was installed: pipx uninstall mcpgateway, or uv tool uninstall mcpgateway"
)


def uninstall_all(globals_: Globals, *, yes: bool, keep_home: bool) -> None:
    """Restore all clients' files for good, remove the service, stop the gateway, and remove its home if that is agreed.

    :param yes: the home is removed unasked.
    :param keep_home: the home stays, unasked.
    :raise Trouble: a client's file cannot be restored, or the service or the home not removed.
    """
    home = globals_.home
    if yes:
        _check_removable(home)
    is_removed = yes or (not keep_home and _is_agreed(globals_))
    report = _restored(globals_)
    service = _service_removed(globals_)
    pid = gateway_pid(home)
    unwanted(home)  # or else its guardian starts it again
    if pid:
        with spinner("running calls may end"):
            end(home, pid, STOP_S)
    clear_up(home)
    _remove_socket(home)
    if is_removed:
        _remove(home)
    value = {
        "clients": report.as_json(),
        "service": list(service.removed) if service is not None else [],
        "pid": pid or None,
        "home": home,
        "home_removed": is_removed,
    }
    answer(globals_, value, lambda: _tell(value, report, service))


def _is_agreed(globals_: Globals) -> bool:
    home = globals_.home
    if globals_.as_json or not (is_terminal() and sys.stdin.isatty()) or not os.path.isdir(home):
        return False
    agrees = confirm(QUESTION.format(home=home), default=False)
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
            "mcpgateway uninstall --keep-home does the rest",
        )


def _restored(globals_: Globals) -> Report:
    """Restore clients' files for good.

    :raise Trouble: a file cannot be restored; the gateway runs on.
    """
    from mcpgateway.clientfiles import enrolment
    from mcpgateway.clientfiles.plan import EnrolRequest

    with spinner("restoring the clients' files"):
        report = careful(lambda: enrolment.undo(machine_of(globals_), EnrolRequest()))
    if report.errors:
        from mcpgateway.cli.client_tables import tell_report

        if not globals_.as_json:
            tell_report(report)
        fail(
            "the gateway stays installed, because a client's file that uses it cannot be restored",
            "mend that file, and mcpgateway uninstall again",
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


def _tell(value: dict[str, Any], report: Report, service: Removed | None) -> None:
    from mcpgateway.cli.client_tables import tell_report

    if report.files:
        tell_report(report)
    for path in service.removed if service is not None else ():
        say(f"removed {path}")
    for path in service.left if service is not None else ():
        say(f"left {path}: it has been changed since it was written")
    if value["pid"]:
        say(f"Gateway stopped (pid {value['pid']}).")
    home = value["home"]
    if value["home_removed"]:
        say(f"removed {home}")
    elif os.path.isdir(home):
        say(f"{home} stays, with the configuration and the logs: mcpgateway uninstall --yes removes it")
    say(PROGRAM, dim=True)
