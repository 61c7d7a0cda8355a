"""Checks of a node of a cluster: its key, its store, and what the other nodes do not have."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress

from mcpgateway.cli.doctor.context import DoctorContext
from mcpgateway.cli.doctor.finding import Check, DoctorFinding, counted, fine, note, problem
from mcpgateway.config.cluster import ClusterSettings
from mcpgateway.config.settings import Settings
from mcpgateway.errors import ConfigError, StoreLost
from mcpgateway.hints import cli
from mcpgateway.system import files
from mcpgateway.system.process import procfs
from mcpgateway.system.token_files import VARIABLES

SKEW_S = 5.0
FILE_LIMIT = 1_048_576
FROM_KEYRING = "${keyring:"

KEY = problem(
    "cluster.key",
    "The key of the cluster is missing, others can read it, or it is not the key of the other nodes.",
    "copy the key file of another node, and let its owner alone read it",
)
STORE = problem(
    "cluster.store",
    "The database of the cluster cannot be reached from this machine, or refuses its user.",
    "start the database, or put gateway.cluster.store right; sessions and calls go on meanwhile",
)
TABLES = problem(
    "cluster.tables",
    "A newer release has made the tables of the cluster, which this one does not know.",
    f"{cli('upgrade')} upgrades this node",
)
CLOCK = problem(
    "cluster.clock",
    "The clock of this machine and that of the database differ; nodes refuse each other's requests at two minutes.",
    "set the clocks, such as with NTP",
)
NAMES = problem(
    "cluster.name",
    "Two gateways run as one node: the one that has begun later is the node, and the other no member of the cluster.",
    "give each node a name of its own, as gateway.cluster.node in its node.yaml, and restart it",
)
TRUST = note(
    "cluster.trust",
    "Callers need no token because of their address, and behind a load balancer all have the address of the balancer.",
    "give clients tokens, and take compat.open_loopback_admin and settings.security.trusted_ips out",
)
TOKENS = note(
    "cluster.tokens",
    "The node takes its own two tokens from files in its home, so that clients need others at each node.",
    "give all nodes the same ones as $MCP_GATEWAY_AUTH_TOKEN and $MCP_GATEWAY_ADMIN_TOKEN",
)
KEYRING = note(
    "cluster.keyring",
    "A value comes from the keyring of this machine, which the other nodes do not have.",
    "put it into the environment or the file of values, which all nodes have",
)
HOSTS = note(
    "cluster.hosts",
    "Clients call the load balancer by a name that no node knows as its own, and are refused.",
    f"{cli('config set gateway.public_url=URL')} names the balancer for all nodes",
)


def cluster(world: DoctorContext) -> Iterator[DoctorFinding]:
    """Check that the gateway can be a node, if it is one."""
    settings = world.examined.settings
    if settings is None:
        return
    node = settings.gateway.cluster
    found = list(_node(world, settings)) if node.is_on else []
    yield from found
    if not found:
        yield fine("cluster", f"node {node.node} of a cluster" if node.is_on else "no node of a cluster")


def _node(world: DoctorContext, settings: Settings) -> Iterator[DoctorFinding]:
    gateway = settings.gateway
    yield from _store(world, gateway.cluster)
    if gateway.open_loopback_admin or gateway.security.trusted_ips:
        yield TRUST.found("addresses are trusted, and the balancer's is that of all clients")
    environ = _environment(world)
    own = [name for name in VARIABLES.values() if not _is_given(environ, name)]
    if own:
        yield TOKENS.found(f"{counted(len(own), 'token')} of the gateway from files in its home")
    for path in _configured(world):
        with suppress(OSError, ConfigError):
            lines = files.read_text(path, FILE_LIMIT).splitlines()
            if any(FROM_KEYRING in each for each in lines if not each.lstrip().startswith("#")):
                yield KEYRING.found(f"{path} has a value of this machine's keyring")
    if not gateway.public_url and not gateway.allowed_hosts:
        yield HOSTS.found("neither gateway.public_url nor gateway.allowed_hosts names the balancer")


def _store(world: DoctorContext, settings: ClusterSettings) -> Iterator[DoctorFinding]:
    from mcpgateway.cluster import schema
    from mcpgateway.cluster.examination import examine
    from mcpgateway.cluster.key_file import read_key

    try:
        keys = read_key(settings, _environment(world))
        found = examine(settings.store, lambda: world.now, keys)
    except ConfigError as why:
        yield KEY.found(why.message, advice=why.advice)
        return
    except StoreLost as why:
        yield STORE.found(f"the database does not answer: {why.why}")
        return
    if found.tables is not None and found.tables[0] > schema.MAJOR:
        yield TABLES.found(
            f"the tables are of version {found.tables[0]}, and this release knows {schema.MAJOR}"
        )
    for name, *addresses in found.rivals:
        yield NAMES.found(f"two gateways are called node {name}: those at {' and '.join(addresses)}")
    if abs(found.ahead_s) > SKEW_S:
        how = "ahead of" if found.ahead_s > 0 else "behind"
        yield CLOCK.found(
            f"the clock of the database is {abs(found.ahead_s):.0f} s {how} that of this machine"
        )


def _environment(world: DoctorContext) -> dict[str, str]:
    """Return the environment of the gateway that runs, or of this program."""
    found = procfs.environment_of(world.pid, world.proc) if world.pid else {}
    return {
        **world.environ,
        **{name.decode(errors="replace"): value.decode(errors="replace") for name, value in found.items()},
    }


def _is_given(environ: dict[str, str], name: str) -> bool:
    older = name.replace("MCPGATEWAY_", "MCP_GATEWAY_")
    return bool(environ.get(name) or environ.get(older))


def _configured(world: DoctorContext) -> Iterator[str]:
    """Yield the files of the configuration in the home."""
    for directory in (world.home, world.in_home("config.d")):
        with suppress(OSError):
            for name in sorted(os.listdir(directory)):
                if name.startswith("config.") or directory != world.home:
                    yield os.path.join(directory, name)


CHECKS = (
    Check(
        "cluster", "the cluster", cluster, (KEY, STORE, TABLES, CLOCK, NAMES, TRUST, TOKENS, KEYRING, HOSTS)
    ),
)
