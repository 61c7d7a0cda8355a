"""The suggestions for words that name no command."""

from __future__ import annotations

from pathlib import Path

import click
import pytest

from mcpgateway.cli import aliases
from mcpgateway.cli.console import USAGE
from mcpgateway.cli.main import program, run
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
        ("", "nosuch", ()),
        ("nothing", "xlist", ("nothing list",)),
    ],
)
def test_suggestions(group: str, word: str, meant: tuple[str, ...]) -> None:
    """A word of the table counts in either case, and a mistyped one stands for the nearest command."""
    assert suggestions(group, word, ["list", "get", "search"]) == meant


def test_in_words() -> None:
    """Several suggestions are one question."""
    assert in_words(("a",)) == "did you mean a?"
    assert in_words(("a", "b")) == "did you mean a, or b?"


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        (["pause"], "did you mean clients pause?"),
        (["resume"], "did you mean clients resume?"),
        (["calls"], "did you mean logs --calls, or debug activity?"),
        (["usage"], "did you mean status --usage?"),
        (["who"], "did you mean status --usage, or sessions list?"),
        (["debug", "usage"], "did you mean status --usage?"),
        (["config", "keys"], "did you mean config get, or config schema?"),
        (["uses"], "did you mean status --usage?"),
        (["uninstalled"], "did you mean uninstall?"),
        (["servers", "rotate"], "did you mean servers set-env, or servers set-header?"),
    ],
)
def test_words_that_were_near_another(
    words: list[str], meant: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """No word leads to the opposite of its meaning, or to a command that removes something."""
    assert run(words) == USAGE
    assert meant in capsys.readouterr().err


def test_an_option_of_the_server(capsys: pytest.CaptureFixture[str]) -> None:
    """The error for an unknown option without ``--`` names it, where no command of a server is there."""
    assert run(["servers", "add", "clock", "--zone", "UTC"]) == USAGE
    said = capsys.readouterr().err
    assert "No such option '--zone'" in said
    assert "behind --, as in -- COMMAND --option" in said


@pytest.mark.parametrize("group", ["debug", "config", "token", "tools", "service"])
def test_a_group_alone(group: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A group without a command prints its help, which is no error."""
    assert run([group]) == 0
    alone = capsys.readouterr()
    assert run([group, "--help"]) == 0
    assert (alone.out, alone.err) == (capsys.readouterr().out, "")


@pytest.mark.parametrize("group", ["servers", "clients", "sessions"])
def test_a_group_alone_that_lists(group: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A group whose members are what a user wants to see lists them."""
    home = ["--home", str(tmp_path)]
    code = run([group, *home])
    alone = capsys.readouterr()
    assert (run([group, "list", *home]), capsys.readouterr()) == (code, alone)
    assert "Usage" not in alone.out + alone.err
