"""The commands of the program in texts for users, such as hints.

Every text that names a command to run takes its line from `cli`: a test finds them all by that name, holds each
against the commands of the program, and runs those of the situations it can make.
"""

from __future__ import annotations

PROGRAM = "mcpgateway"


def cli(words: str, *values: object) -> str:
    """Return a command line of the program.

    :param words: the command with its options; ``{}`` stands for a value, a word in capitals for what a user fills in.
    :param values: the values, which are quoted for the shell; a list is several words.
    """
    if values:
        from shlex import quote  # not at the top: the shim, which starts often, has no values

        words = words.format(
            *(" ".join(map(quote, each)) if isinstance(each, list) else quote(str(each)) for each in values)
        )
    return f"{PROGRAM} {words}"


def with_command(do: str, run: str) -> str:
    """Return a remedy with the command for it at its end; either may be empty."""
    return f"{do}: {run}" if do and run else do or run
