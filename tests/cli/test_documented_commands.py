"""The commands of the program that the documentation shows are those of the program."""

from __future__ import annotations

import re
import shlex
from itertools import takewhile

import pytest

from mcpgateway.cli.main import run
from tests.support.pages import DOCS, ROOT, commands, pages

PROGRAM = re.compile(r"(?:^|[|;&(] *|\bthen |\bdo )(?:[A-Z_]+=\S* )*mcpgateway(?= |$)")
REPLACED = sorted(
    (DOCS / "howto" / "migrate").glob("*.rst")
)  # their tables name the commands that replace others
LITERAL = re.compile(r"``(mcpgateway [^`]+)``")
SCRIPTS = sorted(DOCS.rglob("*.sh"))


def words_of(command: str) -> list[list[str]]:
    """The words of each call of the program in a line of a shell."""
    found = []
    for match in PROGRAM.finditer(command):
        lexer = shlex.shlex(command[match.end() :], posix=True, punctuation_chars="|&;<>()")
        lexer.whitespace_split, lexer.commenters = True, "#"
        found.append([*takewhile(lambda word: not re.fullmatch(r"[|&;<>()]+", word), lexer)])
    return found


def documented() -> list[tuple[str, list[str]]]:
    """The pages with the words of each of their calls."""
    shown = [(page, command) for page in pages() for command in commands(page)]
    shown += [(page, each) for page in REPLACED for each in LITERAL.findall(page.read_text())]
    shown += [(page, line) for page in SCRIPTS for line in page.read_text().splitlines() if line[:1] != "#"]
    return [
        (str(page.relative_to(ROOT)), words)
        for page, command in shown
        for words in words_of(command.replace("\\\n", " "))
        if not any(word.startswith("[") for word in words)  # the grammar of the reference
    ]


def asked_for_help(words: list[str]) -> list[str]:
    """The same call with ``--help``, with which each command parses its options and then shows its help."""
    end = words.index("--") if "--" in words else len(words)
    return [*words[:end], "--help", *words[end:]]


class DocumentedTests:
    """Commands of the pages."""

    @pytest.mark.parametrize(
        ("page", "words"), documented(), ids=lambda each: each if isinstance(each, str) else shlex.join(each)
    )
    def test_the_program_has_it(
        self, page: str, words: list[str], capsys: pytest.CaptureFixture[str]
    ) -> None:
        """The program has the command and each of its options."""
        code = run(asked_for_help(words))
        written = capsys.readouterr()
        assert (code, written.err) == (0, ""), (page, words)
        assert written.out.startswith(("Usage: mcpgateway", "mcpgateway "))

    def test_a_wrong_command_is_noticed(self, capsys: pytest.CaptureFixture[str]) -> None:
        """A command or an option that the program does not have is an error."""
        assert run(asked_for_help(["clients", "embrace"])) != 0
        assert run(asked_for_help(["clients", "apply", "--gently"])) != 0
        assert "--gently" in capsys.readouterr().err

    def test_calls_of_a_line(self) -> None:
        """Each call of a line has its words, without redirections, other programs and comments."""
        line = "pass show x | mcpgateway servers set-env x KEY && mcpgateway why 'a b' >out  # says why"
        assert words_of(line) == [["servers", "set-env", "x", "KEY"], ["why", "a b"]]
        assert words_of("JOB=$(mcpgateway tools call x | grep y)") == [["tools", "call", "x"]]
        assert words_of("ls ~/.mcpgateway-x; docker run mcpgateway-x") == []
