"""``mcpgateway tools refresh`` without a running gateway, in the process that the command becomes."""

from __future__ import annotations

import os
import secrets
import sys
from collections.abc import Callable, Sequence
from typing import Any

from attrs import field, frozen
from twisted.internet.defer import Deferred
from twisted.internet.task import LoopingCall, react

from mcpgateway.app.backends_alone import backends_alone
from mcpgateway.app.hub import Hub, HubDependencies, make_hub, proxies_of, settle
from mcpgateway.app.keys import Keys
from mcpgateway.backends.factory import Backends
from mcpgateway.cli.commands.servers.discover import progress, report
from mcpgateway.cli.console import fail
from mcpgateway.cli.handover import request_of
from mcpgateway.cli.main import guarded
from mcpgateway.clientfiles.machine import Machine
from mcpgateway.config.document import visible
from mcpgateway.config.model import ServerSpec
from mcpgateway.config.settings import Settings
from mcpgateway.discovery.naming import server_hint
from mcpgateway.errors import ConfigError
from mcpgateway.hub.catalog.recorded import Snapshots
from mcpgateway.manage.discovery import Discovery
from mcpgateway.system import files
from mcpgateway.system.journal import Journal
from mcpgateway.system.process.socket_owners import SocketSearch
from mcpgateway.system.recorded_lists import RecordedListFiles

TELL_S = 0.2

Tell = Callable[[dict[str, Any]], None]


@frozen
class DiscoveryRequest:
    """The servers whose lists are to be read.

    :ivar servers: names; empty for all servers.
    :ivar limit_s: seconds for each server.
    """

    servers: tuple[str, ...]
    limit_s: float
    tell: Tell = field(repr=False)


def main() -> int:
    """Read the lists of the requested servers, print the outcome of each, and return the exit code."""
    options = request_of()
    return guarded(lambda: _run_and_report(options), as_json=options["as_json"])


def _run_and_report(options: dict[str, Any]) -> int:
    try:
        with progress() as tell:
            request = DiscoveryRequest(tuple(options["servers"]), options["limit_s"], tell)
            found = discover(Machine(options["home"], os.environ), request)
    except ConfigError as why:
        fail(why.message, why.hint)
    return report(found["servers"], as_json=options["as_json"])


def discover(machine: Machine, request: DiscoveryRequest) -> dict[str, Any]:
    """Read the servers' lists; return the outcome of each, in the gateway's format.

    :raise ConfigError: the configuration cannot be used, or has no such server.
    """
    settings = machine.settings_to_run()
    servers = chosen(settings.servers, request.servers)
    files.make_home(machine.home)
    shown: list[dict[str, Any]] = []

    def run(reactor: Any) -> Deferred[None]:
        return Deferred.fromCoroutine(_run(reactor, machine.home, settings, servers, request, shown))

    try:
        react(run)
    except SystemExit as ended:
        if not shown:
            raise ConfigError("the servers could not be asked") from ended
    return shown[0]


def chosen(servers: Sequence[ServerSpec], names: Sequence[str]) -> list[ServerSpec]:
    """Return the servers of these names, or all that are switched on.

    :raise ConfigError: no server has one of the names.
    """
    known = {each.name: each for each in servers}
    for each in names:
        if each not in known:
            raise ConfigError(f"Unknown server: {visible(each)}", server_hint(each, known))
    return [known[each] for each in dict.fromkeys(names)] or [each for each in servers if each.enabled]


async def _run(
    reactor: Any,
    home: str,
    settings: Settings,
    servers: Sequence[ServerSpec],
    request: DiscoveryRequest,
    shown: list[dict[str, Any]],
) -> None:
    holders = SocketSearch(reactor)
    alone = backends_alone(reactor, home, holders, proxies_of(settings))
    hub = _hub_of(reactor, home, settings, alone.backends, holders)
    discovery = Discovery(hub.dispatcher, reactor)
    telling = LoopingCall(lambda: request.tell(discovery.shown()))
    telling.clock = reactor
    try:
        asked = discovery.begin(servers, request.limit_s)
        telling.start(TELL_S).addErrback(lambda _: None)  # its failure only ends the display of progress
        await asked
        shown.append(discovery.shown())
    finally:
        if telling.running:
            telling.stop()
        await hub.dispatcher.close()
        await alone.close()
        if hub.snapshots is not None:
            hub.snapshots.close()


def _hub_of(reactor: Any, home: str, settings: Settings, backends: Backends, holders: SocketSearch) -> Hub:
    snapshots = Snapshots(RecordedListFiles(f"{home}/catalogs", reactor.seconds), reactor.seconds)
    # No file of these sessions is kept after the end of this program.
    store = Journal(":memory:", reactor.seconds)
    keys = Keys(secrets.token_urlsafe(32))
    hub = make_hub(settings, HubDependencies(backends, reactor, keys, store, holders, snapshots=snapshots))
    settle(hub.dispatcher, settings, home, reactor)
    return hub


if __name__ == "__main__":
    sys.exit(main())
