"""Escaping of foreign texts, so that they neither forge a line nor control a terminal.

C0 and C1, DEL, marks of direction and all other characters that are not printable are escaped as Python writes them.
Every line that the gateway prints, logs or keeps is escaped here; JSON has escapes of its own.
"""

from __future__ import annotations

_BREAKS = "\u2028\u2029"


def one_line(text: str) -> str:
    """Return a text as one line."""
    return text if text.isprintable() else "".join(c if c.isprintable() else _escaped(c) for c in text)


def lines(text: str) -> str:
    """Return a text of several lines, in which line ends, tabs and spaces of all widths stay; CR LF becomes LF."""
    if text.isprintable():
        return text
    return "".join(c if _stays(c) else _escaped(c) for c in text.replace("\r\n", "\n"))


def in_json(text: str) -> str:
    """Return a JSON text of the same value, with escapes for characters that are not printable; its line ends stay."""
    if text.isprintable() or (text.isascii() and "\x7f" not in text):
        return text
    return "".join(c if c.isprintable() or c == "\n" else _json_escaped(c) for c in text)


def json_bytes(data: bytes) -> bytes:
    """Return JSON bytes with the same escapes as `in_json`."""
    if data.isascii() and b"\x7f" not in data:
        return data
    return in_json(data.decode(errors="replace")).encode(errors="replace")


def _stays(character: str) -> bool:
    is_space = character.isspace() and character >= "\xa0" and character not in _BREAKS
    return character.isprintable() or character in "\n\t" or is_space


def _escaped(character: str) -> str:
    return ascii(character)[1:-1]


def _json_escaped(character: str) -> str:
    units = character.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[at]:02x}{units[at + 1]:02x}" for at in range(0, len(units), 2))
