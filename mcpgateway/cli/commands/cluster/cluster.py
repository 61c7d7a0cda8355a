"""The nodes of a cluster: their list, their drain, the cluster's key, and the balancers before them."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from mcpgateway.cli.completion_values import node_names
from mcpgateway.cli.console import DONE, FAILED, answer, fail, local_time, say, show, spinner
from mcpgateway.cli.context import Globals
from mcpgateway.cli.lazy import SuggestingGroup
from mcpgateway.cli.queries import TableQuery, ask, text
from mcpgateway.hints import cli

if TYPE_CHECKING:
    from mcpgateway.cli.balancers.configurations import NodeBehind

PATH = "/api/v1/cluster"
MAKES_ONE = f"{cli('cluster init --store URL')} makes it one"
ALONE = f"This gateway is no node of a cluster.\n{MAKES_ONE}."
LOOK_S = 0.5
WAIT_S = 660.0  # more than gateway.cluster.drain usually is


def _since(node: Mapping[str, Any]) -> str:
    at = float(node.get("since") or 0)
    return local_time(datetime.fromtimestamp(at, UTC).isoformat()) if at else "-"


NODES = TableQuery(
    PATH,
    {
        "NODE": text("name"),
        "STATE": text("state"),
        "CLIENTS AT": text("clients", "-"),
        "NODES AT": text("address"),
        "VERSION": text("version"),
        "LABELS": lambda each: ", ".join(each.get("labels") or ()) or "-",
        "SESSIONS": text("sessions", "0"),
        "SINCE": _since,
    },
    key="items",
    none=ALONE,
)


@click.group(cls=SuggestingGroup, bare="status", context_settings={"help_option_names": ["-h", "--help"]})
def cluster() -> None:
    """Run several gateways as one: nodes that agree through a PostgreSQL database, behind a load balancer."""


@cluster.command()
@click.pass_obj
def status(globals_: Globals) -> int:
    """List the nodes of the cluster. Exit code 1 while this node is cut off from the others."""
    found = NODES.ask(globals_)
    is_cut_off = bool(found["node"]) and not (found.get("member") and found.get("store") == "up")

    def tell() -> None:
        NODES.tell(found)
        if found["node"]:
            say(f"This is node {found['node']}.", dim=True)
        for each in (row for row in NODES.rows(found) if row.get("rival")):
            say(
                f"Another gateway, at {each['rival']}, is called node {each['name']}, too: give each node a name of its"
                " own (gateway.cluster.node in node.yaml).",
                fg="red",
            )
        if found.get("refused"):
            say(f"{found['refused']}.", fg="red")
        elif is_cut_off and found.get("store") == "up":
            say(f"Node {found['node']} is not in the cluster.", fg="red")
        elif is_cut_off:
            say(f"Node {found['node']} does not reach the store: the list may be out of date.", fg="red")

    NODES.answer(globals_, found, tell)
    return FAILED if is_cut_off else DONE


@cluster.command()
@click.argument("node", required=False, default="", metavar="[NODE]", shell_complete=node_names)
@click.option("--undo", is_flag=True, help="Take the drain back.")
@click.option("--wait", "waits", is_flag=True, help="Wait until no session is left there.")
@click.option("--force", is_flag=True, help="Drain it also where no other node takes clients.")
@click.pass_obj
def drain(globals_: Globals, node: str, *, undo: bool, waits: bool, force: bool) -> int:
    """Let the other nodes take over the clients of a node, such as before an upgrade; of this one without a name.

    Sessions with a process of their own stay for as long as `gateway.cluster.drain` says. The node serves until it is
    stopped; a node that is started again takes clients.
    """
    if undo and waits:
        raise click.UsageError("cluster drain: --undo takes effect at once; leave --wait out")
    found = ask(
        globals_,
        f"{PATH}/drain",
        method="POST",
        body={"node": node, "undo": undo, "force": force},
        is_admin=True,
    )
    left = _waited(globals_, found["node"]) if waits else None

    def tell() -> None:
        if undo:
            say(f"Node {found['node']} takes clients again.")
        elif left is None:
            say(f"Node {found['node']} is drained: other nodes take its clients over.")
            say(f"  {cli('cluster status')} shows how many sessions are left", dim=True)
        elif left:
            say(f"Node {found['node']} is drained; {left} sessions are left.")
        else:
            say(f"Node {found['node']} is drained; no session is left.")

    answer(globals_, found if left is None else {**found, "sessions": left}, tell)
    return FAILED if left else DONE


def _waited(globals_: Globals, node: str) -> int:
    """Wait until a node has no session; return the number of those that are left when the wait is over."""
    began = time.monotonic()
    with spinner(f"waiting for the clients of node {node}"):
        while True:
            found = NODES.ask(globals_)
            row = next((each for each in NODES.rows(found) if each["name"] == node), {})
            left = int(row.get("sessions") or 0)
            if not left or time.monotonic() - began > WAIT_S:
                return left
            time.sleep(LOOK_S)


def _files(name: str, says: str) -> Callable[[Any], Any]:
    return click.option(name, type=click.Path(dir_okay=False), metavar="FILE", default="", help=says)


@cluster.command()
@click.option(
    "--store",
    metavar="URL",
    required=True,
    help="The PostgreSQL database, such as postgresql://user@host/name, or a variable in single quotes.",
)
@click.option("--node", metavar="NAME", default="", help="The node's name (default: the machine's).")
@click.option(
    "--listen",
    metavar="ADDRESS:PORT",
    default="127.0.0.1:9101",
    show_default=True,
    help="Where other nodes reach it.",
)
@click.option(
    "--address", metavar="ADDRESS:PORT", default="", help="The same from outside, if that is another address."
)
@click.option("--label", "labels", metavar="NAME", multiple=True, help="What the node has; may be repeated.")
@_files("--key-file", "The cluster's key (default: cluster.key in the home; the first node makes it).")
@_files("--tls-ca", "The authority of the nodes' certificates.")
@_files("--tls-cert", "The node's certificate.")
@_files("--tls-key", "The key of that certificate.")
@click.option(
    "--insecure", is_flag=True, help="Plain HTTP between nodes, in a network that encrypts by itself."
)
@click.option(
    "--config",
    type=click.Choice(("store", "files")),
    default="store",
    show_default=True,
    help="Whether nodes share their configuration, or other programs write their files.",
)
@click.option("--force", is_flag=True, help="Replace the settings of a node.")
@click.pass_obj
def init(globals_: Globals, /, *, force: bool, **given: Any) -> None:
    """Make the gateway of this home a node: check the store, the key and the clock, and write node.yaml.

    The next nodes need a copy of the key file that the first one has made.
    """
    from attrs import evolve

    from mcpgateway.cli.local import cluster_init
    from mcpgateway.config.cluster import ClusterSettings, ClusterTls

    tls = ClusterTls(*(_absolute(given.pop(name)) for name in ("tls_ca", "tls_cert", "tls_key")))
    given["key_file"] = _absolute(given["key_file"])
    settings = evolve(ClusterSettings(), tls=tls, **given)
    found = cluster_init.init(globals_.home, settings, replaces=force)

    def tell() -> None:
        say(f"{found['file']} makes this gateway node {found['node']} of the cluster.")
        if found["key_made"]:
            say(f"{found['key_file']} has the cluster's key: copy it to each node.")
        others = ", ".join(found["nodes"])
        say(f"Its nodes now: {others}." if others else "No node runs yet.", dim=True)
        say(f"  {cli('restart')} lets it join, or {cli('start')}", dim=True)

    answer(globals_, found, tell)


def _absolute(path: str) -> str:
    return os.path.abspath(path) if path and not path.startswith("$") else path


@cluster.command()
@click.argument("file", required=False, type=click.Path(dir_okay=False), metavar="[FILE]")
@click.option(
    "--rotate", is_flag=True, help="Add a new key that nodes only read; the second time, let them use it."
)
@click.pass_obj
def key(globals_: Globals, file: str | None, *, rotate: bool) -> None:
    """Make the file of the cluster's key, which each node needs a copy of: cluster.key in the home, or FILE.

    To rotate it: add a key with --rotate, copy the file to all nodes and restart them one by one; then do the same
    once more, after which all nodes use the new key.
    """
    from mcpgateway.cli.local.cluster_key import make_key, rotate_key

    path = os.path.abspath(file or os.path.join(globals_.home, "cluster.key"))
    is_used = rotate_key(path) if rotate else False
    if not rotate:
        make_key(path)
    added = "the key of the cluster, and a new one that nodes read and do not use yet"
    used = "the new key, which nodes use, and the former one, which they still read"

    def tell() -> None:
        say(f"{path} has {'the key of the cluster' if not rotate else used if is_used else added}.")
        if not rotate:
            say("  copy it to every node, and name it there as gateway.cluster.key_file", dim=True)
        elif is_used:
            say("  copy it to every node, and restart the nodes one by one", dim=True)
        else:
            say(
                f"  copy it to every node, restart the nodes one by one, then {cli('cluster key --rotate')}",
                dim=True,
            )

    answer(globals_, {"file": path, "rotated": rotate, "used": is_used}, tell)


_port = click.option(
    "--port",
    type=click.IntRange(1, 65535),
    default=9100,
    show_default=True,
    help="The balancer's port for clients.",
)


@cluster.command()
@_port
@click.pass_obj
def haproxy(globals_: Globals, port: int) -> None:
    """Print a configuration of HAProxy for the nodes that run.

    It has no TLS for clients: a comment shows where the certificate of your name goes.
    """
    from mcpgateway.cli.balancers import configurations

    _print_for(globals_, lambda nodes: configurations.haproxy(nodes, port))


@cluster.command()
@_port
@click.pass_obj
def nginx(globals_: Globals, port: int) -> None:
    """Print a configuration of nginx for the nodes that run.

    It has no TLS for clients: a comment shows where the certificate of your name goes.
    """
    from mcpgateway.cli.balancers import configurations

    _print_for(globals_, lambda nodes: configurations.nginx(nodes, port))


def _print_for(globals_: Globals, configured: Callable[[Sequence[NodeBehind]], str]) -> None:
    made = configured(_nodes(globals_))
    answer(globals_, {"text": made}, lambda: show(made, nl=False))


def _nodes(globals_: Globals) -> list[NodeBehind]:
    from mcpgateway.cli.balancers.configurations import NodeBehind

    rows = NODES.rows(NODES.ask(globals_))
    found = [
        NodeBehind(
            each["name"],
            bytes.fromhex(each["mark"]),
            each["clients"],
            each["state"] == "draining",
            bool(each["tls"]),
        )
        for each in rows
        if each["state"] in ("serving", "draining") and each["clients"]
    ]
    if not found:
        fail("this gateway is no node of a cluster", MAKES_ONE)
    return found
