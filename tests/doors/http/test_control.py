"""The control plane's pages."""

from __future__ import annotations

from twisted.internet.defer import succeed

from tests.support.gateway_in_memory import MemoryGateway


class CallbackTests:
    """Where a browser comes back to from an authorization server."""

    def test_a_stranger(self) -> None:
        """An answer that nobody waits for is told so, on a page that gives nothing away."""
        answer = MemoryGateway().client().ask(b"", "GET", "/oauth/callback?state=s&code=c")
        assert answer.status == 400
        assert b"belongs to no question" in answer.body
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert answer.headers["cache-control"] == "no-store"

    def test_success(self) -> None:
        """The page names the server, and what it is called cannot be more than text."""
        gateway = MemoryGateway()
        asked: list[dict[str, str]] = []

        def let_in(query: dict[str, str]) -> object:
            asked.append(query)
            return succeed("<b>remote</b>")

        gateway.answers_for_users = let_in
        answer = gateway.client().ask(b"", "GET", "/oauth/callback?state=s&code=c%20d")
        assert answer.status == 200
        assert b"&lt;b&gt;remote&lt;/b&gt;" in answer.body
        assert asked == [{"state": "s", "code": "c d"}]
