"""The errors for which a configuration cannot be used, with the lines that they are in."""

from __future__ import annotations

import os
import re

from mcpgateway.cli.console import paragraph, styled
from mcpgateway.clientfiles.machine import as_it_runs
from mcpgateway.clientfiles.reader import enrolled_files
from mcpgateway.config.edit import json, toml
from mcpgateway.config.excerpt import excerpt, value_column
from mcpgateway.config.problems import Problem, Wrong
from mcpgateway.config.read import parse
from mcpgateway.errors import ConfigError
from mcpgateway.system import files
from mcpgateway.system.settings import FILE_LIMIT, LoadOptions, examine

PLACE = re.compile(r"(/.+?), line (\d+)(?:, column \d+)?(?:: (?P<key>[^\s:]+):)?")
"""The file, the line and the key of an error."""
QUOTED = re.compile(r"found '([^'\n]+)'")


def errors(home: str) -> list[Problem]:
    """Return the errors in the configuration of a home, as its gateway reads it."""
    options = as_it_runs(LoadOptions(home=home, enrolled=enrolled_files), home)
    return [each for each in examine(options, os.environ).problems if each.is_error]


def with_excerpt(text: str) -> str:
    """Return the text of an error with the line of the file, and a caret below it; any other text as it is."""
    found = PLACE.search(text)
    if found is None or text.endswith("^"):
        return text
    try:
        content = files.read_text(found[1], FILE_LIMIT)
    except (ConfigError, OSError):
        return text
    for reader in (parse, json.values, toml.values):
        try:
            reader(content, found[1])
        except Wrong as why:
            if str(why) in text and why.problem.excerpt:
                return f"{text}\n{why.problem.excerpt}"
        except ConfigError:
            continue
    shown = _line_of_value(content, int(found[2]), found["key"] or "", text)
    return f"{text}\n{shown}" if shown else text


def with_line(error: Problem, text: str) -> str:
    """Return an error of a text with the line of the text, and a caret below it, where the line has its value."""
    place = error.where
    shown = error.excerpt or _line_of_value(text, place.line, place.key, str(error))
    return f"{error}\n{shown}" if shown.strip(" ^\n") else str(error)


def _line_of_value(content: str, number: int, key: str, text: str) -> str:
    """Return the line of a value that an error is about, with a caret below it; "" if it is another line."""
    lines = content.split("\n")
    line = lines[number - 1] if 0 < number <= len(lines) else ""
    column = value_column(line, re.sub(r"\[\d*\]$", "", key.rpartition(".")[2])) if key else 0
    return excerpt(line, column, QUOTED.findall(text)) if column else ""


def tell_errors(home: str) -> bool:
    """Print the errors in the configuration of a home; return whether there are any."""
    found = errors(home)
    for each in found:
        paragraph("Problem: ", styled(with_excerpt(str(each)), fg="red"))
    return bool(found)
