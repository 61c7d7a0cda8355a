"""Where in which file a server is defined; found out when somebody asks, since nobody keeps whole files for that."""

from __future__ import annotations

from typing import Any

from mcpgateway.config.client import read_client
from mcpgateway.config.document import Place
from mcpgateway.config.edit.edits import NAME, Road
from mcpgateway.config.entry import Entry
from mcpgateway.config.file_format import read_native, read_servers
from mcpgateway.config.load import Files
from mcpgateway.config.problems import Problems


def place_of(files: Files, entry: Entry) -> Place | None:
    """The place of an entry in the files as they are; None where it is in none of them."""
    problems = Problems()
    found = [*read_servers(read_native(files.native, problems), problems)]
    for rank, document in enumerate(files.sources):
        found += read_client(document, rank, problems).entries
    same = (each for each in found if each.title == entry.title and each.origin == entry.origin)
    return next((each.place for each in same), None)


def road_of(place: Place) -> Road:
    """The road of edits to a place: an item of a list is known by its name."""
    road: list[str] = []
    value: Any = place.document.value
    for step in place.path:
        value = value[step]
        road.append(str(value[NAME]) if isinstance(step, int) else step)
    return tuple(road)
