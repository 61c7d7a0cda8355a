"""Groups of commands that are loaded when they are named: help and completion of the groups import none."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from importlib import import_module
from typing import Any, NamedTuple

import click

from mcpgateway.cli.suggestions import in_words, suggestions

ALL = f"{__name__}.all"
WHOLE = 1000  # characters of a sentence that is not cut
ADD_MCP = "--add-mcp"  # of VS Code's command
BEHIND = f"{__name__}.behind"
LINE = f"{__name__}.line"
"""In a context: the words of another program's command that adds a server."""


class CommandInfo(NamedTuple):
    """A command before it is loaded.

    :ivar where: ``module:attribute``, the module within `mcpgateway.cli.commands`.
    :ivar short: one line for the list of commands.
    :ivar section: the heading in the list; empty for a command that is not listed, such as an older program's.
    :ivar is_first: the command is on the first page of help.
    """

    where: str
    short: str
    section: str = "Commands"
    is_first: bool = False


class SuggestingGroup(click.Group):
    """A group whose error for an unknown command names the commands that are meant.

    :ivar bare: the command that the group's name alone stands for; empty for its help; None for an error, as in older
        programs.
    """

    def __init__(self, *args: Any, bare: str | None = "", **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.bare = bare

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Take the group's name alone for its list, or for the request of its help."""
        is_bare = not (args or self.invoke_without_command or ctx.resilient_parsing)
        if is_bare and self.bare is not None:
            args = [self.bare] if self.bare else ["--help"]
        return super().parse_args(ctx, args)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find a command by its name.

        :raise click.UsageError: there is no such command.
        """
        name = args[0]
        if not name.startswith("-") and not ctx.resilient_parsing and self.get_command(ctx, name) is None:
            raise unknown(self, ctx, name)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands, each with the whole first sentence of its help."""
        rows = []
        for name in self.list_commands(ctx):
            command = self.get_command(ctx, name)
            if command is not None and not command.hidden:
                sentence = command.get_short_help_str(WHOLE)
                rows.append((name, sentence if sentence.endswith((".", "?")) else f"{sentence}."))
        if rows:
            with formatter.section("Commands"):
                formatter.write_dl(rows)


def unknown(group: click.Group, ctx: click.Context, word: str) -> click.UsageError:
    """Return the error for a word that is no command of a group, with the commands that are meant."""
    names = " ".join(ctx.command_path.split()[1:])
    meant = suggestions(names, word, group.list_commands(ctx))
    lists = f"{ctx.command_path} --help lists them" if names else f"{ctx.command_path} help --all lists them"
    return click.UsageError(
        f"unknown command: {f'{names} {word}'.lstrip()}; {in_words(meant) if meant else lists}", ctx
    )


class LazyGroup(SuggestingGroup):
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

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands, and the options after them."""
        self.format_commands(ctx, formatter)
        click.Command.format_options(self, ctx, formatter)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands under their headings, without loading any: those of the first page, or all."""
        sections: dict[str, list[tuple[str, str]]] = {}
        first = {name: row._replace(section="Commands") for name, row in self.table.items() if row.is_first}
        shown = self.table if ctx.meta.get(ALL) or not first else first
        for name, row in shown.items():
            if row.section:
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


class ServedCommand(PassthroughCommand):
    """A command that takes the command line of a server behind ``--``; an option before it may be the server's."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Name the whole command in the error for one without ``--``, and ``--`` in that for an unknown option.

        :raise click.UsageError: ``--`` is missing, or there is no such option.
        """
        if "--" not in args and not ctx.resilient_parsing:
            self._refuse_bare(ctx, args)
        try:
            return super().parse_args(ctx, args)
        except click.NoSuchOption as why:
            if "--" in args:
                raise
            said = why.format_message()
            raise click.UsageError(
                f"{said} The server's own options stand with its command behind --, as in -- COMMAND --option"
            ) from None

    def _refuse_bare(self, ctx: click.Context, args: list[str]) -> None:
        # Options behind the program would otherwise be taken for those of this command.
        options = [each for each in self.get_params(ctx) if isinstance(each, click.Option)]
        known = {word: each.is_flag for each in options for word in each.opts}
        before = [each.name for each in self.params if isinstance(each, click.Argument)].index("target")
        places: list[int] = []
        at, is_whole = 0, True
        while at < len(args):
            word = args[at]
            is_option = word.startswith("-") and word != "-"
            if is_option and not {word.partition("=")[0], word[:2]} & known.keys():
                is_whole = False
                if len(places) <= before:
                    return  # an option of this command, which the parser names
            places += [] if is_option else [at]
            at += 1 if known.get(word, True) else 2
        if len(places) <= before or (is_whole and len(places) == before + 1):
            return
        begin = places[before]
        if ":" in args[begin]:
            return  # a URL, and too many words behind it
        words = [*(args[each] for each in places[:before]), "--", *args[begin:]]
        more = "; options of this command stand before the --" if begin > before else ""
        raise click.UsageError(
            f"the command of a server stands behind --: {ctx.command_path} {shlex.join(words)}{more}", ctx
        )


class AddingCommand(ServedCommand):
    """``servers add``, which also takes another program's command that adds a server, as it stands in its docs."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Keep the words of such a command, quoted as one word or not, from being parsed as this command's."""
        is_whole = len(args) == 1 and any(each in args[0] for each in (" mcp add", f" {ADD_MCP}"))
        words = shlex.split(args[0]) if is_whole else args
        is_line = words[1:2] == ["mcp"] and words[2:3] in (["add"], ["add-json"])
        is_line = is_line or (words[:1] != [] and words[1:2] != [] and words[1].partition("=")[0] == ADD_MCP)
        ctx.meta[LINE] = words if is_line else []
        return super().parse_args(ctx, [] if is_line else args)


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
