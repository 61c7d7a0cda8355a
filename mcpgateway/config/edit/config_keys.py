"""Dotted keys of a configuration file, their places in the gateway's own files, and changes of several of them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from mcpgateway.config.document import Place
from mcpgateway.config.edit.change import key_path_of as server_key_path
from mcpgateway.config.edit.edits import Edit, KeyPath, Put, Remove
from mcpgateway.config.edit.file_text import edit, in_its_dialect
from mcpgateway.config.edit.meant_key import meant_key
from mcpgateway.config.fields import seconds_in
from mcpgateway.config.load import Files
from mcpgateway.config.reference import ANY, KnownKey, counts_of, known_keys
from mcpgateway.config.section import Counts
from mcpgateway.errors import GatewayError, Unfit
from mcpgateway.hints import cli

EXAMPLE = ", such as gateway.limits.spawns or servers.NAME.timeout"


def config_key_path(key: str) -> KeyPath:
    """Return the path of a dotted key.

    :raise Unfit: no such key exists.
    """
    steps = tuple(key.strip(".").split("."))
    if steps[0] == "servers" and len(steps) > 2:
        try:
            return ("servers", steps[1], *server_key_path(".".join(steps[2:])))
        except GatewayError as why:
            raise Unfit(f"{why.message}; {why.hint}" if why.hint else why.message) from None
    if steps[0] == "servers" and len(steps) == 2:
        raise Unfit(f"{key} is a server; one of its keys is {key}.timeout")
    if known_key(steps) is None:
        raise Unfit(f"there is no key '{key}'{meant_key_in_words(key) or EXAMPLE}")
    return steps


def known_path(key_path: KeyPath) -> KeyPath:
    """Return the path of a key in the reference, where the name of a server is open."""
    return key_path if key_path[0] != "servers" else (key_path[0], ANY, *key_path[2:])


def known_key(steps: KeyPath) -> KnownKey | None:
    """Return the key at a path; None if there is no such key."""
    return next((each for each in known_keys() if _fits(each.key_path, steps)), None)


def _fits(known: KeyPath, steps: KeyPath) -> bool:
    return len(known) == len(steps) and all(
        mine in (ANY, theirs) for mine, theirs in zip(known, steps, strict=True)
    )


def meant_key_in_words(key: str) -> str:
    """Return the end of a sentence: the key of a file that is meant by one that is none; "" where none is near."""
    meant = meant_key(key, _documented())
    return f"; did you mean '{meant}'?" if meant else ""


def _documented(below: str = "") -> dict[str, str]:
    """Return the documentation of the keys of a file, or of those below one, by their dotted keys."""
    found = {
        ".".join(each.key_path): each.key.says
        for each in known_keys()
        if not each.key.alias and each.counts is not Counts.NEVER
    }
    return {each.removeprefix(below): says for each, says in found.items() if each.startswith(below)}


def meant_command(verb: str, word: str, server: str = "") -> str:
    """Return the command with the key that is meant in the place of one that does not exist; "" where none is near.

    :param verb: ``set`` or ``unset``.
    :param word: the key, with ``=`` and the value behind it where those may be shown.
    :param server: the server whose key is meant, unless only the gateway has such a key; empty for any.
    """
    key, equals, value = word.partition("=")
    own = f"servers.{ANY}."
    meant = meant_key(key, _documented(own)) if server else ""
    meant = f"{own}{meant}" if meant else meant_key(key, _documented())
    if equals and meant.endswith("Ms") and not value.isdigit() and (seconds := seconds_in(value)) is not None:
        value = f"{seconds * 1000:.0f}"
    if meant.startswith(own):
        words = (server or ANY, f"{meant.removeprefix(own)}{equals}{value}")
        return cli("servers set {} {}", *words) if verb == "set" else cli("servers unset {} {}", *words)
    if not meant:
        return ""
    assignment = f"{meant}{equals}{value}"
    return cli("config set {}", assignment) if verb == "set" else cli("config unset {}", assignment)


def places_in(found: Files, key_path: KeyPath) -> list[Place]:
    """Return the places of a key in the gateway's files, the one that outranks the others last."""
    places = []
    for document in found.native:
        place = document.root()
        for step in key_path:
            place = place.at(step)
        if place.value is not None:
            places.append(place)
    return places


def changes_by_file(
    found: Files, target: str, values: Mapping[KeyPath, Any], gone: Collection[KeyPath] = ()
) -> dict[str, tuple[Edit, ...]]:
    """Return the edits of each file: a value goes into the file that has the key, a key goes out of every file.

    :param target: the file of a key that none has.
    """
    by_file: dict[str, tuple[Edit, ...]] = {}
    for key_path, value in values.items():
        places = places_in(found, key_path)
        file = places[-1].document.file if places else target
        by_file[file] = (*by_file.get(file, ()), Put(key_path, value))
    for key_path in gone:
        for file in dict.fromkeys(each.document.file for each in places_in(found, key_path)):
            by_file[file] = (*by_file.get(file, ()), Remove(key_path))
    return by_file


def text_after(text: str, file: str, changes: Sequence[Edit]) -> str:
    """Return the text of a file after changes.

    :raise ConfigError: the text does not allow a change.
    """
    made = text
    for each in changes:
        made = edit(made, file, each)
    return in_its_dialect(text, made, file)


def rows_of(changes: Mapping[str, Sequence[Edit]]) -> list[dict[str, str]]:
    """Return each changed key with its file, and when its edit counts in a running gateway."""
    return [
        {"key": ".".join(each.key_path), "file": file, "counts": counts_of(known_path(each.key_path)).value}
        for file, edits in changes.items()
        for each in edits
    ]
