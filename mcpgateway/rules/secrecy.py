"""Which variables of a program hold secrets, and texts without them: what a program says may be shown to anybody."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

MASK = "•••"
# What bears such a name is a secret, wherever it stands.
SECRET = re.compile(
    r"secret|token|passw|credential|authorization|api[-_]?key|private[-_]?key|cookie|bearer"
    r"|(?:^|[-_])(?:auth|pat)$|[-_]pwd$|(?-i:^pwd$)",  # a shell's PWD is a directory
    re.IGNORECASE,
)
NAMED_CHARS = 4  # less is found in any text
# What looks like a key is one, whatever its name: long, without blanks, of letters and digits.
_KEY = re.compile(r"(?=\S*[A-Za-z])(?=\S*\d)[^\s/~]\S{15,}")


def secrets_in(env: Mapping[str, str]) -> tuple[str, ...]:
    """The values of an environment that are never shown, the longest first; of one with several lines, each line."""
    found = {line for name, value in env.items() for line in _secret_lines(name, value)}
    return tuple(sorted(found, key=lambda each: (-len(each), each)))


def _secret_lines(name: str, value: str) -> Iterator[str]:
    is_named = SECRET.search(name) is not None
    for line in map(str.strip, value.splitlines()):
        is_address = "://" in line and "@" not in line  # an error without it helps nobody
        if len(line) >= NAMED_CHARS if is_named else _KEY.fullmatch(line) and not is_address:
            yield line


def without(text: bytes, hidden: tuple[str, ...]) -> bytes:
    """A text without these secrets."""
    for each in hidden:
        text = text.replace(each.encode("utf-8", "surrogateescape"), MASK.encode())
    return text
