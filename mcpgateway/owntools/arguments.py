"""Read the arguments of a model's call, tolerantly; errors are worded for models."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import msgspec
from attrs import field, frozen
from msgspec import Raw

from mcpgateway.config.document import printable
from mcpgateway.config.surface import Level
from mcpgateway.discovery.naming import did_you_mean
from mcpgateway.errors import GatewayError, InvalidParams
from mcpgateway.protocol import jsonrpc
from mcpgateway.protocol.jsonrpc import Envelope

NAMED = 8  # arguments that are listed in a hint
TOOLS_LIMIT = 100  # more than the gateway has of its own


def value(arguments: Envelope, name: str) -> Any:
    """Return the value of an argument; None if it is absent or null."""
    raw = arguments.get(name)
    if raw is None:
        return None
    try:
        return msgspec.json.decode(raw)
    except (msgspec.DecodeError, RecursionError):
        pass
    try:
        return json.loads(bytes(raw))  # a lone surrogate is valid JSON too
    except (ValueError, RecursionError):
        raise InvalidParams(f'"{name}" cannot be read') from None


def text(arguments: Envelope, *names: str) -> str:
    """Return the first of these arguments that is present, which must be a string; empty if none is."""
    for name in names:
        found = value(arguments, name)
        if found is not None:
            if not isinstance(found, str):
                raise InvalidParams(f'"{name}" must be a string')
            return found.strip()
    return ""


def needed(arguments: Envelope, name: str, hint: str) -> str:
    """Return a required argument, which must be a non-empty string."""
    found = text(arguments, name)
    if not found:
        raise InvalidParams(f'"{name}" is missing', hint)
    return found


def whole(arguments: Envelope, name: str, default: int, least: int, most: int) -> int:
    """Return an argument that must be a whole number, moved into its limits; a number in quotes is accepted."""
    found = value(arguments, name)
    if found is None:
        return default
    if isinstance(found, str):
        try:
            found = int(found)
        except ValueError:
            found = None
    if isinstance(found, float) and found.is_integer():
        found = int(found)
    if isinstance(found, bool) or not isinstance(found, int):
        raise InvalidParams(f'"{name}" must be a whole number from {least} to {most}')
    return max(least, min(most, found))


def given(arguments: Envelope, *names: str) -> Raw:
    """Return the arguments for a tool, under the first of these names: an object, or a string with a JSON object.

    :raise InvalidParams: the argument is of another type.
    """
    raw = next((arguments[name] for name in names if name in arguments), None)
    if raw is None or raw == jsonrpc.NULL:
        return jsonrpc.EMPTY
    if bytes(raw).startswith(b'"'):
        decoded = value({"args": raw}, "args")
        raw = Raw(decoded.strip().encode("utf-8", "surrogatepass") or b"{}")
    try:
        jsonrpc.read_object(raw, "args")
    except GatewayError:
        raise InvalidParams(
            f'"{names[0]}" must be an object with the tool\'s arguments',
            f'such as {{"id": "server__tool", "{names[0]}": {{"name": "value"}}}}',
        ) from None
    return raw


def level(arguments: Envelope, name: str = "shield") -> Level | None:
    """Return the level of shortening in a call; None for the view's level."""
    name_of_level = text(arguments, name).lower()
    if not name_of_level:
        return None
    try:
        return Level.LEAN if name_of_level == "full" else Level(name_of_level)
    except ValueError:
        allowed = ", ".join(each.value for each in Level)
        raise InvalidParams(f'"{name}" must be one of {allowed}') from None


def checked(definition: bytes, arguments: Envelope) -> Envelope:
    """Return the arguments for one of the gateway's own tools; strange names are ignored unless they are near misses.

    :raise InvalidParams: an unknown argument was probably meant to be a known one.
    """
    name, known, required = _taken(definition)
    also = _ALSO.get(name, ())
    strange = [each for each in arguments if each not in known and each not in also]
    if not strange:
        return arguments
    free = [each for each in known if each not in arguments]
    missing = [each for each in required if each in free and arguments.keys().isdisjoint(also)]
    takes = f"it takes {', '.join(known)}"
    for each in strange:
        meant = _SAME.get(each.lower(), "")
        near = meant if meant in free else _meant(each, free) or _begun(each, free)
        if near is not None or missing:
            hint = f'did you mean "{near or missing[0]}"? {takes}'
            raise InvalidParams(f"gateway_{name} has no argument {printable(each)[:100]}", hint)
    return arguments


@lru_cache(maxsize=TOOLS_LIMIT)
def _taken(definition: bytes) -> tuple[str, tuple[str, ...], tuple[str, ...]]:
    """Return the name of a tool, its arguments, and those that are required."""
    tool = msgspec.json.decode(definition)
    schema = tool["inputSchema"]
    return tool["name"], tuple(schema["properties"]), tuple(schema.get("required", ()))


_ALSO: Mapping[str, Sequence[str]] = {
    "search": ("backend",),
    "list_tools": ("backend", "shield"),
    "invoke": ("backend", "server", "tool", "arguments", "shield"),
    "invoke_async": ("backend", "server", "tool", "arguments", "shield", "timeoutMs"),
    "call": ("backend", "id", "arguments", "shield", "timeoutMs"),
    "list_catalog": ("search", "server"),
    "docs": ("query", "topic"),
}
"""Arguments that tools take beside those of their definitions, for the sake of older clients."""

_SAME = {
    **dict.fromkeys(("keywords", "text", "search", "question", "task"), "query"),
    **dict.fromkeys(("max", "top", "top_k", "k", "count", "max_results"), "limit"),
    **dict.fromkeys(("params", "parameters", "input"), "args"),
    **dict.fromkeys(("name", "tool", "tool_name", "toolid"), "id"),
    **dict.fromkeys(("regex", "pattern"), "grep"),
    "timeout": "timeoutMs",
    "job": "jobId",
    "id": "jobId",
}
"""What models call an argument, and its name."""


def _begun(wrong: str, known: Sequence[str]) -> str | None:
    return next((each for each in known if wrong and each.startswith(wrong.lower())), None)


@frozen
class ArgumentErrors:
    """The differences between the arguments of a call and the schema of its tool.

    :ivar missing: arguments that the schema requires.
    :ivar unknown: arguments that it does not have, with the nearest ones that it has.
    """

    missing: tuple[str, ...] = ()
    unknown: Mapping[str, str | None] = field(factory=dict)
    takes: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.missing or self.unknown)

    def __str__(self) -> str:
        # The names are quoted, since they come from the server and the caller.
        parts = []
        if self.missing:
            parts.append(f"missing: {_listed(self.missing)}")
        for name, meant in list(self.unknown.items())[:NAMED]:
            hint = f" (did you mean {printable(meant)}?)" if meant else ""
            parts.append(f"unknown: {printable(name)}{hint}")
        if self.takes:
            more = ", …" if len(self.takes) > NAMED else ""
            parts.append(f"the tool takes: {_listed(self.takes)}{more}")
        return "; ".join(parts)


def _listed(names: Sequence[str]) -> str:
    return ", ".join(map(printable, names[:NAMED]))


def flaws(arguments: Raw, schema: Raw | None) -> ArgumentErrors:
    """Compare the names of arguments with those of a schema; an unreadable schema has no flaws."""
    try:
        names = set(jsonrpc.read_object(arguments, "args"))
        described = jsonrpc.value(schema, dict) if schema is not None else {}
    except GatewayError:
        return ArgumentErrors()
    properties, required = described.get("properties"), described.get("required")
    if not isinstance(properties, dict):
        return ArgumentErrors()
    needs = [each for each in required if isinstance(each, str)] if isinstance(required, list) else []
    missing = tuple(each for each in needs if each not in names)
    is_open = described.get("additionalProperties") not in (None, False) or "patternProperties" in described
    strange = sorted(names - set(properties)) if not is_open else []
    unknown = {each: _meant(each, [name for name in properties if name not in names]) for each in strange}
    return ArgumentErrors(missing, unknown, tuple(properties))


def signature(schema: Raw | None, limit: int) -> str:
    """Return the names of a tool's arguments in a line: the required ones, then the optional ones, with ``?``.

    :param limit: its characters; the names beyond it become an ellipsis.
    """
    try:
        described = jsonrpc.value(schema, dict) if schema is not None else {}
    except GatewayError:
        return ""
    properties, required = described.get("properties"), described.get("required")
    needs = required if isinstance(required, list) else []
    names = list(properties) if isinstance(properties, dict) else []
    names = [each for each in names if each in needs] + [f"{each}?" for each in names if each not in needs]
    line = ", ".join(map(printable, names))
    return line if len(line) <= limit else f"{line[: line.rfind(', ', 0, limit - 1) + 1]} …".strip()


def _meant(wrong: str, known: list[str]) -> str | None:
    bare = _plain(wrong)
    same = next((each for each in known if _plain(each) == bare), None)
    return same or next(iter(did_you_mean(wrong, known, 1)), None)


def _plain(name: str) -> str:
    return "".join(character for character in name.lower() if character.isalnum())
