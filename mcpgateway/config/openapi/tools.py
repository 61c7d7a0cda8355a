"""An OpenAPI description (3.0 or 3.1) to tools: one for each operation.

Only the document's own content is used: a ``$ref`` to another file or to a URL is never followed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from fnmatch import fnmatchcase
from typing import Any

from attrs import define, evolve, field, frozen

from mcpgateway.config.openapi import lazy_json
from mcpgateway.config.openapi import media_types as media
from mcpgateway.config.openapi.answers import output_of
from mcpgateway.config.openapi.schemas import REF, Schemas, resolved
from mcpgateway.config.openapi.security_schemes import Scheme, schemes_of, security_of, wanted
from mcpgateway.config.reach_settings import ALL_OPERATIONS, Operations, RestTool
from mcpgateway.config.read import parse
from mcpgateway.errors import ConfigError

METHODS = ("get", "put", "post", "delete", "options", "head", "patch", "trace")
OPERATIONS_LIMIT = 2000  # the largest public descriptions have about a thousand
NAME_LIMIT = 64  # characters; the limit of model APIs for the name of a tool, and of an argument
DESCRIPTION_LIMIT = 4000  # characters; some descriptions are whole manuals
SWAGGER = (
    "is a description of Swagger 2.0, which OpenAPI 3 has replaced; convert it, for instance by"
    " 'npx swagger2openapi FILE --outfile openapi.json', and name what comes of that"
)
UNSENDABLE = frozenset("accept content-type authorization".split())
"""Headers that no parameter describes (OpenAPI 3.1, 4.8.12.1): the settings of the service have them."""

_STRANGE = re.compile(r"[^A-Za-z0-9_.-]+")
_UNNAMABLE = re.compile(r"[^A-Za-z0-9]+")
_VARIABLE = re.compile(r"\{([^{}]*)\}")


@frozen
class Described:
    """The tools of a description.

    :ivar base: the first of its servers, which may be relative to the URL of the description; or empty.
    :ivar version: the version of the service.
    :ivar skipped: the operations that cannot be offered, in words.
    :ivar schemes: its security schemes, by their names.
    """

    title: str
    version: str
    base: str
    tools: tuple[RestTool, ...]
    skipped: tuple[str, ...] = ()
    schemes: Mapping[str, Scheme] = field(factory=dict)


def read_openapi(text: str, file: str, operations: Operations = ALL_OPERATIONS) -> Described:
    """Read a description, in JSON or YAML.

    :param operations: the operations to offer.
    :param file: its name, whose extension distinguishes JSON from YAML.
    :raise ConfigError: the text is no OpenAPI 3 document, or has too many operations.
    """
    document = lazy_json.read(text) or parse(text, file, strict=False).value
    version = document.get("openapi")
    if document.get("swagger") is not None:
        raise ConfigError(f"{file}: {SWAGGER}")
    if not isinstance(version, str) or not version.startswith("3."):
        raise ConfigError(f"{file}: is no OpenAPI 3 description; it has no 'openapi: 3.…' at the top")
    reader = _Reader(document, file, version.startswith("3.0"), operations)
    reader.read()
    info = _mapping(document.get("info"))
    return Described(
        _text(info.get("title")),
        _text(info.get("version")),
        _base(document.get("servers")),
        tuple(reader.tools),
        tuple(reader.skipped),
        reader.schemes,
    )


@define
class _Reader:
    """The conversion of one document's operations to tools."""

    document: dict[str, Any]
    file: str
    is_old: bool
    wanted: Operations
    tools: list[RestTool] = field(factory=list)
    skipped: list[str] = field(factory=list)
    schemes: dict[str, Scheme] = field(factory=dict)
    _names: set[str] = field(factory=set)

    def read(self) -> None:
        """Read all operations, in their order."""
        self.schemes = schemes_of(self.document)
        says_security = isinstance(self.document.get("security"), list)
        for path, method, item, operation in self._operations():
            says_security = says_security or isinstance(operation.get("security"), list)
            if self.wanted != ALL_OPERATIONS and not _is_wanted(self.wanted, path, method, operation):
                continue
            if len(self.tools) >= OPERATIONS_LIMIT:
                raise ConfigError(f"{self.file}: describes more than {OPERATIONS_LIMIT} operations")
            try:
                self.tools.append(self._tool(path, method, item, operation))
            except _Unusable as why:
                self.skipped.append(f"{method.upper()} {path}: {why}")
        if says_security:  # then an operation without it needs no credential
            self.tools = [evolve(each, security=each.security or ()) for each in self.tools]

    def _operations(self) -> Iterator[tuple[str, str, Mapping[str, Any], Mapping[str, Any]]]:
        for path, listed in _mapping(self.document.get("paths")).items():
            item = _mapping(resolved(self.document, listed))
            for method in METHODS:
                if isinstance(item.get(method), dict) and path.startswith("/"):
                    yield path, method, item, item[method]

    def _tool(
        self, path: str, method: str, item: Mapping[str, Any], operation: Mapping[str, Any]
    ) -> RestTool:
        arguments = _Arguments(Schemas(self.document, is_old=self.is_old))
        for parameter in self._parameters(item.get("parameters"), operation.get("parameters")):
            arguments.add_parameter(parameter)
        arguments.add_body(_mapping(resolved(self.document, operation.get("requestBody"))))
        arguments.check_path(path)
        security = security_of(self.document, operation)
        return RestTool(
            self._name(operation.get("operationId"), method, path),
            method.upper(),
            path,
            _description(operation, method, path),
            arguments.schema(),
            arguments.places,
            arguments.media,
            arguments.parts,
            output_of(self.document, operation, is_old=self.is_old),
            _base(operation.get("servers") or item.get("servers")),
            wanted(security, self.schemes),
            security,
        )

    def _parameters(self, *lists: Any) -> list[Mapping[str, Any]]:
        # An operation's own parameter takes precedence over that of its path with the same name and place.
        found: dict[tuple[Any, Any], Mapping[str, Any]] = {}
        for each in lists:
            for listed in each if isinstance(each, list) else ():
                parameter = _mapping(resolved(self.document, listed))
                if isinstance(parameter.get("name"), str):
                    found[parameter["name"], parameter.get("in")] = parameter
        return list(found.values())

    def _name(self, wished: Any, method: str, path: str) -> str:
        written = wished if isinstance(wished, str) and wished.strip() else f"{method}_{path}"
        name = _UNNAMABLE.sub("_", written).strip("_")[:NAME_LIMIT] or method
        number, unique = 1, name
        while unique in self._names:
            number += 1
            unique = f"{name[: NAME_LIMIT - len(str(number)) - 1]}_{number}"
        self._names.add(unique)
        return unique


def _is_wanted(wanted: Operations, path: str, method: str, operation: Mapping[str, Any]) -> bool:
    tags = operation.get("tags")
    return (
        _is_among(wanted.tags, [_text(each) for each in tags] if isinstance(tags, list) else [])
        and _is_among(wanted.paths, [path])
        and _is_among([each.upper() for each in wanted.methods], [method.upper()])
        and _is_among(wanted.names, [_text(operation.get("operationId"))])
    )


def _is_among(patterns: Iterable[str], found: Iterable[str]) -> bool:
    """True if any name matches one of the patterns, and none matches one that begins with ``!``."""
    sought = [each for each in patterns if not each.startswith("!")]
    left_out = [each[1:] for each in patterns if each.startswith("!")]
    if any(fnmatchcase(one, each) for one in found for each in left_out):
        return False
    return not sought or any(fnmatchcase(one, each) for one in found for each in sought)


class _Unusable(Exception):
    """An operation cannot be offered; the text gives the reason."""


@define
class _Arguments:
    """The arguments of one tool, and the place of each in the request."""

    schemas: Schemas
    places: dict[str, str] = field(factory=dict)
    media: str = ""
    parts: dict[str, str] = field(factory=dict)
    _properties: dict[str, Any] = field(factory=dict)
    _required: list[str] = field(factory=list)

    def add_parameter(self, parameter: Mapping[str, Any]) -> None:
        """Add one parameter as an argument; those that cannot be sent are left out."""
        name, where = parameter["name"], parameter.get("in")
        is_required = parameter.get("required") is True or where == "path"
        if where not in ("path", "query", "header", "cookie"):
            return
        if where == "header" and name.lower() in UNSENDABLE:
            return
        schema = self._schema_of(parameter)
        self._add(name, _place(parameter), schema, is_required=is_required)

    def _schema_of(self, parameter: Mapping[str, Any]) -> dict[str, Any]:
        written = parameter.get("schema")
        if written is None:
            written = next(iter(_media(parameter).values()), {}).get("schema")
        schema = self.schemas.inlined(written)
        if isinstance(parameter.get("description"), str):
            schema["description"] = parameter["description"][:DESCRIPTION_LIMIT]
        return schema

    def add_body(self, body: Mapping[str, Any]) -> None:
        """Add the properties of a body as arguments, or the whole of it as the argument ``body``."""
        kinds = _media(body)
        if not kinds:
            return
        kind = media.chosen(kinds)
        described, encodings = kinds[kind], _mapping(kinds[kind].get("encoding"))
        schema = self.schemas.inlined(described.get("schema"))
        is_bytes = _is_bytes(schema) or not (
            schema or media.is_json(kind) or media.is_any(kind) or media.is_text(kind)
        )
        if not media.is_json(kind) and not (media.is_any(kind) and not is_bytes):
            self.media = media.BYTES if media.is_any(kind) else kind
        is_required = body.get("required") is True
        required = schema.get("required", []) if is_required else []
        properties = _plain_properties(schema)
        if properties is None or any(_argument(name) in self._properties for name in properties):
            text = body.get("description")
            if isinstance(text, str):
                schema.setdefault("description", text[:DESCRIPTION_LIMIT])
            is_written = is_bytes or (self.media and not media.is_form(self.media))
            place = "whole-body-base64" if is_bytes else "whole-body"
            self._add(
                "body", place, _as_text(schema, is_bytes) if is_written else schema, is_required=is_required
            )
            return
        for name, each in properties.items():
            self._add_property(name, each, _mapping(encodings.get(name)), is_required=name in required)

    def _add_property(
        self, name: str, schema: Any, encoding: Mapping[str, Any], *, is_required: bool
    ) -> None:
        place = "body"
        if media.is_form(self.media):
            if isinstance(encoding.get("contentType"), str):
                self.parts[name] = encoding["contentType"]
            place = _form_place(schema, encoding)
            if place == "body-base64":
                schema = _as_base64(schema)
        self._add(name, place, schema, is_required=is_required)

    def _add(self, name: str, place: str, schema: Any, *, is_required: bool) -> None:
        argument = unique = _argument(name)
        number = 1
        while unique in self._properties:  # as where a path and a query have a parameter of the same name
            number += 1
            unique = f"{argument[: NAME_LIMIT - 4]}_{number}"
        self.places[unique] = place if unique == name else f"{place}:{name}"
        self._properties[unique] = schema
        if is_required:
            self._required.append(unique)

    def check_path(self, path: str) -> None:
        """Make every placeholder of the path an argument, by default a string."""
        known = {
            place.partition(":")[2] or argument
            for argument, place in self.places.items()
            if place.startswith("path")
        }
        for name in _VARIABLE.findall(path):
            if name not in known:
                self._add(name, "path", {"type": "string"}, is_required=True)

    def schema(self) -> dict[str, Any]:
        """Return the JSON Schema of all arguments."""
        found: dict[str, Any] = {"type": "object", "properties": self._properties}
        if self._required:
            found["required"] = self._required
        return found


def _place(parameter: Mapping[str, Any]) -> str:
    where: str = parameter["in"]
    style, explode = parameter.get("style"), parameter.get("explode")
    if where == "path":
        kind = f"path-{style}" if style in ("label", "matrix") else "path"
        return f"{kind}-exploded" if explode is True else kind
    if where != "query":
        return where
    if "content" in parameter:
        return "query-json"
    styled = _QUERIES.get(style) if isinstance(style, str) else None
    if styled is not None and (style == "deepObject" or explode is not True):
        return styled
    return "query-list" if explode is False else "query"


_QUERIES = {"deepObject": "query-deep", "spaceDelimited": "query-space", "pipeDelimited": "query-pipe"}


def _form_place(schema: Any, encoding: Mapping[str, Any]) -> str:
    """Return the place of a form's property, which names its encoding."""
    if _is_bytes(schema) or (isinstance(schema, dict) and _is_bytes(schema.get("items"))):
        return "body-base64"
    if encoding.get("style") == "deepObject":
        return "body-deep"
    if media.is_json(str(encoding.get("contentType", ""))):
        return "body-json"
    return "body-list" if encoding.get("explode") is False else "body"


def _is_bytes(schema: Any) -> bool:
    # 3.0 marks bytes by a format, 3.1 by a media type; text that is base64 already is sent unchanged.
    if not isinstance(schema, dict) or schema.get("contentEncoding"):
        return False
    return schema.get("format") == "binary" or "contentMediaType" in schema


def _as_base64(schema: Any) -> dict[str, Any]:
    """Return the schema of an argument for bytes."""
    found = schema if isinstance(schema, dict) else {}
    if isinstance(found.get("items"), dict) and found.get("type") == "array":
        return {**found, "items": _as_base64(found["items"])}
    annotations = {key: found[key] for key in ("title", "description") if isinstance(found.get(key), str)}
    description = f"{annotations.get('description', '')} (base64)".strip()
    return {**annotations, "type": "string", "contentEncoding": "base64", "description": description}


def _as_text(schema: Any, is_bytes: bool) -> dict[str, Any]:  # noqa: FBT001
    if is_bytes:
        return _as_base64(schema)
    annotations = {key: schema[key] for key in ("title", "description") if isinstance(schema.get(key), str)}
    return {**annotations, "type": "string"}


def _argument(name: str) -> str:
    return _STRANGE.sub("_", name).strip("_")[:NAME_LIMIT] or "argument"


def _plain_properties(schema: Mapping[str, Any]) -> Mapping[str, Any] | None:
    # The properties of a body that is an object of them and nothing else.
    combined = any(key in schema for key in ("allOf", "anyOf", "oneOf", "not", "if", "patternProperties"))
    properties = schema.get("properties")
    if combined or not isinstance(properties, dict) or not properties:
        return None
    return properties if schema.get("type", "object") == "object" else None


def _media(holder: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    return {str(kind): _mapping(each) for kind, each in _mapping(holder.get("content")).items()}


def _description(operation: Mapping[str, Any], method: str, path: str) -> str:
    parts = [_text(operation.get(key)).strip() for key in ("summary", "description")]
    if parts[0] == parts[1]:
        parts.pop()
    text = "\n\n".join(part for part in parts if part) or f"{method.upper()} {path}"
    if operation.get("deprecated") is True:
        text = f"Deprecated. {text}"
    return text[:DESCRIPTION_LIMIT]


def _base(servers: Any) -> str:
    first = _mapping(servers[0]) if isinstance(servers, list) and servers else {}
    variables = _mapping(first.get("variables"))

    def default(found: re.Match[str]) -> str:
        return _text(_mapping(variables.get(found[1])).get("default"))

    return _VARIABLE.sub(default, _text(first.get("url"))).rstrip("/")


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) and REF not in value else {}


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
