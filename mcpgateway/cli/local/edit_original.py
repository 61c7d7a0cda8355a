"""``servers set --original`` and its like: a change of the entry in the client's own file."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from functools import partial
from typing import Any

from attrs import evolve, field, frozen

from mcpgateway.cli.local.own_keys import edited_text
from mcpgateway.clientfiles import original_edit
from mcpgateway.clientfiles.diff import diff, vocabulary
from mcpgateway.clientfiles.machine import Machine
from mcpgateway.clientfiles.original_edit import OriginalEntry
from mcpgateway.config.document import printable, visible
from mcpgateway.config.edit import permissions
from mcpgateway.config.edit.change import ENV, HEADERS, Patch, read_patch
from mcpgateway.config.edit.edits import Edit, KeyPath, Put, changed, same
from mcpgateway.config.edit.file_text import edit as with_edit
from mcpgateway.config.edit.overlays import OverlayPlace, overlay_after, uncovered, with_overlay
from mcpgateway.config.reach_settings import URL_KEYS
from mcpgateway.config.read import parse
from mcpgateway.errors import ConfigError, GatewayError, InvalidParams
from mcpgateway.hints import cli
from mcpgateway.system import files
from mcpgateway.system.settings import FILE_LIMIT
from mcpgateway.system.write_back import FormerText, write_back

DRAFT = "the draft.yaml"
COMMANDS = ("command", "cmd", "url", "httpUrl", "serverUrl", "uri")


@frozen
class UncoveredKeys:
    """Keys that are taken out of an overlay, so that those of the original count.

    :ivar place: the overlay as it is.
    :ivar keys: the dotted keys.
    """

    place: OverlayPlace
    edits: tuple[Edit, ...] = field(repr=False)
    keys: tuple[str, ...]


@frozen
class OriginalChange:
    """A change of an original entry, and of the overlays over it.

    :ivar value: the value of the entry then.
    :ivar lines: the diff of the files without enrolled entries, without secrets.
    :ivar uncovered: the changed keys that overlays have, too.
    """

    found: OriginalEntry
    value: Mapping[str, Any] = field(repr=False)
    lines: tuple[str, ...] = field(repr=False)
    uncovered: tuple[UncoveredKeys, ...] = ()

    @property
    def is_other(self) -> bool:
        """True if the entry would be another one."""
        return not same(self.value, dict(self.found.value))

    @property
    def is_change(self) -> bool:
        """True if a file would be another one."""
        return self.is_other or bool(self.uncovered)


def plan(machine: Machine, name: str, project: str, body: Mapping[str, Any]) -> OriginalChange:
    """Return a change of the original of a server.

    :param project: the directory of the project that defines it, or "".
    :param body: the change, as the REST API takes it.
    :raise ConfigError: the change is not possible there.
    """
    try:
        patch = read_patch(body)
    except InvalidParams as why:
        raise ConfigError(why.message, why.hint) from why
    found = _found(machine, name, project)
    return _change(machine, found, name, _changed(found, name, patch), _keys(patch))


def alike(machine: Machine, change: OriginalChange, body: Mapping[str, Any]) -> list[OriginalChange]:
    """Return the same change of the originals that other clients have of the server; they share it only while equal.

    An original that cannot be changed so, as of a client without such a key, is left out.
    """
    patch, made = read_patch(body), []
    for found in original_edit.others(machine, change.found):
        try:
            value = _changed(found, found.name, patch)
        except ConfigError:
            continue
        other = evolve(_change(machine, found, found.name, value, ()), uncovered=())
        made += [other] if other.is_other else []
    return made


def edited(machine: Machine, name: str, project: str, again: Callable[[str], bool]) -> OriginalChange:
    """Open the original of a server in the user's editor, and return the change.

    :param again: asks the user whether to edit once more, after the problems.
    :raise ConfigError: the change is not possible there.
    """
    found = _found(machine, name, project)
    reads = ", ".join(sorted(found.keys))
    draft = (
        f"# The original entry of {name} in {visible(found.site.path)}, as its client has it without the gateway.\n"
        f"# {found.site.dialect.title} reads the keys {reads}.\n\n"
    )
    for key, held in found.value.items():
        draft = with_edit(draft, DRAFT, Put((key,), held))

    def errors_in(text: str) -> list[str]:
        try:
            value = _read(text)
            _check_keys(found, name, {each for each in value if each not in found.value})
            for each in _differing(found.value, value):
                permissions.check(Put((name, each), value.get(each)))
        except GatewayError as why:
            return [f"{why.message}\n{why.hint}" if why.hint else why.message]
        gone = [each for each in COMMANDS if each in found.value and not value.get(each)]
        return [f"{gone[0]}: is missing, without which there is no server"] if gone else []

    value = _read(edited_text(draft, ".yaml", machine.environ, errors_in, again))
    return _change(machine, found, name, value, tuple(_differing_paths(found.value, value)))


def _read(text: str) -> dict[str, Any]:
    value = parse(text, DRAFT).value
    if not isinstance(value, dict):
        raise ConfigError("the draft has no keys with values")
    return value


def _differing(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    keys = dict.fromkeys((*before, *after))
    return [
        each
        for each in keys
        if each not in before or each not in after or not same(before[each], after[each])
    ]


def _differing_paths(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[KeyPath]:
    """Iterate over the paths of the values that differ; those of a mapping are single ones."""
    for key in _differing(before, after):
        both = [each.get(key, {}) for each in (before, after)]
        if all(isinstance(each, Mapping) for each in both):
            yield from ((key, each) for each in _differing(*both))
        else:
            yield (key,)


def _found(machine: Machine, name: str, project: str) -> OriginalEntry:
    blueprint = machine.settings.blueprints.get(name)
    if not project and blueprint is not None and blueprint.entry.origin.is_ours:
        raise ConfigError(f"{name} is defined in {blueprint.entry.origin.words}; leave --original out")
    place = machine.place_of(blueprint.entry) if blueprint is not None and not project else None
    return original_edit.find(machine, name, project, place)


def _change(
    machine: Machine,
    found: OriginalEntry,
    name: str,
    value: Mapping[str, Any],
    changed_keys: Sequence[KeyPath],
) -> OriginalChange:
    after = found.text_with(value)
    words = vocabulary(({name: found.value}, {name: value}))
    lines = [*diff(found.site.path, found.text, after, words, what="changed")]
    hidden = tuple(_uncovered(map(OverlayPlace.of, machine.overlays(found.name)), found, changed_keys))
    for each in hidden:
        lines += _diff_of(each, found.name)
    return OriginalChange(found, value, tuple(lines), hidden)


def _uncovered(
    overlays: Iterable[OverlayPlace], found: OriginalEntry, changed_keys: Sequence[KeyPath]
) -> Iterator[UncoveredKeys]:
    """Iterate over the overlays that have changed keys, too: the newest value of a key counts, wherever it stands."""
    key_paths = dict.fromkeys(each for changed_key in changed_keys for each in _ours(found, changed_key))
    for place in overlays:
        edits, keys = uncovered(place, found.name, key_paths)
        if edits:
            yield UncoveredKeys(place, edits, keys)


def _ours(found: OriginalEntry, key_path: KeyPath) -> tuple[KeyPath, ...]:
    """Return the paths in an overlay of a key in a client's entry."""
    shape = found.site.dialect.shape_of(found.key_path)
    first, *rest = key_path
    if first in COMMANDS:
        return tuple((each,) for each in ("command", *(() if shape.words.args else ("args",)), *URL_KEYS))
    if key_path[: len(shape.headers)] == shape.headers:
        return ((HEADERS, *key_path[len(shape.headers) :]),)
    return ((ENV if first == shape.words.env else "args" if first == shape.words.args else first, *rest),)


def _diff_of(change: UncoveredKeys, name: str) -> Iterator[str]:
    place = change.place
    text = files.read_text(place.file, FILE_LIMIT)
    words = vocabulary(({name: place.value}, {name: overlay_after(place, name, change.edits)}))
    return diff(place.file, text, with_overlay(text, place, name, change.edits), words, what="changed")


def carry_out(machine: Machine, change: OriginalChange) -> None:
    """Write a change.

    :raise ConfigError: a file cannot be changed, or the entry has changed since; then no file is changed.
    """
    name = change.found.name
    former: list[FormerText] = []
    try:
        for each in change.uncovered:
            made = partial(with_overlay, place=each.place, name=name, changes=each.edits)
            former.append(write_back(each.place.file, made))
        if change.is_other:
            original_edit.change(machine, change.found, change.value)
    except ConfigError:
        for written in former:
            written.restore()
        raise


def _changed(found: OriginalEntry, name: str, patch: Patch) -> dict[str, Any]:
    if patch.switches or patch.new_name:
        raise ConfigError("a server is switched and renamed without --original")
    headers_key, *beneath = found.site.dialect.shape_of(found.key_path).headers
    _check_keys(found, name, {each[0] for each in _keys(patch)} - {ENV, HEADERS})
    if beneath and (patch.add_headers or patch.remove_headers):
        raise ConfigError(
            f"{found.site.dialect.title} has headers of an entry within another key",
            f"{cli('servers edit {} --original', name)} edits the entry",
        )
    whole: Any = {name: _with(_with(found.value, found.env_key, ENV), headers_key, HEADERS)}
    try:
        for each in patch.edits(name, whole[name]):
            permissions.check(each)
            whole = changed(whole, each, name)
    except InvalidParams as why:
        raise ConfigError(why.message, why.hint) from why
    return _with(_with(whole[name], HEADERS, headers_key), ENV, found.env_key)


def _check_keys(found: OriginalEntry, name: str, keys: AbstractSet[str]) -> None:
    strange = sorted(keys - found.keys)
    if strange:
        listed = ", ".join(map(printable, strange))
        raise ConfigError(
            f"{found.site.dialect.title} reads no {listed} in an entry",
            f"leave --original out to lay it over the entry: {cli('servers set {} KEY=VALUE', name)}",
        )


def _with(value: Mapping[str, Any], key: str, other: str) -> dict[str, Any]:
    """Return an entry whose variables, or headers, are under another key."""
    return {other if each == key else each: held for each, held in value.items()}


def _keys(patch: Patch) -> list[KeyPath]:
    variables = [(ENV, each) for each in (*patch.add_env, *patch.remove_env)]
    headers = [(HEADERS, each) for each in (*patch.add_headers, *patch.remove_headers)]
    return [*patch.values, *patch.unset, *variables, *headers]
