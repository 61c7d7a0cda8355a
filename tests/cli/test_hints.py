"""The commands that texts of the program name for users are those of the program."""

from __future__ import annotations

import shlex

import pytest

from mcpgateway.cli.main import run
from mcpgateway.hints import cli
from tests.cli.test_documented_commands import asked_for_help
from tests.support.hints import Hint, command_of, hints, places_without_marker, plain

OF_CLIENTS = {
    "connect",
    "proxy",
    "stdio",
}  # in no list, since clients run them
VALUES = {"N": "9100", "PORT": "9100"}


def without_globals(words: list[str]) -> list[str]:
    """The words behind the options that stand before the command."""
    while words[:1] and words[0].startswith("--"):
        words = words[2:] if "=" not in words[0] else words[1:]
    return words


class MarkerTests:
    """The function that texts take their commands from."""

    def test_values_are_quoted(self) -> None:
        """A name with a space is one word of the shell, and one with braces stays as it is."""
        assert cli("servers get {}", "a b") == "mcpgateway servers get 'a b'"
        assert shlex.split(cli("logs {} -n {}", "{x}", 3)) == ["mcpgateway", "logs", "{x}", "-n", "3"]
        assert cli("servers test NAME") == "mcpgateway servers test NAME"

    def test_no_text_names_a_command_without_it(self) -> None:
        """A text names a command with `mcpgateway.hints.cli`, so that tests find it: f"{cli('why {}', name)} says"."""
        assert places_without_marker() == []

    def test_a_plain_command_is_found(self) -> None:
        """A string with a command is found, whole, in parts or as bytes; a docstring and other sentences are not."""
        text = (
            '"""mcpgateway start"""\nA = "x; mcpgateway why NAME"\nB = f"{A}: mcpgateway --home {A} stop"\n'
        )
        text += 'C = b"mcpgateway start"\nD = "mcpgateway is here, as ``mcpgateway stop`` says"\n'
        assert sorted(plain(text)) == [(2, "why"), (3, "stop"), (4, "start")]


class HintTests:
    """Each hint of the package."""

    @pytest.mark.parametrize("hint", hints(), ids=lambda each: f"{each.where} {each.words}")
    def test_the_program_has_it(self, hint: Hint, capsys: pytest.CaptureFixture[str]) -> None:
        """The command is one of those that help lists, and has each of the options."""
        assert hint.words, f"{hint.where}: write the command into the call of cli(), values behind it"
        words = [VALUES.get(each, each) for each in shlex.split(hint.words.replace("{}", "9100"))]
        command = without_globals(words)
        assert command_of(command) is not None or command[0] in OF_CLIENTS, hint
        code = run(asked_for_help(words))
        written = capsys.readouterr()
        assert (code, written.err) == (0, ""), hint

    def test_a_hidden_command_is_noticed(self) -> None:
        """Old words, groups without a verb of theirs and words that the program does not have are no hints."""
        assert [command_of([each]) for each in ("health", "install-claude-code", "embrace")] == [None] * 3
        assert command_of(["servers", "embrace"]) is None
        assert command_of(["clients", "apply"]) is not None
