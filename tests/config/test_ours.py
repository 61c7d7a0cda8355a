"""Entries of clients' files that lead to the gateway by its own program."""

from __future__ import annotations

import pytest

from mcpgateway.config.ours import original_of, server_of


class OursTests:
    """Which command lines are ours, and what they lead to."""

    @pytest.mark.parametrize(
        ("words", "server"),
        [
            ("mcpgateway connect github", "github"),
            ("/opt/bin/mcp-ctl --home /h proxy --target=github -- npx x", "github"),
            ("mcpgateway stdio --server github", "github"),
            ("mcpgateway stdio", ""),
            ("mcpgateway stdio --view full", ""),
            ("mcpgateway stdio --view=p/shop --ready-line", ""),
            ("mcpgateway", ""),
            ("mcpg --home /h", ""),
            ("mcpgateway --url=http://localhost:9100", ""),
        ],
    )
    def test_ours(self, words: str, server: str) -> None:
        """The shim is ours: for one server, for all of them, and without any command as well."""
        assert server_of(tuple(words.split())) == server

    @pytest.mark.parametrize(
        "words", ["npx mcpgateway", "mcpgateway --help", "mcpgateway serve", "mcpgateway tools list"]
    )
    def test_others(self, words: str) -> None:
        """Other programs are no relays of ours, nor are our other commands."""
        assert server_of(tuple(words.split())) is None
        assert original_of(tuple(words.split())) is None

    def test_an_original(self) -> None:
        """The words behind ``--`` are the original, if there is one."""
        assert original_of(tuple("mcpgateway connect a -- npx --view x".split())) == ("npx", "--view", "x")
        assert original_of(("mcpgateway",)) == ()
