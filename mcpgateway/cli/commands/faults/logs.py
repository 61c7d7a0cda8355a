"""Commands that show logs and follow them: of servers, of the gateway, of calls and of events."""

from __future__ import annotations

import json
import re
from collections import deque
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from time import sleep
from typing import Any, NamedTuple
from urllib.parse import quote, urlencode

import click

from mcpgateway import escaping
from mcpgateway.cli.client import GatewayClient
from mcpgateway.cli.commands.faults.activity import ACTIVITY
from mcpgateway.cli.completion_values import server_names
from mcpgateway.cli.console import (
    DONE,
    FAILED,
    Part,
    Trouble,
    answer_list,
    fail,
    in_json,
    is_terminal,
    only_here,
    say,
    show,
    until_interrupted,
)
from mcpgateway.cli.context import Globals
from mcpgateway.cli.event_stream import Following, StreamEvent
from mcpgateway.cli.gateway_log import added, latest, log_path
from mcpgateway.cli.pager import paged
from mcpgateway.cli.values import TimeOption
from mcpgateway.hints import cli
from mcpgateway.units import duration

MOST, USUAL = 1000, 100  # lines
POLL_S = 1.0
LONGEST_S = 31_536_000.0  # a year
GATEWAY, CALLS, EVENTS = "gateway", "calls", "events"
OTHERS = {GATEWAY: cli("logs --gateway"), CALLS: cli("logs --calls"), EVENTS: cli("logs --events")}
SOURCES = {"gateway": "cyan", "message": "yellow"}
PLACE, LEVEL = re.compile(r"\[[\w.]+#(\w+)\]"), r"\1:"  # at the beginning of the gateway's lines
LEVELS = {"warn": "yellow", "error": "red", "critical": "red", "debug": "bright_black"}


@click.command(epilog="Without NAME and without another log, that of the gateway is shown.")
@click.argument("name", required=False, metavar="[NAME]", shell_complete=server_names)
@click.option("--follow", "-f", is_flag=True, help="Go on with what is added, until Ctrl-C.")
@click.option(
    "--tail",
    "-n",
    type=click.IntRange(0, MOST),
    metavar="N",
    help=f"How many of the latest lines are shown (default: {USUAL}; with --follow of a server: {MOST}).",
)
@click.option(
    "--since",
    type=TimeOption(longest_s=LONGEST_S),
    metavar="TIME",
    help="Only what is not older than this, such as 10m or 2h.",
)
@click.option("--gateway", "log", flag_value=GATEWAY, help="The gateway's own log, on this machine.")
@click.option("--calls", "log", flag_value=CALLS, help="The latest calls of tools, and how they ended.")
@click.option("--events", "log", flag_value=EVENTS, help="What has happened in the gateway.")
@click.option("--no-follow", is_flag=True, hidden=True, help="Of mcp-ctl: end after the latest lines.")
@click.option("--no-reconnect", is_flag=True, help="With --follow: end when the connection breaks off.")
@click.pass_obj
def logs(  # noqa: PLR0913 - one for each option
    globals_: Globals,
    name: str | None,
    tail: int | None,
    since: float | None,
    log: str | None,
    *,
    follow: bool,
    no_follow: bool,
    no_reconnect: bool,
) -> int:
    """Show the latest lines of a log: of a server, of the gateway, of calls or of events.

    The log of a server has what it writes to stderr, what it says by MCP, and what the gateway logs of it.  With
    --json each line is an object; calls that are not followed are a list.
    """
    follow = follow and not no_follow
    after = "" if since is None else (datetime.now(UTC) - timedelta(seconds=since)).isoformat()
    shown = Shown(after, tail, follow=follow, as_json=globals_.as_json)
    if follow:
        return until_interrupted(lambda: _show(globals_, name, shown, log, goes_on=not no_reconnect))
    with paged(is_on=globals_.is_paged and not globals_.as_json):
        _show(globals_, name, shown, log, goes_on=False)
    return DONE


def _show(globals_: Globals, name: str | None, shown: Shown, log: str | None, *, goes_on: bool) -> None:
    match log:
        case "calls":
            _show_calls(globals_, name, shown)
        case "events":
            _show_events(globals_, name, shown, goes_on=goes_on)
        case None if name is not None:
            _show_server(globals_, name, shown, goes_on=goes_on)
        case _:
            if name:
                raise click.UsageError("logs: NAME is a server, and --gateway is the gateway's own log")
            _show_gateway(globals_, shown)


def _show_server(globals_: Globals, name: str, shown: Shown, *, goes_on: bool) -> None:
    # A stream that is followed is resumed by the ids of its events, so that all of its history comes first.
    number = shown.number(MOST if shown.follow else USUAL)
    query = urlencode({"tail": number, "follow": str(shown.follow).lower()})
    path = f"/api/v1/servers/{quote(name, safe='')}/logs?{query}"
    has_lines = False
    try:
        for event in _stream(globals_, path, goes_on=goes_on):
            if shown.is_late_enough(event.data.partition(" ")[0]):
                has_lines = True
                _tell_line(event, as_json=globals_.as_json)
    except Trouble as why:
        if name in OTHERS and why.code == FAILED and not has_lines:
            fail(why.message, f"{OTHERS[name]} shows that log; NAME is a server")
        raise
    if not has_lines and not globals_.as_json:
        say(f"The log of {name} has no lines{' of that time' if shown.after else ' yet'}.", err=True)
        say(f"  {cli('why {}', name)} tells how it is.", err=True)
        say(f"  {cli('logs {} --calls', name)} shows the calls of its tools.", err=True)


class Shown(NamedTuple):
    """The part of a log that is shown.

    :ivar after: the time of the oldest line, in ISO 8601; empty for any.
    :ivar tail: the number of the latest lines; None for the usual number.
    """

    after: str
    tail: int | None
    follow: bool
    as_json: bool

    def number(self, usual: int = USUAL) -> int:
        """Return how many lines are shown; those of a span of time are not counted."""
        return self.tail if self.tail is not None else MOST if self.after else usual

    def is_late_enough(self, at: str) -> bool:
        """Return whether a line of this time is shown; a line without a time belongs to the one before."""
        if not self.after:
            return True
        try:
            return datetime.fromisoformat(at) >= datetime.fromisoformat(self.after)
        except (ValueError, TypeError):
            return True


def _show_gateway(globals_: Globals, shown: Shown) -> None:
    only_here(globals_, "logs --gateway")
    path = log_path(globals_.home)

    def tell(line: str) -> None:
        time, _, text = line.partition(" ")
        if shown.as_json:
            at = re.sub(r"([+-]\d\d)(\d\d)$", r"\1:\2", time)  # Twisted writes no colon, unlike RFC 3339
            say(in_json({"time": at, "source": GATEWAY, "text": text}, indent=None), is_foreign=True)
        else:
            # A person wants no module; the file has it, and so has a pipe.
            say(f"{time} {PLACE.sub(LEVEL, text, count=1)}" if is_terminal() else line, is_foreign=True)

    lines, end = latest(path, shown.number())
    first = next((at for at, each in enumerate(lines) if _is_of_time(each, shown)), len(lines))
    for each in lines[first:]:
        tell(each)
    if shown.follow:
        for each in added(path, end):
            tell(each)


def _is_of_time(line: str, shown: Shown) -> bool:
    return not shown.after or (line[:1].isdigit() and shown.is_late_enough(line.partition(" ")[0]))


def _show_calls(globals_: Globals, name: str | None, shown: Shown) -> None:
    limit = shown.number()
    # All that is known: a followed log goes on with the calls that are not among them.
    query = {"server": name, "kind": "call", "limit": MOST if shown.follow else limit or 1}
    found = ACTIVITY.ask(globals_, query)
    rows = [each for each in ACTIVITY.rows(found) if shown.is_late_enough(str(each.get("at")))]
    rows = rows[-limit:] if limit else []
    if not shown.follow:
        answer_list(globals_, rows, lambda: ACTIVITY.tell({**found, ACTIVITY.key: rows}))
        return
    seen = {each["id"] for each in ACTIVITY.rows(found)}
    while True:
        for each in rows:
            if shown.as_json:
                say(in_json(each, indent=None), is_foreign=True)
            else:
                say(*_spaced(each), is_foreign=True)
        sleep(POLL_S)
        found = ACTIVITY.ask(globals_, query)
        rows = [each for each in ACTIVITY.rows(found) if each["id"] not in seen]
        seen = {each["id"] for each in ACTIVITY.rows(found)}


def _spaced(call: dict[str, Any]) -> Iterator[Part]:
    for number, cell in enumerate(ACTIVITY.columns.values()):
        yield "  " if number else ""
        yield cell(call)


def _show_events(globals_: Globals, name: str | None, shown: Shown, *, goes_on: bool) -> None:
    kept: deque[StreamEvent] = deque(maxlen=shown.number())
    last = "0"
    for event in _stream(globals_, _events(name, follow=False), goes_on=False, after=last):
        last = event.identifier or last
        if shown.is_late_enough(str(_entry(event).get("time"))):
            kept.append(event)
    for event in kept:
        _tell_event(event, as_json=globals_.as_json)
    if shown.follow:
        for event in _stream(globals_, _events(name, follow=True), goes_on=goes_on, after=last):
            _tell_event(event, as_json=globals_.as_json)


def _events(name: str | None, *, follow: bool) -> str:
    return f"/api/v1/events?{urlencode({'server': name or '', 'follow': str(follow).lower()})}"


@click.command()
@click.option("--kind", metavar="KIND[,KIND]", default="", help="Only these, such as server,session.ended.")
@click.option(
    "--server", metavar="NAME", default="", shell_complete=server_names, help="Only about this one."
)
@click.option("--past", is_flag=True, help="What has happened before comes first.")
@click.option("--no-follow", is_flag=True, help="Only print what has happened.")
@click.option("--no-reconnect", is_flag=True, help="End when the connection breaks off.")
@click.pass_obj
def events(
    globals_: Globals, *, kind: str, server: str, past: bool, no_follow: bool, no_reconnect: bool
) -> int:
    """Follow what happens in the gateway: states of servers, sessions, the configuration.

    With --json each event is an object on a line of its own.
    """
    parameters = {"kind": kind, "server": server, "follow": str(not no_follow).lower()}
    query = urlencode({name: value for name, value in parameters.items() if value})
    after = "0" if past or no_follow else ""
    goes_on = not (no_follow or no_reconnect)

    def tell() -> None:
        for event in _stream(globals_, f"/api/v1/events?{query}", goes_on=goes_on, after=after):
            _tell_event(event, as_json=globals_.as_json)

    return until_interrupted(tell)


def _stream(globals_: Globals, path: str, *, goes_on: bool, after: str = "") -> Iterator[StreamEvent]:
    def again(why: str, pause_s: float) -> None:
        say(f"mcpgateway: {why}; again in {duration(pause_s)}", err=True, dim=True)

    return Following(GatewayClient(globals_), path, again if goes_on else None, after).events()


def _tell_line(event: StreamEvent, *, as_json: bool) -> None:
    time, _, rest = event.data.partition(" ")
    source, _, text = rest.partition(" ")
    if as_json:
        say(in_json({"time": time, "source": source, "text": text}, indent=None), is_foreign=True)
    else:
        say(event.data, fg=SOURCES.get(source), is_foreign=True)


def _tell_event(event: StreamEvent, *, as_json: bool) -> None:
    if as_json:
        show(escaping.in_json(event.data))
        return
    entry = _entry(event)
    shown = f"{entry.get('time', '')} {event.kind:<20} {entry.get('text', event.data)}"
    say(shown, fg=LEVELS.get(str(entry.get("level"))), is_foreign=True)


def _entry(event: StreamEvent) -> dict[str, Any]:
    try:
        entry = json.loads(event.data)
    except ValueError:
        entry = {}
    return entry if isinstance(entry, dict) else {}
