"""The commands that are not the shim: they may take their time to load what they need."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

from mcpgateway import __version__
from mcpgateway.bridge.arguments import COMMANDS as SHIM
from mcpgateway.bridge.arguments import Mistake, split
from mcpgateway.bridge.daemon import argv as daemon

HELP = """\
Share one set of MCP servers among many MCP clients.

usage: mcpgateway [global options] COMMAND …   (also as mcp-ctl and mcpg)

A server for a client, on stdin and stdout:
  connect NAME [-- COMMAND …]          the server NAME of the gateway; COMMAND runs in its place if there is no gateway
  proxy --target NAME [-- COMMAND …]   the same
  stdio --server NAME                  the same

The gateway:
  serve [options]                      run it in the foreground; options as of `twistd mcpgateway --help`,
                                       such as --port, --config and --source
  config VERB                          look at the configuration, check it, and change it:
                                       check, show, explain, schema, init, import, approve
                                       (--help lists their options)

Servers:
  validate [options] [-- COMMAND …]    try one: connect, list its tools, ping it, end it; --server NAME for one that
                                       is configured, --help for the rest

  version                              say which release this is
  help                                 say this

global options:
  --home DIRECTORY                     the gateway's own files (default: $MCPGATEWAY_HOME, or ~/.mcp-gateway)
  --url URL, --api-url URL             where the gateway is, such as http://127.0.0.1:9100
                                       (default: $MCP_GATEWAY_URL, or the Unix socket in the home)
  --token-file FILE                    the file that holds the token, for a gateway that wants one
  --patience SECONDS                   how long a request waits for a gateway that has gone (default: 30)
"""
HELPS = frozenset(("help", "--help", "-h"))
VERSIONS = frozenset(("version", "--version", "-V"))
LOCAL = frozenset(("config", "validate"))
NAME_A_SERVER = (
    "name a server, as in: mcpgateway connect NAME;"
    " the endpoint of all servers together is not served by this release"
)


def run(argv: list[str]) -> int:
    """Run one command; its exit code."""
    try:
        options, words, behind = split(argv)
    except Mistake as why:
        return complain(str(why))
    if not words:
        return without_command()
    name, *rest = words
    if name in HELPS:
        return say(HELP)
    if name in VERSIONS:
        return say(f"mcpgateway {__version__}\n")
    if name == "serve":
        return serve(options, rest)
    if name in LOCAL:
        return local(options, words, behind)
    return complain(unknown(name))


def without_command() -> int:
    """Help a person; tell a client, which has us as a server, what is missing."""
    if os.isatty(0):
        return say(HELP)
    return complain(NAME_A_SERVER)


def serve(
    options: dict[str, str], rest: list[str], become: Callable[[str, list[str]], None] = os.execv
) -> int:
    """Become a gateway in the foreground."""
    if needless := needless_in(options):
        return complain(f"serve: --{needless} is for the programs that talk to a gateway")
    program = daemon(options.get("home"), rest)
    become(program[0], program)
    return 0


def local(
    options: dict[str, str],
    words: list[str],
    behind: list[str],
    become: Callable[[str, list[str]], None] = os.execv,
) -> int:
    """Become one of the commands that need the gateway's code, but no gateway.

    :param behind: what stands behind ``--``.
    """
    if needless := needless_in(options):
        return complain(f"{words[0]}: --{needless} is for the programs that talk to a gateway")
    home = ["--home", options["home"]] if "home" in options else []
    original = ["--", *behind] if behind else []
    program = [sys.executable, "-P", "-m", "mcpgateway.local", *words, *home, *original]
    become(program[0], program)
    return 0


def needless_in(options: dict[str, str]) -> str:
    """A global option that only matters where a gateway is talked to; empty if there is none."""
    return next((name.replace("_", "-") for name in ("url", "token_file", "patience") if name in options), "")


def unknown(name: str) -> str:
    """What is said of a command that does not exist."""
    from difflib import get_close_matches  # loads re, which nobody needs who spells well

    known = sorted({*SHIM, *LOCAL, "serve", "version", "help"})
    near = get_close_matches(name, known, 1, 0.5)
    hint = f"did you mean {near[0]}?" if near else "mcpgateway help lists the commands"
    return f"unknown command: {name}; {hint}"


def say(text: str) -> int:
    """Answer a person."""
    sys.stdout.write(text)
    return 0


def complain(why: str) -> int:
    """Say what is wrong, in one line."""
    sys.stderr.write(f"mcpgateway: {why}\n")
    return 1
