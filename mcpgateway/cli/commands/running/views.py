"""The status of the gateway, and its other views: numbers, statistics, savings."""

from __future__ import annotations

import time
from collections.abc import Callable

import click

from mcpgateway.cli.commands.running import figures
from mcpgateway.cli.commands.running.status import show_health, show_status
from mcpgateway.cli.completion_values import server_names
from mcpgateway.cli.console import DONE, is_terminal
from mcpgateway.cli.context import Globals
from mcpgateway.cli.values import TimeOption
from mcpgateway.units import DAY_S

HEALTH, STATS, SAVINGS, USAGE = "health", "stats", "savings", "usage"
AGAIN_S = 2.0


@click.command(epilog="Exit code 2 if no gateway answers, 1 if the state file of the gateway cannot be read.")
@click.option("--stats", "view", flag_value=STATS, help="The calls of tools, and how the servers fare.")
@click.option("--savings", "view", flag_value=SAVINGS, help="The savings: processes, memory and tokens.")
@click.option(
    "--usage", "view", flag_value=USAGE, help="The calls of a span of time, by client or otherwise."
)
@click.option("--health", "view", flag_value=HEALTH, help="The numbers of the gateway and its servers.")
@click.option("--watch", is_flag=True, help="Show it again every two seconds, until Ctrl-C.")
@click.option(
    "--server",
    metavar="NAME",
    shell_complete=server_names,
    help="With --stats or --usage: only this server and its tools.",
)
@click.option(
    "--sort",
    type=click.Choice(list(figures.ORDERS)),
    default="calls",
    show_default=True,
    help="With --stats: the order of the tools, the largest first.",
)
@click.option(
    "--limit",
    type=click.IntRange(1),
    default=20,
    show_default=True,
    metavar="N",
    help="With --stats: how many tools are shown.",
)
@click.option(
    "--by",
    type=click.Choice(figures.USES),
    default=figures.USES[0],
    show_default=True,
    help="With --usage: the rows.",
)
@click.option(
    "--window",
    type=TimeOption(30 * DAY_S, "24h"),
    default="24h",
    show_default=True,
    help="With --usage: the span of time, such as 90m.",
)
@click.pass_obj
def status(  # noqa: PLR0913 - each is an option
    globals_: Globals,
    view: str | None,
    server: str | None,
    sort: str,
    limit: int,
    *,
    watch: bool,
    by: str,
    window: float,
) -> int:
    """Show whether all is well and what needs you, then what the gateway serves to whom.

    SHARE says who shares a process of a server: all clients (global), those of one workspace, or one session alone.
    The other views show its numbers: --stats, --usage, --savings and --health.
    """
    if watch:
        globals_ = globals_._replace(is_paged=False)

    def show_once() -> int:
        match view:
            case "health":
                show_health(globals_)
            case "stats":
                figures.show_stats(globals_, server, sort, limit)
            case "usage":
                figures.show_usage(globals_, by, window, server)
            case "savings":
                figures.show_savings(globals_)
            case _:
                return show_status(globals_)
        return DONE

    return _watched(show_once) if watch else show_once()


def _watched(show_once: Callable[[], int]) -> int:
    """Show a view again and again; on a terminal in the same place.  Ctrl-C is its usual end."""
    code = DONE
    try:
        while True:
            if is_terminal():
                click.clear()
            code = show_once()
            time.sleep(AGAIN_S)
    except KeyboardInterrupt:
        return code
