"""Make the gateway of a home a node of a cluster: check its store, its key and its clock, and write ``node.yaml``."""

from __future__ import annotations

import json
import os
import socket
import time
from typing import TYPE_CHECKING, Any

from attrs import evolve

from mcpgateway.cli.console import Trouble, fail
from mcpgateway.cli.local.cluster_key import make_key
from mcpgateway.config.cluster import NODE_FILE, ClusterSettings, joined
from mcpgateway.config.problems import Problems, Where
from mcpgateway.errors import ConfigError, StoreLost
from mcpgateway.hints import cli
from mcpgateway.system import files

if TYPE_CHECKING:
    from mcpgateway.cluster.examination import StoreFacts

SKEW_S = 60.0  # nodes believe each other's credentials for two minutes
KEY_FILE = "cluster.key"


def init(home: str, wanted: ClusterSettings, *, replaces: bool) -> dict[str, Any]:
    """Make a home one of a node; return what was done.

    :param wanted: the settings as they are written, with variables that the gateway expands.
    :param replaces: replace the node's settings.
    :raise Trouble: the settings are wrong, the store cannot be used, the key is another one than the cluster's, or the
        clock differs too much.
    """
    path = os.path.join(home, NODE_FILE)
    if os.path.lexists(path) and not replaces:
        fail(f"{path} exists already", "--force replaces it")
    wanted = wanted if wanted.key_file else evolve(wanted, key_file=os.path.join(home, KEY_FILE))
    settings = _expanded(wanted, path)
    try:
        facts, has_made_key = _agreed(settings)
        files.make_home(home)
        files.write_atomic(path, _text(wanted).encode(), 0o600)
    except (ConfigError, StoreLost) as why:
        raise Trouble(why.message, why.advice) from why
    except OSError as why:
        raise Trouble(f"{path} cannot be written: {why.strerror}") from why
    return {
        "file": path,
        "node": settings.node,
        "address": settings.address,
        "key_file": settings.key_file,
        "key_made": has_made_key,
        "store": facts.server,
        "nodes": list(facts.nodes),
    }


def _expanded(wanted: ClusterSettings, path: str) -> ClusterSettings:
    problems = Problems()
    sources = {"HOSTNAME": socket.gethostname(), **os.environ}
    settings = joined(wanted, sources, Where(path), problems)
    wrong = [each for each in problems if each.is_error]
    if wrong:
        fail(wrong[0].found, wrong[0].hint)
    return settings


def _agreed(settings: ClusterSettings) -> tuple[StoreFacts, bool]:
    from mcpgateway.cluster.examination import examine, found
    from mcpgateway.cluster.key_file import KEY_VARIABLE, read_key

    wall = time.time
    facts = examine(settings.store, wall)
    if abs(facts.ahead_s) > SKEW_S:
        how = "ahead of" if facts.ahead_s > 0 else "behind"
        raise ConfigError(
            f"the clock of the store is {abs(facts.ahead_s):.0f} s {how} that of this machine",
            "set the clocks, such as with NTP",
        )
    is_missing = not os.environ.get(KEY_VARIABLE) and not os.path.lexists(settings.key_file)
    if is_missing and facts.has_key:
        raise ConfigError(
            f"the cluster has a key, and {settings.key_file} is not there",
            "copy the key file of another node to this one",
        )
    if is_missing:
        make_key(settings.key_file)
    return found(settings.store, wall, read_key(settings, os.environ)), is_missing


def _text(settings: ClusterSettings) -> str:
    """Return ``node.yaml``; texts are in quotes, as JSON has them."""
    tls = {name: getattr(settings.tls, name) for name in ("ca_file", "cert_file", "key_file")}
    members: dict[str, Any] = {
        "store": settings.store,
        "node": settings.node,
        "listen": settings.listen,
        "address": settings.address,
        "labels": list(settings.labels),
        "key_file": settings.key_file,
        "tls": tls if any(tls.values()) else {},
        "insecure": settings.insecure,
        "config": settings.config if settings.config != "store" else "",
    }
    lines = [f"    {name}: {json.dumps(value)}" for name, value in members.items() if value]
    head = f"# This gateway as a node of a cluster, as {cli('cluster init')} has written it."
    return "\n".join([head, "gateway:", "  cluster:", *lines, ""])
