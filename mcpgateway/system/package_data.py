"""The package's own data: recipes of known servers, topics of the gateway's documentation, words for the search."""

from __future__ import annotations

import json
import os
from typing import Any

import mcpgateway

DATA = os.path.join(os.path.dirname(os.path.abspath(mcpgateway.__file__)), "data")


def recipes() -> dict[str, Any]:
    """Return the catalogue of known servers, as `mcpgateway.config.recipes.read_recipes` takes it."""
    found: dict[str, Any] = json.loads(_text("recipes.json"))
    return found


def topics() -> str:
    """Return the documentation for models, topic by topic."""
    return _text("topics.md")


def thesaurus() -> bytes:
    """Return the table of words of similar meaning, as `mcpgateway.discovery.thesaurus.Thesaurus` takes it."""
    with open(os.path.join(DATA, "thesaurus.txt"), "rb") as stream:
        return stream.read()


def wordpieces() -> str:
    """Return the vocabulary of the sentence model (of BERT, Apache-2.0), one piece a line."""
    return _text("wordpieces.txt")


def _text(name: str) -> str:
    with open(os.path.join(DATA, name), encoding="utf-8") as stream:
        return stream.read()
