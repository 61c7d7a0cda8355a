"""Edits through the gateway: written to the file that defines the server, then read like any edit."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

from mcpgateway.config.edit import permissions
from mcpgateway.config.edit.config_keys import text_after
from mcpgateway.config.edit.edits import Edit, KeyPath, Put, placed, rooted, same
from mcpgateway.config.edit.file_text import edit, in_its_dialect, in_its_words
from mcpgateway.config.edit.overlays import OverlayPlace, overlay_after, overlay_place, tidied, with_overlay
from mcpgateway.config.load import key_path_of, place_of
from mcpgateway.config.problems import refusal
from mcpgateway.config.read import parse
from mcpgateway.discovery.naming import server_hint
from mcpgateway.errors import ConfigError, NotOurs, UnknownServer
from mcpgateway.manage.reload import Reload
from mcpgateway.system.write_back import FormerText, write_back


def place_of_overlay(reload: Reload, name: str) -> OverlayPlace:
    """Return the place of the overlay over a server, or the place for a new one.

    :raise NotOurs: the gateway has no file for it.
    """
    if reload.gather is None or not reload.config_file:
        raise NotOurs("this gateway has no configuration file that could be changed")
    return overlay_place(reload.gather(), reload.config_file, name)


def lay_over(reload: Reload, name: str, place: OverlayPlace, changes: Sequence[Edit]) -> bool:
    """Change the overlay over a server, and undo the changes if it cannot be used; return false if it was so already.

    :raise ConfigError: no file was changed; the text says why.
    """
    for each in changes:
        permissions.check(each)
    _check(reload)
    changes = tidied(place, name, changes)
    if same(overlay_after(place, name, changes), place.value):
        return False
    _write(reload, {place.file: lambda text: with_overlay(text, place, name, changes)})
    return True


def carry_out(reload: Reload, *changes: Edit) -> None:
    """Change a file, and undo the changes if its new content cannot be used.

    :param changes: of one server; all are written at once, or none.
    :raise ConfigError: no file was changed; the text says why.
    :raise UnknownServer: no server has that name.
    """
    for each in changes:
        permissions.check(each)
    _check(reload)
    file, key_path = _home_of(reload, changes[0])

    def edited(text: str) -> str:
        made = text
        for each in changes:
            change = rooted(each, key_path) if key_path else placed(parse(made, file).value, each)
            made = edit(made, file, in_its_words(change, made, file))
        return in_its_dialect(text, made, file)

    _write(reload, {file: edited})


def set_in_config(reload: Reload, change: Edit) -> None:
    """Change a setting of the gateway itself in the configuration file, and undo that if it cannot be used.

    :raise ConfigError: the file is unchanged; the text says why.
    """
    if not reload.config_file:
        raise NotOurs("this gateway has no configuration file that could be changed")
    change_files(reload, {reload.config_file: (change,)})


def change_files(reload: Reload, changes: Mapping[str, Sequence[Edit]]) -> None:
    """Change files of the gateway's, each by edits with whole paths, and undo all of it if it cannot be used.

    :raise ConfigError: no file is changed; the text says why.
    """
    _check(reload)
    _write(reload, {file: partial(text_after, file=file, changes=edits) for file, edits in changes.items()})


def _check(reload: Reload) -> None:
    if reload.refusal:
        raise NotOurs(reload.refusal, "edit the files where they come from")
    if reload.state.problems:
        raise NotOurs(f"the configuration has an error, please mend that first: {reload.state.problems[0]}")


def _write(reload: Reload, edited: Mapping[str, Callable[[str], str]]) -> None:
    former: list[FormerText] = []
    try:
        for file, each in edited.items():
            former.append(write_back(file, each))
        reload.read_own()
        if reload.state.problems:
            raise refusal(reload.state.problems[0])
    except ConfigError:
        for written in former:
            written.restore()
        if former:
            reload.read_own()
        raise


def _home_of(reload: Reload, change: Edit) -> tuple[str, KeyPath]:
    name = change.key_path[0]
    blueprint = reload.settings.blueprints.get(name)
    if blueprint is None and isinstance(change, Put) and len(change.key_path) == 1 and reload.config_file:
        return reload.config_file, ()
    if blueprint is None:
        raise UnknownServer(f"Unknown server: {name}", server_hint(name, reload.settings.blueprints))
    place = place_of(reload.gather(), blueprint.entry) if reload.gather is not None else None
    if place is None:
        raise NotOurs(f"{name} stands in no file that could be changed")
    return place.document.file, key_path_of(place)
