"""External values of the gateway's own configuration: the output of programs, and values of the keyring.

This module finds the values to fetch, and whether they may be; `mcpgateway.system.secret_providers` fetches them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from attrs import field, frozen

from mcpgateway.config.document import Document, Place
from mcpgateway.config.expand import SOURCE, called, escaped
from mcpgateway.config.file_format import Native
from mcpgateway.config.problems import Problems, Where
from mcpgateway.errors import Unfit

COMMAND, KEYRING = "cmd:", "keyring:"
BUNDLES = ("profiles", "workspaces", "projects")
ENABLING = "set secrets.allow_cmd to true, in a file of the gateway's own"


@frozen
class ExternalValue:
    """An external value, and the place that needs it.

    :ivar name: its name, such as ``keyring:service/name``.
    """

    name: str = field(repr=False)
    where: Where


def wanted(native: Native, documents: Sequence[Document], problems: Problems) -> tuple[ExternalValue, ...]:
    """Return the external values to fetch; those that are not allowed, or empty, are added to the problems.

    Values of servers that are switched off are left out.
    """
    found: list[ExternalValue] = []
    for text, place in _texts_of(native, documents):
        for each in SOURCE.finditer(text):
            one = ExternalValue(f"{each['source']}:{each['what']}", place.where)
            why, hint = _refused(one.name, native)
            if why:
                problems.error(one.where, why, hint)
            else:
                found.append(one)
    return tuple(found)


def command_of(name: str) -> tuple[str, ...]:
    """Return the program and its arguments: words quoted as in a shell, without any other syntax of shells.

    :raise ValueError: a quotation has no end.
    """
    import shlex

    return tuple(shlex.split(name.removeprefix(COMMAND)))


def service_of(name: str) -> tuple[str, str]:
    """Return the service of an entry of the keyring, which may have slashes in it, and the name."""
    service, _, user = name.removeprefix(KEYRING).rpartition("/")
    return service, user


def unasked(value: Any) -> Any:
    """Return a value of another program's file, escaped so that nothing is fetched for it in the gateway's."""
    match value:
        case str():
            return SOURCE.sub(lambda found: escaped(found[0]), value)
        case dict():
            return {key: unasked(each) for key, each in value.items()}
        case list():
            return [unasked(each) for each in value]
        case tuple():
            return tuple(unasked(each) for each in value)
        case _:
            return value


def refuse(value: Any) -> None:
    """Refuse a value from a caller that is not at the keyboard, if an external value would be fetched for it.

    :raise Unfit: the value is refused.
    """
    if unasked(value) != value:
        raise Unfit("${cmd:…} and ${keyring:…} are only taken from what the user writes into a file")


def _refused(name: str, native: Native) -> tuple[str, str]:
    if name.startswith(KEYRING):
        fine = all(service_of(name))
        return ("", "") if fine else (f"{called(name)} names no entry", "write ${keyring:service/name}")
    if not native.allows_commands:
        return "takes what a command prints, and secrets.allow_cmd is off", ENABLING
    try:
        words = command_of(name)
    except ValueError:
        return f"{called(name)} has a quotation without an end", ""
    return ("", "") if words and words[0] else (f"{called(name)} names no program", "")


def _texts_of(native: Native, documents: Iterable[Document]) -> Iterator[tuple[str, Place]]:
    """Iterate over all texts that may hold external values."""
    for listed in (*native.servers.values(), *native.overlays):
        entry = listed.place.value
        if (
            isinstance(entry, dict)
            and entry.get("enabled") is not False
            and entry.get("disabled") is not True
        ):
            yield from _texts(listed.place)
    for document in documents:
        root = document.root()
        for key in BUNDLES:
            bundles = root.at(key)
            for bundle in bundles.members() if isinstance(bundles.value, dict) else ():
                yield from _texts(bundle.at("env"))
        security = root.at("settings").at("security")
        yield from _keys(security.at("auth"))
        yield from _texts(security.at("oauth").at("dashboard").at("client_secret"))


def _keys(auth: Place) -> Iterator[tuple[str, Place]]:
    """Iterate over the texts with the keys and tokens of callers, where callers need one."""
    if not isinstance(auth.value, dict) or auth.value.get("enabled") is not True:
        return
    yield from _texts(auth.at("api_keys"))
    tokens = auth.at("project_tokens")
    if isinstance(tokens.value, dict):
        yield from ((each, tokens) for each in tokens.value)  # a place of its own would name the token


def _texts(place: Place) -> Iterator[tuple[str, Place]]:
    match place.value:
        case str():
            yield place.value, place
        case dict():
            for each in place.members():
                yield from _texts(each)
        case list():
            for each in place.items():
                yield from _texts(each)
