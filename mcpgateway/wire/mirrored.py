"""What a modern request says twice: in its body, and in ``Mcp-Name`` and ``Mcp-Param-*`` (MCP 2026-07-28, transports).

A header's value is plain where it is visible ASCII; else it is ``=?base64?<UTF-8 in base64>?=``.  Which arguments of a
tool are repeated stands in its input schema, as ``x-mcp-header``.
"""

from __future__ import annotations

import binascii
import re
from base64 import b64decode, b64encode
from collections.abc import Iterator, Mapping
from typing import Any

from attrs import frozen
from msgspec import Raw

from mcpgateway.errors import GatewayError, HeaderMismatch
from mcpgateway.wire import jsonrpc, peek

ANNOTATION = "x-mcp-header"
PARAM = b"mcp-param-"
BEGIN, END = b"=?base64?", b"?="
KINDS = ("string", "integer", "boolean")

_PLAIN = re.compile(r"[!-~](?:[\t -~]*[!-~])?\Z")
_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,100}\Z")
_NUMBER = re.compile(r"-?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]{1,3})?\Z")
_MARK = f'"{ANNOTATION}"'.encode()


@frozen
class Param:
    """An argument that a header repeats.

    :ivar path: the members that lead to it.
    :ivar header: the header's name, in lower case.
    """

    path: tuple[str, ...]
    header: bytes


def encode_value(text: str) -> bytes:
    """A text as a header's value."""
    looks_encoded = text.startswith(BEGIN.decode()) and text.endswith(END.decode())
    if _PLAIN.match(text) and not looks_encoded:
        return text.encode()
    return BEGIN + b64encode(text.encode(errors="surrogatepass")) + END


def decode_value(header: bytes) -> str:
    """The text in a header's value.

    :raise HeaderMismatch: it is no text.
    """
    try:
        if header.startswith(BEGIN) and header.endswith(END) and len(header) >= len(BEGIN) + len(END):
            return b64decode(header[len(BEGIN) : -len(END)], validate=True).decode()
        return header.decode("ascii")
    except (binascii.Error, ValueError):
        raise HeaderMismatch("Header mismatch: a value is neither ASCII nor UTF-8 in base64") from None


def repeated(tools: Raw) -> dict[str, tuple[Param, ...]]:
    """The arguments that headers repeat, by tool, of the tools in a list's result; tools without any are left out."""
    if _MARK not in bytes(tools):
        return {}
    try:
        listed: list[Any] = jsonrpc.value(tools, list)
    except GatewayError:
        return {}
    found = {
        each["name"]: annotated(each.get("inputSchema"))
        for each in listed
        if isinstance(each, dict) and isinstance(each.get("name"), str)
    }
    return {name: params for name, params in found.items() if params}


def annotated(schema: Any) -> tuple[Param, ...]:
    """The arguments that headers repeat, of one tool; none where its annotations break the rules."""
    params: list[Param] = []
    for path, name, kind in _annotated(schema, ()):
        if not isinstance(name, str) or not _TOKEN.match(name) or kind not in KINDS:
            return ()
        params.append(Param(path, PARAM + name.lower().encode()))
    names = {param.header for param in params}
    return tuple(params) if len(names) == len(params) else ()


def _annotated(schema: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any, Any]]:
    properties = schema.get("properties") if isinstance(schema, dict) else None
    for name, each in properties.items() if isinstance(properties, dict) else ():
        if isinstance(each, dict):
            if ANNOTATION in each:
                yield (*path, name), each[ANNOTATION], each.get("type")
            yield from _annotated(each, (*path, name))


def check_params(params: tuple[Param, ...], arguments: Raw | None, headers: Mapping[bytes, bytes]) -> None:
    """See that the headers which repeat arguments agree with them; those that nothing asks for may say anything.

    :raise HeaderMismatch: one is missing, says something else, or repeats what is not there.
    """
    given: Any = peek.mapping({"arguments": arguments}, "arguments") if arguments is not None else {}
    for param in params:
        value, header = _at(given, param.path), headers.get(param.header)
        if (value is None) != (header is None):
            raise HeaderMismatch(
                f"Header mismatch: {_shown(param)} {'is missing' if header is None else 'repeats nothing'}"
            )
        if header is not None and not _agrees(value, decode_value(header)):
            raise HeaderMismatch(
                f"Header mismatch: {_shown(param)} must be the argument {'.'.join(param.path)}"
            )


def _at(value: Any, path: tuple[str, ...]) -> Any:
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    return value


def _agrees(value: Any, said: str) -> bool:
    if isinstance(value, bool):
        return said == ("true" if value else "false")
    if isinstance(value, int | float):
        return _NUMBER.match(said) is not None and float(said) == value
    return isinstance(value, str) and said == value


def _shown(param: Param) -> str:
    return param.header.decode().title()
