"""Make a gateway a node of a cluster, where its settings say so."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import TYPE_CHECKING, Any, cast

from mcpgateway.app.hub import Hub
from mcpgateway.app.keys import Keys
from mcpgateway.config.cluster import ClusterSettings
from mcpgateway.frontends.http.listeners import NOTHING, Inheritance
from mcpgateway.frontends.http.mcp import LegacyEndpoint
from mcpgateway.frontends.http.router import Root
from mcpgateway.hub.dispatch import LegacyDispatcher
from mcpgateway.interfaces import ILauncher, IOtherNodes, ISessionStore
from mcpgateway.policy.secrets.redaction import Redactor
from mcpgateway.protocol import node_marks
from mcpgateway.system import home_files

if TYPE_CHECKING:
    from mcpgateway.cluster.node import ClusterNode
    from mcpgateway.hub.results.originals import Vault
    from mcpgateway.owntools.jobs import Jobs
    from mcpgateway.views.registry import ViewRegistry

NO_KEYS = Keys("")
LIFE_FILE, LIFE_LIMIT = "cluster-life", 100


def node_of(
    settings: ClusterSettings,
    environ: Mapping[str, str],
    reactor: Any,
    redactor: Redactor,
    home: str,
    former: bytes = b"",
) -> ClusterNode | None:
    """Return this gateway as a node of a cluster; None for a gateway that is alone.

    :param former: the node that the former program of this process was; empty at an ordinary start.
    :raise ConfigError: the key of the cluster, or the client library of its store, is missing.
    """
    if not settings.is_on:
        return None
    from mcpgateway.cluster.key_check import agree
    from mcpgateway.cluster.key_file import read_key
    from mcpgateway.cluster.node import ClusterNode  # other gateways load nothing of the cluster
    from mcpgateway.cluster.store import library

    library()
    keys = read_key(settings, environ)
    redactor.learn((keys.newest, *keys.former, settings.store))
    node = ClusterNode(settings, keys, reactor, home)
    node.store.admit = lambda cursor: agree(cursor, keys)
    node.unready.append(node.joining)
    if former:
        node.restore(former)
    return node


def sessions_of(node: ClusterNode | None, journal: ISessionStore, reactor: Any) -> ISessionStore:
    """Return the store of sessions: the journal, or that of a node in front of it."""
    if node is None:
        return journal
    from mcpgateway.cluster.session_store import SessionStore
    from mcpgateway.cluster.verdicts import SharedVerdicts

    node.sessions = SessionStore(journal, node.store, node.octets, reactor)
    node.sessions.verdicts = verdicts = SharedVerdicts(node.documents, journal, reactor.seconds)
    node.add(verdicts)
    if node.former is not None:
        node.sessions.restore(node.former.sessions)
    return node.sessions


def launcher_of(node: ClusterNode | None, backends: ILauncher, reactor: Any, home: str) -> ILauncher:
    """Return the launcher of servers: all start here, or on a node each where it may run."""
    if node is None:
        return backends
    from mcpgateway.cluster.leases import Leases
    from mcpgateway.hub.placing import Placing

    former = _former_life(home, node.membership.me.incarnation)
    leases = Leases(node.store, node.membership, reactor, node.settings.lease_s, former)
    node.placing = placing = Placing(reactor, backends, node.membership, leases)
    node.add(leases, placing)
    if node.former is not None:
        placing.restore(node.former.leases)
    return placing


def _former_life(home: str, incarnation: str) -> str:
    """Return the incarnation of the node that this home had before, and note the present one.

    That process has ended, since the home is locked, and its children with it; no other process of the node's name has.
    """
    path = f"{home}/{LIFE_FILE}"
    try:
        former = home_files.read_text(path, LIFE_LIMIT).strip()
    except OSError:
        former = ""
    home_files.keep(path, incarnation.encode())
    return former


def join(
    node: ClusterNode | None,
    reactor: Any,
    root: Root,
    mcp: LegacyEndpoint,
    hub: Hub,
    inherited: Inheritance = NOTHING,
) -> None:
    """Let a gateway serve the sessions of a cluster, and listen for its other nodes.

    :param inherited: the sockets for other nodes that the former program of this process has left.
    :raise ConfigError: the port for other nodes cannot be listened on.
    """
    if node is None:
        return
    from mcpgateway.cluster.credentials import NodeCredentials
    from mcpgateway.cluster.node_sessions import NodeSessions
    from mcpgateway.cluster.places import Places
    from mcpgateway.frontends.http.node_client import NodeClient
    from mcpgateway.frontends.http.node_links import LinkJudge, NodeLinks
    from mcpgateway.frontends.http.node_port import NodePort, NodeRoot
    from mcpgateway.frontends.http.nodes.control import NodeControl
    from mcpgateway.frontends.http.nodes.things import ThingServer
    from mcpgateway.frontends.http.passing import Passing
    from mcpgateway.frontends.http.session_router import SessionRouter

    assert node.sessions is not None
    sessions = NodeSessions(node.store, node.membership, node.sessions, _let_go_of(hub.dispatcher))
    credentials = NodeCredentials.of(node.keys, node.name, reactor.seconds)
    node.client = client = NodeClient(reactor, credentials, node.settings.tls)
    passing = Passing(client)
    places = Places(reactor, node.store, node.membership)
    ids = keys_of(node, NO_KEYS).session_ids()
    mcp.router = SessionRouter(sessions.homes, node.membership, passing, ids, places)
    node.passed = lambda: passing.count
    root.passes = NodeControl(node.membership, passing, client).takes

    def jobs() -> Jobs | None:
        cast("ViewRegistry", hub.dispatcher.view_sessions).builtin  # noqa: B018 - jobs come with the own tools
        return hub.jobs

    def vault() -> Vault | None:
        return hub.vault if jobs() is not None else None

    door = NodeRoot(root, credentials, node.membership.me.incarnation, ThingServer(vault, jobs))
    node.placing.nodes = NodeLinks(client, node.membership)
    door.links = LinkJudge(root, node.membership, node.placing.leases)
    node.port = NodePort(reactor, node.settings, door, node.membership, passing, inherited)
    node.add(sessions, places, node.port)


def _let_go_of(dispatcher: LegacyDispatcher) -> Callable[[Collection[bytes]], None]:
    def let_go(serials: Collection[bytes]) -> None:
        lost = set(serials)
        for session in list(dispatcher.sessions):
            if session.issued is not None and session.issued.serial in lost:
                dispatcher.park(session, "another node of the cluster serves it now")

    return let_go


def others_of(node: ClusterNode | None) -> IOtherNodes | None:
    """Return what fetches things of other nodes; None for a gateway that is alone."""
    if node is None:
        return None
    from mcpgateway.frontends.http.nodes.things import OtherNodes

    return OtherNodes(node.membership, lambda: node.client)


def mark_of(node: ClusterNode | None) -> str:
    """Return the mark of a node in ids; empty for a gateway that is alone."""
    return node_marks.mark_of(node.octets) if node is not None else ""


def keys_of(node: ClusterNode | None, own: Keys) -> Keys:
    """Return the keys that sign ids: those of the cluster, or the gateway's own."""
    return own if node is None else Keys(node.keys.newest, node.keys.former, node.octets)
