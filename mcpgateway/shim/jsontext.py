"""Read JSON-RPC messages far enough to relay them, with the C half of `json`, which needs no `re`.

Numbers stay the text they were written as, so that an id goes back just as it came.
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


_scan = make_scanner(_Rules())  # type: ignore[arg-type]  # it takes whatever has these members


class Unreadable(ValueError):
    """This is not JSON."""


def loads(text: str) -> object:
    """One value, with nothing but white space around it.

    :raise Unreadable: it is something else.
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
    """The value that a line of UTF-8 holds.

    :raise Unreadable: it is no JSON, or no UTF-8.
    """
    try:
        return loads(line.decode())
    except UnicodeDecodeError as why:
        raise Unreadable("not UTF-8") from why


def glanced(message: bytes) -> object:
    """The value that a message of a server holds, which may have let a wrong byte into a text.

    :raise Unreadable: it is no JSON.
    """
    return loads(message.decode(errors="replace"))


def member(text: str, name: str) -> str | None:
    """The text of one member of an object, as it was written; None when there is none before the text breaks off."""
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
    """A string as JSON, in ASCII."""
    return str(encode_basestring_ascii(value))


def identifier(message: object) -> str | None:
    """The id of a message as text of JSON, in one spelling; None when it has none that can be answered."""
    value = message.get("id") if isinstance(message, dict) else None
    if isinstance(value, Number):
        return str(value)
    return dumps(value) if isinstance(value, str) else None


def text_of(value: object, *names: str) -> str:
    """The string at the end of a path of members; empty when there is none."""
    for name in names:
        value = value.get(name) if isinstance(value, dict) else None
    return value if isinstance(value, str) and not isinstance(value, Number) else ""


def error(identifier: str, message: str, code: int = INTERNAL_ERROR, *, detail: str = "") -> bytes:
    """An error answer, as one line without its end; what the message has no room for is its data."""
    data = f',"data":{dumps(detail)}' if detail else ""
    body = f'{{"code":{code},"message":{dumps(message)}{data}}}'
    return answer(identifier, "error", body)


def answer(identifier: str, kind: str, body: str) -> bytes:
    """An answer whose result or error is given as text of JSON."""
    return f'{{"jsonrpc":"2.0","id":{identifier},"{kind}":{body}}}'.encode(errors="replace")
