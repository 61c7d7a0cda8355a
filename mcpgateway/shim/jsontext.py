"""Parse JSON-RPC messages as far as relaying needs it, with the C half of `json`, which needs no `re`.

Numbers keep the text they were written as, so that an id is returned exactly.
"""

from __future__ import annotations

from _json import encode_basestring_ascii, make_scanner

WHITE = " \t\r\n"
NULL = "null"
INTERNAL_ERROR = -32603
PARSE_ERROR = -32700


class Number(str):
    """A number, as it was written."""

    __slots__ = ()


class _Rules:
    """The options of the scanner."""

    strict = False
    object_hook = None
    object_pairs_hook = None
    parse_float = Number
    parse_int = Number
    parse_constant = Number
    memo: dict[str, str] = {}


_scan = make_scanner(_Rules())  # type: ignore[arg-type]  # any object with these members will do


class Unreadable(ValueError):
    """The text is not JSON."""


def loads(text: str) -> object:
    """Return the value of a JSON text.

    :raise Unreadable: the text is not JSON, or has more than white space around the value.
    """
    value, end = _value(text, _skip(text, 0))
    if _skip(text, end) != len(text):
        raise Unreadable("something follows the value")
    return value


def _value(text: str, at: int) -> tuple[object, int]:
    try:
        value, end = _scan(text, at)
    except (StopIteration, ValueError, RecursionError, SystemError) as why:
        # The scanner looks for its exception in a module of `json` that is not loaded here, hence the SystemError.
        raise Unreadable("not JSON") from why
    return value, int(end)


def _skip(text: str, at: int) -> int:
    while at < len(text) and text[at] in WHITE:
        at += 1
    return at


def decoded(line: bytes) -> object:
    """Return the value of a line of UTF-8.

    :raise Unreadable: the line is not JSON, or not UTF-8.
    """
    try:
        return loads(line.decode())
    except UnicodeDecodeError as why:
        raise Unreadable("not UTF-8") from why


def glanced(message: bytes) -> object:
    """Return the value of a server's message, in which bytes that are not UTF-8 are replaced.

    :raise Unreadable: the message is not JSON.
    """
    return loads(message.decode(errors="replace"))


def member(text: str, name: str) -> str | None:
    """Return the text of one member of an object, as written; None where the text breaks off before it."""
    found = None
    try:
        at = _skip(text, 0)
        if text[at] != "{":
            return None
        at = _skip(text, at + 1)
        while text[at] != "}":
            key, at = _value(text, at)
            at = _skip(text, _skip(text, at) + 1)  # over the colon
            _, end = _value(text, at)
            if key == name:
                found = text[at:end]
            at = _skip(text, end)
            if text[at] == ",":
                at = _skip(text, at + 1)
    except (IndexError, Unreadable):
        pass
    return found


def dumps(value: str) -> str:
    """Return a string as JSON, in ASCII."""
    return str(encode_basestring_ascii(value))


def identifier(message: object) -> str | None:
    """Return the id of a message as JSON text, in one spelling; None where it has none that can be answered."""
    value = message.get("id") if isinstance(message, dict) else None
    if isinstance(value, Number):
        return str(value)
    return dumps(value) if isinstance(value, str) else None


def text_of(value: object, *names: str) -> str:
    """Return the string at the end of a path of members; empty where there is none."""
    for name in names:
        value = value.get(name) if isinstance(value, dict) else None
    return value if isinstance(value, str) and not isinstance(value, Number) else ""


def error(identifier: str, message: str, code: int = INTERNAL_ERROR, *, detail: str = "") -> bytes:
    """Return an error response as one line without its end, with the detail as its data."""
    data = f',"data":{dumps(detail)}' if detail else ""
    body = f'{{"code":{code},"message":{dumps(message)}{data}}}'
    return answer(identifier, "error", body)


def answer(identifier: str, kind: str, body: str) -> bytes:
    """Return a response whose result or error is given as JSON text."""
    return f'{{"jsonrpc":"2.0","id":{identifier},"{kind}":{body}}}'.encode(errors="replace")
