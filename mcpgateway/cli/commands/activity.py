"""Commands that tell what was done: the activity log, and what belongs to one trace."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

import click

from mcpgateway.cli.client import GatewayClient
from mcpgateway.cli.completion_values import server_names
from mcpgateway.cli.console import DONE, FAILED, Part, answer, say, spinner, styled, table
from mcpgateway.cli.context import Globals

FIND_S = 20.0
COLOURS = {"ok": "green", "error": "red", "cancelled": "yellow", "refused": "red"}


@click.command()
@click.option(
    "--server", metavar="NAME", shell_complete=server_names, help="Only what this server was asked."
)
@click.option("--tool", metavar="NAME", help="Only calls of this tool, by its own name.")
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
    records = _found(globals_, {**wanted, "limit": str(last)})
    answer(globals_, records, lambda: _tell(records))


@click.command()
@click.argument("identifier", metavar="ID")
@click.pass_obj
def trace(globals_: Globals, identifier: str) -> int:
    """Tell what belongs to one trace, or to one session, or what became of one call.

    ID is the id of a trace, as clients and collectors of spans know it, or an id that the activity log has.  Exit
    code 1 where nothing is known of it.
    """
    records = _found(globals_, {"id": identifier, "limit": "1000"})
    answer(globals_, records, lambda: _tell(records))
    return DONE if records else FAILED


def _found(globals_: Globals, wanted: Mapping[str, str]) -> list[dict[str, Any]]:
    query = urlencode({name: value for name, value in wanted.items() if value})
    remote = GatewayClient(globals_)
    with spinner("asking the gateway"):
        found = remote.told(f"/api/v1/activity?{query}", limit_s=FIND_S)
    records = found.get("records") if isinstance(found, dict) else None
    if not isinstance(records, list):
        remote.unreachable("what answers there is no gateway")
    return [each for each in records if isinstance(each, dict)]


def _tell(records: list[dict[str, Any]]) -> None:
    if not records:
        say("Nothing is written down of that.")
        return
    table(("WHEN", "ID", "WHAT", "WHO", "TOOK", "HOW IT ENDED"), [_row(each) for each in records])


def _row(record: Mapping[str, Any]) -> tuple[Part, ...]:
    who = str(record.get("principal"))
    if record.get("session"):
        who += f" {str(record['session'])[:6]}"
    if record.get("kind") == "management":
        about = f" ({record['server']})" if record.get("server") else ""
        what, took = f"{record.get('operation')}{about}", ""
        ended = styled(f"HTTP {record.get('status')}")
    else:
        outcome = str(record.get("outcome"))
        what = f"{record.get('server')} {record.get('tool') or record.get('method')}"
        why = f": {record['error']}" if record.get("error") else ""
        ended = styled(outcome + why, fg=COLOURS.get(outcome))
        took = f"{record.get('ms', 0):.1f} ms"
    return _clock(str(record.get("at"))), str(record.get("id")), what, who, took, ended


def _clock(at: str) -> str:
    try:
        return datetime.fromisoformat(at).astimezone().strftime("%m-%d %H:%M:%S")
    except ValueError:
        return at
