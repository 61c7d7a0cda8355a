"""Commands that tell how the gateway is."""

from __future__ import annotations

from typing import Any

import click

from mcpgateway.bridge.daemon import LOG
from mcpgateway.ctl.console import DONE, FAILED, answer, emit, table
from mcpgateway.ctl.context import Globals
from mcpgateway.ctl.remote import BUSY, Away, Remote
from mcpgateway.ctl.state import STATE, State, age, gateway_pid, lifetime, read_state
from mcpgateway.host.alive import is_alive

HEALTH_S = 5.0
DEAD, RUNNING, SILENT, ABSENT, HIDDEN = "dead", "running", "silent", "not running", "unknown"
COLOURS = {"running": "green", "idle": "cyan", "stopped": "cyan", "degraded": "yellow", "error": "red"}


@click.command()
@click.pass_obj
def health(globals_: Globals) -> None:
    """Print the numbers of a running gateway and its servers."""
    found = Remote(globals_).get("/health")
    if not isinstance(found, dict):
        Remote(globals_).unreachable("what answers there is no gateway")
    answer(globals_, found, lambda: _tell_health(found))


def _tell_health(found: dict[str, Any]) -> None:
    for name in ("status", "version", "pid", "port", "servers", "running", "sessions", "streams", "calls"):
        click.echo(f"{name:<10} {found.get(name, '')}")
    click.echo(f"{'uptime':<10} {lifetime(float(found.get('uptime') or 0))}")
    click.echo(f"{'memory':<10} {found.get('memory_mb', '?')} MB")
    if url := aggregate(found):
        click.echo(f"{'all tools':<10} {url}")
    _tell_servers(found)


def _tell_servers(found: dict[str, Any]) -> None:
    servers = [each for each in found.get("backends", ()) if isinstance(each, dict)]
    if not servers:
        return
    click.echo()
    rows = [
        (
            str(each.get("name")),
            coloured(str(each.get("status", "?"))),
            str(each.get("share", "")),
            str(len(each.get("pids", ()))),
            str(each.get("sessions", 0)),
            str(each.get("requests", 0)),
        )
        for each in servers
    ]
    table(("SERVER", "STATE", "SHARE", "CHILDREN", "SESSIONS", "REQUESTS"), rows)


def coloured(state: str) -> str:
    """The state of a server, in its colour."""
    return click.style(state, fg=COLOURS.get(state))


@click.command()
@click.pass_obj
def status(globals_: Globals) -> int:
    """Say whether the gateway runs, since when, and what it serves to whom.

    The exit code is 0 where that could be told, running or not, and 1 where its state file cannot be read.
    """
    if globals_.url:
        found = Remote(globals_).get("/health")
        return _told(globals_, _Found(RUNNING, 0, State(exists=False), found))
    found_here = look(globals_)
    return _told(globals_, found_here)


class _Found:
    """What is to be said.

    :ivar body: what the gateway itself says; empty where it says nothing.
    """

    def __init__(self, state: str, pid: int, left: State, body: dict[str, Any]) -> None:
        self.state = state
        self.left = left
        self.body = body
        self.pid = pid or int(body.get("pid") or 0) or left.pid
        self.port = int(body.get("port") or 0) or left.port

    @property
    def uptime(self) -> float:
        """Seconds."""
        return float(self.body.get("uptime") or age(self.pid))


def look(globals_: Globals) -> _Found:
    """Find out how the gateway of the home is."""
    left = read_state(globals_.home)
    pid = gateway_pid(globals_.home)
    try:
        said = Remote(globals_).ask("/health", limit_s=HEALTH_S)
    except Away:
        said = None
    body = said.value if said is not None and isinstance(said.value, dict) and said.status < 400 else {}
    if body or (said is not None and said.status in (401, 403)):
        return _Found(RUNNING, pid, left, body)
    if pid:
        return _Found(SILENT, pid, left, body)
    if left.is_hidden:
        return _Found(HIDDEN, 0, left, body)
    return _Found(DEAD if left.exists else ABSENT, 0, left, body)


def _told(globals_: Globals, found: _Found) -> int:
    if globals_.as_json:
        emit(_value(found))
    else:
        _tell(found, globals_.home)
    return FAILED if found.left.trouble and found.state in (DEAD, HIDDEN) else DONE


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
        "uptime_seconds": int(found.uptime) if runs else None,
        "servers": [
            {"name": each.get("name"), "state": each.get("status")} for each in found.body.get("backends", ())
        ],
        "clients": clients(found.body),
        "trouble": found.left.trouble or None,
    }


def aggregate(body: dict[str, Any]) -> str:
    """Where all servers together are served; empty where they are not."""
    port = body.get("port")
    return f"http://localhost:{port}/mcp" if body.get("aggregate") is True and port else ""


def clients(body: dict[str, Any]) -> list[dict[str, Any]]:
    """The clients that use the gateway, each with a name and its number of servers."""
    shown = body.get("clients")
    if not isinstance(shown, list):
        return []
    made = []
    for each in shown:
        if not isinstance(each, dict) or each.get("suspended"):
            continue
        servers = each.get("servers", ())
        number = servers if isinstance(servers, int) else len(servers or ())
        made.append(
            {"name": str(each.get("title") or each.get("tool") or each.get("name") or "?"), "servers": number}
        )
    return made


def _tell(found: _Found, home: str) -> None:
    if found.state in (RUNNING, SILENT):
        _tell_running(found, home)
    elif found.state == ABSENT:
        click.echo("Gateway is not running.")
    elif found.state == HIDDEN:
        click.echo("Status:  " + click.style("cannot be told", fg="yellow"))
        click.echo(f"State:   {home}/{STATE}: {found.left.trouble}")
        click.echo("Next:    look whose it is; --home names another home")
    else:
        click.echo("Status:  " + click.style("DEAD (stale state)", fg="red"))
        if found.left.trouble:
            click.echo(f"State:   {found.left.trouble}")
        else:
            click.echo(f"PID:     {found.left.pid} {_fate(found.left.pid)}")
        click.echo("Next:    mcpgateway start, or mcpgateway stop to clear up")


def _tell_running(found: _Found, home: str) -> None:
    if found.state == SILENT:
        click.echo("Status:  " + click.style("RUNNING, but it does not answer", fg="yellow"))
    else:
        click.echo("Status:  " + click.style("RUNNING", fg="green"))
    click.echo(f"PID:     {found.pid}")
    if found.port:
        click.echo(f"Port:    {found.port}")
    if url := aggregate(found.body):
        click.echo(f"All:     {url}")
    click.echo(f"Uptime:  {lifetime(found.uptime)}")
    if found.body:
        servers = [f"{each.get('name')} ({each.get('status')})" for each in found.body.get("backends", ())]
        click.echo(f"Servers: {', '.join(servers) or 'none'}")
    if (saved := found.body.get("saved")) and isinstance(saved, dict):
        click.echo(f"Spared:  {saved.get('today', 0):,} tokens today, {saved.get('total', 0):,} in all")
    for each in clients(found.body):
        click.echo(f"Client:  {each['name']} ({each['servers']} servers)")
    if found.left.trouble:
        click.echo(f"State:   {found.left.trouble}")
    if found.state == SILENT:
        click.echo(f"Next:    {BUSY}; its log is {home}/logs/{LOG}")


def _fate(pid: int) -> str:
    return "(another program now)" if is_alive(pid) else "(gone)"
