"""Commands that follow a server's log and the gateway's events."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote, urlencode

import click

from mcpgateway import escaping
from mcpgateway.cli.client import GatewayClient
from mcpgateway.cli.completion_values import server_names
from mcpgateway.cli.console import in_json, say, show
from mcpgateway.cli.context import Globals
from mcpgateway.cli.event_stream import Following, StreamEvent

MOST = 1000
SOURCES = {"gateway": "cyan", "message": "yellow"}
LEVELS = {"warn": "yellow", "error": "red", "critical": "red", "debug": "bright_black"}


@click.command()
@click.argument("name", shell_complete=server_names)
@click.option("--no-follow", is_flag=True, help="Only print what there is.")
@click.option("--no-reconnect", is_flag=True, help="End when the connection breaks off.")
@click.option(
    "--tail",
    type=click.IntRange(0, MOST),
    default=MOST,
    show_default=True,
    metavar="N",
    help="How many of the last lines come first.",
)
@click.pass_obj
def logs(globals_: Globals, name: str, *, no_follow: bool, no_reconnect: bool, tail: int) -> None:
    """Follow what a server writes to stderr, what it says by MCP, and what the gateway logs of it.

    With --json each line is an object with time, source and text.
    """
    query = urlencode({"tail": tail, "follow": str(not no_follow).lower()})
    path = f"/api/v1/servers/{quote(name, safe='')}/logs?{query}"
    _follow(globals_, path, _tell_line, goes_on=not (no_follow or no_reconnect))


@click.command()
@click.option("--kind", metavar="KIND[,KIND]…", default="", help="Only these, such as server,session.ended.")
@click.option(
    "--server", metavar="NAME", default="", shell_complete=server_names, help="Only about this one."
)
@click.option("--past", is_flag=True, help="What has happened before comes first.")
@click.option("--no-follow", is_flag=True, help="Only print what has happened.")
@click.option("--no-reconnect", is_flag=True, help="End when the connection breaks off.")
@click.pass_obj
def events(
    globals_: Globals, *, kind: str, server: str, past: bool, no_follow: bool, no_reconnect: bool
) -> None:
    """Follow what happens in the gateway: states of servers, sessions, the configuration.

    With --json each event is an object on a line of its own.
    """
    parameters = {"kind": kind, "server": server, "follow": str(not no_follow).lower()}
    query = urlencode({name: value for name, value in parameters.items() if value})
    after = "0" if past or no_follow else ""
    goes_on = not (no_follow or no_reconnect)
    _follow(globals_, f"/api/v1/events?{query}", _tell_event, goes_on=goes_on, after=after)


def _follow(globals_: Globals, path: str, tell: Any, *, goes_on: bool, after: str = "") -> None:
    def again(why: str, pause_s: float) -> None:
        say(f"mcpgateway: {why}; again in {pause_s:g} s", err=True, dim=True)

    following = Following(GatewayClient(globals_), path, again if goes_on else None, after)
    for event in following.events():
        tell(event, as_json=globals_.as_json)


def _tell_line(event: StreamEvent, *, as_json: bool) -> None:
    time, _, rest = event.data.partition(" ")
    source, _, text = rest.partition(" ")
    if as_json:
        say(in_json({"time": time, "source": source, "text": text}, indent=None))
    else:
        say(event.data, fg=SOURCES.get(source))


def _tell_event(event: StreamEvent, *, as_json: bool) -> None:
    if as_json:
        show(escaping.in_json(event.data))
        return
    try:
        entry = json.loads(event.data)
    except ValueError:
        entry = {}
    shown = f"{entry.get('time', '')} {event.kind:<20} {entry.get('text', event.data)}"
    say(shown, fg=LEVELS.get(str(entry.get("level"))))
