"""Validate a server before it is added to a configuration."""

from __future__ import annotations

import shlex

import click

from mcpgateway.cli import shell_path
from mcpgateway.cli.completion_values import server_names
from mcpgateway.cli.console import only_here
from mcpgateway.cli.context import Globals
from mcpgateway.cli.handover import hand_over
from mcpgateway.cli.lazy import PassthroughCommand, behind
from mcpgateway.cli.values import TimeOption

TIMEOUT = "30s"


@click.command(
    "test",
    cls=PassthroughCommand,
    options_metavar="[OPTIONS] [-- COMMAND ...]",
    epilog="A server is a configured one, the COMMAND behind --, or that of --command.",
)
@click.argument("name", required=False, metavar="[NAME]", shell_complete=server_names)
@click.option("--command", help="The program, or the whole command in quotes.")
@click.option("--args", help="Its arguments, with commas between them.")
@click.option(
    "--cwd", type=click.Path(), metavar="DIRECTORY", help="The directory it runs in (default: this one)."
)
@click.option("--env", multiple=True, metavar="NAME=VALUE", help="May be repeated.")
@click.option(
    "--config", type=click.Path(), metavar="FILE", help="A configuration (default: the gateway's own)."
)
@click.option(
    "--server",
    metavar="NAME",
    shell_complete=server_names,
    help="The name of a server in it (default: the first program by name).",
)
@click.option("--env-file", type=click.Path(), metavar="FILE", help="A file of values: NAME=VALUE lines.")
@click.option(
    "--timeout",
    type=TimeOption(),
    default=TIMEOUT,
    show_default=True,
    help="For all of it, such as 30s, 500ms or 2m.",
)
@click.pass_context
def validate(  # noqa: PLR0913 - one for each option
    context: click.Context,
    *,
    name: str | None,
    command: str | None,
    args: str | None,
    cwd: str | None,
    env: tuple[str, ...],
    config: str | None,
    server: str | None,
    env_file: str | None,
    timeout: float,
) -> None:
    """Try a server: connect, list its tools, ping it, end it."""
    globals_: Globals = context.obj
    only_here(globals_, "servers test")
    if name and server:
        raise click.UsageError("servers test: a server is named twice: by NAME and by --server")
    server = name or server
    words = command_of(behind(context), command, args)
    if words and (config or server):
        raise click.UsageError("a server is given twice: by its command and by a configuration")

    request = {
        "command": words,
        "cwd": cwd,
        "env": env,
        "config": config,
        "server": server,
        "timeout_s": timeout,
        "home": globals_.named_home,
        "env_file": env_file,
        "as_json": globals_.as_json,
        "note": shell_path.sentence(globals_, server) if server and not (config or globals_.as_json) else "",
    }
    hand_over("mcpgateway.app.validate", request)


def command_of(words: list[str], command: str | None, args: str | None) -> list[str]:
    """Return the words of a command, given in either form; empty if none was given.

    :raise UsageError: a command was given in both forms, or arguments without a command.
    """
    if words and (command or args):
        raise click.UsageError("a command is given twice: by --command and behind --")
    if args and not command:
        raise click.UsageError("--args goes with --command")
    if command is None:
        return words
    try:
        argv = shlex.split(command)
    except ValueError as why:
        raise click.UsageError(f"--command: {why}") from why
    return [*argv, *(args.split(",") if args else [])]
