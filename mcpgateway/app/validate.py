"""``mcpgateway servers test``, in the process that the command becomes: validate a server before it is configured."""

from __future__ import annotations

import os
import sys
from typing import Any
from urllib.parse import quote

from attrs import field, frozen
from twisted.internet.defer import Deferred
from twisted.internet.task import react

from mcpgateway.app.backends_alone import backends_alone
from mcpgateway.backends.validation import ValidationReport, validate, without_secrets
from mcpgateway.cli.client import GatewayClient, NoGateway
from mcpgateway.cli.console import fail, spinner
from mcpgateway.cli.context import Globals
from mcpgateway.cli.handover import request_of
from mcpgateway.cli.main import guarded
from mcpgateway.clientfiles.machine import as_it_runs, environ_of
from mcpgateway.clientfiles.reader import enrolled_files
from mcpgateway.config.dotenv import parse_dotenv
from mcpgateway.config.expand import escaped
from mcpgateway.config.model import ServerSpec
from mcpgateway.discovery.naming import server_hint
from mcpgateway.errors import ConfigError
from mcpgateway.hints import cli
from mcpgateway.policy.proxies import NONE, Proxies
from mcpgateway.system import files, paths, printing
from mcpgateway.system.process.socket_owners import SocketSearch
from mcpgateway.system.settings import LoadOptions, look, server_of

FILE_LIMIT = 1_048_576  # of the file with values
FAULTY = frozenset(("error", "restarting", "unreachable", "disabled", "stopped", "idle"))


@frozen
class ValidationRequest:
    """The server to validate, and the settings of the validation.

    :ivar command: the command line, if the server is not in a configuration.
    :ivar env: variables beside the usual environment, as ``NAME=VALUE``.
    :ivar home: the gateway's own directory if it was named, or "".
    :ivar env_file: a file of values, in place of the home's own, or None.
    :ivar as_json: True for a report for programs.
    :ivar note: a line that follows the report; empty for none.
    """

    command: tuple[str, ...]
    cwd: str | None
    env: tuple[str, ...] = field(repr=False)
    config: str | None
    server: str | None
    timeout_s: float
    home: str
    env_file: str | None = None
    as_json: bool = False
    note: str = ""


def main() -> int:
    """Validate the requested server, print a report, and return the exit code."""
    given = request_of()
    request = ValidationRequest(**{**given, "command": tuple(given["command"]), "env": tuple(given["env"])})
    return guarded(lambda: _run_reported(request), as_json=request.as_json)


def _run_reported(request: ValidationRequest) -> int:
    try:
        return try_server(request)
    except ConfigError as why:
        fail(str(why), why.hint)


def try_server(request: ValidationRequest) -> int:
    """Validate a server, print a report, and return the exit code.

    :raise ConfigError: no such server is configured, or its definition is malformed.
    """
    home = paths.gateway_home(os.environ, request.home or None)
    server, proxies = (_written(request, home), NONE) if request.command else _configured(request, home)
    files.make_home(home)
    reports: list[ValidationReport] = []

    def run(reactor: Any) -> Deferred[None]:
        return Deferred.fromCoroutine(_run(reactor, home, server, proxies, request.timeout_s, reports))

    try:
        with spinner("trying the server"):  # gone before the report is printed
            react(run)
    except SystemExit as ended:
        if not reports:
            return int(ended.code or 1)
    report = without_secrets(reports[0], server)
    if request.as_json:
        printing.put_json(report.shown())
    else:
        printing.put(*lines_of(report))
        if request.note:
            printing.put(request.note)
    if report.passed and not (request.command or request.config or request.env_file):
        remark = _forgiven(Globals(home, request.home), server.name)
        if remark and not (request.as_json or request.note):
            printing.put(remark)
    return 0 if report.passed else 1


async def _run(
    reactor: Any,
    home: str,
    server: ServerSpec,
    proxies: Proxies,
    timeout_s: float,
    reports: list[ValidationReport],
) -> None:
    alone = backends_alone(reactor, home, SocketSearch(reactor), proxies)
    try:
        reports.append(await validate(server, alone.backends, reactor, timeout_s))
    finally:
        await alone.close()


def _forgiven(globals_: Globals, name: str) -> str:
    """Let a running gateway forget the fault of a server whose test has passed; return a sentence about it, or ""."""
    try:
        client, route = GatewayClient(globals_), f"/api/v1/servers/{quote(name, safe='')}"
        was = client.ask(route).value
        is_faulty = isinstance(was, dict) and (was.get("need") or was.get("last_error"))
        if not (is_faulty and was.get("status") in FAULTY):
            return ""
        client.ask(f"{route}/reset-circuit?passed=true", method="POST")
        found = client.ask(route).value
    except NoGateway:
        return ""
    need = found.get("need") if isinstance(found, dict) else None
    if need:
        return f"The gateway does not start it yet: {need['says']}; {need['do']}"
    return f"The gateway has forgotten the former fault of {name}: its next call starts it."


def lines_of(report: ValidationReport) -> list[str]:
    """Return the lines of the report for a person."""
    lines: list[str] = []
    for step in report.steps:
        verdict = "PASS" if step.passed else "FAIL"
        line = f"[{verdict}] {step.name:<10} {step.elapsed_s:6.2f}s  {step.detail}".rstrip()
        lines.extend(printing.indented(line))
        if step.advice:
            lines.append(f"    -> {step.advice}")
    if report.passed:
        lines.append("All checks passed.")
    return lines


def _written(request: ValidationRequest, home: str) -> ServerSpec:
    env = _values(request.env_file) if request.env_file else {}
    for each in request.env:
        name, equals, value = each.partition("=")
        if not (name and equals):
            raise ConfigError(f"--env: found {name!r}; expected NAME=VALUE")
        env[name] = value
    cwd = paths.absolute(request.cwd, os.environ) if request.cwd else os.getcwd()
    # The shell has expanded its values already.
    definition = {
        "command": [escaped(each) for each in request.command],
        "env": {name: escaped(value) for name, value in env.items()},
        "cwd": escaped(cwd),
    }
    name = os.path.basename(request.command[0]) or "server"
    options = as_it_runs(LoadOptions(home=home, env_file=request.env_file, enrolled=enrolled_files), home)
    return server_of(name, definition, options, environ_of(home))


def _values(path: str) -> dict[str, str]:
    try:
        return parse_dotenv(files.read_text(path, FILE_LIMIT), path)
    except OSError as why:
        raise ConfigError(f"{path}: cannot be read: {why.strerror}") from why


def _configured(request: ValidationRequest, home: str) -> tuple[ServerSpec, Proxies]:
    from mcpgateway.app.hub import proxies_of  # a command needs no part of it

    sources = () if request.config else None
    options = LoadOptions(request.config, sources, home, env_file=request.env_file, enrolled=enrolled_files)
    settings = look(as_it_runs(options, home), environ_of(home)).settings
    assert settings is not None
    for server in sorted(settings.servers, key=_order):
        if request.server in (None, server.name, server.title):
            return server, proxies_of(settings)
    if request.server is None:
        raise ConfigError("no server is configured", f"{cli('servers add')} adds one")
    names = [server.name for server in settings.servers]
    raise ConfigError(f"Unknown server: {request.server}", server_hint(request.server, names))


def _order(server: ServerSpec) -> tuple[bool, str]:
    # Without a name, the first local program in alphabetical order is meant (mcp-ctl).
    return (server.reach is not None, server.name)


if __name__ == "__main__":
    sys.exit(main())
