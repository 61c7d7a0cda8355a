"""Start the program for a test, before a gateway that runs gives way to it.

The options and the configuration are read as at a start. Then the program starts with these settings in a home of its
own, without anything of its user's, answers a request, and stops; it starts no server. An exception says why it could
not start.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from http.client import HTTPConnection
from typing import TYPE_CHECKING, Any

from attrs import evolve
from twisted.application.service import IServiceMaker
from twisted.internet.threads import deferToThreadPool
from twisted.python.failure import Failure

from mcpgateway.config.cluster import ClusterSettings
from mcpgateway.config.gateway_settings import ManholeSettings
from mcpgateway.config.settings import Settings
from mcpgateway.system.process.handover import FORMAT
from mcpgateway.system.settings import ExaminedSettings

if TYPE_CHECKING:
    from mcpgateway.app.daemon import GatewayService

MEMORY = "/dev/shm"  # noqa: S108 - a disk that is full keeps no gateway from a restart
ANSWER_S = 30.0  # of a busy machine


def start(maker: IServiceMaker, words: Sequence[str]) -> int:
    """Try to start a program with the options of a gateway; return the format of the states that it takes over.

    :raise Exception: the program cannot start.
    """
    options = maker.options()
    options.parseOptions(words)
    place = MEMORY if os.access(MEMORY, os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="mcpgateway-trial-", dir=place) as home:
        for name in {*os.environ} - {"PATH", "LANG"}:
            del os.environ[name]
        os.environ["HOME"] = home
        start_in(maker, options, home)
    return FORMAT


def start_in(maker: IServiceMaker, options: Any, home: str) -> None:
    """Start a gateway, have it answer a request, and stop it.

    :param options: the options of a gateway, which become those of the trial.
    :param home: its home, an empty directory.
    :raise Exception: it does not start, or does not answer.
    """
    options.settings, options.home, options.config_file = without_effects(options.settings), home, ""
    options.files = options.busy_files = ()
    options.examine = lambda: ExaminedSettings(options.settings, (), ())
    options["no-adopt"] = options["managed"] = True
    options["welcome"] = False
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


def without_effects(settings: Settings) -> Settings:
    """Return the settings of a gateway that nobody notices: its servers, clients and other nodes are left alone."""
    gateway = evolve(
        settings.gateway,
        http_port=0,
        bind_address="127.0.0.1",
        listen=(),
        ports=(),
        cluster=ClusterSettings(),
    )
    servers = tuple(evolve(each, enabled=False) for each in settings.servers)
    return evolve(
        settings,
        gateway=gateway,
        servers=servers,
        manhole=ManholeSettings(),
        adopted=(),
        is_disabled=False,
        paused_until=0.0,
    )


def answers(port: int) -> None:
    """Ask the gateway at a port for its health.

    :raise RuntimeError: its answer is none of a gateway that works.
    :raise OSError: it does not answer.
    """
    connection = HTTPConnection("127.0.0.1", port, timeout=ANSWER_S)
    connection.request("GET", "/healthz")
    status = connection.getresponse().status
    if status >= 500:  # without a token it may be refused
        raise RuntimeError(f"it answers GET /healthz with {status}")
