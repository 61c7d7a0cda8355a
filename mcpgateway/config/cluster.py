"""The section ``gateway.cluster``: one node of a cluster of gateways."""

from __future__ import annotations

import re
from collections.abc import Mapping

from attrs import evolve, frozen

from mcpgateway.config.expand import expand
from mcpgateway.config.fields import Choice, Duration, Flag, Text, Texts, WholeNumber
from mcpgateway.config.problems import Problems, Where
from mcpgateway.config.section import Key, Section, keys_of, part, setting

NODE_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,61}[A-Za-z0-9])?")
LABEL = NODE_NAME
NODE_FILE = "node.yaml"
"""The file in the home with the settings of this node alone, which outrank all others and are not shared."""

LOOPBACK = ("127.0.0.1", "localhost", "::1")


@frozen
class ClusterTls:
    """The files with which the nodes of a cluster prove to each other that they are its nodes."""

    ca_file: str = setting(
        "ca_file", Text(), "File of the authority that has signed the certificates of all nodes.", ""
    )
    cert_file: str = setting("cert_file", Text(), "File of this node's certificate.", "")
    key_file: str = setting("key_file", Text(), "File of the key of that certificate.", "")

    @property
    def is_whole(self) -> bool:
        """True if all three files are named."""
        return bool(self.ca_file and self.cert_file and self.key_file)


CLUSTER_TLS = Section("TLS between nodes", keys_of(ClusterTls))


@frozen
class PrincipalLimits:
    """The bounds of each principal with a credential of its own; 0 is no bound."""

    sessions: int = setting("sessions", WholeNumber(0, 1_000_000), "Sessions at once; 0: any number.", 0)
    calls: int = setting("calls", WholeNumber(0, 1_000_000), "Calls under way at once; 0: any number.", 0)
    children: int = setting(
        "children",
        WholeNumber(0, 1_000_000),
        "Processes that serve its sessions alone; 0: any number.",
        0,
    )

    @property
    def are_set(self) -> bool:
        """True if there is a bound."""
        return bool(self.sessions or self.calls or self.children)


PRINCIPAL_LIMITS = Section("Limits of each principal", keys_of(PrincipalLimits))


@frozen
class ClusterSettings:
    """The settings of one node of a cluster; without a store the gateway is no node.

    :ivar address: the host and port at which the other nodes reach this one; empty: those of ``listen``.
    :ivar store_lost_s: the time in seconds for which a node without the store takes tokens of the store.
    """

    store: str = setting(
        "store",
        Text(is_secret=True),
        "PostgreSQL database of the cluster, such as ``postgresql://user@host/name``, best a variable. It makes the"
        " gateway a node; empty: the gateway is alone.",
        "",
        is_secret=True,
    )
    node: str = setting(
        "node", Text(), "Name of this node, unique in the cluster; empty: the name of the machine.", ""
    )
    listen: str = setting(
        "listen",
        Text(),
        "Address and port for the other nodes. Beyond loopback it needs ``tls``, or ``insecure``.",
        "127.0.0.1:9101",
    )
    address: str = setting(
        "address",
        Text(),
        "Address and port at which the other nodes reach this one; empty: that of ``listen``.",
        "",
    )
    labels: tuple[str, ...] = setting(
        "labels", Texts(), "What the node has, such as ``gpu``; servers name it with ``on``.", []
    )
    key_file: str = setting(
        "key_file",
        Text(),
        "File of the cluster's key, the same on all nodes, made by ``mcpgateway cluster key``. A second line is the"
        " former key, which is still read. ``$MCPGATEWAY_CLUSTER_KEY`` has it, too.",
        "",
    )
    tls: ClusterTls = part(
        ClusterTls, Key("tls", CLUSTER_TLS, "How nodes prove to each other that they are nodes.")
    )
    insecure: bool = setting(
        "insecure",
        Flag(),
        "Whether nodes speak plain HTTP beyond loopback, such as in a network that encrypts by itself.",
        default=False,
    )
    config: str = setting(
        "config",
        Choice.of("store", "files"),
        "Where the configuration of the cluster is. ``store``: an edit at one node counts on all. ``files``: each"
        " node has its own files, which other programs write, and edits over the gateway are refused.",
        "store",
    )
    store_lost_s: float = setting(
        "store_lost",
        Duration(),
        "How long a node that cannot reach the store takes the tokens that it knows from it. After that it refuses"
        " them and is not ready.",
        "10m",
    )
    lease_s: float = setting(
        "lease",
        Duration(least_s=3),
        "How long a server with ``instances: one`` stays a node's that does not renew it. More than the store needs"
        " for a fail-over.",
        "60s",
    )
    drain_s: float = setting(
        "drain",
        Duration(),
        "How long sessions with a process of their own may stay on a node that is drained.",
        "10m",
    )

    limits: PrincipalLimits = part(
        PrincipalLimits,
        Key(
            "limits",
            PRINCIPAL_LIMITS,
            "What each principal may have in the whole cluster: a token of an agent or a project, an API key, a user of"
            " the authorization server. Each node takes its share, rounded up; a gateway that is alone takes all.",
        ),
    )

    @property
    def is_on(self) -> bool:
        """True if the gateway is a node of a cluster."""
        return bool(self.store)


CLUSTER = Section("A node of a cluster", keys_of(ClusterSettings))


def joined(
    cluster: ClusterSettings, sources: Mapping[str, str], where: Where, problems: Problems
) -> ClusterSettings:
    """Return the section with its variables expanded; mistakes are added to the problems.

    :param sources: the values of the variables; ``HOSTNAME`` is the name of the machine.
    """
    if not cluster.store:
        return cluster

    def filled(name: str, text: str) -> str:
        found = expand(text, sources)
        missing = (*found.unset, *found.demanded, *found.broken, *found.lacking)
        if missing:
            problems.error(
                where, f"gateway.cluster.{name} has a variable without a value: {missing[0].split(':')[0]}"
            )
        return found.text

    tls = evolve(
        cluster.tls,
        ca_file=filled("tls.ca_file", cluster.tls.ca_file),
        cert_file=filled("tls.cert_file", cluster.tls.cert_file),
        key_file=filled("tls.key_file", cluster.tls.key_file),
    )
    labels = tuple(filled("labels", each) for each in cluster.labels)
    listen = filled("listen", cluster.listen)
    made = evolve(
        cluster,
        store=filled("store", cluster.store),
        node=filled("node", cluster.node) or sources.get("HOSTNAME", ""),
        listen=listen,
        address=filled("address", cluster.address) or listen,
        key_file=filled("key_file", cluster.key_file),
        tls=tls,
        labels=labels,
    )
    _check(made, where, problems)
    return made


def _check(cluster: ClusterSettings, where: Where, problems: Problems) -> None:
    if "://" in cluster.store and not cluster.store.startswith(("postgresql://", "postgres://")):
        problems.error(where, "gateway.cluster.store has to be the URL of a PostgreSQL database")
    if not NODE_NAME.fullmatch(cluster.node):
        problems.error(where, "gateway.cluster.node has to be letters, digits, dots and dashes, up to 63")
    for each in cluster.labels:
        if not LABEL.fullmatch(each):
            problems.error(where, "gateway.cluster.labels have to be letters, digits, dots and dashes")
    for name in ("listen", "address"):
        if address_of(getattr(cluster, name)) is None:
            problems.error(
                where, f"gateway.cluster.{name} has to be an address and a port such as 10.0.0.5:9101"
            )
    is_named = [bool(each) for each in (cluster.tls.ca_file, cluster.tls.cert_file, cluster.tls.key_file)]
    if any(is_named) and not all(is_named):
        problems.error(where, "gateway.cluster.tls needs ca_file, cert_file and key_file")
    found = address_of(cluster.listen)
    if found is not None and found[0] not in LOOPBACK and not any(is_named) and not cluster.insecure:
        problems.error(
            where,
            f"gateway.cluster.listen is {cluster.listen}, which other machines reach, without gateway.cluster.tls",
            "name the three files, or say insecure: true in a network that encrypts by itself",
        )


def address_of(text: str) -> tuple[str, int] | None:
    """Return the host and the port of ``host:port`` or ``[IPv6]:port``; None for another text."""
    host, colon, port = text.rpartition(":")
    if not colon or not host or not port.isascii() or not port.isdigit() or not 0 <= int(port) <= 65535:
        return None
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        return None
    return (host, int(port)) if host and host.isprintable() and " " not in host else None


def shown_address(host: str, port: int) -> str:
    """Return ``host:port`` as URLs have it."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
