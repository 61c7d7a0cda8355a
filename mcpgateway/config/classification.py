"""``classification.json``: settings of servers whose own files, such as those of clients, have no keys for them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from mcpgateway.config.document import Document
from mcpgateway.config.fields import Choice, Duration, tried
from mcpgateway.config.model import SHARES, CallLimit
from mcpgateway.config.problems import Problems
from mcpgateway.config.section import Key, Section
from mcpgateway.errors import ConfigError, InvalidParams

CLASSIFICATION = Section(
    "A classification",
    [
        Key("mode", Choice(SHARES), "How widely the server is shared."),
        Key("requestTimeout", Duration("ms"), "Milliseconds that a call may take."),
        Key("concurrency", CallLimit(), "How many calls of its tools are under way at once."),
    ],
    is_open=True,
)

PLACES: Mapping[tuple[str, ...], str] = {
    ("share",): "mode",
    ("scope",): "mode",
    ("concurrency",): "concurrency",
}
"""The names that keys of an entry have in this file."""


Classification = Mapping[str, Any]
"""The settings of one server in the file, by their names in a `ServerSettings`."""


def read_classification(
    document: Document, problems: Problems, default_timeout_s: float | None = None
) -> Mapping[str, Classification]:
    """Read a classification file, by the servers' names; an entry that cannot be used is a warning."""
    found: dict[str, Classification] = {}
    for place in document.root().members():
        own = Problems()
        values = tried(CLASSIFICATION, place, own)
        problems.soften(own, "it is ignored")
        if not own:
            settings = {
                "share": values.get("mode"),
                "timeout_s": values.get("requestTimeout", default_timeout_s),
                "concurrency": values.get("concurrency"),
            }
            found[place.key] = {name: each for name, each in settings.items() if each is not None}
    return found


def classifying(
    values: Mapping[tuple[str, ...], Any], unset: Iterable[tuple[str, ...]]
) -> dict[str, Any] | None:
    """Return a change of an entry's keys as a change of this file, in which None stands for a removed key.

    The result is None where one of the keys has no place there.

    :raise InvalidParams: a value is invalid for its key.
    """
    changes = {**dict.fromkeys(unset), **values}
    if not changes or not changes.keys() <= PLACES.keys():
        return None
    for key_path, value in changes.items():
        key = CLASSIFICATION.keys[PLACES[key_path]]
        if value is not None and not _may_be(key, value):
            raise InvalidParams(f"{'.'.join(key_path)}: found {value!r}", f"allowed: {key.kind.words}")
    return {PLACES[key_path]: value for key_path, value in changes.items()}


def _may_be(key: Key, value: Any) -> bool:
    try:
        key.kind.read(Document("", {key.name: value}, lambda _: 0).root().at(key.name), Problems())
    except ConfigError:
        return False
    return True
