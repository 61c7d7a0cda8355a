"""Ports for programs that are started a moment later."""

from __future__ import annotations

import socket
import sys
from random import Random

# Below those that outgoing connections are given, and those who ask for any: one of them would take the port.
PORTS = range(12_000, 32_000)

_reserved: list[socket.socket] = []


def free_port(random: Random | None = None) -> int:
    """Return a port on which no program listens, which the system assigns to none, and which no other test is given.

    It is this process's until it ends, since the program that listens there may be stopped and started again.
    """
    random = random or Random()
    while True:
        port = random.choice(PORTS)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        if _reserve(port):
            return port


def _reserve(port: int) -> bool:
    """Return whether a port was nobody's among the processes of tests, and is ours now."""
    if sys.platform != "linux":
        return True
    # An abstract name is nobody's again as soon as its process has ended, however that was.
    name = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    try:
        name.bind(f"\0mcpgateway-test-port-{port}")
    except OSError:
        name.close()
        return False
    _reserved.append(name)
    return True
