"""The entries of servers' lists: tools, prompts, resources and templates, as they were written.

# Note [Content of an entry]
An entry keeps its members as the bytes that the server sent, which are slices of the list.  So thousands of them cost
little more than that list, and a member that is not used or unknown here reaches clients unchanged.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from enum import Enum

import msgspec
from attrs import field, frozen
from msgspec import Raw

from mcpgateway.errors import GatewayError
from mcpgateway.protocol import jsonrpc, peek
from mcpgateway.protocol.jsonrpc import Envelope


class ListKind(Enum):
    """The kind of a list's entries.

    :ivar method: the request for the list.
    :ivar member: the member of its result with the entries.
    :ivar key: the member that identifies an entry.
    :ivar news: the notification that the list has changed.
    """

    TOOL = ("tools/list", "tools", "name", "notifications/tools/list_changed")
    PROMPT = ("prompts/list", "prompts", "name", "notifications/prompts/list_changed")
    RESOURCE = ("resources/list", "resources", "uri", "notifications/resources/list_changed")
    TEMPLATE = (
        "resources/templates/list",
        "resourceTemplates",
        "uriTemplate",
        "notifications/resources/list_changed",
    )

    def __init__(self, method: str, member: str, key: str, news: str) -> None:
        self.method = method
        self.member = member
        self.key = key
        self.news = news


@frozen
class Item:
    """An entry of a server's list.

    :ivar own: its name, URI or URI template as the server wrote it.
    :ivar raw: its members as the server wrote them.
    """

    server: str
    kind: ListKind
    own: str
    raw: Envelope = field(repr=False, hash=False)

    @property
    def id(self) -> str:
        """Its key in counts: the server's name and its own name."""
        return f"{self.server}__{self.own}"

    @property
    def title(self) -> str:
        """Its name for people; empty where it has none."""
        return _text(self.raw.get("title")) or _text(self._annotations.get("title"))

    @property
    def description(self) -> str:
        """Its description."""
        return _text(self.raw.get("description"))

    @property
    def input_schema(self) -> Raw | None:
        """The JSON Schema of a tool's arguments."""
        return self.raw.get("inputSchema")

    @property
    def output_schema(self) -> Raw | None:
        """The JSON Schema of a tool's structured results."""
        return self.raw.get("outputSchema")

    @property
    def is_read_only(self) -> bool:
        """True if the server declares that a tool changes nothing; the default is False."""
        return self._hint("readOnlyHint", default=False)

    @property
    def is_idempotent(self) -> bool:
        """True if the server declares that a second call changes nothing more."""
        return self._hint("idempotentHint", default=False)

    @property
    def is_destructive(self) -> bool:
        """True if a tool may destroy something; the protocol's default is True, unless the tool is read-only."""
        return not self.is_read_only and self._hint("destructiveHint", default=True)

    @property
    def tier(self) -> str:
        """The effect of a tool: ``read``, ``write`` or ``destructive``."""
        return "read" if self.is_read_only else "destructive" if self.is_destructive else "write"

    @property
    def is_open_world(self) -> bool:
        """True if a tool works with systems outside of its server, which is the protocol's default."""
        return self._hint("openWorldHint", default=True)

    @property
    def _annotations(self) -> Envelope:
        return peek.members(self.raw, "annotations")

    def _hint(self, name: str, *, default: bool) -> bool:
        annotation = self._annotations.get(name)
        return default if annotation is None else bytes(annotation) == b"true"


def read_items(server: str, kind: ListKind, pages: Iterable[Raw]) -> tuple[Item, ...]:
    """Read the pages of a list; an invalid entry is left out, and of two with one name the first counts."""
    found: dict[str, Item] = {}
    for page in pages:
        for entry in _entries(kind, page):
            item = _item(server, kind, entry)
            if item is not None:
                found.setdefault(item.own, item)
    return tuple(found.values())


def _entries(kind: ListKind, page: Raw) -> list[Raw]:
    try:
        return jsonrpc.read_list(jsonrpc.read_object(page, kind.method)[kind.member], kind.member)
    except (GatewayError, KeyError):
        return []


def _item(server: str, kind: ListKind, entry: Raw) -> Item | None:
    try:
        members = jsonrpc.read_object(entry, kind.member)
        own = msgspec.json.decode(members[kind.key], type=str)
    except (GatewayError, KeyError, msgspec.MsgspecError):
        return None
    return Item(server, kind, own, members) if 0 < len(own) <= _LIMITS[kind] else None


def _text(raw: Raw | None) -> str:
    if raw is None:
        return ""
    try:
        return msgspec.json.decode(raw, type=str)
    except msgspec.ValidationError:
        return ""
    except msgspec.DecodeError:
        # A lone surrogate, as JavaScript writes it after cutting a text.
        found = json.loads(bytes(raw))
        return found.encode("utf-8", "replace").decode() if isinstance(found, str) else ""


_LIMITS = {
    ListKind.TOOL: jsonrpc.METHOD_LIMIT,
    ListKind.PROMPT: jsonrpc.METHOD_LIMIT,
    ListKind.RESOURCE: jsonrpc.URI_LIMIT,
    ListKind.TEMPLATE: jsonrpc.URI_LIMIT,
}
"""Characters of an entry's key; an entry with a longer one could not be called."""
