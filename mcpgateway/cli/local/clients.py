"""``clients`` for programs: the same verbs as on the command line, with answers in JSON."""

from __future__ import annotations

import os
from argparse import ArgumentParser, Namespace
from collections.abc import Mapping
from typing import Any, NoReturn

from mcpgateway.errors import ConfigError
from mcpgateway.shim import startup
from mcpgateway.system import paths, printing

VERBS = (
    "detect",
    "list",
    "plan",
    "apply",
    "undo",
    "sync",
    "disable",
    "enable",
    "deadman",
    "release",
    "history",
    "restoration",
    "projects",
    "rename",
)


class _Parser(ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise ConfigError(message)


def run(argv: list[str], environ: Mapping[str, str]) -> int:
    """Run a verb; return 0 if it was done completely."""
    try:
        options = _parser().parse_args(argv)
        value, code = _answer(options, environ)
    except ConfigError as why:
        value, code = {"error": str(why), "hint": why.advice}, 1
    printing.put_json(value, indent=None)
    return code


def _parser() -> ArgumentParser:
    parser = _Parser(prog="mcpgateway.cli.local clients", allow_abbrev=False, add_help=False)
    parser.add_argument("verb", choices=VERBS)
    parser.add_argument("--home", default="")
    parser.add_argument("--client", action="append", default=[])
    parser.add_argument("--server", action="append", default=[])
    parser.add_argument("--around", action="append", default=[])
    parser.add_argument("--project", default="")
    parser.add_argument("--file", default="")
    parser.add_argument("--mode", default="")
    parser.add_argument("--version", type=int, default=0)
    parser.add_argument("--after", type=float, default=120.0)
    parser.add_argument("--headers-helper", action="store_true")
    parser.add_argument("--offers", action="store_true")
    for name in ("--json", "--yes"):  # the only possible form here
        parser.add_argument(name, action="store_true")
    return parser


def _answer(options: Namespace, environ: Mapping[str, str]) -> tuple[Any, int]:
    home = paths.gateway_home(environ, options.home or None)
    match options.verb:
        case "restoration":
            from mcpgateway.clientfiles import enrolment
            from mcpgateway.clientfiles.machine import Machine

            return enrolment.restoration(Machine(home, environ), _wanted(options), options.version), 0
        case "detect" | "list" | "projects" | "history":
            return _looked(options, home, environ), 0
        case "deadman":
            from mcpgateway.clientfiles.deadman import deadman

            return deadman(home, environ, options.after).as_json(), 0
        case "rename":
            from mcpgateway.clientfiles import offer
            from mcpgateway.clientfiles.machine import Machine

            name, new = options.server
            found = offer.rename(Machine(home, environ), name, new)
            return {"paths": list(found.paths), "errors": list(found.errors)}, 0
        case "plan":
            from mcpgateway.clientfiles import immorterm, plan
            from mcpgateway.clientfiles.machine import Machine
            from mcpgateway.clientfiles.report import planned

            machine = Machine(home, environ)
            plans = plan.plan(machine, _wanted(options))
            return planned(plans, immorterm.left_behind(machine)), 0
    report = _done(options, home, environ)
    return report.as_json(), 4 if report.rolled_back else 0


def _looked(options: Namespace, home: str, environ: Mapping[str, str]) -> Any:
    from mcpgateway.clientfiles import immorterm, report
    from mcpgateway.clientfiles.machine import Machine

    machine = Machine(home, environ)
    match options.verb:
        case "list":
            return report.listed(machine)
        case "projects":
            return report.in_projects(machine, options.around)
        case "history" if options.version:
            return report.remembered_one(machine, options.version)
        case "history":
            return report.remembered(machine, options.file)
    return {"detected": report.detected(machine), "immorterm": immorterm.as_json(machine)}


def _done(options: Namespace, home: str, environ: Mapping[str, str]) -> Any:
    from mcpgateway.clientfiles import enrolment
    from mcpgateway.clientfiles.machine import Machine

    match options.verb:
        case "apply":
            return enrolment.apply(Machine(home, environ), _wanted(options))
        case "undo":
            return enrolment.undo(Machine(home, environ), _wanted(options), options.version)
        case "disable":
            return enrolment.suspend(home, environ, enrolment.DISABLED)
        case "release":
            return _released(enrolment.release(home, environ), home)
        case "enable":
            return enrolment.resume(home, environ, (enrolment.DISABLED,))
        case _:
            from mcpgateway.clientfiles.sync import sync

            return sync(home, environ)


def _released(report: Any, home: str) -> Any:
    # No program reads the answer: the gateway that has started this one has ended.
    for each in report.files:
        line = f"{each.path} is restored" if not each.error else each.error
        startup.write_log(home, "mcpgateway.clients", line)
    return report


def _wanted(options: Namespace) -> Any:
    from mcpgateway.clientfiles.files import FileChoice
    from mcpgateway.clientfiles.plan import EnrolRequest

    choice = FileChoice(tuple(options.client), options.project, options.file)
    return EnrolRequest(
        choice, tuple(options.server), options.mode, options.headers_helper, offers=options.offers
    )


def main(argv: list[str]) -> int:
    """Run a verb in the environment of this program."""
    return run(argv, os.environ)
