"""A user's file that is changed by the gateway."""

import os

import pytest

from mcpgateway.errors import ConfigError, NotOurs
from mcpgateway.system.config_template import template, write_first
from mcpgateway.system.settings import LoadOptions, config_file
from mcpgateway.system.write_back import write_back


@pytest.fixture
def path(tmp_path):
    """A file of a user."""
    path = tmp_path / "config.yaml"
    path.write_text("a: 1\n")
    path.chmod(0o640)
    return path


class WriteBackTests:
    """The file after a change."""

    def test_it_is_changed(self, path):
        """A file that is written back has the new text and the old mode, and can be changed back."""
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
        """A file that has the text already is not written."""
        before = path.stat()
        write_back(str(path), lambda text: text)
        assert path.stat() == before

    def test_somebody_else_is_faster(self, path):
        """Another program's changes are not lost."""
        saves = iter(["a: 2\n"])

        def change(text):
            for each in saves:
                path.write_text(each)
            return text + "b: 1\n"

        write_back(str(path), change)
        assert path.read_text() == "a: 2\nb: 1\n"

    def test_somebody_never_stops(self, path):
        """A change is given up where another program does not stop writing."""

        def change(text):
            path.write_text(text + " ")
            return "b"

        with pytest.raises(ConfigError, match="another program"):
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
        """The template is written where there is no file, and never replaces one."""
        path = tmp_path / "config.yaml"
        assert write_first(str(path))
        assert path.read_bytes() == template()
        path.write_text("a")
        assert not write_first(str(path))
        assert path.read_text() == "a"
        assert not write_first(str(tmp_path / "no" / "config.yaml"))

    def test_not_beside_a_clients_file(self, tmp_path):
        """A client's file that is named as the configuration gets no neighbour while there is nothing to say."""
        named = tmp_path / ".claude.json"
        named.write_text('{"mcpServers": {"a": {"command": "run"}}}')
        beside = config_file(LoadOptions(str(named), home=str(tmp_path)), {"HOME": str(tmp_path)})
        assert beside == str(tmp_path / ".claude.local.yaml")
        assert not write_first(beside)


BEFORE = "servers:\n  a:\n    command: run\n    env: {OLD: kept-secret}\n"
SECRET = "servers:\n  a:\n    command: run\n    env: {OLD: kept-secret, TOKEN: hush-hush}\n"


def mode_of(path):
    """Return the mode of a file."""
    return path.stat().st_mode & 0o777


class SecretTests:
    """A file that gets secrets."""

    @pytest.fixture
    def path(self, tmp_path):
        """A configuration that others may read."""
        path = tmp_path / "config.yaml"
        path.write_text(BEFORE)
        path.chmod(0o644)
        return path

    def test_it_is_its_owners_alone(self, path):
        """A file with a new secret is private; taken back, it has its former mode."""
        former = write_back(str(path), lambda _: SECRET)
        assert mode_of(path) == 0o600
        former.restore()
        assert (path.read_text(), mode_of(path)) == (BEFORE, 0o644)

    @pytest.mark.parametrize(
        "after",
        [
            BEFORE + "    timeout: 5\n",
            BEFORE.replace("  a:", "  b:"),
            BEFORE.replace("kept-secret}", 'kept-secret, T: "${T}"}'),
            "servers: {}\n",
        ],
    )
    def test_without_new_ones(self, path, after):
        """A file with secrets keeps its mode where no secret is added."""
        write_back(str(path), lambda _: after)
        assert mode_of(path) == 0o644

    @pytest.mark.parametrize(
        "entry",
        [
            "headers: {X-Key: hush-hush}",
            'args: [--token, "hush-hush"]',
            "url: https://user:hush-hush@host/",
            "url: https://host/?key=hush-hush",
            "auth: {token: hush-hush}",
            "oauth: {client_secret: hush-hush}",
            'env: ["TOKEN=hush-hush"]',
        ],
    )
    def test_wherever_it_stands(self, path, entry):
        """A secret is one in every place that is not shown."""
        write_back(str(path), lambda text: f"{text}  b:\n    {entry}\n")
        assert mode_of(path) == 0o600

    def test_behind_a_link(self, path):
        """A file behind a link gets no secret, and other values are written there in its present mode."""
        link = path.with_name("link.yaml")
        link.symlink_to(path)
        with pytest.raises(NotOurs, match="symbolic link, so TOKEN is not written into it"):
            write_back(str(link), lambda _: SECRET)
        assert (path.read_text(), mode_of(path)) == (BEFORE, 0o644)
        write_back(
            str(link), lambda text: text.replace("kept-secret}", "kept-secret, MODE: debug, PORT: 80}")
        )
        assert ("PORT: 80" in path.read_text(), mode_of(path)) == (True, 0o644)

    def test_in_a_repository(self, path, monkeypatch):
        """A file that may be committed gets no secret, unless it is a home within a repository, the user's or a
        gateway's.
        """
        (path.parent / ".git").mkdir()
        with pytest.raises(NotOurs, match="is in the repository"):
            write_back(str(path), lambda _: SECRET)
        assert path.read_text() == BEFORE
        (path.parent / "auth.token").touch()
        write_back(str(path), lambda _: SECRET)
        path.write_text(BEFORE)
        (path.parent / "auth.token").unlink()
        monkeypatch.setenv("HOME", str(path.parent))
        write_back(str(path), lambda _: SECRET)
        assert mode_of(path) == 0o600

    def test_of_a_project(self, tmp_path):
        """A project's own file gets nothing that is a secret by its name or its look, and all else."""
        path = tmp_path / ".mcp.json"
        entry = '{"mcpServers": {"a": {"command": "run", "env": {%s}}}}'
        for held in ('"API_KEY": "hush"', '"WHO": "ghp_0123456789abcdef"'):
            with pytest.raises(NotOurs, match="is a file of a repository"):
                write_back(str(path), lambda _, held=held: entry % held, is_repository=True)
        assert not path.exists()
        write_back(str(path), lambda _: entry % '"INDEX": "my-project-2"', is_repository=True)
        assert "my-project-2" in path.read_text()

    @pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
    def test_of_another_user(self, path):
        """Another user's file gets no secret."""
        os.chown(path, 65534, 65534)
        with pytest.raises(NotOurs, match="belongs to another user"):
            write_back(str(path), lambda _: SECRET)
