"""What is offered and listed of tools, and the calls that run in the background."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from mcpgateway.cli.completion_values import job_ids, tool_ids
from mcpgateway.cli.console import local_time
from mcpgateway.cli.context import Globals
from mcpgateway.cli.queries import RouteVerb, TableQuery, ask, number, text

SERVERS, TOOLS, JOBS = "/api/v1/servers", "/api/v1/tools", "/api/v1/jobs"
JOIN, PAIR = "__", 2
CLIENTS = ("cursor", "vscode", "windsurf")
KINDS = {
    "full": "all tools",
    "hybrid": "search, and the most used",
    "search": "search",
    "meta": "search",
    "admin": "the gateway's own",
}
VIEWS = TableQuery(
    "/api/v1/views",
    {
        "ENDPOINT": text("path"),
        "LISTS": lambda each: KINDS.get(each["kind"], str(each["kind"])),
        "SERVERS": lambda each: f"{len(each['servers']):,}",
        "TOOLS": number("tools"),
        "TOKENS": number("tokens"),
        "OF ALL": lambda each: f"{each['all_tools']:,} ({each['all_tokens']:,} tokens)",
    },
    key="items",
    none="The gateway has no endpoint for several servers.",
)
RUNS = TableQuery(
    JOBS,
    {
        "ID": text("id"),
        "TOOL": text("tool"),
        "STATUS": text("status"),
        "SINCE": lambda each: local_time(str(each["started_at"] or each["created_at"])),
        "ERROR": text("error"),
    },
    key="items",
    none="No call runs in the background, and none did lately.",
)
CANCEL = RouteVerb(f"{JOBS}/{{job}}", "DELETE", "{found[tool]} is {found[status]}.")


def _offer(word: str, says: str, *, is_offered: bool) -> click.Command:
    done = "Offered: {words}." if is_offered else "Not offered any more: {words}."

    @click.command(word, help=says)
    @click.argument("tools", nargs=-1, required=True, metavar="TOOL…", shell_complete=tool_ids)
    @click.pass_obj
    def carry_out(globals_: Globals, tools: tuple[str, ...]) -> None:
        tools = _ids(globals_, tools)
        verb = RouteVerb(TOOLS, "PATCH", done, {"tools": list(tools), "offered": is_offered})
        verb.run(globals_, words=", ".join(tools))

    return carry_out


def _ids(globals_: Globals, words: tuple[str, ...]) -> tuple[str, ...]:
    """Return the ids of tools; two words may be a server and its tool, as in `tools call`."""
    if len(words) != PAIR or any(JOIN in each for each in words):
        return words
    server, tool = words
    is_server = any(each.get("name") == server for each in ask(globals_, SERVERS))
    return (f"{server}{JOIN}{tool}",) if is_server else words


on = _offer(
    "on",
    "Offer tools again that were taken out of their servers' offers. TOOL is an id, SERVER__TOOL.",
    is_offered=True,
)
off = _offer(
    "off",
    "Take tools out of their servers' offers: clients see and call them no more, until `tools on`. TOOL is an id,"
    " SERVER__TOOL.",
    is_offered=False,
)


@click.command()
@click.option(
    "--client", type=click.Choice(CLIENTS), help="Show how many of the tools this client does not take."
)
@click.pass_obj
def views(globals_: Globals, client: str | None) -> None:
    """List the endpoints for several servers, and what each lists: its tools, and their tokens."""
    cut: Mapping[str, Any] = {"CUT": number("cut")} if client else {}
    VIEWS._replace(columns={**VIEWS.columns, **cut}).run(globals_, {"client": client or ""})


@click.command()
@click.option("--cancel", metavar="ID", shell_complete=job_ids, help="Cancel this call.")
@click.pass_obj
def jobs(globals_: Globals, cancel: str | None) -> None:
    """List the calls in the background, which clients begin with gateway_invoke_async, or cancel one."""
    if cancel:
        CANCEL.run(globals_, job=cancel)
    else:
        RUNS.run(globals_)
