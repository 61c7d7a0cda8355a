"""Passes that cut a tree beyond the ends of its arrays: heavy fields, long texts, and the total."""

from __future__ import annotations

from msgspec import Raw

from mcpgateway.truncation import values
from mcpgateway.truncation.schema_constraints import FREE
from mcpgateway.truncation.tree import Array, Node, Object, Table, TableRow, TextNode, below, written

SIGNAL = frozenset(
    "id name title type status state label sha ref path url html_url created_at updated_at number key message "
    "description summary error".split()
)
"""Fields that identify an object, and stay at any size."""

OBJECTS = 5  # a list of no more is not searched for heavy fields
SAMPLE = 10  # objects by which the size of fields is measured
LONG_CHARS = 2000  # a shorter text is not halved
MANY_ITEMS = 10  # of a list that counts as long
KEPT_SHARE = 0.75  # of the items of a list, each time
ROWS = 4  # a shorter list makes no table
SHARED = 0.9  # the least part of all names of members that every object of a table has
SAVED = 0.15  # the least part of the bytes that a table saves; else it is only harder to read


def strip(node: Node, field_bytes: int) -> None:
    """Remove heavy fields from lists of objects."""
    for each in below(node):
        if isinstance(each, Array) and len(each.items) > OBJECTS:
            _strip(each, field_bytes)


def _strip(array: Array, field_bytes: int) -> None:
    sizes: dict[str, list[int]] = {}
    for each in array.items[:SAMPLE]:
        named = _members(each)
        if named is None:
            return
        for name, value in named.items():
            sizes.setdefault(name, []).append(values.size(written(value)))
    heavy = {
        name for name, found in sizes.items() if sum(found) > field_bytes * len(found) and name not in SIGNAL
    }
    if heavy:
        array.items = [_without(each, heavy, array, index) for index, each in enumerate(array.items)]


def _members(node: Node) -> dict[str, Node] | None:
    if isinstance(node, Object):
        return node.members
    found = values.members(node) if isinstance(node, Raw) else None
    return None if found is None else dict(found)


def _without(node: Node, heavy: set[str], array: Array, index: int) -> Node:
    named = _members(node)
    if named is None or heavy.isdisjoint(named):
        return node
    if not isinstance(node, Object):
        permit = array.permit.item(index, written(node))
        node = Object(named, [], permit)
    for name in [each for each in named if each in heavy]:
        if node.permit.allows_loss(name, len(node.members) - 1):
            del node.members[name]
            node.omitted.append(name)
    return node


def shorten(node: Node, chars: int) -> None:
    """Cut long texts."""
    for each in below(node):
        if isinstance(each, TextNode):
            each.cut(chars)


def shrink(node: Node, many: int = MANY_ITEMS) -> bool:
    """Halve long texts and remove a quarter of long lists; false where there are none.

    :param many: a shorter list keeps its items.
    """
    has_shrunk = False
    for each in below(node):
        if isinstance(each, TextNode) and len(each.text) > LONG_CHARS:
            has_shrunk |= each.cut(len(each.text) // 2)
        elif isinstance(each, Array) and len(each.items) > many:
            has_shrunk |= each.cut(int(len(each.items) * KEPT_SHARE))
    return has_shrunk


def tabulate(node: Node) -> Node:
    """Write the names of members once, where a list of similar objects becomes smaller by that."""
    if isinstance(node, Array) and not isinstance(node, Table):
        node.items = [tabulate(each) for each in node.items]
        return _table(node) if node.permit.is_free else node
    if isinstance(node, Object):
        node.members = {name: tabulate(each) for name, each in node.members.items()}
    return node


def _table(array: Array) -> Array:
    named = [found for found in map(_members, array.items) if found is not None]
    if len(named) < len(array.items) or len(named) < ROWS:
        return array
    columns = [name for name in named[0] if all(name in each for each in named)]
    if not columns or len(columns) < SHARED * len({name for each in named for name in each}):
        return array
    omitted = {name: None for each in array.items if isinstance(each, Object) for name in each.omitted}
    table = Table([_row(each, columns) for each in named], array.total, FREE, columns, list(omitted))
    is_worth_it = values.size(written(table)) <= (1 - SAVED) * values.size(written(array))
    return table if is_worth_it else array


def _row(named: dict[str, Node], columns: list[str]) -> TableRow:
    rest = {name: each for name, each in named.items() if name not in columns}
    cells = [named[name] for name in columns]
    return TableRow([*cells, Object(rest, [], FREE)] if rest else cells)
