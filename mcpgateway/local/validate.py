"""``mcpgateway validate``: try a server before it is put into a configuration."""

from __future__ import annotations

import argparse
import json
import os
import secrets
import shlex
import sys
from typing import Any, NoReturn

from twisted.internet.defer import Deferred
from twisted.internet.task import react

from mcpgateway.backends.reaching import Backends
from mcpgateway.backends.spawning import Launcher
from mcpgateway.backends.validating import TIMEOUT_S, Report, validate
from mcpgateway.config.environment import for_children
from mcpgateway.config.model import GatewaySettings, ServerSpec
from mcpgateway.errors import ConfigError
from mcpgateway.host import files, paths
from mcpgateway.host.daemonlocks import DaemonLocks
from mcpgateway.host.grants import Grants
from mcpgateway.host.guardian import Guardian
from mcpgateway.host.holders import Holders
from mcpgateway.host.orphans import Registry
from mcpgateway.host.resolver import Resolver
from mcpgateway.host.settings import LoadOptions, load
from mcpgateway.host.ward import Ward
from mcpgateway.interfaces import Whose

CALLBACK = f"http://127.0.0.1:{GatewaySettings().http_port}/oauth/callback"
S002_HOME = os.path.expanduser("~/.mcp-session-manager")
UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0}


def main(argv: list[str]) -> int:
    """Run the command; its exit code."""
    options = _options(argv)
    home = paths.gateway_home(os.environ, options.home)
    try:
        server = _written(options) if options.command else _configured(options, home)
        files.make_home(home)
    except ConfigError as why:
        sys.stderr.write(f"mcpgateway: {why}\n")
        return 1
    reports: list[Report] = []

    def run(reactor: Any) -> Deferred[None]:
        return Deferred.fromCoroutine(_run(reactor, home, server, options.timeout, reports))

    try:
        react(run)
    except SystemExit as ended:
        if not reports:
            return int(ended.code or 1)
    sys.stdout.write(as_json(reports[0]) if options.json else as_text(reports[0]))
    return 0 if reports[0].passed else 1


async def _run(reactor: Any, home: str, server: ServerSpec, timeout_s: float, reports: list[Report]) -> None:
    instance = secrets.token_hex(8)
    ward = Ward(Registry(home, instance), Guardian(reactor, instance))
    launcher = Launcher(reactor, ward, lambda: Resolver(home, reactor.seconds))
    # Tokens that the gateway has are used; a user is let in through a gateway that runs.
    locks = DaemonLocks(home, S002_HOME, Holders(reactor))
    backends = Backends(
        reactor, launcher, Grants(home), lambda: CALLBACK, Whose(home, instance), lambda: locks
    )
    try:
        reports.append(await validate(server, backends, reactor, timeout_s))
    finally:
        await launcher.close()
        ward.close()


def as_text(report: Report) -> str:
    """The report for a person."""
    lines = []
    for step in report.steps:
        verdict = "PASS" if step.passed else "FAIL"
        lines.append(f"[{verdict}] {step.name:<10} {step.elapsed_s:6.2f}s  {step.detail}".rstrip())
    if report.passed:
        lines.append("All checks passed.")
    return "\n".join(lines) + "\n"


def as_json(report: Report) -> str:
    """The report for a program."""
    steps = [
        {
            "step": step.name,
            "passed": step.passed,
            "elapsed_s": round(step.elapsed_s, 3),
            "detail": step.detail,
        }
        for step in report.steps
    ]
    return json.dumps({"server": report.server, "passed": report.passed, "steps": steps}, indent=2) + "\n"


class _Parser(argparse.ArgumentParser):
    """Ends as all commands do: 1 is a mistake, 2 is a gateway that cannot be reached."""

    def error(self, message: str) -> NoReturn:
        """Say what is wrong."""
        self.print_usage(sys.stderr)
        self.exit(1, f"{self.prog}: {message}\n")


def _options(argv: list[str]) -> argparse.Namespace:
    parser = _Parser(
        prog="mcpgateway validate",
        description="Try a server: connect, list its tools, ping it, end it.",
        epilog="A server is named by --command, by words behind --, or in a configuration.",
    )
    parser.add_argument("--command", help="the program, or the whole command in quotes")
    parser.add_argument("--args", help="its arguments, with commas between them")
    parser.add_argument("--cwd", help="the directory it runs in (default: this one)")
    parser.add_argument("--env", action="append", default=[], metavar="NAME=VALUE", help="may be repeated")
    parser.add_argument("--config", help="a configuration (default: the gateway's own)")
    parser.add_argument("--server", help="the name of a server in it (default: the first)")
    parser.add_argument(
        "--timeout", type=seconds, default=TIMEOUT_S, help="for all of it, such as 30s (default)"
    )
    parser.add_argument("--json", action="store_true", help="print a report for programs")
    parser.add_argument("--home", help="the gateway's own files")
    ours, theirs = (argv[: argv.index("--")], argv[argv.index("--") + 1 :]) if "--" in argv else (argv, [])
    options = parser.parse_args(ours)
    if theirs and (options.command or options.args):
        parser.error("a command is given twice: by --command and behind --")
    if (theirs or options.command) and (options.config or options.server):
        parser.error("a server is given twice: by its command and by a configuration")
    if options.args and not options.command:
        parser.error("--args goes with --command")
    words = shlex.split(options.command) if options.command else []
    options.command = theirs or [*words, *(options.args.split(",") if options.args else [])]
    return options


def seconds(text: str) -> float:
    """A time such as ``30s``, ``500ms`` or ``2m``; a bare number is of seconds."""
    unit = next((each for each in UNITS if text.endswith(each)), "")
    try:
        found = float(text.removesuffix(unit)) * UNITS.get(unit, 1.0)
    except ValueError:
        found = 0.0
    if not 0 < found < 86_400:
        raise argparse.ArgumentTypeError(f"found {text!r}; expected a time such as 30s")
    return found


def _written(options: argparse.Namespace) -> ServerSpec:
    env = for_children(os.environ)
    for each in options.env:
        name, equals, value = each.partition("=")
        if not (name and equals):
            raise ConfigError(f"--env: found {name!r}; expected NAME=VALUE")
        env[name] = value
    cwd = paths.absolute(options.cwd, os.environ) if options.cwd else os.getcwd()
    name = os.path.basename(options.command[0])
    return ServerSpec(name, tuple(options.command), env, cwd)


def _configured(options: argparse.Namespace, home: str) -> ServerSpec:
    sources = () if options.config else None
    settings = load(LoadOptions(options.config, sources, home), os.environ)
    for server in settings.servers:
        if options.server in (None, server.name, server.title):
            return server
    known = ", ".join(server.name for server in settings.servers) or "none"
    raise ConfigError(f"there is no server {options.server or ''}; those configured are: {known}")
