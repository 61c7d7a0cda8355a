"""The note in a shortened result: the missing parts, and the way to get them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mcpgateway.truncation.tree import RETRIEVE, Omission

KEPT = "gateway://results/"
META_KEY = "mcpgateway/truncation"  # in the result's ``_meta``
NAMED_CUTS = 3  # in the note
LISTED_CUTS = 10  # in ``_meta``
SHOWN_CHARS = 80  # of a path, or of a description of the missing part


def note(
    cuts: Sequence[Omission], ref: str, *, masked: int = 0, former: str = "", elsewhere: str = ""
) -> str:
    """Return a sentence or two for the reader of the result.

    :param former: how it compares with a result that the reader has been given before; empty for none such.
    :param elsewhere: the endpoint with the tool that shows the rest; empty for the endpoint of the call.
    """
    parts = []
    if former:
        parts.append(former)
    if ref and elsewhere:
        parts.append(
            f"Shortened: the resource {KEPT}{ref} has all of it, and {RETRIEVE} at {elsewhere} shows it in pages."
        )
    elif ref:
        parts.append(f'Shortened: {RETRIEVE} with ref "{ref}" has all of it.')
    if cuts:
        parts.append(
            f"{'; '.join(_text(each) for each in cuts[:NAMED_CUTS])}{_more(len(cuts) - NAMED_CUTS)}."
        )
    if masked:
        parts.append(f"{masked} {'value' if masked == 1 else 'values'} that look like secrets are masked.")
    return " ".join(parts)


def _text(cut: Omission) -> str:
    return f"{_shown(cut.path)}: {_shown(cut.what)}"


def _shown(text: str) -> str:
    shown = text if len(text) <= SHOWN_CHARS else f"{text[:SHOWN_CHARS]}…"
    return shown.encode("utf-8", "replace").decode()


def _more(count: int) -> str:
    return f"; {count} more" if count > 0 else ""


def listed(cuts: Sequence[Omission]) -> dict[str, Any]:
    """Return the missing parts of a value that has no room for markers."""
    members: dict[str, Any] = {
        "cuts": [{"path": _shown(each.path), "shown": _shown(each.what)} for each in cuts[:LISTED_CUTS]]
    }
    if len(cuts) > LISTED_CUTS:
        members["moreCuts"] = len(cuts) - LISTED_CUTS
    return members
