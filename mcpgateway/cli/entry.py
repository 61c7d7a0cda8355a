"""The entry point of `mcpgateway`, `mcp-ctl`, `mcpg` and `mcp-gateway`; the shim starts without loading the rest."""

import sys

try:
    import posix
except ImportError:
    sys.exit("mcpgateway runs on Windows in WSL: `wsl --install`, then install it there, in Linux")
from _signal import (  # type: ignore[import-not-found]  # builtin, unlike signal
    SIG_DFL,
    SIG_IGN,
    SIGINT,
    default_int_handler,
    getsignal,
    signal,
)

SHIM = frozenset(("connect", "proxy", "stdio"))
ALL = "stdio"  # the endpoint of all servers
DAEMON = "mcp-gateway"  # this program name without a command means the gateway itself, as in other gateways
PIPES = (0o010000, 0o140000)  # file types: FIFO and socket; clients start their servers with either
TYPE = 0o170000
INTERRUPTED = 130  # as the shell says of a command that Ctrl-C has ended
COMPLETION = b"_MCPGATEWAY_COMPLETE"  # set by a shell that requests completion
VALUES = frozenset(("--home", "--url", "--api-url", "--token-file", "--patience", "--project"))


def command(argv: list[str]) -> str:
    """Return the first word that is no global option; empty if there is none."""
    words = iter(argv)
    for word in words:
        if word in VALUES:
            next(words, None)
        elif word.partition("=")[0] not in VALUES:
            return word
    return ""


def is_piped() -> bool:
    """Return whether a client has started this program as a server: stdin is a pipe."""
    if COMPLETION in posix.environ:
        return False
    try:
        return posix.fstat(0).st_mode & TYPE in PIPES
    except OSError:
        return False  # stdin is closed


def asks_for_help(argv: list[str]) -> bool:
    """Return whether help of this program is requested, not of the command behind ``--``."""
    own = argv[: argv.index("--")] if "--" in argv else argv
    return "--help" in own or "-h" in own


def relay(arguments: list[str]) -> None:
    """Replace this program by the shim."""
    # Clients interrupt a whole process group; that must not end a session, not even at its start.
    interrupts = "ignored" if getsignal(SIGINT) is SIG_IGN else "default"
    signal(SIGINT, SIG_IGN)
    program = __file__.rpartition("/")[0].rpartition("/")[0] + "/shim/shim_main.py"
    posix.execv(sys.executable, [sys.executable, "-I", "-S", program, interrupts, *arguments])


def main() -> int:
    """Run the shim, or one of the other commands; return its exit code."""
    arguments = sys.argv[1:]
    name = sys.argv[0].rpartition("/")[2]
    word = command(arguments)
    if not word and COMPLETION not in posix.environ and name == DAEMON:
        arguments.append(word := "serve")
    elif not word and is_piped():
        arguments.append(word := ALL)
    if word in SHIM and not asks_for_help(arguments):
        if posix.isatty(0):
            posix.write(2, waits())
        relay(arguments)
    is_interruptible = getsignal(SIGINT) is default_int_handler
    if is_interruptible:
        # Ctrl-C ends the program at once and silently while it loads, and when the command is over.
        signal(SIGINT, SIG_DFL)
    from mcpgateway.cli.main import run

    try:
        if is_interruptible:
            signal(SIGINT, default_int_handler)
        return run(arguments, is_piped=is_piped(), name=name)
    except KeyboardInterrupt:
        return INTERRUPTED
    finally:
        if is_interruptible:
            signal(SIGINT, SIG_DFL)


def waits() -> bytes:
    """Return the text for a person who runs the shim on a terminal."""
    from mcpgateway.hints import cli

    return (
        "mcpgateway: this command waits for the messages of an MCP client on stdin; Ctrl-D ends it\n"
        f"  a client starts it by itself; {cli('servers test NAME')} tries a server\n"
    ).encode()
