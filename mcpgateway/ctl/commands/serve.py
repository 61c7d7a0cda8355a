"""The gateway in the foreground."""

from __future__ import annotations

import os

import click

from mcpgateway.bridge.daemon import argv
from mcpgateway.ctl.context import Globals
from mcpgateway.ctl.lazy import Whole


@click.command(cls=Whole)
@click.pass_context
def serve(context: click.Context) -> None:
    """Run the gateway in the foreground; options as of `twistd mcpgateway --help`."""
    globals_: Globals = context.obj
    if globals_.url or globals_.token_file:
        raise click.UsageError("serve: --url and --token-file are for the programs that talk to a gateway")
    words = argv(globals_.named_home or None, context.args)
    os.execv(words[0], words)  # noqa: S606 - no shell is wanted
