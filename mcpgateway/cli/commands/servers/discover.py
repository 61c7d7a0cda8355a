"""Have every server asked for its lists, so that its tools can be found when nothing runs."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import click

from mcpgateway import escaping
from mcpgateway.cli.client import GatewayClient, GatewayLate, NoGateway, SocketForbidden
from mcpgateway.cli.completion_values import server_names
from mcpgateway.cli.console import (
    DONE,
    FAILED,
    NO_SERVERS,
    emit,
    fail,
    is_dumb,
    is_terminal,
    paragraph,
    say,
    styled,
    table,
)
from mcpgateway.cli.context import Globals
from mcpgateway.cli.handover import hand_over
from mcpgateway.cli.values import TimeOption
from mcpgateway.hints import cli
from mcpgateway.units import duration

PATH = "/api/v1/discover"
POLL_S = 0.25
OVER = ("done", "failed")
TIMEOUT = "1m"
AROUND_S = 60.0  # beyond the servers' own time limits
HEALTH_S = 5.0

Tell = Callable[[dict[str, Any]], None]


@click.command("refresh")
@click.argument("named", nargs=-1, metavar="[SERVER]...", shell_complete=server_names)
@click.option(
    "--server",
    "servers",
    multiple=True,
    metavar="NAME",
    shell_complete=server_names,
    help="Only this server; may be repeated.",
)
@click.option(
    "--timeout",
    type=TimeOption(),
    default=TIMEOUT,
    show_default=True,
    help="For each server, such as 30s or 2m.",
)
@click.pass_obj
def refresh(globals_: Globals, named: tuple[str, ...], servers: tuple[str, ...], timeout: float) -> int:
    """Ask every server for its tools, prompts and resources, and keep what they answer.

    Search and lists then know them without any server running.  The gateway that runs does it, or else this program
    itself.  Exit code 1 where a server could not be asked.
    """
    remote = GatewayClient(globals_)
    servers = tuple(dict.fromkeys((*named, *servers)))
    if not _is_there(globals_, remote):
        request = {"home": globals_.home, "servers": servers, "limit_s": timeout, "as_json": globals_.as_json}
        hand_over("mcpgateway.app.discover", request)
    with progress() as tell:
        found = _by_the_gateway(remote, list(servers), timeout, tell)
    return report(found["servers"], as_json=globals_.as_json)


def report(listed: list[dict[str, Any]], *, as_json: bool) -> int:
    """Print the outcome of each server; return the exit code."""
    if as_json:
        emit({"items": listed})
    else:
        _tell(listed)
    return FAILED if any(each["state"] != OVER[0] for each in listed) else DONE


def _is_there(globals_: Globals, remote: GatewayClient) -> bool:
    try:
        remote.ask("/healthz", limit_s=HEALTH_S)
    except NoGateway as why:
        if globals_.url or isinstance(why, GatewayLate | SocketForbidden):
            remote.unreachable(why)
        return False
    return True


def _by_the_gateway(remote: GatewayClient, servers: list[str], limit_s: float, tell: Tell) -> dict[str, Any]:
    body: dict[str, Any] = {"timeout_ms": round(limit_s * 1000)}
    if servers:
        body["servers"] = servers
    while True:
        found = remote.fetch(PATH, method="POST", body=body)
        known = {each["name"] for each in found["servers"]}
        ends = time.monotonic() + AROUND_S + limit_s * max(1, len(known))
        while found["running"]:
            tell(found)
            if time.monotonic() > ends:
                fail("the gateway does not come to an end with this", f"{cli('doctor')} may know why")
            time.sleep(POLL_S)
            found = remote.fetch(PATH)
        tell(found)
        # Another program may have started the discovery, for other servers.
        if known.issuperset(servers):
            return {
                **found,
                "servers": [each for each in found["servers"] if not servers or each["name"] in servers],
            }


@contextmanager
def progress() -> Iterator[Tell]:
    """Show a person the progress; a pipe gets no output."""
    import sys

    if is_dumb() or not (sys.stderr.isatty() and is_terminal()):
        yield lambda _: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    columns = (
        TextColumn("asking the servers"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[now]}", markup=False),
    )
    with Progress(*columns, console=Console(stderr=True, markup=False), transient=True) as shown:
        task = shown.add_task("", total=None, now="")

        def tell(found: dict[str, Any]) -> None:
            listed = found["servers"]
            over = sum(each["state"] in OVER for each in listed)
            now = ", ".join(escaping.one_line(each["name"]) for each in listed if each["state"] == "asked")
            shown.update(task, total=len(listed), completed=over, now=now)

        yield tell


def _tell(listed: list[dict[str, Any]]) -> None:
    if not listed:
        paragraph(NO_SERVERS)
        return
    rows = [
        (
            str(each["name"]),
            "-" if "error" in each else str(each["tools"]),
            duration(each["took_s"]),
            styled(str(each["error"]), fg="red") if "error" in each else str(each.get("note", "")),
        )
        for each in listed
    ]
    table(("SERVER", "TOOLS", "TIME", ""), rows)
    asked = [each for each in listed if "error" not in each]
    number = sum(each["tools"] for each in asked)
    what = "server" if len(asked) == 1 else "servers"
    failed = f"; {len(listed) - len(asked)} could not be asked" if len(asked) < len(listed) else ""
    say(f"{number} tools of {len(asked)} {what}{failed}")
