"""Entries to paste into clients' files, printed or written to a file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import click

from mcpgateway.cli.console import answer, say, shortened, show
from mcpgateway.cli.context import Globals
from mcpgateway.cli.files import careful, machine_of
from mcpgateway.config.document import visible
from mcpgateway.hints import cli

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
    :param form: how the entries use the gateway; None for the way in which `clients apply` would write them.
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

    from attrs import evolve

    from mcpgateway.clientfiles.generate import entries, file_of, left_out, text_of, write
    from mcpgateway.clientfiles.plan import form_for

    machine = machine_of(globals_)
    is_shown = output == STDOUT
    file = file_of(request.dialect, machine) if is_shown else os.path.abspath(os.path.expanduser(output))
    if request.form is None:
        request = evolve(request, form=form_for(machine, machine.record_of(file)))
    wanted = entries(request, machine)
    _tell_left_out({} if request.servers or request.is_single else left_out(machine))
    if is_shown:
        text = text_of(request.dialect, file, wanted)

        def tell_text() -> None:
            # stdout gets the text to paste, and nothing else.
            say(f"{request.dialect.title}: into {file}", err=True, dim=True)
            show(text, nl=False)

        answer(globals_, {"client": request.dialect.name, "file": file, "text": text}, tell_text)
        return
    copy = write(request.dialect, file, wanted, int(datetime.now(UTC).timestamp() * 1000))
    names = [each.key_path[-1] for each in wanted]

    def tell() -> None:
        say(f"{file}: {', '.join(names)}")
        if copy:
            say(f"what it was is in {copy}")

    answer(globals_, {"client": request.dialect.name, "file": file, "backup": copy, "servers": names}, tell)


def _tell_left_out(servers: Mapping[str, str]) -> None:
    """Say on stderr which servers have no entry here, since they are those of projects."""
    for project in dict.fromkeys(servers.values()):
        names = [name for name, its in servers.items() if its == project]
        which = "is a server" if len(names) == 1 else "are servers"
        say(
            f"Left out: {', '.join(names)} {which} of the project {visible(shortened(project))};"
            f" {cli('clients apply --print --server {}', names[0])} prints the entry of one.",
            err=True,
            dim=True,
        )
