"""JSON values as the bytes they were written in, decoded no deeper than needed.

Undecoded parts stay the bytes that were received, so the text of numbers survives, and a large value costs no more than
a scan.  Half a surrogate pair, which is legal JSON but refused by msgspec, is decoded by other means.
"""

from __future__ import annotations

import json
import re

import msgspec
from msgspec import Raw

from mcpgateway.errors import GatewayError
from mcpgateway.protocol import jsonrpc
from mcpgateway.protocol.jsonrpc import Envelope

_CONTAINERS = ("{", "[")
_read_string = msgspec.json.Decoder(str).decode
_encode = msgspec.json.Encoder().encode
_ESCAPED = re.compile(r"\\(?:u([0-9A-Fa-f]{4})|.)")


def size(raw: Raw) -> int:
    """Return the size of a value in bytes."""
    return memoryview(raw).nbytes


def head(raw: Raw) -> bytes:
    """Return the first byte of a value, which tells its type."""
    return bytes(memoryview(raw)[:1])


def is_list(raw: Raw) -> bool:
    """True if a value is an array."""
    return head(raw) == b"["


def is_object(raw: Raw) -> bool:
    """True if a value is an object."""
    return head(raw) == b"{"


def is_text(raw: Raw) -> bool:
    """True if a value is a string."""
    return head(raw) == b'"'


def items(raw: Raw) -> list[Raw] | None:
    """Return the items of an array; None where the value is no array, or is nested too deeply."""
    if not is_list(raw):
        return None
    try:
        return jsonrpc.read_list(raw, "array")
    except GatewayError:
        return None


def members(raw: Raw) -> Envelope | None:
    """Return the members of an object; None for others, and for one nested too deeply or with invalid names."""
    if not is_object(raw):
        return None
    try:
        return jsonrpc.read_object(raw, "object")
    except GatewayError:
        return None


def text(raw: Raw) -> str | None:
    """Return a string's characters, half a surrogate pair included; None where the value is no string."""
    if not is_text(raw):
        return None
    try:
        return _read_string(raw)
    except msgspec.MsgspecError:
        found = json.loads(bytes(raw))
        return found if isinstance(found, str) else None


def quoted(string: str) -> Raw:
    """Return characters as a JSON string."""
    try:
        return Raw(_encode(string))
    except UnicodeEncodeError:
        return Raw(json.dumps(string).encode())


def container(string: str) -> Raw | None:
    """Return the array or object in the JSON of a text; None for other texts."""
    stripped = string.strip(" \t\r\n")
    if not stripped.startswith(_CONTAINERS):
        return None
    try:
        raw = Raw(stripped.encode())
    except UnicodeEncodeError:
        return None
    found = items(raw) if is_list(raw) else members(raw)
    return None if found is None else raw


def as_text(raw: Raw) -> str:
    """Return a value's JSON as characters."""
    return bytes(raw).decode("utf-8", "replace")


def compact(raw: Raw) -> str:
    """Return a value's JSON without blanks and escapes; numbers keep their text."""
    try:
        text = msgspec.json.format(raw, indent=-1)
    except (msgspec.MsgspecError, RecursionError):
        return as_text(raw)
    return _ESCAPED.sub(_unescaped, as_text(Raw(text)))


def _unescaped(found: re.Match[str]) -> str:
    if not found[1]:
        return found[0]  # an escaped character that must stay escaped, such as a quote
    character = chr(int(found[1], 16))
    return character if character.isprintable() and character not in '"\\' else found[0]


def same(one: Raw, other: Raw) -> bool:
    """True if two values are written alike but for blanks; false where that cannot be found out cheaply."""
    try:
        return msgspec.json.format(one, indent=-1) == msgspec.json.format(other, indent=-1)
    except (msgspec.MsgspecError, RecursionError):
        return False
