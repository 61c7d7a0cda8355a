"""Tests of the file of a cluster's key."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from mcpgateway.cli.console import Trouble
from mcpgateway.cli.local.cluster_key import make_key, rotate_key


def test_made(tmp_path: Path) -> None:
    """A new file has one long key, and only its owner reads it; a file that is there stays."""
    path = tmp_path / "deep" / "cluster.key"
    make_key(str(path))
    assert len(path.read_text().strip()) >= 32
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with pytest.raises(Trouble, match="exists already"):
        make_key(str(path))


def test_rotated(tmp_path: Path) -> None:
    """A rotation puts a new key first and keeps the former one, and no older one."""
    path = tmp_path / "cluster.key"
    make_key(str(path))
    first = path.read_text().strip()
    rotate_key(str(path))
    second, kept = path.read_text().split()
    assert kept == first != second
    rotate_key(str(path))
    assert path.read_text().split()[1:] == [second]


def test_nothing_to_rotate(tmp_path: Path) -> None:
    """A file that is missing, or has no key, is not rotated."""
    with pytest.raises(Trouble, match="does not exist"):
        rotate_key(str(tmp_path / "none"))
    empty = tmp_path / "empty"
    empty.write_text("# no key\n")
    with pytest.raises(Trouble, match="has no key"):
        rotate_key(str(empty))
