"""Lines of a child that cannot be read as messages: the call that one may answer, and its beginning for the log."""

from __future__ import annotations

SHOWN = 200  # characters of a stray line in the log
HEAD = b'{"jsonrpc":"2.0","id":'  # how practically every server begins a reply

_END_OF_NUMBER = frozenset(b",}")


def number_at_head(line: bytes) -> int | None:
    """Return the number of the call that a line may answer; None if it does not tell."""
    if not line.startswith(HEAD):
        return None
    digits = line[len(HEAD) : len(HEAD) + 20]
    for position, byte in enumerate(digits):
        if byte in _END_OF_NUMBER:
            return int(digits[:position]) if digits[:position].isdigit() else None
    return None


def beginning(line: bytes) -> str:
    """Return the beginning of a line, cut between words, since half a secret cannot be recognised."""
    text = line[:SHOWN].decode(errors="replace")
    if len(line) <= SHOWN:
        return text
    return f"{text.rpartition(' ')[0]}…"
