"""``servers edit``: the entry of a server, or what lies over it, in the user's editor."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from textwrap import wrap
from typing import Any

from attrs import frozen
from msgspec.structs import replace

from mcpgateway.cli.console import shortened
from mcpgateway.cli.local.broken import with_line
from mcpgateway.cli.local.own_keys import edited_text, make_directory, write_checked
from mcpgateway.config.diff import runs_alike
from mcpgateway.config.document import Document
from mcpgateway.config.edit.edits import Edit, Put, Remove, same
from mcpgateway.config.edit.file_text import edit as with_edit
from mcpgateway.config.edit.file_text import in_its_dialect
from mcpgateway.config.edit.overlays import OverlayPlace, overlay_place, tidied, with_overlay
from mcpgateway.config.entry import SERVER, Entry, read_server
from mcpgateway.config.load import key_path_of, overlays_of, place_of
from mcpgateway.config.merge import Blueprint
from mcpgateway.config.overlay import MARK, OF_SERVERS, read_overlay
from mcpgateway.config.problems import Problem, Problems
from mcpgateway.config.reach_settings import Container, Remote
from mcpgateway.config.read import parse
from mcpgateway.config.section import Counts
from mcpgateway.config.settings import Settings
from mcpgateway.discovery.naming import server_hint
from mcpgateway.errors import ConfigError
from mcpgateway.hints import cli
from mcpgateway.policy.secrets.masking import masked
from mcpgateway.system import approvals, paths
from mcpgateway.system.settings import LoadOptions, config_file, examine, gather

DRAFT = "the draft.yaml"
REPAIRED = ("command", "url")  # the keys of OF_SERVERS by which people repair a server of a client's file
UNCHANGED = "A draft that is left unchanged saves nothing."
WIDTH = 100
OF_REST = frozenset(("rest_url", "health_endpoint", "openapi", "operations", "credentials", "tools"))
OF_CODE_GRAPHS = frozenset(("projects", "defaultProject"))
RARE = OF_REST | OF_CODE_GRAPHS  # keys of servers of which most people have none


@frozen
class EditedServer:
    """The outcome of an edit.

    :ivar file: the file that has the keys.
    :ivar keys: the keys that are changed.
    :ivar restarts: a process with the former keys has to be replaced.
    """

    file: str
    keys: tuple[str, ...] = ()
    restarts: bool = False
    warnings: tuple[str, ...] = ()


def edit(
    name: str, options: LoadOptions, environ: Mapping[str, str], again: Callable[[str], bool]
) -> EditedServer:
    """Open the entry of a server in the user's editor, and take the edited keys if the gateway could use them.

    :param again: asks the user whether to edit once more, after the problems.
    :raise ConfigError: the edited keys cannot be used, and no file was changed.
    """
    settings = examine(options, environ).settings
    if settings is None:
        raise ConfigError(f"the configuration has an error, please mend that first: {cli('config check')}")
    blueprint = settings.blueprints.get(name) or _of_project(name, settings, options, environ)
    if blueprint is None:
        raise ConfigError(f"Unknown server: {name}", server_hint(name, settings.blueprints))
    place, is_overlay = _place(name, blueprint, options, environ)
    make_directory(place.file, options, environ)

    def refusals(text: str) -> list[Problem]:
        return _problems(text, name, blueprint, is_overlay=is_overlay).refusals

    draft = _draft(name, blueprint, place, is_overlay=is_overlay)
    former = [replace(each.where, line=0) for each in refusals(draft) if each.is_unknown_key]

    def errors_in(text: str) -> list[str]:
        return [with_line(each, text) for each in refusals(text) if replace(each.where, line=0) not in former]

    made = edited_text(draft, ".yaml", environ, errors_in, again)
    value = parse(made, DRAFT).value or {}
    if is_overlay and MARK in place.value:
        value = {
            **value,
            MARK: place.value[MARK],
        }  # the draft does not have it: its keys say whether it is needed
    if same(value, dict(place.value)):
        return EditedServer(place.file)

    def edited(text: str) -> str:
        if is_overlay:
            return with_overlay(text, place, name, tidied(place, name, _changes(name, place.value, value)))
        return in_its_dialect(text, with_edit(text, place.file, Put(place.key_path, value)), place.file)

    write_checked(place.file, edited, options, environ)
    changes = _changes(name, place.value, value)
    return EditedServer(
        place.file,
        tuple(each.key_path[1] for each in changes),
        _restarts(settings, examine(options, environ).settings, name, changes),
        tuple(str(each) for each in _problems(made, name, blueprint, is_overlay=is_overlay)),
    )


def _of_project(
    name: str, settings: Settings, options: LoadOptions, environ: Mapping[str, str]
) -> Blueprint | None:
    """Return the template of the server of a project's approved file; None if none has it."""
    entry = approvals.approved_entries(paths.gateway_home(environ, options.home or None)).get(name)
    return Blueprint(name, entry, settings.world) if entry is not None and settings.world else None


def _restarts(before: Settings, after: Settings | None, name: str, changes: Sequence[Edit]) -> bool:
    one, other = (
        next((each for each in settings.servers if each.name == name), None)
        for settings in (before, after or before)
    )
    if one is None or other is None:  # of a project
        keys = [SERVER.keys[each.key_path[1]] for each in changes if each.key_path[1] in SERVER.keys]
        return any(each.counts is Counts.NEW_PROCESS for each in keys)
    return not (other.enabled and runs_alike(one, other))


def _place(
    name: str, blueprint: Blueprint, options: LoadOptions, environ: Mapping[str, str]
) -> tuple[OverlayPlace, bool]:
    """Return the place of the keys to edit, and whether they lie over an entry."""
    files = gather(options, environ)
    own = place_of(files, blueprint.entry) if blueprint.entry.origin.is_ours else None
    if own is not None and not overlays_of(files, name):
        return OverlayPlace(own.document.file, key_path_of(own), own.value), False
    return overlay_place(files, config_file(options, environ), name), True


def _changes(name: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> list[Edit]:
    gone: list[Edit] = [Remove((name, each)) for each in before if each not in after]
    return [
        *gone,
        *(
            Put((name, key), value)
            for key, value in after.items()
            if key not in before or not same(before[key], value)
        ),
    ]


def _problems(text: str, name: str, blueprint: Blueprint, *, is_overlay: bool) -> Problems:
    problems = Problems()
    try:
        document = parse(text, DRAFT, flaws=problems)
        document = document if document.value is not None else Document(DRAFT, {}, document.line_of)
        if not isinstance(document.value, dict):
            raise document.root().wrong_secret("keys and their values")
        if is_overlay:
            read_overlay(name, document.root(), problems)
        else:
            read_server(name, document.root(), blueprint.entry.origin, problems)
    except ConfigError as why:
        problems.catch(why, DRAFT)
    return problems


def _draft(name: str, blueprint: Blueprint, place: OverlayPlace, *, is_overlay: bool) -> str:
    entry, file = blueprint.entry, shortened(place.file)
    if is_overlay:
        source = shortened(entry.origin.words)
        lines = [
            f"Keys for the server {name}, which are saved in {file}.",
            f"What you write here lies over the entry of {source}, which stays as it is:",
            "a key here replaces the one there; variables and headers are added to those there; a command keeps the",
            "args there, unless args are here, too. Without keys here the entry alone counts.",
            f"To edit the entry itself: {cli('servers edit {} --original', name)}",
            UNCHANGED,
            "",
            f"The entry of {source}, without its secrets:",
            "",
            *(f"    {each}" for each in _in_yaml(masked(_written(entry))).splitlines()),
            "",
            "The keys over it:" if place.value else "The keys over it, of which there are none yet:",
        ]
    else:
        lines = [f"The entry of the server {name} in {file}.", UNCHANGED]
    return "\n".join(
        [
            *(f"# {each}".rstrip() for each in lines),
            "",
            _in_yaml({key: value for key, value in place.value.items() if not (is_overlay and key == MARK)}),
            "# Further keys that can be set, with their defaults:",
            "#",
            *_further(place, is_overlay=is_overlay, has_rare=not entry.argv),
            "",
        ]
    )


def _in_yaml(value: Mapping[str, Any]) -> str:
    text = ""
    for key, held in value.items():
        text = with_edit(text, DRAFT, Put((key,), held))
    return text


def _written(entry: Entry) -> dict[str, Any]:
    """Return the content of an entry; of one that is enrolled, what its client has without the gateway."""
    if entry.place is not None:
        return dict(entry.place.value)
    reach = entry.reach
    found = {
        "url": reach.url if isinstance(reach, Remote) else "",
        "headers": dict(reach.headers) if isinstance(reach, Remote) else {},
        "docker": reach.image if isinstance(reach, Container) else "",
        "command": "".join(entry.argv[:1]) if not isinstance(reach, Container) else "",
        "args": list(entry.argv if isinstance(reach, Container) else entry.argv[1:]),
        "env": dict(entry.env),
        "cwd": entry.cwd,
    }
    return {key: value for key, value in found.items() if value}


def _further(place: OverlayPlace, *, is_overlay: bool, has_rare: bool) -> Iterator[str]:
    from json import dumps

    for key in SERVER.keys.values():
        is_left_out = key.alias or key.counts is Counts.NEVER or key.name in (*place.value, MARK)
        is_elsewhere = is_overlay and key.name in OF_SERVERS and key.name not in REPAIRED
        is_rare = key.name in RARE and not (has_rare or RARE & place.value.keys())
        if is_left_out or key.says.startswith("The same as") or is_elsewhere or is_rare:
            continue
        default = "" if key.default is None else f" {dumps(key.default, ensure_ascii=False)}"
        yield f"# {key.name}:{default}"
        yield from (f"#     {line}" for line in wrap(key.says.replace("``", ""), WIDTH))
