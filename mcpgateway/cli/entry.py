"""Where the programs `mcpgateway`, `mcp-ctl`, `mcpg` and `mcp-gateway` begin: the shim at once, all else later."""

import posix
import sys
from _signal import SIG_IGN, SIGINT, getsignal, signal  # type: ignore[import-not-found]  # builtin, unlike signal

SHIM = frozenset(("connect", "proxy", "stdio"))
ALL = "stdio"  # all servers together
DAEMON = "mcp-gateway"  # the program that is the gateway itself where it is told no command, as elsewhere
PIPES = (0o010000, 0o140000)  # types of files: FIFO and socket; clients start their servers with either
TYPE = 0o170000
COMPLETION = b"_MCPGATEWAY_COMPLETE"  # by this a shell asks how a word goes on
VALUES = frozenset(("--home", "--url", "--api-url", "--token-file", "--patience", "--project"))


def command(argv: list[str]) -> str:
    """The first word that is no global option; empty when there is none."""
    words = iter(argv)
    for word in words:
        if word in VALUES:
            next(words, None)
        elif word.partition("=")[0] not in VALUES:
            return word
    return ""


def is_piped() -> bool:
    """Tell whether a client has started this program as a server: stdin is a pipe."""
    if COMPLETION in posix.environ:
        return False
    try:
        return posix.fstat(0).st_mode & TYPE in PIPES
    except OSError:
        return False  # it is closed


def asks_for_help(argv: list[str]) -> bool:
    """Tell whether help of this program is wanted, not of the command behind the ``--``."""
    own = argv[: argv.index("--")] if "--" in argv else argv
    return "--help" in own or "-h" in own


def relay(arguments: list[str]) -> None:
    """Become the shim; this program is no more."""
    # Clients interrupt a whole group of processes; a session is not to end by that, not even at its beginning.
    interrupts = "ignored" if getsignal(SIGINT) is SIG_IGN else "default"
    signal(SIGINT, SIG_IGN)
    program = __file__.rpartition("/")[0].rpartition("/")[0] + "/shim/shim_main.py"
    posix.execv(sys.executable, [sys.executable, "-I", "-S", program, interrupts, *arguments])


def main() -> int:
    """Be the shim, or run one of the other commands; its exit code."""
    arguments = sys.argv[1:]
    word = command(arguments)
    if not word and COMPLETION not in posix.environ and sys.argv[0].rpartition("/")[2] == DAEMON:
        arguments.append(word := "serve")
    elif not word and is_piped():
        arguments.append(word := ALL)
    if word in SHIM and not asks_for_help(arguments):
        relay(arguments)
    from mcpgateway.cli.main import run

    return run(arguments, is_piped=is_piped())
