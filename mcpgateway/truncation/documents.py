"""The document of a tool's result: the JSON in its text, or its structured content.

# Note [One value, or several]
Most results are one text, which often is JSON, and perhaps the same value once more as structured content.  Of such a
result ``$`` is that value.  Where there are several texts, or the structured content differs, ``$`` is an object with
``content``, whose items are the texts' values in their places, and ``structuredContent``.  The same holds for a text in
an embedded resource, or in a block of an unknown kind: that block stays, with its text's value in it.  A large
``_meta`` is a part as well.
"""

from __future__ import annotations

from typing import Any

from attrs import frozen
from msgspec import Raw

from mcpgateway.protocol import jsonrpc
from mcpgateway.protocol.jsonrpc import Envelope
from mcpgateway.truncation import paths, values

ROOT = "$"
META_BYTES = 4096  # of a ``_meta`` that is never cut
LOOK_CHARS = 1000
_TEXT_TYPE = Raw(b'"text"')
_OPAQUE_TYPES = (Raw(b'"image"'), Raw(b'"audio"'), Raw(b'"resource_link"'))
_OPAQUE = frozenset(
    "type data blob uri url mimeType name id".split()
)  # members that are worth nothing in part
_PLAIN = ("text",)
_EMBEDDED = ("resource", "text")


@frozen
class Block:
    """One block of a result's content.

    :ivar raw: the block as received.
    :ivar members: its members; empty where it is no object.
    :ivar text: its text, or that of its embedded resource; None where it has none that could be cut.
    :ivar place: the names of the members that lead to the text.
    """

    raw: Raw
    members: Envelope
    text: str | None
    place: tuple[str, ...] = _PLAIN

    @property
    def is_plain(self) -> bool:
        """True if the block is a text block."""
        return self.text is not None and self.members.get("type") == _TEXT_TYPE

    def with_text(self, text: Raw) -> Raw:
        """Return the block with another value in the place of its text."""
        return _with(self.members, self.place, text)


def _with(members: Envelope, place: tuple[str, ...], value: Raw) -> Raw:
    name, *below = place
    inner = values.members(members.get(name, jsonrpc.EMPTY)) or {}
    return jsonrpc.raw(members | {name: _with(inner, tuple(below), value) if below else value})


def blocks(result: Envelope) -> list[Block]:
    """Return the content of a result; a mere string, which some servers answer with, counts as a text."""
    content = result.get("content", jsonrpc.NULL)
    if values.is_text(content):
        return [text_block(content)]
    return [_block(each) for each in values.items(content) or ()]


def text_block(text: Raw) -> Block:
    """Return a block of that text."""
    members = {"type": _TEXT_TYPE, "text": text}
    return Block(jsonrpc.raw(members), members, values.text(text))


def _block(raw: Raw) -> Block:
    members = values.members(raw) or {}
    kind = members.get("type", jsonrpc.NULL)
    if kind in _OPAQUE_TYPES:
        return Block(raw, members, None)
    embedded = values.members(members.get("resource", jsonrpc.NULL)) or {}
    for place, holder in ((_PLAIN, members), (_EMBEDDED, embedded)):
        text = values.text(holder.get(place[-1], jsonrpc.NULL))
        if text is not None:
            return Block(raw, members, text, place)
    return _of_unknown(raw, members) if kind != _TEXT_TYPE and not embedded else Block(raw, members, None)


def _of_unknown(raw: Raw, members: Envelope) -> Block:
    # Its longest text, if that is readable; half of an encoded one would be useless.
    names = [name for name, each in members.items() if name not in _OPAQUE and values.is_text(each)]
    longest = max(names, key=lambda name: values.size(members[name]), default=None)
    text = values.text(members[longest]) if longest is not None else None
    if longest is None or text is None or not any(each.isspace() for each in text[:LOOK_CHARS]):
        return Block(raw, members, None)
    return Block(raw, members, text, (longest,))


def meta(result: Envelope) -> Raw | None:
    """Return the ``_meta`` of a result that is large enough to be cut; None for any other."""
    found = result.get("_meta", jsonrpc.NULL)
    return found if values.is_object(found) and values.size(found) > META_BYTES else None


def structured(result: Envelope) -> Raw | None:
    """Return the structured content of a result; None where there is none."""
    found = result.get("structuredContent")
    return None if found is None or found == jsonrpc.NULL else found


@frozen
class Layout:
    """The places of a result's parts in its value; see Note [One value, or several].

    :ivar is_single: the result is one value.
    """

    is_single: bool

    def of_block(self, index: int, block: Block) -> str:
        """Return the path of a block's text."""
        if self.is_single:
            return ROOT
        path = paths.of_item(f"{ROOT}.content", index)
        for name in () if block.is_plain else block.place:
            path = paths.of_member(path, name)
        return path

    @property
    def of_structured(self) -> str:
        """Return the path of the structured content."""
        return ROOT if self.is_single else f"{ROOT}.structuredContent"


def layout(result: Envelope, found: list[Block]) -> Layout:
    """Return the layout of a result's parts.

    :param found: its blocks.
    """
    data = structured(result)
    texts = [each.text for each in found if each.text is not None]
    if meta(result) is not None or any(each.text is not None and not each.is_plain for each in found):
        return Layout(is_single=False)
    if len(texts) == 1:
        return Layout(data is None or _repeats(data, _value(texts[0])))
    return Layout(not texts and data is not None)


def _value(text: str) -> Raw:
    return values.container(text) or values.quoted(text)


def _shown(block: Block) -> Raw:
    if block.text is not None:
        value = _value(block.text)
        return value if block.is_plain else block.with_text(value)
    # It was passed on whole, so it is only named here.
    names = ("type", "mimeType", "uri", "name")
    return jsonrpc.raw({name: block.members[name] for name in names if name in block.members})


def _repeats(data: Raw, text: Raw) -> bool:
    if values.same(data, text):
        return True
    # A tool that gives no object has it wrapped into one.
    named = values.members(data) or {}
    return set(named) == {"result"} and values.same(named["result"], text)


def root_of(original: bytes) -> Raw:
    """Return the value of a result; where the bytes are no result, that of one without content."""
    result = values.members(Raw(original)) or {}
    found, data = blocks(result), structured(result)
    if layout(result, found).is_single:
        text = next((each.text for each in found if each.text is not None), None)
        return _value(text) if text is not None else data or jsonrpc.NULL
    whole: dict[str, Any] = {"content": [_shown(each) for each in found]}
    more = {"structuredContent": data, "_meta": meta(result)}
    return jsonrpc.raw(whole | {name: each for name, each in more.items() if each is not None})


def text_of(original: bytes) -> str:
    """Return a result as its server wrote it: its only text, or the whole of its JSON."""
    result = values.members(Raw(original)) or {}
    found = blocks(result)
    texts = [each.text for each in found if each.text is not None]
    is_only = len(texts) == 1 and structured(result) is None and layout(result, found).is_single
    return texts[0] if is_only else values.as_text(Raw(original))
