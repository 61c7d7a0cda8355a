"""Shortened results: the rules in their order, what is never cut, and the limits for any input."""

from __future__ import annotations

import json
from typing import Any

import jsonschema
import msgspec
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from mcpgateway.config.surface import Level, ShieldLimits
from mcpgateway.protocol import jsonrpc
from mcpgateway.truncation.documents import META_BYTES
from mcpgateway.truncation.paging import page
from mcpgateway.truncation.queries import read_query
from mcpgateway.truncation.results import shielded, shorten

SIZE_LIMIT = 1_000_000  # bytes of one value

LIMITS = ShieldLimits()
LEAN = ShieldLimits(level=Level.LEAN)
REF = "r_abcdefghijklmnop"


def raw(value: Any) -> Raw:
    """A value as bytes."""
    return Raw(json.dumps(value).encode())


def of_text(text: str, **more: Any) -> dict[str, Any]:
    """A result of one text."""
    return {"content": [{"type": "text", "text": text}], **more}


def of_json(value: Any, **more: Any) -> dict[str, Any]:
    """A result of one text that is JSON."""
    return of_text(json.dumps(value), **more)


def shown(result: Any, limits: ShieldLimits = LIMITS, schema: Any = None) -> Any:
    """Return the shortened result; None when it is passed on."""
    found = shielded(raw(result), limits, REF, raw(schema) if schema is not None else None)
    return None if found is None else json.loads(bytes(found))


def document(result: Any) -> Any:
    """The JSON inside a result's first text."""
    return json.loads(result["content"][0]["text"])


class RulesTests:
    """The rules, with their numbers."""

    def test_what_is_small_is_passed_on(self) -> None:
        """A result that exceeds nothing is passed on as the bytes it came as."""
        for result in (of_text("hello"), of_json([1] * 50), of_json({"a": "x" * 8000}), {}, {"content": 5}):
            assert shown(result) is None

    def test_off(self) -> None:
        """Where the level is off, nothing is cut."""
        assert shown(of_json(["x" * 100] * 1000), ShieldLimits(level=Level.OFF)) is None

    def test_arrays(self) -> None:
        """Of an array of more than 50 items the first 50 are shown, and a marker says how many there are."""
        found = document(shown(of_json([f"item {each}" for each in range(120)])))
        assert found[:50] == [f"item {each}" for each in range(50)]
        assert len(found) == 51
        assert (found[50]["_truncated"], found[50]["_total"], found[50]["_showing"]) == (True, 120, 50)
        assert found[50]["_message"] == "70 further items are left out here; gateway_get_result has them"

    def test_arrays_in_objects(self) -> None:
        """Arrays are cut wherever they are, and the note on each has its place in the object."""
        result = shown(of_json({"items": [{"id": each} for each in range(200)], "total": 200}))
        found = document(result)
        assert len(found["items"]) == 51
        assert found["total"] == 200
        for said in (found, result):
            assert said["_ref"] == REF
            assert said["_truncated"] is True
            assert "$.items: 50 of 200 items" in said["_note"]
        assert len(result["content"]) == 1

    def test_arrays_in_texts_in_json(self) -> None:
        """JSON inside of a string of more than 1000 characters is looked into, a shorter one is not."""
        inner = json.dumps([f"item {each}" for each in range(120)])
        found = document(shown(of_json({"log": inner, "short": "[1,2]", "pad": "x" * 1000})))
        assert len(json.loads(found["log"])) == 51
        assert found["short"] == "[1,2]"

    def test_heavy_fields(self) -> None:
        """Of objects in a list, fields of more than 256 bytes on average go, but for those that tell what it is."""
        rows = [{"id": each, "body": "b" * 300, "message": "m" * 300, "size": 3} for each in range(12)]
        found = document(shown(of_json(rows)))
        assert found[0] == {"id": 0, "message": "m" * 300, "size": 3, "_omitted": ["body"]}
        assert shown(of_json(rows[:5])) is None

    def test_light_fields(self) -> None:
        """A field that is heavy in few of the sample only stays."""
        rows = [{"id": each, "body": "b" * (2000 if each == 3 else 1)} for each in range(20)]
        assert shown(of_json(rows)) is None

    def test_strings(self) -> None:
        """Of a text of more than 8192 characters the beginning is shown, and how much is missing."""
        result = shown(of_text("é" * 9000))
        assert result["content"][0]["text"] == "é" * 8192 + "\n[...TRUNCATED: 808 more chars]"
        said = json.loads(result["content"][1]["text"])
        assert said["_ref"] == REF
        assert "$: 8192 of 9000 characters" in said["_note"]
        inner = document(shown(of_json({"a": {"b": "y" * 9000}})))
        assert inner["a"]["b"].endswith("y\n[...TRUNCATED: 808 more chars]")

    def test_the_whole(self) -> None:
        """A result of more than 65536 bytes loses half of its long texts and a quarter of its lists in each round."""
        result = shown(of_json({f"k{each}": "z" * 8000 for each in range(20)}))
        found = document(result)
        assert len(json.dumps(result)) <= 65_536
        assert len({len(found[f"k{each}"]) for each in range(20)}) == 1
        assert 1000 < len(found["k0"]) < 4100
        items = document(shown(of_json([{"name": "n" * 2000, "id": each} for each in range(50)])))
        assert 10 < items[-1]["_showing"] == len(items) - 1 < 50

    def test_what_has_no_lists_and_no_texts(self) -> None:
        """A result that the rounds cannot shrink is shown as the beginning of its JSON."""
        result = shown(of_json({f"key {each}": each for each in range(20_000)}))
        assert len(json.dumps(result)) <= 65_536
        assert result["content"][0]["text"].startswith('{"key 0":0,')
        assert "TRUNCATED" in result["content"][0]["text"]
        assert REF in result["content"][1]["text"]

    def test_many_texts(self) -> None:
        """Of more than 50 texts the first 50 are shown, whatever else stands between them."""
        image = {"type": "image", "data": "aGVsbG8=", "mimeType": "image/png"}
        content = [{"type": "text", "text": f"t{each}"} for each in range(60)]
        result = shown({"content": [*content, image]})
        assert result["content"][:51] == [*content[:50], image]
        assert "$.content: 50 of 60 texts" in result["_note"]

    def test_numbers_keep_their_text(self) -> None:
        """Numbers that no float or int could hold are written as they came."""
        numbers = "[1e400,-0.0,1.0,123456789012345678901234567890,1E+2" + ",7" * 500 + "]"
        found = bytes(shielded(raw(of_text(numbers)), LIMITS, REF) or b"").decode()
        assert "[1e400,-0.0,1.0,123456789012345678901234567890,1E+2,7" in found

    def test_half_characters(self) -> None:
        """Half a surrogate pair, in the message or in the JSON within, breaks nothing."""
        halves = json.dumps(["\ud800"] * 200)
        found = document(shown(of_text(halves)))
        assert found[:50] == ["\ud800"] * 50
        assert shown(of_text("\udfff" * 9000))["content"][0]["text"].startswith("\udfff")
        assert shown(of_json({"\ud800": ["x"] * 600, "b": ["y" * 20] * 600})) is not None


class OwnTests:
    """The answers of the gateway's own tools."""

    def cut(self, value: Any, limits: ShieldLimits = LIMITS) -> Any:
        """Return the shortened answer; None when it is passed on."""
        found = shorten(raw(of_json(value)), limits, keeps_items=True)
        return None if found is None else json.loads(bytes(found.written(REF)))

    def test_only_the_whole_counts(self) -> None:
        """However many items there are, and however heavy, they are shown while there is room."""
        assert self.cut({"a": [{"name": "n", "inputSchema": "x" * 600}] * 90}) is None

    def test_items_are_whole(self) -> None:
        """Where there is no more room, whole items go, the last ones first."""
        for size in (300, 3000, 9000):
            tool = {
                "name": "n",
                "inputSchema": {"enum": ["v" * 30] * (size // 30), "description": "d" * size},
            }
            result = self.cut({"a": [tool] * 300, "b": [tool] * 2})
            *shown, marker = document(result)["a"]
            assert len(json.dumps(result)) <= 65_536
            assert shown
            assert all(each == tool for each in shown)
            assert marker["_showing"] == len(shown)

    @given(
        st.dictionaries(st.text(max_size=5), st.lists(st.text(max_size=3000), max_size=60), max_size=4),
        st.integers(2000, 20_000),
    )
    def test_any(self, value: Any, total: int) -> None:
        """The shown part of a list is its first items unchanged, within the limit, or the beginning of the text."""
        result = self.cut(value, ShieldLimits(total_bytes=total))
        if result is None:
            assert len(json.dumps(value).encode()) <= total + 200
            return
        assert len(msgspec.json.encode(result)) <= max(total, 2048) + 200
        try:
            found = document(result)
        except ValueError:
            return
        for name, items in value.items():
            shown = [each for each in found[name] if isinstance(each, str)]
            assert shown == items[: len(shown)]


class IntactTests:
    """The parts of a result that are never cut."""

    def test_other_blocks(self) -> None:
        """Images, sounds, links and blobs pass byte for byte, and so does what is not known and is no text."""
        others = [
            {"type": "image", "data": "A" * 100_000, "mimeType": "image/png"},
            {"type": "audio", "data": "B" * 100_000, "mimeType": "audio/wav"},
            {"type": "resource_link", "uri": "file:///x", "name": "x"},
            {"type": "resource", "resource": {"uri": "file:///y", "blob": "C" * 100_000}},
            {"type": "novel", "items": list(range(1000)), "encoded": "D" * 100_000},
            "no block at all",
        ]
        text = {"type": "text", "text": "x" * 10_000, "annotations": {"priority": 1.0}}
        result = shown(
            {"content": [*others, text], "isError": True, "extra": list(range(100)), "_meta": {"a": 1}}
        )
        assert result["content"][:6] == others
        assert result["content"][6]["annotations"] == {"priority": 1.0}
        assert (result["isError"], result["extra"], result["_meta"]) == (True, list(range(100)), {"a": 1})

    def test_a_text_that_is_whole(self) -> None:
        """A text that is not cut keeps its blanks."""
        whole = json.dumps({"a": 1}, indent=8)
        result = shown({"content": [{"type": "text", "text": whole}, {"type": "text", "text": "x" * 9000}]})
        assert result["content"][0]["text"] == whole


class ElsewhereTests:
    """Texts that are in no text block; every byte of them can be had."""

    def of(self, result: Any, **asking: Any) -> Any:
        """Return a page of the original."""
        return json.loads(bytes(jsonrpc.raw(page(bytes(raw(result)), read_query(asking)))))["data"]

    def test_embedded_resources(self) -> None:
        """The text of an embedded resource is cut like any other; its other members stay, and so does a blob."""
        lines = "\n".join(f"line {each}" for each in range(20_000))
        resource = {"uri": "file:///a", "mimeType": "text/plain", "text": lines, "_meta": {"x": 1}}
        block = {"type": "resource", "resource": resource, "annotations": {"priority": 0.5}}
        blob = {"type": "resource", "resource": {"uri": "file:///b", "blob": "A" * 70_000}}
        result = {"content": [block, blob]}
        found = shown(result)
        short, same, note = found["content"]
        assert len(short["resource"].pop("text")) < 8300
        assert short == {**block, "resource": {**resource, "text": None}} | {"resource": short["resource"]}
        assert set(short["resource"]) == {"uri", "mimeType", "_meta"}
        assert same == blob
        assert json.loads(note["text"])["_ref"] == REF
        assert "$.content[0].resource.text: 8192 of" in found["_note"]
        assert self.of(result, path="$.content[0].resource.text", tail=1) == "line 19999"
        assert self.of(result, path="$.content[0].resource.uri") == "file:///a"

    def test_embedded_json(self) -> None:
        """JSON in an embedded resource is cut as JSON, without a word in it that is not the file's."""
        result = {
            "content": [
                {"type": "resource", "resource": {"uri": "a:b", "text": json.dumps({"l": [7] * 900})}}
            ]
        }
        found = json.loads(shown(result)["content"][0]["resource"]["text"])
        assert set(found) == {"l"}
        assert len(found["l"]) == 51
        assert self.of(result, path="$.content[0].resource.text.l", offset=890) == [7] * 10

    def test_many_embedded_resources(self) -> None:
        """Of very many, the first ones are shown, and the others can be asked for, with their names."""
        blocks = [
            {"type": "resource", "resource": {"uri": f"file:///{each}", "text": "x" * 2000}}
            for each in range(200)
        ]
        found = shown({"content": blocks})
        assert len(json.dumps(found)) <= 65_536
        last = {"uri": "file:///199", "text": "x" * 2000}
        assert self.of({"content": blocks}, path="$.content[199].resource") == last

    def test_unknown_blocks(self) -> None:
        """The longest text of a block of unknown kind is cut, and can be asked for."""
        for name in ("text", "markdown"):
            block = {"type": "novel", name: "a word " * 5000, "more": 1}
            found = shown({"content": [block]})["content"][0]
            assert len(found.pop(name)) < 8300
            assert found == {"type": "novel", "more": 1}
            asking = {"path": f"$.content[0].{name}", "offset": 34_990}
            assert self.of({"content": [block]}, **asking) == ("a word " * 5000)[34_990:]

    def test_content_that_is_a_string(self) -> None:
        """Content that is a mere string is cut as a text, and becomes content as the protocol has it."""
        found = shown({"content": "é" * 9000})
        assert found["content"][0]["type"] == "text"
        assert found["content"][0]["text"].startswith("é" * 8192 + "\n[")
        assert self.of({"content": "é" * 9000}, offset=8990) == "é" * 10
        assert shown({"content": "é" * 400}) is None

    def test_meta(self) -> None:
        """A huge ``_meta`` loses its largest members, which can be asked for; a smaller one stays."""
        meta = {"keep": {"a": [1] * 100}, "huge": "x" * 100_000, "large": ["y" * 100] * 100}
        result = of_text("hello", _meta=meta)
        found = shown(result)
        assert {name: found["_meta"][name] for name in ("keep", "large")} == {
            name: meta[name] for name in ("keep", "large")
        }
        assert "huge" not in found["_meta"]
        assert "$._meta: without huge" in found["_note"]
        assert self.of(result, path="$._meta.huge", offset=99_990) == "x" * 10
        assert shown(of_text("hello", _meta={"large": ["y" * 100] * 100})) is None


SCHEMA: dict[str, Any] = {
    "$defs": {
        "Row": {
            "type": "object",
            "properties": {
                "id": {"type": "integer"},
                "kind": {"enum": ["a", "b"]},
                "body": {"anyOf": [{"type": "string"}, {"type": "null"}]},
                "must": {"type": "string"},
            },
            "required": ["id", "must"],
            "additionalProperties": False,
        }
    },
    "type": "object",
    "properties": {
        "rows": {"type": "array", "items": {"$ref": "#/$defs/Row"}, "minItems": 60},
        "names": {"type": "array", "items": {"type": "string"}},
        "coded": {"type": "string", "pattern": "^q*$"},
        "either": {"anyOf": [{"type": "array"}, {"type": "array", "minItems": 500}]},
    },
    "required": ["rows", "names"],
    "additionalProperties": False,
}


class StructuredTests:
    """Structured content, with a schema and without."""

    def test_without_a_schema(self) -> None:
        """Structured content is cut as the text is, with markers in it."""
        result = shown({"content": [], "structuredContent": {"rows": list(range(1000))}})
        assert len(result["structuredContent"]["rows"]) == 51
        assert "$.rows: 50 of 1000 items" in result["_note"]

    def test_with_a_schema(self) -> None:
        """A part that the schema allows is cut without markers, others stay, and ``_meta`` names the missing ones."""
        value = {
            "rows": [{"id": each, "kind": "a", "body": "b" * 400, "must": "m" * 400} for each in range(80)],
            "names": ["n" * 20] * 300,
            "coded": "q" * 9000,
            "either": [1] * 600,
        }
        result = shown({"content": [], "structuredContent": value}, schema=SCHEMA)
        found = result["structuredContent"]
        jsonschema.validate(found, SCHEMA)
        assert len(found["rows"]) == 60
        assert set(found["rows"][0]) == {"id", "kind", "must"}
        assert found["names"] == ["n" * 20] * 50
        assert found["coded"] == "q" * 9000
        assert found["either"] == [1] * 600
        said = result["_meta"]["mcpgateway/truncation"]
        assert said["ref"] == REF
        assert said["cuts"] == [
            {"path": "$.rows", "shown": "60 of 80 items"},
            {"path": "$.rows[*]", "shown": "without body"},
            {"path": "$.names", "shown": "50 of 300 items"},
        ]

    def test_it_is_never_left_out(self) -> None:
        """Where nothing may be cut, a value with a schema stays whole, because clients refuse a result without it."""
        value = {"x": "y" * 100_000}
        result = {"content": [{"type": "text", "text": json.dumps(value)}], "structuredContent": value}
        found = shown(result, schema={"type": "object", "if": {}})
        assert found["structuredContent"] == value
        assert len(found["content"][0]["text"]) < 20_000

    def test_an_error_has_no_schema(self) -> None:
        """Nobody holds an error against the schema, so it is cut like any other."""
        result = {"content": [], "isError": True, "structuredContent": {"rows": list(range(1000))}}
        assert shown(result, schema=SCHEMA)["structuredContent"]["rows"][50]["_truncated"] is True

    def test_it_is_left_out(self) -> None:
        """Without a schema, what cannot be cut is left out, ``_meta`` says where it is, and its beginning is shown."""
        value = {f"key {each}": each for each in range(20_000)}
        result = shown({"content": [], "structuredContent": value})
        assert "structuredContent" not in result
        assert result["_meta"]["mcpgateway/truncation"]["ref"] == REF
        assert result["content"][0]["text"].startswith('{"key 0":0')
        assert len(json.dumps(result)) <= 65_536


class LeanTests:
    """The tighter level."""

    def test_tables(self) -> None:
        """Alike objects are written as a table, which loses nothing."""
        names = [f"column {each}" for each in range(10)]
        rows = [{name: [each, "r"] for name in names} for each in range(15)]
        found = document(shown(of_json([*rows, {**rows[0], "more": 1}]), LEAN))
        assert set(found) == {"_columns", "_rows"}
        assert found["_columns"] == names
        assert found["_rows"][3] == [[3, "r"]] * 10
        assert found["_rows"][15] == [*[[0, "r"]] * 10, {"more": 1}]

    def test_fewer(self) -> None:
        """Less is shown of each list and text."""
        rows = [{"identifier": each, "repository": "r", "is_open": True} for each in range(100)]
        found = document(shown(of_json(rows), LEAN))
        assert (len(found["_rows"]), found["_total"], found["_showing"]) == (20, 100, 20)
        assert len(shown(of_text("x" * 5000), LEAN)["content"][0]["text"]) < 2100

    def test_heavy_fields_of_a_table(self) -> None:
        """A table says which fields were left out of its rows."""
        rows = [{"identifier": each, "body": "x" * 200, "is_open": True} for each in range(15)]
        found = document(shown(of_json(rows), LEAN))
        assert found["_columns"] == ["identifier", "is_open"]
        assert found["_omitted"] == ["body"]


numbers = st.sampled_from(
    [b'"\\ud800 half"', b"1e400", b"-0.0", b"12345678901234567890123", b"0.10", b"7"]
).map(Raw)
texts = st.one_of(
    st.text(max_size=20),
    st.builds(lambda text, times: text * times, st.text(max_size=5), st.integers(1, 5000)),
)


def _many(item: Any, times: int) -> list[Any]:
    # One in another multiply: what is too long for a test is never made.
    return [item] * min(times, max(1, SIZE_LIMIT // len(msgspec.json.encode(item))))


leaves = st.one_of(numbers, texts, st.booleans(), st.none())
trees = st.recursive(
    leaves,
    lambda below: st.one_of(
        st.lists(below, max_size=4),
        st.builds(_many, below, st.integers(1, 150)),
        st.dictionaries(st.text(max_size=8), below, max_size=5),
        st.builds(lambda value: msgspec.json.encode(value).decode(), below),
    ),
    max_leaves=12,
)
small_limits = st.builds(
    ShieldLimits,
    level=st.sampled_from((Level.BOUNDED, Level.LEAN)),
    array_items=st.integers(1, 60),
    string_chars=st.integers(1, 9000),
    field_bytes=st.integers(1, 400),
    total_bytes=st.integers(4096, 70_000),
)


class AnyTests:
    """The results of any server."""

    @given(st.lists(trees, max_size=4), st.one_of(st.none(), trees), st.booleans(), small_limits)
    def test_valid_and_within_limits(
        self, values: list[Any], structured: Any, is_error: Any, limits: ShieldLimits
    ) -> None:
        """The result is valid JSON within its limits, or the bytes themselves; its flags are what they were."""
        content = [
            {"type": "text", "text": each if isinstance(each, str) else msgspec.json.encode(each).decode()}
            for each in values
        ]
        image = {"type": "image", "data": "AAAA", "mimeType": "image/png"}
        result: dict[str, Any] = {"content": [*content, image], "isError": is_error}
        if isinstance(structured, list):
            texts = [each if isinstance(each, str) else "a b" for each in structured]
            result["content"] += [
                {"type": "resource", "resource": {"uri": "file:///x", "text": each}} for each in texts
            ]
            result["content"] += [{"type": "novel", "said": each} for each in texts if " " in each[:99]]
        if isinstance(structured, str):
            result["_meta"] = {"a": structured, "b": structured[:9]}
        if isinstance(structured, dict):
            result["structuredContent"] = structured
        whole = Raw(msgspec.json.encode(result))
        found = shielded(whole, limits, REF)
        total = limits.total_bytes if limits.level is Level.BOUNDED else max(1024, limits.total_bytes // 4)
        if found is None:
            assert len(bytes(whole)) <= total
            return
        read = json.loads(bytes(found))
        assert read["isError"] is is_error
        assert image in read["content"]
        assert read["_ref"] == REF
        assert len(bytes(found)) <= max(total, 2048) + 200 + META_BYTES
        assert all(isinstance(each["text"], str) for each in read["content"] if each["type"] == "text")
        embedded = [each["resource"] for each in read["content"] if each["type"] == "resource"]
        assert all(each["uri"] == "file:///x" and isinstance(each["text"], str) for each in embedded)

    @given(
        st.dictionaries(st.sampled_from(("rows", "names", "coded", "either")), trees, max_size=4),
        small_limits,
    )
    def test_schemas_hold(self, value: dict[str, Any], limits: ShieldLimits) -> None:
        """A result that conforms to a schema still does when it is shortened."""
        value = json.loads(msgspec.json.encode(value).replace(b"1e400", b"1e300"))
        value["rows"] = [{"id": each, "must": "m" * 300, "body": "b" * 300} for each in range(70)]
        value["names"] = ["n" * 100] * 70
        value.pop("coded", None)
        value.pop("either", None)
        schema = SCHEMA
        result = {"content": [], "structuredContent": value}
        found = shown(result, evolve(limits, level=Level.BOUNDED), schema)
        if found is not None:
            jsonschema.validate(found["structuredContent"], schema)
