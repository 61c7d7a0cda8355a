"""The gateway's own ``.env`` file: ``KEY=VALUE`` lines, read strictly and never expanded."""

from __future__ import annotations

import re

from mcpgateway.errors import ConfigError

LINE = re.compile(r"(?:export\s+)?(?P<name>[A-Za-z_][A-Za-z0-9_]*)[ \t]*=[ \t]*(?P<value>.*)")
QUOTED = re.compile(r"""(?:'(?P<plain>[^']*)'|"(?P<escaped>(?:[^"\\]|\\.)*)")[ \t]*(?:\#.*)?""")
COMMENT = re.compile(r"(?:^|[ \t]+)#.*")
ESCAPE = re.compile(r"\\(.)")
ESCAPES = {"n": "\n", "r": "\r", "t": "\t"}


def parse_dotenv(text: str, file: str) -> dict[str, str]:
    r"""Return the variables of a ``.env`` file; the last of several with one name counts.

    Single quotes keep everything, double quotes know ``\n``, ``\t``, ``\"`` and ``\\``, and outside
    quotes a blank and a ``#`` begin a comment.

    :raise ConfigError: a line is no ``KEY=VALUE``; the message names the line and never shows it.
    """
    found: dict[str, str] = {}
    for number, raw in enumerate(text.splitlines(), start=1):
        line = raw.strip()
        if not line or line.startswith("#"):
            continue
        match = LINE.fullmatch(line)
        value = _value(match["value"]) if match else None
        if match is None or value is None:
            raise ConfigError(f"{file}, line {number}: found something else; expected KEY=VALUE")
        found[match["name"]] = value
    return found


def _value(text: str) -> str | None:
    if text[:1] not in ("'", '"'):
        return COMMENT.sub("", text)
    quoted = QUOTED.fullmatch(text)
    if quoted is None:
        return None
    if quoted["plain"] is not None:
        return quoted["plain"]
    return ESCAPE.sub(lambda each: ESCAPES.get(each[1], each[1]), quoted["escaped"])
