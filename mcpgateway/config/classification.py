"""``classification.json``: settings of servers whose own files, such as those of clients, have no keys for them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mcpgateway.config.document import Document
from mcpgateway.config.fields import Choice, Duration, tried
from mcpgateway.config.model import SHARES, CallLimit
from mcpgateway.config.problems import Problems
from mcpgateway.config.section import Key, Section

CLASSIFICATION = Section(
    "A classification",
    [
        Key("mode", Choice(SHARES), "How widely the server is shared."),
        Key("requestTimeout", Duration("ms"), "Milliseconds that a call may take."),
        Key("concurrency", CallLimit(), "How many calls of its tools are under way at once."),
    ],
    is_open=True,
)

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
