"""The conventions of the command line, held over all commands."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import click
import pytest

import mcpgateway.cli
from mcpgateway.cli import aliases
from mcpgateway.cli.lazy import LazyGroup
from mcpgateway.cli.listings import LISTS, reference
from mcpgateway.cli.main import program

PACKAGE = Path(mcpgateway.cli.__file__).parent
COMPLETED = (click.Choice, click.Path, click.File)
NUMBERS = {"IntRange", "FloatRange", "TimeOption", "_Seconds"}
FREE = {
    # New names, secrets, addresses, texts to search for, and the words of other programs.
    "": {"--url"},
    "servers add": {
        "name",
        "target",
        "--command",
        "--args",
        "-e",
        "--url",
        "-H",
        "--share",
        "--timeout",
        "--definition",
    },
    "servers rename": {"new"},
    "servers upgrade": {"--to"},
    "servers search": {"words", "--registry"},
    "servers install": {"--name", "--registry", "-e"},
    "servers test": {"--command", "--args", "--env"},
    "servers login": {"--answer"},
    "tools search": {"words"},
    "tools call": {"--arg", "--json-args"},
    "config approve": {"--digest"},
    "cluster init": {"--store", "--node", "--listen", "--address", "--label"},
    "debug events": {"--kind"},
    "token create": {"name"},
    "credential import": {"--group"},
    "credential import-kdbx": {"--group"},
    "start": {"--daemon-path"},
    "daemon start": {"--daemon-path"},
    "serve": {"--port", "--config", "--env-file", "--source", "--listen", "--log-level"},
}
"""The values that may be anything, which a shell does not complete, by command."""


class Named(NamedTuple):
    """A command with its words."""

    words: str
    command: click.Command


def commands(group: click.Command, context: click.Context, words: tuple[str, ...] = ()) -> Iterator[Named]:
    """All commands, hidden ones included."""
    yield Named(" ".join(words), group)
    if not isinstance(group, click.Group):
        return
    for name in group.table if isinstance(group, LazyGroup) else group.commands:
        inner = group.get_command(context, name)
        assert inner is not None
        yield from commands(inner, click.Context(inner, context, name), (*words, name))


ALL = list(commands(program, click.Context(program, info_name="mcpgateway")))
BY_WORDS = {each.words: each.command for each in ALL}
by_words = pytest.mark.parametrize("named", ALL, ids=[each.words or "mcpgateway" for each in ALL])


def options(command: click.Command) -> set[str]:
    """The names of the options of a command."""
    return {name for each in command.params for name in each.opts if name.startswith("-")}


class CommandTests:
    """Every command."""

    @by_words
    def test_completion(self, named: Named) -> None:
        """A shell completes every argument and option but numbers, times, and what may be anything."""
        free = FREE.get(named.words, set())
        left = {
            each.opts[0]
            for each in named.command.params
            if not (isinstance(each, click.Option) and each.is_flag)
            and each._custom_shell_complete is None
            and not isinstance(each.type, COMPLETED)
            and type(each.type).__name__ not in NUMBERS
        }
        assert left <= free

    @by_words
    def test_help(self, named: Named) -> None:
        """Every command and every option that is listed has a help text without an ellipsis."""
        assert named.command.help
        texts = [named.command.help]
        for each in named.command.params:
            if isinstance(each, click.Option) and not each.hidden:
                assert each.help, each.opts
                texts.append(each.help)
        assert not any("…" in each for each in texts)

    @by_words
    def test_yes(self, named: Named) -> None:
        """A command that takes ``--yes`` takes ``-y``, too."""
        found = options(named.command)
        assert ("--yes" in found) == ("-y" in found)

    @by_words
    def test_lower_case(self, named: Named) -> None:
        """Words and long options are of lower-case letters, with hyphens between them."""
        for each in [
            *named.words.split(),
            *(each[2:] for each in options(named.command) if each[:2] == "--"),
        ]:
            assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", each)


class QuestionTests:
    """Commands that ask."""

    @pytest.mark.parametrize(
        "words",
        [
            "servers add",
            "servers install",
            "servers remove",
            "servers set",
            "servers unset",
            "servers set-env",
            "servers unset-env",
            "clients apply",
            "config approve",
            "sessions kill",
            "uninstall",
        ],
    )
    def test_yes(self, words: str) -> None:
        """A command that asks has --yes."""
        assert "--yes" in options(BY_WORDS[words])

    def test_every_question(self) -> None:
        """A module that asks belongs to a command that the test above knows, or to one whose option decides."""
        asking = {
            path.relative_to(PACKAGE).as_posix()
            for path in PACKAGE.rglob("*.py")
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "confirm"
        }
        assert asking <= {
            "client_files.py",  # start --adopt
            "commands/servers/change.py",
            "uninstall.py",
            "commands/clients/clients.py",
            "commands/configuration/config.py",  # an edited text with an error; approve asks by its own
            "commands/configuration/token.py",  # token enable --reroute
            "commands/running/sessions.py",
            "commands/servers/added.py",
            "commands/servers/edit.py",
            "commands/servers/install.py",
            "commands/servers/versions.py",
        }


class ListTests:
    """Commands that list."""

    def test_every_list(self) -> None:
        """Every command whose word says that it lists has a schema, and every schema a command."""
        listing = {
            each.words for each in ALL if each.words.split()[-1:] in (["list"], ["search"], ["detect"])
        }
        assert listing <= set(LISTS)
        assert {words.partition(" --")[0] for words in LISTS} <= set(BY_WORDS)

    @pytest.mark.parametrize("words", LISTS)
    def test_snake_case(self, words: str) -> None:
        """The members of a list and of its items are in snake case."""
        schema = LISTS[words]
        for each in (*schema.members, *schema.optional, *schema.more):
            assert re.fullmatch(r"[a-z][a-z0-9]*(_[a-z0-9]+)*", each)

    def test_every_answer(self) -> None:
        """A command whose answer is a list prints it by the function that all lists are printed by."""
        answering = {
            path.relative_to(PACKAGE / "commands").as_posix()
            for path in (PACKAGE / "commands").rglob("*.py")
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.Call)
            and ast.unparse(node.func) in ("answer", "emit")
            and isinstance(
                node.args[-2 if ast.unparse(node.func) == "answer" else -1], ast.List | ast.ListComp
            )
        }
        assert answering == set()

    def test_reference(self) -> None:
        """The reference of the command line has the schemas."""
        assert (PACKAGE.parents[1] / "docs" / "reference" / "lists.inc").read_text() == reference()

    @pytest.mark.parametrize("name", ["mcpgateway", "mcp-ctl", "mcpg"])
    def test_older(self, name: str) -> None:
        """Lists are as an older program's under its name, or in the words of a former release."""
        older = {
            words
            for words in (*LISTS, "activity", "trace")
            if aliases.has_older_lists([*words.split(), "--server", "x"], name)
        }
        of_ctl = {"servers list", "tools list", "credential list"} if name == "mcp-ctl" else set()
        assert older == {"activity", "trace"} | of_ctl


class HeaderTests:
    """The titles of columns."""

    def test_upper_case(self) -> None:
        """Titles that are written in a call of `table`, or as a table's columns, are in upper case."""
        titles = list(_titles())
        assert len(titles) > 40
        assert [each for each in titles if each != each.upper()] == []


def _titles() -> Iterator[str]:
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                if node.func.id == "table":
                    yield from _texts(node.args[0])
                elif node.func.id == "TableQuery":
                    yield from (text for each in node.args[1:2] for text in _keys(each))
            elif isinstance(node, ast.AnnAssign) and ast.unparse(node.annotation) == "dict[str, Cell]":
                yield from _keys(node.value)


def _texts(node: ast.expr) -> Iterator[str]:
    for each in getattr(node, "elts", ()):
        if isinstance(each, ast.Constant):
            yield str(each.value)


def _keys(node: ast.expr | None) -> Iterator[str]:
    for each in getattr(node, "keys", ()):
        if isinstance(each, ast.Constant):
            yield str(each.value)
