"""The parts of a value that may be left out without violating its JSON Schema.

# Note [Understood keywords]
A value is cut in three ways: an array loses its end, a text its end, an object a member.  Each is allowed where every
schema that applies to that place consists of keywords whose verdict is known here.  Below a keyword that could judge a
part otherwise than the whole (``enum``, ``if``, ``contains``, a choice between several forms of one type) everything
stays as it is.  So a cut value conforms if the whole did.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
from attrs import frozen
from msgspec import Raw

from mcpgateway.truncation import values

DEPTH_LIMIT = 32  # references in a row
_SAYS_NOTHING = frozenset(
    "$schema $defs definitions $comment title description default examples deprecated readOnly writeOnly "
    "minimum maximum exclusiveMinimum exclusiveMaximum multipleOf uniqueItems maxItems maxProperties".split()
)
_READ = frozenset(
    "type properties required additionalProperties items prefixItems minItems minProperties minLength maxLength "
    "format pattern".split()
)
_TYPES = {
    b"{": ("object",),
    b"[": ("array",),
    b'"': ("string",),
    b"t": ("boolean",),
    b"f": ("boolean",),
    b"n": ("null",),
}


class _Unclear(Exception):
    """A schema cannot be judged here."""


@frozen
class Permit:
    """The parts that may be left out at one place of a value.

    :ivar applies: the schemas that apply there, references and combinations resolved; None: nothing may be left out.
    """

    applies: tuple[dict[str, Any], ...] | None
    root: Any = None

    @property
    def is_frozen(self) -> bool:
        """True if everything has to stay as it is, here and below."""
        return self.applies is None

    @property
    def is_free(self) -> bool:
        """True if every cut is allowed, and a marker may stand in the place of the missing part."""
        return self.root is None and self.applies == ()

    @property
    def fewest(self) -> int:
        """The least number of items that an array must keep."""
        return max((_count(each.get("minItems")) for each in self.applies or ()), default=0)

    def allows_text(self, length: int) -> bool:
        """True if a string may be replaced by another one of that length."""
        if self.applies is None:
            return False
        return all(
            "pattern" not in each
            and "format" not in each
            and _count(each.get("minLength")) <= length <= _count(each.get("maxLength"), length)
            for each in self.applies
        )

    def allows_loss(self, name: str, left: int) -> bool:
        """True if an object may lose a member, with so many left."""
        if self.applies is None:
            return False
        return all(
            name not in each.get("required", ()) and _count(each.get("minProperties")) <= left
            for each in self.applies
        )

    def item(self, index: int, value: Raw) -> Permit:
        """Return the permit for an item of an array."""
        return self._below(value, [_item_schema(each, index) for each in self.applies or ()])

    def member(self, name: str, value: Raw) -> Permit:
        """Return the permit for a member of an object."""
        return self._below(value, [_member_schema(each, name) for each in self.applies or ()])

    def _below(self, value: Raw, schemas: list[Any]) -> Permit:
        if self.applies is None or self.is_free:
            return self
        return _permit(schemas, self.root, value)


FREE = Permit(())
FROZEN = Permit(None)


def permit_of(schema: Raw | None, value: Raw) -> Permit:
    """Return the parts that a schema allows to be left out; all where there is no schema."""
    if schema is None:
        return FREE
    try:
        root = msgspec.json.decode(schema)
    except (msgspec.MsgspecError, RecursionError):
        return FROZEN
    return _permit([root], root, value)


def _permit(schemas: list[Any], root: Any, value: Raw) -> Permit:
    try:
        found = [each for schema in schemas for each in _resolved(schema, root, value, 0)]
    except (_Unclear, RecursionError):
        return FROZEN
    return Permit(tuple(found), root)


def _resolved(schema: Any, root: Any, value: Raw, depth: int) -> Iterator[dict[str, Any]]:
    if schema is True or schema == {}:
        return
    if not isinstance(schema, dict) or depth > DEPTH_LIMIT:
        raise _Unclear
    for name, constraint in schema.items():
        if name == "$ref":
            yield from _resolved(_referred(constraint, root), root, value, depth + 1)
        elif name == "allOf" and isinstance(constraint, list):
            for each in constraint:
                yield from _resolved(each, root, value, depth + 1)
        elif name in ("anyOf", "oneOf") and isinstance(constraint, list):
            yield from _resolved(_only(constraint, root, value), root, value, depth + 1)
        elif name not in _READ and not _is_silent(name, schema, root):
            raise _Unclear
    _check(schema)
    yield schema


def _is_silent(name: str, schema: Any, root: Any) -> bool:
    return name in _SAYS_NOTHING or name.startswith("x-") or (name == "$id" and schema is root)


def _check(schema: dict[str, Any]) -> None:
    # An invalid value of the keyword constrains nothing.
    required, properties = schema.get("required", []), schema.get("properties", {})
    if not isinstance(required, list) or not isinstance(properties, dict):
        raise _Unclear


def _referred(pointer: Any, root: Any) -> Any:
    if not isinstance(pointer, str) or not pointer.startswith("#"):
        raise _Unclear
    found = root
    for step in pointer[1:].split("/")[1:]:
        name = step.replace("~1", "/").replace("~0", "~")
        if not isinstance(found, dict) or name not in found or "%" in name:
            raise _Unclear
        found = found[name]
    return found


def _only(branches: list[Any], root: Any, value: Raw) -> Any:
    # As in "a list, or null": a cut changes no type, so the form of the same type is the one that counts.
    possible = [each for each in branches if _may_be(each, root, value, 0)]
    if len(possible) != 1:
        raise _Unclear
    return possible[0]


def _may_be(schema: Any, root: Any, value: Raw, depth: int) -> bool:
    if not isinstance(schema, dict) or depth > DEPTH_LIMIT:
        return schema is not False
    if "type" not in schema and "$ref" in schema:
        return _may_be(_referred(schema["$ref"], root), root, value, depth + 1)
    types = schema.get("type")
    if isinstance(types, str):
        types = [types]
    names = _TYPES.get(values.head(value), ("number", "integer"))
    return not isinstance(types, list) or any(each in names for each in types)


def _item_schema(schema: dict[str, Any], index: int) -> Any:
    first, rest = schema.get("prefixItems"), schema.get("items", True)
    if isinstance(rest, list):  # the form before 2020-12
        first, rest = rest, True
    if first is not None and not isinstance(first, list):
        return False
    return first[index] if first is not None and index < len(first) else rest


def _member_schema(schema: dict[str, Any], name: str) -> Any:
    properties = schema.get("properties", {})
    return properties[name] if name in properties else schema.get("additionalProperties", True)


def _count(number: Any, otherwise: int = 0) -> int:
    return int(number) if isinstance(number, int | float) and 0 <= number < 2**53 else otherwise
