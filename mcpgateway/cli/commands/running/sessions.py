"""The sessions in use: their list, and ending them."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

import click

from mcpgateway.cli.completion_values import dashboard_ids, server_names, session_ids
from mcpgateway.cli.console import DONE, FAILED, answer, confirm, local_time, say
from mcpgateway.cli.context import Globals
from mcpgateway.cli.lazy import SuggestingGroup
from mcpgateway.cli.queries import RouteVerb, TableQuery, ask, text
from mcpgateway.hints import cli
from mcpgateway.units import duration

PATH, SIGNED_IN = "/api/v1/sessions", "/api/v1/ui/sessions"


def _client(session: Mapping[str, Any]) -> str:
    client_info = session.get("client") or {}
    return f"{client_info.get('name', '')} {client_info.get('version', '')}".strip() or "-"


SESSIONS = TableQuery(
    PATH,
    {
        "ID": text("id"),
        "SERVER": text("server"),
        "CLIENT": _client,
        "PID": text("pid", "-"),
        "IDLE": lambda each: duration(float(each.get("idle_seconds") or 0)),
        "CALLS": text("calls", "0"),
        "STREAM": lambda each: "open" if each.get("streams") else "-",
    },
    key="sessions",
    none=f"There are no sessions.\nA client that uses the gateway begins one: {cli('clients list')} shows them.",
)


WITHOUT = TableQuery(
    PATH,
    {
        "CLIENT": _client,
        "SERVER": text("server"),
        "PID": text("pid", "-"),
        "SEEN": lambda each: f"{duration(float(each['idle_seconds']))} ago",
        "REQUESTS": text("requests"),
        "CALLS": text("calls"),
    },
    key="without",
    none="",
)


DASHBOARDS = TableQuery(
    SIGNED_IN,
    {
        "ID": text("id"),
        "MAY": text("rights"),
        "SINCE": lambda each: local_time(str(each["created_at"])),
        "LAST USED": lambda each: local_time(str(each["last_used_at"])),
        "WHO": text("principal", "the user of this machine"),
        "BROWSER": text("browser", "-"),
    },
    key="items",
    none=f"No dashboard is signed in.\n{cli('ui')} opens one.",
)
SIGN_OUT = RouteVerb(f"{SIGNED_IN}/{{dashboard}}", "DELETE", "The dashboard is signed out.")


@click.group(cls=SuggestingGroup, bare="list", context_settings={"help_option_names": ["-h", "--help"]})
def sessions() -> None:
    """See who uses the gateway, and end sessions.

    What stands under ID is not the id of the session, which is its client's secret, but good enough to end it.
    """


@sessions.command("list")
@click.option("--server", metavar="NAME", shell_complete=server_names, help="Only those of this server.")
@click.option("--pid", type=click.IntRange(1), metavar="PID", help="Only those of this client process.")
@click.pass_obj
def list_(globals_: Globals, server: str | None, pid: int | None) -> None:
    """List the sessions in use, the one that was heard of last first, and the latest clients that need none."""
    found = SESSIONS.ask(globals_, {"server": server, "pid": pid})
    SESSIONS.answer(globals_, found, lambda: _tell(found))


@sessions.command()
@click.argument("session", required=False, metavar="[ID]", shell_complete=session_ids)
@click.option("--all", "everybody", is_flag=True, help="All sessions.")
@click.option("--pid", type=click.IntRange(1), metavar="PID", help="Those of this client process.")
@click.option("--yes", "-y", is_flag=True, help="Do not ask, with --all.")
@click.pass_obj
def kill(globals_: Globals, session: str | None, *, everybody: bool, pid: int | None, yes: bool) -> int:
    """End a session, those of a process, or all: calls under way are cancelled, and processes of its own are stopped.

    Exit code 1 where there was nothing to end.
    """
    if sum(map(bool, (session, everybody, pid))) != 1:
        raise click.UsageError("sessions kill: name one session, or --pid PID, or --all")
    is_asked = everybody and not yes and sys.stdin.isatty() and not globals_.as_json
    if is_asked and not confirm("End all sessions?", err=True):
        say("No session is ended.")
        return FAILED
    route = f"{PATH}/{{session}}" if session else PATH
    params = {"all": "true" if everybody else "", "pid": pid}
    found = ask(globals_, route, method="DELETE", params=params, session=session)
    ended, killed = int(found.get("sessions", 0)), int(found.get("killed", 0))
    answer(globals_, found, lambda: say(_ended(ended, killed)))
    return DONE if ended else FAILED


@sessions.command()
@click.option("--end", metavar="ID", shell_complete=dashboard_ids, help="Sign this dashboard out.")
@click.pass_obj
def dashboards(globals_: Globals, end: str | None) -> None:
    """List the dashboards that are signed in, or sign one out."""
    if end:
        SIGN_OUT.run(globals_, dashboard=end)
    else:
        DASHBOARDS.run(globals_)


def _ended(sessions_: int, processes: int) -> str:
    if not sessions_:
        return "There was no session to end."
    one = "1 session" if sessions_ == 1 else f"{sessions_} sessions"
    stopped = "1 process" if processes == 1 else f"{processes} processes"
    return f"Ended {one}" + (f", and {stopped} of their own." if processes else ".")


def _tell(found: dict[str, Any]) -> None:
    SESSIONS.tell(found)
    shown = len(found["sessions"])
    if found.get("count", 0) > shown > 0:
        say(f"{shown} of {found['count']} sessions", dim=True)
    if found.get("without"):
        say("\nClients without a session (MCP 2026-07-28)")
        WITHOUT.tell(found)
