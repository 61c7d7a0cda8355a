"""The workspace and the principal of a client, on which the variant of a server may depend.

    source                               content
    ``Mcp-Project-Path``, ``?project=``  a directory
    ``X-MCP-Project``                    a configured workspace, or a directory
    ``cwd`` in ``initialize``, ``_meta`` a directory
    ``X-Client-Cwd``                     a directory
    no header and no member              the directory of the process at the other end of the connection

The first source that is present counts; if it is invalid, the others are not tried.  An owner is never guessed: a
client without a workspace gets the server as its entry defines it, without the values of any workspace.

# Note [Servers of a project]
The servers of a project's own file, or of a project in Claude Code's file, exist for clients that work in that
directory (`Scopes.may_see`).  For all other clients they do not exist: a request for a variant of such a server fails
with `UnknownServer`, and views leave the server out.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol
from urllib.parse import unquote

from attrs import evolve
from msgspec import Struct
from twisted.internet.defer import Deferred

from mcpgateway.bounded import Bounded
from mcpgateway.config.merge import WorkspaceSpec
from mcpgateway.config.model import ServerSpec, Share, Workspace
from mcpgateway.errors import GatewayError, UnknownServer
from mcpgateway.hub.owners.peers import Neighbours
from mcpgateway.hub.pool import Pool
from mcpgateway.hub.repo_servers import RepositoryFile
from mcpgateway.policy.ownership import owner_of
from mcpgateway.policy.sharing import needs_place, scope_of, tells_place
from mcpgateway.records import FrozenRecord
from mcpgateway.system.workspaces import NOWHERE, ParsedFile, WorkingDirectory, WorkspaceFinder

VARIANTS_LIMIT = 1000
ELSEWHERE = "a server of a project is there for clients in its directory; the header Mcp-Project-Path says where one is"

Variants = Callable[[ServerSpec, WorkspaceSpec], ServerSpec]
"""Builds the variant of a server for a workspace, which at least runs in its directory.

:raise ConfigError: the values of the workspace cannot be used.
"""


class Repositories(Protocol):
    """The servers that workspaces define themselves (`mcpgateway.hub.repo_servers`)."""

    def seen(self, root: str) -> None:
        """Record that a client works in a workspace."""

    def server(self, name: str, root: str) -> ServerSpec:
        """Return a workspace's own server of that name.

        :raise UnknownServer: the workspace has no such server.
        :raise NeedsApproval: the user has not approved it.
        """

    def servers(self, root: str) -> tuple[ServerSpec, ...]:
        """Return all of a workspace's own servers that the user has approved."""

    def named(self, name: str) -> ServerSpec | None:
        """Return the server of that name of an approved file, of whichever workspace; None if no file has it."""

    def approved(self) -> Mapping[str, str]:
        """Return the digests of the approved files of all workspaces, by path."""

    def directories(self) -> tuple[str, ...]:
        """Return the directories in which clients work or have worked lately, and those of the settings."""

    def waiting(self) -> list[dict[str, Any]]:
        """Return the files that wait for the user's answer as they are now, and the names of their servers."""

    def unusable(self, name: str) -> GatewayError | None:
        """Return why a server of a known workspace cannot be used; None where it can be, or none defines it."""

    def known(self) -> list[RepositoryFile]:
        """Return the files of all known workspaces, and those that the user has answered for."""

    def approve(self, path: str, digest: str) -> None:
        """Approve a file as long as its bytes have this digest."""

    def refuse(self, path: str, digest: str) -> None:
        """Refuse a file, which waits for no answer as long as its bytes have this digest."""

    def revoke(self, path: str) -> bool:
        """Withdraw the answer for a file; false if it had none."""


class ClaimedPlace(Struct, frozen=True):
    """The place of a client as its request names it, unchecked; each part may be empty, or invalid.

    :ivar path: the value of ``Mcp-Project-Path``, or of the URL.
    :ivar project: the value of ``X-MCP-Project``.
    :ivar cwd: the directory of the message, or of ``X-Client-Cwd``.
    :ivar pid: the process id that the request names, if that process lives; else 0.
    """

    path: str = ""
    project: str = ""
    cwd: str = ""
    pid: int = 0

    @property
    def is_explicit(self) -> bool:
        """True if the request names a place, valid or not."""
        return bool(self.path or self.project or self.cwd)


class _Built(FrozenRecord, frozen=True):
    """The variant of a server for a workspace, and its origin; without a workspace if only its calls depend on it."""

    server: ServerSpec
    of: ServerSpec
    workspace: WorkspaceSpec | None


class _OfPrincipal(FrozenRecord, frozen=True):
    """The variant of a server for a principal, and its origin."""

    server: ServerSpec
    of: ServerSpec


class WorkspaceSettings(Struct, frozen=True):
    """The part of the configuration that concerns workspaces.

    :ivar read: returns the values for a directory: its ``.env``, and the profiles it uses.
    :ivar takes_values: true if a server could differ with other values.
    """

    places: WorkspaceFinder
    workspaces: Iterable[Workspace]
    read: Callable[[str], WorkspaceSpec]
    variants: Variants
    takes_values: Callable[[ServerSpec], bool]


class _Placed(FrozenRecord, frozen=True):
    """The influence of the workspace on a server, as of one state of the pool.

    :ivar moves: the value of `mcpgateway.hub.pool.Pool.moves` at that time.
    :ivar is_varied: true if the server has a variant for each workspace; else a workspace only decides on its
        visibility.
    :ivar is_built: true if its child depends on the workspace; else only its calls do.
    :ivar is_of_directory: true if each directory in the workspace has a variant.
    :ivar projects: the directory of its project, or of the projects whose servers the view shows.
    """

    server: ServerSpec
    moves: int
    is_varied: bool
    is_built: bool
    is_of_directory: bool
    projects: frozenset[str]

    @property
    def is_placed(self) -> bool:
        """True if the server depends on its client's place."""
        return self.is_varied or bool(self.projects)


class Scopes:
    """Finds the variant of a server for a client.

    :ivar repositories: the servers that workspaces define themselves; None without any.
    :ivar members: returns the servers that a view shows, as their entries define them.
    """

    def __init__(self, pool: Pool, neighbours: Neighbours, ground: WorkspaceSettings) -> None:
        self.repositories: Repositories | None = None
        self.members: Callable[[ServerSpec], Iterable[ServerSpec]] = _none
        self._pool = pool
        self._neighbours = neighbours
        self.configure(ground)

    def configure(self, ground: WorkspaceSettings) -> None:
        """Use this configuration from now on."""
        self._places = ground.places
        self._projects = {each.name: each.path for each in ground.workspaces}
        self._read = ParsedFile(lambda path: ground.read(os.path.dirname(path)))
        self._variants = ground.variants
        self._takes_values = ground.takes_values
        self._built: dict[tuple[str, str], _Built] = {}
        self._of_principals: dict[tuple[str, str, str], _OfPrincipal] = {}
        self._placed: Bounded[str, _Placed] = Bounded(VARIANTS_LIMIT)

    def is_placed(self, server: ServerSpec) -> bool:
        """True if a server depends on the workspace of its client; cheap, as many requests ask for it."""
        return self._known(server).is_placed or bool(server.view and self.approved())

    def approved(self) -> Mapping[str, str]:
        """Return the digests of the approved files of workspaces; if empty, no workspace defines a server."""
        return self.repositories.approved() if self.repositories is not None else {}

    def rebuild(self) -> None:
        """Forget the results for views, which may show other servers now."""
        self._placed.clear()

    def _known(self, server: ServerSpec) -> _Placed:
        known = self._placed.get(_key(server))
        if known is None or known.server is not server or known.moves != self._pool.moves:
            known = self._placed[_key(server)] = self._look_at(server)
        return known

    def _look_at(self, server: ServerSpec) -> _Placed:
        if server.view:
            found = [self._known(each) for each in self.members(server)]
            by_directory = any(each.is_of_directory for each in found)
            is_varied = any(each.is_placed for each in found)
            projects = frozenset().union(*(each.projects for each in found))
            return _Placed(server, self._pool.moves, is_varied, False, by_directory, projects)
        is_built = needs_place(self._pool.scope(server), takes_values=self._takes_values(server))
        by_directory = scope_of(server) is Share.ISOLATED
        is_varied = is_built or tells_place(server)
        projects = frozenset((server.project,) if server.project else ())
        return _Placed(server, self._pool.moves, is_varied, is_built, by_directory, projects)

    def shows_projects(self, view: ServerSpec) -> bool:
        """True if a view has servers of projects, which it shows to clients in their directories."""
        return bool(self._known(view).projects)

    def is_of_project(self, view: ServerSpec, place: WorkingDirectory) -> bool:
        """True if a place is in a project whose servers a view has."""
        return any(self._places.lies_in(place.directory, each) for each in self._known(view).projects)

    def may_see(self, server: ServerSpec, place: WorkingDirectory) -> bool:
        """True if a server exists for clients at a place; see Note [Servers of a project]."""
        return not server.project or self._places.lies_in(place.directory, server.project)

    def place(self, claimed: ClaimedPlace, caller: Any) -> WorkingDirectory | None:
        """Return a client's place; None if its process has to be looked for first (`look_for`)."""
        found = self._place(claimed, caller)
        if found is not None and found.root and self.repositories is not None:
            self.repositories.seen(found.root)
        return found

    def _place(self, claimed: ClaimedPlace, caller: Any) -> WorkingDirectory | None:
        if claimed.path:
            return self._named(claimed.path)
        if claimed.project:
            return self._named(self._projects.get(claimed.project, claimed.project))
        if claimed.cwd:
            return self._places.find(claimed.cwd)
        pid = claimed.pid or self._neighbours.process(caller)
        if pid is None:
            return None
        return self._places.of_process(pid) if pid else NOWHERE

    def place_of(self, cwd: str) -> WorkingDirectory:
        """Return the place of a directory; `NOWHERE` if the gateway may not look into it."""
        return self._places.find(cwd)

    def place_of_process(self, pid: int) -> WorkingDirectory:
        """Return the place of a process."""
        return self._places.of_process(pid)

    def _named(self, path: str) -> WorkingDirectory:
        # The shim encodes a path as in a URL, since a header cannot hold every character of a path.
        found = self._places.find(path)
        return self._places.find(unquote(path)) if found is NOWHERE and "%" in path else found

    def look_for(self, caller: Any) -> Deferred[None]:
        """Look for a client's process; the Deferred fires when `place` knows it."""
        return self._neighbours.look_for(caller)

    def workspace(self, root: str) -> WorkspaceSpec:
        """Return the values for a workspace; the same object until its ``.env`` changes.

        :raise ConfigError: the file cannot be used.
        """
        return self._read.get(f"{root}/.env")

    def own(self, name: str, root: str) -> ServerSpec:
        """Return the server of that name that a workspace itself defines.

        :raise UnknownServer: the workspace has no such server, or the client has no workspace.
        :raise NeedsApproval: the user has not approved it.
        """
        if self.repositories is None or not root:
            raise UnknownServer(f"Unknown server: {name}")
        return self.repositories.server(name, root)

    def defined_for(self, view: ServerSpec) -> tuple[ServerSpec, ...]:
        """Return the servers that the workspace of a view's variant itself defines."""
        if self.repositories is None or not view.workspace:
            return ()
        return self.repositories.servers(self._places.find(view.workspace).root or view.workspace)

    def variant(self, server: ServerSpec, place: WorkingDirectory) -> ServerSpec:
        """Return the variant of a server for clients at a place.

        :raise UnknownServer: the server does not exist for them.
        :raise ConfigError: the values of the workspace cannot be used.
        """
        if not server.workspace and not self.may_see(server, place):
            raise UnknownServer(f"Unknown server: {server.name}", ELSEWHERE)
        return self.run_at(server, place)

    def run_at(self, server: ServerSpec, place: WorkingDirectory) -> ServerSpec:
        """Return the variant of a server for clients at a place, without the check of `may_see`.

        :raise ConfigError: the values of the workspace cannot be used.
        """
        if server.workspace or not (server.view or self._known(server).is_varied):
            return server
        path = self._path(server, place)
        if not path:
            return self._nowhere(server)
        is_built = self._known(server).is_built
        workspace = self.workspace(place.root) if is_built else None
        built = self._built.get((_key(server), path))
        if built is not None and built.of is server and built.workspace is workspace:
            return built.server
        found = evolve(server, workspace=path) if workspace is None else self._variants(server, workspace)
        if path != place.root and is_built:
            found = _within(found, path)
        if len(self._built) >= VARIANTS_LIMIT:
            self._built.clear()
        self._built[_key(server), path] = _Built(found, server, workspace)
        return found

    def _path(self, server: ServerSpec, place: WorkingDirectory) -> str:
        known = self._known(server)
        # If each directory has a child of its own, the directory is its place.
        if known.is_of_directory and place.root:
            return place.directory
        if not server.view or place.directory == place.root:
            return place.root
        # A project may lie within a workspace: a view shows more there than in the rest of it.
        within = (each for each in known.projects if self._places.lies_in(place.directory, each))
        return max((place.root, *(self._places.find(each).directory for each in within)), key=len)

    def shown_by(self, view: ServerSpec, server: ServerSpec) -> ServerSpec:
        """Return the variant of a server for the clients of a view's variant.

        :raise UnknownServer: the server does not exist for them.
        :raise ConfigError: the values of the workspace cannot be used.
        """
        serve = self.run_at if view.is_everywhere else self.variant
        return self.of_principal(serve(server, self._place_of(view)), view.principal)

    def is_shown_by(self, view: ServerSpec, server: ServerSpec) -> bool:
        """True if a server exists for the clients of a view's variant."""
        return view.is_everywhere or self.may_see(server, self._place_of(view))

    def _place_of(self, view: ServerSpec) -> WorkingDirectory:
        if not view.workspace:
            return NOWHERE
        place = self._places.find(view.workspace)
        return place if place.directory else WorkingDirectory(view.workspace, view.workspace)

    def of_principal(self, server: ServerSpec, principal: str) -> ServerSpec:
        """Return the variant of a server for a principal: another one if it uses an account of its own there."""
        owner = owner_of(principal, server)
        if not owner or server.principal:
            return server
        key = (_key(server), server.workspace, owner)
        known = self._of_principals.get(key)
        if known is None or known.of is not server:
            if len(self._of_principals) >= VARIANTS_LIMIT:
                self._of_principals.clear()
            known = self._of_principals[key] = _OfPrincipal(evolve(server, principal=owner), server)
        return known.server

    def _nowhere(self, server: ServerSpec) -> ServerSpec:
        # The entry's own definition; an entry that demands a value of a workspace is refused here.
        built = self._built.get((server.name, ""))
        if self._known(server).is_built and (built is None or built.of is not server):
            self._variants(server, WorkspaceSpec(""))
            self._built[server.name, ""] = _Built(server, server, None)
        return server

    def current(self, base: ServerSpec, server: ServerSpec) -> ServerSpec:
        """Return the present variant of a server for the workspace of a former variant.

        :param base: the definition of its entry.
        :raise ConfigError: the values of the workspace cannot be used.
        """
        if server.principal:
            known = self._of_principals.get((_key(server), server.workspace, server.principal))
            of = known.of if known is not None and known.server is server else evolve(server, principal="")
            return self.of_principal(base if of is base else self.current(base, of), server.principal)
        built = self._built.get((server.name, server.workspace))
        if built is not None and built.server is server and built.of is base:
            return server
        return self.again(base, server.workspace)

    def again(self, server: ServerSpec, path: str) -> ServerSpec:
        """Return the present variant of a server for the workspace, or the directory, of a session.

        :raise ConfigError: the values of the workspace cannot be used.
        """
        place = self._places.find(path) if path else NOWHERE
        if path and not (place.directory and self._known(server).is_of_directory):
            place = WorkingDirectory(path, path)  # whatever has become of it, or of the directories above
        return self.run_at(server, place)


def _key(server: ServerSpec) -> str:
    # A server may have the name of a view, and a view has one for each principal.
    return f"{server.name}/{server.principal}" if server.view else server.name


def _none(view: ServerSpec) -> Iterable[ServerSpec]:
    return ()


def _within(server: ServerSpec, directory: str) -> ServerSpec:
    # A server that would run in the workspace runs in the client's own directory.
    root, env = server.workspace, server.env
    if server.cwd != root:
        return evolve(server, workspace=directory)
    if env.get("PWD") == root:
        env = {**env, "PWD": directory}
    return evolve(server, workspace=directory, cwd=directory, env=env)
