"""Files that include others: which are read, and in which order."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from attrs import frozen

from mcpgateway.config.document import Document, Place
from mcpgateway.config.problems import Problems
from mcpgateway.errors import ConfigError

# Deeper than anybody can follow.
DEPTH_LIMIT = 8
# Enough for a directory of servers; what is beyond it is a mistake in a pattern.
FILE_LIMIT = 1000


@frozen
class Finder:
    """What finds and reads files; this floor has no hands of its own.

    :ivar find: the files that a path or pattern stands for, given the directory it is relative to.
    :ivar read: the file of a path.
    """

    find: Callable[[str, str], Sequence[str]]
    read: Callable[[str], Document | None]


def with_includes(
    document: Document, finder: Finder, problems: Problems, trail: tuple[str, ...] = ()
) -> list[Document]:
    """Return a file behind all that it includes, so that what it says itself counts in the end."""
    trail = (*trail, document.file)
    found: list[Document] = []
    for place in _included(document, problems):
        directory = document.file.rpartition("/")[0] or "/"
        if len(trail) > DEPTH_LIMIT:
            problems.error(place.where, f"includes files more than {DEPTH_LIMIT} deep")
            break
        for path in _paths(place, directory, finder, problems):
            if path in trail:
                problems.error(
                    place.where, "includes a file that includes this one", "take one of the two out"
                )
            else:
                inner = _read(path, place, finder, problems)
                found += with_includes(inner, finder, problems, trail) if inner else []
    return [*found, document]


def _included(document: Document, problems: Problems) -> list[Place]:
    # What is no text at all is told when the file is read.
    place = document.root().at("include") if isinstance(document.value, dict) else None
    if place is None or isinstance(place.value, str):
        return [place] if place and place.value else []
    items = list(place.items()) if isinstance(place.value, list) else []
    return [each for each in items if isinstance(each.value, str) and each.value]


def _paths(place: Place, directory: str, finder: Finder, problems: Problems) -> Sequence[str]:
    try:
        found = finder.find(place.value, directory)
    except ConfigError as why:
        problems.catch(why, place.document.file)
        return ()
    if not found and not any(each in place.value for each in "*?["):
        problems.append(place.wrong("a file that is there").problem)
    if len(found) > FILE_LIMIT:
        problems.error(place.where, f"stands for more than {FILE_LIMIT} files")
        return ()
    return found


def _read(path: str, place: Place, finder: Finder, problems: Problems) -> Document | None:
    try:
        return finder.read(path)
    except ConfigError as why:
        problems.catch(why, path, f"{place.where} includes it")
        return None
