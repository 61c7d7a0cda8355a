"""Let operators see and drain a node: what its row tells of it, and its drain."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred, succeed

from mcpgateway.app.hub import Hub
from mcpgateway.app.log import LogPipeline
from mcpgateway.config.cluster import PrincipalLimits, address_of, shown_address
from mcpgateway.config.gateway_settings import GatewaySettings
from mcpgateway.frontends.http.listeners import Listeners, is_near
from mcpgateway.hub.dispatch import LegacyDispatcher

if TYPE_CHECKING:
    from mcpgateway.cluster.node import ClusterNode
    from mcpgateway.hub.limits.principals import PrincipalQuotas
    from mcpgateway.manage.nodes.drain import Drain

SOLE_SHOWN = 500  # servers in the row of a node, which all nodes read every few seconds
ANY = ("0.0.0.0", "::")  # noqa: S104 - compared, not bound


def drain_of(
    node: ClusterNode | None,
    dispatcher: LegacyDispatcher,
    listeners: Callable[[], Listeners],
    reactor: Any,
    gateway: GatewaySettings,
) -> Drain | None:
    """Limit principals, and return the drain of a node, as a part of it; None for a gateway that is alone.

    :param listeners: returns the ports for clients, which other nodes are told of.
    """
    quotas = _limit(dispatcher, gateway.cluster.limits, node)
    if node is None:
        return None
    from mcpgateway.manage.nodes.drain import Drain

    def release(serials: Sequence[bytes]) -> Deferred[None]:
        return node.sessions.release(serials) if node.sessions is not None else succeed(None)

    drain = Drain(node, dispatcher, release, reactor)
    node.add(drain)
    node.unready.append(drain.unready)
    node.farewell = drain.leave

    def admit(principal: str) -> None:
        drain.admit()
        if quotas is not None:
            quotas.admit_session(principal)

    dispatcher.admit_session = admit

    def facts() -> dict[str, Any]:
        return {
            "clients": clients_address(node.settings.address, listeners()),
            "tls": bool(gateway.tls_cert_path),
            "sessions": len(dispatcher.sessions),
            "sole": node.placing.sole()[:SOLE_SHOWN] if node.placing is not None else [],
        }

    node.membership.facts = facts
    return drain


def _limit(
    dispatcher: LegacyDispatcher, limits: PrincipalLimits, node: ClusterNode | None
) -> PrincipalQuotas | None:
    if not limits.are_set:
        return None
    from mcpgateway.hub.limits.principals import PrincipalQuotas  # few gateways limit principals

    quotas = PrincipalQuotas(limits, dispatcher)
    if node is not None:
        membership = node.membership
        quotas.nodes = lambda: len(membership.live())
    dispatcher.admit_session = quotas.admit_session
    if limits.calls:
        dispatcher.permits.admit_call = quotas.admit_call
    if limits.children:
        dispatcher.pool.admit_child = quotas.admit_child
    return quotas


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
