"""Commands that report the state of the gateway."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from mcpgateway.cli.client import BUSY, GatewayClient, NoGateway
from mcpgateway.cli.console import (
    DONE,
    FAILED,
    NO_SERVERS,
    UNREACHABLE,
    answer,
    coloured,
    emit,
    format_duration,
    is_terminal,
    paragraph,
    say,
    shortened,
    styled,
)
from mcpgateway.cli.context import Globals
from mcpgateway.cli.gateway_process import gateway_pid
from mcpgateway.cli.queries import Cell, ask, rows_table, text
from mcpgateway.shim import startup
from mcpgateway.shim.startup import LOG
from mcpgateway.system.process.procfs import age, is_alive
from mcpgateway.system.state import FILE, GatewayState, read_state

HEALTH_S = 5.0
DEAD, RUNNING, SILENT, ABSENT, HIDDEN = "dead", "running", "silent", "not running", "unknown"
LEDGER = "ledger"
GIVEN_BACK = {
    "disabled": "mcpgateway clients resume enrols it again",
    "stopped": "mcpgateway start enrols it again",
    "away": "a gateway that runs enrols it again",
}
SERVERS: dict[str, Cell] = {
    "SERVER": text("name"),
    "STATE": lambda each: coloured(str(each.get("status", "?"))),
    "SHARE": text("share"),
    "CHILDREN": lambda each: str(len(each.get("pids", ()))),
    "SESSIONS": text("sessions", "0"),
    "REQUESTS": text("requests", "0"),
}
CLIENTS: dict[str, Cell] = {
    "CLIENT": text("name"),
    "SERVERS": text("servers", "0"),
    "FILE": lambda each: f"restored: {_restored(each)}" if each.get("restored") else "enrolled",
}
OVERVIEW, HEALTH = "/api/v1/overview", "/health"


def show_health(globals_: Globals) -> None:
    """Print the numbers of a running gateway and its servers."""
    found = ask(globals_, "/health", has="status")
    answer(globals_, found, lambda: _tell_health(found))


def _tell_health(found: dict[str, Any]) -> None:
    for name in ("status", "version", "pid", "port", "servers", "running", "sessions", "streams", "calls"):
        say(f"{name:<10} {found.get(name, '')}")
    say(f"{'uptime':<10} {format_duration(float(found.get('uptime') or 0))}")
    say(f"{'memory':<10} {found.get('memory_mb', '?')} MB")
    if url := aggregate(found):
        say(f"{'all tools':<10} {url}")
    tell_problems(found)
    say()
    _tell_servers(found)


def _tell_servers(found: dict[str, Any]) -> None:
    servers = [each for each in found.get("backends", ()) if isinstance(each, dict)]
    if servers:
        rows_table(SERVERS, servers)


def show_status(globals_: Globals) -> int:
    """Print whether all is well and what needs the user, then what the gateway serves to whom; return the exit code."""
    if globals_.url:
        found = _overview(GatewayClient(globals_)) or ask(globals_, HEALTH, has="status")
        return _print_status(globals_, _Found(RUNNING, 0, GatewayState(exists=False), found))
    return _print_status(globals_, look(globals_))


def _overview(client: GatewayClient) -> dict[str, Any]:
    """Return the overview; empty if no gateway gives it, such as one of an earlier release."""
    try:
        reply = client.ask(OVERVIEW, limit_s=HEALTH_S)
    except NoGateway:
        return {}
    return reply.value if isinstance(reply.value, dict) and reply.status < 400 else {}


class _Found:
    """The state of the gateway, as found.

    :ivar body: the gateway's own answer; empty without one.
    :ivar returns_in: seconds until its guardian restarts it; None if no restart is due.
    :ivar restores_in: seconds until its guardian restores clients' files; None if no restoration is due.
    :ivar clients: the clients whose files use it, or would if they had not been restored.
    """

    def __init__(self, state: str, pid: int, left: GatewayState, body: dict[str, Any]) -> None:
        self.state = state
        self.left = left
        self.body = body
        self.pid = pid or int(body.get("pid") or 0) or left.pid
        self.port = int(body.get("port") or 0) or left.port
        self.returns_in: float | None = None
        self.restores_in: float | None = None
        self.clients = clients(body)

    @property
    def uptime(self) -> float:
        """Its age in seconds."""
        return float(self.body.get("uptime") or age(self.pid))


def look(globals_: Globals) -> _Found:
    """Return the state of the gateway of the home."""
    left = read_state(globals_.home)
    pid = gateway_pid(globals_.home)
    client = GatewayClient(globals_)
    body, reply = _overview(client), None
    if not body:
        try:
            reply = client.ask(HEALTH, limit_s=HEALTH_S)
        except NoGateway:
            reply = None
        else:
            body = reply.value if isinstance(reply.value, dict) and reply.status < 400 else {}
    if body or (reply is not None and reply.status in (401, 403)):
        return _Found(RUNNING, pid, left, body)
    if pid:
        return _Found(SILENT, pid, left, body)
    if left.is_hidden:
        return _Found(HIDDEN, 0, left, body)
    found = _Found(DEAD if left.exists else ABSENT, 0, left, body)
    found.returns_in = _due_in(globals_.home, startup.REVIVAL)
    found.restores_in = _due_in(globals_.home, startup.RESTORATION)
    found.clients = _left(globals_.home)
    return found


def _left(home: str) -> list[dict[str, Any]]:
    """Return the clients of the ledger; none if it cannot be read, which `doctor` reports."""
    if not os.path.isdir(f"{home}/{LEDGER}"):
        return []
    from mcpgateway.clientfiles.ledger import Ledger
    from mcpgateway.errors import ConfigError

    try:
        files = Ledger(home).read().files.values()
    except ConfigError:
        return []
    return [
        _client(each.dialect, len(each.entries), each.suspended) | {"mode": each.mode}
        for each in files
        if each.entries
    ]


def _due_in(home: str, name: str) -> float | None:
    due = startup.read_due(home, name)
    if due is None or not is_alive(due[1]):
        return None
    return max(0.0, (due[0] - startup.clock()) / 1000)


def _print_status(globals_: Globals, found: _Found) -> int:
    if globals_.as_json:
        emit(_value(found))
    else:
        _tell(found, globals_.home)
    if found.left.trouble and found.state in (DEAD, HIDDEN):
        return FAILED
    return DONE if found.state == RUNNING else UNREACHABLE


def _value(found: _Found) -> dict[str, Any]:
    runs = found.state in (RUNNING, SILENT)
    return {
        "state": found.state,
        "running": runs,
        "pid": found.pid or None,
        "port": found.port or None,
        "version": found.body.get("version") or found.left.version or None,
        "aggregate": aggregate(found.body) or None,
        "saved": found.body.get("saved") or None,
        "starts_again_in_seconds": None if found.returns_in is None else round(found.returns_in),
        "uptime_seconds": int(found.uptime) if runs else None,
        "servers": [
            {"name": each.get("name"), "state": each.get("status")}
            | ({"login_url": each["login_url"]} if each.get("login_url") else {})
            for each in found.body.get("backends", ())
        ],
        "ok": found.body.get("ok") if runs else False,
        "verdict": found.body.get("verdict") or (None if runs else "the gateway does not run"),
        "needs": needs(found.body),
        "problems": problems(found.body),
        "remarks": remarks(found.body),
        "clients": [each for each in found.clients if not each.get("restored")],
        "restored": [each for each in found.clients if each.get("restored")],
        "restores_in_seconds": None if found.restores_in is None else round(found.restores_in),
        "trouble": found.left.trouble or None,
    }


def aggregate(body: dict[str, Any]) -> str:
    """Return the address of the endpoint of all servers; empty if there is none."""
    port = body.get("port")
    return f"http://localhost:{port}/mcp" if body.get("aggregate") is True and port else ""


def problems(body: dict[str, Any]) -> list[dict[str, str]]:
    """Return the problems of the gateway as a whole, each with ``code``, ``message`` and ``hint``."""
    shown = body.get("problems")
    found = [each for each in shown if isinstance(each, dict)] if isinstance(shown, list) else []
    return [{name: str(each.get(name) or "") for name in ("code", "message", "hint")} for each in found]


def needs(body: dict[str, Any]) -> list[dict[str, str]]:
    """Return the needs of the overview, each with ``kind``, ``name``, ``cause``, ``says`` and ``do``."""
    shown = body.get("needs")
    found = [each for each in shown if isinstance(each, dict)] if isinstance(shown, list) else []
    return [
        {name: str(each.get(name) or "") for name in ("kind", "name", "cause", "says", "do")}
        for each in found
    ]


def _tell_verdict(body: dict[str, Any]) -> None:
    """Print whether all is well, and each need with its remedy."""
    found, sentence = needs(body), str(body.get("verdict") or "")
    if not sentence:
        tell_problems(body)
        return
    mark = styled("! ", fg="yellow") if found or not body.get("servers") else styled("✓ ", fg="green")
    say(mark, styled(sentence[:1].upper() + sentence[1:], bold=True))
    if not body.get("servers"):
        paragraph(f"  {NO_SERVERS.partition(chr(10))[2]}")
    for each in found:
        say()
        paragraph("  ", styled(each["name"] or each["kind"], bold=True), f": {each['says']}")
        if each["do"]:
            paragraph(f"    {each['do']}")
    say()


def tell_problems(body: dict[str, Any]) -> None:
    """Print the problems."""
    for each in problems(body):
        paragraph("Problem: ", styled(each["message"], fg="red"))
        paragraph(f"         {each['hint']}")


def remarks(body: dict[str, Any]) -> list[str]:
    """Return remarks on running servers: stuck processes, and calls that take long."""
    made = []
    for each in body.get("backends", ()):
        name = each.get("name")
        if stuck := each.get("stuck"):
            made.append(f"{name} is stuck: {stuck}; mcpgateway servers restart {name}")
        made += [
            f"{name}: process {one['pid']} is stuck with {one['calls']} call{'' if one['calls'] == 1 else 's'},"
            " and another takes the new ones"
            for one in each.get("retired", ())
        ]
        made += [
            f"{name}: a call of {call['what']} has been under way for {format_duration(float(call['seconds']))}"
            for call in each.get("long_calls", ())
        ]
    return made


def clients(body: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the clients whose files use the gateway, or did, each with a name and its number of servers.

    Restored files have the reason in one word.
    """
    shown = body.get("clients")
    if not isinstance(shown, list):
        return []
    made = []
    for each in shown:
        if not isinstance(each, dict):
            continue
        servers = each.get("servers", ())
        number = servers if isinstance(servers, int) else len(servers or ())
        name = str(each.get("title") or each.get("tool") or each.get("name") or "?")
        made.append(_client(name, number, str(each.get("suspended") or "")))
    return made


def _client(name: str, servers: int, why: str) -> dict[str, Any]:
    return {"name": name, "servers": servers} | ({"restored": why} if why else {})


def _tell(found: _Found, home: str) -> None:
    if found.state in (RUNNING, SILENT):
        _tell_running(found, home)
    elif found.state == ABSENT:
        say("Gateway is not running.")
        _tell_return(found)
        _tell_clients_left(found)
        is_enrolled = any(not each.get("restored") for each in found.clients)
        say(
            "Next:    mcpgateway start",
            ", or mcpgateway stop to restore clients' files" if is_enrolled else "",
        )
    elif found.state == HIDDEN:
        say("Status:  ", styled("cannot be told", fg="yellow"))
        say(f"State:   {home}/{FILE}: {found.left.trouble}")
        say("Next:    look whose it is; --home names another home")
    else:
        say("Status:  ", styled("DEAD (stale state)", fg="red"))
        if found.left.trouble:
            say(f"State:   {found.left.trouble}")
        else:
            say(f"PID:     {found.left.pid} {_fate(found.left.pid)}")
        _tell_return(found)
        _tell_clients_left(found)
        say("Next:    mcpgateway start, or mcpgateway stop to clear up")


def _tell_client(each: dict[str, Any], more: str = "") -> None:
    says = f"is restored: {_restored(each)}" if each.get("restored") else f"({each['servers']} servers){more}"
    say(f"Client:  {each['name']} {says}")


def _restored(each: Mapping[str, Any]) -> str:
    why = str(each["restored"])
    return GIVEN_BACK.get(why, why)


def _tell_clients_left(found: _Found) -> None:
    """Print the clients whose files are enrolled while no gateway runs."""
    for each in found.clients:
        is_away = each.get("mode") != "fail-open"
        _tell_client(
            each,
            more=" uses the gateway, which does not answer" if is_away else " runs them by itself meanwhile",
        )
    if found.restores_in is not None and any(not each.get("restored") for each in found.clients):
        say(f"Return:  clients' files are restored in {format_duration(found.restores_in)}")


def _tell_return(found: _Found) -> None:
    if found.returns_in is not None:
        say(f"Return:  it is started again by itself in {format_duration(found.returns_in)}")


def _tell_running(found: _Found, home: str) -> None:
    if found.body:
        _tell_verdict(found.body)
    if found.body and is_terminal():
        _tell_tables(found)
    if found.state == SILENT:
        say("Status:  ", styled("RUNNING, but it does not answer", fg="yellow"))
    else:
        say("Status:  ", styled("RUNNING", fg="green"))
    say(f"PID:     {found.pid}")
    if found.port:
        say(f"Port:    {found.port}")
    if url := aggregate(found.body):
        say(f"All:     {url}")
    say(f"Uptime:  {format_duration(found.uptime)}")
    if found.body:
        _tell_numbers(found)
    if found.left.trouble:
        say(f"State:   {found.left.trouble}")
    log = f"{home}/logs/{LOG}"
    if found.state == SILENT:
        say(f"Next:    {BUSY}; its log is {log}")
    elif os.path.exists(log):
        say(f"Log:     {shortened(log)}")


def _tell_tables(found: _Found) -> None:
    _tell_servers(found.body)
    say()
    if found.clients:
        rows_table(CLIENTS, found.clients)
        say()


def _tell_numbers(found: _Found) -> None:
    if not is_terminal():  # where tables show them
        servers = [f"{each.get('name')} ({each.get('status')})" for each in found.body.get("backends", ())]
        say(f"Servers: {', '.join(servers) or 'none'}")
    for line in remarks(found.body):
        say(f"Note:    {line}")
    _tell_logins(found.body)
    saved = found.body.get("saved")
    if isinstance(saved, dict) and saved.get("total"):
        say(f"Spared:  {saved.get('today', 0):,} tokens today, {saved.get('total', 0):,} in all")
    if not is_terminal():
        for each in found.clients:
            _tell_client(each)


def _tell_logins(body: dict[str, Any]) -> None:
    for each in body.get("backends", ()):
        if url := each.get("login_url"):
            say(f"Sign in: mcpgateway servers login {each.get('name')}, or open")
            say(f"         {url}")


def _fate(pid: int) -> str:
    return "(another program now)" if is_alive(pid) else "(gone)"
