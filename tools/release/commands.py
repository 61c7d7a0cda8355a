"""Programs that a release is made with."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

LIMIT_S = 900.0  # of one program; building pages and fetching packages take a minute or two


class ReleaseError(Exception):
    """A release cannot be made."""


def run(*argv: str | Path, cwd: Path, environ: Mapping[str, str] | None = None) -> str:
    """Run a program and return its output, without the last newline.

    :param environ: variables beside those of this process.
    :raise ReleaseError: the program is not there, fails, or takes more than `LIMIT_S`.
    """
    words = [str(each) for each in argv]
    try:
        done = subprocess.run(
            words,
            cwd=cwd,
            env={**os.environ, **(environ or {})},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as why:
        raise ReleaseError(f"{words[0]}: {why}") from why
    if done.returncode:
        raise ReleaseError(f"{' '.join(words)} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return done.stdout.rstrip("\n")


def git(root: Path, *words: str) -> str:
    """Return the output of a command of git in a checkout.

    :raise ReleaseError: the command fails.
    """
    return run("git", *words, cwd=root)


def said(text: str) -> None:
    """Tell the person at the terminal."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()
