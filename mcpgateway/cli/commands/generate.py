"""Commands that print entries for clients' files."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from mcpgateway.cli.completion_values import client_names, server_names
from mcpgateway.cli.console import answer, fail, say, show
from mcpgateway.cli.context import Globals
from mcpgateway.cli.files import careful, machine_of

if TYPE_CHECKING:
    from mcpgateway.clientfiles.generate import SnippetRequest

FORMS = ("shim", "proxy", "http", "single")
OF_SERVERS = click.option(
    "--server",
    "servers",
    multiple=True,
    metavar="NAME",
    shell_complete=server_names,
    help="Only this server; may be repeated.",
)


EXAMPLES = """\b
Examples:
  mcpgateway generate-config --client cursor
  mcpgateway generate-config --output ~/.claude/mcp.json
"""


@click.command("generate-config", epilog=EXAMPLES)
@click.option(
    "--client",
    default="claude-code",
    metavar="NAME",
    shell_complete=client_names,
    help="The client whose file it is (claude-code).",
)
@OF_SERVERS
@click.option(
    "--form",
    type=click.Choice(FORMS),
    default="shim",
    help="shim: mcpgateway connect NAME; proxy: the same as proxy --target NAME; http: a URL;"
    " single: one URL for all servers.",
)
@click.option(
    "--output", type=click.Path(), default="-", metavar="FILE", help="Where to (default: -, the terminal)."
)
@click.pass_obj
def generate_config(globals_: Globals, client: str, servers: tuple[str, ...], form: str, output: str) -> None:
    """Print a client's file that has every server of the gateway.

    Into a FILE that is there the entries are put beside what it holds, and what it was is copied to
    FILE.backup.MILLISECONDS.
    """
    from mcpgateway.clientfiles.generate import SnippetForm, SnippetRequest, dialect_of

    careful(
        lambda: _generate(globals_, SnippetRequest(dialect_of(client), servers, SnippetForm(form)), output)
    )


def _generate(globals_: Globals, request: SnippetRequest, output: str) -> None:
    import os
    from datetime import UTC, datetime

    from mcpgateway.clientfiles.generate import entries, file_of, text_of, write

    machine = machine_of(globals_)
    wanted = entries(request, machine)
    if output == "-":
        file = file_of(request.dialect, machine)
        text = text_of(request.dialect, file, wanted)
        value = {"client": request.dialect.name, "file": file, "text": text}
        answer(globals_, value, lambda: show(text, nl=False))
        return
    file = os.path.abspath(os.path.expanduser(output))
    copy = write(request.dialect, file, wanted, int(datetime.now(UTC).timestamp() * 1000))
    names = [each.key_path[-1] for each in wanted]

    def tell() -> None:
        say(f"{file}: {', '.join(names)}")
        if copy:
            say(f"what it was is in {copy}")

    answer(globals_, {"client": request.dialect.name, "file": file, "backup": copy, "servers": names}, tell)


@click.command()
@click.argument("client", metavar="CLIENT", shell_complete=client_names)
@OF_SERVERS
@click.option(
    "--form", type=click.Choice(FORMS), help="How it uses the gateway (default: what suits the client)."
)
@click.pass_obj
def snippet(globals_: Globals, client: str, servers: tuple[str, ...], form: str | None) -> None:
    """Print the entry to paste into CLIENT's file, written as that client wants it."""
    from mcpgateway.clientfiles.generate import (
        SnippetForm,
        SnippetRequest,
        dialect_of,
        entries,
        file_of,
        text_of,
    )
    from mcpgateway.errors import ConfigError

    try:
        machine = machine_of(globals_)
        dialect = dialect_of(client)
        wanted = entries(SnippetRequest(dialect, servers, SnippetForm(form) if form else None), machine)
        file = file_of(dialect, machine)
        text = text_of(dialect, file, wanted)
    except ConfigError as why:
        fail(str(why))

    def tell() -> None:
        # stdout gets the text to paste, and nothing else.
        say(f"{dialect.title}: into {file}", err=True, dim=True)
        show(text, nl=False)

    answer(globals_, {"client": dialect.name, "file": file, "text": text}, tell)
