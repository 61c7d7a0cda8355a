"""Changes of overlays: the file for them, and its text afterwards."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from attrs import field, frozen

from mcpgateway.config.dialect import has_servers_at_top
from mcpgateway.config.document import Place
from mcpgateway.config.edit.change import HEADERS, Patch, dotted
from mcpgateway.config.edit.edits import Edit, KeyPath, Put, Remove, changed, placed, rooted
from mcpgateway.config.edit.file_text import edit, in_its_dialect, in_its_words
from mcpgateway.config.load import Files, key_path_of, overlays_of
from mcpgateway.config.overlay import MARK, reaches
from mcpgateway.config.read import parse
from mcpgateway.hints import cli


@frozen
class OverlayPlace:
    """The place of the overlay over a server.

    :ivar key_path: its path in the file; empty where there is no overlay yet.
    :ivar value: its content.
    """

    file: str
    key_path: KeyPath = ()
    value: Mapping[str, Any] = field(factory=dict, repr=False)

    @classmethod
    def of(cls, place: Place) -> OverlayPlace:
        """Return the place of an overlay that a file has."""
        return cls(place.document.file, key_path_of(place), place.value)


def overlay_place(files: Files, config_file: str, name: str) -> OverlayPlace:
    """Return the place of the overlay over a server that outranks the others, or the place for a new one.

    :param config_file: the file for new entries.
    """
    found = overlays_of(files, name)
    if found:
        return OverlayPlace.of(found[-1])
    document = next((each for each in files.native if each.file == config_file), None)
    if document is not None and has_servers_at_top(document.value):
        # An entry without a command would be no server at the top of a file, and change how all of it is read.
        return OverlayPlace(f"{config_file.rpartition('.')[0]}.local.yaml")
    return OverlayPlace(config_file)


def uncovered(
    place: OverlayPlace, name: str, key_paths: Iterable[KeyPath]
) -> tuple[tuple[Edit, ...], tuple[str, ...]]:
    """Return the edits that take keys out of an overlay, and the dotted keys that it has of them."""
    edits: list[Edit] = []
    keys: list[str] = []
    whole: Any = {name: dict(place.value)}
    for key_path in key_paths:
        made = Patch(unset=(key_path,)).edits(name, whole[name])
        for each in made:
            whole = changed(whole, each, place.file)
        edits += made
        keys += [dotted(key_path)] if made else []
    return (tidied(place, name, edits) if edits else ()), tuple(keys)


def original_command(name: str, variables: Sequence[str], keys: Sequence[str]) -> str:
    """Return the command that writes changed values of an overlay into the entry of a client's file, too.

    :param variables: the changed variables; where there are any, the command is for them.
    :param keys: the other changed keys, dotted; where there are headers among them, the command is for these.
    """
    # Values of variables and headers are asked for, since they are secrets mostly.
    heads = [each.partition(".")[2] or "HEADER" for each in keys if each.partition(".")[0] == HEADERS]
    if variables:
        return cli("servers set-env {} {} --original", name, list(variables))
    if heads:
        return cli("servers set-header {} {} --original", name, heads)
    return cli("servers set {} {} --original", name, [f"{each}=VALUE" for each in keys])


def tidied(place: OverlayPlace, name: str, changes: Sequence[Edit]) -> tuple[Edit, ...]:
    """Return changes of an overlay that also remove mappings which they leave empty, and mark it if it needs that."""
    after = overlay_after(place, name, changes)
    touched = {each.key_path[1] for each in changes if len(each.key_path) > 2}
    edits = (*changes, *(Remove((name, key)) for key in sorted(touched) if after.get(key) == {}))
    if reaches(after) and after.get(MARK) is not True:
        return (*edits, Put((name, MARK), True))
    if MARK in after and not reaches(after):
        return (*edits, Remove((name, MARK)))
    return edits


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
