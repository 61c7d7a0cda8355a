"""The command line: the options and error handling of all commands, and the table of commands."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TextIO, cast

import click

from mcpgateway import __version__
from mcpgateway.cli import aliases
from mcpgateway.cli.console import DONE, FAILED, Trouble, colour, show
from mcpgateway.cli.context import Globals
from mcpgateway.cli.lazy import CommandInfo, LazyGroup
from mcpgateway.shim import locations

RUNNING, SERVERS, CLIENTS, CONFIGURATION, PROGRAM = (
    "The gateway",
    "Servers",
    "Clients",
    "Configuration",
    "This program",
)
COMMANDS = {
    "start": CommandInfo("gateway:start", "start the gateway, and enrol clients' files", RUNNING),
    "stop": CommandInfo("gateway:stop", "restore clients' files, and stop the gateway", RUNNING),
    "restart": CommandInfo(
        "gateway:restart", "restart the gateway with the same options; sessions are kept", RUNNING
    ),
    "status": CommandInfo("status:status", "say whether the gateway runs, and what it serves", RUNNING),
    "health": CommandInfo("status:health", "print the numbers of a running gateway and its servers", RUNNING),
    "stats": CommandInfo(
        "figures:stats", "say which tools are called, and how they and their servers fare", RUNNING
    ),
    "savings": CommandInfo("figures:savings", "say what sharing saves: processes, memory, tokens", RUNNING),
    "serve": CommandInfo("serve:serve", "run the gateway in the foreground", RUNNING),
    "service": CommandInfo("service:service", "run as a service: install, uninstall, status", RUNNING),
    "doctor": CommandInfo(
        "doctor:doctor", "look for everything that may be wrong, and say what to do", RUNNING
    ),
    "manhole": CommandInfo("manhole:manhole", "get a Python prompt inside of the running gateway", RUNNING),
    "sessions": CommandInfo("sessions:sessions", "see who uses the gateway, and end sessions", RUNNING),
    "dump": CommandInfo("dump:dump", "print all that the gateway is doing, to look for a fault", RUNNING),
    "shutdown": CommandInfo(
        "dump:shutdown", "stop the gateway as SIGTERM does, on this machine or another", RUNNING
    ),
    "wait": CommandInfo("readiness:wait", "start servers, and wait until they can be called", SERVERS),
    "preflight": CommandInfo(
        "readiness:preflight", "say whether servers could be called now; for scripts", SERVERS
    ),
    "connect": CommandInfo("shim:connect", "be one server of the gateway, on stdin and stdout", SERVERS),
    "proxy": CommandInfo("shim:proxy", "be one server of the gateway, as connect is: --target NAME", SERVERS),
    "stdio": CommandInfo(
        "shim:stdio", "be all servers together, or a view of them, on stdin and stdout", SERVERS
    ),
    "servers": CommandInfo(
        "servers:servers", "look at servers, add and change them, start and stop them", SERVERS
    ),
    "tools": CommandInfo("tools:tools", "find the tools of all servers, and call them", SERVERS),
    "logs": CommandInfo("logs:logs", "follow what a server says", SERVERS),
    "events": CommandInfo("logs:events", "follow what happens in the gateway", RUNNING),
    "discover": CommandInfo(
        "discover:discover", "ask every server for its tools, so that they can be found", SERVERS
    ),
    "why": CommandInfo("tracing:why", "tell why a server is as it is, and what helps", SERVERS),
    "record": CommandInfo(
        "tracing:record", "export the latest lines that were said to a server, and by it", SERVERS
    ),
    "activity": CommandInfo(
        "activity:activity", "tell who has called what lately, and what was changed", SERVERS
    ),
    "trace": CommandInfo(
        "activity:trace", "tell what belongs to one trace, one session or one call", SERVERS
    ),
    "validate": CommandInfo(
        "validate:validate", "try a server: connect, list its tools, ping it, end it", SERVERS
    ),
    "clients": CommandInfo("clients:clients", "enrol clients' own files, and restore them", CLIENTS),
    "disable": CommandInfo(
        "clients:disable", "restore all clients' files until enable; the gateway keeps running", CLIENTS
    ),
    "enable": CommandInfo("clients:enable", "enrol the files again that disable has restored", CLIENTS),
    "install-claude-code": CommandInfo(
        "install:install", "give Claude Code an entry for every server", CLIENTS
    ),
    "generate-config": CommandInfo(
        "generate:generate_config", "print a client's file that uses the gateway", CLIENTS
    ),
    "snippet": CommandInfo("generate:snippet", "print the entry to paste into a client's file", CLIENTS),
    "instructions": CommandInfo(
        "instructions:instructions", "print what agents are told about the gateway", CLIENTS
    ),
    "config": CommandInfo(
        "config:config", "look at the configuration, check it, and change it", CONFIGURATION
    ),
    "token": CommandInfo("token:token", "show, replace and give out tokens", CONFIGURATION),
    "credential": CommandInfo(
        "credential:credential", "take passwords from a KeePass database, and list them", CONFIGURATION
    ),
    "completion": CommandInfo("completion:completion", "print the completion script of a shell", PROGRAM),
    aliases.WITH: CommandInfo("configured:with_", "run a command with a named configuration", ""),
    "daemon": CommandInfo("daemon:daemon", "start and end the gateway, in the words of mcp-ctl", ""),
    "marketplace": CommandInfo(
        "marketplace:marketplace", "clear up what mcp-ctl has left in Claude Code", ""
    ),
    "version": CommandInfo("version:version", "say which release this is", PROGRAM),
    "help": CommandInfo("version:help_", "list the commands", PROGRAM),
}
# These options may also follow the command.
ANYWHERE: tuple[str, ...] = ("--home", "--url", "--api-url", "--token-file", "--auth-token-file")
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
    " (default: $MCP_GATEWAY_URL, or the Unix socket in the home).",
)
@click.option(
    "--token-file",
    "--auth-token-file",
    type=click.Path(),
    metavar="FILE",
    help="The file that holds the token, for a gateway that wants one.",
)
@click.option("--json", "as_json", is_flag=True, help="Results for programs.")
@click.pass_context
def program(
    context: click.Context, home: str | None, url: str | None, token_file: str | None, *, as_json: bool
) -> None:
    """Share one set of MCP servers among many MCP clients.

    The program is also called mcp-ctl, mcpg and mcp-gateway.
    """
    context.color = colour()
    environ = locations.environment()
    named = home or environ.get(locations.HOME_VARIABLE, "")
    context.obj = Globals(
        locations.gateway_home(environ, home),
        named,
        url or environ.get(locations.URL_VARIABLE, ""),
        token_file or "",
        as_json,
    )
    if context.invoked_subcommand is None:
        # A client that has started this program as a server never gets here: see mcpgateway.cli.entry.
        show(context.get_help())


def run(argv: list[str], *, is_piped: bool = False) -> int:
    """Run a command; return its exit code.

    :param is_piped: stdin is a pipe, as when a client has started this program as a server.
    """
    _open_what_is_closed()
    first, rest = _options_first(argv)
    rest = aliases.meant(rest, is_piped=is_piped)
    return guarded(
        lambda: program.main(first + rest, "mcpgateway", standalone_mode=False), as_json="--json" in first
    )


def guarded(work: Callable[[], Any], *, as_json: bool) -> int:
    """Run the work of a command, and report its error; return the exit code."""
    try:
        code = work()
    except (click.ClickException, click.exceptions.Abort, locations.Unusable) as why:
        trouble = _as_trouble(why)
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
    if isinstance(why, click.ClickException):
        return Trouble(why.format_message())
    return Trouble(str(why) or "stopped")


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
        elif word == "--json":
            first.append(word)
        elif word in anywhere:
            first += [word, *([value] if (value := next(words, None)) is not None else [])]
        elif word.startswith(tuple(f"{each}=" for each in anywhere)):
            first.append(word)
        else:
            rest.append(word)
    return first, rest
