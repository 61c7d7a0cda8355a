"""A user's file that is changed while others may write it."""

import os
import stat
from pathlib import Path

import pytest

from mcpgateway.clientfiles.backups import Backups, digest_of
from mcpgateway.clientfiles.disk import DISK, Disk
from mcpgateway.clientfiles.replacement import leftovers, part_name, whole_name
from mcpgateway.clientfiles.transaction import CHANGES, change, directory_lock
from mcpgateway.errors import ConfigError
from tests.support.faulty_disk import FaultyDisk


@pytest.fixture
def backups(tmp_path):
    """The kept versions of a home."""
    (tmp_path / "home").mkdir()
    return Backups(str(tmp_path / "home"), FaultyDisk())


@pytest.fixture
def file(tmp_path):
    """A file of a user."""
    folder = tmp_path / "user"
    folder.mkdir()
    path = folder / ".claude.json"
    path.write_bytes(b"one\r\n")
    path.chmod(0o640)
    os.utime(path, (0, 0))
    return path


def add(text):
    """An edit that is done once."""
    return text if "ours" in text else text + "ours\n"


class Meddler(FaultyDisk):
    """A disk on which somebody else does something just before an operation.

    :param kind: the operation.
    :param deeds: what is done before the first, second… of these; None for nothing.
    """

    def __init__(self, kind, *deeds):
        super().__init__()
        self.kind = kind
        self.deeds = list(deeds)

    def _done(self, name, operation, arguments):
        if name == self.kind and self.deeds:
            deed = self.deeds.pop(0)
            if deed:
                deed()
        return operation(*arguments)


def replaced(path, data):
    """A deed: the file is replaced, as clients do it."""

    def deed():
        other = path.with_name("theirs")
        other.write_bytes(data)
        os.replace(other, path)

    return deed


class ChangeTests:
    """The file after a change."""

    def test_it_is_changed(self, file, backups):
        """A changed file has the new text and the old mode; the old version is in the backups, and nothing else is
        left.
        """
        changed = change(str(file), add, backups=backups)
        assert file.read_bytes() == b"one\r\nours\n"
        assert stat.S_IMODE(file.stat().st_mode) == 0o640
        assert changed.displaced == (digest_of(b"one\r\n"),)
        assert (changed.before, changed.after) == (digest_of(b"one\r\n"), digest_of(b"one\r\nours\n"))
        assert backups.get(changed.before) == b"one\r\n"
        assert os.listdir(file.parent) == [".claude.json"]
        assert "ours" not in repr(changed)

    def test_nothing_changes(self, file, backups):
        """A file that has the text already is not written."""
        before = file.stat()
        assert change(str(file), lambda text: text, backups=backups) is None
        assert (file.stat().st_ino, file.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)

    def test_a_byte_order_mark(self, file, backups):
        """The edit sees the whole text."""
        file.write_bytes("\ufeffone".encode())
        os.utime(file, (0, 0))
        change(str(file), add, backups=backups)
        assert file.read_bytes() == "\ufeffoneours\n".encode()

    def test_behind_links(self, file, backups):
        """Relative and chained links stay what they are."""
        first, second = file.with_name("first"), file.parent.parent / "second"
        first.symlink_to(".claude.json")
        second.symlink_to("user/first")
        changed = change(str(second), add, backups=backups)
        assert changed.path == str(file)
        assert first.is_symlink()
        assert second.is_symlink()
        assert file.read_bytes() == b"one\r\nours\n"

    def test_links_in_a_circle(self, file, backups):
        """Links that lead nowhere are named."""
        one, other = file.with_name("a"), file.with_name("b")
        one.symlink_to(other)
        other.symlink_to(one)
        with pytest.raises(ConfigError, match="symbolic links"):
            change(str(one), add, backups=backups)

    def test_a_hard_link(self, file, backups):
        """A file with two names stays one file, and the answer says that it was written in place."""
        os.link(file, file.with_name("other"))
        changed = change(str(file), add, backups=backups)
        assert "2 hard links" in changed.in_place
        assert file.with_name("other").read_bytes() == b"one\r\nours\n"
        assert backups.get(changed.before) == b"one\r\n"

    def test_extended_attributes(self, file, backups):
        """Extended attributes of a changed file stay."""
        try:
            os.setxattr(file, "user.note", b"mine")
        except (OSError, AttributeError):
            pytest.skip("the file system keeps no attributes")
        change(str(file), add, backups=backups)
        assert os.getxattr(file, "user.note") == b"mine"

    def test_the_owner(self, file, backups):
        """A file of somebody else that root changes stays his."""
        if os.geteuid() != 0:
            pytest.skip("only root can give files away")
        os.chown(file, 4242, 4343)
        change(str(file), add, backups=backups)
        assert (file.stat().st_uid, file.stat().st_gid) == (4242, 4343)

    def test_no_file(self, file, backups):
        """A missing file stays missing, unless it is to be made."""
        path = file.with_name("new.json")
        with pytest.raises(FileNotFoundError):
            change(str(path), add, backups=backups)
        assert not path.exists()
        change(str(path), add, backups=backups, create=True)
        assert path.read_bytes() == b"ours\n"
        assert stat.S_IMODE(path.stat().st_mode) == 0o600

    def test_somebody_makes_it_first(self, file, tmp_path):
        """A new file does not displace one that has come meanwhile."""
        path = file.with_name("new.json")
        backups = Backups(str(tmp_path / "home"), Meddler("link", lambda: path.write_bytes(b"theirs\n")))
        change(str(path), add, backups=backups, create=True)
        assert path.read_bytes() == b"theirs\nours\n"

    def test_a_large_one(self, file, backups):
        """Fifty megabytes are changed as well."""
        file.write_bytes(b"x" * 50 * 1_048_576)
        os.utime(file, (0, 0))
        change(str(file), add, backups=backups)
        assert file.stat().st_size == 50 * 1_048_576 + 5

    def test_too_large(self, file, backups):
        """A file beyond the limit is refused."""
        with pytest.raises(ConfigError, match="larger than 4 bytes"):
            change(str(file), add, backups=backups, limit=4)

    def test_the_clients_lock(self, file, backups):
        """The client's lock is held while the file is worked on."""
        seen = []
        lock = directory_lock(str(file))
        change(
            str(file),
            lambda text: seen.append(os.path.isdir(lock.path)) or add(text),
            backups=backups,
            lock=lock,
        )
        assert seen == [True]
        assert not os.path.exists(lock.path)

    def test_told_before_and_after(self, file, backups):
        """The ledger is told before the file changes, and can stop the change."""
        told = []
        change(
            str(file),
            add,
            backups=backups,
            before=lambda old, new: told.append((old, new, file.read_bytes())),
            after=lambda changed: told.append(file.read_bytes()),
        )
        assert told == [(b"one\r\n", b"one\r\nours\n", b"one\r\n"), b"one\r\nours\n"]

        def refuse(old, new):
            raise ConfigError("the ledger is full")

        with pytest.raises(ConfigError, match="full"):
            change(str(file), lambda text: "", backups=backups, before=refuse)
        assert file.read_bytes() == b"one\r\nours\n"


class InvalidTests:
    """A file in the middle of being written."""

    def test_it_becomes_valid(self, file, backups):
        """An invalid file is read again."""
        texts = []

        def edit(text):
            texts.append(text)
            if len(texts) == 3:
                raise AssertionError("it is read too often")
            if len(texts) == 1:
                file.write_text("two")
                raise ConfigError("cut short")
            return text + "ours"

        change(str(file), edit, backups=backups)
        assert texts[1] == "two"
        assert file.read_text() == "twoours"

    @pytest.mark.parametrize("data", [b"", b"\xff\xfe", b"{"])
    def test_it_stays_invalid(self, file, backups, data):
        """A file that stays invalid is left as it is after half a second."""
        file.write_bytes(data)

        def edit(text):
            raise ConfigError("not valid")

        began = backups.disk.now()
        with pytest.raises(ConfigError):
            change(str(file), edit, backups=backups)
        assert 0.4 < backups.disk.now() - began < 5
        assert file.read_bytes() == data


class RefusalTests:
    """Files that cannot be changed."""

    def test_read_only(self, file, backups):
        """A file that its owner has made read-only is left alone, whoever asks."""
        file.chmod(0o444)
        with pytest.raises(ConfigError, match=r"read-only.*chmod u\+w"):
            change(str(file), add, backups=backups)

    def test_of_another_user(self, file, tmp_path):
        """A file of somebody else is his to change."""

        class Stranger(FaultyDisk):
            def user(self):
                return 4711

        with pytest.raises(ConfigError, match="another user"):
            change(str(file), add, backups=Backups(str(tmp_path / "home"), Stranger()))

    def test_no_regular_file(self, file, backups):
        """A pipe or a directory is no file to change."""
        os.mkfifo(file.with_name("pipe"))
        for path in (file.with_name("pipe"), file.parent):
            with pytest.raises(ConfigError, match=r"regular file|directory"):
                change(str(path), add, backups=backups)

    def test_another_home_has_the_lock(self, file, tmp_path):
        """A change that waits too long for the ledger's lock is refused with that reason."""
        (tmp_path / "home").mkdir()
        with Backups(str(tmp_path / "home")).locked(), pytest.raises(ConfigError, match="another mcpgateway"):
            change(str(file), add, backups=Backups(str(tmp_path / "home"), FaultyDisk()))


class RaceTests:
    """Another program that writes the file at the same time."""

    def run(self, file, tmp_path, kind, *deeds, data=b"one\ntheirs\n"):
        """Change the file while that is done, and return what came of it."""
        (tmp_path / "home").mkdir()
        backups = Backups(str(tmp_path / "home"), Meddler(kind, *deeds))
        changed = change(str(file), add, backups=backups)
        assert file.read_bytes() == data + b"ours\n"
        assert os.listdir(file.parent) == [".claude.json"]
        return backups, changed

    @pytest.mark.parametrize("kind", ["attributes", "sync", "exchange"])
    def test_replaced_meanwhile(self, file, tmp_path, kind):
        """The edits of both writers are in the file, whenever the other came."""
        self.run(file, tmp_path, kind, replaced(file, b"one\ntheirs\n"))

    def test_replaced_again(self, file, tmp_path):
        """A version that is written over ours while ours is taken back is not lost either."""
        backups, _ = self.run(
            file,
            tmp_path,
            "exchange",
            replaced(file, b"one\nfirst\n"),
            replaced(file, b"one\nfirst\nsecond\n"),
            data=b"one\nfirst\nsecond\n",
        )
        assert backups.get(digest_of(b"one\nfirst\n")) == b"one\nfirst\n"

    def test_written_in_place(self, file, tmp_path):
        """A program that has the file open is waited for."""
        stream = open(file, "r+b", buffering=0)  # noqa: SIM115 - it is closed while the change waits

        class Open(FaultyDisk):
            def sleep(self, seconds):
                super().sleep(seconds)
                if not stream.closed:
                    stream.write(b"one\ntheirs\n")
                    stream.close()

        with open(file, "rb") as looked:
            if not DISK.is_being_written(looked.fileno()):
                stream.close()
                pytest.skip("this file system does not tell who writes")
        (tmp_path / "home").mkdir()
        change(str(file), add, backups=Backups(str(tmp_path / "home"), Open()))
        assert file.read_bytes() == b"one\ntheirs\nours\n"

    def test_overwritten(self, file, tmp_path):
        """A program that writes what it has read before our change does not undo it."""
        os.utime(file)
        (tmp_path / "home").mkdir()

        class Late(FaultyDisk):
            is_done = False

            def sleep(self, seconds):
                super().sleep(seconds)
                if not self.is_done:
                    self.is_done = True
                    replaced(file, b"one\ntheirs\n")()

        change(str(file), add, backups=Backups(str(tmp_path / "home"), Late()))
        assert file.read_bytes() == b"one\ntheirs\nours\n"

    def test_overwritten_at_once(self, file, tmp_path):
        """Nor does one that writes as soon as our change is in its place."""
        os.utime(file)
        (tmp_path / "home").mkdir()
        deeds = [replaced(file, b"one\ntheirs\n")]

        def landed(changed):
            if deeds:
                deeds.pop()()

        change(str(file), add, backups=Backups(str(tmp_path / "home"), FaultyDisk()), landed=landed)
        assert file.read_bytes() == b"one\ntheirs\nours\n"

    def test_written_all_the_time(self, file, tmp_path):
        """A file that another program keeps writing is refused in the end, and stays as that program left it."""
        deeds = [replaced(file, f"one\n{number}\n".encode()) for number in range(2 * CHANGES)]
        (tmp_path / "home").mkdir()
        with pytest.raises(ConfigError, match="all the time"):
            change(str(file), add, backups=Backups(str(tmp_path / "home"), Meddler("sync", *deeds)))
        assert b"ours" not in file.read_bytes()

    def test_removed_meanwhile(self, file, tmp_path):
        """A file that is removed is not made again."""
        (tmp_path / "home").mkdir()
        with pytest.raises(FileNotFoundError):
            change(str(file), add, backups=Backups(str(tmp_path / "home"), Meddler("exchange", file.unlink)))
        assert os.listdir(file.parent) == []


class LeftoverTests:
    """Leftovers of killed programs."""

    def test_swept_at_the_next_run(self, file, backups):
        """Our own versions go, and what was displaced is kept."""
        for name, data in {
            part_name(str(file), b"never whole"): b"half",
            whole_name(part_name(str(file), b"made")): b"made",
            whole_name(part_name(str(file), b"other")): b"displaced",
        }.items():
            Path(name).write_bytes(data)
        change(str(file), add, backups=backups)
        assert os.listdir(file.parent) == [".claude.json"]
        assert backups.get(digest_of(b"displaced")) == b"displaced"
        assert backups.get(digest_of(b"half")) is None

    def test_of_a_program_that_runs(self, file):
        """A file that a running program works with is not touched, nor is one with a similar name."""
        name = part_name(str(file), b"made")
        Path(name.replace(f"-{os.getpid()}-", f"-{os.getppid()}-")).write_bytes(b"")
        Path(name.partition(f"{os.getpid()}-")[0] + "notes").write_bytes(b"")
        assert leftovers(Disk(), str(file)) == []


class KeptTests:
    """The kept versions."""

    def test_private(self, backups):
        """The backups are private."""
        with backups.locked():
            digest = backups.put(b"hush")
        assert stat.S_IMODE(os.stat(backups.directory).st_mode) == 0o700
        assert stat.S_IMODE(os.stat(os.path.join(backups.directory, digest)).st_mode) == 0o600

    def test_the_oldest_go(self, backups, monkeypatch):
        """The number of backups is bounded, and those that are needed stay."""
        monkeypatch.setattr("mcpgateway.clientfiles.backups.KEPT_FILES", 3)
        with backups.locked():
            digests = [backups.put(b"%d" % number) for number in range(6)]
            for age, digest in enumerate(digests):
                os.utime(os.path.join(backups.directory, digest), (age, age))
            backups.needed = frozenset(digests[:1])
            backups.trim()
        assert [digest for digest in digests if backups.get(digest)] == [digests[0], *digests[3:]]

    def test_not_as_it_was(self, backups):
        """A version that was tampered with is none."""
        with backups.locked():
            digest = backups.put(b"one")
        with open(os.path.join(backups.directory, digest), "wb") as stream:
            stream.write(b"two")
        assert backups.get(digest) is None
