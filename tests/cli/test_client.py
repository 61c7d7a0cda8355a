"""The credentials that commands send to the gateway."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from mcpgateway.cli.client import GatewayClient
from mcpgateway.cli.console import Trouble
from mcpgateway.cli.context import Globals


class Elsewhere(HTTPServer):
    """A gateway that is not of this home.

    :ivar shown: the ``Authorization`` of each request.
    """

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Asked)
        self.shown: list[str | None] = []
        self.url = f"http://127.0.0.1:{self.server_port}"


class _Asked(BaseHTTPRequestHandler):
    server: Elsewhere

    def do_GET(self) -> None:
        """Note what was shown."""
        self.server.shown.append(self.headers["Authorization"])
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def elsewhere() -> Iterator[Elsewhere]:
    """A gateway that listens."""
    with Elsewhere() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


class TokenTests:
    """The token for a gateway that a URL names."""

    def test_the_environments(
        self, elsewhere: Elsewhere, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The environment's token is sent, an administrator's where one is needed; a named file outranks both."""
        (tmp_path / "auth.token").write_text("of-this-home")
        (tmp_path / "named").write_text("of-a-file")
        here = Globals(home=str(tmp_path), url=elsewhere.url)
        GatewayClient(here).ask("/")
        monkeypatch.setenv("MCP_GATEWAY_AUTH_TOKEN", "given")
        GatewayClient(here).ask("/")
        GatewayClient(here, is_admin=True).ask("/")
        monkeypatch.setenv("MCPGATEWAY_ADMIN_TOKEN", "greater")
        GatewayClient(here, is_admin=True).ask("/")
        GatewayClient(Globals(home=str(tmp_path), url=elsewhere.url, token_file=str(tmp_path / "named"))).ask(
            "/"
        )
        assert elsewhere.shown == [
            None,
            *(f"Bearer {each}" for each in ("given", "given", "greater", "of-a-file")),
        ]

    def test_nonsense(self, elsewhere: Elsewhere, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A text that is no token is sent nowhere, and its variable is named."""
        monkeypatch.setenv("MCP_GATEWAY_AUTH_TOKEN", "a\r\nHost: b")
        with pytest.raises(Trouble, match="MCPGATEWAY_AUTH_TOKEN: it is no token"):
            GatewayClient(Globals(home=str(tmp_path), url=elsewhere.url)).ask("/")
        assert elsewhere.shown == []
