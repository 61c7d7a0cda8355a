"""Servers: their list and state; starting, stopping and switching them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import click

from mcpgateway.cli import shell_path
from mcpgateway.cli.completion_values import node_names, server_names
from mcpgateway.cli.console import (
    DONE,
    FAILED,
    NO_SERVERS,
    Styled,
    answer,
    coloured,
    paragraph,
    remedy,
    say,
    shortened,
)
from mcpgateway.cli.context import Globals
from mcpgateway.cli.lazy import CommandInfo, LazyGroup
from mcpgateway.cli.queries import Cell, RouteVerb, TableQuery, ask, report, tell_need, text
from mcpgateway.cli.values import TimeOption
from mcpgateway.hints import cli
from mcpgateway.units import MB, duration, size

API = "/api/v1/servers"
# Keys of a definition that `servers get` shows in rows of their own, or not at all.
SHOWN = frozenset(
    "command args env environment headers auth url httpUrl serverUrl baseUrl docker rest_url type".split()
)
NAMED = ("env", "environment", "headers")
SERVER = f"{API}/{{name}}"
MARGIN_S = 10.0  # so that the gateway reports its own timeout
STOP_S = 60.0
RUNS = frozenset(("running", "asleep", "degraded"))
WORKS = frozenset(("idle", "stopped"))  # it has run, and the next request starts it
COMES = frozenset(("starting", "restarting"))
VERBS = {
    "list": CommandInfo("servers.servers:list_", "list all servers, and how they are"),
    "get": CommandInfo("servers.servers:get", "show all there is to know of one"),
    "add": CommandInfo("servers.edit:add", "add one to the configuration, and start it"),
    "search": CommandInfo("servers.install:search", "search the catalogue and the registry for servers"),
    "install": CommandInfo("servers.install:install", "add one of them by its name, with what it needs"),
    "remove": CommandInfo("servers.edit:remove", "take one out of the configuration"),
    "rename": CommandInfo("servers.edit:rename", "call one by another name"),
    "enable": CommandInfo("servers.servers:enable", "switch one on"),
    "disable": CommandInfo("servers.servers:disable", "switch one off: it is stopped, and calls are refused"),
    "start": CommandInfo("servers.servers:start", "start one, or all that clients share"),
    "stop": CommandInfo("servers.servers:stop", "stop one, or all; the next who needs it starts it again"),
    "restart": CommandInfo("servers.servers:restart", "replace what runs of one, or start it"),
    "upgrade": CommandInfo(
        "servers.versions:upgrade", "compare a newer version of one, and give it to new sessions"
    ),
    "approve": CommandInfo(
        "servers.versions:approve", "offer tools again that are held back since they have changed"
    ),
    "test": CommandInfo("servers.validate:validate", "try one: connect, list its tools, ping it, end it"),
    "reset-circuit": CommandInfo("servers.servers:reset_circuit", "forget what one has done wrong"),
    "set": CommandInfo("servers.edit:set_keys", "give keys of one's entry values"),
    "unset": CommandInfo("servers.edit:unset_keys", "take keys out of one's entry"),
    "edit": CommandInfo("servers.change:edit", "edit the keys of one in $EDITOR"),
    "login": CommandInfo("servers.login:login", "sign in at a remote one that wants it"),
    "logout": CommandInfo("servers.login:logout", "sign out there"),
    "forget": CommandInfo("servers.login:forget", "sign out, and give up what the gateway is registered as"),
    "set-env": CommandInfo("servers.variables:set_env", "give one variables"),
    "unset-env": CommandInfo("servers.variables:unset_env", "take variables away from one"),
    "set-header": CommandInfo("servers.variables:set_header", "give one headers"),
    "unset-header": CommandInfo("servers.variables:unset_header", "take headers away from one"),
}


@click.group(
    cls=LazyGroup, table=VERBS, bare="list", context_settings={"help_option_names": ["-h", "--help"]}
)
def servers() -> None:
    """Look at servers, add, change and remove them, start and stop them.

    Values of variables and headers are never shown.
    """


of_name: Callable[[Any], Any] = click.argument("name", metavar="NAME", shell_complete=server_names)
_of_name_or_all = click.argument("name", metavar="[NAME]", required=False, shell_complete=server_names)
_all = click.option("--all", "is_all", is_flag=True, help="Every server.")
_at_node = click.option(
    "--node",
    metavar="NAME|all",
    default="",
    shell_complete=node_names,
    help="The node of a cluster; without it the one that is asked.",
)
waiting: Callable[[Any], Any] = click.option(
    "--wait",
    "wait_s",
    type=TimeOption(),
    default="30s",
    show_default=True,
    help="How long to wait until it runs; 60s at most.",
)


def _command(each: Mapping[str, Any]) -> str:
    return " ".join(map(shortened, str(each.get("runs") or "").split(" ")))


def _state(each: Mapping[str, Any]) -> Styled:
    return coloured(str(each.get("state") or each["status"]))


SERVERS = TableQuery(
    API,
    {
        "NAME": text("name"),
        "STATE": _state,
        "SHARE": text("share"),
        "SESSIONS": text("sessions", "0"),
        "RUNS": _command,
    },
    none=NO_SERVERS,
    cuts="RUNS",
)
WIDE: dict[str, Cell] = {
    "TOOLS": lambda each: "?" if each.get("tool_count") is None else str(each["tool_count"]),
    "MEMORY": lambda each: size(each["memory_mb"] * MB) if each.get("memory_mb") else "",
    "DEFINED": lambda each: shortened(str(each.get("source") or "")),
}


@click.command("list")
@click.option(
    "-w",
    "--wide",
    "is_wide",
    is_flag=True,
    help="Show tools, memory, the file that defines each, and its last error, too.",
)
@click.pass_obj
def list_(globals_: Globals, *, is_wide: bool) -> None:
    """List all servers, and how they are: one line for each, or more of each with --wide."""
    found = SERVERS.ask(globals_, {} if globals_.as_json else {"tools": "false"})
    rows = SERVERS.rows(found)
    columns = dict(SERVERS.columns)
    if any(each.get("project") for each in rows):
        columns["PROJECT"] = lambda each: shortened(str(each.get("project") or ""))
    if any(each.get("group") for each in rows):
        columns["GROUP"] = text("group")
    failed = [str(each["name"]) for each in rows if each.get("last_error")]
    faulty = [each for each in rows if each.get("need")]
    if is_wide:
        columns |= WIDE | ({"LAST ERROR": _error} if failed else {})
    shown = SERVERS._replace(columns=columns, cuts="" if is_wide else SERVERS.cuts)

    def tell() -> None:
        shown.tell(found)
        for each in faulty:
            say()
            tell_need(each["name"], each["need"])
        for name in failed if not is_wide else ():
            if all(each["name"] != name for each in faulty):
                paragraph(f"{cli('why {}', name)} says what the last error of {name} is.")

    shown.answer(globals_, found, tell)


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
        ("status", _state(found)),
        ("error", str(found.get("last_error") or "")),
        ("fault", (found.get("need") or {}).get("says", "")),
        ("remedy", (found.get("need") or {}).get("do", "")),
        ("sign in", str(found.get("login_url") or "")),
        ("next try", f"in {duration(found['next_try_s'])}" if found.get("next_try_s") is not None else ""),
        ("runs", str(found.get("runs") or _runs(found.get("config")))),
        ("transport", found["transport"]),
        ("version", _version(found)),
        ("group", ": ".join(filter(None, (found.get("group_title"), found.get("group"))))),
        ("share", found.get("share")),
        ("pids", ", ".join(map(str, found.get("pids") or ()))),
        ("uptime", duration(float(found["uptime_seconds"])) if found.get("uptime_seconds") else ""),
        ("sessions", found.get("sessions")),
        ("requests", _asked(found)),
        ("restarts", found["restart_count"]),
        ("variables", ", ".join(found["env_keys"])),
        ("headers", ", ".join(found["header_keys"])),
        ("defined", shortened(str(found.get("source") or ""))),
        *_settings(found),
        ("project", shortened(str(found.get("project") or ""))),
        ("tools", "not known yet" if tools is None else ", ".join(str(each["name"]) for each in tools)),
    ]
    for title, value in rows:
        if value not in ("", None):
            paragraph(f"{title:<10} ", value if isinstance(value, Styled) else str(value))


def _version(found: Mapping[str, Any]) -> str:
    newer = f"; {found['newer_version']} is there" if found.get("newer_version") else ""
    return f"{found['version']}{newer}" if found.get("version") else ""


def _settings(found: dict[str, Any]) -> list[tuple[str, str]]:
    """Return the rows of the settings of a server, and of its overlay with the keys that it changes."""
    over = found.get("overlay")
    if isinstance(over, dict):
        return [("changed in", f"{shortened(str(over.get('file')))}: {_keys(over.get('config'))}")]
    config = found.get("config")
    rest = {key: each for key, each in config.items() if key not in SHOWN} if isinstance(config, dict) else {}
    return [("settings", _keys(rest))]


def _keys(config: Any) -> str:
    """Return the keys of a definition with their values, and of variables and headers with their names only."""
    found = []
    for key, value in config.items() if isinstance(config, dict) else ():
        if key in NAMED:
            found += [f"{key}.{str(each).partition('=')[0]}" for each in value]
        elif key != "overlay":
            shown = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
            found.append(f"{key}={shown}")
    return ", ".join(found)


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


@click.command("reset-circuit")
@of_name
@_at_node
@click.pass_obj
def reset_circuit(globals_: Globals, name: str, node: str) -> int:
    """Close the circuit breaker of one, so that it may be started again."""
    found = ask(globals_, f"{SERVER}/reset-circuit", method="POST", params={"node": node}, name=name)
    return _tell_acts(globals_, found, lambda each: f"{name} may be started again{_at(each)}.")


@click.command()
@_of_name_or_all
@_all
@_at_node
@waiting
@click.pass_obj
def start(globals_: Globals, name: str | None, *, is_all: bool, node: str, wait_s: float) -> int:
    """Start one, and wait until it runs; or all that clients share, without waiting.

    Exit code 1 where it does not run.
    """
    if _one(name, is_all=is_all):
        return operate(globals_, str(name), "start", wait_s, node=node)
    found = ask(globals_, f"{API}/start", method="POST", params={"node": node})
    return _tell_acts(
        globals_, found, lambda each: f"Starting{_at(each)}: {', '.join(each.get('servers', ())) or 'none'}"
    )


@click.command()
@_of_name_or_all
@_all
@_at_node
@click.pass_obj
def stop(globals_: Globals, name: str | None, *, is_all: bool, node: str) -> int:
    """Stop one, or all. The next call starts it again, unless it is switched off (disable)."""
    is_one = _one(name, is_all=is_all)
    route = f"{SERVER}/stop" if is_one else f"{API}/stop"
    found = ask(
        globals_, route, method="POST", params={"node": node}, limit_s=STOP_S, waits="stopping", name=name
    )

    def told(each: Mapping[str, Any]) -> str:
        if is_one:
            return f"{name} is stopped{_at(each)}; the next who needs it starts it again."
        return f"Stopped{_at(each)}: {', '.join(each.get('servers', ())) or 'nothing ran'}"

    return _tell_acts(globals_, found, told)


@click.command()
@of_name
@_at_node
@waiting
@click.pass_obj
def restart(globals_: Globals, name: str, node: str, wait_s: float) -> int:
    """Replace what runs of one by new processes, or start it.

    Exit code 1 where it does not run then.
    """
    return operate(globals_, name, "restart", wait_s, node=node)


def _one(name: str | None, *, is_all: bool) -> bool:
    if (name is None) is not is_all:
        raise click.UsageError("name a server, or say --all")
    return not is_all


def operate(
    globals_: Globals, name: str, verb: str, wait_s: float, *, waits: str = "waiting for", node: str = ""
) -> int:
    """Start a server, or start it anew, and print its state; return the exit code.

    :param node: the node of a cluster, or ``all``; empty for the one that is asked.
    :param waits: the words of the spinner before its name.
    """
    found = ask(
        globals_,
        f"{SERVER}/{verb}",
        method="POST",
        params={"wait": f"{wait_s:g}s", "node": node},
        limit_s=wait_s + MARGIN_S,
        waits=f"{waits} {name}",
        name=name,
    )
    if "items" in found:
        return _tell_acts(globals_, found, lambda each: _told_of(each, name))
    return print_state(globals_, found, name)


# Output


def _at(each: Mapping[str, Any]) -> str:
    return f" at node {each['node']}" if each.get("node") else ""


def _told_of(each: Mapping[str, Any], name: str) -> str:
    server = each.get("server")
    server = server if isinstance(server, dict) else {}
    return _sentence(name, "", str(server.get("status") or ""), server, _at(each))


def _tell_acts(globals_: Globals, found: Any, told: Callable[[Mapping[str, Any]], str]) -> int:
    """Report an act at one node, or at each of several; return the exit code.

    :param told: returns the sentence of a node's answer.
    """
    rows = found.get("items", [found])

    def tell() -> None:
        for each in rows:
            why = each.get("error")
            paragraph(f"Node {each['node']}: {why}" if why else told(each))
        for each in found.get("missing", ()):
            paragraph(f"Node {each} has not answered.")

    answer(globals_, found, tell)
    return FAILED if found.get("missing") or any(each.get("error") for each in rows) else DONE


def print_state(globals_: Globals, found: dict[str, Any], name: str, did: str = "") -> int:
    """Report the state of a server that is meant to run; return the exit code.

    :param did: what was done with it before, as the beginning of the report.
    """
    server = found.get("server")
    state = str(server.get("status")) if isinstance(server, dict) else ""
    is_well = state in RUNS | WORKS | {""}
    is_wrong = not (is_well or state in COMES or globals_.as_json)
    told = {"hint": shell_path.sentence(globals_, name)} if is_wrong else {} if state else found

    def tell() -> None:
        report(_sentence(name, did, state, server or {}, _at(found)), told)
        need = server.get("need") if is_wrong and isinstance(server, dict) else None
        if need and not told["hint"]:
            remedy(str(need["do"]), str(need["run"]), "  ", key=str(need.get("key") or ""))

    answer(globals_, found, tell)
    return DONE if is_well else FAILED


def _sentence(name: str, did: str, state: str, server: Mapping[str, Any], at: str) -> str:
    begin = f"{name} is {did}" if did else name
    if not state:
        return f"{begin}."
    joined = f"{begin}, and" if did else begin
    if state in RUNS:
        return f"{joined} runs{at}."
    if state in WORKS:
        return f"{joined} works{at}; it is started by whoever needs it."
    if state in COMES:
        return f"{joined} is still starting{at}: {cli('servers get {}', name)} tells how it is."
    from mcpgateway.errors import without_name  # only for a fault

    why = without_name(name, str(server.get("last_error") or state))
    return f"{begin}, but does not run{at}: {why}" if did else f"{name} does not run{at}: {why}"
