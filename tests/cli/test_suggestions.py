"""The suggestions for words that name no command."""

from __future__ import annotations

import click
import pytest

from mcpgateway.cli import aliases
from mcpgateway.cli.main import program
from mcpgateway.cli.suggestions import SUGGESTIONS, in_words, suggestions

EACH = [(group, word, meant) for group, words in SUGGESTIONS.items() for word, meant in words.items()]


def found(words: list[str]) -> click.Command | None:
    """Return the listed command that a user's words name."""
    context = program.make_context("mcpgateway", [], resilient_parsing=True)
    for word in words:
        command = context.command
        if word.startswith("--"):
            return command if any(word in each.opts for each in command.params) else None
        if not isinstance(command, click.Group) or word not in command.list_commands(context):
            return None
        inner = command.get_command(context, word)
        assert inner is not None
        context = click.Context(inner, context, word)
    return context.command


@pytest.mark.parametrize(("group", "word", "meant"), EACH)
def test_each(group: str, word: str, meant: tuple[str, ...]) -> None:
    """Each word is no command of its group, and leads to commands that exist and are listed."""
    spelled = [*group.split(), word]
    assert aliases.meant(spelled, is_piped=False) == spelled
    assert found(spelled) is None
    assert group == "" or isinstance(found(group.split()), click.Group)
    assert [each for each in meant if found(each.split()) is None] == []


@pytest.mark.parametrize(
    ("group", "word", "meant"),
    [
        ("", "LS", ("servers list",)),
        ("servers", "lst", ("servers list",)),
        ("servers", "zzz", ()),
        ("nothing", "xlist", ("nothing list",)),
    ],
)
def test_suggestions(group: str, word: str, meant: tuple[str, ...]) -> None:
    """A word of the table counts in either case, and a mistyped one stands for the nearest command."""
    assert suggestions(group, word, ["list", "get"]) == meant


def test_in_words() -> None:
    """Several suggestions are one question."""
    assert in_words(("a",)) == "did you mean a?"
    assert in_words(("a", "b")) == "did you mean a, or b?"
