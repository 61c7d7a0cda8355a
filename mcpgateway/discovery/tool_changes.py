"""The differences between two lists of tools, and the changes of their schemas that break callers."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from msgspec import Raw, Struct

from mcpgateway.discovery.records import Item
from mcpgateway.escaping import one_line

PARTS = ("title", "description", "inputSchema", "outputSchema", "annotations")
"""The members of a tool's definition that a model or a client acts on, beside its name."""

KINDS = ADDED, REMOVED, CHANGED = "added", "removed", "changed"
CHANGES_LIMIT = 500
TEXT_LIMIT = 2000  # characters of a description that is shown
BREAKS_LIMIT = 20  # of one tool
DEPTH_LIMIT = 8  # of nested schemas
NAME_LIMIT = 80


class ToolChange(Struct, frozen=True, omit_defaults=True):
    """The difference of one tool.

    :ivar kind: `ADDED`, `REMOVED` or `CHANGED`.
    :ivar parts: the changed members of its definition, of `PARTS`.
    :ivar breaks: the changes of its schemas that break callers, in words.
    :ivar before: the former description, where that has changed.
    :ivar after: the new one.
    """

    tool: str
    kind: str
    parts: tuple[str, ...] = ()
    breaks: tuple[str, ...] = ()
    before: str = ""
    after: str = ""

    @property
    def words(self) -> str:
        """The change in a few words."""
        what = f"{self.kind}: {', '.join(self.parts)}" if self.parts else self.kind
        return "; ".join((f"{one_line(self.tool)} {what}", *self.breaks))


def digest_of(item: Item) -> str:
    """Return the digest of a tool's name and of the `PARTS` of its definition; the order of members is ignored."""
    text = json.dumps([item.own, [_value(item, part) for part in PARTS]], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def compare(before: Iterable[Item], after: Iterable[Item]) -> tuple[ToolChange, ...]:
    """Return the differences between two lists of tools: removed, changed and added ones, `CHANGES_LIMIT` at most."""
    old, new = ({each.own: each for each in items} for items in (before, after))
    found = [ToolChange(name, REMOVED) for name in old if name not in new]
    changed = (change_of(old[name], new[name]) for name in old if name in new)
    found += [each for each in changed if each is not None]
    found += [addition_of(each) for name, each in new.items() if name not in old]
    return tuple(found[:CHANGES_LIMIT])


def addition_of(item: Item) -> ToolChange:
    """Return the difference that a tool makes which was not there before."""
    return ToolChange(item.own, ADDED, after=item.description[:TEXT_LIMIT])


def change_of(before: Item, after: Item) -> ToolChange | None:
    """Return the difference between two definitions of one tool; None where nothing has changed."""
    parts = tuple(part for part in PARTS if _value(before, part) != _value(after, part))
    if not parts:
        return None
    breaks = [
        *_argument_breaks(_value(before, "inputSchema"), _value(after, "inputSchema")),
        *_result_breaks(_value(before, "outputSchema"), _value(after, "outputSchema")),
    ]
    texts = (before.description, after.description) if "description" in parts else ("", "")
    shown = (text[:TEXT_LIMIT] for text in texts)
    return ToolChange(after.own, CHANGED, parts, tuple(breaks[:BREAKS_LIMIT]), *shown)


def _argument_breaks(before: Any, after: Any, path: str = "", depth: int = 0) -> Iterator[str]:
    old, new = _properties(before), _properties(after)
    was_required = _names(before, "required")
    for name in _names(after, "required"):
        if name not in was_required:
            yield f"argument {_shown(path, name)} is required now"
    for name, schema in old.items():
        where = _shown(path, name)
        if name not in new:
            yield f"argument {where} is gone"
            continue
        former, types = _names(schema, "type"), _names(new[name], "type")
        if types and (not former or former - types - ({"integer"} if "number" in types else set())):
            yield f"argument {where} takes {_listed(types)} only"
        if gone := _no_longer(schema, new[name]):
            yield f"argument {where} does not take {gone} any more"
        yield from _within(_argument_breaks, schema, new[name], f"{path}{name}.", depth)


def _result_breaks(before: Any, after: Any, path: str = "", depth: int = 0) -> Iterator[str]:
    if before is not None and after is None and not depth:
        yield "results are not structured any more"
        return
    old, new = _properties(before), _properties(after)
    is_required = _names(after, "required")
    for name, schema in old.items():
        where = _shown(path, name)
        if name not in new:
            yield f"member {where} of results is gone"
            continue
        if name in _names(before, "required") and name not in is_required:
            yield f"member {where} of results may be absent"
        former, types = _names(schema, "type"), _names(new[name], "type")
        if former and (not types or types - former - ({"integer"} if "number" in former else set())):
            yield f"member {where} of results is {_listed(types) or 'of any type'} now"
        yield from _within(_result_breaks, schema, new[name], f"{path}{name}.", depth)


def _within(
    breaks: Callable[[Any, Any, str, int], Iterator[str]], before: Any, after: Any, path: str, depth: int
) -> Iterator[str]:
    return breaks(before, after, path, depth + 1) if depth < DEPTH_LIMIT else iter(())


def _properties(schema: Any) -> Mapping[str, Any]:
    found = schema.get("properties") if isinstance(schema, dict) else None
    return found if isinstance(found, dict) else {}


def _names(schema: Any, key: str) -> set[str]:
    found = schema.get(key) if isinstance(schema, dict) else None
    return {each for each in (found if isinstance(found, list) else [found]) if isinstance(each, str)}


def _no_longer(before: Any, after: Any) -> str:
    if not (isinstance(after, dict) and isinstance(after.get("enum"), list)):
        return ""
    former = before.get("enum") if isinstance(before, dict) else None
    if not isinstance(former, list):
        return "other values than the listed ones"
    return _listed(json.dumps(each) for each in former if each not in after["enum"])


def _listed(words: Iterable[str]) -> str:
    return one_line(", ".join(sorted(words)))[:NAME_LIMIT]


def _shown(path: str, name: str) -> str:
    return one_line(f"{path}{name}")[:NAME_LIMIT]


def _value(item: Item, member: str) -> Any:
    raw: Raw | None = item.raw.get(member)
    # The standard library also reads a lone surrogate, as JavaScript writes it after cutting a text.
    return None if raw is None else json.loads(bytes(raw))
