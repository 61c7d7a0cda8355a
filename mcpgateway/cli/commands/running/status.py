"""Commands that report the state of the gateway."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from glob import escape, glob
from importlib import import_module
from typing import TYPE_CHECKING, Any

from mcpgateway.cli.client import BUSY, GatewayClient, NoGateway
from mcpgateway.cli.commands.running.status_clients import clients, left_behind, paths_of, told_apart
from mcpgateway.cli.console import (
    DONE,
    FAILED,
    NO_SERVERS,
    RESTING,
    UNREACHABLE,
    coloured,
    emit,
    is_terminal,
    local_time,
    paragraph,
    say,
    shortened,
    styled,
)
from mcpgateway.cli.context import Globals
from mcpgateway.cli.gateway_process import crashed_at, end_in_words, gateway_pid, is_returning, rebooted_at
from mcpgateway.cli.queries import BROKEN, Cell, ask, rows_table, tell_need, text
from mcpgateway.hints import cli
from mcpgateway.policy.groups import ServerGroup, grouped
from mcpgateway.shim import startup
from mcpgateway.shim.startup import LOG
from mcpgateway.system.process.procfs import age, is_alive
from mcpgateway.system.state import FILE, GatewayState, read_state, recorded_pause_end
from mcpgateway.units import MB, duration, size

if TYPE_CHECKING:
    from mcpgateway.system.control_http import HttpReply

HEALTH_S = 5.0
YOUNG_S = 10.0  # a gateway that has been started again answers by then
DEAD, RUNNING, SILENT, ABSENT, HIDDEN = "dead", "running", "silent", "not running", "unknown"
LEFT = "left"  # a gateway runs, and has not enrolled it again, as a file that was broken at its start
PAUSED = "disabled"  # the reason for which a client's file is restored
GIVEN_BACK = {
    PAUSED: f"{cli('clients resume')} enrols it again",
    "stopped": f"{cli('start')} enrols it again",
    "away": "a gateway that runs enrols it again",
    LEFT: f"{cli('clients apply')} enrols it again",
}
SERVERS: dict[str, Cell] = {
    "SERVER": text("name"),
    "STATE": lambda each: coloured(str(each.get("status", "?"))),
    "SHARE": text("share"),
    "PROCESSES": lambda each: str(len(each.get("pids", ()))),
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
    """Print the numbers of a running gateway and its servers.

    As JSON that is GET /health, which knows less of a server than the overview, whose states are printed.
    """
    if globals_.as_json:
        emit(ask(globals_, HEALTH, has="status"))
    else:
        _tell_health(_asked(globals_))


def _tell_health(found: dict[str, Any]) -> None:
    for name in ("status", "version", "pid", "port", "servers", "running", "sessions", "streams", "calls"):
        say(f"{name:<10} {found.get(name, '')}")
    say(f"{'uptime':<10} {duration(float(found.get('uptime') or 0))}")
    say(f"{'memory':<10} {size(float(found.get('memory_mb') or 0) * MB)}")
    if url := aggregate(found):
        say(f"{'all tools':<10} {url}")
    tell_problems(found)
    say()
    _tell_servers(found)


def _tell_servers(found: dict[str, Any]) -> None:
    rows = [each | {"status": _state(each)} for each in _rows(found)]
    if rows:
        rows_table(SERVERS, rows)
    if is_terminal() and any(each.get("status") in RESTING for each in rows):
        say(STARTS, dim=True)


def _rows(body: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the servers of an answer, with one row for each group."""
    servers = [each for each in body.get("backends", ()) if isinstance(each, dict)]
    return [_group_row(each) if isinstance(each, ServerGroup) else dict(each) for each in grouped(servers)]


def _group_row(group: ServerGroup) -> dict[str, Any]:
    sums = {key: sum(each.get(key) or 0 for each in group.servers) for key in ("sessions", "requests")}
    pids = [pid for each in group.servers for pid in each.get("pids", ())]
    name = f"{group.name} ({_counted(len(group.servers))})"
    return {"name": name, "status": group.status, "pids": pids, **sums}


def _groups(body: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        {
            "name": each.name,
            "title": each.title,
            "state": each.status,
            "servers": [one.get("name") for one in each.servers],
        }
        for each in grouped(each for each in body.get("backends", ()) if isinstance(each, dict))
        if isinstance(each, ServerGroup)
    ]


def show_status(globals_: Globals) -> int:
    """Print whether all is well and what needs the user, then what the gateway serves to whom; return the exit code."""
    if globals_.url:
        return _print_status(globals_, _Found(RUNNING, 0, GatewayState(exists=False), _asked(globals_)))
    return _print_status(globals_, look(globals_))


def _asked(globals_: Globals) -> dict[str, Any]:
    """Return the overview of a gateway, or the health of one of an earlier release."""
    client = GatewayClient(globals_)
    try:
        return _overview(client.ask(OVERVIEW)) or ask(globals_, HEALTH, has="status")
    except NoGateway as why:
        client.unreachable(why)


def _overview(reply: HttpReply) -> dict[str, Any]:
    """Return the overview in an answer; empty if it has none, such as that of an earlier release."""
    body = _body(reply)
    return body if "verdict" in body else {}


def _body(reply: HttpReply | None) -> dict[str, Any]:
    return reply.value if reply and isinstance(reply.value, dict) and reply.status < 400 else {}


UNUSED = f"No client's file is enrolled: {cli('clients apply')} enrols them, once you have agreed."
STARTS = "ready: the first call starts the server."


class _Found:
    """The state of the gateway, as found.

    :ivar body: the gateway's own answer; empty without one.
    :ivar returns_in: seconds until its guardian restarts it; None if no restart is due.
    :ivar restores_in: seconds until its guardian restores clients' files; None if no restoration is due.
    :ivar crashed_at: the time of its latest crash; empty for none, or none that is still told.
    :ivar rebooted_at: the time of its start after the machine had gone down; empty as `crashed_at` is.
    :ivar ended: the sentence on that crash or reboot.
    :ivar paused_until: the end of a pause of the clients (ISO 8601); empty for none.
    :ivar clients: the clients whose files use it, or would if they had not been restored.
    :ivar paths: the file of each of these; "" where it is not known.
    """

    def __init__(self, state: str, pid: int, left: GatewayState, body: dict[str, Any]) -> None:
        self.state = state
        self.left = left
        self.body = body
        self.pid = pid or int(body.get("pid") or 0) or left.pid
        self.port = int(body.get("port") or 0) or left.port
        self.returns_in: float | None = None
        self.restores_in: float | None = None
        self.crashed_at = self.rebooted_at = self.ended = ""
        self.paused_until = str(body.get("paused_until") or "")
        self.clients = clients(body)
        self.paths = paths_of(body) if self.clients else []

    @property
    def uptime(self) -> float:
        """Its age in seconds."""
        return float(self.body.get("uptime") or age(self.pid))


def look(globals_: Globals) -> _Found:
    """Return the state of the gateway of the home."""
    left = read_state(globals_.home)
    pid = gateway_pid(globals_.home)
    client = GatewayClient(globals_)
    reply = None
    # A gateway that does not answer one question in time is not asked another.
    with suppress(NoGateway):
        reply = client.ask(OVERVIEW, limit_s=HEALTH_S)
        if not _overview(reply):
            reply = client.ask(HEALTH, limit_s=HEALTH_S)
    body = _body(reply)
    if body or (reply is not None and reply.status in (401, 403)):
        running = _Found(RUNNING, pid, left, body)
        running.crashed_at, running.rebooted_at = crashed_at(globals_.home), rebooted_at(globals_.home)
        running.ended = end_in_words(globals_.home)
        return running
    # A process that follows a crash does not answer at first.
    is_new = bool(pid) and age(pid) < YOUNG_S and bool(crashed_at(globals_.home))
    if pid and not is_new:
        return _Found(SILENT, pid, left, body)
    if left.is_hidden:
        return _Found(HIDDEN, 0, left, body)
    found = _Found(DEAD if left.exists or is_new else ABSENT, 0, left, body)
    found.returns_in = _due_in(globals_.home, startup.REVIVAL)
    if found.returns_in is None and found.state == DEAD and (is_new or is_returning(globals_.home)):
        found.returns_in = 0.0
    found.restores_in = _due_in(globals_.home, startup.RESTORATION)
    if ends := recorded_pause_end(globals_.home):
        found.paused_until = datetime.fromtimestamp(ends, UTC).isoformat()
    left_by = left_behind(globals_.home)
    found.clients, found.paths = [each for each, _ in left_by], [path for _, path in left_by]
    return found


def _due_in(home: str, name: str) -> float | None:
    due = startup.read_due(home, name)
    if due is None or not is_alive(due[1]):
        return None
    return max(0.0, (due[0] - startup.clock()) / 1000)


def _print_status(globals_: Globals, found: _Found) -> int:
    if globals_.as_json:
        emit(_value(found))
    else:
        # Not by the pager, which would show the tables and hide the end: that it runs, its port and its log.
        found.clients = told_apart(found.clients, found.paths)
        if found.state == RUNNING:
            for each in found.clients:
                each.update({"restored": LEFT} if each.get("restored") in ("stopped", "away") else {})
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
        "crashed_at": found.crashed_at or None,
        "rebooted_at": found.rebooted_at or None,
        "uptime_seconds": int(found.uptime) if runs else None,
        "servers": [
            {"name": each.get("name"), "state": _state(each)}
            | ({"login_url": each["login_url"]} if each.get("login_url") else {})
            for each in found.body.get("backends", ())
        ],
        "groups": _groups(found.body),
        "ok": found.body.get("ok") if runs else False,
        "verdict": found.body.get("verdict") or (None if runs else "the gateway does not run"),
        "needs": needs(found.body),
        "paused_until": found.paused_until or None,
        "problems": problems(found.body),
        "remarks": remarks(found.body),
        "search": found.body.get("search"),
        "budgets": found.body.get("budgets"),
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
    """Return the needs of the overview, each with ``kind``, ``name``, ``cause``, ``says``, ``do`` and ``run``."""
    shown = body.get("needs")
    found = [each for each in shown if isinstance(each, dict)] if isinstance(shown, list) else []
    return [
        {name: str(each.get(name) or "") for name in ("kind", "name", "cause", "says", "do", "run")}
        for each in found
    ]


def _tell_verdict(body: dict[str, Any], *, is_here: bool) -> None:
    """Print whether all is well, and each need with its remedy.

    :param is_here: the gateway is one of this machine, whose clients' files it can enrol.
    """
    found, sentence = needs(body), str(body.get("verdict") or "")
    if not sentence:
        tell_problems(body)
        return
    is_unused = bool(
        is_here
        and body.get("servers")
        and body.get("clients") == []
        and not body.get("disabled")
        and not body.get("cluster")  # the clients of a node are elsewhere
    )
    is_odd = found or not body.get("servers") or body.get("disabled") or is_unused
    sentence += ", and no client uses the gateway yet" if is_unused else ""
    mark = styled("! ", fg="yellow") if is_odd else styled("✓ ", fg="green")
    say(mark, styled(sentence[:1].upper() + sentence[1:], bold=True))
    if not body.get("servers"):
        paragraph(f"  {NO_SERVERS.partition(chr(10))[2]}")
    if body.get("disabled"):
        at = body.get("paused_until")
        until, now = (f" until {local_time(at)}", " now") if at else ("", "")
        ends = f"{cli('clients resume')} ends the pause{now}."
        paragraph(f"  Clients' files are restored, and the gateway refuses their requests{until}; {ends}")
    elif is_unused:
        files = sorted(
            {shortened(str(each["source"])) for each in body.get("backends", ()) if each.get("source")}
        )
        paragraph(f"  {UNUSED} Until then it has the servers of {', '.join(files)}.")
    for each in found:
        say()
        tell_need(each["name"] or each["kind"], each)
    say()


def tell_problems(body: dict[str, Any]) -> None:
    """Print the problems."""
    for each in problems(body):
        paragraph("Problem: ", styled(each["message"], fg="red"))
        paragraph(f"         {each['hint']}")


def remarks(body: dict[str, Any]) -> list[str]:
    """Return remarks: on stuck processes, calls that take long, a failed semantic search, and used budgets."""
    made = []
    for each in body.get("backends", ()):
        name = each.get("name")
        if stuck := each.get("stuck"):
            made.append(f"{name} is stuck: {stuck}; {cli('servers restart {}', name)}")
        made += [
            f"{name}: process {one['pid']} is stuck with {one['calls']} call{'' if one['calls'] == 1 else 's'},"
            " and another takes the new ones"
            for one in each.get("retired", ())
        ]
        made += [
            f"{name}: a call of {call['what']} has been under way for {duration(float(call['seconds']))}"
            for call in each.get("long_calls", ())
        ]
    search = body.get("search") or {}
    if search.get("state") == "failed":
        made.append(f"gateway_search ranks by words alone for now: {search['reason']}")
    made += [
        f"profile {each['profile']}: {each['warned']} of {each['clients']} clients have used most of their"
        f" {each['budget']:,} tokens, and {each['cut']} get cut results"
        for each in body.get("budgets", ())
        if each["warned"]
    ]
    return made


def _tell(found: _Found, home: str) -> None:
    if found.state in (RUNNING, SILENT):
        _tell_running(found, home)
    elif found.state == ABSENT:
        say("Gateway is not running.")
        is_broken = glob(f"{escape(home)}/config.*") and import_module(BROKEN).tell_errors(home)
        _tell_return(found)
        _tell_clients_left(found)
        is_enrolled = any(not each.get("restored") for each in found.clients)
        say(
            f"Next:    {cli('config check') if is_broken else cli('start')}",
            f", or {cli('stop')} to restore clients' files" if is_enrolled else "",
        )
    elif found.state == HIDDEN:
        say("Status:  ", styled("cannot be told", fg="yellow"))
        say(f"State:   {home}/{FILE}: {found.left.trouble}")
        say("Next:    look whose it is; --home names another home")
    else:
        is_back_soon = found.returns_in is not None
        says = ("RESTARTING after a crash", "yellow") if is_back_soon else ("DEAD (stale state)", "red")
        say("Status:  ", styled(*says))
        if found.left.trouble:
            say(f"State:   {found.left.trouble}")
        elif found.left.pid and not (is_back_soon and is_alive(found.left.pid)):
            say(f"PID:     {found.left.pid} {_fate(found.left.pid)}")
        _tell_return(found)
        _tell_clients_left(found)
        at_once = " to start it at once" if is_back_soon else ""
        say(f"Next:    {cli('start')}{at_once}, or {cli('stop')} to clear up")


def _tell_client(each: dict[str, Any], more: str = "") -> None:
    says = (
        f"is restored: {_restored(each)}" if each.get("restored") else f"({_counted(each['servers'])}){more}"
    )
    say(f"Client:  {each['name']} {says}")


def _counted(servers: int) -> str:
    return f"{servers} {'server' if servers == 1 else 'servers'}"


def _restored(each: Mapping[str, Any]) -> str:
    why = str(each["restored"])
    return GIVEN_BACK.get(why, why)


def _tell_clients_left(found: _Found) -> None:
    """Print the clients whose files are enrolled while no gateway runs."""
    for each in found.clients:
        alone = each["servers"] - each.get("without_command", 0) if each.get("mode") == "fail-open" else 0
        them = "them" if alone == each["servers"] else f"{alone} of them"
        _tell_client(
            each,
            more=f" runs {them} by itself meanwhile" if alone else " uses the gateway, which does not answer",
        )
    if found.paused_until and any(each.get("restored") == PAUSED for each in found.clients):
        say(
            f"Pause:   until {local_time(found.paused_until)}; a gateway that runs then enrols the files again"
        )
    if found.restores_in is not None and any(not each.get("restored") for each in found.clients):
        say(f"Return:  clients' files are restored in {duration(found.restores_in)}")


def _tell_return(found: _Found) -> None:
    if found.returns_in is not None:
        when = f"in {duration(found.returns_in)}" if found.returns_in else "now"
        say(f"Return:  it is started again by itself {when}")


def _tell_running(found: _Found, home: str) -> None:
    if found.body:
        _tell_verdict(found.body, is_here=found.left.exists)
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
    say(f"Uptime:  {duration(found.uptime)}")
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
    if _rows(found.body):
        _tell_servers(found.body)
        say()
    if found.clients:
        rows_table(CLIENTS, found.clients)
        say()


def _state(server: Mapping[str, Any]) -> str:
    return str(server.get("state") or server.get("status"))


def _tell_numbers(found: _Found) -> None:
    if not is_terminal():  # where tables show them
        servers = [f"{each.get('name')} ({_state(each)})" for each in _rows(found.body)]
        say(f"Servers: {', '.join(servers) or 'none'}")
    if found.crashed_at:
        say(f"Crash:   {found.ended}: {cli('logs --gateway')} shows why")
    elif found.ended:
        say(f"Reboot:  {found.ended}")
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
            say(f"Sign in: {cli('servers login {}', each.get('name'))}, or open")
            say(f"         {url}")


def _fate(pid: int) -> str:
    return "(another program now)" if is_alive(pid) else "(gone)"
