"""Servers out of a client's own file: Claude Code's, and any other that has ``mcpServers``.

The file is not ours, so what cannot be used is passed over with a warning and nothing in it is a fault.
"""

from __future__ import annotations

from collections.abc import Iterator

from attrs import evolve, frozen

from mcpgateway.config.document import Document, Place
from mcpgateway.config.entry import (
    STDIO_TYPES,
    Entry,
    Origin,
    Scope,
    is_enabled,
    is_stdio,
    read_entry,
    url_of,
)
from mcpgateway.config.ours import original_of
from mcpgateway.errors import ConfigError

# VS Code calls them servers, opencode calls them mcp.
SERVER_KEYS = ("mcpServers", "servers", "mcp")


@frozen(eq=False)
class Found:
    """What a file lists.

    :ivar entries: its stdio servers, as written.
    :ivar remotes: the URLs of all other entries ("" where there is none).
    """

    entries: tuple[Entry, ...]
    remotes: tuple[str, ...]


def read_client(document: Document, rank: int, warnings: list[str]) -> Found:
    """Read the servers of a client's file, of the user's scope and of all projects."""
    entries: list[Entry] = []
    remotes: list[str] = []
    top = document.root().at(SERVER_KEYS[0])
    if top.value is not None and not isinstance(top.value, dict):
        warnings.append(f"{top.wrong('a mapping')}; it is ignored")
    for place, origin in _places(document, rank):
        try:
            _read_one(place, origin, entries, remotes)
        except ConfigError as why:
            warnings.append(f"{why}; this server is left out")
    return Found(tuple(entries), tuple(remotes))


def _read_one(place: Place, origin: Origin, entries: list[Entry], remotes: list[str]) -> None:
    if not isinstance(place.value, dict):
        raise place.wrong("a mapping")
    if not is_enabled(place):
        return
    if is_stdio(place):
        entry = read_entry(place, origin)
        original = original_of(entry.argv)
        if original is None:
            entries.append(entry)
        elif original:
            entries.append(evolve(entry, argv=original))
        # Else it leads here and nowhere else.
    elif url_of(place) or place.value.get("type") not in (None, *STDIO_TYPES):
        remotes.append(url_of(place))
    else:
        raise place.wrong_secret("an entry with a command or a url")


def _places(document: Document, rank: int) -> Iterator[tuple[Place, Origin]]:
    directory = document.file.rpartition("/")[0] or "/"
    user = Origin(Scope.USER, f"{document.file}, user scope", directory, full_env=True, rank=rank)
    root = document.root()
    key = next((each for each in SERVER_KEYS if isinstance(root.value.get(each), dict)), SERVER_KEYS[0])
    yield from _members(root.at(key), user)
    projects = root.at("projects")
    for path in projects.value if isinstance(projects.value, dict) else ():
        # A relative project cannot be located; Claude Code never writes one.
        if path.startswith("/"):
            words = f"{document.file}, project {path}"
            origin = Origin(Scope.PROJECT, words, path, project=path, full_env=True, rank=rank)
            yield from _members(projects.at(path).at("mcpServers"), origin)


def _members(place: Place, origin: Origin) -> Iterator[tuple[Place, Origin]]:
    if isinstance(place.value, dict):
        for each in place.value:
            yield place.at(each), origin
