"""The command lines that the package's texts name for users, found by their marker, `mcpgateway.hints.cli`."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import click

from mcpgateway.cli.command_table import COMMANDS
from mcpgateway.cli.main import program

PACKAGE = Path(__file__).resolve().parents[2] / "mcpgateway"
GLOBAL = r"(?:--[a-z-]+[ =](?:[A-Z]+|\{\}) )*"
PLAIN = re.compile(rf"(?<!``)\bmcpgateway {GLOBAL}({'|'.join(COMMANDS)})\b")
"""A command in a text; double backticks are for a reference to it."""

QUOTED = re.compile(r"(?<!`)`(mcpgateway [^`]+)`(?!`)")


class Hint(NamedTuple):
    """A command line in a text.

    :ivar where: the module, and the line in it.
    :ivar words: the command with its arguments; those that are filled in while the text is made are ``{}``.
    """

    where: str
    words: str


def hints() -> list[Hint]:
    """All command lines of the marker, and those in backticks in the help of commands and in the package's pages."""
    return [each for path in _sources() for each in _in_module(path)] + [*_in_pages()]


def plain(text: str) -> Iterator[tuple[int, str]]:
    """The commands that strings of a module name without the marker, with their lines; docstrings may."""
    tree = ast.parse(text)
    docstrings = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    parts = {id(each) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for each in node.values}
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            yield from ((node.lineno, each) for each in PLAIN.findall(_template(node)))
        elif (
            isinstance(node, ast.Constant)
            and isinstance(node.value, str | bytes)
            and id(node) not in docstrings | parts
        ):
            whole = node.value if isinstance(node.value, str) else node.value.decode(errors="replace")
            yield from ((node.lineno, each) for each in PLAIN.findall(whole))


def places_without_marker() -> list[str]:
    """The lines of the package that name a command without the marker."""
    return [
        f"{path.relative_to(PACKAGE.parent)}:{line}: mcpgateway {word}"
        for path in _sources()
        if "mcpgateway " in (text := path.read_text())
        for line, word in plain(text)
    ]


def command_of(words: list[str]) -> click.Command | None:
    """The command that the first words name, in the table that help is made of; None where there is none."""
    group: click.Command = program
    for word in words:
        if not isinstance(group, click.Group):
            break
        found = group.get_command(click.Context(group), word)
        if found is None or found.hidden or (group is program and not COMMANDS[word].section):
            return None
        group = found
    return None if isinstance(group, click.Group) and not group.invoke_without_command else group


def _sources() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def _in_module(path: Path) -> Iterator[Hint]:
    text = path.read_text()
    if "cli(" not in text and "`mcpgateway " not in text:
        return
    tree = ast.parse(text)
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Name(id="cli"), args=[ast.Constant(value=str(words)), *_]):
                yield Hint(f"{path.relative_to(PACKAGE.parent)}:{node.lineno}", words)
            case ast.Call(func=ast.Name(id="cli")):
                yield Hint(f"{path.relative_to(PACKAGE.parent)}:{node.lineno}", "")
            case ast.FunctionDef() | ast.Module() if "cli" in path.parts:
                for found in QUOTED.findall(ast.get_docstring(node) or ""):
                    yield Hint(f"{path.relative_to(PACKAGE.parent)}", found.partition(" ")[2])


def _in_pages() -> Iterator[Hint]:
    for path in sorted(each for each in PACKAGE.rglob("*.md")):
        for found in QUOTED.findall(path.read_text()):
            yield Hint(str(path.relative_to(PACKAGE.parent)), found.partition(" ")[2])


def _template(node: ast.JoinedStr) -> str:
    return "".join(str(each.value) if isinstance(each, ast.Constant) else "{}" for each in node.values)


def told(text: str) -> list[str]:
    """The commands that a text of the program names, as they are to be run, in the order of the text."""
    return _named().findall(text)


@cache
def _named() -> re.Pattern[str]:
    patterns = sorted({each.words for each in hints() if each.words}, key=len, reverse=True)
    value = r"(?:'[^']*'|(?!(?:says|shows|lists)\b)[^\s,;()]+)"
    alternatives = "|".join(re.escape(each).replace(r"\{\}", value) for each in patterns)
    return re.compile(rf"\bmcpgateway ({alternatives})(?![\w-]|\.\w)")
