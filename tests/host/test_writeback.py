"""A user's file that is changed by the gateway."""

import pytest

from mcpgateway.errors import ConfigError
from mcpgateway.host.template import template, write_first
from mcpgateway.host.writeback import write_back


@pytest.fixture
def path(tmp_path):
    """A file of a user."""
    path = tmp_path / "config.yaml"
    path.write_text("a: 1\n")
    path.chmod(0o640)
    return path


class WriteBackTests:
    """What becomes of the file."""

    def test_it_is_changed(self, path):
        """It has the new text and the old mode, and can be made what it was."""
        former = write_back(str(path), lambda text: text + "b: 2\n")
        assert path.read_text() == "a: 1\nb: 2\n"
        assert path.stat().st_mode & 0o777 == 0o640
        former.restore()
        assert path.read_text() == "a: 1\n"

    def test_a_new_file(self, tmp_path):
        """A file that was not there is its owner's alone, and goes again."""
        path = tmp_path / "new.yaml"
        former = write_back(str(path), lambda text: text + "a: 1\n")
        assert path.stat().st_mode & 0o777 == 0o600
        former.restore()
        assert not path.exists()

    def test_behind_a_link(self, path):
        """A symbolic link stays one, and what is behind it changes."""
        link = path.with_name("link.yaml")
        link.symlink_to(path)
        write_back(str(link), lambda text: "b")
        assert link.is_symlink()
        assert path.read_text() == "b"

    def test_a_byte_order_mark(self, path):
        """A mark at the beginning stays."""
        path.write_bytes("\ufeffa: 1\r\n".encode())
        write_back(str(path), lambda text: text.replace("1", "2"))
        assert path.read_bytes() == "\ufeffa: 2\r\n".encode()

    def test_nothing_changes(self, path):
        """A file that says it already is not written."""
        before = path.stat()
        write_back(str(path), lambda text: text)
        assert path.stat() == before

    def test_somebody_else_is_faster(self, path):
        """What somebody else has written meanwhile is not lost."""
        saves = iter(["a: 2\n"])

        def change(text):
            for each in saves:
                path.write_text(each)
            return text + "b: 1\n"

        write_back(str(path), change)
        assert path.read_text() == "a: 2\nb: 1\n"

    def test_somebody_never_stops(self, path):
        """It is given up in the end."""

        def change(text):
            path.write_text(text + " ")
            return "b"

        with pytest.raises(ConfigError, match="somebody else"):
            write_back(str(path), change)

    def test_it_is_refused(self, path):
        """A change that is refused leaves the file as it was."""

        def change(text):
            raise ConfigError("no")

        with pytest.raises(ConfigError, match="no"):
            write_back(str(path), change)
        assert path.read_text() == "a: 1\n"

    def test_no_directory(self, tmp_path):
        """A place that cannot be written to is an error of its own."""
        with pytest.raises(ConfigError, match="cannot be written"):
            write_back(str(tmp_path / "no" / "a.yaml"), lambda text: "a")


class TemplateTests:
    """The file that a user finds at first."""

    def test_written_once(self, tmp_path):
        """It is written where there is none, and nothing is ever replaced by it."""
        path = tmp_path / "config.yaml"
        assert write_first(str(path))
        assert path.read_bytes() == template()
        path.write_text("a")
        assert not write_first(str(path))
        assert path.read_text() == "a"
        assert not write_first(str(tmp_path / "no" / "config.yaml"))
