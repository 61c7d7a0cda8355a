"""The value that a tool's result is about: what stands inside its text, or its structured content.

# Note [One value, or several]
Most results are one text, which often is JSON, and perhaps the same once more as structured content.  Of such a result
``$`` is that value.  Where there are several texts, or the structured content says something else, ``$`` is an object
with ``content``, whose items are the texts' values in their places, and ``structuredContent``.
"""

from __future__ import annotations

from attrs import frozen
from msgspec import Raw

from mcpgateway.shield import paths, values
from mcpgateway.wire import jsonrpc
from mcpgateway.wire.jsonrpc import Envelope

ROOT = "$"
_TEXT_TYPE = Raw(b'"text"')


@frozen
class Block:
    """One block of a result's content.

    :ivar raw: as it came.
    :ivar members: its members; empty where it is no object.
    :ivar text: the text of a text block; None for any other.
    """

    raw: Raw
    members: Envelope
    text: str | None


def blocks(result: Envelope) -> list[Block]:
    """The content of a result, as far as it is a list."""
    return [_block(each) for each in values.items(result.get("content", jsonrpc.NULL)) or ()]


def _block(raw: Raw) -> Block:
    members = values.members(raw) or {}
    is_text = members.get("type") == _TEXT_TYPE
    return Block(raw, members, values.text(members.get("text", jsonrpc.NULL)) if is_text else None)


def structured(result: Envelope) -> Raw | None:
    """The structured content of a result; None where there is none."""
    found = result.get("structuredContent")
    return None if found is None or found == jsonrpc.NULL else found


@frozen
class Layout:
    """Where the parts of a result stand in the value it is about; see Note [One value, or several].

    :ivar is_single: it is one value.
    """

    is_single: bool

    def of_block(self, index: int) -> str:
        """The path of a text."""
        return ROOT if self.is_single else paths.of_item(f"{ROOT}.content", index)

    @property
    def of_structured(self) -> str:
        """The path of the structured content."""
        return ROOT if self.is_single else f"{ROOT}.structuredContent"


def layout(found: list[Block], data: Raw | None) -> Layout:
    """How the parts of a result stand to each other.

    :param data: its structured content.
    """
    said = [each.text for each in found if each.text is not None]
    if len(said) == 1:
        return Layout(data is None or _repeats(data, _value(said[0])))
    return Layout(not said and data is not None)


def _value(text: str) -> Raw:
    return values.container(text) or values.quoted(text)


def _shown(block: Block) -> Raw:
    if block.text is not None:
        return _value(block.text)
    # It was passed on whole, so it is only named here.
    names = ("type", "mimeType", "uri", "name")
    return jsonrpc.raw({name: block.members[name] for name in names if name in block.members})


def _repeats(data: Raw, said: Raw) -> bool:
    if values.same(data, said):
        return True
    # A tool that gives no object has it wrapped into one.
    named = values.members(data) or {}
    return set(named) == {"result"} and values.same(named["result"], said)


def root_of(original: bytes) -> Raw:
    """The value that a result is about; where the bytes are no result, one without content."""
    result = values.members(Raw(original)) or {}
    found, data = blocks(result), structured(result)
    if layout(found, data).is_single:
        said = next((each.text for each in found if each.text is not None), None)
        return _value(said) if said is not None else data or jsonrpc.NULL
    whole = {"content": [_shown(each) for each in found]}
    return jsonrpc.raw(whole if data is None else whole | {"structuredContent": data})


def text_of(original: bytes) -> str:
    """A result as its server wrote it: its only text, or the whole of its JSON."""
    result = values.members(Raw(original)) or {}
    said = [each.text for each in blocks(result) if each.text is not None]
    is_only = len(said) == 1 and structured(result) is None
    return said[0] if is_only else values.as_text(Raw(original))
