"""Servers: their list and state; starting, stopping and switching them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import click

from mcpgateway.cli.completion_values import server_names
from mcpgateway.cli.console import (
    DONE,
    FAILED,
    NO_SERVERS,
    Styled,
    answer,
    coloured,
    format_duration,
    paragraph,
    say,
    shortened,
)
from mcpgateway.cli.context import Globals
from mcpgateway.cli.lazy import CommandInfo, LazyGroup
from mcpgateway.cli.queries import RouteVerb, TableQuery, ask, report, text
from mcpgateway.cli.values import TimeOption

API = "/api/v1/servers"
SERVER = f"{API}/{{name}}"
MARGIN_S = 10.0  # so that the gateway reports its own timeout
STOP_S = 60.0
RUNS = frozenset(("running", "degraded"))
WORKS = frozenset(("idle", "stopped"))  # it has run, and the next request starts it
COMES = frozenset(("starting", "restarting"))
VERBS = {
    "list": CommandInfo("servers:list_", "list all servers, and how they are"),
    "get": CommandInfo("servers:get", "show all there is to know of one"),
    "add": CommandInfo("servers_edit:add", "add one to the configuration, and start it"),
    "remove": CommandInfo("servers_edit:remove", "take one out of the configuration"),
    "rename": CommandInfo("servers_edit:rename", "call one by another name"),
    "enable": CommandInfo("servers:enable", "switch one on"),
    "disable": CommandInfo("servers:disable", "switch one off: it is stopped, and calls are refused"),
    "start": CommandInfo("servers:start", "start one, or all that clients share"),
    "stop": CommandInfo("servers:stop", "stop one, or all; the next who needs it starts it again"),
    "restart": CommandInfo("servers:restart", "replace what runs of one, or start it"),
    "test": CommandInfo("validate:validate", "try one: connect, list its tools, ping it, end it"),
    "reset-circuit": CommandInfo("servers:reset_circuit", "forget what one has done wrong"),
    "set": CommandInfo("servers_edit:set_keys", "give keys of one's entry values"),
    "unset": CommandInfo("servers_edit:unset_keys", "take keys out of one's entry"),
    "edit": CommandInfo("servers_edit:edit", "edit the keys of one in $EDITOR"),
    "login": CommandInfo("servers_login:login", "sign in at a remote one that wants it"),
    "logout": CommandInfo("servers_login:logout", "sign out there"),
    "forget": CommandInfo("servers_login:forget", "sign out, and give up what the gateway is registered as"),
    "set-env": CommandInfo("servers_edit:set_env", "give one variables"),
    "unset-env": CommandInfo("servers_edit:unset_env", "take variables away from one"),
    "set-header": CommandInfo("servers_edit:set_header", "give one headers"),
    "unset-header": CommandInfo("servers_edit:unset_header", "take headers away from one"),
}


@click.group(cls=LazyGroup, table=VERBS, context_settings={"help_option_names": ["-h", "--help"]})
def servers() -> None:
    """Look at servers, add, change and remove them, start and stop them.

    Values of variables and headers are never shown.
    """


of_name: Callable[[Any], Any] = click.argument("name", metavar="NAME", shell_complete=server_names)
_of_name_or_all = click.argument("name", metavar="[NAME]", required=False, shell_complete=server_names)
_all = click.option("--all", "is_all", is_flag=True, help="Every server.")
waiting: Callable[[Any], Any] = click.option(
    "--wait",
    "wait_s",
    type=TimeOption(),
    default="30s",
    show_default=True,
    help="How long to wait until it runs; 60s at most.",
)


SERVERS = TableQuery(
    API,
    {
        "NAME": text("name"),
        "STATUS": lambda each: coloured(str(each["status"])),
        "SHARE": text("share"),
        "SESSIONS": text("sessions", "0"),
        "TOOLS": lambda each: "?" if each.get("tool_count") is None else str(each["tool_count"]),
        "MEMORY": lambda each: f"{each['memory_mb']} MB" if each.get("memory_mb") else "",
        "RUNS": text("runs"),
        "DEFINED": lambda each: shortened(str(each.get("source") or "")),
    },
    none=NO_SERVERS,
)


@click.command("list")
@click.pass_obj
def list_(globals_: Globals) -> None:
    """List all servers, and how they are."""
    found = SERVERS.ask(globals_, {} if globals_.as_json else {"tools": "false"})
    has_projects = any(each.get("project") for each in SERVERS.rows(found))
    has_errors = any(each.get("last_error") for each in SERVERS.rows(found))
    last: dict[str, Any] = {"PROJECT": text("project")} if has_projects else {}
    last |= {"LAST ERROR": _error} if has_errors else {}
    answer(globals_, found, lambda: SERVERS._replace(columns={**SERVERS.columns, **last}).tell(found))


def _error(each: Mapping[str, Any]) -> str:
    from mcpgateway.errors import without_name  # only for a fault

    return without_name(str(each.get("name")), str(each.get("last_error") or ""))


@click.command()
@of_name
@click.pass_obj
def get(globals_: Globals, name: str) -> None:
    """Show all there is to know of one, but no values of variables and headers."""
    found = ask(globals_, SERVER, name=name, has="name")
    answer(globals_, found, lambda: _tell(found))


def _tell(found: dict[str, Any]) -> None:
    say(str(found["name"]), bold=True)
    tools = found.get("tools")
    rows: list[tuple[str, Any]] = [
        ("status", coloured(str(found["status"]))),
        ("error", str(found.get("last_error") or "")),
        ("sign in", str(found.get("login_url") or "")),
        ("next try", f"in {found['next_try_s']} s" if found.get("next_try_s") is not None else ""),
        ("runs", str(found.get("runs") or _runs(found.get("config")))),
        ("transport", found["transport"]),
        ("share", found.get("share")),
        ("pids", ", ".join(map(str, found.get("pids") or ()))),
        ("uptime", format_duration(float(found["uptime_seconds"])) if found.get("uptime_seconds") else ""),
        ("sessions", found.get("sessions")),
        ("requests", _asked(found)),
        ("restarts", found["restart_count"]),
        ("variables", ", ".join(found["env_keys"])),
        ("headers", ", ".join(found["header_keys"])),
        ("defined", str(found.get("source") or "")),
        ("project", str(found.get("project") or "")),
        ("tools", "not known yet" if tools is None else ", ".join(str(each["name"]) for each in tools)),
    ]
    for title, value in rows:
        if value not in ("", None):
            paragraph(f"{title:<10} ", value if isinstance(value, Styled) else str(value))


def _asked(found: dict[str, Any]) -> str:
    requests, calls = found.get("requests") or 0, found.get("tool_calls") or 0
    return f"{requests:,}, {calls:,} of them calls of tools" if requests else "0"


def _runs(config: Any) -> str:
    """Return the command or the address of a definition; the gateway has masked its secrets."""
    if not isinstance(config, dict):
        return ""
    command = config.get("command")
    words = [command] if isinstance(command, str) else list(command or ())
    if words:
        return " ".join(map(str, [*words, *(config.get("args") or ())]))
    container = config.get("docker")
    image = container.get("image") if isinstance(container, dict) else container
    return str(config.get("url") or image or config.get("rest_url") or "")


enable = RouteVerb(SERVER, "PATCH", "{name} is switched on.", {"disabled": False}, STOP_S).command(
    "enable", "Switch one on, in the file that defines it.", of_name
)
disable = RouteVerb(SERVER, "PATCH", "{name} is switched off.", {"disabled": True}, STOP_S).command(
    "disable", "Switch one off, in the file that defines it: it is stopped, and calls are refused.", of_name
)
reset_circuit = RouteVerb(f"{SERVER}/reset-circuit", "POST", "{name} may be started again.").command(
    "reset-circuit", "Close the circuit breaker of one, so that it may be started again.", of_name
)


@click.command()
@_of_name_or_all
@_all
@waiting
@click.pass_obj
def start(globals_: Globals, name: str | None, *, is_all: bool, wait_s: float) -> int:
    """Start one, and wait until it runs; or all that clients share, without waiting.

    Exit code 1 where it does not run.
    """
    if _one(name, is_all=is_all):
        return _operate(globals_, str(name), "start", wait_s)
    found = ask(globals_, f"{API}/start", method="POST", has="servers")
    answer(globals_, found, lambda: say(f"Starting: {', '.join(found['servers']) or 'none'}"))
    return DONE


@click.command()
@_of_name_or_all
@_all
@click.pass_obj
def stop(globals_: Globals, name: str | None, *, is_all: bool) -> None:
    """Stop one, or all. The next call starts it again, unless it is switched off (disable)."""
    is_one = _one(name, is_all=is_all)
    route = f"{SERVER}/stop" if is_one else f"{API}/stop"
    found = ask(globals_, route, method="POST", limit_s=STOP_S, waits="stopping", name=name)
    what = f"Stopped: {', '.join(found.get('servers', ())) or 'nothing ran'}"
    what = f"{name} is stopped; the next who needs it starts it again." if is_one else what
    answer(globals_, found, lambda: say(what))


@click.command()
@of_name
@waiting
@click.pass_obj
def restart(globals_: Globals, name: str, wait_s: float) -> int:
    """Replace what runs of one by new processes, or start it.

    Exit code 1 where it does not run then.
    """
    return _operate(globals_, name, "restart", wait_s)


def _one(name: str | None, *, is_all: bool) -> bool:
    if (name is None) is not is_all:
        raise click.UsageError("name a server, or say --all")
    return not is_all


def _operate(globals_: Globals, name: str, verb: str, wait_s: float) -> int:
    found = ask(
        globals_,
        f"{SERVER}/{verb}",
        method="POST",
        params={"wait": f"{wait_s:g}s"},
        limit_s=wait_s + MARGIN_S,
        waits=f"waiting for {name}",
        name=name,
    )
    return print_state(globals_, found, name)


# Output


def print_state(globals_: Globals, found: dict[str, Any], name: str, did: str = "") -> int:
    """Report the state of a server that is meant to run; return the exit code.

    :param did: what was done with it before, as the beginning of the report.
    """
    server = found.get("server")
    state = str(server.get("status")) if isinstance(server, dict) else ""
    answer(
        globals_, found, lambda: report(_sentence(name, did, state, server or {}), found if not state else {})
    )
    return DONE if state in RUNS | WORKS | {""} else FAILED


def _sentence(name: str, did: str, state: str, server: Mapping[str, Any]) -> str:
    begin = f"{name} is {did}" if did else name
    if not state:
        return f"{begin}."
    joined = f"{begin}, and" if did else begin
    if state in RUNS:
        return f"{joined} runs."
    if state in WORKS:
        return f"{joined} works; it is started by whoever needs it."
    if state in COMES:
        return f"{joined} is still starting: mcpgateway servers get {name} tells how it is."
    from mcpgateway.errors import without_name  # only for a fault

    why = without_name(name, str(server.get("last_error") or state))
    return f"{begin}, but does not run: {why}" if did else f"{name} does not run: {why}"
