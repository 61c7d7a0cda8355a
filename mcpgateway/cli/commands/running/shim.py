"""The shim's entry in the list of commands; `mcpgateway.cli.entry` runs it without this module."""

from __future__ import annotations

import click
from click.shell_completion import CompletionItem

from mcpgateway.cli.completion_values import server_names
from mcpgateway.cli.console import show
from mcpgateway.cli.entry import asks_for_help
from mcpgateway.cli.lazy import RawCommand
from mcpgateway.shim.arguments import VIEWS, Mistake, read

NAMING = ("--target", "--server")
VIEW = "--view"
OPTIONS = """\b
It is started by a client, and speaks MCP on stdin and stdout.
  --home DIRECTORY     the gateway's own files, where its socket is
  --url URL            where the gateway is, instead of that socket
  --token-file FILE    the file that holds the token, for a gateway that wants one
  --patience SECONDS   how long a request waits for a gateway that has gone (default: 30)
"""


class _OfServer(RawCommand):
    """A command whose first word is a server, or follows the option that names one."""

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Complete the names of servers."""
        words = ctx.args
        if words and words[-1] == VIEW:
            return [CompletionItem(each) for each in VIEWS if each.startswith(incomplete)]
        if "--" in words or (words and words[-1] not in NAMING):
            return []
        return server_names(ctx, None, incomplete)


def _command(name: str, says: str) -> click.Command:
    @click.command(name, cls=_OfServer, help=says, epilog=OPTIONS)
    @click.pass_context
    def run_shim(context: click.Context) -> None:
        if asks_for_help(context.args):
            show(context.get_help())
            return
        try:
            read([name, *context.args])
        except Mistake as why:
            raise click.UsageError(str(why)) from None

    return run_shim


connect = _command(
    "connect",
    "Be the server NAME of the gateway; COMMAND runs in its place if there is none: connect NAME [-- COMMAND]",
)
proxy = _command(
    "proxy", "Be the server NAME of the gateway, as connect is: proxy --target NAME [-- COMMAND]"
)
stdio = _command(
    "stdio",
    "Be all servers of the gateway together, or a view of them: stdio [--view full|search|admin|p/PROFILE];"
    " or one server: stdio --server NAME [-- COMMAND].  With --ready-line, stderr is told when it is ready.",
)
