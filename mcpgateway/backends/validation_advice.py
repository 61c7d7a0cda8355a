"""Advice on a server that could not be connected to, for its validation."""

from __future__ import annotations

from mcpgateway.config.entry import COMMAND_LINE
from mcpgateway.config.model import ServerSpec
from mcpgateway.errors import GatewayError, LaunchFailed, NotAServer
from mcpgateway.interfaces import Gone
from mcpgateway.policy.diagnosis import Failure, ServerFacts, advise
from mcpgateway.policy.health import HealthState
from mcpgateway.system.launch.missing import remedy

STDIO = (
    "is it an MCP server, and on stdio? Some need an argument such as --stdio or mcp; one that serves at a port is"
    " added by its URL"
)
ECHO = "name the program of an MCP server; behind -- stands its command with its arguments"
SILENT = f"an MCP server answers its first message at once: {STDIO}"
CHATTY = f"on stdout an MCP server prints JSON-RPC only, and logs to stderr: {STDIO}"
BY_HAND = "it printed nothing on stderr: run it in this shell, with the same directory and variables"
TOLD = (
    "its output above may say why; with the same arguments and variables in this shell it should say the same"
)
NOT_STARTED = {
    "the working directory": "make that directory, or name another by --cwd, or by cwd in its entry",
    "not executable": "name a program: a script needs chmod +x, or its interpreter before it",
}
NOT_THERE = ("was not found", "does not exist")
SHOWN_CHARS = 120  # of a line


def advice_on(server: ServerSpec, why: GatewayError, gone: Gone | None, stray: str) -> str:
    """Return the advice on a failure to connect; empty for none.

    :param server: the program that was to be connected to.
    :param gone: the end of the program; None if it still runs, or did not start.
    :param stray: a line of its stdout that is no message; empty for none.
    """
    printed = f"it printed: {stray[:SHOWN_CHARS]}; " if stray else ""
    if isinstance(why, LaunchFailed):
        known = (each for words, each in NOT_STARTED.items() if words in why.message)
        is_missing = "the program" in why.message and why.message.endswith(NOT_THERE)
        return _missing(server) if is_missing else next(known, why.hint)
    if isinstance(why, NotAServer):
        return ECHO
    if gone is None:
        return f"{printed}{CHATTY}" if stray else SILENT
    if gone.error is not None or gone.is_unreachable:
        return ""
    if gone.fault:
        return f"{printed}{CHATTY}"
    facts = ServerFacts(
        server.name if server.source != COMMAND_LINE else "",
        HealthState.ERROR,
        failure=Failure.ENDED_EARLY,
        code=gone.code,
        signal=gone.signal,
        words=gone.last_words,
    )
    found = next((each for each in advise(facts) if each.is_trouble and each.cause != "failed"), None)
    if found is not None and found.cause != "ended-at-once":
        return f"{found.says}: {found.remedy}" if found.do else found.says
    if stray or not gone.code:
        return f"{printed}{STDIO}"
    return TOLD if gone.last_words else BY_HAND


def _missing(server: ServerSpec) -> str:
    # A command that is tried before it is in a configuration has no entry to change.
    name = server.name if server.source != COMMAND_LINE else ""
    program = server.command[0]
    return str(remedy(program, server.env, server.cwd, name, is_of_client=server.is_of_client))
