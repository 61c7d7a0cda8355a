"""A tool's result, shortened so that a model can afford to read it.

# Note [In this order]
1. Of every list that is too long, the first items are kept; of too many texts, the first ones.
2. Of the objects in lists, fields are removed that are heavy on average and do not identify the object.
3. Of every text that is too long, the beginning is kept.
4. Where the whole is still too large: half of each long text and three quarters of each list are kept, up to twenty
   times; and if that is not enough, each text gets an equal share of the limit.

``lean`` does the same within tighter limits, and writes lists of alike objects as tables.

Results of the gateway's own tools are only cut by the last rule, and by whole items: a list of tools with incomplete
schemas would be useless.

# Note [Never cut]
Images, sounds, links, the ``blob`` of embedded resources, ``isError`` and unknown members are passed on unchanged; only
texts are cut, among them that of an embedded resource, and the longest of a block of unknown kind.  A ``_meta`` loses
members only where it alone would take half of the limit.  Structured content that has a schema is cut only where the
schema allows it (`mcpgateway.truncation.schema_constraints`), and is never removed: clients refuse a result without it,
which would lose all of it.  So it is the only part that may exceed the limits.
"""

from __future__ import annotations

from typing import Any

from attrs import define, evolve, field
from msgspec import Raw

from mcpgateway.config.surface import Level, ShieldLimits
from mcpgateway.protocol import jsonrpc
from mcpgateway.protocol.jsonrpc import Envelope
from mcpgateway.truncation import documents, notes, passes, values
from mcpgateway.truncation.schema_constraints import FREE, permit_of
from mcpgateway.truncation.tree import (
    EMBEDDED_CHARS,
    Node,
    Object,
    Omission,
    Table,
    TextNode,
    TreeReader,
    below,
    cuts,
    written,
)

ROUNDS = 20
BLOCK_BYTES = 25  # of the shortest text block
NOTE_BYTES = 2048  # of the limit, for the note on the cuts
TERSE_BYTES = 8192  # with a smaller limit, the note is short
LEAN_ITEMS = 0.4  # the share of a list in lean: 20 items instead of 50
LEAN_SHARE = 0.25  # and of everything else
LIST_BYTES = 256  # a shorter list stays whole where items do
ANY = 1024**3  # no limit
TRUE = Raw(b"true")
_STRUCTURED = b'"structuredContent"'


def shielded(result: Raw, limits: ShieldLimits, ref: str, output_schema: Raw | None = None) -> Raw | None:
    """Return a whole ``CallToolResult`` within the limits; None where it is within them already.

    :param ref: the key of the kept original.
    """
    found = shorten(result, limits, output_schema)
    return None if found is None else found.written(ref)


def shorten(
    result: Raw, limits: ShieldLimits, output_schema: Raw | None = None, *, keeps_items: bool = False
) -> Shortened | None:
    """Shorten a result to the limits; None where it is within them.

    :param keeps_items: only the size of the whole is limited, and lists lose whole items.
    """
    if limits.level is Level.OFF or is_small(result, limits):
        return None
    members = values.members(result)
    if members is None:
        return None
    effective = _effective(limits)
    if keeps_items:
        effective = evolve(effective, array_items=ANY, string_chars=ANY, field_bytes=ANY)
    found = Shortened(members, effective, keeps_items)
    found.cut(output_schema)
    return found if found.is_changed else None


def _effective(limits: ShieldLimits) -> ShieldLimits:
    if limits.level is not Level.LEAN:
        return limits
    return evolve(
        limits,
        array_items=max(1, int(limits.array_items * LEAN_ITEMS)),
        string_chars=max(1, int(limits.string_chars * LEAN_SHARE)),
        field_bytes=max(1, int(limits.field_bytes * LEAN_SHARE)),
        total_bytes=max(1024, int(limits.total_bytes * LEAN_SHARE)),
    )


def is_small(result: Raw, limits: ShieldLimits) -> bool:
    """True if a result is so small that nothing can be cut, as seen without decoding it."""
    limits = _effective(limits)
    size = values.size(result)
    texts = min(EMBEDDED_CHARS, limits.string_chars, limits.total_bytes, BLOCK_BYTES * limits.array_items)
    return size <= texts and (size <= _floor(limits) or _STRUCTURED not in bytes(result))


def _floor(limits: ShieldLimits) -> int:
    # Each item of a list takes two bytes at least, and the list two more.
    return min(2 * limits.array_items + 2, limits.string_chars, limits.field_bytes)


@define(eq=False, repr=False)
class _Part:
    """One block of the content.

    :ivar node: the tree of its text; None where the block is passed on unchanged.
    :ivar is_document: its text is JSON, whose value is the node.
    :ivar is_rewritten: the JSON is written without blanks.
    """

    block: documents.Block
    index: int
    node: Node | None = None
    is_document: bool = False
    is_rewritten: bool = False

    @property
    def is_changed(self) -> bool:
        """True if the text of the block has changed."""
        return self.node is not None and (self.is_rewritten or _is_cut(self.node))

    def text(self, more: dict[str, Any] | None = None) -> Raw:
        """Return the present text, with more members where it is an object."""
        if self.is_document and self.node is not None:
            document = written(self.node)
            if more:
                document = jsonrpc.raw((values.members(document) or {}) | more)
            return values.quoted(values.as_text(document))
        return written(self.node) if self.node is not None else values.quoted(self.block.text or "")

    def written(self, more: dict[str, Any] | None = None) -> Raw:
        """Return the present block."""
        if not self.is_changed and not more:
            return self.block.raw
        return self.block.with_text(self.text(more))

    def flatten(self) -> TextNode:
        """Treat the text as mere characters from now on, and return its node."""
        if self.is_document or not isinstance(self.node, TextNode):
            text = values.text(self.text()) if self.is_changed else self.block.text
            self.node, self.is_document = TextNode(text or "", FREE), False
        return self.node


def _is_cut(node: Node) -> bool:
    return next(cuts(node, ""), None) is not None or any(isinstance(each, Table) for each in below(node))


@define(eq=False, repr=False)
class Shortened:
    """A result that is being shortened."""

    members: Envelope
    limits: ShieldLimits
    keeps_items: bool = False
    _blocks: list[documents.Block] = field(factory=list, init=False)
    _parts: list[_Part] = field(factory=list, init=False)
    _texts: list[_Part] = field(factory=list, init=False)
    _dropped: int = field(default=0, init=False)
    _structured: Node | None = field(default=None, init=False)
    _is_left_out: bool = field(default=False, init=False)
    _has_schema: bool = field(default=False, init=False)
    _meta_left: Raw | None = field(default=None, init=False)
    _meta_omitted: list[str] = field(factory=list, init=False)

    def cut(self, output_schema: Raw | None) -> None:
        """Shorten the result; see Note [In this order]."""
        limits = self.limits
        self._read(output_schema)
        for each in self._nodes():
            passes.strip(each, limits.field_bytes)
            passes.shorten(each, limits.string_chars)
        if limits.level is Level.LEAN:
            for part in self._texts:
                part.node = (
                    passes.tabulate(part.node) if part.is_document and part.node is not None else part.node
                )
        self._bound_meta(limits.total_bytes // 2)
        budget = limits.total_bytes - min(NOTE_BYTES, limits.total_bytes // 2) - self._meta_size()
        if self._size() > budget:
            self._fit(budget)

    def _read(self, output_schema: Raw | None) -> None:
        limits = self.limits
        floor = LIST_BYTES if self.keeps_items else _floor(limits)
        reader = TreeReader(limits.array_items, floor, self.keeps_items)
        self._blocks = documents.blocks(self.members)
        for index, block in enumerate(self._blocks):
            part = _Part(block, index)
            if block.text is not None and len(self._texts) >= limits.array_items:
                self._dropped += 1
                continue
            self._parts.append(part)
            if block.text is not None:
                self._texts.append(part)
                if len(block.text) > min(EMBEDDED_CHARS, limits.string_chars):
                    _read_text(part, block.text, reader)
        data = documents.structured(self.members)
        if data is not None:
            # Clients validate successful results against the schema.
            self._has_schema = output_schema is not None and self.members.get("isError") != TRUE
            self._structured = reader.read(data, permit_of(output_schema if self._has_schema else None, data))

    def _bound_meta(self, most: int) -> None:
        # Programs read it, not models: it is cut only where it is as large as all the rest, and then by whole members.
        found = documents.meta(self.members)
        left = values.members(found) or {} if found is not None else {}
        size = values.size(found) if found is not None else 0
        for name in sorted(left, key=lambda each: -values.size(left[each])):
            if size <= max(most, documents.META_BYTES):
                break
            size -= len(name) + values.size(left.pop(name))
            self._meta_omitted.append(name)
        self._meta_left = jsonrpc.raw(left) if self._meta_omitted else found

    def _meta_size(self) -> int:
        return 0 if self._meta_left is None else values.size(self._meta_left)

    def _nodes(self) -> list[Node]:
        nodes = [each.node for each in self._texts if each.node is not None]
        return nodes if self._structured is None else [*nodes, self._structured]

    def _size(self) -> int:
        return sum(values.size(each.written()) for each in self._texts) + self._structured_size()

    def _structured_size(self) -> int:
        return 0 if self._structured is None else values.size(written(self._structured))

    def _fit(self, budget: int) -> None:
        for part in self._texts:
            part.is_rewritten = part.is_document
        for _ in range(ROUNDS):
            if self._size() <= budget:
                return
            many = 1 if self.keeps_items else passes.MANY_ITEMS
            shrunk = [each for each in self._nodes() if passes.shrink(each, many)]
            if not shrunk:
                break
        if self._size() > budget:
            self._share_out(budget)

    def _share_out(self, budget: int) -> None:
        if self._structured is not None and not self._has_schema:
            self._leave_out(self._structured)
        left = max(budget - self._structured_size(), budget // 4)
        texts = [each.flatten() for each in self._texts]
        chars = left // max(1, len(texts))
        while self._texts_size() > left and chars:
            for each in texts:
                each.cut(chars)
            chars //= 2
        while self._texts_size() > left:
            self._dropped += 1
            self._parts.remove(self._texts.pop())

    def _texts_size(self) -> int:
        return sum(values.size(each.written()) for each in self._texts)

    def _leave_out(self, node: Node) -> None:
        self._structured, self._is_left_out = None, True
        if not self._texts:
            block = documents.text_block(jsonrpc.raw(""))
            part = _Part(block, 0, TextNode(values.as_text(written(node)), FREE), is_rewritten=True)
            self._parts.append(part)
            self._texts.append(part)

    @property
    def is_changed(self) -> bool:
        """True if any part of the result has changed."""
        return bool(
            self._dropped
            or self._is_left_out
            or self._meta_omitted
            or (self._structured is not None and _is_cut(self._structured))
            or any(each.is_changed for each in self._texts)
        )

    def cuts(self) -> list[Omission]:
        """Return the missing parts, by their paths in the original."""
        layout = documents.layout(self.members, self._blocks)
        found = [
            cut
            for part in self._texts
            if part.node is not None
            for cut in cuts(part.node, layout.of_block(part.index, part.block))
        ]
        if self._dropped:
            total = len(self._texts) + self._dropped
            found.append(Omission(f"{documents.ROOT}.content", f"{len(self._texts)} of {total} texts"))
        if self._meta_omitted:
            found.append(Omission(f"{documents.ROOT}._meta", f"without {', '.join(self._meta_omitted)}"))
        if self._is_left_out:
            return [*found, Omission(layout.of_structured, "left out")]
        structured = self._structured
        more = list(cuts(structured, layout.of_structured)) if structured is not None else []
        return [*found, *(each for each in more if each not in found)]

    def written(self, ref: str, *, masked: int = 0, former: str = "", elsewhere: str = "") -> Raw:
        """Return the present result, with a note on the way to the rest, as of `notes.note`."""
        missing = self.cuts()
        is_terse = self.limits.total_bytes < TERSE_BYTES
        shown = [] if is_terse else missing
        told = former.partition(":")[0] if is_terse else former
        words = notes.note(shown, ref, masked=masked, former=told, elsewhere=elsewhere)
        note = {"_ref": ref, "_truncated": True, "_note": words}
        result = self.members | {"content": self._content(note)}
        if self._meta_left is not None:
            result["_meta"] = self._meta_left
        if self._structured is not None:
            result["structuredContent"] = written(self._structured)
        else:
            result.pop("structuredContent", None)
        if self._is_left_out or self._has_schema:
            meta = values.members(result.get("_meta", jsonrpc.EMPTY)) or {}
            meta_members = {"ref": ref} | ({} if is_terse else notes.listed(missing))
            result["_meta"] = jsonrpc.raw(meta | {notes.META_KEY: jsonrpc.raw(meta_members)})
        return jsonrpc.raw(result | {name: jsonrpc.raw(value) for name, value in note.items()})

    def _content(self, note: dict[str, Any]) -> Raw:
        teller = next((each for each in self._texts if _can_tell(each, note)), None)
        content = [each.written(note if each is teller else None) for each in self._parts]
        if teller is None:
            content.append(note_block(note))
        return jsonrpc.raw(content)


def _read_text(part: _Part, text: str, reader: TreeReader) -> None:
    if len(text) <= EMBEDDED_CHARS and len(text) <= reader.array_items:
        return
    document = values.container(text) if len(text) > EMBEDDED_CHARS else None
    part.is_document = document is not None
    part.node = reader.read(document) if document is not None else TextNode(text, FREE)


def _can_tell(part: _Part, note: dict[str, Any]) -> bool:
    # Where the text is an object, the note is a member of it.
    node = part.node
    return (
        part.is_document
        and part.is_changed
        and part.block.is_plain
        and isinstance(node, Object)
        and note.keys().isdisjoint(node.members)
    )


def note_block(note: dict[str, Any]) -> Raw:
    """Return a text block with a note on the way to the rest."""
    return jsonrpc.raw({"type": "text", "text": values.as_text(jsonrpc.raw(note))})


def with_note(result: Raw, masked: int) -> Raw:
    """Return a result of which nothing is cut, with a note on masked secrets."""
    return told(result, notes.note([], "", masked=masked))


def told(result: Raw, words: str) -> Raw:
    """Return a result of which nothing is cut, with a sentence for its reader."""
    members = values.members(result) or {}
    note = {"_note": words}
    content = values.items(members.get("content", jsonrpc.NULL)) or []
    return jsonrpc.raw(
        members
        | {"content": jsonrpc.raw([*content, note_block(note)])}
        | {name: jsonrpc.raw(value) for name, value in note.items()}
    )
