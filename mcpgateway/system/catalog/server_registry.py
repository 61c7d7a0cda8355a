"""A registry of MCP servers with the API of the official one (`GET /v0.1/servers`): search, and a server by its name.

Answers are read leniently in either spelling of their members (``nextCursor``, ``next_cursor``).  The functions block.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import quote, urlencode

from attrs import field, frozen

from mcpgateway.config.document import printable
from mcpgateway.errors import BadReply, InvalidParams
from mcpgateway.hints import cli
from mcpgateway.system.catalog.fetching import Missing, fetch_json

VERSIONS = ("v0.1", "v0")  # of the API, in the order in which they are tried
NAME = re.compile(r"(?P<name>[A-Za-z0-9.-]+/[A-Za-z0-9._-]+)(?:@(?P<version>[A-Za-z0-9][\w.+-]*))?")
LATEST = "latest"
PAGE = 100  # the most that the official registry gives
PAGES_LIMIT = 3  # for one word
WORDS_LIMIT = 3
OFFICIAL = "io.modelcontextprotocol.registry/official"
DELETED, DEPRECATED = "deleted", "deprecated"


@frozen
class RegisteredServer:
    """A server of a registry.

    :ivar status: ``active``, ``deprecated`` or ``deleted``.
    :ivar is_latest: no newer version of the server is known.
    :ivar description: its server.json.
    """

    name: str
    title: str
    about: str
    version: str
    status: str
    is_latest: bool
    description: Mapping[str, Any] = field(repr=False)


@frozen
class ServerRegistry:
    """The registry at a URL."""

    url: str

    def search(self, words: Iterable[str]) -> list[RegisteredServer]:
        """Return the latest version of each server whose name has one of the words, in the registry's order.

        :raise BackendError: the registry cannot be asked, or its answer is malformed.
        """
        found: dict[str, RegisteredServer] = {}
        for word in list(dict.fromkeys(words))[:WORDS_LIMIT]:
            for each in self._pages(word):
                if each.status != DELETED and (each.is_latest or each.name not in found):
                    found[each.name] = each
        return list(found.values())

    def _pages(self, word: str) -> Iterator[RegisteredServer]:
        cursor, seen = "", set[str]()
        for _ in range(PAGES_LIMIT):
            query = {"search": word, "version": LATEST, "limit": str(PAGE), "cursor": cursor}
            page = self._fetch(f"servers?{urlencode({key: each for key, each in query.items() if each})}")
            if not isinstance(page, dict) or not isinstance(page.get("servers") or [], list):
                raise BadReply(f"{self.url} answers with something that is no list of servers")
            # One malformed description hides no other.
            yield from (server for server in map(_read, page.get("servers") or []) if server is not None)
            metadata = page.get("metadata")
            more = metadata if isinstance(metadata, dict) else {}
            cursor = str(more.get("nextCursor") or more.get("next_cursor") or "")
            if not cursor or cursor in seen:
                return
            seen.add(cursor)

    def server(self, name: str, version: str = LATEST) -> RegisteredServer:
        """Return one version of a server.

        :raise BackendError: the registry cannot be asked, or its answer is malformed.
        :raise InvalidParams: the registry has no such server.
        """
        try:
            answer = self._fetch(f"servers/{quote(name, safe='')}/versions/{quote(version, safe='')}")
        except Missing:
            wanted = name if version == LATEST else f"{name} {version}"
            raise InvalidParams(
                f"the registry {self.url} has no server {printable(wanted)}",
                f"{cli('servers search WORD')} lists what it has",
            ) from None
        found = _read(answer)
        if found is None or found.name != name:
            raise BadReply(f"{self.url} answers with something that does not describe {printable(name)}")
        if found.status == DELETED:
            raise InvalidParams(f"{printable(name)} was deleted from the registry {self.url}")
        return found

    def _fetch(self, path: str) -> Any:
        base, _, last = self.url.rstrip("/").rpartition("/")
        if last in VERSIONS:
            return fetch_json(f"{base}/{last}/{path}")
        newer, older = VERSIONS
        try:
            return fetch_json(f"{self.url}/{newer}/{path}")
        except Missing:
            return fetch_json(f"{self.url}/{older}/{path}")


def _read(answer: Any) -> RegisteredServer | None:
    """Return the server of an answer; None if it describes none."""
    outer = answer if isinstance(answer, dict) else {}
    inner = outer.get("server")
    server = inner if isinstance(inner, dict) else outer
    name = server.get("name")
    if not isinstance(name, str) or not NAME.fullmatch(name):
        return None
    meta: Mapping[str, Any] = next(
        (each["_meta"] for each in (outer, server) if isinstance(each.get("_meta"), dict)), {}
    )
    official = meta.get(OFFICIAL)
    known = official if isinstance(official, dict) else {}
    latest = known.get("isLatest", known.get("is_latest", True))
    return RegisteredServer(
        name,
        str(server.get("title") or ""),
        str(server.get("description") or ""),
        str(server.get("version") or ""),
        str(known.get("status") or server.get("status") or "active"),
        latest is not False,
        server,
    )
