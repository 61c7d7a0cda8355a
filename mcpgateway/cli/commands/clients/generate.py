"""Entries to paste into clients' files, printed or written to a file."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from mcpgateway.cli.console import answer, say, show
from mcpgateway.cli.context import Globals
from mcpgateway.cli.files import careful, machine_of

if TYPE_CHECKING:
    from mcpgateway.clientfiles.generate import SnippetRequest

FORMS = ("shim", "proxy", "http", "single")
STDOUT = "-"
USUAL = "claude-code"


def print_entries(
    globals_: Globals, clients: tuple[str, ...], servers: tuple[str, ...], form: str | None, output: str
) -> None:
    """Print the entries of servers, written as a client wants them; or put them into a file.

    :param clients: one client, or none for Claude Code.
    :param form: how the entries use the gateway; None for what suits the client.
    :param output: the file, whose other entries stay and of which a copy is kept; ``-`` for stdout.
    :raise click.UsageError: several clients are named.
    """
    if len(clients) > 1:
        raise click.UsageError("clients apply: --print is for one client")
    from mcpgateway.clientfiles.generate import SnippetForm, SnippetRequest, dialect_of

    def carry_out() -> None:
        dialect = dialect_of(clients[0] if clients else USUAL)
        _generate(globals_, SnippetRequest(dialect, servers, SnippetForm(form) if form else None), output)

    careful(carry_out)


def _generate(globals_: Globals, request: SnippetRequest, output: str) -> None:
    import os
    from datetime import UTC, datetime

    from mcpgateway.clientfiles.generate import entries, file_of, text_of, write

    machine = machine_of(globals_)
    wanted = entries(request, machine)
    if output == STDOUT:
        file = file_of(request.dialect, machine)
        text = text_of(request.dialect, file, wanted)

        def tell_text() -> None:
            # stdout gets the text to paste, and nothing else.
            say(f"{request.dialect.title}: into {file}", err=True, dim=True)
            show(text, nl=False)

        answer(globals_, {"client": request.dialect.name, "file": file, "text": text}, tell_text)
        return
    file = os.path.abspath(os.path.expanduser(output))
    copy = write(request.dialect, file, wanted, int(datetime.now(UTC).timestamp() * 1000))
    names = [each.key_path[-1] for each in wanted]

    def tell() -> None:
        say(f"{file}: {', '.join(names)}")
        if copy:
            say(f"what it was is in {copy}")

    answer(globals_, {"client": request.dialect.name, "file": file, "backup": copy, "servers": names}, tell)
