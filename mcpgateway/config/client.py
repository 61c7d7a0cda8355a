"""The servers of a client's own file: Claude Code's, and any other that has ``mcpServers``.

The file belongs to the client, so an unusable entry is a warning and no error.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from attrs import evolve

from mcpgateway.config.document import Document, Place
from mcpgateway.config.entry import Entry, Origin, Scope, is_program, read_program, read_server, url_of
from mcpgateway.config.environment import FULL
from mcpgateway.config.ours import original_of
from mcpgateway.config.problems import Problems
from mcpgateway.config.reach import PROGRAM_TYPES
from mcpgateway.records import FrozenRecord

# VS Code calls them servers, opencode calls them mcp.
SERVER_KEYS = ("mcpServers", "servers", "mcp")
LEFT_OUT = "this server is left out"


class ClientServers(FrozenRecord, frozen=True):
    """The servers of a client's file.

    :ivar entries: its stdio servers, as written.
    :ivar remotes: the URLs of all other entries ("" where there is none).
    """

    entries: tuple[Entry, ...]
    remotes: tuple[str, ...]


def read_client(document: Document, rank: int, problems: Problems) -> ClientServers:
    """Read the servers of a client's file, of the user's scope and of all projects."""
    top = document.root().at(SERVER_KEYS[0])
    if top.value is not None and not isinstance(top.value, dict):
        problems.catch(top.wrong_secret("a mapping"), hint="it is ignored", is_error=False)
    return _read(_places(document, rank), problems)


def read_project(document: Document, directory: str, rank: int, problems: Problems) -> ClientServers:
    """Read the servers of a file that lies in a project, such as its ``.mcp.json``.

    :param directory: the directory of the project.
    """
    origin = Origin(Scope.PROJECT, document.file, directory, project=directory, env_policy=FULL, rank=rank)
    return _read(_members(_listed(document), origin), problems)


def read_remotes(document: Document, problems: Problems) -> list[Entry]:
    """Read the entries of a client's file that are no programs, as a configuration of the gateway's is read."""
    found: list[Entry] = []
    for place, origin in _places(document, 0):
        own = Problems()
        value = place.value
        if isinstance(value, dict) and not is_program(value) and _is_elsewhere(value):
            entry = read_server(place.key, place, origin, own)
            found += [entry] if entry else []
        problems.soften(own, LEFT_OUT)
    return found


def _is_elsewhere(value: Mapping[str, Any]) -> bool:
    return bool(url_of(value)) or value.get("type") not in (None, *PROGRAM_TYPES)


def _read(places: Iterable[tuple[Place, Origin]], problems: Problems) -> ClientServers:
    entries: list[Entry] = []
    remotes: list[str] = []
    for place, origin in places:
        own = Problems()
        entry = _read_one(place, origin, remotes, own)
        if entry:
            entries.append(entry)
        problems.soften(own, LEFT_OUT)
    return ClientServers(tuple(entries), tuple(remotes))


def _read_one(place: Place, origin: Origin, remotes: list[str], problems: Problems) -> Entry | None:
    value = place.value
    if not isinstance(value, dict):
        problems.append(place.wrong_secret("a mapping").problem)
        return None
    if is_program(value):
        entry = read_program(place, origin, problems)
        original = original_of(entry.argv) if entry and entry.argv else None
        if original is None:
            return entry
        # Without an original it is an entry of the gateway's and no server.
        return evolve(entry, argv=original) if entry and original else None
    if _is_elsewhere(value):
        remotes += [] if value.get("disabled") is True or value.get("enabled") is False else [url_of(value)]
    else:
        problems.append(place.wrong_secret("an entry with a command or a url").problem)
    return None


def _places(document: Document, rank: int) -> Iterator[tuple[Place, Origin]]:
    directory = document.file.rpartition("/")[0] or "/"
    user = Origin(Scope.USER, f"{document.file}, user scope", directory, env_policy=FULL, rank=rank)
    yield from _members(_listed(document), user)
    projects = document.root().at("projects")
    for path in projects.value if isinstance(projects.value, dict) else ():
        # A relative project cannot be located; Claude Code never writes one.
        if path.startswith("/"):
            words = f"{document.file}, project {path}"
            origin = Origin(Scope.PROJECT, words, path, project=path, env_policy=FULL, rank=rank)
            yield from _members(projects.at(path).at("mcpServers"), origin)


def _listed(document: Document) -> Place:
    root = document.root()
    return root.at(
        next((each for each in SERVER_KEYS if isinstance(root.value.get(each), dict)), SERVER_KEYS[0])
    )


def _members(place: Place, origin: Origin) -> Iterator[tuple[Place, Origin]]:
    if isinstance(place.value, dict):
        for each in place.value:
            yield place.at(each), origin
