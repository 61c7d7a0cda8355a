"""Queries for parts of a kept result."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Any

import msgspec
from attrs import frozen
from msgspec import Raw

from mcpgateway.errors import InvalidParams

LIMIT = 50  # items of one page
CONTEXT_LIMIT = 20  # lines around a match
LINES_LIMIT = 500  # of a beginning or an end
TEXT_LIMIT = 1000  # characters of a search text
FIELDS_LIMIT = 100
NAMES = frozenset(
    "ref offset limit fields search path grep context head tail shape aggregate raw".split()
)  # ``ref`` is read by the function that finds the result


class Aggregate(Enum):
    """An aggregate of a list's items."""

    COUNT = "count"
    GROUP = "group"
    DISTINCT = "distinct"


@frozen
class PageQuery:
    """A query for a part of a result, or for facts about it.

    :ivar offset: the first item, or character, of the page.
    :ivar limit: items of the page; of a text, 200 characters for each.
    :ivar fields: the members that are shown of each object; empty for all.
    :ivar search: only items and lines with this text, in any case.
    :ivar path: the path of the value, as in `mcpgateway.truncation.paths`.
    :ivar grep: only lines with this text, and the lines around them.
    :ivar context: the number of lines around each.
    :ivar head: only so many items or lines at the beginning; 0 for no such limit.
    :ivar tail: the same at the end.
    :ivar shape: the structure in the place of the value.
    :ivar aggregate: counts in the place of the items.
    :ivar by: the member, or the path in each item, by which items are counted.
    :ivar raw: the text as its server wrote it, even if it is JSON.
    """

    offset: int = 0
    limit: int = LIMIT
    fields: tuple[str, ...] = ()
    search: str = ""
    path: str = "$"
    grep: str = ""
    context: int = 0
    head: int = 0
    tail: int = 0
    shape: bool = False
    aggregate: Aggregate | None = None
    by: str = ""
    raw: bool = False


def read_query(arguments: Mapping[str, Any]) -> PageQuery:
    """Read the arguments of ``get_result``, decoded or not.

    :raise InvalidParams: an argument is unknown or invalid; the text names it and the allowed values.
    """
    decoded = {name: _decoded(name, value) for name, value in arguments.items()}
    unknown = sorted(set(decoded) - NAMES)
    if unknown:
        raise InvalidParams(
            f"Unknown argument: {unknown[0][:100]!r}", f"There are: {', '.join(sorted(NAMES))}"
        )
    given = {name: value for name, value in decoded.items() if value is not None}
    aggregate, by = _aggregate(given["aggregate"]) if "aggregate" in given else (None, "")
    query = PageQuery(
        offset=_number(given, "offset", 0, 0),
        limit=min(_number(given, "limit", LIMIT, 1), LIMIT),
        fields=_fields(given),
        search=_text(given, "search"),
        path=_text(given, "path", 4096) or "$",
        grep=_text(given, "grep"),
        context=min(_number(given, "context", 0, 0), CONTEXT_LIMIT),
        head=min(_number(given, "head", 0, 1), LINES_LIMIT),
        tail=min(_number(given, "tail", 0, 1), LINES_LIMIT),
        shape=_flag(given, "shape"),
        aggregate=aggregate,
        by=by,
        raw=_flag(given, "raw"),
    )
    check(query)
    return query


def check(query: PageQuery) -> None:
    """Refuse a query with options that exclude each other.

    :raise InvalidParams: the query has such options.
    """
    ways = {
        "grep": bool(query.grep),
        "head": bool(query.head),
        "tail": bool(query.tail),
        "shape": query.shape,
        "aggregate": query.aggregate is not None,
    }
    chosen = [name for name, is_chosen in ways.items() if is_chosen]
    if len(chosen) > 1:
        raise InvalidParams(f"{chosen[0]} and {chosen[1]} cannot be asked for together", "Ask twice")


def _decoded(name: str, value: Any) -> Any:
    if not isinstance(value, Raw):
        return value
    try:
        return msgspec.json.decode(value)
    except (msgspec.MsgspecError, RecursionError):
        raise InvalidParams(f"{name} cannot be read") from None


def _number(given: Mapping[str, Any], name: str, otherwise: int, least: int) -> int:
    found = given.get(name, otherwise)
    if isinstance(found, float) and found.is_integer():
        found = int(found)
    if name not in given:
        return otherwise
    if not isinstance(found, int) or isinstance(found, bool) or not least <= found < 2**53:
        raise InvalidParams(f"{name} must be a whole number from {least} on")
    return found


def _text(given: Mapping[str, Any], name: str, limit: int = TEXT_LIMIT) -> str:
    found = given.get(name, "")
    if not isinstance(found, str) or len(found) > limit:
        raise InvalidParams(f"{name} must be a text of at most {limit} characters")
    return found


def _flag(given: Mapping[str, Any], name: str) -> bool:
    found = given.get(name, False)
    if not isinstance(found, bool):
        raise InvalidParams(f"{name} must be true or false")
    return found


def _fields(given: Mapping[str, Any]) -> tuple[str, ...]:
    found = given.get("fields", [])
    if isinstance(found, str):
        found = [each.strip() for each in found.split(",") if each.strip()]
    if not isinstance(found, list) or not all(isinstance(each, str) for each in found):
        raise InvalidParams("fields must be a list of names")
    if len(found) > FIELDS_LIMIT:
        raise InvalidParams(f"fields must be no more than {FIELDS_LIMIT} names")
    return tuple(found)


def _aggregate(found: Any) -> tuple[Aggregate, str]:
    kind, by = _spelt(found)
    try:
        aggregate = Aggregate(kind)
    except ValueError:
        raise InvalidParams(*_AGGREGATES) from None
    if not isinstance(by, str) or (aggregate is not Aggregate.COUNT and not by):
        raise InvalidParams(*_AGGREGATES)
    return aggregate, by


def _spelt(found: Any) -> tuple[Any, Any]:
    if isinstance(found, str):
        kind, _, by = found.partition(":")
        return kind.strip(), by.strip()
    if isinstance(found, dict) and "op" in found:
        return found["op"], found.get("field", "")
    if isinstance(found, dict) and len(found) == 1:
        return next(iter(found.items()))
    return None, None


_AGGREGATES = (
    'aggregate must be "count", "group:<field>" or "distinct:<field>"',
    'For example "group:state", or {"op": "group", "field": "author.login"}',
)
