"""Files, privately and whole."""

import os
import stat

import pytest

from mcpgateway.errors import ConfigError
from mcpgateway.system.files import (
    make_home,
    read_bytes,
    read_text,
    write_atomic,
)


def mode(path):
    """Return the permission bits of a file."""
    return stat.S_IMODE(os.stat(path).st_mode)


class ReadTextTests:
    def test_byte_order_mark(self, tmp_path):
        """A byte order mark is no part of the text."""
        (tmp_path / "f").write_bytes(b"\xef\xbb\xbfh\xc3\xa9")
        assert read_text(str(tmp_path / "f"), 100) == "hé"

    def test_limit(self, tmp_path):
        """A file at the limit is read, and one byte more is refused."""
        (tmp_path / "f").write_bytes(b"x" * 10)
        assert read_text(str(tmp_path / "f"), 10) == "x" * 10
        with pytest.raises(ConfigError, match="is larger than 9 bytes"):
            read_text(str(tmp_path / "f"), 9)

    def test_not_utf8(self, tmp_path):
        """Bytes that are no UTF-8 are refused with their line."""
        (tmp_path / "f").write_bytes(b"a\nb\xff")
        with pytest.raises(ConfigError, match="line 2: found bytes that are not UTF-8"):
            read_text(str(tmp_path / "f"), 100)

    def test_missing(self, tmp_path):
        """A missing file is for the caller to judge."""
        (tmp_path / "f").write_text("")
        for path in (tmp_path / "none", tmp_path / "f" / "below"):
            with pytest.raises(FileNotFoundError):
                read_text(str(path), 100)

    def test_no_file(self, tmp_path):
        """Directories, pipes and impossible names are refused at once."""
        os.mkfifo(tmp_path / "pipe")
        for path in (str(tmp_path), str(tmp_path / "pipe"), "a\0b"):
            with pytest.raises(ConfigError):
                read_text(path, 100)

    @pytest.mark.skipif(not os.path.exists("/proc/self/mem"), reason="needs a file that cannot be read")
    def test_unreadable(self):
        """A file that fails while it is read is one clear line."""
        with pytest.raises(ConfigError, match="cannot be read"):
            read_text("/proc/self/mem", 100)


class WriteAtomicTests:
    def test_replaces(self, tmp_path):
        """A file is replaced whole, with the mode that was asked for and nothing left beside it."""
        path = tmp_path / "f"
        path.write_text("old")
        write_atomic(str(path), b"new", 0o640)
        assert (path.read_bytes(), mode(path), os.listdir(tmp_path)) == (b"new", 0o640, ["f"])

    def test_private(self, tmp_path):
        """Without a word, only the owner may read it, whatever the umask."""
        before = os.umask(0)
        try:
            write_atomic(str(tmp_path / "f"), b"x")
        finally:
            os.umask(before)
        assert mode(tmp_path / "f") == 0o600

    def test_not_followed(self, tmp_path):
        """Where a link is not to be followed, it is not read, and what is written stands in its place."""
        (tmp_path / "real").write_text("old")
        (tmp_path / "link").symlink_to("real")
        path = str(tmp_path / "link")
        with pytest.raises(ConfigError, match="link: is a symbolic link"):
            read_bytes(path, 10, follows=False)
        write_atomic(path, b"new", follows=False)
        assert not (tmp_path / "link").is_symlink()
        assert read_bytes(path, 10, follows=False) == b"new"
        assert (tmp_path / "real").read_text() == "old"

    def test_link(self, tmp_path):
        """A link stays a link, and what it points at is written."""
        (tmp_path / "real").write_text("old")
        (tmp_path / "link").symlink_to("real")
        write_atomic(str(tmp_path / "link"), b"new")
        assert (tmp_path / "link").is_symlink()
        assert (tmp_path / "real").read_bytes() == b"new"

    def test_failure(self, tmp_path):
        """A write that fails leaves the former file, and no leftovers."""
        (tmp_path / "f").mkdir()
        with pytest.raises(OSError, match="f"):
            write_atomic(str(tmp_path / "f"), b"x")
        assert os.listdir(tmp_path) == ["f"]
        with pytest.raises(OSError, match="none"):
            write_atomic(str(tmp_path / "none" / "f"), b"x")


class MakeHomeTests:
    def test_made(self, tmp_path):
        """A new home is for its owner alone, and its parents are made too."""
        make_home(str(tmp_path / "a" / "b"))
        assert mode(tmp_path / "a" / "b") == 0o700

    def test_repaired(self, tmp_path):
        """A home that others may enter is closed."""
        (tmp_path / "a").mkdir()
        (tmp_path / "a").chmod(0o755)
        make_home(str(tmp_path / "a"))
        assert mode(tmp_path / "a") == 0o700

    @pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a directory away")
    def test_of_another_user(self, tmp_path):
        """A home that belongs to somebody else is refused."""
        (tmp_path / "a").mkdir()
        os.chown(tmp_path / "a", 12345, 12345)
        with pytest.raises(ConfigError, match="belongs to another user"):
            make_home(str(tmp_path / "a"))

    def test_not_a_directory(self, tmp_path):
        """A file in the place of the home is refused in one clear line."""
        (tmp_path / "a").write_text("")
        with pytest.raises(ConfigError, match="cannot be used as the gateway's home"):
            make_home(str(tmp_path / "a"))
        with pytest.raises(ConfigError):
            make_home("a\0b")
