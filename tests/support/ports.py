"""Ports for programs that are started a moment later."""

from __future__ import annotations

import socket
from random import Random

# Below those that outgoing connections are given, and those who ask for any: one of them would take the port.
PORTS = range(12_000, 32_000)


def free_port(random: Random | None = None) -> int:
    """Return a port on which no program listens, and which the system assigns to none."""
    random = random or Random()
    while True:
        port = random.choice(PORTS)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port
