"""The headers that repeat a part of the body: ``Mcp-Name`` and ``Mcp-Param-*`` (MCP 2026-07-28, basic/transports).

    Mcp-Name: add                          plain: visible ASCII, with blanks and tabs inside
    Mcp-Name: =?base64?w6k=?=              anything else, as base64 of UTF-8
    Mcp-Param-Region: eu                   the argument whose schema says "x-mcp-header": "Region"

Proxies route and bill by these headers, so one that contradicts the body is an error and not a detail.
"""

import binascii
import re
from base64 import b64decode, b64encode
from collections.abc import Iterator, Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

from attrs import frozen
from msgspec import Raw

from mcpgateway.errors import GatewayError, HeaderMismatch
from mcpgateway.protocol import jsonrpc, peek
from mcpgateway.protocol.jsonrpc import Envelope

PREFIX = b"mcp-param-"
ANNOTATION = "x-mcp-header"

_OPENING, _CLOSING = b"=?base64?", b"?="
_PLAIN = re.compile(rb"[\t\x20-\x7e]*")
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110 section 5.6.2
_NUMBER = re.compile(rb"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
_TYPES = ("string", "integer", "boolean")
_MARK = ANNOTATION.encode()

# Keywords of a schema that hold schemas (JSON Schema 2020-12 and draft-07): as one or as a list, and by name.  Other
# keywords hold data, in which the annotation has no meaning.
_INNER = frozenset(
    "additionalItems additionalProperties allOf anyOf contains contentSchema else if items not oneOf prefixItems"
    " propertyNames then unevaluatedItems unevaluatedProperties".split()
)
_NAMED = frozenset("$defs definitions dependencies dependentSchemas patternProperties".split())

_Path = tuple[str, ...]


def encode_value(text: str) -> bytes:
    """Return the value of a header that every reader decodes to this text."""
    plain = text.encode()
    if _PLAIN.fullmatch(plain) and plain == plain.strip(b" \t") and not _has_markers(plain):
        return plain
    return _OPENING + b64encode(plain) + _CLOSING


def decode_value(header: bytes) -> str:
    """Return the text that a header's value stands for.

    :raise HeaderMismatch: bad base64, not UTF-8, or invalid bytes; a header that came twice too, as its values are
        joined
        by NUL.
    """
    value = header.strip(b" \t")
    if not _PLAIN.fullmatch(value):
        raise HeaderMismatch("it came more than once, or is not visible ASCII")
    if not _has_markers(value) or len(value) < len(_OPENING + _CLOSING):
        return value.decode()
    coded = value[len(_OPENING) : -len(_CLOSING)]
    try:
        octets = b64decode(coded, validate=True)
        text = octets.decode()
    except (binascii.Error, UnicodeDecodeError):
        raise HeaderMismatch("it is not base64 of UTF-8") from None
    if b64encode(octets) != coded:  # unused bits would give one text several spellings
        raise HeaderMismatch("it is not base64 of UTF-8")
    return text


def _has_markers(value: bytes) -> bool:
    return value.startswith(_OPENING) and value.endswith(_CLOSING)


@frozen
class Param:
    """One argument of a tool that is repeated in a header.

    :ivar path: its path from the arguments.
    :ivar header: the header's name in lower case.
    """

    path: _Path
    header: bytes


def annotations(tools: Raw) -> dict[str, tuple[Param, ...]]:
    """Return the arguments that headers repeat, by tool, of the tools that have any in a tools/list result."""
    if _MARK not in bytes(tools):
        return {}
    found = {}
    try:
        listed = jsonrpc.read_list(tools, "tools")
    except GatewayError:
        return {}
    for each in listed:
        tool = peek.members({"tool": each}, "tool")
        name = peek.text(tool, "name")
        params = annotated(tool["inputSchema"]) if "inputSchema" in tool else ()
        if params and name is not None:
            found[name] = params
    return found


def names(tools: Raw) -> list[str]:
    """Return the names in the ``tools`` of a tools/list result, as far as they are valid."""
    try:
        listed = jsonrpc.read_list(tools, "tools")
    except GatewayError:
        return []
    named = (peek.text(peek.members({"tool": each}, "tool"), "name") for each in listed)
    return [name for name in named if name is not None]


def annotated(schema: Raw) -> tuple[Param, ...]:
    """Return the arguments that headers repeat, by a tool's ``inputSchema``.

    With one invalid annotation a schema counts as having none: clients are to drop such a tool.
    """
    if _MARK not in bytes(schema):
        return ()
    found: dict[bytes, Param] = {}
    for path, each in _positions(peek.mapping({"schema": schema}, "schema")):
        if ANNOTATION not in each:
            continue
        name = each[ANNOTATION]
        if (
            not path
            or each.get("type") not in _TYPES
            or not isinstance(name, str)
            or not _TOKEN.fullmatch(name)
        ):
            return ()
        header = PREFIX + name.lower().encode()
        if header in found:
            return ()
        found[header] = Param(path, header)
    return tuple(found.values())


def _positions(schema: dict[str, Any]) -> Iterator[tuple[_Path | None, dict[str, Any]]]:
    # Every schema in a schema, with its path; None where the path has another keyword than "properties".
    waiting: list[tuple[_Path | None, Any]] = [((), schema)]
    for path, each in waiting:  # which grows meanwhile
        if not isinstance(each, dict):
            continue
        yield path, each
        for word, inner in each.items():
            if word in _INNER:
                waiting.extend((None, one) for one in (inner if isinstance(inner, list) else (inner,)))
            elif word in _NAMED and isinstance(inner, dict):
                waiting.extend((None, one) for one in inner.values())
            elif word == "properties" and isinstance(inner, dict):
                waiting.extend((None if path is None else (*path, name), one) for name, one in inner.items())


def check_params(params: tuple[Param, ...], arguments: Raw | None, headers: Mapping[bytes, bytes]) -> None:
    """Compare the headers of a tools/call with its arguments; headers that no parameter names are ignored.

    :param headers: by their names in lower case; the values of one that came more than once are joined by NUL.
    :raise HeaderMismatch: a header is missing, or has no argument, or differs.
    """
    given = peek.members({"arguments": arguments}, "arguments") if params and arguments is not None else {}
    for param in params:
        header, value = headers.get(param.header), _argument(given, param.path)
        if header is None and value is None:
            continue
        name, place = param.header.decode(), ".".join(param.path)
        if value is None:
            raise HeaderMismatch(f"the {name} header is present, but the argument {place} is not")
        if header is None:
            if value[:1] in b"[{":
                continue  # no header can hold it, and the server will refuse it
            raise HeaderMismatch(f"the {name} header is missing, but the argument {place} is present")
        try:
            text = decode_value(header)
        except HeaderMismatch as why:
            raise HeaderMismatch(f"the {name} header cannot be read: {why}") from None
        if not _says(value, text):
            raise HeaderMismatch(f"the {name} header does not match the argument {place}")


def param_headers(params: tuple[Param, ...], arguments: Raw | None) -> dict[str, str]:
    """Return the headers that repeat the arguments of a tools/call; values that no header can hold are left out."""
    if not params or arguments is None:
        return {}
    given = peek.members({"arguments": arguments}, "arguments")
    said = {}
    for param in params:
        value = _argument(given, param.path)
        text = _text(value) if value is not None else None
        if text is not None:
            said[param.header.decode()] = encode_value(text).decode()
    return said


def _text(value: bytes) -> str | None:
    if value[:1] == b'"':
        try:
            return jsonrpc.value(Raw(value), str)
        except GatewayError:
            return None  # half a surrogate
    return None if value[:1] in b"[{" else value.decode()


def _argument(arguments: Envelope, path: _Path) -> bytes | None:
    *way, name = path
    for step in way:
        arguments = peek.members(arguments, step)
    value = bytes(arguments.get(name, jsonrpc.NULL))
    return None if value == b"null" else value


def _says(value: bytes, text: str) -> bool:
    # True if a header's text is this JSON value; one integer has many spellings.
    if value[:1] == b'"':
        try:
            return jsonrpc.value(Raw(value), str) == text
        except GatewayError:
            return False
    plain = text.encode()
    if not _NUMBER.fullmatch(value):
        return value == plain and value in (b"true", b"false")
    try:
        return bool(_NUMBER.fullmatch(plain)) and Decimal(value.decode()) == Decimal(text)
    except InvalidOperation:  # an exponent beyond all bounds
        return value == plain
