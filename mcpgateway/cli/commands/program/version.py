"""Commands about the program itself."""

from __future__ import annotations

import click

from mcpgateway import __version__
from mcpgateway.cli.aliases import meant
from mcpgateway.cli.completion_values import command_names
from mcpgateway.cli.console import answer, say, show
from mcpgateway.cli.context import Globals
from mcpgateway.cli.lazy import ALL, unknown
from mcpgateway.cli.pager import paged


@click.command()
@click.pass_obj
def version(globals_: Globals) -> None:
    """Say which release this is."""
    answer(globals_, {"version": __version__}, lambda: say(f"mcpgateway {__version__}"))


@click.command("help")
@click.argument("words", nargs=-1, metavar="[COMMAND]...", shell_complete=command_names)
@click.option("--all", "is_all", is_flag=True, help="List all commands, by subject.")
@click.pass_context
def help_(context: click.Context, words: tuple[str, ...], *, is_all: bool) -> None:
    """Explain a command, such as `help servers add`; without one, show the first page of help."""
    found = context.find_root()
    found.meta[ALL] = is_all
    for word in meant(list(words), is_piped=False):
        if word.startswith("-"):
            break
        command = found.command
        inner = command.get_command(found, word) if isinstance(command, click.Group) else None
        if inner is None:
            raise (
                unknown(command, found, word)
                if isinstance(command, click.Group)
                else click.UsageError(f"{found.command_path} has no commands of its own", found)
            )
        found = click.Context(inner, found, word)
    globals_: Globals = context.obj
    with paged(is_on=globals_.is_paged):
        show(found.get_help())
