"""Commands that tell what was done: the activity log, and what belongs to one trace."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from mcpgateway.cli.commands.faults.waterfall import draw
from mcpgateway.cli.completion_values import call_ids, own_tool_names, server_names
from mcpgateway.cli.console import DONE, FAILED, Part, answer_list, local_time, shortened, styled
from mcpgateway.cli.context import Globals
from mcpgateway.cli.queries import TableQuery, ask
from mcpgateway.hints import cli
from mcpgateway.units import duration

FIND_S = 20.0
COLOURS = {"ok": "green", "error": "red", "cancelled": "yellow", "refused": "red"}


def _who(record: Mapping[str, Any]) -> str:
    if client := record.get("client"):
        project, pid = str(record.get("project") or ""), record.get("pid")
        return (
            f"{client} in {shortened(project)}" if project else f"{client}, pid {pid}" if pid else str(client)
        )
    session = f" {str(record['session'])[:6]}" if record.get("session") else ""
    return f"{record.get('principal')}{session}"


def _is_change(record: Mapping[str, Any]) -> bool:
    return record.get("kind") == "management"


def _what(record: Mapping[str, Any]) -> str:
    if _is_change(record):
        return f"{record.get('operation')}" + (f" ({record['server']})" if record.get("server") else "")
    return f"{record.get('server')} {record.get('tool') or record.get('method')}"


def _ended(record: Mapping[str, Any]) -> Part:
    if _is_change(record):
        return f"HTTP {record.get('status')}"
    outcome = str(record.get("outcome"))
    return styled(outcome + (f": {record['error']}" if record.get("error") else ""), fg=COLOURS.get(outcome))


ACTIVITY = TableQuery(
    "/api/v1/activity",
    {
        "WHEN": lambda each: local_time(str(each.get("at"))),
        "ID": lambda each: str(each.get("id")),
        "WHAT": _what,
        "WHO": _who,
        "TOOK": lambda each: "" if _is_change(each) else duration(each.get("ms", 0) / 1000),
        "HOW IT ENDED": _ended,
    },
    key="records",
    none=f"The activity log has no such line yet.\n{cli('tools call TOOL')} makes a call.",
    limit_s=FIND_S,
)


@click.command()
@click.option(
    "--server", metavar="NAME", shell_complete=server_names, help="Only what this server was asked."
)
@click.option(
    "--tool", metavar="NAME", shell_complete=own_tool_names, help="Only calls of this tool, by its own name."
)
@click.option("--failed", is_flag=True, help="Only calls that have failed.")
@click.option("--calls", is_flag=True, help="Only calls of tools, and nothing else that servers were asked.")
@click.option("--changes", is_flag=True, help="Only what was changed in the gateway, and by whom.")
@click.option(
    "--last",
    type=click.IntRange(1, 1000),
    default=50,
    show_default=True,
    metavar="N",
    help="How many at most.",
)
@click.pass_obj
def activity(
    globals_: Globals,
    server: str | None,
    tool: str | None,
    last: int,
    *,
    failed: bool,
    calls: bool,
    changes: bool,
) -> None:
    """Tell who has asked servers what lately, for how long and how it ended, and what was changed in the gateway."""
    if calls and changes:
        raise click.UsageError("activity: --calls or --changes, not both")
    wanted = {
        "server": server or "",
        "tool": tool or "",
        "outcome": "error" if failed else "",
        "kind": "management" if changes else "call" if calls else "",
    }
    _tell(globals_, {**wanted, "limit": last})


@click.command()
@click.argument("identifier", metavar="ID", shell_complete=call_ids)
@click.pass_obj
def trace(globals_: Globals, identifier: str) -> int:
    """Tell what belongs to one trace, or to one session, or what became of one call.

    ID is the id of a trace, as clients and collectors of spans know it, or an id that the activity log has.  Of one
    call its phases are shown: where its time went, and what the server has asked the client for it.  Exit code 1
    where nothing is known of it.
    """
    found = _tell(globals_, {"id": identifier, "limit": 1000})
    if [each["id"] for each in found] == [identifier] and not globals_.as_json and not _is_change(found[0]):
        draw(ask(globals_, "/api/v1/activity/{identifier}", identifier=identifier, has="phases"))
    return DONE if found else FAILED


def _tell(globals_: Globals, wanted: Mapping[str, object]) -> list[dict[str, Any]]:
    found = ACTIVITY.ask(globals_, wanted)
    records = ACTIVITY.rows(found)
    answer_list(globals_, records, lambda: ACTIVITY.tell(found))
    return records
