"""``servers edit``: the entry of a server, or what lies over it, in the user's editor."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from textwrap import wrap
from typing import Any

from mcpgateway.cli.local.own_keys import edited_text, make_directory, write_checked
from mcpgateway.config.document import Document
from mcpgateway.config.edit.edits import Edit, Put, Remove, same
from mcpgateway.config.edit.file_text import edit as with_edit
from mcpgateway.config.edit.file_text import in_its_dialect
from mcpgateway.config.edit.overlays import OverlayPlace, overlay_place, with_overlay
from mcpgateway.config.entry import SERVER, read_server
from mcpgateway.config.load import key_path_of, overlays_of, place_of
from mcpgateway.config.merge import Blueprint
from mcpgateway.config.overlay import OF_SERVERS, read_overlay
from mcpgateway.config.problems import Problems
from mcpgateway.config.read import parse
from mcpgateway.config.section import Counts
from mcpgateway.errors import ConfigError
from mcpgateway.policy.secrets.masking import arguments
from mcpgateway.system import printing
from mcpgateway.system.settings import LoadOptions, config_file, examine, gather

DRAFT = "the draft.yaml"
WIDTH = 100


def edit(name: str, options: LoadOptions, environ: Mapping[str, str], again: Callable[[str], bool]) -> int:
    """Open the entry of a server in the user's editor, and take the edited keys if the gateway could use them.

    :param again: asks the user whether to edit once more, after the problems.
    :raise ConfigError: the edited keys cannot be used, and no file was changed.
    """
    settings = examine(options, environ).settings
    if settings is None:
        raise ConfigError("the configuration has an error, please mend that first: mcpgateway config check")
    blueprint = settings.blueprints.get(name)
    if blueprint is None:
        raise ConfigError(
            f"there is no server '{name}'; there are: {', '.join(settings.blueprints) or 'none'}"
        )
    place, is_overlay = _place(name, blueprint, options, environ)
    make_directory(place.file, options, environ)

    def errors_in(text: str) -> list[str]:
        return [str(each) for each in _problems(text, name, blueprint, is_overlay=is_overlay).errors]

    made = edited_text(
        _draft(name, blueprint, place, is_overlay=is_overlay), ".yaml", environ, errors_in, again
    )
    value = parse(made, DRAFT).value or {}
    if same(value, dict(place.value)):
        printing.put(f"{name} is unchanged.")
        return 0

    def edited(text: str) -> str:
        if is_overlay:
            return with_overlay(text, place, name, _changes(name, place.value, value))
        return in_its_dialect(text, with_edit(text, place.file, Put(place.key_path, value)), place.file)

    write_checked(place.file, edited, options, environ)
    for each in _problems(made, name, blueprint, is_overlay=is_overlay):
        printing.put(f"warning: {each}")
    printing.put(f"{name} is changed in {place.file}. A running gateway follows within a second.")
    return 0


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
            own = [each for each in OF_SERVERS if document.value.get(each) is not None]
            for each in own:
                what = f"cannot be changed here, since {blueprint.entry.origin.words} has it"
                problems.error(document.root().at(each).where, what)
            read_overlay(name, document.root(), problems)
        else:
            read_server(name, document.root(), blueprint.entry.origin, problems)
    except ConfigError as why:
        problems.catch(why, DRAFT)
    return problems


def _draft(name: str, blueprint: Blueprint, place: OverlayPlace, *, is_overlay: bool) -> str:
    lines = [f"# The server {name}, in {place.file}."]
    if is_overlay:
        program = " ".join(arguments(list(blueprint.entry.argv)))
        lines += [
            f"# Its own entry is in {blueprint.entry.origin.words}, which stays as it is:",
            f"#   {program}",
        ]
        lines += (
            [f"#   with the variables {', '.join(sorted(blueprint.entry.env))}"]
            if blueprint.entry.env
            else []
        )
        lines += ["# The keys here lie over it; variables are added to its own."]
    text = ""
    for key, value in place.value.items():
        text = with_edit(text, DRAFT, Put((key,), value))
    return "\n".join(
        [
            *lines,
            "",
            text,
            "# Further keys, with their defaults:",
            "#",
            *_further(place, is_overlay=is_overlay),
            "",
        ]
    )


def _further(place: OverlayPlace, *, is_overlay: bool) -> Iterator[str]:
    from json import dumps

    for key in SERVER.keys.values():
        is_left_out = key.alias or key.counts is Counts.NEVER or key.name in place.value
        if is_left_out or key.says.startswith("The same as") or (is_overlay and key.name in OF_SERVERS):
            continue
        default = "" if key.default is None else f" {dumps(key.default, ensure_ascii=False)}"
        yield f"# {key.name}:{default}"
        yield from (f"#     {line}" for line in wrap(key.says.replace("``", ""), WIDTH))
