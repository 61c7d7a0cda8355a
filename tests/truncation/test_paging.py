"""Pages of a result: together they are the whole of it, and other questions about it are answered."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from typing import Any

import msgspec
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from msgspec import Raw

from mcpgateway.errors import InvalidParams
from mcpgateway.protocol import jsonrpc
from mcpgateway.truncation import documents, values
from mcpgateway.truncation.paging import PAGE_BYTES, OpenResult, page
from mcpgateway.truncation.queries import PageQuery, read_query

SIZE_LIMIT = 100_000  # each of its pages is read from the whole


def of_text(text: str, **more: Any) -> bytes:
    """A result of one text."""
    return json.dumps({"content": [{"type": "text", "text": text}], **more}).encode()


def of_json(value: Any, **more: Any) -> bytes:
    """A result of one text that is JSON."""
    return of_text(json.dumps(value), **more)


def asked(original: bytes, **arguments: Any) -> dict[str, Any]:
    """Return a page, decoded as its reader decodes it."""
    answer = page(original, read_query(arguments))
    found: dict[str, Any] = json.loads(bytes(jsonrpc.raw(answer)))
    return found


def exactly(value: Raw | bytes) -> Any:
    """A value with the text of its numbers."""
    return json.loads(
        bytes(value), parse_int=lambda text: ("number", text), parse_float=lambda text: ("number", text)
    )


def joined(original: bytes, path: str = "$", limit: int = 50) -> Any:
    """A whole value, read page by page as a model would."""
    parts: list[Any] = []
    offset, has_more = 0, True
    while has_more:
        answer = page(original, PageQuery(path=path, offset=offset, limit=limit))
        data = exactly(answer["data"])
        assert len(bytes(answer["data"])) <= PAGE_BYTES + 6 * 10_000
        parts.append(_whole(original, data, answer.get("tooLarge", []), limit))
        has_more = answer["hasMore"]
        assert not has_more or answer["nextOffset"] > offset
        offset = answer.get("nextOffset", 0)
    is_json = answer.get("isJson")
    if isinstance(parts[0], str):
        text = "".join(parts)
        return exactly(text.encode()) if is_json else text
    if isinstance(parts[0], list):
        return [item for part in parts for item in part]
    if isinstance(parts[0], dict):
        return {name: value for part in parts for name, value in part.items()}
    return parts[0]


def _whole(original: bytes, data: Any, too_large: list[str], limit: int) -> Any:
    def fetched(value: Any) -> Any:
        is_stand_in = isinstance(value, dict) and value.get("_path") in too_large
        return joined(original, value["_path"], limit) if is_stand_in else value

    if isinstance(data, list):
        return [fetched(each) for each in data]
    return {name: fetched(each) for name, each in data.items()} if isinstance(data, dict) else data


class PageTests:
    """Pages of arrays, objects and texts."""

    def test_arrays(self) -> None:
        """An array inside the text is paged by its items."""
        original = of_json(list(range(120)))
        answer = asked(original, offset=100)
        assert answer == {
            "total": 120,
            "offset": 100,
            "count": 20,
            "hasMore": False,
            "data": list(range(100, 120)),
        }
        assert asked(original, limit=1000)["count"] == 50
        assert asked(original)["nextOffset"] == 50
        assert asked(original, offset=5000)["data"] == []

    def test_search_fields(self) -> None:
        """The matches of a search are paged, and then shown by the requested fields."""
        original = of_json([{"id": each, "name": f"Name {each}", "body": "b"} for each in range(100)])
        answer = asked(original, search="name 9", fields=["id", "name"], limit=2)
        assert (answer["total"], answer["count"], answer["hasMore"]) == (11, 2, True)
        assert answer["data"] == [{"id": 9, "name": "Name 9"}, {"id": 90, "name": "Name 90"}]

    def test_search_knows_no_blanks(self) -> None:
        """An item is found by its JSON without blanks, and by the way its server has written it."""
        rows = [{"id": 1, "n": 1.50, "who": "Zoë"}, {"id": 2, "who": "x"}]
        for indent in (None, 2):
            original = of_text(json.dumps(rows, indent=indent))
            for needle in ('"id":1', '"id": 1', '"n":1.5', "zoë", "zo\\u00eb"):
                assert [each["id"] for each in asked(original, search=needle)["data"]] == [1]
        named = of_json({"a": rows[0], "b": rows[1]})
        assert list(asked(named, search='"id":2')["data"]) == ["b"]

    def test_texts(self) -> None:
        """A text is paged by characters, 200 for each item; a search gives its lines."""
        text = "\n".join(f"line {each} " + "é" * 50 for each in range(1000))
        original = of_text(text)
        answer = asked(original, limit=1, offset=7)
        assert (answer["data"], answer["total"], answer["nextOffset"]) == (text[7:207], len(text), 207)
        assert asked(original, search="LINE 99")["total"] == 11
        assert asked(original, head=2)["data"] == "\n".join(text.split("\n")[:2])
        assert asked(original, tail=2)["data"] == "\n".join(text.split("\n")[-2:])

    def test_objects(self) -> None:
        """An object is paged by its members, and what is too large for a page is named by its path."""
        value = {"items": [{"body": "x" * 1000}] * 100, "total": 100, "a b": 1}
        answer = asked(of_json(value))
        assert answer["data"]["total"] == 100
        assert answer["tooLarge"] == ["$.items"]
        assert answer["data"]["items"]["_items"] == 100
        assert asked(of_json(value), path="$.items", offset=99)["data"] == [{"body": "x" * 1000}]
        assert asked(of_json(value), path='$["a b"]')["data"] == 1

    def test_several_parts(self) -> None:
        """Several texts, or structured content that says something else, are parts of one object."""
        original = json.dumps(
            {
                "content": [
                    {"type": "text", "text": "[1, 2]"},
                    {"type": "image", "mimeType": "image/png", "data": "AAAA"},
                    {"type": "text", "text": "words"},
                ],
                "structuredContent": {"n": 1},
            }
        ).encode()
        assert asked(original)["data"] == {
            "content": [[1, 2], {"type": "image", "mimeType": "image/png"}, "words"],
            "structuredContent": {"n": 1},
        }
        assert asked(original, path="$.content[0][-1]")["data"] == 2

    def test_the_same_twice(self) -> None:
        """Structured content that repeats the text is the same value, also where it is wrapped."""
        for value, structured in (({"a": 1}, {"a": 1}), ([1, 2], {"result": [1, 2]})):
            original = of_json(value, structuredContent=structured)
            assert asked(original)["data"] == value

    def test_as_it_was_written(self) -> None:
        """The text can be had as its server wrote it, blanks and repeated names and all."""
        text = '{"a": 1,   "a": 2}'
        assert asked(of_text(text), raw=True)["data"] == text

    def test_paths(self) -> None:
        """Paths name members, items from either end, slices, and all of them."""
        value = {"a": [{"b": [each, each + 1]} for each in range(10)], "c.d": {"e'f": 1}}
        original = of_json(value)
        for path, expected in (
            ("$.a[0].b[1]", 1),
            ("a[-1].b", [9, 10]),
            ("$.a[*].b[0]", list(range(10))),
            ("$.a[2:4].b", [[2, 3], [3, 4]]),
            ("$.a[-2:].b[-1]", [9, 10]),
            ("$.a[:2].nothing", []),
            ('$["c.d"]["e\'f"]', 1),
            ("$['c.d']['e\\'f']", 1),
            ("$['c.d'].*", [1]),
        ):
            assert asked(original, path=path)["data"] == expected

    def test_errors(self) -> None:
        """A bad path or argument is refused with a word about what there is."""
        original = of_json({"a": [1, 2], "b": "text"})
        for arguments, said in (
            ({"path": "$.c"}, "no member 'c'"),
            ({"path": "$.a[7]"}, "no item 7"),
            ({"path": "$.a.x"}, "no member 'x'"),
            ({"path": "$.b[0]"}, "no array"),
            ({"path": "$.a["}, "not understood"),
            ({"path": "$." + "x" * 5000}, "path must be"),
            ({"aggregate": "count"}, "no array"),
            ({"aggregate": "sum"}, "aggregate must be"),
            ({"aggregate": "group"}, "aggregate must be"),
            ({"offset": -1}, "offset must be"),
            ({"limit": 0}, "limit must be"),
            ({"limit": "many"}, "limit must be"),
            ({"fields": [1]}, "fields must be"),
            ({"grep": "x", "head": 1}, "together"),
            ({"shape": 1}, "shape must be"),
            ({"nothing": 1}, "Unknown argument"),
            ({"path": "$.b", "fields": ["x"]}, "no fields"),
        ):
            with pytest.raises(InvalidParams, match=said):
                asked(original, **arguments)

    def test_undecoded_arguments(self) -> None:
        """Arguments may still be the bytes they came as."""
        query = read_query(
            {"offset": Raw(b"5"), "fields": Raw(b'["a"]'), "limit": Raw(b"7.0"), "path": Raw(b"null")}
        )
        assert query == PageQuery(offset=5, limit=7, fields=("a",))


class QuestionTests:
    """Other questions about a result."""

    def test_grep(self) -> None:
        """Lines with a text, numbered, with lines around them."""
        text = "alpha\nbeta\ngamma error: x\ndelta\nepsilon\nzeta\nERROR y"
        answer = asked(of_text(text), grep="error", context=1)
        assert answer["data"] == "2- beta\n3: gamma error: x\n4- delta\n--\n6- zeta\n7: ERROR y"
        assert (answer["total"], answer["count"], answer["hasMore"]) == (2, 2, False)
        assert asked(of_text(text), grep="gam.*x|beta")["data"] == "2: beta\n3: gamma error: x"

    @pytest.mark.parametrize(
        ("pattern", "found"),
        [
            ("^gamma", [3]),
            ("x$", [3]),
            ("^beta$|^alpha$", [1, 2]),
            ("^bet$", []),
            ("g.+error", [3]),
            ("gamma.+ error", []),
            (r"f\(a\|b\)", [4]),
            ("f(a", [4]),
            ("[0]", [5]),
            (r"\$1", [5]),
            ("C++", [6]),
            ("why?", [6]),
            ("|", []),
        ],
    )
    def test_expressions(self, pattern: str, found: list[int]) -> None:
        """The operators that are known mean what they mean everywhere; what could only be a text is one."""
        text = "alpha\nbeta\ngamma error: x\nf(a|b)\nlist[0] costs $1\nwhy? C++"
        answer = asked(of_text(text), grep=pattern)["data"]
        assert [int(each.partition(":")[0]) for each in answer.split("\n") if each] == found

    @pytest.mark.parametrize(
        "pattern", [r"\d+", "(a|b)c", "(a+)+$", "[a-z]", "[^x]", "x{2}", "lo+l", "a.*?b", "(?i)a"]
    )
    def test_other_expressions(self, pattern: str) -> None:
        """An operator that is not known is refused, rather than looked for as a text."""
        with pytest.raises(InvalidParams, match="grep does not know"):
            asked(of_text("text"), grep=pattern)

    def test_grep_in_json(self) -> None:
        """In JSON, what is found is a leaf, and where it stands."""
        original = of_json({"items": [{"name": "a"}, {"name": "needle"}]})
        assert asked(original, grep="needle")["data"] == '2: $.items[1].name = "needle"'

    def test_a_page_of_matches(self) -> None:
        """Matches are paged, also where few fit on a page."""
        original = of_text("\n".join(f"hit {each} " + "x" * 900 for each in range(100)))
        seen, offset, has_more = [], 0, True
        while has_more:
            answer = asked(original, grep="hit", offset=offset)
            seen += [line.split(" ")[2] for line in answer["data"].split("\n")]
            has_more, offset = answer["hasMore"], answer.get("nextOffset", 0)
        assert seen == [str(each) for each in range(100)]

    def test_head_and_tail(self) -> None:
        """The first or last items."""
        original = of_json(list(range(100)))
        assert asked(original, head=3)["data"] == [0, 1, 2]
        assert asked(original, tail=3)["data"] == [97, 98, 99]

    def test_more_than_a_page_of_them(self) -> None:
        """Of a longer beginning or end there are pages, too: each says that there is more, and where."""
        original = of_json(list(range(300)))
        for asking, first in (({"head": 100}, 0), ({"tail": 100}, 200)):
            answer = asked(original, **asking)
            assert (answer["offset"], answer["count"], answer["hasMore"]) == (first, 50, True)
            again = asked(original, offset=answer["nextOffset"], **asking)
            assert answer["data"] + again["data"] == list(range(first, first + 100))
            assert again["hasMore"] is (first == 0)
        assert asked(original, tail=10)["hasMore"] is False
        assert asked(original, head=10)["nextOffset"] == 10

    def test_more_lines_than_a_page(self) -> None:
        """Lines at the beginning, at the end, or with a text go on where the answer says."""
        lines = [f"{each} " + "x" * 300 for each in range(400)]
        for asking, wanted in (
            ({"head": 400}, lines),
            ({"tail": 300}, lines[100:]),
            ({"search": "x"}, lines),
        ):
            seen: list[str] = []
            more: dict[str, Any] = {"hasMore": True, "nextOffset": 0}
            while more["hasMore"]:
                more = asked(of_text("\n".join(lines)), offset=more["nextOffset"], **asking)
                seen += more["data"].split("\n")
            assert seen == wanted

    def test_counts_have_pages(self) -> None:
        """So have the values that items are counted by."""
        original = of_json([{"a": each} for each in range(120)])
        assert asked(original, aggregate="distinct:a")["nextOffset"] == 50

    def test_shape(self) -> None:
        """The shape of a value has its types, names, counts and sizes."""
        rows = [
            {"id": each, "tags": ["x"] * (each + 1), **({"note": "n"} if each else {})} for each in range(3)
        ]
        found = asked(of_json({"rows": rows, "next": None}), shape=True)["shape"]
        assert found["type"] == "object"
        assert found["members"]["next"] == {"type": "null"}
        row = found["members"]["rows"]["of"]["members"]
        assert row["id"] == {"type": "number"}
        assert row["tags"]["items"] == "1-3"
        assert row["note"]["in"] == "2 of 3"
        assert asked(of_text("abc"), shape=True)["shape"] == {"type": "string", "chars": 3}

    def test_shape_is_bounded(self) -> None:
        """The shape of anything fits on a page."""
        value: Any = 1
        for _ in range(4):
            value = {f"name {each} " + "x" * 80: value for each in range(8)}
        assert len(json.dumps(asked(of_json(value), shape=True))) <= 2 * PAGE_BYTES

    def test_aggregates(self) -> None:
        """Items are counted, all or by a field."""
        rows = [{"state": "open" if each % 3 else "closed", "by": {"login": "a"}} for each in range(9)] + [{}]
        original = of_json(rows)
        assert asked(original, aggregate="count") == {"count": 10}
        grouped = asked(original, aggregate="group:state")
        assert grouped["data"] == [{"value": "open", "count": 6}, {"value": "closed", "count": 3}]
        assert grouped["without"] == 1
        assert asked(original, aggregate={"op": "distinct", "field": "by.login"})["data"] == ["a"]
        assert asked(original, aggregate={"group": "state"}, search="open")["total"] == 1


texts = st.one_of(
    st.text(max_size=30),
    st.builds(lambda text, times: text * times, st.text(max_size=4), st.integers(1, 12_000)),
)
numbers = st.sampled_from(
    [b'"\\ud800 half"', b"1e400", b"-0.0", b"123456789012345678901234567890", b"0.10"]
).map(Raw)


def _many(item: Any, times: int) -> list[Any]:
    # One in another multiply: what is too long for a test is never made.
    return [item] * min(times, max(1, SIZE_LIMIT // len(msgspec.json.encode(item))))


trees = st.recursive(
    st.one_of(numbers, texts, st.booleans(), st.none()),
    lambda below: st.one_of(
        st.lists(below, max_size=5),
        st.builds(_many, below, st.integers(1, 120)),
        st.dictionaries(st.text(max_size=10), below, max_size=5),
        st.dictionaries(st.text(min_size=300, max_size=320), below, max_size=2),
    ),
    max_leaves=10,
)


QUERIES = [
    PageQuery(offset=offset, **more)
    for offset in (0, 3)
    for more in (
        {},
        {"search": "a"},
        {"grep": "a"},
        {"path": "$[0]"},
        {"path": "$[*]"},
        {"shape": True},
        {"tail": 2},
    )
]


def said_by(ask: Callable[[PageQuery], Any], query: PageQuery) -> bytes:
    """The answer to a query, or the refusal, as bytes."""
    try:
        return bytes(jsonrpc.raw(ask(query)))
    except InvalidParams as why:
        return why.message.encode("utf-8", "replace")


class WholeTests:
    """All pages of anything."""

    @given(st.one_of(trees, texts), st.integers(20, 50))
    def test_pages_join_to_the_whole(self, value: Any, limit: int) -> None:
        """The pages of a result, with the paths of its large parts, are together the original."""
        text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
        original = msgspec.json.encode({"content": [{"type": "text", "text": text}]})
        assume(len(original) < SIZE_LIMIT)
        inner = values.container(text)
        assert joined(original, limit=limit) == (text if inner is None else exactly(inner))

    @given(st.lists(trees, max_size=3), st.one_of(st.none(), trees), st.integers(20, 50))
    def test_several_parts(self, parts: list[Any], structured: Any, limit: int) -> None:
        """The same for results of several parts."""
        content = [{"type": "text", "text": msgspec.json.encode(each).decode()} for each in parts]
        original = msgspec.json.encode({"content": content, "structuredContent": structured})
        assume(len(original) < SIZE_LIMIT)
        assert joined(original, limit=limit) == exactly(documents.root_of(original))

    @given(st.lists(texts, min_size=1, max_size=3), st.integers(20, 50))
    def test_embedded_texts(self, said: list[str], limit: int) -> None:
        """The texts of embedded resources, and of blocks of unknown kind, can be read whole where they stand."""
        embedded = [{"type": "resource", "resource": {"uri": "a:b", "text": each}} for each in said]
        content = [*embedded, {"type": "novel", "text": said[0]}]
        original = msgspec.json.encode({"content": content})
        assume(len(original) < SIZE_LIMIT)
        places = [(f"$.content[{index}].resource.text", each) for index, each in enumerate(said)]
        for path, each in (*places, (f"$.content[{len(said)}].text", said[0])):
            inner = values.container(each)
            assert joined(original, path, limit) == (each if inner is None else exactly(inner))

    @given(texts)
    def test_the_text_itself(self, text: str) -> None:
        """The text of a result can be read whole as it was written."""
        original = msgspec.json.encode({"content": [{"type": "text", "text": text}]})
        seen, offset, has_more = "", 0, True
        while has_more:
            answer = page(original, PageQuery(raw=True, offset=offset))
            seen += json.loads(bytes(answer["data"]))
            has_more, offset = answer["hasMore"], answer.get("nextOffset", 0)
        assert seen == text

    @given(trees, st.lists(st.sampled_from(QUERIES), max_size=6))
    def test_one_after_another(self, value: Any, queries: list[PageQuery]) -> None:
        """Each page of an open result is the one that the result has by itself, whatever was read before it."""
        original = msgspec.json.encode(
            {"content": [{"type": "text", "text": msgspec.json.encode(value).decode()}]}
        )
        assume(len(original) < SIZE_LIMIT)
        opened = OpenResult(original)
        for query in queries:
            assert said_by(opened.page, query) == said_by(partial(page, original), query)

    @pytest.mark.parametrize("query", [{}, {"search": "1"}, {"grep": "1"}, {"path": "$[*]"}, {"raw": True}])
    def test_only_the_first_takes_time(self, query: dict[str, Any]) -> None:
        """The second page of a value is made of what the first one has unpacked, not of the whole result."""
        original = of_json([f"item {nth}" for nth in range(1000)])
        opened = OpenResult(original)
        opened.page(PageQuery(**query))
        opened.original = b"nothing that could be read"
        later = PageQuery(**query, offset=100)
        assert jsonrpc.raw(opened.page(later)) == jsonrpc.raw(page(original, later))

    @given(st.binary(max_size=200), st.text(max_size=30), st.text(max_size=20))
    def test_nonsense(self, original: bytes, path: str, grep: str) -> None:
        """A question of any kind about any result is answered or refused."""
        for query in (PageQuery(path=path), PageQuery(grep=grep), PageQuery(shape=True)):
            try:
                jsonrpc.raw(page(original, query))
            except InvalidParams:
                pass
