"""The addresses that ``mcpgateway servers login`` opens."""

from __future__ import annotations

import pytest

from mcpgateway.cli.commands.servers.login import _address, _sentence
from mcpgateway.cli.console import Trouble


class AddressTests:
    """The address comes from somebody else's server."""

    @pytest.mark.parametrize("url", ["https://as.example/authorize?a=b%20c&state=s", "http://127.0.0.1:1/x"])
    def test_pages(self, url: str) -> None:
        """A page is opened."""
        assert _address({"url": url}) == url

    @pytest.mark.parametrize(
        "url",
        [
            "",
            "javascript:alert(1)",
            "file:///etc/passwd",
            "a:'x'",
            "https://as.example/$(touch x) y",
            "https://as.example/`id`",
            "https://as.example/'; rm -rf /",
            "https://user@as.example/",
            "https://as.example/\x1b]52;c;x",
            "https://[as.example/",
            "--help",
            "https:///nowhere",
        ],
    )
    def test_anything_else(self, url: str) -> None:
        """Addresses that are no web pages are not opened, by a browser or another program."""
        with pytest.raises(Trouble):
            _address({"url": url})


class SentenceTests:
    """The sentence at the end of a sign-in."""

    @pytest.mark.parametrize(
        ("state", "said"),
        [
            ("signed in", "Signed in at o3."),
            ("needs no login", "wants nobody to sign in"),
            ("needs login", "goes on waiting"),
            ("not known", "begins anew"),
            ("declined", "was declined"),
            ("expired", "login o3 --device gives a new one"),
            ("failed", "has failed: mcpgateway logs"),
        ],
    )
    def test_states(self, state: str, said: str) -> None:
        """A state has a sentence with a remedy."""
        assert said in _sentence({"server": "o3", "state": state})
