"""Estimate the tokens of a text: a quarter of its characters."""

from __future__ import annotations

from collections.abc import Iterable

from attrs import frozen

from mcpgateway.discovery.records import Item

CHARACTERS_PER_TOKEN = 4


@frozen
class Cost:
    """The size of tools' definitions in a model's context, in tokens.

    :ivar tools: number of tools.
    :ivar schema: tokens of their schemas.
    :ivar description: tokens of their descriptions.
    """

    tools: int = 0
    schema: int = 0
    description: int = 0

    @property
    def total(self) -> int:
        """The tokens of schemas and descriptions."""
        return self.schema + self.description


def estimate(text: str | bytes) -> int:
    """Return the estimated tokens of a text, or of its UTF-8 bytes."""
    return _characters(text) // CHARACTERS_PER_TOKEN


def cost_of(items: Iterable[Item]) -> Cost:
    """Return the size of tools as their servers list them."""
    tools = schema = description = 0
    for each in items:
        tools += 1
        schema += estimate(bytes(each.input_schema or b""))
        description += estimate(each.description)
    return Cost(tools, schema, description)


def _characters(text: str | bytes) -> int:
    # In UTF-8, all bytes of a character but its first are 10xxxxxx, which no other byte is.
    return len(text) if isinstance(text, str) or text.isascii() else len(text.translate(None, _FOLLOWING))


_FOLLOWING = bytes(range(0x80, 0xC0))
