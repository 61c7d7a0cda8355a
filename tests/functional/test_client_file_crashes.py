"""Users' files when a program that changes them is killed, or its disk fails, at any operation."""

import errno
import itertools
import json
import os
import re
import shutil
import subprocess
import sys
from contextlib import suppress
from itertools import pairwise
from typing import NamedTuple

import pytest

from mcpgateway.clientfiles.disk import Disk
from mcpgateway.clientfiles.ledger import Ledger
from mcpgateway.clientfiles.transaction import ALONE_S, CONTESTED_S
from mcpgateway.errors import ConfigError
from tests.support.adoption import ORIGINAL, TRANSACTIONS, Scene
from tests.support.faulty_disk import DyingDisk, FailingDisk, FaultyDisk, Killed
from tests.support.gateway import IS_SOAK

pytestmark = pytest.mark.functional

# How the file is: an ordinary one, one with two names, and one on a file system that knows no exchange.
CHANGER = os.path.join(os.path.dirname(__file__), "changer_of_files.py")
LIMIT_S = 120
KINDS = ("file", "linked", "plain")
QUICK = (errno.ENOSPC, errno.EACCES, 0)
ERRORS = (errno.ENOSPC, errno.EIO, errno.EACCES, errno.EROFS, errno.EDQUOT)


class PlainDisk(Disk):
    """A disk whose file system knows no exchange of names."""

    def exchange(self, one, other):
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))


class MeddledDisk(DyingDisk):
    """A disk on which somebody else replaces the file just before names are exchanged for the first time."""

    def __init__(self, at, scene):
        super().__init__(at)
        self.scene = scene
        self.is_meddled = False

    def _done(self, name, operation, arguments):
        if name == "exchange" and not self.is_meddled and self.count < self.at:
            self.is_meddled = True
            other = f"{self.scene.folder}/theirs"
            with open(other, "w", newline="") as file:
                file.write(self.scene.text.replace('"numStartups": 3', '"numStartups": 4'))
            os.replace(other, self.scene.path)
        return super()._done(name, operation, arguments)


def disk_of(kind, base, *arguments, **options):
    """A faulty disk for a file of that kind."""
    if kind != "plain":
        return base(*arguments, **options)
    return type("Plain" + base.__name__, (base,), {"exchange": PlainDisk.exchange})(*arguments, **options)


def outcomes(folder, name, kind):
    """The file and the ledger before and after a transaction, and the number of operations that it takes."""
    scene = Scene(folder, kind).prepared(name)
    before = scene.text, scene.said
    disk = disk_of(kind, FaultyDisk)
    TRANSACTIONS[name][1](scene.adopter(disk))
    return before, (scene.text, scene.said), disk.count


def failure(action, adopter):
    """Do it, and say why it was not done."""
    try:
        action(adopter)
    except ConfigError as why:
        return str(why)
    return ""


def alike(said, other):
    """Return whether two ledgers agree; their paths differ with the folders."""
    if said is None or other is None:
        return said is other
    return (said.entries, said.suspended, len(said.chain)) == (
        other.entries,
        other.suspended,
        len(other.chain),
    )


class CrashTests:
    """A program that is killed at each operation in turn, and the next one."""

    @pytest.mark.parametrize(
        ("name", "kind"),
        [
            pytest.param(name, kind, marks=() if kind == "file" or name == "apply" else pytest.mark.soak)
            for name in TRANSACTIONS
            for kind in KINDS
        ],
    )
    def test_killed_at_every_operation(self, tmp_path, name, kind):
        """The file is the old or the new one, the ledger says which, and nothing is left beside it."""
        before, after, count = outcomes(tmp_path / "whole", name, kind)
        seen = set()
        for at in range(1, count + 1):
            scene = Scene(tmp_path / str(at), kind).prepared(name)
            with pytest.raises(Killed):
                TRANSACTIONS[name][1](scene.adopter(disk_of(kind, DyingDisk, at)))
            if kind != "linked":  # which is written in place, and so half-written for a moment
                assert scene.text in (before[0], after[0]), at
                whole = before if scene.text == before[0] else after
                assert alike(scene.said, whole[1]), at
            scene.recover()
            whole = before if scene.text == before[0] else after
            assert scene.text == whole[0], at
            assert alike(scene.said, whole[1]), at
            assert scene.strays == [], at
            seen.add(scene.text)
            TRANSACTIONS[name][1](scene.adopter())
            assert (scene.text, alike(scene.said, after[1])) == (after[0], True), at
        assert seen == {before[0], after[0]}

    @pytest.mark.parametrize("name", ["apply", "undo"])
    def test_killed_over_somebodys_edit(self, tmp_path, name):
        """An edit that a client wrote in the last moment is in the file, wherever the program was killed then."""
        at, count = 0, 1
        while at <= count:
            at += 1
            scene = Scene(tmp_path / str(at)).prepared(name)
            disk = MeddledDisk(at, scene)
            with suppress(Killed):
                TRANSACTIONS[name][1](scene.adopter(disk))
            count = max(count, disk.count)
            scene.recover()
            assert ('"numStartups": 4' in scene.text) is disk.is_meddled, at
            assert scene.strays == [], at
            said = scene.said
            standing = set(re.findall("localhost:9100/([a-z]+)/mcp", scene.text))
            assert standing <= {each.name for each in (said.entries if said else {}).values()}, at
            scene.adopter().undo()
            assert json.loads(scene.text)["mcpServers"] == json.loads(ORIGINAL)["mcpServers"], at
        assert count > 40

    @pytest.mark.soak
    @pytest.mark.parametrize("kind", KINDS)
    @pytest.mark.parametrize("name", TRANSACTIONS)
    def test_killed_while_recovering(self, tmp_path, name, kind):
        """A program that puts things in order may be killed as well."""
        before, after, count = outcomes(tmp_path / "whole", name, kind)
        for at in range(3, count + 1, 7):
            for again in (4, 11, 17, 23, 29, 37):
                scene = Scene(tmp_path / f"{at}-{again}", kind).prepared(name)
                with pytest.raises(Killed):
                    TRANSACTIONS[name][1](scene.adopter(disk_of(kind, DyingDisk, at)))
                try:
                    Ledger(scene.home, disk_of(kind, DyingDisk, again)).recover()
                except Killed:
                    pass
                scene.recover()
                whole = before if scene.text == before[0] else after
                assert scene.text == whole[0], (at, again)
                assert alike(scene.said, whole[1]), (at, again)
                assert scene.strays == [], (at, again)


@pytest.mark.parametrize(
    ("name", "kind", "code", "is_lasting"),
    [
        pytest.param(
            name, kind, code, is_lasting,
            id=f"{name}-{kind}-{errno.errorcode.get(code, 'short')}-{'lasting' if is_lasting else 'once'}",
            marks=() if name == "apply" and kind == "file" and code in QUICK else pytest.mark.soak,
        )
        for name in ("apply", "undo")
        for kind in KINDS
        for code in (*ERRORS, 0)
        for is_lasting in (False, True)
    ],
)  # fmt: skip
class FailureTests:
    """A disk on which each operation in turn fails."""

    def test_failing_at_every_operation(self, tmp_path, name, kind, code, is_lasting):
        """The change is made, or the file is as it was and the error says what to do."""
        before, after, count = outcomes(tmp_path / "whole", name, kind)
        for at in range(1, count + 1):
            scene = Scene(tmp_path / str(at), kind).prepared(name)
            disk = disk_of(kind, FailingDisk, at, code, is_lasting=is_lasting)
            why = failure(TRANSACTIONS[name][1], scene.adopter(disk))
            is_changed = not why
            assert is_changed or (os.sep in why and "hush" not in why), why
            assert is_changed or code, (at, disk.log[at - 1])
            if not is_lasting or kind != "linked":
                assert scene.text == (after if is_changed else before)[0], (at, disk.log[at - 1])
            scene.recover()
            whole = before if scene.text == before[0] else after
            assert scene.text == whole[0], (at, disk.log[at - 1])
            assert alike(scene.said, whole[1]), (at, disk.log[at - 1])
            TRANSACTIONS[name][1](scene.adopter())
            assert scene.text == after[0]
            assert scene.strays == [], (at, disk.log[at - 1])


def run(*words, under=()):
    """Run the program that changes files."""
    command = [*under, sys.executable, "-P", CHANGER, *map(str, words)]
    environ = {**os.environ, "PYTHONPATH": os.getcwd()}
    return subprocess.run(command, env=environ, capture_output=True, text=True, timeout=LIMIT_S, check=False)


def judge(scene, before, after):
    """Judge whether file and ledger agree about one of two states, before and after recovery."""
    assert scene.text in (before[0], after[0])
    scene.recover()
    whole = before if scene.text == before[0] else after
    assert alike(scene.said, whole[1])
    assert scene.strays == []


class KillTests:
    """A real program that is really killed."""

    @pytest.mark.parametrize("name", ["apply", "undo"])
    def test_killed_by_itself(self, tmp_path, name):
        """SIGKILL at each operation in turn leaves the old or the new file."""
        before, after, _ = outcomes(tmp_path / "whole", name, "file")
        ran = run("kill", tmp_path, name)
        assert ran.returncode == 0, ran.stderr
        count = int(ran.stdout)
        assert count > 20
        for at in range(1, count + 1):
            judge(Scene.found(tmp_path / str(at)), before, after)

    @pytest.mark.parametrize("call", ["fsync", "renameat2", "rename", "unlink", "fchmod", "flock", "write"])
    def test_killed_by_the_tracer(self, tmp_path, call):
        """A kill at any system call that changes something leaves the old or the new file."""
        if shutil.which("strace") is None:
            pytest.skip("strace is not installed")
        before, after, _ = outcomes(tmp_path / "whole", "apply", "file")
        for at in itertools.count(1, 1 if IS_SOAK else 5):
            scene = Scene(tmp_path / str(at))
            inject = f"inject={call}:signal=KILL:when={at}"
            tracer = ("strace", "-f", "-qq", "-o", "/dev/null", "-e", f"trace={call}", "-e", inject)
            ran = run("act", scene.folder, "apply", under=tracer)
            judge(scene, before, after)
            if ran.returncode == 0:
                break
        assert at > 1
        assert scene.text == after[0]


class MountTests:
    """File systems as they really are."""

    def test_a_full_one(self, tmp_path):
        """Where there is no room, the file stays, and the error says so; with room, it goes on."""
        ran = mounted(tmp_path, "mount -t tmpfs -o size=256k none {m} && {changer} full {m}")
        found = [json.loads(line) for line in ran.stdout.splitlines()]
        assert found, ran.stderr
        assert any("No space left" in each.get("error", "") for each in found)
        assert found[-1]["is_changed"]
        assert all(each["is_whole"] for each in found)

    def test_a_file_mounted_by_itself(self, tmp_path):
        """A file that is mounted cannot be replaced, so it is written in place, and the answer says so."""
        scene = Scene(tmp_path / "scene")
        file = f"{scene.folder}/claude.json"
        ran = mounted(tmp_path, f"mount --bind {file} {file} && {{changer}} act {scene.folder} apply")
        assert json.loads(ran.stdout)["in_place"], ran.stderr
        assert "localhost:9100/git" in scene.text
        assert scene.strays == []

    def test_a_read_only_one(self, tmp_path):
        """The file stays, and the error says why."""
        scene = Scene(tmp_path / "scene")
        file = f"{scene.folder}/claude.json"
        ran = mounted(
            tmp_path,
            f"mount --bind {file} {file} && mount -o remount,ro,bind {file}"
            f" && {{changer}} act {scene.folder} apply",
        )
        assert "ead-only" in json.loads(ran.stdout)["error"], ran.stderr
        assert scene.text == ORIGINAL
        assert scene.strays == []

    def test_an_immutable_file(self, tmp_path):
        """The file stays, and the error says what to do."""
        scene = Scene(tmp_path / "scene")
        made = subprocess.run(["chattr", "+i", scene.path], capture_output=True, check=False)
        if made.returncode:
            pytest.skip("files cannot be made immutable here")
        try:
            ran = run("act", scene.folder, "apply")
            assert "chattr" in json.loads(ran.stdout)["error"]
            assert scene.strays == []
        finally:
            subprocess.run(["chattr", "-i", scene.path], check=True)
        assert scene.text == ORIGINAL


def mounted(folder, command):
    """Run a shell command where it may mount something."""
    place = folder / "mounted"
    place.mkdir()
    changer = f"{sys.executable} -P {CHANGER}"
    shell = ["unshare", "-rm", "sh", "-c", command.format(m=place, changer=changer)]
    if shutil.which("unshare") is None or subprocess.run(["unshare", "-rm", "true"], check=False).returncode:
        pytest.skip("nothing can be mounted here")
    environ = {**os.environ, "PYTHONPATH": os.getcwd()}
    return subprocess.run(shell, env=environ, capture_output=True, text=True, timeout=LIMIT_S, check=False)


@pytest.mark.parametrize(
    ("seconds", "pause", "lock"),
    [
        (3, 0.1, "lock"),
        (3, 0.02, "unlocked"),
        pytest.param(30, 0.1, "lock", marks=pytest.mark.soak),
        pytest.param(30, 0.02, "unlocked", marks=pytest.mark.soak),
    ],
)
class RaceTests:
    """Another program that reads, changes and replaces the same file."""

    def test_no_edit_is_lost(self, tmp_path, seconds, pause, lock):
        """At the rates at which clients write, each edit of both is in the file at the end."""
        found = race(tmp_path, seconds, pause, lock)
        assert found.done, found
        assert (found.refused, found.lost, found.lost_theirs) == (0, [], 0)


class HotRaceTests:
    """A program that writes without a pause."""

    def test_it_is_refused_rather_than_lost(self, tmp_path):
        """A change that would lose an edit is not made, and a displaced edit is kept."""
        found = race(tmp_path, 3, 0.001, "unlocked")
        assert found.done + found.refused
        assert found.lost_theirs <= found.theirs // 100, found


class Race(NamedTuple):
    """The outcome of a race.

    :ivar done: the number of changes that were made.
    :ivar refused: the number of changes that were refused.
    :ivar lost: those of the changes made that are not in the file, but for the unnoticeable ones.
    :ivar theirs: the number of writes of the other program.
    :ivar lost_theirs: the number of them that are not in the file.
    """

    done: int
    refused: int
    lost: list[int]
    theirs: int
    lost_theirs: int


def unnoticed(done_s, writes):
    """Whether a write of the other program began before a change was done, and was held up longer than is watched."""
    return any(
        began < done_s < ended and (ended - began >= ALONE_S or ended - former >= CONTESTED_S)
        for (_, former), (began, ended) in pairwise([(0.0, 0.0), *writes])
    )


def race(folder, seconds, pause, lock):
    """Let two programs write one file, and count what is lost of each."""
    home, file = folder / "home", folder / "claude.json"
    home.mkdir()
    # As large as a file of somebody who has used it for a while.
    file.write_text(json.dumps({"mcpServers": {}, "history": ["x" * 100] * 500, "theirs": {}, "ours": {}}))
    environ = {**os.environ, "PYTHONPATH": os.getcwd()}
    other = subprocess.Popen(
        [sys.executable, "-P", CHANGER, "rewrite", file, str(pause), lock],
        env=environ,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert other.stdout.readline() == "ready\n"
        ran = run("churn", home, file, seconds, 0.02)
        out, _ = other.communicate(timeout=LIMIT_S)
    finally:
        other.kill()
        other.wait()
    assert ran.returncode == 0, ran.stderr
    mine, writes = json.loads(ran.stdout), json.loads(out)["done"]
    held = json.loads(file.read_text())
    lost = [
        number
        for number, done_s in enumerate(mine["done"])
        if str(number) not in held["ours"] and not unnoticed(done_s, writes)
    ]
    return Race(len(mine["done"]), mine["refused"], lost, len(writes), len(writes) - len(held["theirs"]))
