"""Print the completion script for a shell."""

from __future__ import annotations

import click

from mcpgateway.cli.console import answer, show
from mcpgateway.cli.context import Globals
from mcpgateway.hints import cli

SHELLS = ("bash", "zsh", "fish")
NAMES = ("mcpgateway", "mcp-ctl", "mcpg", "mcp-gateway")
"""The names that the program is installed under."""

VARIABLE = "_MCPGATEWAY_COMPLETE"
BEFORE_VALUE = """    [[ ${#COMPREPLY[@]} == 1 && ${COMPREPLY[0]} == *= ]] && compopt -o nospace
    return 0
"""
"""Has bash type no space behind ``KEY=``, where the value follows."""
ADDED, ADDED_OPEN = (
    "        compadd -U -V unsorted -a completions\n",
    """        local -a behind
        [[ ${completions[1]} == *= ]] && behind=(-S '')
        compadd "${behind[@]}" -U -V unsorted -a completions
""",
)
"""The same for zsh."""


@click.command(
    epilog=f"For good: {cli('completion bash')} >> ~/.bashrc, or zsh >> ~/.zshrc,"
    " or fish > ~/.config/fish/completions/mcpgateway.fish"
)
@click.argument("shell", type=click.Choice(SHELLS))
@click.pass_obj
def completion(globals_: Globals, *, shell: str) -> None:
    """Print what makes a SHELL complete commands and options."""
    text = script(shell)
    answer(globals_, {"shell": shell, "script": text}, lambda: show(text, nl=False))


def script(shell: str) -> str:
    """Return the completion script of a shell for all names of the program; it asks the first of them."""
    from click.shell_completion import get_completion_class

    made = get_completion_class(shell)
    assert made is not None
    text = made(click.Command("mcpgateway"), {}, NAMES[0], VARIABLE)
    # The class itself would first run bash for its version; an outdated bash reports that itself.
    written = text.source_template % text.source_vars()
    written = written.replace("    return 0\n", BEFORE_VALUE) if shell == "bash" else written
    written = written.replace(ADDED, ADDED_OPEN) if shell == "zsh" else written
    return written.rstrip("\n") + "\n" + "".join(_also(shell, name) for name in NAMES[1:])


def _also(shell: str, name: str) -> str:
    match shell:
        case "bash":
            return f"complete -o nosort -F _mcpgateway_completion {name}\n"
        case "zsh":
            return f"compdef _mcpgateway_completion {name}\n"
        case _:
            return f"complete --no-files --command {name} --wraps mcpgateway\n"
