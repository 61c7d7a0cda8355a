"""Commands that start, stop, restart and uninstall the gateway."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import click
from click.core import ParameterSource

from mcpgateway.cli.client import GatewayClient, NoGateway
from mcpgateway.cli.client_files import (
    ADOPT,
    ALWAYS,
    ASK,
    NEVER,
    NO_ADOPT,
    StartEnrolment,
    enrol,
    follow,
    named_in,
    restore,
    tell,
    tell_unreadable,
)
from mcpgateway.cli.console import (
    DONE,
    FAILED,
    Trouble,
    answer,
    emit,
    fail,
    is_terminal,
    only_here,
    say,
    shortened,
    spinner,
)
from mcpgateway.cli.context import Globals
from mcpgateway.cli.gateway_process import gateway_pid
from mcpgateway.cli.lazy import PassthroughCommand, behind
from mcpgateway.cli.restart import renew
from mcpgateway.cli.start import PATIENCE_S, Begun, begin
from mcpgateway.cli.stop import STOP_S, clear_up, end, shut_down, unwanted
from mcpgateway.hints import cli
from mcpgateway.shim import startup
from mcpgateway.system.process.interrupts import hold
from mcpgateway.system.process.procfs import command_of
from mcpgateway.system.state import read_state
from mcpgateway.units import duration

if TYPE_CHECKING:
    from mcpgateway.clientfiles.report import Report

HEALTH_S = 5.0
ROOM = f"make room there, or make it writable for you; then: {cli('restart')}"
Command = TypeVar("Command", bound=Callable[..., Any])
SERVED = "/api/v1/servers?tools=false"
AGAIN = f"The next start enrols the same servers again; {cli('clients undo')} keeps them out."
FOUND_NOTHING = "Gateway is not running: no gateway runs with the home {}."


class _Seconds(click.FloatRange):
    """A number of seconds, with or without the unit ``s``."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Parse the text of an option."""
        bare: Any = value.removesuffix("s") if isinstance(value, str) else value
        return super().convert(bare, param, ctx)


def _seconds(name: str, usual: float, says: str) -> Callable[[Command], Command]:
    return click.option(
        name, type=_Seconds(0, 3600), default=usual, show_default=True, metavar="SECONDS", help=says
    )


def _options(port: int | None, config: str | None, more: list[str]) -> list[str]:
    # The daemon runs in / and is restarted there.
    made = ["--port", str(port)] if port is not None else []
    made += ["--config", os.path.abspath(os.path.expanduser(config))] if config is not None else []
    return made + more


@click.command(cls=PassthroughCommand)
@click.option("--foreground", "-f", is_flag=True, help="Stay here, and log to stdout.")
@click.option("--port", "-p", type=click.IntRange(0, 65535), metavar="N", help="TCP port (default: 9100).")
@click.option("--config", "-c", type=click.Path(), metavar="FILE", help="Configuration file.")
@click.option(
    "--adopt",
    type=click.Choice(ADOPT),
    help="Whether clients are enrolled (default: clients.adopt of the configuration).",
)
@click.option("--yes", "-y", is_flag=True, help="Enrol clients' files without asking, as the answer y does.")
@_seconds("--wait", PATIENCE_S, "How long it may take.")
@click.option("--end-duplicates", is_flag=True, help="End servers that running clients need no more.")
@click.option(
    "--daemon-path", hidden=True, expose_value=False, help="Of mcp-ctl: the gateway is this program."
)
@click.pass_context
def start(  # noqa: PLR0913 - one for each option
    context: click.Context,
    *,
    foreground: bool,
    port: int | None,
    config: str | None,
    adopt: str | None,
    yes: bool,
    wait: float,
    end_duplicates: bool,
) -> int:
    """Start the gateway, and enrol clients' files; words behind -- are options of `twistd mcpgateway`.

    It stays until `mcpgateway stop`; when it crashes it is started again.  One that runs already is left as it is, and
    one that crashed and has not been stopped gets the options it had, unless others are given.
    """
    globals_: Globals = context.obj
    only_here(globals_, "start")
    _check_agreed(adopt, yes=yes)
    options = _options(port, config, behind(context))
    # A gateway that has crashed is started with its former options: clients' files name its port.
    former = [] if options or gateway_pid(globals_.home) else startup.read_wanted(globals_.home) or []
    if former:
        _remark(f"as it was started before: {shlex.join(former)}; {cli('stop')} forgets that")
        options = former
    if adopt == NEVER:
        options = [*(each for each in options if each != NO_ADOPT), NO_ADOPT]
    if foreground:
        has_wait = context.get_parameter_source("wait") is ParameterSource.COMMANDLINE
        _stay(
            globals_, options, adopt, {"--wait": has_wait, "--end-duplicates": end_duplicates, "--yes": yes}
        )
    with spinner("starting the gateway"):
        begun = begin(globals_, options, wait)
    if not begun.is_new:
        _keep(globals_.home)
    value = _facts(globals_, begun)
    if port and not begun.is_new and value["port"] not in (None, 0, port):
        fail(
            f"port {port} was not taken over: a gateway runs already (pid {value['pid']}) at port {value['port']}",
            f"{cli('restart --port {}', port)} moves it;"
            f" {cli('--home DIRECTORY start --port {}', port)} starts another one",
        )
    if not globals_.as_json:
        _tell(value, keeps=options if options != ["--port", str(port)] else [])
        _tell_others(globals_.home)
        _tell_extension(begun)
    done = enrol(globals_, adopt, options, lambda: _has_installed_service(globals_), is_agreed=yes)
    reports = done.reports
    if any(each.is_changed for each in reports):
        value = {**value, "servers": _served(globals_) or value["servers"]}
    if not globals_.as_json:
        tell(reports, is_whole=yes or adopt == ALWAYS)
        tell_unreadable(
            globals_.home,
            {os.path.realpath(each.path) for one in reports for each in one.files if each.error},
        )
        _tell_servers(value)
    from mcpgateway.cli.duplicates import tell as tell_duplicates

    ended = tell_duplicates(globals_, ends=end_duplicates)
    if globals_.as_json:
        emit({**value, "clients": [each.as_json() for each in reports], "duplicates": ended})
    else:
        _conclude(globals_, done)
    # A client's file that cannot be used is no failure of the start, since the gateway works without it.
    named = named_in(options)
    failed = {os.path.realpath(file.path) for each in reports for file in each.files if file.error}
    return (
        FAILED if named & failed or done.lacks_service or any(each.rolled_back for each in reports) else DONE
    )


def _has_installed_service(globals_: Globals) -> bool:
    """Install the service, and return whether that has worked; a failure is printed."""
    from mcpgateway.cli.commands.running.service import install_service

    try:
        # The gateway runs already; the service runs it from the next login on.
        install_service(globals_, is_dry=False, starts=False)
    except Trouble as why:
        _remark(f"the service is not installed, so the files are enrolled by command: {why.message}")
        say(f"  {cli('service install')} tries again", err=True, dim=True)
        return False
    return True


def _conclude(globals_: Globals, done: StartEnrolment) -> None:
    """Tell a person what comes next."""
    if not is_terminal():
        return
    is_enrolled = any(each.is_changed for each in done.reports)
    if is_enrolled:
        from mcpgateway.cli.client_tables import NEW_SESSIONS

        say(NEW_SESSIONS, dim=True)
    add = "" if is_enrolled else f"{cli('servers add NAME URL')} adds a server; "
    say(f"Next: {add}{cli('status')} shows servers and clients, and {cli('stop')} ends it all.", dim=True)


def _check_agreed(adopt: str | None, *, yes: bool) -> None:
    if yes and adopt is not None:
        raise click.UsageError("--yes answers the question that --adopt leaves out: use one of them")


def _stay(globals_: Globals, options: list[str], adopt: str | None, others: dict[str, bool]) -> NoReturn:
    """Replace this program by the gateway; work that follows a start elsewhere is not possible then."""
    for name, is_given in others.items():
        if is_given:
            _remark(f"{name} has no meaning with --foreground")
    if adopt == ASK:
        _remark("--adopt ask has no meaning with --foreground: clients.adopt of the configuration counts")
    words = startup.argv(globals_.home, ["--adopt", *options] if adopt == ALWAYS else options)
    hold()  # the plugin of twistd lets it through
    os.execv(words[0], words)  # noqa: S606 - without a shell


def _remark(text: str) -> None:
    say(f"mcpgateway: {text}", err=True, fg="yellow")


def _keep(home: str) -> None:
    # A gateway that a shim has started is to stay, now that the user has started it.
    words = command_of(gateway_pid(home))
    if f"--logger={startup.LOGGER}" in words and startup.read_wanted(home) is None:
        startup.write_wanted(home, options_of(words))


def options_of(words: list[str]) -> list[str]:
    """Return the options that a gateway was started with, without its home."""
    rest = words[words.index("mcpgateway") + 1 :] if "mcpgateway" in words else []
    options: list[str] = []
    at = 0
    while at < len(rest):
        if rest[at] == "--home":
            at += 2
        else:
            if not rest[at].startswith("--home="):
                options.append(rest[at])
            at += 1
    return options


def _facts(globals_: Globals, begun: Begun) -> dict[str, Any]:
    """Return the facts of a gateway that answers."""
    try:
        reply = GatewayClient(globals_).ask("/health", limit_s=HEALTH_S)
        body = reply.value if reply.status == 200 and isinstance(reply.value, dict) else {}
    except NoGateway:
        body = {}
    state = read_state(globals_.home)
    pid = body.get("pid") or gateway_pid(globals_.home)
    port = body.get("port") or state.port
    servers = [str(each.get("name")) for each in body.get("backends", ())]
    return {
        "already_running": not begun.is_new,
        "pid": pid,
        "port": port,
        "url": f"http://localhost:{port}",
        "servers": servers,
        "warnings": (body.get("config") or {}).get("warnings", 0),
        "took_s": round(begun.took_s, 3),
    }


def _tell(value: dict[str, Any], did: str = "started", *, keeps: Sequence[str] = ()) -> None:
    """Print that a gateway runs.

    :param keeps: the options of this command, which a gateway that has run already does not take.
    """
    where = f"(pid {value['pid']})"
    if value["already_running"]:
        say(f"Gateway already running {where}: {value['url']}")
        if keeps and list(keeps) != options_of(command_of(value["pid"])):
            say(
                f"  It goes on as it was started: {cli('restart')} with these options changes that.", dim=True
            )
    else:
        say(f"Gateway {did} {where} in {duration(value['took_s'])}: {value['url']}")
        if number := value.get("warnings"):
            what = "a warning" if number == 1 else f"{number} warnings"
            _remark(f"its configuration has {what}: {cli('config check')} shows more")


def _tell_extension(begun: Begun) -> None:
    from mcpgateway.cli.service.extension import can_be_offered

    if begun.is_new and can_be_offered(os.environ):
        say(f"{cli('service install --vscode')} shows the gateway in VS Code", dim=True)


def _tell_others(home: str) -> None:
    """Print the other gateways of the user, to which clients' entries may lead."""
    from mcpgateway.system.gateway_health import other_gateways

    for other, running in other_gateways(home, os.environ).items():
        say(
            f"Another gateway of yours runs (pid {running.pid}): http://localhost:{running.port}, with the home"
            f" {shortened(other)}. Entries of clients' files that lead to it stay with it.",
            dim=True,
        )


def _tell_servers(value: dict[str, Any]) -> None:
    say(f"Servers: {', '.join(value['servers']) or 'none'}")


def _served(globals_: Globals) -> list[str]:
    """Return the names of the served servers, those of clients' files included; empty if no gateway answers."""
    try:
        reply = GatewayClient(globals_).ask(SERVED, limit_s=HEALTH_S)
    except NoGateway:
        return []
    shown = reply.value if reply.status == 200 and isinstance(reply.value, list) else []
    return [str(each.get("name")) for each in shown]


@click.command()
@_seconds("--timeout", STOP_S, "How long it may take; then it is killed.")
@click.option("--force", is_flag=True, help="End it even where a client's file cannot be restored.")
@click.option(
    "--keep-clients",
    is_flag=True,
    help="End it as SIGTERM does, here or at --url: files are restored only if no gateway comes back.",
)
@click.option("--no-wait", is_flag=True, help="With --keep-clients: do not wait until it has ended.")
@click.pass_obj
def stop(globals_: Globals, *, timeout: float, force: bool, keep_clients: bool, no_wait: bool) -> int:
    """Restore clients' files, and stop the gateway."""
    if keep_clients:
        return shut_down(globals_, timeout, no_wait=no_wait)
    if no_wait:
        raise click.UsageError("stop: --no-wait goes with --keep-clients")
    only_here(globals_, "stop")
    home = globals_.home
    pid = gateway_pid(home)
    had_state = read_state(home).exists
    is_all_or_none = bool(pid) and not force
    given = restore(globals_, is_all_or_none=is_all_or_none)
    if is_all_or_none and given is not None and given.errors:
        tell([given])
        fail(
            "the gateway runs on and no client's file is changed, because one that uses it cannot be restored",
            f"mend that file and `{cli('stop')}` again; `{cli('stop --force')}` restores the others and ends it,"
            f" and `{cli('stop --keep-clients')}` ends it and restores no file before",
        )
    unwanted(home)
    in_order = True
    if pid:
        with spinner("running calls may end"):
            in_order = end(home, pid, timeout)
    cleared = clear_up(home)
    value: dict[str, Any] = {
        "was_running": bool(pid),
        "pid": pid or None,
        "killed": not in_order,
        "cleared_up": cleared,
        "clients": given.as_json() if given is not None else None,
    }

    def tell_all() -> None:
        _tell_restored(globals_, given)
        if pid:
            say(f"Gateway stopped (pid {pid})." if in_order else f"Gateway killed (pid {pid}).")
        elif had_state:
            say("Gateway was not running any more; cleared up.")
        else:
            say(FOUND_NOTHING.format(shortened(globals_.home)))
        for line in cleared:
            say(f"  {' '.join(map(shortened, line.split(' ')))}", dim=True)

    answer(globals_, value, tell_all)
    return FAILED if given is not None and given.errors else DONE


def _tell_restored(globals_: Globals, given: Report | None) -> None:
    if given is None:
        return
    from mcpgateway.cli import kept_values

    tell([given])
    kept_values.tell(globals_, given.files)
    if given.is_changed:
        say(AGAIN, dim=True)


@click.command()
@click.option("--yes", "-y", is_flag=True, help="Remove the home unasked.")
@click.option("--keep-home", is_flag=True, help="Keep the home, unasked.")
@click.pass_obj
def uninstall(globals_: Globals, *, yes: bool, keep_home: bool) -> None:
    """Restore all clients' files for good, remove the service, stop the gateway, and remove its home.

    The home is removed only after a question, or with --yes.  The program itself stays.
    """
    only_here(globals_, "uninstall")
    if yes and keep_home:
        raise click.UsageError("uninstall: --yes removes the home, and --keep-home keeps it")
    from mcpgateway.cli.uninstall import uninstall_all

    uninstall_all(globals_, yes=yes, keep_home=keep_home)


@click.command(cls=PassthroughCommand)
@click.option("--port", "-p", type=click.IntRange(0, 65535), metavar="N", help="Another TCP port.")
@click.option("--config", "-c", type=click.Path(), metavar="FILE", help="Another configuration file.")
@_seconds("--wait", PATIENCE_S, "How long the start may take.")
@_seconds("--timeout", STOP_S, "How long the end may take; then it is killed.")
@click.pass_context
def restart(
    context: click.Context, *, port: int | None, config: str | None, wait: float, timeout: float
) -> None:
    """Restart the gateway with the options it was started with; sessions are kept, and calls wait.

    Options, and words behind --, replace all that it was started with.
    """
    globals_: Globals = context.obj
    only_here(globals_, "restart")
    home = globals_.home
    pid = gateway_pid(home)
    chosen = _options(port, config, behind(context))
    options = chosen or _former(home, pid)
    with spinner("restarting the gateway"):
        begun = renew(globals_, pid, wait + timeout) if pid and not chosen else None
        if begun is None:
            begun = _begun_again(globals_, options, wait, timeout)
    # With other options the port may be another, and a stop has restored clients' files.
    enrolled = follow(globals_, options, resumes=not pid) if chosen or not pid else None
    value = _facts(globals_, begun)

    def tell_all() -> None:
        if not pid:
            how = f", with the options it had: {shlex.join(options)}" if options and not chosen else ""
            say(f"No gateway was running: one is started{how}.")
        _tell(value, "restarted" if pid else "started")
        _tell_servers(value)
        tell([enrolled] if enrolled is not None else [])

    answer(globals_, value, tell_all)


def _begun_again(globals_: Globals, options: list[str], wait: float, timeout: float) -> Begun:
    home = globals_.home
    pid = gateway_pid(home)
    former = _former(home, pid)
    if pid:
        try:
            startup.write_wanted(home, options)
        except OSError as why:
            fail(f"the gateway goes on as it was: {home}: nothing can be written: {why.strerror}", ROOM)
        end(home, pid, timeout)
        clear_up(home)
    try:
        return begin(globals_, options, wait)
    except Trouble as why:
        if pid and options != former:
            with suppress(Trouble):
                begin(globals_, former, wait)
                why.hint = f"{why.hint}; the gateway runs again as before"
        raise


def _former(home: str, pid: int) -> list[str]:
    # The kernel has the command line of a running process; the file is for a killed one.
    if pid and (words := command_of(pid)):
        return options_of(words)
    wanted = startup.read_wanted(home)
    return (startup.read_former(home) if wanted is None else wanted) or []
