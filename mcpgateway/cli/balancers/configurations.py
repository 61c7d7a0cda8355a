"""The configurations of HAProxy and of nginx for the nodes of a cluster: packaged templates, filled in."""

from __future__ import annotations

import os
from base64 import urlsafe_b64encode
from collections.abc import Sequence
from ipaddress import ip_address

from mcpgateway.config.cluster import address_of
from mcpgateway.protocol.session_ids import FORMAT
from mcpgateway.records import FrozenRecord

TLS = " ssl verify required ca-file @system-ca"
PREFIX = 6  # characters of an id: the format and 28 bits of the node


class NodeBehind(FrozenRecord, frozen=True):
    """A node behind a balancer.

    :ivar octets: the node in ids.
    :ivar address: its host and port for clients.
    :ivar is_draining: it takes no new sessions.
    :ivar is_tls: it speaks https with clients.
    """

    name: str
    octets: bytes
    address: str
    is_draining: bool = False
    is_tls: bool = False

    @property
    def prefix(self) -> str:
        """The first characters of the ids of its sessions."""
        return urlsafe_b64encode(bytes((FORMAT,)) + self.octets)[:PREFIX].decode()

    @property
    def is_named(self) -> bool:
        """True if its address has a name, for which the balancer asks again while it runs."""
        found = address_of(self.address)
        try:
            ip_address(found[0] if found is not None else "")
        except ValueError:
            return True
        return False


def haproxy(nodes: Sequence[NodeBehind], port: int) -> str:
    """Return a whole configuration of HAProxy, which leads the requests of a session to its node.

    :param port: the port for clients.
    """
    asks = any(each.is_named for each in nodes)
    rules = [
        f"    use-server {each.name} if {{ req.hdr(mcp-session-id) -m beg {each.prefix} }}" for each in nodes
    ]
    servers = [f"    server {each.name} {each.address}{TLS if each.is_tls else ''}" for each in nodes]
    values = {
        "PORT": str(port),
        "RESOLVERS": "resolvers names\n    parse-resolv-conf\n    hold valid 5s\n\n" if asks else "",
        "RESOLVED": " resolvers names init-addr last,libc,none" if asks else "",
        "RULES": "\n".join(rules),
        "SERVERS": "\n".join(servers),
    }
    return _filled("haproxy.cfg", values)


def nginx(nodes: Sequence[NodeBehind], port: int) -> str:
    """Return a configuration for the section ``http`` of nginx, which leads the requests of a session to its node.

    nginx asks no node for its health, so a node that is drained is marked as one to try last.

    :param port: the port for clients.
    """
    rules = [f'    "~^{each.prefix}" mcpgateway_{each.name};' for each in nodes]
    takes_some = not all(each.is_draining for each in nodes)
    groups = [
        _group(
            "mcpgateway", "    least_conn;\n", [(each, takes_some and each.is_draining) for each in nodes]
        ),
        *(_group(f"mcpgateway_{one.name}", "", [(each, each != one) for each in nodes]) for one in nodes),
    ]
    values = {
        "PORT": str(port),
        "RULES": "\n".join(rules),
        "GROUPS": "\n".join(groups),
        "SCHEME": "https" if any(each.is_tls for each in nodes) else "http",
    }
    return _filled("nginx.conf", values)


def _group(name: str, head: str, members: Sequence[tuple[NodeBehind, bool]]) -> str:
    lines = [
        f"    server {each.address} max_fails=1 fail_timeout=2s{' backup' if is_last else ''};\n"
        for each, is_last in members
    ]
    return f"upstream {name} {{\n{head}{''.join(lines)}    keepalive 64;\n    keepalive_timeout 30s;\n}}\n"


def _filled(name: str, values: dict[str, str]) -> str:
    with open(os.path.join(os.path.dirname(__file__), "templates", name), encoding="utf-8") as stream:
        text = stream.read()
    for key, value in values.items():
        text = text.replace(f"@{key}@", value)
    return text
