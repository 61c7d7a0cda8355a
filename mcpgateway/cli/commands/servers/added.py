"""The report on a server that was added: its tools and their size, its URL, and the clients that have it."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from mcpgateway.cli.commands.servers.servers import SERVER, WORKS
from mcpgateway.cli.completion_values import client_names
from mcpgateway.cli.console import DONE, FAILED, choose, paragraph, say, shortened
from mcpgateway.cli.context import Globals
from mcpgateway.cli.files import careful, machine_of
from mcpgateway.cli.queries import ask
from mcpgateway.hints import cli

if TYPE_CHECKING:
    from mcpgateway.clientfiles.formats.client_format import ClientDialect

LETTERS, YES, HELP = "yn", "y", "?"
MEANING = (
    "y writes an entry that leads to this server into the files of these clients, which list its tools from then on; a"
    " stop takes it out again, and the next start writes it again. n leaves their files as they are."
)
CHARACTERS_PER_TOKEN = 4  # as `mcpgateway.discovery.tokens` estimates
TOOLS_S = 5.0  # a server lists its tools right after it has started
POLL_S = 0.1


def _known(_context: click.Context, _option: click.Parameter, names: tuple[str, ...]) -> tuple[str, ...]:
    if names:
        from mcpgateway.clientfiles.formats.clients import DIALECTS

        for each in names:
            if each not in DIALECTS:
                raise click.BadParameter(f"no client is called {each!r}; known are {', '.join(DIALECTS)}")
    return names


only_clients: Callable[[Any], Any] = click.option(
    "--client",
    "clients",
    multiple=True,
    metavar="NAME",
    shell_complete=client_names,
    callback=_known,
    help="Write it into the files of this client only, without asking; may be repeated.",
)


def tell(
    globals_: Globals,
    name: str,
    server: Mapping[str, Any],
    *,
    is_well: bool,
    is_sure: bool,
    clients: Sequence[str] = (),
) -> None:
    """Print a server's tools, its URL and its clients; where it does not run, the command that says why.

    :param is_sure: the clients' files are written without asking.
    :param clients: the clients that get it; empty for all that use the gateway.
    """
    if not is_well and str(server.get("status")) not in WORKS:
        paragraph(
            f"  {cli('why {}', name)} lists the causes, and {cli('servers remove {}', name)} takes it away again."
        )
        paragraph(f"  Once it runs, {cli('clients apply --server {}', name)} offers it to clients.")
        return
    health, tools = ask(globals_, "/health"), _tools(globals_, name)
    if isinstance(tools, list):
        names = [str(each.get("name")) for each in tools]
        size = sum(
            len(json.dumps(each.get("input_schema"))) + len(str(each.get("description") or ""))
            for each in tools
        )
        counted = f"{len(names)} tools" if len(names) != 1 else "1 tool"
        listed = f": {', '.join(names)}" if names else ""
        paragraph(f"  {counted}, about {size // CHARACTERS_PER_TOKEN:,} tokens{listed}")
    paragraph(f"  URL: {_gateway(globals_, health)}/{name}/mcp")
    enrolled = health.get("clients") if isinstance(health, dict) else None
    views = [
        str(each.get("name"))
        for each in enrolled or ()
        if isinstance(each, dict) and each.get("mode") == "single"
    ]
    if views:
        paragraph(f"  These clients have it now: {', '.join(dict.fromkeys(views))}.")
    offer(globals_, name, is_sure=is_sure, clients=clients)
    paragraph(f"  {cli('clients apply CLIENT --print')} shows the entry for any other client.")


def offer(globals_: Globals, name: str, *, is_sure: bool, clients: Sequence[str] = ()) -> list[str]:
    """Offer the entry of a server to the clients whose files have an entry for each; return the written files.

    :param is_sure: write without asking.
    :param clients: only to these; empty for all.
    """
    if globals_.url or globals_.token_file:
        return []  # the gateway of another machine
    from mcpgateway.clientfiles import offer as entries

    def work() -> list[str]:
        machine = machine_of(globals_)
        found = tuple(
            each
            for each in entries.offers(machine, name)
            if not clients or each.where.site.dialect.name in clients
        )
        if not found:
            return []
        agrees = is_sure or _is_agreed(globals_, name, [each.where.site.dialect for each in found])
        if not agrees:
            if agrees is not None:
                entries.decline(machine, name)
            return []
        errors = entries.write(machine, found)
        paths = [each.where.site.path for each in found]
        if not globals_.as_json:
            for each in errors:
                paragraph(f"  {each}", err=True)
            if not errors:
                listed = ", ".join(map(shortened, paths))
                paragraph(f"  It is added to {listed}; some clients have to be started again to see it.")
        return [] if errors else paths

    return careful(work)


def _is_agreed(globals_: Globals, name: str, dialects: Sequence[ClientDialect]) -> bool | None:
    """Ask whether clients get a server, and say how they get it later where they do not.

    :return: None where nobody can be asked.
    """
    listed = ", ".join(dict.fromkeys(each.title for each in dialects))
    later, is_asked = cli("clients apply --server {}", name), sys.stdin.isatty() and not globals_.as_json
    one = f"; --client {dialects[0].name} at its end chooses one client" if len(dialects) > 1 else ""
    if one or not is_asked:
        paragraph(f"  These clients do not have it yet: {listed}.")
    if not is_asked:
        paragraph(f"  {later} --yes writes it into their files{one}.")
        return None
    question = "Add it to all of them?" if one else f"Add it to {listed}?"
    again = f"  {later} offers it again{one}."
    try:
        while (chosen := choose(f"  {question}", LETTERS, HELP, default=YES)) == HELP:
            paragraph(f"    {MEANING}")
            paragraph(f"    {later} does that at any time{one}.")
        if chosen == YES:
            return True
    except click.Abort:
        say(err=True)
        paragraph(again, err=True)
        raise
    paragraph(again)
    return False


def withdraw(globals_: Globals, name: str) -> list[str]:
    """Take the entries of a removed server out of the clients' files; return the changed files."""
    if globals_.url or globals_.token_file:
        return []
    from mcpgateway.clientfiles import offer as entries

    return careful(lambda: list(entries.withdraw(machine_of(globals_), name)))


def tell_renamed(globals_: Globals, name: str, new: str, found: Mapping[str, Any]) -> int:
    """Print what has become of the entries of a renamed server in clients' files; return the exit code.

    :param found: the gateway's answer.
    """
    paths, errors = found.get("client_files") or (), found.get("client_errors") or ()
    if globals_.as_json:
        return FAILED if errors else DONE
    if paths:
        listed = ", ".join(map(shortened, paths))
        paragraph(f"  So is its entry in {listed}; clients that run have to be started again to see it.")
    for each in errors:
        paragraph(f"  {each}", err=True)
    if errors:
        again = cli("clients apply --server {}", new)
        paragraph(
            f"  A client's file still leads to {name}; mend the file, then {again} adds {new}.", err=True
        )
    return FAILED if errors else DONE


def _tools(globals_: Globals, name: str) -> Any:
    """Return the tools of a server that has just been started, or None where it does not list them in time."""
    ends = time.monotonic() + TOOLS_S
    while True:
        found = ask(globals_, SERVER, name=name)
        tools = found.get("tools") if isinstance(found, dict) else None
        if tools is not None or time.monotonic() >= ends:
            return tools
        time.sleep(POLL_S)


def _gateway(globals_: Globals, health: Any) -> str:
    port = health.get("port") if isinstance(health, dict) else None
    return globals_.url.rstrip("/") or f"http://localhost:{port or 9100}"
