"""``classification.json``: which servers are stateful, and how long a call to them may take."""

from __future__ import annotations

from collections.abc import Mapping

from attrs import frozen

from mcpgateway.config import values
from mcpgateway.config.document import Document
from mcpgateway.config.entry import share
from mcpgateway.config.model import Share
from mcpgateway.errors import ConfigError


@frozen
class Classification:
    """What the file says of one server; None where it says nothing."""

    share: Share | None = None
    timeout_s: float | None = None


def read_classification(
    document: Document, warnings: list[str], default_timeout_s: float | None = None
) -> Mapping[str, Classification]:
    """Read a classification file, by the servers' names; what cannot be used is a warning."""
    found: dict[str, Classification] = {}
    for place in document.root().members():
        try:
            values.mapping(place)
            found[place.key] = Classification(
                share(place.at("mode")) if place.has("mode") else None,
                values.duration_ms(place.at("requestTimeout"))
                if place.has("requestTimeout")
                else default_timeout_s,
            )
        except ConfigError as why:
            warnings.append(f"{why}; it is ignored")
    return found
