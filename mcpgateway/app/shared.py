"""Let a node share its tokens, configuration, grants and dashboards with the other nodes of its cluster."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from mcpgateway.backends.factory import Backends
from mcpgateway.interfaces import IGrants
from mcpgateway.manage.credentials import CredentialStore
from mcpgateway.manage.departed_principals import DepartedPrincipals
from mcpgateway.manage.reload import Reload
from mcpgateway.records import FrozenRecord
from mcpgateway.system.oauth_tokens import OAuthTokenFiles
from mcpgateway.system.token_files import TokenFiles

if TYPE_CHECKING:
    from mcpgateway.cluster.node import ClusterNode
    from mcpgateway.manage.shared.dashboards import SharedDashboards
    from mcpgateway.manage.shared.files import SharedFiles
    from mcpgateway.manage.shared.tokens import SharedTokens


FILES = "files"
TURN_S = 30.0  # longer than the renewal of a token takes
OTHERS_WRITE = "other programs write the configuration of this node (gateway.cluster.config is files)"


class SharedParts(FrozenRecord, frozen=True):
    """The parts of a node that share something with other nodes.

    :ivar tokens: the agents' tokens.
    :ivar dashboards: the dashboards that are signed in.
    :ivar files: the configuration files; None where each node has its own.
    """

    tokens: SharedTokens
    dashboards: SharedDashboards
    files: SharedFiles | None


def grants_of(node: ClusterNode | None, home: str, reactor: Any) -> IGrants:
    """Return the stored accounts at remote servers: those of a home, or of a cluster."""
    files = OAuthTokenFiles(home)
    if node is None:
        return files
    from mcpgateway.cluster.leases import Leases
    from mcpgateway.manage.shared.grants import SharedGrants

    leases = Leases(node.store, node.membership, reactor, TURN_S)
    grants = SharedGrants(node.documents, leases, files, reactor)
    node.add(leases, grants)
    return grants


def share(
    node: ClusterNode | None,
    home: str,
    reload: Reload,
    bearers: CredentialStore,
    leaving: DepartedPrincipals,
    backends: Backends,
) -> SharedParts | None:
    """Let a node share what it has with the others; None for a gateway that is alone."""
    if node is None:
        return None
    from mcpgateway.manage.shared.dashboards import SharedDashboards
    from mcpgateway.manage.shared.grants import SharedGrants
    from mcpgateway.manage.shared.tokens import SharedTokens

    if isinstance(backends.grants, SharedGrants):
        backends.grants.on_change = backends.changed
    tokens = SharedTokens(
        node.documents,
        node.acknowledgements,
        bearers,
        TokenFiles(home, os.environ),
        node.settings.store_lost_s,
    )
    # One node revokes grants, rather than each of them.
    leaving.is_sure = lambda: tokens.is_sure and node.membership.live()[0].octets == node.octets
    tokens.learnt = leaving.begin
    node.unready.append(tokens.unready)
    dashboards = SharedDashboards(node.documents)
    node.add(tokens, dashboards)
    return SharedParts(tokens, dashboards, _files_of(node, home, reload))


def _files_of(node: ClusterNode, home: str, reload: Reload) -> SharedFiles | None:
    if node.settings.config == FILES or not reload.config_file:
        reload.refusal = OTHERS_WRITE
        return None
    from mcpgateway.manage.shared.files import SharedFiles
    from mcpgateway.manage.shared.local_files import LocalFiles

    local = LocalFiles(reload.config_file, home)
    files = SharedFiles(node.documents, node.acknowledgements, local, reload, node.name, node.reactor)
    node.add(files)
    return files
