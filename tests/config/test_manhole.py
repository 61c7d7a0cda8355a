"""The settings of the manhole, and of the places that secrets may come from."""

import pytest

from mcpgateway.config.file_format import read_native
from mcpgateway.config.gateway_settings import ManholeSettings
from mcpgateway.config.problems import Problems
from mcpgateway.config.read import parse


def read(*texts):
    """Return the settings of several files together, and their problems."""
    problems = Problems()
    native = read_native([parse(text, f"/{at}.yaml") for at, text in enumerate(texts)], problems)
    return native, [str(each) for each in problems]


class ManholeTests:
    @pytest.mark.parametrize(
        ("text", "manhole"),
        [
            ("servers: {}", ManholeSettings()),
            ("manhole: {}", ManholeSettings()),
            ("manhole: {socket: false, ssh_port: 0}", ManholeSettings()),
            ("manhole: {socket: true}", ManholeSettings(socket=True)),
            ("manhole: {socket: ~/in}", ManholeSettings(socket=True, path="~/in")),
            (
                "manhole: {ssh_port: 9122, authorized_keys: /k}",
                ManholeSettings(ssh_port=9122, authorized_keys="/k"),
            ),
        ],
    )
    def test_read(self, text, manhole):
        """The manhole is closed unless a setting opens it."""
        native, problems = read(text)
        assert (native.manhole, problems) == (manhole, [])

    def test_files(self):
        """A later file replaces single keys."""
        native, problems = read(
            "manhole: {socket: /a, ssh_port: 9122, authorized_keys: /k}", "manhole: {socket: false}"
        )
        assert native.manhole == ManholeSettings(ssh_port=9122, authorized_keys="/k")
        assert problems == []

    @pytest.mark.parametrize(
        ("text", "why"),
        [
            (
                "manhole:\n  ssh_port: 9122",
                "/0.yaml, line 2: manhole.ssh_port: has no effect without manhole.authorized_keys",
            ),
            ("manhole: {socket: 5}", "manhole.socket: found 5; expected true or false, or a path"),
            ("manhole: {ssh_port: 70000, authorized_keys: /k}", "expected a whole number from 0 to 65535"),
            ("manhole: {port: 1}", "manhole.port: is not a known key and is ignored"),
        ],
    )
    def test_wrong(self, text, why):
        """A problem is named with its place."""
        _, problems = read(text)
        assert len(problems) == 1
        assert why in problems[0]


class SecretsTests:
    def test_allowed(self):
        """Commands are not allowed unless a file says so, and the last word counts."""
        assert not read("servers: {}")[0].allows_commands
        assert read("secrets: {allow_cmd: true}")[0].allows_commands
        assert read("secrets: {allow_cmd: true}", "servers: {}")[0].allows_commands
        assert not read("secrets: {allow_cmd: true}", "secrets: {allow_cmd: false}")[0].allows_commands

    def test_wrong(self):
        """The commands are allowed by true only."""
        native, problems = read('secrets: {allow_cmd: "yes"}')
        assert not native.allows_commands
        assert len(problems) == 1
