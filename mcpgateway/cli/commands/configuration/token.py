"""Tokens: the gateway's own two, and those that are given to agents."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

import click

from mcpgateway.cli.client import GatewayClient, NoGateway
from mcpgateway.cli.completion_values import server_names, token_names, tool_ids
from mcpgateway.cli.console import DONE, FAILED, answer, can_ask, confirm, fail, local_time, say
from mcpgateway.cli.context import Globals
from mcpgateway.cli.files import machine_of
from mcpgateway.cli.lazy import SuggestingGroup
from mcpgateway.cli.queries import RouteVerb, TableQuery, ask, number, text
from mcpgateway.cli.values import TimeOption
from mcpgateway.hints import cli
from mcpgateway.shim.startup import opener

if TYPE_CHECKING:
    from mcpgateway.clientfiles.report import Report
    from mcpgateway.clientfiles.reroute import CutOff

T = TypeVar("T")
LEDGER = "ledger"
ENABLED = "Clients on this machine need a token now."
API = "/api/v1/tokens"
OWN = {"auth": "auth.token", "admin": "admin.token"}
LIMIT = 4096
LONGEST_S = 10 * 366 * 86400.0


def _limits(found: Mapping[str, Any]) -> str:
    parts = [", ".join(found["servers"]) if found["servers"] else "every server"]
    if found["tools"]:
        parts.append(f"tools {', '.join(found['tools'])}")
    if found["read_only"]:
        parts.append("read only")
    elif found.get("tier") == "write":
        parts.append("nothing destructive")
    return "; ".join(parts)


def _end(found: Mapping[str, Any]) -> str:
    from datetime import UTC, datetime

    if found["expires"] is None:
        return "it is revoked"
    end = datetime.fromtimestamp(found["expires"], UTC).strftime("%Y-%m-%d %H:%M UTC")
    return f"over since {end}" if found["expired"] else end


def _use(found: Mapping[str, Any]) -> str:
    if not found["last_used_at"]:
        return "never"
    place = f" from {found['last_from']}" if found["last_from"] else ""
    return f"{local_time(found['last_used_at'])}{place}"


TOKENS = TableQuery(
    API,
    {
        "ID": text("id"),
        "NAME": text("name"),
        "FOR": _limits,
        "UNTIL": _end,
        "CALLS": number("calls"),
        "LAST USED": _use,
    },
    key="tokens",
    none=f"No agent has a token.\n{cli('token create NAME')} makes one.",
)


@click.group(cls=SuggestingGroup, context_settings={"help_option_names": ["-h", "--help"]})
def token() -> None:
    """Show, replace and give out tokens.

    The gateway has two of its own: one for whoever uses it, and one for whoever manages it. Agents get tokens that are
    for some servers or tools only, and for some time.
    """


_admin = click.option("--admin", "is_admin", is_flag=True, help="The one for whoever manages the gateway.")


@token.command()
@_admin
@click.option("--make", "is_made", is_flag=True, help="Make it where there is none yet.")
@click.pass_obj
def show(globals_: Globals, *, is_admin: bool, is_made: bool) -> None:
    """Print the gateway's own token; no gateway need run."""
    which = "admin" if is_admin else "auth"
    if is_made:
        _make_files(globals_.home)
    found = _own_token(globals_.home, which)
    answer(globals_, {"which": which, "token": found}, lambda: say(found))


@token.command()
@_admin
@click.option("--all", "is_all", is_flag=True, help="Both.")
@click.argument("words", nargs=-1, metavar="", shell_complete=lambda *_: [])
@click.pass_obj
def rotate(globals_: Globals, *, is_admin: bool, is_all: bool, words: tuple[str, ...]) -> None:
    """Replace the gateway's own token; the former one is refused from then on."""
    if words:
        command = cli("servers set-env {} VARIABLE", words[0])
        raise click.UsageError(
            f"these are the gateway's own tokens; the key of a server is given to it by {command}"
        )
    which = ["auth", "admin"] if is_all else ["admin" if is_admin else "auth"]
    remote = GatewayClient(globals_)
    try:
        remote.ask("/healthz")
    except NoGateway as why:
        if globals_.url:
            remote.unreachable(why)
        _rotate_files(globals_.home, which)
        found: dict[str, Any] = {"rotated": which, "running": False}
    else:
        found = ask(globals_, f"{API}/rotate", method="POST", body={"which": which})

    def tell() -> None:
        say(f"Replaced: {', '.join(found['rotated'])}.")
        say(f"  {cli('token show')} prints it; whoever had the former needs it", dim=True)

    answer(globals_, found, tell)


@token.command()
@click.option(
    "--reroute/--no-reroute",
    "reroutes",
    default=None,
    help="Whether clients that are cut off are enrolled by a command that has the token (default: ask).",
)
@click.pass_obj
def enable(globals_: Globals, *, reroutes: bool | None) -> int:
    """Let clients on this machine need a token, too.

    No client's file holds a token, so those that use the gateway by URL are cut off: they are named, and enrolled by a
    command that has it where you agree.  `disable` takes that back.
    """
    found = _require(globals_, is_required=True)
    cut = _cut_off(globals_)
    report = None
    if cut and not globals_.as_json:
        say(ENABLED)
        _tell_cut_off(cut)
    if cut and (reroutes or (reroutes is None and _is_agreed(globals_))):
        from mcpgateway.clientfiles import reroute

        report = _changed(lambda: reroute.reroute(machine_of(globals_)))
    more = {
        "cut_off": [] if report is not None else [each.as_json() for each in cut],
        "clients": report.as_json() if report is not None else None,
    }

    def tell() -> None:
        if not cut:
            say(ENABLED)
        elif report is None:
            say(f"  {cli('token enable --reroute')} enrols them by a command that has the token", dim=True)
        _tell_report(report)

    answer(globals_, {**found, **more}, tell)
    return FAILED if report is not None and report.errors else DONE


@token.command()
@click.pass_obj
def disable(globals_: Globals) -> int:
    """Let clients on this machine need none; those elsewhere always do.

    Clients that `enable` has enrolled by a command are enrolled as they were before.
    """
    found = _require(globals_, is_required=False)
    report = None
    if not globals_.url and os.path.isdir(os.path.join(globals_.home, LEDGER)):
        from mcpgateway.clientfiles import reroute

        report = _changed(lambda: reroute.take_back(machine_of(globals_)))
        report = report if report.files else None

    def tell() -> None:
        say("Clients on this machine need no token.")
        _tell_report(report)

    answer(globals_, {**found, "clients": report.as_json() if report is not None else None}, tell)
    return FAILED if report is not None and report.errors else DONE


def _cut_off(globals_: Globals) -> tuple[CutOff, ...]:
    # Only this machine's files are known.
    if globals_.url or not os.path.isdir(os.path.join(globals_.home, LEDGER)):
        return ()
    from mcpgateway.clientfiles import reroute

    return _changed(lambda: reroute.cut_off(machine_of(globals_)))


def _changed(work: Callable[[], T]) -> T:
    from mcpgateway.errors import ConfigError

    try:
        return work()
    except ConfigError as why:
        fail(f"the gateway does as it was told, but clients' files stay as they are: {why}")


def _tell_cut_off(cut: tuple[CutOff, ...]) -> None:
    from mcpgateway.config.document import visible

    say("These use the gateway by URL, without a token, and are cut off:")
    for each in cut:
        say(f"  {each.title} ({visible(each.path)}): {', '.join(map(visible, each.servers))}")


def _is_agreed(globals_: Globals) -> bool:
    return can_ask(globals_) and confirm("Enrol them by a command that has the token?", default=True)


def _tell_report(report: Report | None) -> None:
    if report is not None:
        from mcpgateway.cli.client_tables import tell_report

        tell_report(report)


@token.command()
@click.argument("name")
@click.option(
    "--server",
    "servers",
    multiple=True,
    metavar="NAME",
    shell_complete=server_names,
    help="Only this server; may be repeated, * is any.",
)
@click.option(
    "--tool",
    "tools",
    multiple=True,
    metavar="NAME",
    shell_complete=tool_ids,
    help="Only this tool, as TOOL or SERVER__TOOL; may be repeated, * is any.",
)
@click.option("--read-only", is_flag=True, help="Only tools whose server says that they change nothing.")
@click.option(
    "--tier",
    type=click.Choice(["read", "write", "destructive"]),
    help="Only tools of this tier and lower ones, by what their servers say.",
)
@click.option(
    "--expires",
    type=TimeOption(LONGEST_S, "12h or 30d"),
    metavar="TIME",
    help="Good for so long, such as 12h or 30d.",
)
@click.pass_obj
def create(
    globals_: Globals,
    name: str,
    servers: tuple[str, ...],
    tools: tuple[str, ...],
    *,
    read_only: bool,
    tier: str | None,
    expires: float | None,
) -> None:
    """Make a token for an agent, and print it: it is shown once, and kept nowhere."""
    body = {
        "name": name,
        "servers": list(servers),
        "tools": list(tools),
        "read_only": read_only,
        "expires_in": expires or 0,
        **({"tier": tier} if tier else {}),
    }
    found = ask(globals_, API, method="POST", body=body, has="token")

    def tell() -> None:
        say(found["token"])
        say(f"  {_limits(found)}", dim=True, err=True)
        if found.get("hint"):
            say(f"  {found['hint']}", dim=True, err=True)

    answer(globals_, found, tell)


@token.command("list")
@click.pass_obj
def list_(globals_: Globals) -> None:
    """List the tokens of agents."""
    TOKENS.run(globals_)


revoke = RouteVerb(f"{API}/{{named}}", "DELETE", "Revoked: {found[name]} ({found[revoked]}).").command(
    "revoke",
    "Take an agent's token back; it is refused from then on.",
    click.argument("named", metavar="ID|NAME", shell_complete=token_names),
)
token.add_command(revoke)


def _require(globals_: Globals, *, is_required: bool) -> dict[str, Any]:
    found: dict[str, Any] = ask(globals_, f"{API}/required", method="PUT", body={"required": is_required})
    return found


def _own_token(home: str, which: str) -> str:
    path = os.path.join(home, OWN[which])
    try:
        with open(path, encoding="ascii", opener=opener) as file:
            found = file.read(LIMIT).strip()
    except FileNotFoundError:
        fail(f"there is no {path}", f"the gateway makes it when it first starts: {cli('start')}")
    except (OSError, UnicodeError) as why:
        fail(f"{path} cannot be read: {getattr(why, 'strerror', None) or 'it is no token'}")
    if not found:
        fail(f"{path} is empty", f"{cli('token rotate')} makes another")
    return found


def _make_files(home: str) -> None:
    from mcpgateway.errors import ConfigError
    from mcpgateway.system.files import make_home
    from mcpgateway.system.token_files import TokenFiles

    try:
        make_home(home)
        TokenFiles(home).own()
    except ConfigError as why:
        fail(why.message, why.hint)


def _rotate_files(home: str, which: list[str]) -> None:
    from mcpgateway.errors import ConfigError
    from mcpgateway.system.files import make_home
    from mcpgateway.system.token_files import TokenFiles

    try:
        make_home(home)
        for each in which:
            TokenFiles(home).renew(OWN[each])
    except ConfigError as why:
        fail(why.message, why.hint)
