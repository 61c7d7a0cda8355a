"""``classification.json``: which servers are stateful, and how long a call to them may take."""

from __future__ import annotations

from collections.abc import Mapping

from attrs import frozen

from mcpgateway.config.document import Document
from mcpgateway.config.kinds import Choice, Duration, tried
from mcpgateway.config.model import Share
from mcpgateway.config.problems import Problems
from mcpgateway.config.section import Key, Section
from mcpgateway.config.serverkeys import SHARES

SAID = Section(
    "A classification",
    [
        Key("mode", Choice(SHARES), "How widely the server is shared."),
        Key("requestTimeout", Duration("ms"), "Milliseconds that a call may take."),
    ],
    is_open=True,
)


@frozen
class Classification:
    """What the file says of one server; None where it says nothing."""

    share: Share | None = None
    timeout_s: float | None = None


def read_classification(
    document: Document, problems: Problems, default_timeout_s: float | None = None
) -> Mapping[str, Classification]:
    """Read a classification file, by the servers' names; what cannot be used is a warning."""
    found: dict[str, Classification] = {}
    for place in document.root().members():
        own = Problems()
        said = tried(SAID, place, own)
        problems.soften(own, "it is ignored")
        if not own:
            found[place.key] = Classification(said.get("mode"), said.get("requestTimeout", default_timeout_s))
    return found
