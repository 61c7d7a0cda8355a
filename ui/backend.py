# ruff: noqa: INP001 - a file beside the pages, and no package
"""Setuptools, which builds the pages of the dashboard first; without npm a package of a checkout has none.

The hooks are those of PEP 517 and PEP 660.  A source distribution and a release have the pages.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
from gzip import GzipFile
from pathlib import Path
from typing import Any

from setuptools import build_meta
from setuptools.build_meta import *  # noqa: F403 - the other hooks

ROOT = Path(__file__).parent.parent
UI, BUILT = ROOT / "ui", ROOT / "mcpgateway" / "data" / "ui" / "index.json"
INSTALL = ["npm", "install", "--no-save", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
BUILD = ["npm", "run", "--silent", "build"]
LIMIT_S = 300


def build_wheel(*arguments: Any, **options: Any) -> str:
    """Build a wheel, with the pages."""
    renew_pages()
    made: str = build_meta.build_wheel(*arguments, **options)
    return made


def build_sdist(directory: str, *arguments: Any, **options: Any) -> str:
    """Build a source distribution, with the pages."""
    renew_pages()
    made: str = build_meta.build_sdist(directory, *arguments, **options)
    if epoch := os.environ.get("SOURCE_DATE_EPOCH"):
        settle(Path(directory) / made, int(epoch))
    return made


def settle(path: Path, epoch: int) -> None:
    """Write an archive anew, in an order, with dates, owners and modes that depend on its content only.

    :param epoch: seconds since 1970, of https://reproducible-builds.org/specs/source-date-epoch/; wheels keep to them
        by themselves.
    """
    settled = path.with_suffix(".settled")
    with (
        tarfile.open(path) as old,
        settled.open("wb") as file,
        GzipFile("", "wb", mtime=epoch, fileobj=file) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as new,
    ):
        for member in sorted(old.getmembers(), key=lambda each: each.name):
            plain = tarfile.TarInfo(member.name)
            plain.type, plain.size, plain.mtime = member.type, member.size, epoch
            plain.mode = 0o755 if member.isdir() or member.mode & 0o100 else 0o644
            new.addfile(plain, old.extractfile(member) if member.isfile() else None)
    settled.replace(path)


def renew_pages() -> None:
    """Build the pages where they are missing or older than their sources."""
    if is_stale() and not build_pages():
        sys.stderr.write("There is no dashboard: it is built by npm, which is missing or failed.\n")


def is_stale() -> bool:
    """Return whether the sources of the pages are there, and newer than the pages."""
    sources = [UI / "package.json", *(UI / "core" / "src").rglob("*"), *(UI / "web").rglob("src/**/*")]
    newest = max((each.stat().st_mtime for each in sources if each.is_file()), default=0.0)
    return newest > (BUILT.stat().st_mtime if BUILT.exists() else 0.0)


def build_pages() -> bool:
    """Build the pages; return whether that succeeded."""
    if shutil.which("npm") is None:
        return False
    commands = [BUILD] if (UI / "node_modules" / "esbuild").exists() else [INSTALL, BUILD]
    try:
        return all(
            subprocess.run(each, cwd=UI, check=False, timeout=LIMIT_S).returncode == 0 for each in commands
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
