"""Credentials on their way to files and servers."""

import os

import pytest

from mcpgateway.config.expand import expand
from mcpgateway.credentials.commands import ImportAnswer, to_env_file, to_server
from mcpgateway.credentials.records import PasswordRecord, credentials_of
from mcpgateway.errors import ConfigError

FOUND = credentials_of(
    [
        PasswordRecord("github", "ada", "${HOME}{env:X}", {"HDR_X-Key": "${HOME}"}),
        PasswordRecord("plain", "", "pw"),
        PasswordRecord("empty"),
    ]
)


class Servers:
    """A gateway's servers, each with what it takes.

    :ivar given: what each was given.
    """

    def __init__(self, **takes):
        self.takes = takes
        self.given = {}

    def patch(self, name, body):
        """Change a server's credential, if the server exists and takes all of it."""
        if name not in self.takes:
            return ImportAnswer(404, "server not found")
        if not body.keys() <= self.takes[name]:
            return ImportAnswer(400, "takes no such thing")
        self.given.setdefault(name, {}).update(body)
        return ImportAnswer(200)


BOTH = {"add_env", "add_headers"}


class ServerTests:
    def test_all(self):
        """A server with values in the database gets them, escaped, so that they keep their meaning in a
        configuration.
        """
        servers = Servers(github=BOTH, plain=BOTH)
        results = to_server(FOUND, servers.patch)
        assert [(each.name, each.status) for each in results] == [
            ("empty", "skipped"),
            ("github", "ok"),
            ("plain", "ok"),
        ]
        given = servers.given["github"]
        assert [expand(each, {"HOME": "/h", "X": "x"}).text for each in given["add_env"]] == [
            "GITHUB_PASSWORD=${HOME}{env:X}",
            "GITHUB_USER=ada",
        ]
        assert expand(given["add_headers"]["X-Key"], {"HOME": "/h"}).text == "${HOME}"

    def test_none(self):
        """A server that is not there is passed over."""
        results = to_server(FOUND, Servers().patch)
        assert {each.status for each in results} == {"skipped"}

    @pytest.mark.parametrize(
        ("takes", "status", "detail"),
        [
            ({"add_env"}, "partial", "only the env: takes no such thing"),
            ({"add_headers"}, "partial", "only the headers: takes no such thing"),
            (set(), "failed", "takes no such thing"),
        ],
    )
    def test_half(self, takes, status, detail):
        """Where a server takes a half only, it gets that half; where it takes neither, it has failed."""
        found = {each.name: each for each in to_server(FOUND, Servers(github=takes).patch)}["github"]
        assert (found.status, found.detail) == (status, detail)

    def test_refused(self):
        """Where there is only one half, and that is refused, it has failed."""
        found = {each.name: each for each in to_server(FOUND, Servers(plain=set()).patch)}["plain"]
        assert (found.status, found.detail) == ("failed", "takes no such thing")


class EnvFileTests:
    def test_results(self, tmp_path):
        """A result names the written variables, and the values are nowhere but in the file."""
        path = tmp_path / ".env"
        results = to_env_file(FOUND, str(path))
        assert [each.status for each in results] == ["skipped", "ok", "ok"]
        assert results[1].detail == f"GITHUB_HDR_X_KEY, GITHUB_PASSWORD, GITHUB_USER in {path}"

    def test_nothing(self, tmp_path):
        """Without values there is no file."""
        assert [each.status for each in to_env_file(FOUND[:1], str(tmp_path / ".env"))] == ["skipped"]
        assert not (tmp_path / ".env").exists()

    def test_no_directory(self, tmp_path):
        """A directory that is not there is an error."""
        with pytest.raises(ConfigError, match=r"\.env: cannot be written: No such file or directory"):
            to_env_file(FOUND, str(tmp_path / "none" / ".env"))

    def test_not_ours(self, tmp_path):
        """A file of another kind, or a directory, is left as it is, and no half-written file stays."""
        (tmp_path / "text").write_text("hunter2\n")
        (tmp_path / "directory").mkdir()
        for name in ("text", "directory"):
            with pytest.raises(ConfigError):
                to_env_file(FOUND, str(tmp_path / name))
        assert (tmp_path / "text").read_text() == "hunter2\n"
        assert sorted(os.listdir(tmp_path)) == ["directory", "text"]
