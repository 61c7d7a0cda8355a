"""Listeners at an address."""

import socket

import pytest
import pytest_twisted
from twisted.internet import reactor

from mcpgateway.backends.probe import knock
from mcpgateway.errors import Unreachable

pytestmark = pytest.mark.functional


class KnockTests:
    """A listener answers, or none does."""

    @pytest_twisted.ensureDeferred
    async def test_somebody(self):
        """A listener is enough; what it would say does not matter."""
        with socket.create_server(("127.0.0.1", 0)) as listener:
            await knock(reactor, f"http://127.0.0.1:{listener.getsockname()[1]}/mcp?key=x")

    @pytest_twisted.ensureDeferred
    async def test_nobody(self):
        """A closed port, and a name that is none, are no answer; the error does not repeat the URL."""
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = listener.getsockname()[1]
        for where in (f"http://127.0.0.1:{port}/mcp?key=x", "https://no-such-host.invalid/mcp"):
            with pytest.raises(Unreachable) as caught:
                await knock(reactor, where)
            assert str(caught.value) == "nothing answers at its address"
