"""Which era a server is said to speak, and whether clients of the other one reach it."""

import pytest

from mcpgateway.config.file_format import read_native, read_servers
from mcpgateway.config.model import Bridge
from mcpgateway.config.problems import Problems, Wrong
from mcpgateway.config.read import parse
from mcpgateway.errors import ConfigError
from mcpgateway.protocol.versions import Era


def read(text):
    """The settings of the gateway in a file, and of its servers."""
    problems = Problems()
    read_files = read_native([parse(text, "/g/1.yaml")], problems)
    servers = read_servers(read_files, problems)
    for each in problems:
        raise Wrong(each)
    return read_files.gateway, servers


def server(line):
    """A server with one more line."""
    return read(f"servers:\n  x:\n    command: y\n    {line}\n")[1][0]


class ProtocolTests:
    """``protocol`` of a server."""

    @pytest.mark.parametrize(
        ("word", "era"), [("auto", None), ("legacy", Era.LEGACY), ("modern", Era.MODERN)]
    )
    def test_words(self, word, era):
        """The protocol of an entry is an era, or is to be found out, as it is where the key is missing."""
        assert server(f"protocol: {word}").protocol is era
        assert server("args: []").protocol is None

    @pytest.mark.parametrize("word", ["2026-07-28", "Modern", "both", "[]", "''", "{a: b}", "true"])
    def test_others(self, word):
        """Anything else is refused by name."""
        with pytest.raises(ConfigError, match="protocol"):
            server(f"protocol: {word}")


class BridgeTests:
    """``bridge`` of a server, and of all of them."""

    @pytest.mark.parametrize(
        ("word", "bridge"),
        [("off", Bridge.OFF), ("'off'", Bridge.OFF), ("auto", Bridge.AUTO), ("always", Bridge.ALWAYS)],
    )
    def test_words(self, word, bridge):
        """The words, of which YAML takes one for a truth value."""
        assert server(f"bridge: {word}").bridge is bridge
        assert read(f"gateway: {{bridge: {word}}}\nservers: {{}}\n")[0].bridge is bridge

    def test_nothing_said(self):
        """A server that says nothing leaves it to the gateway, which translates where it has to."""
        assert server("args: []").bridge is None
        assert read("servers: {}\n")[0].bridge is Bridge.AUTO

    @pytest.mark.parametrize("word", ["on", "true", "never", "[]", "1", "''"])
    @pytest.mark.parametrize("text", ["gateway: {bridge: %s}\n", "servers: {x: {command: y, bridge: %s}}\n"])
    def test_others(self, text, word):
        """Anything else is refused by name."""
        with pytest.raises(ConfigError, match="bridge"):
            read(text % word)
