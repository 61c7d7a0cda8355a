"""Tests of the file of a cluster's key."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from mcpgateway.cli.console import Trouble
from mcpgateway.cli.local.cluster_key import make_key, rotate_key
from mcpgateway.cluster.node import read_keys


def test_made(tmp_path: Path) -> None:
    """A new file has one long key, and only its owner reads it; a file that is there stays."""
    path = tmp_path / "deep" / "cluster.key"
    make_key(str(path))
    assert len(path.read_text().strip()) >= 32
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with pytest.raises(Trouble, match="exists already"):
        make_key(str(path))


def test_rotated(tmp_path: Path) -> None:
    """A new key is read at first and used the second time, when the former one is still read; then it begins anew."""
    path = tmp_path / "cluster.key"
    make_key(str(path))
    (first,) = keys(path)
    assert not rotate_key(str(path))
    former, new = keys(path)
    assert former == first != new
    assert rotate_key(str(path))
    assert keys(path) == [new, first]
    assert not rotate_key(str(path))
    assert keys(path)[0] == new
    assert first not in keys(path)
    assert path.stat().st_mode & 0o777 == 0o600


def keys(path: Path) -> list[str]:
    """Return the keys of a file, as nodes read them."""
    found = read_keys(path.read_text().splitlines())
    assert found is not None
    return [found.newest, *found.former]


def test_nothing_to_rotate(tmp_path: Path) -> None:
    """A file that is missing, or has no key, is not rotated."""
    with pytest.raises(Trouble, match="does not exist"):
        rotate_key(str(tmp_path / "none"))
    empty = tmp_path / "empty"
    empty.write_text("# no key\n")
    with pytest.raises(Trouble, match="has no key"):
        rotate_key(str(empty))
