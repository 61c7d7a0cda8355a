"""The tree of a result's value: its nodes are cut, and the rest is written.

A value becomes a tree of arrays, objects and texts as far as it is large enough to be cut; smaller values stay the
bytes that were received.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from attrs import define, frozen
from msgspec import Raw

from mcpgateway.protocol import jsonrpc
from mcpgateway.truncation import paths, values
from mcpgateway.truncation.schema_constraints import FREE, Permit

EMBEDDED_CHARS = 1000  # a longer text may be JSON itself
DEPTH_LIMIT = 64  # deeper values are not cut
RETRIEVE = "gateway_get_result"


@define(eq=False, repr=False)
class TextNode:
    """A string.

    :ivar more: the number of characters that were cut off.
    :ivar is_rewritten: the text is JSON, of which some part was cut out.
    """

    text: str
    permit: Permit
    more: int = 0
    is_rewritten: bool = False

    def cut(self, chars: int) -> bool:
        """Keep only so many characters, if that is allowed; true if something was cut."""
        more = self.more + len(self.text) - chars
        if len(self.text) <= chars or not self.permit.allows_text(chars + len(_missing(more))):
            return False
        self.text, self.more = self.text[:chars], more
        return True

    @property
    def shown(self) -> str:
        """The rest of the text, with a note on the missing part."""
        return self.text + _missing(self.more) if self.more else self.text


def _missing(more: int) -> str:
    return f"\n[...TRUNCATED: {more} more chars]"


@define(eq=False, repr=False)
class Array:
    """A list.

    :ivar total: the original number of items.
    """

    items: list[Any]
    total: int
    permit: Permit

    def cut(self, count: int) -> bool:
        """Keep only so many items, if that is allowed; true if something was cut."""
        count = max(count, self.permit.fewest)
        if self.permit.is_frozen or len(self.items) <= count:
            return False
        del self.items[count:]
        return True

    @property
    def marker(self) -> dict[str, Any]:
        """The marker for the missing items."""
        missing = self.total - len(self.items)
        return {
            "_truncated": True,
            "_total": self.total,
            "_showing": len(self.items),
            "_message": f"{missing} further items are left out here; {RETRIEVE} has them",
        }


@define(eq=False, repr=False)
class TableRow:
    """An object of a table: the values of its columns, and perhaps an object of the rest."""

    cells: list[Any]


@define(eq=False, repr=False)
class Table(Array):
    """A list of objects, the names of their members written once; its items are rows.

    :ivar omitted: the names of members that were left out.
    """

    columns: list[str]
    omitted: list[str]


@define(eq=False, repr=False)
class Object:
    """The members of an object by name, and the names of those that were left out."""

    members: dict[str, Any]
    omitted: list[str]
    permit: Permit


Node = Raw | TextNode | Array | Object | TableRow


@frozen
class Omission:
    """The missing part at one path."""

    path: str
    what: str


@frozen
class TreeReader:
    """A reader of values that cuts arrays as it reads.

    :ivar array_items: the number of items that are kept of each array.
    :ivar floor: the size in bytes below which a value needs no cut.
    :ivar keeps_items: items of arrays stay whole or are left out.
    """

    array_items: int
    floor: int
    keeps_items: bool = False

    def read(self, raw: Raw, permit: Permit = FREE, depth: int = 0) -> Node:
        """Return a value as a tree."""
        if permit.is_frozen or depth > DEPTH_LIMIT or not self._may_be_cut(raw):
            return raw
        if values.is_list(raw):
            return self._array(raw, permit, depth)
        if values.is_object(raw):
            return self._object(raw, permit, depth)
        return self._text(raw, permit, depth)

    def _may_be_cut(self, raw: Raw) -> bool:
        return values.size(raw) >= self.floor

    def _item(self, raw: Raw, permit: Permit, index: int, depth: int) -> Node:
        is_whole = self.keeps_items or not self._may_be_cut(raw)
        return raw if is_whole else self.read(raw, permit.item(index, raw), depth)

    def _array(self, raw: Raw, permit: Permit, depth: int) -> Node:
        listed = values.items(raw)
        if listed is None:
            return raw
        shown = listed[: max(self.array_items, permit.fewest)]
        nodes = [self._item(each, permit, index, depth + 1) for index, each in enumerate(shown)]
        return Array(nodes, len(listed), permit)

    def _object(self, raw: Raw, permit: Permit, depth: int) -> Node:
        named = values.members(raw)
        if named is None:
            return raw
        nodes = {
            name: self.read(each, permit.member(name, each), depth + 1) if self._may_be_cut(each) else each
            for name, each in named.items()
        }
        return Object(nodes, [], permit)

    def _text(self, raw: Raw, permit: Permit, depth: int) -> Node:
        text = values.text(raw)
        if text is None:
            return raw
        inner = values.container(text) if len(text) > EMBEDDED_CHARS else None
        if inner is not None:
            node = self.read(inner, FREE, depth + 1)
            if next(cuts(node, ""), None) is not None:
                shorter = values.as_text(written(node))
                if permit.allows_text(len(shorter)):
                    return TextNode(shorter, permit, is_rewritten=True)
        return TextNode(text, permit)


def below(node: Node) -> Iterator[TextNode | Array | Object | TableRow]:
    """Iterate over a node and all nodes below it, the innermost first, without values that stayed bytes."""
    if isinstance(node, Raw):
        return
    for each in _children(node):
        if not isinstance(each, Raw):
            yield from below(each)
    yield node


def _children(node: TextNode | Array | Object | TableRow) -> Iterable[Any]:
    if isinstance(node, Array):
        return node.items
    if isinstance(node, Object):
        return node.members.values()
    return node.cells if isinstance(node, TableRow) else ()


def written(node: Node) -> Raw:
    """Return a tree as a value, with markers in the places of missing parts where these are allowed."""
    if isinstance(node, TextNode):
        return values.quoted(node.shown)
    if isinstance(node, Array):
        return _written_array(node)
    if isinstance(node, Object):
        members = {name: written(each) for name, each in node.members.items()}
        if node.omitted and node.permit.is_free:
            members["_omitted"] = jsonrpc.raw(node.omitted)
        return jsonrpc.raw(members)
    return jsonrpc.raw([written(each) for each in node.cells]) if isinstance(node, TableRow) else node


def _written_array(node: Array) -> Raw:
    items = [written(each) for each in node.items]
    is_marked = node.total > len(items) and node.permit.is_free
    if isinstance(node, Table):
        table = {"_columns": node.columns, "_rows": items} | (node.marker if is_marked else {})
        return jsonrpc.raw(table | {"_omitted": node.omitted} if node.omitted else table)
    if is_marked:
        items.append(jsonrpc.raw(node.marker))
    return jsonrpc.raw(items)


def cuts(node: Node, path: str) -> Iterator[Omission]:
    """Iterate over the missing parts, the outermost first."""
    if isinstance(node, TextNode):
        yield from _text_cuts(node, path)
    elif isinstance(node, Array):
        yield from _array_cuts(node, path)
    elif isinstance(node, Object):
        if node.omitted:
            yield Omission(path, _without(node.omitted))
        yield from _member_cuts(node, path)


def _array_cuts(node: Array, path: str) -> Iterator[Omission]:
    if node.total > len(node.items):
        yield Omission(path, f"{len(node.items)} of {node.total} items")
    # A member that many objects lack is noted once.
    omitted = {name: None for each in node.items if isinstance(each, Object) for name in each.omitted}
    if isinstance(node, Table):
        omitted = dict.fromkeys(node.omitted)
    if omitted:
        yield Omission(f"{path}[*]", _without(omitted))
    for index, each in enumerate(node.items):
        if isinstance(each, Raw):
            continue
        item = paths.of_item(path, index)
        if isinstance(node, Table):
            yield from _row_cuts(node, each, item)
        else:
            yield from _member_cuts(each, item) if isinstance(each, Object) else cuts(each, item)


def _member_cuts(node: Object, path: str) -> Iterator[Omission]:
    for name, each in node.members.items():
        if not isinstance(each, Raw):
            yield from cuts(each, paths.of_member(path, name))


def _text_cuts(node: TextNode, path: str) -> Iterator[Omission]:
    if node.more:
        yield Omission(path, f"{len(node.text)} of {len(node.text) + node.more} characters")
    elif node.is_rewritten:
        yield Omission(path, "shortened JSON")


def _without(names: Iterable[str]) -> str:
    return f"without {', '.join(each[:60] for each in names)}"


def _row_cuts(table: Table, row: TableRow, path: str) -> Iterator[Omission]:
    for name, each in zip(table.columns, row.cells, strict=False):
        yield from cuts(each, paths.of_member(path, name))
    for each in row.cells[len(table.columns) :]:
        yield from cuts(each, path)
