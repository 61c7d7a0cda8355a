"""Commands that work on the files here, and need the gateway's code but no gateway."""

from __future__ import annotations

import click

from mcpgateway.ctl.context import Globals
from mcpgateway.ctl.lazy import Whole


@click.command(cls=Whole)
@click.pass_context
def config(context: click.Context) -> None:
    """Look at the configuration, check it, and change it."""
    _run(context)


@click.command(cls=Whole)
@click.pass_context
def validate(context: click.Context) -> None:
    """Try a server before it is put into a configuration."""
    _run(context)


def _run(context: click.Context) -> None:
    globals_: Globals = context.obj
    name, words = str(context.info_name), context.args
    if globals_.url or globals_.token_file:
        raise click.UsageError(f"{name}: --url and --token-file are for the programs that talk to a gateway")
    from mcpgateway.local.__main__ import main

    more = ["--json"] if globals_.as_json else []
    home = ["--home", globals_.named_home] if globals_.named_home else []
    at = words.index("--") if "--" in words else len(words)
    context.exit(main([name, *words[:at], *more, *home, *words[at:]]))
