"""Instructions for agents."""

from __future__ import annotations

import click

from mcpgateway.cli.completion_values import readers
from mcpgateway.cli.console import answer, fail, say, show
from mcpgateway.cli.context import Globals
from mcpgateway.hints import cli

EXAMPLES = f"""\b
Examples:
  {cli("instructions")}                                  print it
  {cli("instructions --for claude --write CLAUDE.md")}
  {cli("instructions --remove CLAUDE.md")}               take it out again
  {cli("instructions --setup")}                          have an agent set up the gateway
"""


@click.command(epilog=EXAMPLES)
@click.option(
    "--for",
    "reader",
    default="agents",
    metavar="NAME",
    shell_complete=readers,
    help="Whose: claude, agents, cursor, copilot and others.",
)
@click.option(
    "--setup", "is_setup", is_flag=True, help="Print what to paste to an agent that is to set up the gateway."
)
@click.option(
    "--write",
    "path",
    type=click.Path(),
    metavar="PATH",
    help="Put it between marks into this file, or bring it up to date.",
)
@click.option(
    "--remove", "former", type=click.Path(), metavar="PATH", help="Take it out of this file, byte for byte."
)
@click.pass_obj
def instructions(
    globals_: Globals, reader: str, path: str | None, former: str | None, *, is_setup: bool
) -> None:
    """Print what agents are told about the gateway, or put it into a file that they read."""
    if sum((bool(path), bool(former), is_setup)) > 1:
        raise click.UsageError("instructions: only one of --setup, --write and --remove")
    from mcpgateway.cli.instructions import files
    from mcpgateway.cli.instructions.texts import READERS, setup
    from mcpgateway.cli.instructions.texts import instructions as text_for
    from mcpgateway.errors import ConfigError

    if reader not in READERS:
        raise click.UsageError(f"instructions: --for {reader}: expected one of {', '.join(READERS)}")
    front = READERS[reader].front
    if is_setup:
        text = setup()
        answer(globals_, {"text": text}, lambda: show(text, nl=False))
        return
    try:
        if former:
            gone = files.remove(former, front)
            _done(globals_, former, "removed the file" if gone else "took it out")
        elif path:
            changed = files.write(path, text_for(_port(globals_)), front)
            _done(globals_, path, "written" if changed else "up to date")
        else:
            whole = front + text_for(_port(globals_))
            value = {"for": reader, "file": READERS[reader].file, "text": whole}
            answer(globals_, value, lambda: show(whole, nl=False))
    except ConfigError as why:
        fail(str(why), why.hint)


def _done(globals_: Globals, path: str, what: str) -> None:
    answer(globals_, {"file": path, "result": what}, lambda: say(f"{path}: {what}"))


def _port(globals_: Globals) -> int:
    import os
    from datetime import UTC, datetime

    from mcpgateway.cli.doctor.context import DoctorContext

    return DoctorContext(globals_.home, os.environ, datetime.now(UTC).timestamp()).port
