"""Commands about the program itself."""

from __future__ import annotations

import click

from mcpgateway import __version__
from mcpgateway.cli.console import answer, say, show
from mcpgateway.cli.context import Globals


@click.command()
@click.pass_obj
def version(globals_: Globals) -> None:
    """Say which release this is."""
    answer(globals_, {"version": __version__}, lambda: say(f"mcpgateway {__version__}"))


@click.command("help")
@click.pass_context
def help_(context: click.Context) -> None:
    """List the commands."""
    show(context.find_root().get_help())
