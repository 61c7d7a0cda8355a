"""Users' files when a program that changes them is killed, or its disk fails, at any operation."""

import errno
import hashlib
import os
import signal
import subprocess
import sys

import pytest
from tests.support.adoption import ORIGINAL, Adopter
from tests.support.faulty_disk import DyingDisk, FailingDisk, FaultyDisk, Killed

from mcpgateway.errors import ConfigError
from mcpgateway.host.disk import DISK, Disk
from mcpgateway.host.ledger import Ledger

pytestmark = pytest.mark.functional

# What is done before a transaction, and the transaction.
TRANSACTIONS = {
    "apply": ((), lambda adopter: adopter.apply("git", "time")),
    "adopt more": ((lambda adopter: adopter.apply("git"),), lambda adopter: adopter.apply("time", "files")),
    "suspend": ((lambda adopter: adopter.apply("git", "time"),), Adopter.suspend),
    "resume": (
        (lambda adopter: adopter.apply("git", "time"), Adopter.suspend),
        lambda adopter: adopter.apply("git", "time"),
    ),
    "undo": (
        (lambda adopter: adopter.apply("git"), lambda adopter: adopter.apply("time")),
        Adopter.undo,
    ),
}
# How the file is: an ordinary one, one with two names, and one on a file system that knows no exchange.
KINDS = ("file", "linked", "plain")
ERRORS = (errno.ENOSPC, errno.EIO, errno.EACCES, errno.EROFS, errno.EDQUOT)


class PlainDisk(Disk):
    """A disk whose file system knows no exchange of names."""

    def exchange(self, one, other):
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))


class Scene:
    """A home and a client's file in it."""

    def __init__(self, folder, kind="file"):
        self.home = str(folder / "home")
        self.path = str(folder / "claude.json")
        self.folder = folder
        folder.mkdir()
        os.mkdir(self.home)
        with open(self.path, "w", newline="") as file:
            file.write(ORIGINAL)
        if kind == "linked":
            os.link(self.path, folder / "other.json")

    def adopter(self, disk=DISK):
        """Somebody who adopts it."""
        return Adopter(Ledger(self.home, disk), self.path)

    @property
    def text(self):
        """What the file holds."""
        with open(self.path, newline="") as file:
            return file.read()

    @property
    def said(self):
        """What the ledger says of it, without the way there."""
        return Ledger(self.home).read().files.get(self.path)

    @property
    def strays(self):
        """What is beside the file that was not there before."""
        return sorted(set(os.listdir(self.folder)) - {"home", "claude.json", "other.json"})


def disk_of(kind, base, *arguments, **options):
    """A faulty disk for a file of that kind."""
    if kind != "plain":
        return base(*arguments, **options)
    return type("Plain" + base.__name__, (base,), {"exchange": PlainDisk.exchange})(*arguments, **options)


def outcomes(folder, name, kind):
    """What a file and the ledger are before and after a transaction, and how many operations that takes."""
    scene = Scene(folder, kind)
    prepare, act = TRANSACTIONS[name]
    for each in prepare:
        each(scene.adopter())
    before = scene.text, scene.said
    disk = disk_of(kind, FaultyDisk)
    act(scene.adopter(disk))
    return before, (scene.text, scene.said), disk.count


def alike(said, other):
    """Whether the ledger says the same; its paths differ with the folders."""
    if said is None or other is None:
        return said is other
    return (said.entries, said.suspended, len(said.chain)) == (other.entries, other.suspended, len(other.chain))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", TRANSACTIONS)
class CrashTests:
    """A program that is killed at each operation in turn, and the next one."""

    def test_killed_at_every_operation(self, tmp_path, name, kind):
        """The file is the old or the new one, the ledger says which, and nothing is left beside it."""
        before, after, count = outcomes(tmp_path / "whole", name, kind)
        seen = set()
        for at in range(1, count + 1):
            scene = Scene(tmp_path / str(at), kind)
            prepare, act = TRANSACTIONS[name]
            for each in prepare:
                each(scene.adopter())
            with pytest.raises(Killed):
                act(scene.adopter(disk_of(kind, DyingDisk, at)))
            if kind != "linked":  # which is written in place, and so half-written for a moment
                assert scene.text in (before[0], after[0]), at
                whole = before if scene.text == before[0] else after
                assert alike(scene.said, whole[1]), at
            Ledger(scene.home).recover()
            whole = before if scene.text == before[0] else after
            assert scene.text == whole[0], at
            assert alike(scene.said, whole[1]), at
            assert scene.strays == [], at
            seen.add(scene.text)
            act(scene.adopter())
            assert (scene.text, alike(scene.said, after[1])) == (after[0], True), at
        assert seen == {before[0], after[0]}

    def test_killed_while_recovering(self, tmp_path, name, kind):
        """Whoever puts things in order may be killed as well."""
        before, after, count = outcomes(tmp_path / "whole", name, kind)
        for at in range(3, count + 1, 7):
            for again in (4, 11, 17, 23, 29, 37):
                scene = Scene(tmp_path / f"{at}-{again}", kind)
                prepare, act = TRANSACTIONS[name]
                for each in prepare:
                    each(scene.adopter())
                with pytest.raises(Killed):
                    act(scene.adopter(disk_of(kind, DyingDisk, at)))
                try:
                    Ledger(scene.home, disk_of(kind, DyingDisk, again)).recover()
                except Killed:
                    pass
                Ledger(scene.home).recover()
                whole = before if scene.text == before[0] else after
                assert scene.text == whole[0], (at, again)
                assert alike(scene.said, whole[1]), (at, again)
                assert scene.strays == [], (at, again)


@pytest.mark.parametrize("is_lasting", [False, True], ids=["once", "lasting"])
@pytest.mark.parametrize("code", [*ERRORS, 0], ids=lambda code: errno.errorcode.get(code, "short"))
@pytest.mark.parametrize("kind", KINDS)
class FailureTests:
    """A disk on which each operation in turn fails."""

    @pytest.mark.parametrize("name", ["apply", "undo"])
    def test_failing_at_every_operation(self, tmp_path, name, kind, code, is_lasting):
        """The change is made, or the file is as it was and the error says what to do."""
        before, after, count = outcomes(tmp_path / "whole", name, kind)
        for at in range(1, count + 1):
            scene = Scene(tmp_path / str(at), kind)
            prepare, act = TRANSACTIONS[name]
            for each in prepare:
                each(scene.adopter())
            disk = disk_of(kind, FailingDisk, at, code, is_lasting=is_lasting)
            try:
                act(scene.adopter(disk))
                is_changed = True
            except ConfigError as why:
                is_changed = False
                assert os.sep in str(why), why
                assert "hush" not in str(why)
            assert is_changed or code, (at, disk.log[at - 1])
            if not is_lasting or kind != "linked":
                assert scene.text == (after if is_changed else before)[0], (at, disk.log[at - 1])
            Ledger(scene.home).recover()
            whole = before if scene.text == before[0] else after
            assert scene.text == whole[0], (at, disk.log[at - 1])
            assert alike(scene.said, whole[1]), (at, disk.log[at - 1])
            act(scene.adopter())
            assert scene.text == after[0]
            assert scene.strays == [], (at, disk.log[at - 1])
