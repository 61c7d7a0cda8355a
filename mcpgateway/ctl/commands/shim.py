"""The shim's place in the list of commands: the entry runs it without any of this."""

from __future__ import annotations

import click

from mcpgateway.bridge.arguments import Mistake, read
from mcpgateway.ctl.lazy import Whole


def _command(name: str, says: str) -> click.Command:
    @click.command(name, cls=Whole, help=says)
    @click.pass_context
    def told(context: click.Context) -> None:
        try:
            read([name, *context.args])
        except Mistake as why:
            raise click.UsageError(str(why)) from None

    return told


connect = _command(
    "connect",
    "Be the server NAME of the gateway; COMMAND runs in its place if there is none: connect NAME [-- COMMAND …]",
)
proxy = _command("proxy", "The same: proxy --target NAME [-- COMMAND …]")
stdio = _command("stdio", "The same: stdio --server NAME [-- COMMAND …]")
