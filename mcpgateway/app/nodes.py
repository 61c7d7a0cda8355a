"""Let operators see and drain a node: what its row tells of it, and its drain."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred, succeed

from mcpgateway.app.hub import Hub
from mcpgateway.app.log import LogPipeline
from mcpgateway.config.cluster import address_of, shown_address
from mcpgateway.frontends.http.listeners import Listeners, is_near
from mcpgateway.hub.dispatch import LegacyDispatcher

if TYPE_CHECKING:
    from mcpgateway.cluster.node import ClusterNode
    from mcpgateway.manage.nodes.drain import Drain

ANY = ("0.0.0.0", "::")  # noqa: S104 - compared, not bound


def drain_of(
    node: ClusterNode | None,
    dispatcher: LegacyDispatcher,
    listeners: Callable[[], Listeners],
    reactor: Any,
    *,
    is_tls: bool,
) -> Drain | None:
    """Return the drain of a node, which has become a part of it; None for a gateway that is alone.

    :param listeners: returns the ports for clients, which other nodes are told of.
    :param is_tls: clients speak https with the node.
    """
    if node is None:
        return None
    from mcpgateway.manage.nodes.drain import Drain

    def release(serials: Sequence[bytes]) -> Deferred[None]:
        return node.sessions.release(serials) if node.sessions is not None else succeed(None)

    drain = Drain(node, dispatcher, release, reactor)
    node.add(drain)
    node.unready.append(drain.unready)
    node.farewell = drain.leave
    dispatcher.admit_session = lambda _: drain.admit()

    def facts() -> dict[str, Any]:
        return {
            "clients": clients_address(node.settings.address, listeners()),
            "tls": is_tls,
            "sessions": len(dispatcher.sessions),
        }

    node.membership.facts = facts
    return drain


def name_in(name: str, observation: LogPipeline, hub: Hub) -> None:
    """Let each line of the log, and each record of a call, have the name of this node."""
    observation.node = name
    if hub.tracer is not None and hub.tracer.activity is not None:
        hub.tracer.activity.node = name


def clients_address(address: str, listeners: Listeners) -> str:
    """Return the host and the port at which a balancer reaches a gateway.

    :param address: where the other nodes reach it, whose host is that of the machine.
    """
    hosts = [port.getHost() for port in listeners.ports if getattr(port, "connected", True)]
    ports = [each for each in hosts if isinstance(each, IPv4Address | IPv6Address)]
    far = [each for each in ports if not is_near(each)]
    main = [each for each in far if each.port == listeners.http_port]
    if not far:
        return shown_address(ports[0].host if ports else "127.0.0.1", listeners.http_port)
    found = (main or far)[0]
    machine = address_of(address)
    host = machine[0] if found.host in ANY and machine is not None else found.host
    return shown_address(host, found.port)
