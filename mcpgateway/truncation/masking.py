"""Results without secrets.

The caller's function decides which parts of a text are secrets.
"""

from __future__ import annotations

from collections.abc import Callable

from attrs import define
from msgspec import Raw

from mcpgateway.protocol import jsonrpc
from mcpgateway.truncation import documents, values

DEPTH_LIMIT = 100
Mask = Callable[[str], tuple[str, int]]
"""A function that removes secrets from a text, and returns their number as well."""


@define
class _Masker:
    """The removal of secrets from texts, with a count."""

    mask: Mask
    count: int = 0

    def text(self, text: str) -> str:
        """Return a text without its secrets."""
        made, found = self.mask(text)
        self.count += found
        return made

    def value(self, raw: Raw, depth: int = 0) -> Raw:
        """Return a value without its secrets; names of members stay."""
        if values.is_text(raw):
            text = values.text(raw) or ""
            masked = self.text(text)
            return raw if masked == text else values.quoted(masked)
        before = self.count
        listed = values.items(raw) if depth < DEPTH_LIMIT else None
        if listed is not None:
            masked_items = [self.value(each, depth + 1) for each in listed]
            return raw if self.count == before else jsonrpc.raw(masked_items)
        named = values.members(raw) if depth < DEPTH_LIMIT else None
        if named is not None:
            masked_members = {name: self.value(each, depth + 1) for name, each in named.items()}
            return raw if self.count == before else jsonrpc.raw(masked_members)
        return raw


def masked(result: Raw, mask: Mask) -> tuple[Raw, int]:
    """Return a result without secrets, and their number; the result itself where it has none."""
    members = values.members(result)
    if members is None:
        return result, 0
    masker = _Masker(mask)
    found = documents.blocks(members)
    content = [_block(each, masker) for each in found]
    data = documents.structured(members)
    if data is not None:
        members["structuredContent"] = masker.value(data)
    if not masker.count:
        return result, 0
    if found:
        members["content"] = jsonrpc.raw(content)
    return jsonrpc.raw(members), masker.count


def _block(block: documents.Block, masker: _Masker) -> Raw:
    if block.text is None:
        return block.raw
    text = masker.text(block.text)
    if text == block.text:
        return block.raw
    return block.with_text(values.quoted(text))
