"""Media types of the bodies that are sent to services."""

from __future__ import annotations

from collections.abc import Iterable

JSON = "application/json"
FORM = "application/x-www-form-urlencoded"
PARTS = "multipart/form-data"
BYTES = "application/octet-stream"
_ANY = ("*/*", "application/*")
_TEXTS = ("application/xml", "application/yaml", "application/x-yaml", "application/graphql")


def bare(media: str) -> str:
    """Return a media type without its parameters."""
    return media.partition(";")[0].strip().lower()


def is_json(media: str) -> bool:
    """True if a media type is JSON."""
    return bare(media) == JSON or bare(media).endswith("+json")


def is_any(media: str) -> bool:
    """True if a media type stands for any type, JSON among them."""
    return bare(media) in _ANY


def is_text(media: str) -> bool:
    """True if a media type is text that an agent can write."""
    return bare(media).startswith("text/") or bare(media).endswith(("+xml", "+yaml")) or bare(media) in _TEXTS


def chosen(kinds: Iterable[str]) -> str:
    """Return the media type for the body of a request: JSON where it is allowed, or else the simplest one."""
    listed = list(kinds)
    for is_wanted in (is_json, is_any, _is_parts, _is_form, is_text):
        found = next((kind for kind in listed if is_wanted(kind)), None)
        if found is not None:
            return found
    return listed[0]


def _is_parts(media: str) -> bool:
    return bare(media) == PARTS


def _is_form(media: str) -> bool:
    return bare(media) == FORM


def is_form(media: str) -> bool:
    """True if a body of this type has fields that are encoded separately."""
    return _is_parts(media) or _is_form(media)
