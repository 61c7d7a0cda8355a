"""The version of the package, and CHANGELOG.md, which towncrier writes of the fragments in docs/newsfragments."""

from __future__ import annotations

import re
import sys
from pathlib import Path

from tools.release.commands import ReleaseError, run

VERSION = re.compile(r"(\d+)\.(\d+)\.(\d+)(?:(a|b|rc)(\d+))?")
ASSIGNED = re.compile(r'^__version__ = "([^"]+)"$', re.MULTILINE)
START = "<!-- towncrier release notes start -->\n"
ROLE = re.compile(r":\w+:`(?:[^`<]*<)?/?([^`>]+)>?`")


def order(version: str) -> tuple[int, int, int, str, int]:
    """Return a version as a value that compares as versions do.

    :raise ReleaseError: the text is no version.
    """
    found = VERSION.fullmatch(version)
    if found is None:
        raise ReleaseError(f"{version!r} is no version; one is written as 0.2.0 or 0.2.0rc1")
    major, minor, patch, stage, number = found.groups()
    return int(major), int(minor), int(patch), stage or "release", int(number or 0)


def current(root: Path) -> str:
    """Return the version of the package in a checkout."""
    found = ASSIGNED.search(_module(root).read_text(encoding="utf-8"))
    if found is None:
        raise ReleaseError(f"{_module(root)} has no __version__")
    return found[1]


def assign(root: Path, version: str) -> None:
    """Write the version into the package."""
    text = _module(root).read_text(encoding="utf-8")
    _module(root).write_text(ASSIGNED.sub(f'__version__ = "{version}"', text), encoding="utf-8")


def extend(root: Path, version: str) -> None:
    """Move the fragments into the changelog, as the section of a version.

    :raise ReleaseError: there are no fragments, or towncrier fails.
    """
    if not list((root / "docs" / "newsfragments").glob("*.rst")):
        raise ReleaseError("docs/newsfragments is empty: nothing has changed since the last release")
    run(sys.executable, "-m", "towncrier", "build", "--yes", "--version", version, cwd=root)
    path = root / "CHANGELOG.md"
    head, start, rest = path.read_text(encoding="utf-8").partition(START)
    path.write_text(head + start + markdown(rest), encoding="utf-8")


def markdown(text: str) -> str:
    """Return text with the marks of reStructuredText that fragments use as those of Markdown."""
    roles = ROLE.sub(
        lambda found: f"`docs/{found[1]}.rst`" if found[0].startswith(":doc:") else found[1], text
    )
    return re.sub(r"``([^`]+)``", r"`\1`", roles)


def notes(root: Path, version: str) -> str:
    """Return the section of a version, without its title.

    :raise ReleaseError: the changelog has no such section.
    """
    text = (root / "CHANGELOG.md").read_text(encoding="utf-8")
    title = rf"^## mcpgateway {re.escape(version)} \([^)\n]*\)\n"
    found = re.search(rf"{title}(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    if found is None:
        raise ReleaseError(f"CHANGELOG.md has no section of {version}")
    return found[1].strip() + "\n"


def _module(root: Path) -> Path:
    return root / "mcpgateway" / "__init__.py"
