"""The ``daemon`` commands of mcp-ctl, each of which is a command of this program."""

from __future__ import annotations

import click

from mcpgateway.cli.aliases import ALIASES
from mcpgateway.cli.command_table import COMMANDS
from mcpgateway.cli.lazy import LazyGroup

WORDS = {
    words[1]: COMMANDS[alias.words[0]]._replace(section="Commands", is_first=False)
    for words, alias in ALIASES.items()
    if words[0] == "daemon"
}


@click.group(cls=LazyGroup, table=WORDS, bare=None, context_settings={"help_option_names": ["-h", "--help"]})
def daemon() -> None:
    """Start and end the gateway in the words of mcp-ctl; without `daemon`, they are this program's."""
