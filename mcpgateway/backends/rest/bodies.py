"""Encode the body of a request to a service in the media type of its description: JSON, a form, parts, or bytes.

Bytes are base64 in the arguments, since these are JSON.
"""

from __future__ import annotations

import json
import secrets
from base64 import b64decode
from binascii import Error
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote, urlencode

from attrs import define, field, frozen

from mcpgateway.backends.rest.styles import WAYS, text
from mcpgateway.config.openapi.media_types import BYTES, FORM, JSON, PARTS, bare, is_json
from mcpgateway.config.reach_settings import RestTool
from mcpgateway.errors import InvalidParams


@frozen
class _Field:
    """An argument that is a part of the body."""

    kind: str
    name: str
    value: Any


@define
class Body:
    """The arguments of a call that make up its request body."""

    tool: RestTool
    _fields: list[_Field] = field(factory=list)
    _whole: Any = None
    _has_whole: bool = False

    def add(self, kind: str, name: str, value: Any) -> None:
        """Add an argument.

        :param kind: its place: ``body…`` for a property of the body, ``whole-body…`` for the complete body.
        :raise InvalidParams: the value has to be base64, and is not.
        """
        value = _decoded(name, value) if kind.endswith("-base64") else value
        if kind.startswith("whole-body"):
            self._whole, self._has_whole = value, True
        else:
            self._fields.append(_Field(kind, name, value))

    def written(self) -> tuple[str, bytes] | None:
        """Return the media type and the bytes of the body; None without a body."""
        if not self._fields and not self._has_whole:
            return None
        media = self.tool.media or JSON
        kind = bare(media)
        if kind == PARTS:
            return self._parts()
        if kind == FORM:
            pairs = [
                pair
                for each in self._form()
                for pair in WAYS.get(each.kind, WAYS["body"])(each.name, each.value)
            ]
            return media, urlencode(pairs, quote_via=quote).encode()
        if isinstance(self._whole, bytes):
            return media, self._whole
        if self._has_whole and isinstance(self._whole, str) and not is_json(kind):
            return media, self._whole.encode("utf-8", "surrogatepass")
        whole = self._whole if self._has_whole else {each.name: each.value for each in self._fields}
        return media, json.dumps(whole, ensure_ascii=False, allow_nan=False).encode("utf-8", "replace")

    def _form(self) -> Iterator[_Field]:
        yield from self._fields
        if isinstance(self._whole, dict):
            yield from (_Field("body", str(name), each) for name, each in self._whole.items())

    def _parts(self) -> tuple[str, bytes]:
        boundary = secrets.token_hex(16)  # no argument can contain it
        out = bytearray()
        for each in self._form():
            values = each.value if isinstance(each.value, list) else [each.value]
            for value in values:
                out += f"--{boundary}\r\n".encode()
                out += self._part(each, value)
        out += f"--{boundary}--\r\n".encode()
        return f"{PARTS}; boundary={boundary}", bytes(out)

    def _part(self, part: _Field, value: Any) -> bytes:
        name = _escaped(part.name)
        head = f'Content-Disposition: form-data; name="{name}"'
        content_type = self.tool.parts.get(part.name, "").partition(",")[0].strip()
        if isinstance(value, bytes):
            kind, data = content_type or BYTES, value
            head += f'; filename="{name}"'
        elif isinstance(value, dict) or is_json(content_type):
            kind, data = (
                content_type or JSON,
                json.dumps(value, ensure_ascii=False).encode("utf-8", "replace"),
            )
        else:
            kind, data = content_type, text(value).encode("utf-8", "replace")
        if kind and _is_sound(kind):
            head += f"\r\nContent-Type: {kind}"
        return head.encode() + b"\r\n\r\n" + data + b"\r\n"


def _decoded(name: str, value: Any) -> Any:
    if isinstance(value, list):
        return [_decoded(name, each) for each in value]
    try:
        return b64decode(value, validate=True)
    except (Error, TypeError, ValueError):
        raise InvalidParams(f"Argument {name} must be base64") from None


def _escaped(name: str) -> str:
    # As browsers do (HTML, 4.10.21.8).
    return name.replace('"', "%22").replace("\r", "%0D").replace("\n", "%0A")


def _is_sound(kind: str) -> bool:
    return kind.isascii() and kind.isprintable()
