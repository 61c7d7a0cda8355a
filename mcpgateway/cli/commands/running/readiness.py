"""Wait for servers, and check their readiness beforehand; the exit code has the reason of a failure."""

from __future__ import annotations

import time
from typing import Any

import click

from mcpgateway.cli.client import GatewayClient, NoGateway, SocketForbidden
from mcpgateway.cli.completion_values import server_names
from mcpgateway.cli.console import FAILED, answer, spinner, styled
from mcpgateway.cli.context import Globals
from mcpgateway.cli.queries import TableQuery, text
from mcpgateway.cli.values import TimeOption

WAIT_S = "20s"
AGAIN_S = 0.2
ASK_S = 2.0
MARGIN_S = 5.0  # so that the gateway reports its own timeout
COLOURS = {0: "green", 10: "cyan", 11: "yellow", 12: "red"}
CODES = "Exit codes: 0 ready, 10 not running yet, 11 needs somebody (approval, authorization, switched off), 12 failed"

PREFLIGHT = TableQuery(
    "/api/v1/preflight",
    {
        "SERVER": text("name"),
        "STATE": lambda each: styled(str(each.get("state")), fg=COLOURS.get(int(each.get("code") or 0))),
        "WHY": text("why"),
        "WHAT TO DO": text("hint"),
    },
    key="servers",
)
WAIT = PREFLIGHT._replace(route="/api/v1/wait", method="POST")


@click.command(epilog=f"{CODES}; the worst of all counts. 2 no gateway, 1 anything else.")
@click.argument("servers", nargs=-1, metavar="SERVER...", shell_complete=server_names)
@click.option(
    "--ready",
    "limit",
    type=TimeOption(),
    default=WAIT_S,
    show_default=True,
    help="How long it may take, such as 2m.",
)
@click.option("--no-start", is_flag=True, help="Start nothing: say what is in the way now.")
@click.option(
    "--need",
    "named",
    multiple=True,
    hidden=True,
    shell_complete=server_names,
    help="Of preflight: the servers, with commas between them.",
)
@click.pass_obj
def wait(
    globals_: Globals, servers: tuple[str, ...], limit: float, named: tuple[str, ...], *, no_start: bool
) -> int:
    """Start servers, and wait until they can be called; for the gateway itself too, if it is just being started."""
    names = [*servers, *(name for each in named for name in each.split(",") if name)]
    if not names:
        raise click.UsageError("wait: name the servers that are needed")
    if no_start:
        return _answered(globals_, PREFLIGHT, PREFLIGHT.ask(globals_, {"need": ",".join(names)}))
    remote = GatewayClient(globals_)
    ends = time.monotonic() + limit
    with spinner("waiting"):
        _wait_for_gateway(remote, ends)
        left_s = max(0.001, ends - time.monotonic())
        body = {"servers": names, "timeout_ms": max(1, round(left_s * 1000))}
        found = WAIT._replace(limit_s=left_s + MARGIN_S).ask(globals_, body=body)
    return _answered(globals_, WAIT, found)


def _wait_for_gateway(remote: GatewayClient, ends: float) -> None:
    while True:
        try:
            remote.ask("/healthz", limit_s=ASK_S)
        except SocketForbidden as why:
            remote.unreachable(why)
        except NoGateway as why:
            if time.monotonic() + AGAIN_S > ends:
                remote.unreachable(why)
            time.sleep(AGAIN_S)
        else:
            return


def _answered(globals_: Globals, query: TableQuery, found: Any) -> int:
    answer(globals_, found, lambda: query.tell(found))
    code = found.get("code")
    return code if isinstance(code, int) else FAILED
