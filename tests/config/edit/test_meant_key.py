"""The key that is meant by a word that is none."""

import pytest

from mcpgateway.config.edit.config_keys import meant_command
from mcpgateway.config.entry import SERVER
from mcpgateway.config.section import documented, nearest


@pytest.mark.parametrize(
    ("word", "key"),
    [
        ("idle", "lazy.idleTimeoutMs"),
        ("idle_timeout", "lazy.idleTimeoutMs"),
        ("keepAlive", ""),
        ("memory", "lazy.maxRamMb"),
        ("max_memory", "lazy.maxRamMb"),
        ("autostart", "lazy.prewarm"),
        ("parallel", "concurrency"),
        ("workdir", "cwd"),
        ("arguments", "args"),
        ("container", "docker"),
        ("token", "auth.token"),
        ("call_timeout", "timeout"),
        ("variables", "env"),
        ("tiemout", "timeout"),
        ("comand", "command"),
        ("restart", ""),
        ("xyz", ""),
    ],
)
def test_of_a_server(word: str, key: str) -> None:
    """A key is found by its parts, in the words of other programs too, and by its spelling; no other one is."""
    assert nearest(word, SERVER.keys) == (f"did you mean '{key}'?" if key else "")


def test_names() -> None:
    """Of names that are no keys, the one that is spelled alike is meant."""
    assert nearest("bse", {"base": 1, "other": 2}) == "did you mean 'base'?"


def test_only_keys_that_count() -> None:
    """No other spelling of a key and no note is proposed."""
    keys = dict(documented(SERVER.keys))
    assert {"timeout", "lazy.idleTimeoutMs"} <= keys.keys()
    assert not {"timeoutMs", "description", "autoApprove"} & keys.keys()


@pytest.mark.parametrize(
    ("word", "server", "command"),
    [
        ("idle=10m", "memory", "servers set memory lazy.idleTimeoutMs=600000"),
        ("idle", "memory", "servers set memory lazy.idleTimeoutMs"),
        ("idle_timeout=10m", "", "servers set NAME lazy.idleTimeoutMs=600000"),
        ("log_level=debug", "memory", "config set gateway.log_level=debug"),
        ("loglevel=debug", "", "config set gateway.log_level=debug"),
        ("port=9200", "", "config set gateway.http_port=9200"),
        ("host=::1", "", "config set gateway.bind_address=::1"),
        ("workdir=/a b", "memory", "servers set memory 'cwd=/a b'"),
        ("xyz=1", "memory", ""),
    ],
)
def test_commands(word: str, server: str, command: str) -> None:
    """The whole command is known: for the server that is named, for any, or for the gateway."""
    assert meant_command("set", word, server) == (f"mcpgateway {command}" if command else "")
