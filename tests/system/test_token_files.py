"""The secrets that the gateway keeps for itself, each in a file."""

from __future__ import annotations

import os
import stat
import threading

import pytest

from mcpgateway.errors import ConfigError
from mcpgateway.system.token_files import CHARACTERS, read_or_create


class TokenTests:
    def test_created_once(self, tmp_path):
        """The first call makes a long private token, and later ones return it."""
        path = tmp_path / "auth.token"
        token = read_or_create(str(path))
        assert len(token) >= CHARACTERS == 43
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert read_or_create(str(path)) == token

    def test_different(self, tmp_path):
        """No two tokens are alike."""
        assert read_or_create(str(tmp_path / "a")) != read_or_create(str(tmp_path / "b"))

    def test_repaired(self, tmp_path):
        """A token that others may read is closed."""
        path = tmp_path / "auth.token"
        token = read_or_create(str(path))
        path.chmod(0o644)
        assert read_or_create(str(path)) == token
        assert stat.S_IMODE(path.stat().st_mode) == 0o600

    @pytest.mark.parametrize("content", [b"", b"short\n", b"\xff" * 50])
    def test_worthless(self, tmp_path, content):
        """A file with no token, or half of one, is replaced."""
        path = tmp_path / "auth.token"
        path.write_bytes(content)
        assert len(read_or_create(str(path))) == CHARACTERS

    def test_link_refused(self, tmp_path):
        """A token is never read or written through a link."""
        (tmp_path / "auth.token").symlink_to("elsewhere")
        with pytest.raises(ConfigError):
            read_or_create(str(tmp_path / "auth.token"))

    def test_no_file(self, tmp_path):
        """A pipe in the place of the file is refused at once, and a missing home in one clear line."""
        os.mkfifo(tmp_path / "pipe")
        for name in ("pipe", "none/auth.token"):
            with pytest.raises(ConfigError):
                read_or_create(str(tmp_path / name))

    def test_race(self, tmp_path):
        """Several that start at once agree on one token."""
        path, found = str(tmp_path / "auth.token"), []
        threads = [threading.Thread(target=lambda: found.append(read_or_create(path))) for _ in range(8)]
        for each in threads:
            each.start()
        for each in threads:
            each.join()
        assert len(set(found)) == 1
