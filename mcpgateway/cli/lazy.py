"""Groups of commands that are loaded when they are named: help and completion of the groups import none."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from importlib import import_module
from typing import Any, NamedTuple

import click

BEHIND = f"{__name__}.behind"


class CommandInfo(NamedTuple):
    """A command before it is loaded.

    :ivar where: ``module:attribute``, the module within `mcpgateway.cli.commands`.
    :ivar short: one line for the list of commands.
    :ivar section: the heading in the list; empty for a command that is not listed, such as an older program's.
    """

    where: str
    short: str
    section: str = "Commands"


class LazyGroup(click.Group):
    """A group whose commands are declared in a table."""

    def __init__(self, *args: Any, table: Mapping[str, CommandInfo], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.table = table

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names, in the order of the table."""
        return [name for name, row in self.table.items() if row.section]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Load a command."""
        if cmd_name not in self.table:
            return None
        module, _, name = self.table[cmd_name].where.partition(":")
        command: click.Command = getattr(import_module(f"mcpgateway.cli.commands.{module}"), name)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find a command by its name; the error for an unknown name has the nearest known one."""
        name = args[0]
        if name not in self.table and not name.startswith("-") and not ctx.resilient_parsing:
            near = get_close_matches(name, self.list_commands(ctx), 1, 0.5)
            hint = f"did you mean {near[0]}?" if near else f"{ctx.command_path} --help lists them"
            raise click.UsageError(f"unknown command: {name}; {hint}", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands under their headings, without loading any."""
        sections: dict[str, list[tuple[str, str]]] = {}
        for name, row in self.table.items():
            if not row.section:
                continue
            sections.setdefault(row.section, []).append((name, row.short))
        for heading, rows in sections.items():
            with formatter.section(heading):
                formatter.write_dl(rows)


class PassthroughCommand(click.Command):
    """A command that takes another command line behind ``--``; `behind` returns it."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Keep the words behind the first ``--`` from being parsed as options."""
        at = args.index("--") if "--" in args else len(args)
        ctx.meta[BEHIND] = args[at + 1 :]
        return super().parse_args(ctx, args[:at])


def behind(ctx: click.Context) -> list[str]:
    """Return the words behind ``--``."""
    words: list[str] = ctx.meta[BEHIND]
    return words


class RawCommand(click.Command):
    """A command that gets its words unparsed, ``--`` included, as ``ctx.args``."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Keep the words unparsed."""
        ctx.args = list(args)
        return ctx.args
