"""The problems of a configuration: the place, the value found, the allowed values, and a hint."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct
from msgspec.structs import replace

from mcpgateway.errors import ConfigError, Unfit
from mcpgateway.hints import cli

IGNORED = " and is ignored"


class Where(Struct, frozen=True):
    """A place in a file.

    :ivar line: counted from 1; 0 stands for the whole file.
    :ivar key: the dotted path of the value; empty for the whole file.
    :ivar column: counted from 1; 0 where it does not matter, or is not known.
    """

    file: str
    line: int = 0
    key: str = ""
    column: int = 0

    def __str__(self) -> str:
        """Return file, line, column and key, for people."""
        line = f"{self.file}, line {self.line}" if self.line else self.file
        if self.column:
            line += f", column {self.column}"
        return f"{line}: {self.key}" if self.key else line


class Problem(Struct, frozen=True):
    """One mistake or warning; ``str()`` is one line for people, and no part of it is a secret.

    :ivar found: the value found; without `allowed` a whole statement.
    :ivar allowed: the allowed values.
    :ivar hint: the way to mend it.
    :ivar is_error: the configuration cannot be used like this; else it is a warning.
    :ivar excerpt: the line of an error of syntax, without its values, and a caret below it; else empty.
    :ivar is_unknown_key: a key that the reader ignores, which most often is a mistyped one.
    """

    where: Where
    found: str
    allowed: str = ""
    hint: str = ""
    is_error: bool = True
    excerpt: str = ""
    is_unknown_key: bool = False

    def __str__(self) -> str:
        """Return the problem on one line."""
        text = f"found {self.found}; expected {self.allowed}" if self.allowed else self.found
        return f"{self.where}: {text}; {self.hint}" if self.hint else f"{self.where}: {text}"


class Wrong(ConfigError):
    """The error that carries a problem to the list of them."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(str(problem))
        self.problem = problem


def refusal(problem: Problem) -> Unfit:
    """Return the error of a change that a problem keeps from being made."""
    key = problem.where.key
    hint = f"{cli('config explain {}', key)} says what the key takes" if key else ""
    return Unfit(f"nothing was changed: {without_file(problem)}", hint)


def without_file(problem: Problem) -> str:
    """Return a problem by its key alone, where it has one: no file has the text that it is about."""
    file = replace(problem.where, key="")
    return str(problem).removeprefix(f"{file}: ") if problem.where.key else str(problem)


class Problems(list[Problem]):
    """All problems that were found, in their order."""

    def catch(self, why: ConfigError, file: str = "", hint: str = "", *, is_error: bool = True) -> None:
        """Add an error that was raised.

        :param file: the file of the error, where its text does not name it.
        :param hint: its consequence, or the way to mend it.
        """
        plain = Problem(Where(file), str(why).removeprefix(f"{file}: "))
        problem = why.problem if isinstance(why, Wrong) else plain
        self.append(replace(problem, hint=problem.hint or hint, is_error=is_error))

    def warn(self, where: Where, what: str, hint: str = "") -> None:
        """Add a warning."""
        self.append(Problem(where, what, hint=hint, is_error=False))

    def warn_of_key(self, where: Where, what: str, hint: str = "") -> None:
        """Add a warning of a key that is not known."""
        self.append(Problem(where, f"{what}{IGNORED}", hint=hint, is_error=False, is_unknown_key=True))

    def error(self, where: Where, what: str, hint: str = "") -> None:
        """Add an error that is a statement, and not about a value."""
        self.append(Problem(where, what, hint=hint))

    def soften(self, others: Iterable[Problem], hint: str) -> None:
        """Add other problems as warnings, each with its consequence."""
        self.extend(replace(each, hint=each.hint or hint, is_error=False) for each in others)

    @property
    def errors(self) -> list[Problem]:
        """The problems that keep the configuration from being used."""
        return [each for each in self if each.is_error]

    @property
    def refusals(self) -> list[Problem]:
        """The problems for which a text is not taken from an editor: all errors, and keys that are not known."""
        return [
            replace(each, found=each.found.removesuffix(IGNORED), is_error=True)
            for each in self
            if each.is_error or each.is_unknown_key
        ]

    @property
    def warnings(self) -> tuple[str, ...]:
        """The other problems, as lines, each once."""
        return tuple(dict.fromkeys(str(each) for each in self.in_order() if not each.is_error))

    def in_order(self, files: Iterable[str] = ()) -> tuple[Problem, ...]:
        """Return all problems, each once, by file and line.

        :param files: the order of files; others follow in the order of their problems.
        """
        order = list(dict.fromkeys((*files, *(each.where.file for each in self))))
        down = sorted(self, key=lambda each: (order.index(each.where.file), each.where.line))
        return tuple(dict.fromkeys(down))
