"""The servers that a workspace's own ``.mcp.json`` defines, which need the user's approval.

A checkout of a repository brings its ``.mcp.json`` along, and the programs that it names would run with all rights of
the user.  So a file has no effect until the user has approved it, byte for byte; a changed file needs a new
approval.  The servers of an approved file exist for the clients of its workspace alone.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from attrs import evolve
from twisted.logger import Logger

from mcpgateway.bounded import Bounded
from mcpgateway.clientfiles.reader import read_repository
from mcpgateway.config.document import visible
from mcpgateway.config.entry import Entry
from mcpgateway.config.merge import Blueprint, WorkspaceSpec, World, specialise
from mcpgateway.config.model import ServerSpec, Share
from mcpgateway.errors import ConfigError, GatewayError, NeedsApproval, SwitchedOff, UnknownServer
from mcpgateway.hints import cli
from mcpgateway.policy.sharing import launch_digest, scope_of
from mcpgateway.records import FrozenRecord
from mcpgateway.system import approvals
from mcpgateway.system.approvals import REPOSITORY_FILE, Repository
from mcpgateway.system.workspaces import ParsedFile

SEEN_LIMIT = 1000
ISOLATING = (Share.SESSION, Share.ISOLATED, Share.WORKSPACE)


class _Built(FrozenRecord, frozen=True):
    server: ServerSpec
    entry: Entry
    workspace: WorkspaceSpec


class RepositoryFile(FrozenRecord, frozen=True):
    """A repository's file that is known to the gateway.

    :ivar servers: its entries, by the names of their servers.
    :ivar state: ``approved``, ``refused``, ``changed`` since the user's answer, or ``waiting`` for the first one.
    """

    path: str
    digest: str
    servers: Mapping[str, Entry]
    state: str


class Approvals:
    """The servers that the files of all known workspaces define, and the approvals of those files.

    :ivar projects: the directories of known projects, besides the workspaces in use.
    :param home: the gateway's own directory, which has the approvals.
    :param world: the surroundings in which entries are expanded.
    :param read: returns the values for a workspace.
    :param taken: returns the names of the servers that all clients may use.
    :param now: returns the time in seconds since the epoch.
    """

    log = Logger()

    def __init__(
        self,
        home: str,
        world: World,
        read: Callable[[str], WorkspaceSpec],
        taken: Callable[[], Iterable[str]],
        now: Callable[[], float],
    ) -> None:
        self.projects: Sequence[str] = ()
        self._home = home
        self._world = world
        self._read = read
        self._taken = taken
        self._now = now
        self._seen: Bounded[str, None] = Bounded(SEEN_LIMIT)
        self._files: ParsedFile[Repository | None] = ParsedFile(self._file)
        self._answers = ParsedFile(lambda _: approvals.read_all(home))
        self._built: dict[tuple[str, str], _Built] = {}

    def seen(self, root: str) -> None:
        """Record that a client works in a workspace."""
        self._seen.pop(root, None)
        self._seen[root] = None

    def server(self, name: str, root: str) -> ServerSpec:
        """Return a workspace's own server of that name, as it runs there.

        :raise UnknownServer: the workspace has no such server.
        :raise NeedsApproval: the user has not approved the file as it is now.
        :raise SwitchedOff: an overlay switches it off.
        """
        repository = self._repository(root)
        entry = repository.named(root, self._taken()).get(name) if repository is not None else None
        if repository is None or entry is None:
            raise UnknownServer(f"Unknown server: {name}")
        if not self._is_approved(repository):
            raise _refusal(name, entry, repository)
        found = self._server(name, entry, root)
        if not found.enabled:
            way = cli("servers enable {}", name)
            raise SwitchedOff(f"{name} is disabled", f"the configuration says so; {way} switches it on")
        return found

    def servers(self, root: str) -> tuple[ServerSpec, ...]:
        """Return the variants of a workspace's own servers that are on; none without the user's approval."""
        return tuple(each for each in self._approved_of(root) if each.enabled)

    def _approved_of(self, root: str) -> tuple[ServerSpec, ...]:
        repository = self._repository(root)
        if repository is None or not self._is_approved(repository):
            return ()
        found = []
        for name, entry in repository.named(root, self._taken()).items():
            try:
                found.append(self._server(name, entry, root))
            except ConfigError as why:
                self.log.debug("{server} of {root} is left out: {why}", server=name, root=root, why=why)
        return tuple(found)

    def named(self, name: str) -> ServerSpec | None:
        """Return the server of that name of an approved file, of whichever project; None if no file has it."""
        for path in self.approved():
            for each in self._approved_of(path.rpartition("/")[0]):
                if each.name == name:
                    return each
        return None

    def approved(self) -> Mapping[str, str]:
        """Return the digests of the approved files, by path; empty if they cannot be read."""
        return self._answered()["approvals"]

    def _answered(self) -> Mapping[approvals.Answer, Mapping[str, str]]:
        try:
            return self._answers.get(approvals.file_of(self._home))
        except ConfigError:
            return {"approvals": {}, "refusals": {}}

    def _server(self, name: str, entry: Entry, root: str) -> ServerSpec:
        workspace = self._read(root)
        built = self._built.get((name, root))
        if built is None or built.entry is not entry or built.workspace is not workspace:
            found = specialise(Blueprint(name, entry, self._world), workspace)
            if scope_of(found) not in ISOLATING:
                found = evolve(found, share=Share.WORKSPACE)  # no approval in other workspaces
            # Any edit of the launch changes the credential, so that the new definition does not use the child of the
            # old one.
            credential = f"{found.credential} {launch_digest(found)}"
            built = _Built(evolve(found, workspace=root, credential=credential), entry, workspace)
            if len(self._built) >= SEEN_LIMIT:
                self._built.clear()
            self._built[name, root] = built
        return built.server

    def directories(self) -> tuple[str, ...]:
        """Return the directories in which clients work or have worked lately, and those of the settings."""
        return tuple(dict.fromkeys((*self._seen, *self.projects)))

    def waiting(self) -> list[dict[str, Any]]:
        """Return the files that wait for the user's answer as they are now, and the names of their servers."""
        return [
            {"path": each.path, "servers": list(each.servers)}
            for each in self._known((*self._seen, *self.projects))
            if each.state in ("waiting", "changed")
        ]

    def unusable(self, name: str) -> GatewayError | None:
        """Return why a server of a known workspace cannot be used; None where it can be, or none defines it."""
        for root in dict.fromkeys((*self._seen, *self.projects)):
            try:
                self.server(name, root)
            except UnknownServer:
                continue
            except GatewayError as why:
                return why
        return None

    def known(self) -> list[RepositoryFile]:
        """Return the files of all known workspaces, and those that the user has answered for."""
        answered = (os.path.dirname(path) for each in self._answered().values() for path in each)
        return self._known((*self._seen, *self.projects, *answered))

    def _known(self, roots: Iterable[str]) -> list[RepositoryFile]:
        found = []
        for root in dict.fromkeys(roots):
            repository = self._repository(root)
            if repository is not None and repository.entries:
                named, state = repository.named(root, self._taken()), self._state(repository)
                found.append(RepositoryFile(repository.path, repository.digest, named, state))
        return found

    def approve(self, path: str, digest: str) -> None:
        """Approve a file as long as its bytes have this digest.

        :raise ConfigError: the approval cannot be stored, or ``digest`` is invalid.
        """
        approvals.approve(self._home, approvals.target(path), digest, self._now())
        self.log.info("{path} is approved", event="repository.approved", path=path)

    def refuse(self, path: str, digest: str) -> None:
        """Refuse a file, which waits for no answer as long as its bytes have this digest.

        :raise ConfigError: the refusal cannot be stored, or ``digest`` is invalid.
        """
        approvals.refuse(self._home, approvals.target(path), digest, self._now())
        self.log.info("{path} is refused", event="repository.refused", path=path)

    def revoke(self, path: str) -> bool:
        """Withdraw the answer for a file, whose servers run until their sessions end; false if it had none.

        :raise ConfigError: the change cannot be stored.
        """
        was_approved = approvals.revoke(self._home, approvals.target(path))
        if was_approved:
            self.log.info("the approval of {path} is withdrawn", event="repository.revoked", path=path)
        return was_approved

    def _is_approved(self, repository: Repository) -> bool:
        return self._state(repository) == "approved"

    def _state(self, repository: Repository) -> str:
        try:
            found = self._answers.get(approvals.file_of(self._home))
        except ConfigError as why:
            self.log.warn("{why}; no file is approved", event="repository.approvals_lost", why=str(why))
            return "waiting"
        approved, refused = (found[each].get(repository.path) for each in ("approvals", "refusals"))
        if repository.digest == approved:
            return "approved"
        if repository.digest == refused:
            return "refused"
        return "changed" if approved or refused else "waiting"

    def _repository(self, root: str) -> Repository | None:
        return self._files.get(f"{root}/{REPOSITORY_FILE}", is_trusted=True)

    def _file(self, path: str) -> Repository | None:
        # An unreadable file is an error of its repository, and does not concern the other servers.
        try:
            return read_repository(path, self._home)
        except FileNotFoundError:
            return None
        except ConfigError as why:
            self.log.warn("{why}; its servers are not known", event="repository.unusable", why=str(why))
            return None


def _refusal(name: str, entry: Entry, repository: Repository) -> NeedsApproval:
    import shlex  # few repositories define servers

    command = visible(shlex.join(entry.argv))
    variables = sorted(visible(each) for each in entry.env)
    setting = f", with {', '.join(variables)} set" if variables else ""
    path = visible(repository.path)
    how = visible(cli("config approve {}", repository.path))
    return NeedsApproval(
        f"{name} is defined by {path}, which you have not approved as it is now. It would run: {command}{setting}. "
        f"To let the servers of this file run: {how}",
        data={
            "path": path,
            "sha256": repository.digest,
            "command": [visible(each) for each in entry.argv],
            "env": variables,
            "approve": how,
        },
    )
