"""The command line: the options and error handling of all commands."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from shlex import quote
from typing import Any, TextIO, cast

import click

from mcpgateway import __version__
from mcpgateway.cli import aliases
from mcpgateway.cli.command_table import COMMANDS
from mcpgateway.cli.console import (
    DONE,
    FAILED,
    INTERRUPTED,
    USAGE,
    Trouble,
    colour,
    repeat_in_hints,
    say,
    show,
)
from mcpgateway.cli.context import Globals
from mcpgateway.cli.lazy import LazyGroup
from mcpgateway.hints import cli
from mcpgateway.shim import locations

# These options may also follow the command.
ANYWHERE: tuple[str, ...] = ("--home", "--url", "--api-url", "--token-file", "--auth-token-file")
FLAGS = ("--json", "--no-pager")
OWN_NAMES = ("", "mcpgateway")
OF_SERVERS: Mapping[str, str] = {
    "start": cli("servers start {}"),
    "stop": cli("servers stop {}"),
    "restart": cli("servers restart {}"),
    "enable": cli("servers enable {}"),
    "servers list": cli("servers get {}"),
    "servers start": cli("servers start {}"),
    "servers stop": cli("servers stop {}"),
    "servers restart": cli("servers restart {}"),
    "servers remove": cli("servers remove {}"),
    "servers enable": cli("servers enable {}"),
    "servers disable": cli("servers disable {}"),
    "servers test": cli("servers test {}"),
    "servers get": cli("servers get {}"),
}
"""Commands that take no further name, and those for the server of that name."""
EXCERPTS = "mcpgateway.cli.local.broken"  # loaded as commands are, and for an error in a file only
IN_A_LINE = re.compile(r"/.+, line \d+")
EXTRA = re.compile(r"unexpected extra arguments? \((.+)\)")
WHOLE_HELP = ({"--help", "--all"}, {"-h", "--all"})
OWN_URL = ["servers", "add"]  # after these words, --url is the server's, and --api-url the gateway's


@click.group(
    cls=LazyGroup,
    table=COMMANDS,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)
@click.version_option(__version__, "-V", "--version", message="mcpgateway %(version)s")
@click.option(
    "--home",
    type=click.Path(),
    metavar="DIRECTORY",
    help="The gateway's own files (default: $MCPGATEWAY_HOME, or ~/.mcp-gateway).",
)
@click.option(
    "--url",
    "--api-url",
    metavar="URL",
    help="Where the gateway is, such as http://127.0.0.1:9100"
    " (default: $MCPGATEWAY_URL, or the Unix socket in the home).",
)
@click.option(
    "--token-file",
    "--auth-token-file",
    type=click.Path(),
    metavar="FILE",
    help="The file that holds the token, for a gateway that wants one.",
)
@click.option("--json", "as_json", is_flag=True, help="Results for programs.")
@click.option("--no-pager", is_flag=True, help="Never show long output by $MCPGATEWAY_PAGER or $PAGER.")
@click.pass_context
def program(
    context: click.Context,
    home: str | None,
    url: str | None,
    token_file: str | None,
    *,
    as_json: bool,
    no_pager: bool,
) -> None:
    """Share one set of MCP servers among many MCP clients.

    `mcpgateway ui` opens the dashboard. `mcpgateway help --all` lists all commands, and `mcpgateway help COMMAND`
    explains one.
    """
    context.color = colour()
    environ = locations.environment()
    named = home or environ.get(locations.HOME_VARIABLE, "")
    context.obj = Globals(
        locations.gateway_home(environ, home),
        named,
        url or locations.variable(environ, locations.URL_VARIABLE),
        token_file or "",
        as_json,
        is_paged=not no_pager,
        has_older_lists=context.obj is True,
    )
    is_usual = not home or context.obj.home == locations.gateway_home(environ, None)
    repeat_in_hints(COMMANDS, "" if is_usual else context.obj.home, url or "", token_file or "")
    if context.invoked_subcommand is None:
        # A client that has started this program as a server never gets here: see mcpgateway.cli.entry.
        show(context.get_help())


def run(argv: list[str], *, is_piped: bool = False, name: str = "") -> int:
    """Run a command; return its exit code.

    :param is_piped: stdin is a pipe, as when a client has started this program as a server.
    :param name: the name that the program was called by, such as ``mcp-ctl``.
    """
    _open_what_is_closed()
    first, rest = _options_first(argv)
    has_older_lists = aliases.has_older_lists(rest, name)
    rest = aliases.meant(rest, is_piped=is_piped, name=name)
    if set(rest) in WHOLE_HELP:
        rest = ["help", "--all"]
    code = guarded(
        lambda: program.main(first + rest, "mcpgateway", standalone_mode=False, obj=has_older_lists),
        as_json="--json" in first,
    )
    # Scripts that call the names of other gateways know one code for all mistakes.
    return FAILED if code == USAGE and name not in OWN_NAMES else code


def guarded(work: Callable[[], Any], *, as_json: bool) -> int:
    """Run the work of a command, and report its error; return the exit code."""
    try:
        code = work()
    except click.exceptions.NoArgsIsHelpError as why:
        if as_json:
            Trouble("a command is missing", "--help lists them").tell(as_json=True)
        else:
            for line in why.format_message().splitlines():
                say(line, err=True)
        return USAGE
    except (click.ClickException, click.exceptions.Abort, locations.Unusable) as why:
        trouble = _as_trouble(why)
        if not as_json and IN_A_LINE.search(trouble.message) and "\n" not in trouble.message:
            trouble.excerpt = import_module(EXCERPTS).with_excerpt(trouble.message).partition("\n")[2]
        trouble.tell(as_json=as_json)
        return trouble.code
    except OSError as why:
        # stdout takes no more bytes, as on a full disk; the buffer is not flushed again at exit.
        sys.stdout = _nowhere("w")
        Trouble(str(why)).tell(as_json=False)
        return FAILED
    return code if isinstance(code, int) else DONE


def _open_what_is_closed() -> None:
    # The caller may have closed a stream (<&-); commands expect files, not None.
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, _nowhere(mode))


def _nowhere(mode: str) -> TextIO:
    return cast(TextIO, Path(os.devnull).open(mode, encoding="utf-8"))


def _as_trouble(why: Exception) -> Trouble:
    if isinstance(why, Trouble):
        return why
    if isinstance(why, click.UsageError):
        return Trouble(why.format_message(), _usage_of(why), USAGE)
    if isinstance(why, click.ClickException):
        return Trouble(why.format_message())
    if isinstance(why, click.exceptions.Abort):
        return _as_interruption(why)
    return Trouble(str(why))


def _usage_of(why: click.UsageError) -> str:
    """Return the command that shows how the command of an error is called; empty where the error says what to do."""
    context = why.ctx
    if context is None:
        return ""
    extra = EXTRA.search(why.message)
    of_server = OF_SERVERS.get(context.command_path.partition(" ")[2])
    if extra and of_server is not None and " " not in extra[1]:
        return of_server.format(quote(extra[1]))
    return f"{context.command_path} --help" if extra or isinstance(why, click.MissingParameter) else ""


def _as_interruption(why: click.exceptions.Abort) -> Trouble:
    """Return the report on a command that ends early: the command ends, and what was done stays."""
    if why.__cause__ is None and sys.stderr.isatty():
        say(err=True)  # the question is still on the line
    stays = f"what it has done before stays; {cli('status')} shows what runs"
    if isinstance(why.__context__, EOFError):
        return Trouble("this command ends at its question, since the input has ended", stays)
    return Trouble("this command is interrupted, and ends here", stays, INTERRUPTED)


def _options_first(argv: list[str]) -> tuple[list[str], list[str]]:
    """Move the global options, which may stand anywhere before ``--``, to the front, where click expects them."""
    first: list[str] = []
    rest: list[str] = []
    words = iter(argv)
    anywhere: tuple[str, ...] = ANYWHERE
    for word in words:
        if rest[:2] == OWN_URL:
            anywhere = tuple(each for each in ANYWHERE if each != "--url")
        if word == "--":
            rest += [word, *words]
        elif word in FLAGS:
            first.append(word)
        elif word in anywhere:
            first += [word, *([value] if (value := next(words, None)) is not None else [])]
        elif word.startswith(tuple(f"{each}=" for each in anywhere)):
            first.append(word)
        else:
            rest.append(word)
    return first, rest
