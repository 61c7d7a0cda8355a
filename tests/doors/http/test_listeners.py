"""The addresses the gateway is reached at."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.error import CannotListenError
from twisted.internet.protocol import ServerFactory
from twisted.internet.testing import MemoryReactor
from twisted.logger import capturedLogs

from mcpgateway.config.model import GatewaySettings
from mcpgateway.doors.http.listeners import bind

FULL = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


class SocketlessReactor(MemoryReactor):
    """A reactor on whose disk no Unix socket can be made, for a reason."""

    def __init__(self, why: Exception) -> None:
        super().__init__()
        self.why = why

    def seconds(self) -> float:
        return 0.0

    def listenUNIX(self, *args: Any, **kwargs: Any) -> Any:
        raise self.why


class SocketTests:
    """The Unix socket of the home."""

    @pytest.mark.parametrize(
        ("why", "event"),
        [
            (FULL, "listen.socket_failed"),
            (CannotListenError(None, "s", FULL), "listen.socket_failed"),
            (CannotListenError(None, "s", "Cannot acquire lock"), "listen.socket_taken"),
        ],
        ids=["no lock can be made", "no socket can be made", "another gateway has it"],
    )
    def test_is_done_without(self, why: Exception, event: str, tmp_path: Path) -> None:
        """A gateway that cannot have it listens on TCP, and the log says why."""
        settings = GatewaySettings(allow_remote=True)  # the ports of a reactor in memory are everywhere
        reactor = SocketlessReactor(why)
        with capturedLogs() as events:
            listeners = bind(reactor, settings, str(tmp_path), ServerFactory())
        assert [each["event"] for each in events] == [event]
        assert len(listeners.ports) == len(reactor.tcpServers) == 2
