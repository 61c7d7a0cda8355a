"""``.env`` files: ``KEY=VALUE`` lines, read strictly, in which a value can use those above it and nothing else."""

from __future__ import annotations

import re

from mcpgateway.config.expand import expand
from mcpgateway.config.problems import Problem, Where, Wrong

LINE = re.compile(r"(?:export\s+)?(?P<name>[A-Za-z_][A-Za-z0-9_]*)[ \t]*=[ \t]*(?P<value>.*)")
QUOTED = re.compile(r"""(?:'(?P<plain>[^']*)'|"(?P<escaped>(?:[^"\\]|\\.)*)")[ \t]*(?:\#.*)?""")
COMMENT = re.compile(r"(?:^|[ \t]+)#.*")
ESCAPE = re.compile(r"\\(.)")
ESCAPES = {"n": "\n", "r": "\r", "t": "\t"}


def parse_dotenv(text: str, file: str) -> dict[str, str]:
    r"""Return the variables of a ``.env`` file; the last of several with one name counts.

    Single quotes keep everything, double quotes know ``\n``, ``\t``, ``\"`` and ``\\``, and outside
    quotes a blank and a ``#`` begin a comment.  Except in single quotes, ``${NAME}`` stands for what the file
    itself says above; any other such name stays as it is written, so that nothing of the process's own leaks in.

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
            raise Wrong(Problem(Where(file, number), "something else", "KEY=VALUE"))
        is_plain = match["value"].startswith("'")
        found[match["name"]] = value if is_plain else expand(value, found, keep_unset=True).text
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
