"""Values of a command: on its line, in its environment, in a file, or on stdin.

# Note [Where secrets go]
Every program of the machine can read a command line, and it stays in the shell's history.  So a value can be left out
of it: the name alone takes the value from the environment, or else from a prompt or stdin; ``NAME=-`` takes it from a
prompt or stdin, whatever the environment has.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterable, Mapping
from typing import Any

import click

from mcpgateway.cli.console import fail

VALUE_LIMIT = 65_536  # characters of a value on stdin
FILE_LIMIT = 1_048_576
STDIN = "-"
HEADER = re.compile(
    r"([!#$%&'*+.^_`|~0-9A-Za-z-]*)\s*([=:]?)\s*(.*)", re.DOTALL
)  # its name is a token of RFC 9110
UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0, "w": 604_800.0}


def pairs(words: Iterable[str], option: str, *, separator: str = "=") -> dict[str, str]:
    """Return the values of ``NAME=VALUE``, ``NAME=-`` and ``NAME``; see Note [Where secrets go].

    :raise Trouble: a text has neither form, or no value was given for its name.
    """
    found: dict[str, str] = {}
    asked: list[str] = []
    for each in words:
        name, equals, value = each.partition(separator)
        name = name.strip()
        if not name:
            fail(f"{option}: found {each!r}; expected NAME{separator}VALUE, or NAME")
        if equals and value == STDIN:
            asked.append(name)
        elif equals:
            found[name] = value.lstrip() if separator == ":" else value
        elif name in os.environ:
            found[name] = os.environ[name]
        else:
            asked.append(name)
    if len(asked) > 1 and not sys.stdin.isatty():
        first = f"{asked[0]}{separator}VALUE"
        fail(
            f"{asked[0]} has no value, and so has what follows: stdin holds one",
            f"write {first}, without a space",
        )
    return {**found, **{name: _typed(name) for name in asked}}


def headers(words: Iterable[str], option: str) -> dict[str, str]:
    """Return headers of ``NAME: VALUE``, ``NAME=VALUE``, ``NAME VALUE`` and ``NAME``, whose values are asked for.

    :raise Trouble: a text has none of these forms, or no value was given for its name; no text is shown.
    """
    parts: list[tuple[str, str]] = []
    for each in words:
        found = HEADER.match(each)
        name, separator, value = found.groups() if found is not None else ("", "", each)
        if name and (separator or not value):
            parts.append((name, f"{name}={value}" if separator else name))
        elif parts and parts[-1][0] == parts[-1][1]:
            parts[-1] = (parts[-1][0], f"{parts[-1][0]}={each}")
        else:
            fail(
                f"{option}: found a word that is no header; expected HEADER=VALUE, 'HEADER: VALUE' or HEADER"
            )
    return pairs((text for _, text in parts), option)


def _typed(name: str) -> str:
    if sys.stdin.isatty():
        typed: str = click.prompt(name, hide_input=True, err=True, default="", show_default=False)
        return typed
    value = sys.stdin.read(VALUE_LIMIT + 1)
    if len(value) > VALUE_LIMIT:
        fail(f"the value of {name} on stdin is longer than {VALUE_LIMIT} characters")
    if not value:
        fail(
            f"{name} has no value: it is neither in the environment nor on stdin",
            f"{name}=VALUE gives it one",
        )
    return value.removesuffix("\n").removesuffix("\r")


def of_file(path: str) -> dict[str, str]:
    """Return the values of a file with ``NAME=VALUE`` lines; ``-`` is stdin.

    :raise Trouble: the file cannot be read.
    """
    from mcpgateway.config.dotenv import parse_dotenv
    from mcpgateway.errors import ConfigError

    try:
        if path == STDIN:
            text = sys.stdin.read(FILE_LIMIT + 1)
        else:
            with open(os.path.expanduser(path), encoding="utf-8") as file:
                text = file.read(FILE_LIMIT + 1)
        if len(text) > FILE_LIMIT:
            fail(f"{path}: longer than {FILE_LIMIT} characters")
        return parse_dotenv(text, "stdin" if path == STDIN else path)
    except OSError as why:
        fail(f"{path}: {why.strerror}")
    except UnicodeError:
        fail(f"{path}: is no text")
    except ConfigError as why:
        fail(str(why), why.hint)


class TimeOption(click.ParamType):  # type: ignore[type-arg]  # generic in newer releases only
    """A time in seconds, as an option's value: ``500ms``, ``30s``, ``12h``, ``8w``; a bare number means seconds.

    :param longest_s: the limit.
    :param example: examples for the error message.
    """

    name = "time"

    def __init__(self, longest_s: float = 86_400.0, example: str = "30s") -> None:
        self._longest_s = longest_s
        self._example = example

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Parse the text of an option."""
        text = str(value)
        unit = next((each for each in UNITS if text.endswith(each)), "")
        try:
            found = float(text.removesuffix(unit)) * UNITS.get(unit, 1.0)
        except ValueError:
            found = 0.0
        if not 0 < found <= self._longest_s:
            self.fail(f"found {text!r}; expected a time such as {self._example}", param, ctx)
        return found


def json_object(text: str, option: str, example: str) -> dict[str, Any]:
    """Return the JSON object of an option: literal, ``@FILE``, or ``-`` for stdin.

    :raise Trouble: the file cannot be read, or has no object; its text, which may contain secrets, is not shown.
    """
    try:
        if text == STDIN:
            text = sys.stdin.read(FILE_LIMIT)
        elif text.startswith("@"):
            with open(os.path.expanduser(text[1:]), encoding="utf-8") as file:
                text = file.read(FILE_LIMIT)
        found = json.loads(text)
    except OSError as why:
        fail(f"{option}: {why.filename}: {why.strerror}")
    except ValueError:
        fail(f"{option}: is no JSON", f"such as '{example}'")
    if not isinstance(found, dict):
        fail(f"{option}: expected an object", f"such as '{example}'")
    return found


class Expanding:
    """Replaces ``${NAME}`` by the values of this command's environment.

    :param is_on: False leaves all references for the gateway to replace.
    """

    def __init__(self, environ: Mapping[str, str], *, is_on: bool) -> None:
        self._environ = environ
        self._is_on = is_on

    def text(self, written: str) -> str:
        """Return a text with its references replaced by values in which the gateway replaces none.

        :raise Trouble: a variable is not set here.
        """
        if not self._is_on or "{" not in written:
            return written
        from mcpgateway.config.expand import escaped, expand

        made = expand(written, self._environ)
        if made.unset or made.demanded:
            names = ", ".join((*made.unset, *made.demanded))
            fail(
                f"{names}: not set here",
                "--no-expand leaves ${NAME} to the gateway, which reads its own .env",
            )
        if made.lacking:
            fail(
                "${cmd:…} and ${keyring:…} are only taken from what is written into the configuration file itself"
            )
        if made.broken:
            fail(f"{', '.join(made.broken)}: its value here has a line break in it")
        return escaped(made.text)

    def values(self, texts: Mapping[str, str]) -> dict[str, str]:
        """Expand several texts."""
        return {name: self.text(value) for name, value in texts.items()}
