"""Recorded answers of servers that are given while a server does not run: their recipients and their form on disk.

# Note [Recipients of recorded answers]
An answer may depend on how its server was launched, on the server's owner, and on what the gateway declared to the
server of its client: the revision, the client's capabilities and its name.  A client that agrees in all of that is
given the same answer; any other waits for the server itself.  Values of environment variables, headers and URL queries
are in no key.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import msgspec
from msgspec import Raw, Struct

from mcpgateway.config.model import ServerSpec, Share
from mcpgateway.config.reach_settings import Remote
from mcpgateway.errors import GatewayError, MalformedMessage
from mcpgateway.policy.sharing import launch_digest, scope_of
from mcpgateway.protocol import jsonrpc, modern, peek
from mcpgateway.protocol.jsonrpc import PROTOCOL_VERSION_KEY, Envelope, Message
from mcpgateway.protocol.versions import Era
from mcpgateway.records import FrozenRecord, Record

FORMAT = 1
LIST_BYTES = 64 * 1024 * 1024  # of one list, all its pages together, where the settings say nothing else
LIST_BYTES_MOST = 256 * 1024 * 1024  # the most that the settings may allow
FILE_LIMIT = 4 * LIST_BYTES_MOST  # bytes of one server's catalog: four lists of one kind of clients
ROOM = 16 * 1024 * 1024  # bytes of one server's catalog for more than one kind of clients
PAGES_LIMIT = 1000
VARIANTS_LIMIT = 32  # kinds of clients and of launches on record for one server
OLD_S = 7 * 24 * 3600  # then a list is requested again when its server next runs
FRESH_S = 24 * 3600  # an unchanged list is written anew after that

_KIND = b'"resultType"'

HELLO = "hello"
"""The key of the answer that introduces a server, its ``InitializeResult`` or ``DiscoverResult``."""

LISTS = {
    "tools/list": "tools",
    "prompts/list": "prompts",
    "resources/list": "resources",
    "resources/templates/list": "resourceTemplates",
}
"""The member of each list's result that holds its entries."""

CHANGES = {
    "notifications/tools/list_changed": ("tools/list",),
    "notifications/prompts/list_changed": ("prompts/list",),
    "notifications/resources/list_changed": ("resources/list", "resources/templates/list"),
}
"""The lists that are out of date after a notification."""

NEWS = {method: news for news, methods in CHANGES.items() for method in methods}
"""The notification that announces a change of each list."""

# Members without effect on an answer: the progress token, the log level, the trace.
_IDLE = frozenset(("progressToken", "traceparent", "tracestate", "baggage", modern.LEVEL_KEY))
_TOLD = frozenset((PROTOCOL_VERSION_KEY, modern.CAPABILITIES_KEY, modern.INFO_KEY))
_PLAIN = {Era.LEGACY: _IDLE, Era.MODERN: _IDLE | _TOLD}


PLACES_LIMIT = 1000  # places (ways of launching a server) whose lists are held


def place_of(server: ServerSpec) -> str:
    """Return the key of a server's launch or address, and of its owner; see Note [Recipients of recorded answers]."""
    reach = server.reach
    parts = [launch_digest(server), repr(reach), server.credential]
    if server.principal:
        parts.append(f"of {server.principal}")
    if isinstance(reach, Remote):
        url = urlsplit(reach.url)
        names = sorted(name for name, _ in parse_qsl(url.query, keep_blank_values=True))
        parts += [
            url.scheme,
            url.hostname or "",
            str(url.port),
            url.path,
            repr(names),
            repr(sorted(reach.headers)),
        ]
    if scope_of(server) not in (Share.GLOBAL, Share.CREDENTIAL):
        parts.append(server.workspace)
    return _digest(parts)


class LaunchPlaces:
    """The places of the definitions of servers (`place_of`), each computed once for a definition."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str, str], tuple[ServerSpec, str]] = {}

    def of(self, server: ServerSpec) -> str:
        """Return the place of a server."""
        key = (server.name, server.workspace, server.principal)
        known = self._known.get(key)
        if known is None or known[0] is not server:
            if len(self._known) >= PLACES_LIMIT:
                self._known.clear()
            known = self._known[key] = (server, place_of(server))
        return known[1]


COMMON = "+"
"""The prefix of the key of lists that several clients share, of a child that knows the capabilities of all."""


def is_own(handshake: str) -> bool:
    """True if a list is of a child that serves a single client."""
    return bool(handshake) and not handshake.startswith(COMMON)


def legacy_handshake(params: Mapping[str, Any]) -> str:
    """Return the key of the ``initialize`` parameters that a legacy server was sent."""
    members = {name: jsonrpc.raw(value) for name, value in params.items()}
    version = peek.text(members, "protocolVersion")
    return _handshake(version, peek.mapping(members, "capabilities"), peek.members(members, "clientInfo"))


def modern_handshake(meta: Envelope) -> str:
    """Return the key of the client in the ``_meta`` of a request to a modern server."""
    info = peek.members(meta, modern.INFO_KEY)
    return _handshake(
        peek.text(meta, PROTOCOL_VERSION_KEY), peek.mapping(meta, modern.CAPABILITIES_KEY), info
    )


def _handshake(version: str | None, capabilities: dict[str, Any], info: Envelope) -> str:
    return _digest([version, capabilities, peek.text(info, "name")])


def _digest(parts: list[Any]) -> str:
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:32]


def client_in(meta: Envelope) -> Envelope:
    """Return the members of a modern request's ``_meta`` that determine `modern_handshake`."""
    return {name: meta[name] for name in sorted(_TOLD) if name in meta}


class RecordableRequest(Struct, frozen=True):
    """A request whose answer may be recorded.

    :ivar cursor: the cursor of the requested page of a list; None for the first.
    """

    method: str
    cursor: str | None = None


def question_of(era: Era, message: Message) -> RecordableRequest | None:
    """Return the key of a request; None where its answer may depend on members that are in no key."""
    params = message.params or {}
    if not params.keys() <= {"cursor", "_meta"} or not (message.meta or {}).keys() <= _PLAIN[era]:
        return None
    if message.method == modern.DISCOVER:
        return RecordableRequest(message.method) if era is Era.MODERN and "cursor" not in params else None
    if message.method not in LISTS:
        return None
    cursor = peek.text(params, "cursor", jsonrpc.URI_LIMIT) if "cursor" in params else None
    return None if cursor is None and "cursor" in params else RecordableRequest(message.method, cursor)


def may_be_kept(question: RecordableRequest, result: Raw) -> bool:
    """True if a result is of the requested kind, and complete."""
    if _KIND in bytes(result) and not _is_complete(result):
        return False
    return question.method not in LISTS or entries_of(question.method, result) is not None


def _is_complete(result: Raw) -> bool:
    from mcpgateway.protocol.translate import COMPLETE, kind_of  # what only the modern era needs

    return kind_of(result) == COMPLETE


def entries_of(method: str, page: Raw) -> list[Raw] | None:
    """Return the entries on a page of a list; None where the page is malformed."""
    try:
        return jsonrpc.read_list(jsonrpc.read_object(page, "result")[LISTS[method]], "entries")
    except (KeyError, GatewayError):
        return None


def cursor_of(page: Raw) -> str | None:
    """Return the cursor of the next page; None behind the last."""
    return peek.text(peek.members({"page": page}, "page"), "nextCursor", jsonrpc.URI_LIMIT)


def for_now(result: Raw) -> Raw:
    """Return a modern result with the lifetime 0: a recorded one may be outdated, so clients are not to cache it."""
    if b'"ttlMs"' not in bytes(result):
        return result
    members = jsonrpc.read_object(result, "result")
    return jsonrpc.raw(members | {"ttlMs": jsonrpc.raw(0)}) if "ttlMs" in members else result


class RecordedAnswer(Record):
    """The complete answer to a request.

    :ivar pages: the results, one for all but long lists.
    :ivar at: the time of the server's answer, in seconds since the epoch.
    :ivar is_stale: the server has announced a change since; the answer may be counted and searched, and is not given
        again.
    """

    pages: tuple[Raw, ...]
    at: int = 0
    is_stale: bool = False
    _digest: bytes = b""

    @property
    def size(self) -> int:
        """The size of all pages in bytes."""
        return sum(len(bytes(each)) for each in self.pages)

    def page(self, cursor: str | None) -> Raw | None:
        """Return the page of a cursor; None where the list has none."""
        if cursor is None:
            return self.pages[0]
        for page, following in zip(self.pages, self.pages[1:], strict=False):
            if cursor_of(page) == cursor:
                return following
        return None

    def digest(self, method: str) -> bytes:
        """Return a digest of the list's entries, however they are spread over pages."""
        if not self._digest:
            found = hashlib.sha256()
            for page in self.pages:
                for each in entries_of(method, page) or ():
                    found.update(bytes(each))
                    found.update(b"\n")
            self._digest = found.digest()
        return self._digest


class _Page(FrozenRecord, frozen=True):
    """One page of a list.

    :ivar following: the cursor of the next page; None behind the last.
    """

    result: Raw
    following: str | None


class Chain(Record):
    """The pages of one list, collected from the answers in any order."""

    _size: int = 0
    _pages: dict[str | None, _Page] = msgspec.field(default_factory=dict)

    def with_one(self, cursor: str | None, page: Raw) -> tuple[int, int]:
        """Return the bytes and the number of the pages with this one added."""
        first, former = self._pages.get(None), self._pages.get(cursor)
        if cursor is None and first is not None and first.result != page:
            return len(bytes(page)), 1
        size = self._size - (len(bytes(former.result)) if former is not None else 0)
        return size + len(bytes(page)), len(self._pages) + (former is None)

    def add(self, cursor: str | None, page: Raw) -> tuple[Raw, ...] | None:
        """Add a page, and return all pages once the list is complete; else None."""
        size, _ = self.with_one(cursor, page)
        first = self._pages.get(None)
        if cursor is None and first is not None and first.result != page:
            self._pages.clear()  # the others belong to another list
        self._pages[cursor], self._size = _Page(page, cursor_of(page)), size
        return self._whole()

    def clear(self) -> None:
        """Forget all pages."""
        self._pages.clear()
        self._size = 0

    def _whole(self) -> tuple[Raw, ...] | None:
        found: list[Raw] = []
        cursor: str | None = None
        while len(found) < len(self._pages) and cursor in self._pages:
            page = self._pages[cursor]
            found.append(page.result)
            cursor = page.following
            if cursor is None:
                self.clear()
                return tuple(found)
        return None


class AnswerKey(Struct, frozen=True):
    """The key of recorded answers and their recipients; see Note [Recipients of recorded answers]."""

    place: str
    era: Era
    handshake: str


class NewerListFormat(Exception):
    """The file was written by a newer gateway."""


class Catalog(Record):
    """The recorded answers of one server, by their recipients."""

    variants: dict[AnswerKey, dict[str, RecordedAnswer]] = msgspec.field(default_factory=dict)

    @property
    def size(self) -> int:
        """The bytes of all answers."""
        return sum(answer.size for answers in self.variants.values() for answer in answers.values())

    def find(self, key: AnswerKey, method: str) -> RecordedAnswer | None:
        """Return the answer to a request; None where none may be given again."""
        found = self.variants.get(key, {}).get(method)
        return None if found is None or found.is_stale else found

    def put(self, key: AnswerKey, method: str, answer: RecordedAnswer) -> None:
        """Record an answer; beyond the limits the oldest variant is dropped."""
        self.variants.setdefault(key, {})[method] = answer
        while len(self.variants) > 1 and (len(self.variants) > VARIANTS_LIMIT or self.size > ROOM):
            del self.variants[min((each for each in self.variants if each != key), key=self._newest)]

    def _newest(self, key: AnswerKey) -> int:
        return max((answer.at for answer in self.variants[key].values()), default=0)

    def outdate(self, place: str, era: Era, methods: tuple[str, ...]) -> bool:
        """Mark lists as changed, for all recipients; false where none of them was current."""
        variants = [answers for key, answers in self.variants.items() if (key.place, key.era) == (place, era)]
        changed = [answers[each] for answers in variants for each in methods if each in answers]
        fresh = [each for each in changed if not each.is_stale]
        for each in fresh:
            each.is_stale = True
        return bool(fresh)

    def places(self) -> frozenset[str]:
        """The launches and addresses of which an introduction is on record."""
        return frozenset(key.place for key, answers in self.variants.items() if HELLO in answers)

    def written(self) -> bytes:
        """Return the catalog as file content; every answer stays byte for byte as it came."""
        variants = [
            {
                "place": key.place,
                "era": key.era.value,
                "told": key.handshake,
                "answers": {
                    method: {
                        "at": answer.at,
                        "pages": answer.pages,
                        **({"stale": True} if answer.is_stale else {}),
                    }
                    for method, answer in answers.items()
                },
            }
            for key, answers in self.variants.items()
        ]
        return bytes(jsonrpc.raw({"format": FORMAT, "variants": variants}))


def read(data: bytes) -> Catalog:
    """Return the catalog in a file.

    :raise NewerListFormat: a newer gateway has written the file.
    :raise GatewayError: the file holds no catalog.
    """
    file = jsonrpc.decode(data)
    found = jsonrpc.integer(file.get("format"))
    if found is None or found < 1:
        raise MalformedMessage("it names no format")
    if found > FORMAT:
        raise NewerListFormat(found)
    try:
        listed = jsonrpc.read_list(file["variants"], "variants")
        return Catalog(dict(_variant(jsonrpc.read_object(each, "variants")) for each in listed))
    except (KeyError, ValueError) as why:
        raise MalformedMessage(f"it lacks {why}") from None


def _variant(members: Envelope) -> tuple[AnswerKey, dict[str, RecordedAnswer]]:
    place, era, handshake = (jsonrpc.read_string(members[name], name) for name in ("place", "era", "told"))
    answers = jsonrpc.read_object(members["answers"], "answers")
    return AnswerKey(place, Era(era), handshake), {
        method: _answer(method, jsonrpc.read_object(each, "answers")) for method, each in answers.items()
    }


def _answer(method: str, members: Envelope) -> RecordedAnswer:
    pages = tuple(jsonrpc.read_list(members["pages"], "pages"))
    if not pages or not all(bytes(page)[:1] == b"{" for page in pages):
        raise MalformedMessage(f"{method} has no pages")
    return RecordedAnswer(
        pages, jsonrpc.value(members["at"], int), bytes(members.get("stale", b"")) == b"true"
    )
