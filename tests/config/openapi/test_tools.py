"""Descriptions of services, and the tools that come of them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some

from mcpgateway.config.openapi import tools as openapi
from mcpgateway.config.openapi.schemas import DEPTH_LIMIT, NODES_LIMIT, Schemas, resolved
from mcpgateway.config.openapi.tools import read_openapi
from mcpgateway.config.reach_settings import Operations, RestTool
from mcpgateway.errors import ConfigError

Json = dict[str, Any]
FORM = "application/x-www-form-urlencoded"


def document(paths: Json, version: str = "3.1.0", **more: Any) -> str:
    """A description."""
    return json.dumps({"openapi": version, "info": {"title": "T", "version": "1"}, "paths": paths, **more})


def tools(paths: Json, version: str = "3.1.0", **more: Any) -> tuple[RestTool, ...]:
    """The tools of a description."""
    return read_openapi(document(paths, version, **more), "d.json").tools


def tool(operation: Json, path: str = "/x", method: str = "get", **more: Any) -> RestTool:
    """The only tool of a description."""
    (found,) = tools({path: {method: operation}}, **more)
    return found


def parameter(name: str, where: str = "query", **more: Any) -> Json:
    """Return a parameter of an operation."""
    return {"name": name, "in": where, "schema": {"type": "string"}, **more}


def body(schema: Any, kind: str = "application/json", **more: Any) -> Json:
    """An operation with a body."""
    return {"requestBody": {"content": {kind: {"schema": schema}}, **more}}


def nested(inner: some.SearchStrategy[Any]) -> some.SearchStrategy[Any]:
    """Lists and mappings, with keys that mean something here."""
    words = "get parameters requestBody content application/json schema properties items allOf $ref name in required"
    keys = some.sampled_from([*words.split(), "type", "query", "path", "responses", "nullable"])
    return some.lists(inner, max_size=3) | some.dictionaries(keys, inner, max_size=4)


CONTENT = some.recursive(
    some.none() | some.booleans() | some.sampled_from(["#/paths", "query", "path", "x"]) | some.integers(),
    nested,
    max_leaves=25,
)


class DocumentTests:
    """The document as a whole."""

    def test_yaml(self) -> None:
        """A description may be YAML, with numbers for keys."""
        text = (
            "openapi: 3.0.3\ninfo: {title: Pets, version: '2'}\n"
            "servers: [{url: 'https://{h}/v1/', variables: {h: {default: pets.example}}}]\n"
            "paths:\n  /pets:\n    get:\n      responses: {200: {description: ok}}\n"
        )
        found = read_openapi(text, "pets.yaml")
        assert (found.title, found.version, found.base) == ("Pets", "2", "https://pets.example/v1")
        assert [each.name for each in found.tools] == ["get_pets"]

    @pytest.mark.parametrize("text", ["{}", '{"openapi": 3}', '{"openapi": "2.0"}'])
    def test_something_else(self, text: str) -> None:
        """A document other than OpenAPI 3 is refused."""
        with pytest.raises(ConfigError, match=r"d\.json: is no OpenAPI 3 description"):
            read_openapi(text, "d.json")

    def test_swagger(self) -> None:
        """A description of Swagger 2.0 is refused with the way out."""
        with pytest.raises(
            ConfigError, match=r"d\.json: is a description of Swagger 2\.0.*npx swagger2openapi"
        ):
            read_openapi('{"swagger": "2.0", "paths": {}}', "d.json")

    def test_too_much(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """More operations than anybody can use are refused."""
        monkeypatch.setattr(openapi, "OPERATIONS_LIMIT", 2)
        paths = {f"/{number}": {"get": {}} for number in range(3)}
        with pytest.raises(ConfigError, match="more than 2 operations"):
            read_openapi(document(paths), "d.json")

    @pytest.mark.parametrize("servers", [None, [], ["x"], [{}], [{"url": 7}]])
    def test_no_base(self, servers: Any) -> None:
        """The base of a description without the service's address is empty."""
        assert read_openapi(document({}, servers=servers), "d.json").base == ""

    def test_order(self) -> None:
        """Tools come in the order of the document, whatever the order of methods."""
        paths = {"/b": {"post": {}, "get": {}}, "/a": {"delete": {}}, "x-more": {"get": {}}, "/c": 7}
        assert [each.name for each in tools(paths)] == ["get_b", "post_b", "delete_a"]

    def test_shared_paths(self) -> None:
        """A path may be a reference, and have parameters of its own, which an operation may replace."""
        item = {
            "parameters": [parameter("one"), {"$ref": "#/components/parameters/Two"}],
            "get": {"parameters": [parameter("one", required=True)]},
        }
        parts = {"parameters": {"Two": parameter("two")}, "pathItems": {"I": item}}
        (found,) = tools({"/x": {"$ref": "#/components/pathItems/I"}}, components=parts)
        assert list(found.places) == ["one", "two"]
        assert found.schema["required"] == ["one"]

    @given(CONTENT)
    def test_any_content(self, content: Any) -> None:
        """A description of any content is read, or refused with a message."""
        text = json.dumps({"openapi": "3.1.0", "paths": {"/x": content, "/y": {"post": content}}})
        try:
            found = read_openapi(text, "d.json")
        except ConfigError:
            return
        for each in found.tools:
            assert set(each.places) == set(each.schema["properties"])


class NameTests:
    """Names of tools and arguments."""

    @pytest.mark.parametrize(
        ("wished", "name"),
        [
            ("listPets", "listPets"),
            ("show pet/by.id", "show_pet_by_id"),
            ("a__b", "a_b"),
            ("  ", "get_x_y"),
            (None, "get_x_y"),
            (7, "get_x_y"),
            ("é!", "get"),
            ("n" * 99, "n" * 64),
        ],
    )
    def test_names(self, wished: Any, name: str) -> None:
        """A name is the operation's own as far as models take it, else made of method and path."""
        operation = {} if wished is None else {"operationId": wished}
        assert tool(operation, "/x/{y}").name == name

    def test_unique(self) -> None:
        """No two tools have one name."""
        paths = {f"/{number}": {"get": {"operationId": "n" * 64}} for number in range(3)}
        assert [each.name for each in tools(paths)] == ["n" * 64, "n" * 62 + "_2", "n" * 62 + "_3"]

    def test_arguments(self) -> None:
        """An argument whose name models refuse has another, and remembers its own."""
        found = tool({"parameters": [parameter("filter[tag]"), parameter("filter(tag)"), parameter("[]")]})
        assert found.places == {
            "filter_tag": "query:filter[tag]",
            "filter_tag_2": "query:filter(tag)",
            "argument": "query:[]",
        }

    @pytest.mark.parametrize(
        ("operation", "description"),
        [
            ({}, "GET /x"),
            ({"summary": "One."}, "One."),
            ({"summary": "One.", "description": "One."}, "One."),
            ({"summary": "One.", "description": "Two."}, "One.\n\nTwo."),
            ({"deprecated": True}, "Deprecated. GET /x"),
            ({"description": "x" * 9999}, "x" * 4000),
        ],
    )
    def test_descriptions(self, operation: Json, description: str) -> None:
        """A tool is described by what the operation says of itself."""
        assert tool(operation).description == description


class ChoiceTests:
    """Which operations are tools."""

    @pytest.mark.parametrize(
        ("wanted", "names"),
        [
            (Operations(), "a/list a/add b/list admin/stop"),
            (Operations(tags=("a",)), "a/list a/add"),
            (Operations(tags=("a", "b"), methods=("get",)), "a/list b/list"),
            (Operations(paths=("/a/*",)), "a/list a/add"),
            (Operations(paths=("!/admin*",)), "a/list a/add b/list"),
            (Operations(paths=("/*", "!/b", "!/a/*")), "admin/stop"),
            (Operations(names=("*/list",)), "a/list b/list"),
            (Operations(tags=("!a",)), "b/list admin/stop"),
            (Operations(tags=("c",)), ""),
        ],
    )
    def test_choice(self, wanted: Operations, names: str) -> None:
        """Operations in every chosen list become tools, and none that is left out."""

        def operation(name: str, *tags: str) -> Json:
            return {"operationId": name, "tags": list(tags)}

        paths = {
            "/a/x": {"get": operation("a/list", "a"), "post": operation("a/add", "a", "write")},
            "/b": {"get": operation("b/list", "b")},
            "/admin": {"delete": operation("admin/stop")},
        }
        found = read_openapi(document(paths), "d.json", wanted)
        assert [each.name for each in found.tools] == names.replace("/", "_").split()


class ParameterTests:
    """Where arguments go."""

    def test_places(self) -> None:
        """Every parameter goes where it belongs, in its style."""
        listed = [
            parameter("p", "path"),
            parameter("q", description="About q."),
            parameter("r", required=True, explode=False),
            parameter("s", style="deepObject"),
            {"name": "t", "in": "query", "content": {"application/json": {"schema": {"type": "object"}}}},
            parameter("X-H", "header"),
        ]
        found = tool({"parameters": listed}, "/x/{p}")
        assert found.places == {
            "p": "path",
            "q": "query",
            "r": "query-list",
            "s": "query-deep",
            "t": "query-json",
            "X-H": "header",
        }
        assert found.schema["required"] == ["p", "r"]
        assert found.schema["properties"]["q"] == {"type": "string", "description": "About q."}
        assert found.schema["properties"]["t"] == {"type": "object"}

    def test_left_out(self) -> None:
        """Headers that the configuration decides and nonsense are no arguments."""
        listed = [
            parameter("Authorization", "header"),
            parameter("z", "moon"),
            7,
            {},
        ]
        assert tool({"parameters": listed}).places == {}

    def test_unsaid(self) -> None:
        """A placeholder that nothing is said about is an argument all the same."""
        found = tool({}, "/x/{y}")
        assert found.places == {"y": "path"}
        assert found.schema == {
            "type": "object",
            "properties": {"y": {"type": "string"}},
            "required": ["y"],
        }

    @pytest.mark.parametrize(
        ("where", "said", "place"),
        [
            ("cookie", {}, "cookie"),
            ("path", {"style": "label"}, "path-label"),
            ("path", {"style": "matrix", "explode": True}, "path-matrix-exploded"),
            ("path", {"explode": True}, "path-exploded"),
            ("path", {"style": "x"}, "path"),
            ("query", {"style": "spaceDelimited"}, "query-space"),
            ("query", {"style": "pipeDelimited", "explode": False}, "query-pipe"),
            ("query", {"style": "pipeDelimited", "explode": True}, "query"),
            ("query", {"style": "deepObject", "explode": True}, "query-deep"),
            ("query", {"style": ["x"]}, "query"),
        ],
    )
    def test_styles(self, where: str, said: Json, place: str) -> None:
        """Every style has its place."""
        assert tool(
            {"parameters": [parameter("p", where, **said)]}, "/{p}" if where == "path" else "/x"
        ).places == {"p": place}


class FormTests:
    """Bodies that are no JSON."""

    def test_form(self) -> None:
        """The properties of a form are arguments, written as it says."""
        schema = {
            "type": "object",
            "required": ["a"],
            "properties": {"a": {"type": "string"}, "b": {}, "c": {}},
        }
        media = {"schema": schema, "encoding": {"b": {"style": "deepObject"}, "c": {"explode": False}}}
        found = tool({"requestBody": {"content": {FORM: media}, "required": True}}, method="post")
        assert found.places == {"a": "body", "b": "body-deep", "c": "body-list"}
        assert (found.media, found.schema["required"]) == (FORM, ["a"])

    @pytest.mark.parametrize(
        "file", [{"type": "string", "format": "binary"}, {"contentMediaType": "image/png"}]
    )
    def test_parts(self, file: Json) -> None:
        """A file among parts is an argument in base64, with the media type that is said."""
        properties = {"f": file, "fs": {"type": "array", "items": file}, "m": {"type": "object"}, "j": {}}
        media = {
            "schema": {"type": "object", "properties": properties},
            "encoding": {
                "f": {"contentType": "image/png, image/jpeg"},
                "j": {"contentType": "application/json"},
            },
        }
        found = tool({"requestBody": {"content": {"multipart/form-data": media}}}, method="post")
        assert found.places == {"f": "body-base64", "fs": "body-base64", "m": "body", "j": "body-json"}
        base64 = {"type": "string", "contentEncoding": "base64", "description": "(base64)"}
        assert found.schema["properties"]["f"] == base64
        assert found.schema["properties"]["fs"] == {"type": "array", "items": base64}
        assert found.parts == {"f": "image/png, image/jpeg", "j": "application/json"}

    @pytest.mark.parametrize(
        ("kind", "schema", "media", "place"),
        [
            ("application/octet-stream", {"type": "string", "format": "binary"}, None, "whole-body-base64"),
            ("image/png", {}, None, "whole-body-base64"),
            ("*/*", {"type": "string", "format": "binary"}, "application/octet-stream", "whole-body-base64"),
            ("*/*", {"type": "array"}, "", "whole-body"),
            ("text/csv; charset=utf-8", {"type": "string"}, None, "whole-body"),
            ("application/xml", {"type": "object"}, None, "whole-body"),
            ("application/x-other", {"type": "string"}, None, "whole-body"),
        ],
    )
    def test_whole_bodies(self, kind: str, schema: Json, media: str | None, place: str) -> None:
        """Bytes are base64, other texts are texts, and a form that is no object is one argument."""
        found = tool(body(schema, kind, required=True), method="post")
        assert found.places == {"body": place}
        assert found.media == (kind if media is None else media)
        assert found.schema["required"] == ["body"]

    def test_choice(self) -> None:
        """JSON is taken where there is a choice, and what an agent can write otherwise."""
        schema = {"schema": {"type": "object", "properties": {"a": {}}}}

        def chosen(*kinds: str) -> str:
            return tool({"requestBody": {"content": dict.fromkeys(kinds, schema)}}, method="post").media

        assert chosen("application/xml", FORM, "application/vnd.x+json") == ""
        assert chosen("application/xml", FORM) == FORM
        assert chosen("image/png", "text/plain") == "text/plain"

    def test_too_odd(self) -> None:
        """A form whose fields are not said is one argument, whose members are its fields."""
        found = tool(body({"type": "object"}, FORM), method="post")
        assert (found.places, found.media) == ({"body": "whole-body"}, FORM)
        assert found.schema["properties"]["body"] == {"type": "object"}


class ElsewhereTests:
    """Further members of an operation."""

    def test_its_own_server(self) -> None:
        """An operation, or its path, may be at a server of its own."""
        up, down = {"servers": [{"url": "https://up.example/v1/"}]}, {"servers": [{"url": "/down"}]}
        found = tools({"/a": {"get": up, "post": {}, **down}, "/b": {"get": {}}})
        assert {each.name: each.base for each in found} == {
            "get_a": "https://up.example/v1",
            "post_a": "/down",
            "get_b": "",
        }

    @pytest.mark.parametrize(
        ("security", "wants"),
        [
            ([{"key": []}], "the header X-Key (credentials.key)"),
            (
                [{"key": [], "session": []}, {"basic": []}],
                (
                    "the header X-Key (credentials.key) and the cookie sid (credentials.session)"
                    " or the header Authorization: Basic … (credentials.basic)"
                ),
            ),
            ([{"login": ["read"]}], "the header Authorization: Bearer … (credentials.login)"),
            ([{"cert": []}], "a client certificate"),
            ([{"key": []}, {}], ""),
            ([], ""),
            ([{"unknown": []}, 7], ""),
        ],
    )
    def test_credentials(self, security: Any, wants: str) -> None:
        """Which credentials an operation wants is told in the words of an entry."""
        schemes = {
            "key": {"type": "apiKey", "in": "header", "name": "X-Key"},
            "session": {"type": "apiKey", "in": "cookie", "name": "sid"},
            "basic": {"type": "http", "scheme": "basic"},
            "login": {"type": "oauth2"},
            "cert": {"type": "mutualTLS"},
        }
        parts = {"securitySchemes": schemes}
        assert tool({"security": security}, components=parts).wants == wants
        assert tool({}, components=parts, security=security).wants == wants


def answers(schema: Any, status: str = "200", kind: str = "application/json") -> Json:
    """An operation with an answer."""
    return {"responses": {status: {"description": "", "content": {kind: {"schema": schema}}}}}


class AnswerTests:
    """The answers of an operation."""

    def test_output(self) -> None:
        """An object is the output of its tool: its members and their types, of which none has to be there."""
        whole = {"type": "integer", "description": "x" * 999}
        several = {"type": "array", "items": {"type": ["string", "null"], "enum": ["a"]}}
        properties = {"n": whole, "l": several, "a": {}}
        schema = {
            "type": "object",
            "required": ["n"],
            "additionalProperties": False,
            "properties": properties,
        }
        assert tool(answers(schema, "2XX", "application/hal+json")).output == {
            "type": "object",
            "properties": {
                "n": {"description": "x" * 200, "type": ["number", "null"]},
                "l": {"type": ["array", "null"], "items": {"type": ["string", "null"]}},
                "a": {},
            },
        }

    @pytest.mark.parametrize(
        "operation",
        [
            {},
            answers({"type": "object", "properties": {"a": {}}}, "404"),
            answers({"type": "object", "properties": {"a": {}}}, "200", "text/plain"),
            answers({"type": "array", "items": {}}),
            answers({"type": "object"}),
            answers({"oneOf": [{}]}),
            answers({"properties": {str(each): {} for each in range(81)}}),
            {"responses": 7},
            {"responses": {"200": 7}},
        ],
    )
    def test_no_output(self, operation: Json) -> None:
        """An answer that is no object, no JSON, or too long has no output schema."""
        assert tool(operation).output is None

    def test_large_documents(self) -> None:
        """A description is the same whether it is JSON, of which parts are read when they are wanted, or YAML."""
        properties = {"name": {"type": "string"}, "mother": {"$ref": "#/components/schemas/Pet"}}
        paths = {"/x": {"$ref": "#/components/pathItems/X"}}
        item = {
            "post": body({"$ref": "#/components/schemas/Pet"}) | answers({"$ref": "#/components/schemas/Pet"})
        }
        schemas = {"Pet": {"type": "object", "properties": properties}}
        text = document(paths, components={"schemas": schemas, "pathItems": {"X": item}})
        found = read_openapi(text, "d.json")
        assert found == read_openapi(text, "d.yaml")
        assert found.tools[0].output is not None


class BodyTests:
    """The body of a request."""

    def test_properties(self) -> None:
        """The properties of an object are arguments; what only the service sets is not asked for."""
        pet = {
            "type": "object",
            "required": ["id", "name"],
            "properties": {"id": {"readOnly": True}, "name": {"type": "string"}, "tag": {}},
        }
        found = tool(body({"$ref": "#/p"}, required=True), method="post", p=pet)
        assert found.places == {"name": "body", "tag": "body"}
        assert found.schema["required"] == ["name"]

    def test_optional(self) -> None:
        """A body that may be left out requires no property."""
        found = tool(body({"required": ["a"], "properties": {"a": {}}}), method="post")
        assert "required" not in found.schema

    @pytest.mark.parametrize(
        "schema",
        [
            {"type": "array", "items": {}},
            {"type": "object"},
            {"oneOf": [{}], "properties": {"a": {}}},
            {"type": "string", "properties": {"a": {}}},
            True,
            None,
        ],
    )
    def test_whole(self, schema: Any) -> None:
        """A body that is no plain object is one argument."""
        found = tool(
            body(schema, "application/vnd.x+json; v=1", required=True, description="It."), method="put"
        )
        assert found.places == {"body": "whole-body"}
        assert found.schema["required"] == ["body"]
        assert found.schema["properties"]["body"]["description"] == "It."

    def test_collision(self) -> None:
        """A body whose properties are called like parameters is one argument."""
        operation = body({"properties": {"a": {}}}) | {"parameters": [parameter("a"), parameter("body")]}
        found = tool(operation, method="post")
        assert found.places == {"a": "query", "body": "query", "body_2": "whole-body:body"}

    def test_all_of(self) -> None:
        """Objects that must all hold are one object."""
        schema = {
            "allOf": [
                {"$ref": "#/a"},
                {"properties": {"b": {}}, "required": ["b"], "description": "B."},
            ],
            "properties": {"c": {}},
        }
        a = {"type": "object", "properties": {"a": {}}, "required": ["a"]}
        found = tool(body(schema, required=True), method="post", a=a)
        assert list(found.places) == ["a", "b", "c"]
        assert found.schema["required"] == ["a", "b"]


class SchemaTests:
    """Schemas that stand alone."""

    def inlined(self, schema: Any, *, is_old: bool = False, **document: Any) -> Json:
        """A schema without references."""
        return Schemas(document, is_old=is_old).inlined(schema)

    def test_cycles(self) -> None:
        """A schema within itself is shown once more, as what it is."""
        node = {"type": "object", "title": "Node", "properties": {"next": {"$ref": "#/node"}}}
        assert self.inlined({"$ref": "#/node", "description": "First."}, node=node) == {
            "type": "object",
            "title": "Node",
            "description": "First.",
            "properties": {"next": {"type": "object", "title": "Node"}},
        }
        assert self.inlined({"$ref": "#/a"}, a={"$ref": "#/a"}) == {}

    def test_bounds(self) -> None:
        """A schema that is too deep or too long allows anything."""
        deep: Json = {}
        for _ in range(3 * DEPTH_LIMIT):
            deep = {"items": deep}
        assert json.dumps(self.inlined(deep)).count("items") <= DEPTH_LIMIT + 1
        wide = {"properties": {str(number): {"type": "string"} for number in range(2 * NODES_LIMIT)}}
        assert json.dumps(self.inlined(wide)).count("string") < NODES_LIMIT
        double: Json = {str(number): {"allOf": [{"$ref": f"#/{number + 1}"}] * 2} for number in range(40)}
        assert len(json.dumps(self.inlined({"$ref": "#/0"}, **double))) < 100_000

    def test_elsewhere(self) -> None:
        """A reference to another document is never followed."""
        for where in ("https://example.org/s.json", "other.json#/x", "file:///etc/passwd", "#x", "#/no/such"):
            assert self.inlined({"$ref": where}) == {}

    def test_pointers(self) -> None:
        """A pointer may be escaped, and lead into lists."""
        parts = {"a/b": [{"x y": {"type": "null"}}]}
        assert resolved(parts, {"$ref": "#/a~1b/0/x%20y"}) == {"type": "null"}
        assert resolved(parts, {"$ref": "#/a~1b/1/x"}) is None
        assert resolved(parts, {"$ref": "#/a~1b/x"}) is None

    def test_everywhere(self) -> None:
        """References are found wherever a schema may stand, and only there."""
        schema = {
            "items": {"$ref": "#/s"},
            "anyOf": [{"$ref": "#/s"}, True],
            "additionalProperties": False,
            "patternProperties": {"^x": {"$ref": "#/s"}},
            "default": {"$ref": "#/s"},
            "x-note": 1,
            "xml": {},
        }
        text = {"type": "string"}
        assert self.inlined(schema, s=text) == {
            "items": text,
            "anyOf": [text, True],
            "additionalProperties": False,
            "patternProperties": {"^x": text},
            "default": {"$ref": "#/s"},
        }

    def test_old_words(self) -> None:
        """Words of OpenAPI 3.0 are translated into those of JSON Schema."""
        old = {"type": "integer", "nullable": True, "minimum": 1, "exclusiveMinimum": True, "maximum": 9}
        old |= {"exclusiveMaximum": False, "enum": [2]}
        assert self.inlined(old, is_old=True) == {
            "type": ["integer", "null"],
            "exclusiveMinimum": 1,
            "maximum": 9,
            "enum": [2, None],
        }
        assert self.inlined({"nullable": True, "enum": [None]}, is_old=True) == {"enum": [None]}

    def test_required(self) -> None:
        """A required property is one that exists, and a flag of another standard is no list."""
        assert self.inlined({"required": True}) == {}
        assert self.inlined({"required": ["a"], "properties": {"b": {}}}) == {"properties": {"b": {}}}
        assert self.inlined({"required": ["a"]}) == {"required": ["a"]}
        assert self.inlined({"required": [["a"]], "properties": ["a"]}) == {}
