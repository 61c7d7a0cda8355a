"""The errors for which a configuration cannot be used, with the lines that they are in."""

from __future__ import annotations

import os
import re

from mcpgateway.cli.console import paragraph, styled
from mcpgateway.clientfiles.machine import as_it_runs
from mcpgateway.clientfiles.reader import enrolled_files
from mcpgateway.config.edit import json, toml
from mcpgateway.config.problems import Problem, Wrong
from mcpgateway.config.read import parse
from mcpgateway.errors import ConfigError
from mcpgateway.system import files
from mcpgateway.system.settings import FILE_LIMIT, LoadOptions, examine

PLACE = re.compile(r"(/.+?), line \d+")
"""The file and the line of an error."""


def errors(home: str) -> list[Problem]:
    """Return the errors in the configuration of a home, as its gateway reads it."""
    options = as_it_runs(LoadOptions(home=home, enrolled=enrolled_files), home)
    return [each for each in examine(options, os.environ).problems if each.is_error]


def with_excerpt(text: str) -> str:
    """Return the text of an error of syntax with the line of the file, and a caret below it; any other as it is."""
    found = PLACE.search(text)
    if found is None:
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
    return text


def tell_errors(home: str) -> bool:
    """Print the errors in the configuration of a home; return whether there are any."""
    found = errors(home)
    for each in found:
        paragraph("Problem: ", styled(with_excerpt(str(each)), fg="red"))
    return bool(found)
