"""Pages of a kept result, which together are all of it.

# Note [Content of a page]
A page of an array has some of its items, one of an object some of its members, one of a text some of its characters. It
has no more than `PAGE_BYTES`: items that do not fit are left for the next page, and one that is too large for any page
is replaced by a marker with the path under which it has pages of its own; ``tooLarge`` lists those paths.  An object
with names that are too long for a path is paged as the text of its JSON.

# Note [One page after another]
Clients mostly read the pages of one value in order.  An open result keeps that value unpacked, its items or its text,
and the items or lines that were found in it, so that only the first page takes time with the size of the result.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar, cast, overload

from attrs import define, evolve, field, frozen
from msgspec import Raw

from mcpgateway.errors import InvalidParams
from mcpgateway.protocol import jsonrpc
from mcpgateway.truncation import documents, lines, paths, structure, values
from mcpgateway.truncation.paths import PathMatch
from mcpgateway.truncation.queries import Aggregate, PageQuery, check

T = TypeVar("T")
PAGE_BYTES = 32_768
CHARS_PER_ITEM = 200  # of a text
NAME_CHARS = 200  # of a member that can be named in a path
KEPT_ITEMS = 100_000  # of a value that is kept unpacked
VALUE_CHARS = 200  # of a value by which items are counted


@define
class _Page:
    """Entries that fit on one page.

    :ivar too_large: the paths of entries that are too large for any page.
    """

    entries: list[Raw] = field(factory=list)
    too_large: list[str] = field(factory=list)
    _left: int = PAGE_BYTES

    def take(self, path: str, value: Raw, more: int = 0) -> bool:
        """Put a value, or a marker for it, on the page; false where the page is full.

        :param more: bytes that the entry takes beside its value.
        """
        if values.size(value) + more > PAGE_BYTES:
            value = _stand_in(path, value)
            self.too_large.append(path)
        size = values.size(value) + more
        if size > self._left and self.entries:
            if self.too_large and self.too_large[-1] == path:
                self.too_large.pop()
            return False
        self._left -= size
        self.entries.append(value)
        return True


class OpenResult:
    """A whole ``CallToolResult`` that is read page by page; see Note [One page after another].

    :ivar original: its JSON.
    """

    def __init__(self, original: bytes) -> None:
        self.original = original
        self._last: tuple[tuple[str, bool], _Place] | None = None

    def page(self, query: PageQuery) -> dict[str, Any]:
        """Return a page of it, or the answer to another query; several threads may do so at once.

        :raise InvalidParams: the path leads to nothing, or the query does not apply to its value.
        """
        check(query)
        key, last = (query.path, query.raw), self._last
        place = last[1] if last is not None and last[0] == key else _place(self.original, query)
        # Very many items take more memory than the time to find them is worth.
        self._last = (key, place) if len(place.items or ()) <= KEPT_ITEMS else None
        if place.items is None:
            return _single(place, query)
        return _of_items(place.items, query, place)


def page(original: bytes, query: PageQuery) -> dict[str, Any]:
    """Return a page of a whole ``CallToolResult``, or the answer to another query.

    :raise InvalidParams: the path leads to nothing, or the query does not apply to its value.
    """
    return OpenResult(original).page(query)


@frozen
class _Place:
    """The value at a path, unpacked by one level.

    :ivar items: the items of an array, or the values of a path with several ends; None for others.
    :ivar text: the characters of a text; None for others.
    :ivar value: the JSON of any other value, and of an array.
    """

    path: str
    items: Sequence[PathMatch] | None = None
    text: str | None = None
    value: Raw | None = None
    _found: dict[tuple[str, str], Any] = field(factory=dict)

    def found(self, query: PageQuery, find: Callable[[], T]) -> T:
        """Return the findings of a query's words, kept for its next page."""
        key = (query.search, query.grep)
        if key not in (kept := dict(self._found)):
            self._found.clear()
            kept[key] = self._found[key] = find()
        return cast("T", kept[key])

    @property
    def json(self) -> Raw:
        """The JSON of the value; of several values, that of an array of them."""
        if self.value is not None:
            return self.value
        if self.text is not None:
            return values.quoted(self.text)
        return jsonrpc.raw([each.value for each in self.items or ()])


@frozen
class _Items(Sequence[PathMatch]):
    """The items of an array, whose paths are made for those that are used."""

    path: str
    listed: Sequence[Raw]

    def __len__(self) -> int:
        return len(self.listed)

    @overload
    def __getitem__(self, index: int) -> PathMatch: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[PathMatch]: ...

    def __getitem__(self, index: int | slice) -> PathMatch | Sequence[PathMatch]:
        if isinstance(index, slice):
            return [self[each] for each in range(*index.indices(len(self.listed)))]
        return PathMatch(paths.of_item(self.path, index), self.listed[index])


def _place(original: bytes, query: PageQuery) -> _Place:
    root = values.quoted(documents.text_of(original)) if query.raw else documents.root_of(original)
    found, is_single = paths.find(root, query.path)
    if not is_single:
        return _Place(query.path, found)
    path, value = found[0].path, found[0].value
    listed, text = values.items(value), values.text(value)
    if text is not None:
        return _Place(path, text=text)
    return _Place(path, _Items(path, listed) if listed is not None else None, value=value)


def _single(place: _Place, query: PageQuery) -> dict[str, Any]:
    where, text = PathMatch(place.path, place.value or jsonrpc.NULL), place.text
    if query.shape:
        return {"path": place.path, "shape": structure.shape(place.json, PAGE_BYTES)}
    if query.aggregate is not None:
        raise InvalidParams(f"{place.path} is no array, so there are no items to count", _arrays_in(where))
    if query.grep:
        return _matching(
            place,
            query,
            lambda: lines.of_value(where.path, where.value) if text is None else text.split("\n"),
        )
    if text is not None:
        return _of_text(text, query, place)
    named = values.members(where.value)
    if named is not None and all(len(name) <= NAME_CHARS for name in named):
        return _of_members(where, named, query)
    if named is not None or values.head(where.value) in (b"{", b"["):
        return _of_text(values.as_text(where.value), query, place) | {"isJson": True}
    return {"total": 1, "offset": 0, "count": 1, "hasMore": False, "data": where.value}


def _arrays_in(where: PathMatch) -> str:
    named = values.members(where.value) or {}
    found = [paths.of_member(where.path, name) for name, each in named.items() if values.is_list(each)]
    return (
        f"Its arrays: {', '.join(each[:100] for each in found[:5])}" if found else "Name an array by its path"
    )


# Arrays, and the values of a path with several ends


def _of_items(items: Sequence[PathMatch], query: PageQuery, place: _Place) -> dict[str, Any]:
    if query.shape:
        return {"path": place.path, "shape": structure.shape(place.json, PAGE_BYTES)}
    if query.grep:
        return _matching(place, query, lambda: [line for each in items for line in _lines(each)])
    if query.search:
        needle, every = query.search.lower(), items
        items = place.found(query, lambda: [each for each in every if _holds(each.value, needle)])
    if query.aggregate is not None:
        return _counted(items, query)
    start, stop = _window(len(items), query)
    shown = _Page()
    for each in items[start:stop]:
        if not shown.take(each.path, _projected(each.value, query.fields)):
            break
    return _answer(len(items), start, shown, jsonrpc.raw(shown.entries))


def _lines(where: PathMatch) -> list[str]:
    # Texts among items are identified by their paths.
    if values.is_text(where.value):
        return [f"{where.path} = {lines.shortened(values.as_text(where.value))}"]
    return lines.of_value(where.path, where.value)


def _holds(value: Raw, needle: str) -> bool:
    text = values.text(value)
    if text is not None:
        return needle in text.lower()
    # A search text does not know the server's blanks and escapes.
    return any(needle in each.lower() for each in (values.as_text(value), values.compact(value)))


def _projected(value: Raw, fields: tuple[str, ...]) -> Raw:
    named = values.members(value) if fields else None
    if named is None:
        return value
    return jsonrpc.raw({name: named[name] for name in fields if name in named})


def _window(total: int, query: PageQuery) -> tuple[int, int]:
    # Of a long beginning or end the first page, which names the next one.
    start = min(max(query.offset, total - query.tail if query.tail else 0), total)
    return start, min(start + min(query.head or query.limit, query.limit), total)


def _answer(total: int, start: int, shown: _Page, data: Raw) -> dict[str, Any]:
    answer = _counts(total, start, len(shown.entries)) | {"data": data}
    if shown.too_large:
        answer["tooLarge"] = shown.too_large
    return answer


def _counts(total: int, start: int, count: int) -> dict[str, Any]:
    end = start + count
    members: dict[str, Any] = {"total": total, "offset": start, "count": count, "hasMore": end < total}
    return members | {"nextOffset": end} if end < total else members


def _stand_in(path: str, value: Raw) -> Raw:
    about: dict[str, Any] = {"_path": path, "_type": structure.type_of(value), "_bytes": values.size(value)}
    listed = values.items(value)
    if listed is not None:
        about["_items"] = len(listed)
    return jsonrpc.raw(about | {"_message": "too large for a page; ask for its path"})


# Objects


def _of_members(where: PathMatch, named: dict[str, Raw], query: PageQuery) -> dict[str, Any]:
    chosen = {name: each for name, each in named.items() if not query.fields or name in query.fields}
    if query.search:
        needle = query.search.lower()
        chosen = {
            name: each for name, each in chosen.items() if needle in name.lower() or _holds(each, needle)
        }
    names = list(chosen)
    start, stop = _window(len(names), query)
    shown = _Page()
    for name in names[start:stop]:
        if not shown.take(paths.of_member(where.path, name), chosen[name], len(name.encode())):
            break
    data = dict(zip(names[start:stop], shown.entries, strict=False))
    return _answer(len(names), start, shown, jsonrpc.raw(data))


# Texts


def _of_text(text: str, query: PageQuery, place: _Place) -> dict[str, Any]:
    if query.fields:
        raise InvalidParams(
            "A text has no fields", "Leave fields out, or name an object or array by its path"
        )
    if query.search:
        needle = query.search.lower()
        found = place.found(query, lambda: [each for each in text.split("\n") if needle in each.lower()])
        return _of_lines(found, *_window(len(found), query))
    if query.head or query.tail:
        found = place.found(query, lambda: text.split("\n"))
        return _of_lines(found, *_window(len(found), evolve(query, limit=query.head or query.tail)))
    start = min(query.offset, len(text))
    chunk = text[start : start + query.limit * CHARS_PER_ITEM]
    return _counts(len(text), start, len(chunk)) | {"data": values.quoted(chunk)}


def _of_lines(found: Sequence[str], start: int, stop: int) -> dict[str, Any]:
    shown = list(_fitting(map(lines.shortened, found[start:stop])))
    return _counts(len(found), start, len(shown)) | {"data": values.quoted("\n".join(shown))}


def _fitting(found: Iterator[str]) -> Iterator[str]:
    left = PAGE_BYTES
    for each in found:
        left -= len(each) + 1
        if left < 0:
            return
        yield each


def _matching(place: _Place, query: PageQuery, read: Callable[[], list[str]]) -> dict[str, Any]:
    def find() -> tuple[list[str], list[int]]:
        matches, found = lines.matcher(query.grep), read()
        return found, [number for number, line in enumerate(found) if matches(line)]

    found, hits = place.found(query, find)
    start, stop = _window(len(hits), query)
    shown = lines.around(found, hits[start:stop], query.context)
    while stop - start > 1 and sum(map(len, shown)) > PAGE_BYTES:
        stop = start + (stop - start) // 2
        shown = lines.around(found, hits[start:stop], query.context)
    data = values.quoted("\n".join(_fitting(iter(shown))))
    return _counts(len(hits), start, stop - start) | {"data": data}


# Counts


def _counted(items: Sequence[PathMatch], query: PageQuery) -> dict[str, Any]:
    if query.aggregate is Aggregate.COUNT and not query.by:
        return {"count": len(items)}
    groups: dict[bytes, int] = {}
    lacking = 0
    for each in items:
        value = _value_at(each.value, query.by)
        if value is None:
            lacking += 1
        else:
            groups[bytes(value)] = groups.get(bytes(value), 0) + 1
    if query.aggregate is Aggregate.COUNT:
        return {"count": len(items) - lacking, "without": lacking}
    ordered = sorted(groups.items(), key=lambda each: (-each[1], each[0]))
    start, stop = _window(len(ordered), query)
    data = [
        _short(value) if query.aggregate is Aggregate.DISTINCT else {"value": _short(value), "count": count}
        for value, count in ordered[start:stop]
    ]
    counts = _counts(len(ordered), start, len(data))
    return {"by": query.by, **counts, "without": lacking, "data": jsonrpc.raw(data)}


def _value_at(item: Raw, by: str) -> Raw | None:
    named = values.members(item) or {}
    if by in named:
        return named[by]
    try:
        found, _ = paths.find(item, by)
    except InvalidParams:
        return None
    return found[0].value if found else None


def _short(value: bytes) -> Raw:
    if len(value) <= VALUE_CHARS:
        return Raw(value)
    return values.quoted(f"{value.decode('utf-8', 'replace')[:VALUE_CHARS]}…")
