"""Changes of overlays: the file for them, and its text afterwards."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from attrs import field, frozen

from mcpgateway.config.dialect import has_servers_at_top
from mcpgateway.config.edit.edits import Edit, KeyPath, Put, Remove, changed, placed, rooted
from mcpgateway.config.edit.file_text import edit, in_its_dialect, in_its_words
from mcpgateway.config.load import Files, key_path_of, overlays_of
from mcpgateway.config.read import parse


@frozen
class OverlayPlace:
    """The place of the overlay over a server.

    :ivar key_path: its path in the file; empty where there is no overlay yet.
    :ivar value: its content.
    """

    file: str
    key_path: KeyPath = ()
    value: Mapping[str, Any] = field(factory=dict, repr=False)


def overlay_place(files: Files, config_file: str, name: str) -> OverlayPlace:
    """Return the place of the overlay over a server that outranks the others, or the place for a new one.

    :param config_file: the file for new entries.
    """
    found = overlays_of(files, name)
    if found:
        return OverlayPlace(found[-1].document.file, key_path_of(found[-1]), found[-1].value)
    document = next((each for each in files.native if each.file == config_file), None)
    if document is not None and has_servers_at_top(document.value):
        # An entry without a command would be no server at the top of a file, and change how all of it is read.
        return OverlayPlace(f"{config_file.rpartition('.')[0]}.local.yaml")
    return OverlayPlace(config_file)


def tidied(place: OverlayPlace, name: str, changes: Sequence[Edit]) -> tuple[Edit, ...]:
    """Return changes of an overlay that also remove mappings which they leave empty."""
    after = overlay_after(place, name, changes)
    touched = {each.key_path[1] for each in changes if len(each.key_path) > 2}
    return (*changes, *(Remove((name, key)) for key in sorted(touched) if after.get(key) == {}))


def overlay_after(place: OverlayPlace, name: str, changes: Sequence[Edit]) -> dict[str, Any]:
    """Return the content of an overlay after changes, whose paths begin with the server's name."""
    whole: Any = {name: dict(place.value)}
    for each in changes:
        whole = changed(whole, each, place.file)
    found: dict[str, Any] = whole[name]
    return found


def with_overlay(text: str, place: OverlayPlace, name: str, changes: Sequence[Edit]) -> str:
    """Return the text of the overlay's file after changes; an overlay without keys is removed.

    :raise ConfigError: the text does not allow the change.
    """
    after = overlay_after(place, name, changes)
    if not place.key_path:
        made = edit(text, place.file, placed(parse(text, place.file).value, Put((name,), after)))
    elif not after:
        made = edit(text, place.file, Remove(place.key_path))
    else:
        made = text
        for each in changes:
            made = edit(made, place.file, in_its_words(rooted(each, place.key_path), made, place.file))
    return in_its_dialect(text, made, place.file)
