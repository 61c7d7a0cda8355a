"""A release that is made for tests, once for all of them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from mcpgateway import __version__
from tests.support.real_servers import ROOT

LONG = pytest.mark.skipif(
    not os.environ.get("MCPGATEWAY_RELEASE"), reason="takes minutes; make test-release runs it"
)
LIMIT_S = 1800.0


class Release(NamedTuple):
    """A release.

    :ivar clone: the checkout that it was made of.
    :ivar key: the key that has signed it.
    :ivar output: what the program said.
    """

    clone: Path
    key: Path
    output: str

    @property
    def files(self) -> Path:
        """The folder of its files."""
        return self.clone / "dist" / __version__

    def file(self, pattern: str) -> Path:
        """The one file of that name."""
        (found,) = self.files.glob(pattern)
        return found


def git(root: Path, *words: str) -> str:
    """The output of git."""
    return subprocess.run(
        ["git", *words], cwd=root, check=True, capture_output=True, text=True, timeout=120
    ).stdout.strip()


def cloned(folder: Path) -> Path:
    """A new clone of the checkout, with what is not committed in it."""
    clone = folder / "clone"
    subprocess.run(["git", "clone", "--quiet", "--no-hardlinks", ROOT, clone], check=True, timeout=300)
    git(clone, "config", "user.name", "A Releaser")
    git(clone, "config", "user.email", "releaser@example.org")
    changed = git(ROOT, "status", "--porcelain", "--no-renames", "-z", "--untracked-files=all").split("\0")
    for name in (each.lstrip()[2:].lstrip() for each in changed if each):
        if (ROOT / name).exists():
            (clone / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, clone / name)
        else:
            (clone / name).unlink(missing_ok=True)
    git(clone, "add", "--all")
    git(clone, "commit", "--quiet", "--allow-empty", "--message", "What is at work")
    return clone


def made(folder: Path) -> Release:
    """Make a release of a new clone, unless ``MCPGATEWAY_RELEASE`` names the folder of an earlier one."""
    earlier = Path(os.environ["MCPGATEWAY_RELEASE"])
    folder = earlier if earlier.is_absolute() else folder
    if (folder / "clone" / "dist").is_dir():
        return Release(folder / "clone", folder / "key", "")
    clone, key = cloned(folder), folder / "key"
    subprocess.run(
        ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "tests", "-f", key], check=True, timeout=60
    )
    done = cut(clone, __version__, "--key", str(key))
    assert done.returncode == 0, done.stdout + done.stderr
    return Release(clone, key, done.stdout)


def cut(clone: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run the program that makes a release."""
    return subprocess.run(
        [sys.executable, "-m", "tools.release", "cut", *words],
        cwd=clone,
        check=False,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        env={**os.environ, "PYTHONPATH": str(clone)},
    )
