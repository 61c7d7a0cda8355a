"""The commands that the pages of the documentation show."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
BLOCK = re.compile(r"^( *)\.\. code-block:: console\n\n((?:\1   .*\n|\n)+)", re.MULTILINE)
PROMPT = "$ "


def pages() -> list[Path]:
    """Every page, and every part of a page that others include."""
    found = [*DOCS.rglob("*.rst"), *DOCS.rglob("*.inc")]
    return sorted(path for path in found if "newsfragments" not in path.parts)


def commands(page: Path, *, start: str = "", end: str = "") -> list[str]:
    """The commands that readers of a page type, in their order, without prompts and output.

    :param start: a text of the page after which the commands begin; empty: at the head of the page.
    :param end: a text of the page before which the commands end; empty: at the end of the page.
    """
    text = page.read_text(encoding="utf-8")
    text = text.partition(start)[2] if start else text
    text = text.partition(end)[0] if end else text
    typed: list[str] = []
    for margin, block in BLOCK.findall(text):
        is_open = False
        for line in block.splitlines():
            shown = line.removeprefix(f"{margin}   ")
            if shown.startswith(PROMPT):
                typed.append(shown.removeprefix(PROMPT))
            elif is_open:
                typed[-1] += f"\n{shown}"
            is_open = line.endswith("\\")
    return typed
