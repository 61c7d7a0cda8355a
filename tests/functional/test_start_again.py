"""``mcpgateway start`` where a gateway runs already: of this home, and of another home of the user."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.ports import free_port
from tests.support.user import User

pytestmark = pytest.mark.functional


def test_again(tmp_path: Path) -> None:
    """The same port is no mistake; other options than before are told to have no effect."""
    with User(tmp_path / "h") as user:
        user.mcpgateway("start")
        port = str(user.port)
        for words in ((), ("--port", port)):
            said = user.mcpgateway("start", *words)
            assert "Gateway already running (pid" in said
            assert "goes on" not in said
        said = user.mcpgateway("start", "--port", port, "--", "--no-auth")
        assert "It goes on as it was started: mcpgateway restart with these options changes that." in said


def test_another_home(tmp_path: Path) -> None:
    """A start names the user's gateways of other homes, with which clients' entries stay."""
    with User(tmp_path / "h") as user:
        other = ("--home", str(user.home / "other"))
        assert "Another gateway" not in user.mcpgateway("start")
        said = " ".join(user.mcpgateway(*other, "start", "--port", str(free_port())).split())
        try:
            assert f": {user.url}, with the home ~/.mcp-gateway. Entries of clients' files" in said
            assert "with the home ~/other." in " ".join(user.mcpgateway("start").split())
        finally:
            user.mcpgateway(*other, "stop")
        assert "Another gateway" not in user.mcpgateway("start")
