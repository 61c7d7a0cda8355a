"""Start the program for a test, before a gateway that runs gives way to it.

The options and the configuration are read as at a start. Then the program starts in a home of its own, without servers
and without anything of its user's, answers a request, and stops. An exception says why it could not start.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from http.client import HTTPConnection
from typing import TYPE_CHECKING

from twisted.application.service import IServiceMaker
from twisted.internet.threads import deferToThreadPool
from twisted.python.failure import Failure

from mcpgateway.system.process.handover import FORMAT

if TYPE_CHECKING:
    from mcpgateway.app.daemon import GatewayService

MEMORY = "/dev/shm"  # noqa: S108 - a disk that is full keeps no gateway from a restart
ANSWER_S = 30.0  # of a busy machine
NOTHING = ("--port", "0", "--no-adopt", "--managed")


def start(maker: IServiceMaker, words: Sequence[str]) -> int:
    """Try to start a program with the options of a gateway; return the format of the states that it takes over.

    :raise Exception: the program cannot start.
    """
    maker.options().parseOptions(words)
    place = MEMORY if os.access(MEMORY, os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="mcpgateway-trial-", dir=place) as home:
        for name in {*os.environ} - {"PATH", "LANG"}:
            del os.environ[name]
        os.environ["HOME"] = home
        start_in(maker, home)
    return FORMAT


def start_in(maker: IServiceMaker, home: str) -> None:
    """Start a gateway without servers, have it answer a request, and stop it.

    :param home: its home, an empty directory.
    :raise Exception: it does not start, or does not answer.
    """
    config = os.path.join(home, "config.json")
    with open(config, "w", encoding="ascii") as file:
        file.write("{}")
    options = maker.options()
    options.parseOptions(["--home", home, "--config", config, *NOTHING])
    gateway: GatewayService = maker.makeService(options)
    reactor, troubles = gateway.reactor, list[Failure]()

    def ask() -> None:
        asked = deferToThreadPool(reactor, reactor.getThreadPool(), answers, gateway.listeners.http_port)
        asked.addErrback(troubles.append).addBoth(lambda _: reactor.stop())

    gateway.startService()
    reactor.addSystemEventTrigger("before", "shutdown", gateway.stopService)
    reactor.callWhenRunning(ask)
    reactor.run()
    for each in troubles:
        each.raiseException()


def answers(port: int) -> None:
    """Ask the gateway at a port for its health.

    :raise RuntimeError: its answer is none of a gateway that works.
    :raise OSError: it does not answer.
    """
    connection = HTTPConnection("127.0.0.1", port, timeout=ANSWER_S)
    connection.request("GET", "/healthz")
    status = connection.getresponse().status
    if status != 200:
        raise RuntimeError(f"it answers GET /healthz with {status}")
