"""The addresses the gateway is reached at."""

from __future__ import annotations

import errno
import os
import socket
from pathlib import Path
from typing import Any

import pytest
from twisted.internet import reactor
from twisted.internet.error import CannotListenError
from twisted.internet.protocol import ServerFactory
from twisted.internet.tcp import Port
from twisted.internet.testing import MemoryReactor
from twisted.logger import capturedLogs

from mcpgateway.config.gateway_settings import GatewaySettings
from mcpgateway.errors import ConfigError
from mcpgateway.frontends.http.listeners import Listeners, bind

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


class WordTests:
    """The addresses in words."""

    def test_closed(self) -> None:
        """A port that is closed already, as while the gateway ends, is left out."""
        memory = MemoryReactor()
        open_port, closed = memory.listenTCP(9100, ServerFactory()), Port(0, ServerFactory())
        assert Listeners([closed, open_port], 9100).words == ("0.0.0.0:9100",)


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
        memory = SocketlessReactor(why)
        with capturedLogs() as events:
            listeners = bind(memory, settings, str(tmp_path), ServerFactory())
        assert [each["event"] for each in events] == [event]
        assert len(listeners.ports) == len(memory.tcpServers) == 2


class FurtherPortTests:
    """The ports of older gateways."""

    def test_are_listened_on(self, tmp_path: Path) -> None:
        """Each is bound once, on both loopback families as the main one is, and counts as the gateway's own."""
        settings = GatewaySettings(http_port=9100, ports=(8765, 9100, 3199, 8765), allow_remote=True)
        memory = SocketlessReactor(FULL)
        bind(memory, settings, str(tmp_path), ServerFactory())
        assert [(each[0], each[3]) for each in memory.tcpServers] == [
            (port, address) for port in (9100, 8765, 3199) for address in ("127.0.0.1", "::1")
        ]

    def test_one_that_is_taken(self, tmp_path: Path) -> None:
        """A port that another program has is told of by its key, and none stays bound."""
        with socket.socket() as other:
            other.bind(("127.0.0.1", 0))
            other.listen()
            number = other.getsockname()[1]
            settings = GatewaySettings(http_port=0, ports=(number,))
            with pytest.raises(ConfigError, match=f"port {number} of compat.ports.*take it out of there"):
                bind(reactor, settings, str(tmp_path), ServerFactory())
