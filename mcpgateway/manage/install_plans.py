"""Plans of installations, worked out without writing anything.

# Note [Where a workspace's servers stand]
Global servers are in the configuration file, those of a workspace in its own ``.mcp.json``, which the clients of that
directory read too.  Such a file is used if its user has approved it, byte for byte.  The user agrees to the very
command of an installation into it, so the new content is approved, but only if the file was approved before, or is new:
no other entry is approved along with it.
"""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from attrs import define, evolve, field, frozen
from msgspec.structs import replace
from twisted.internet.defer import Deferred

from mcpgateway.clientfiles.reader import read_repository
from mcpgateway.config.client import read_project
from mcpgateway.config.document import printable, visible
from mcpgateway.config.edit import permissions
from mcpgateway.config.edit.edits import Edit, KeyPath, Put, placed, rooted, same
from mcpgateway.config.edit.file_text import edit, in_its_dialect
from mcpgateway.config.edit.overlays import OverlayPlace, tidied, with_overlay
from mcpgateway.config.entry import Entry
from mcpgateway.config.environment import FULL, LISTED
from mcpgateway.config.load import Circumstances, compose, key_path_of, overlays_of, place_of
from mcpgateway.config.merge import Blueprint, World, specialise
from mcpgateway.config.model import ServerSpec, Share
from mcpgateway.config.overlay import is_overlay, merged
from mcpgateway.config.problems import Problems, refusal, without_file
from mcpgateway.config.reach import EXPECTED
from mcpgateway.config.read import parse
from mcpgateway.config.recipes import Recipe
from mcpgateway.config.settings import Settings
from mcpgateway.discovery.naming import server_hint
from mcpgateway.errors import (
    ConfigError,
    InvalidParams,
    NameTaken,
    NeedsApproval,
    NotOurs,
    Unfit,
    UnknownServer,
)
from mcpgateway.hints import cli
from mcpgateway.hub.workspaces import ClaimedPlace
from mcpgateway.manage.reload import Reload
from mcpgateway.policy.secrets.hiding import hidden_in
from mcpgateway.policy.secrets.masking import address, masked
from mcpgateway.policy.sharing import scope_of
from mcpgateway.system import approvals, files
from mcpgateway.system.approvals import Repository
from mcpgateway.system.catalog.lookup import ServerCatalog
from mcpgateway.system.own_file import check_takes

FILE_LIMIT = 20 * 1_048_576
LIST = "mcpServers"
REPOSITORY_KEYS = ("command", "args", "env", "cwd")
EMPTY_REPOSITORY = '{\n  "mcpServers": {}\n}\n'
ISOLATING = (Share.SESSION, Share.ISOLATED, Share.WORKSPACE)


@frozen
class InstallPlan:
    """The entry that an installation writes, and the file, once the user has agreed.

    :ivar file: the file it is written to.
    :ivar root: root of its workspace; empty for a global server.
    :ivar spec: the server that the entry defines.
    :ivar is_there: True if the file has the same entry already.
    """

    name: str
    definition: Mapping[str, Any] = field(repr=False)
    file: str
    root: str
    spec: ServerSpec
    is_there: bool = False


@define
class InstallWorkspaces:
    """The workspaces, in the form that installations need.

    :ivar scopes: a `mcpgateway.hub.workspaces.Scopes`, with its repositories.
    """

    scopes: Any

    def root_of(self, cwd: str) -> str:
        """Return the root of the workspace that contains a directory; empty if it is in none."""
        place = self.scopes.place(ClaimedPlace(cwd=cwd), None)
        return "" if place is None else str(place.root)

    def workspace(self, root: str) -> Any:
        """Return the variables and the directory that the servers of a workspace are built with."""
        return self.scopes.workspace(root)

    def own(self, name: str, root: str) -> ServerSpec:
        """Return a server that a workspace defines itself."""
        found: ServerSpec = self.scopes.own(name, root)
        return found

    def named(self, name: str) -> ServerSpec | None:
        """Return the server of that name of a workspace's approved file, of whichever workspace; None for none."""
        repositories = self.scopes.repositories
        return repositories.named(name) if repositories is not None else None

    def approve(self, root: str, digest: str) -> None:
        """Approve a workspace's file as long as its bytes have this digest."""
        if self.scopes.repositories is None:
            raise ConfigError("this gateway serves no servers of workspaces")
        self.scopes.repositories.approve(root, digest)


class InstallPlanner:
    """Plans installations.

    :ivar home: the gateway's own directory.
    """

    def __init__(self, reload: Reload, workspaces: InstallWorkspaces, home: str) -> None:
        self.home = home
        self.workspaces = workspaces
        self._reload = reload

    def knows(self, root: str) -> Callable[[str], bool]:
        """Return a predicate for the variables that the entries of a scope may refer to."""
        world = self.world
        own = self.workspaces.workspace(root).variables if root else {}
        # A repository's entries get the whole login environment, as from the clients that read them.
        policy = FULL if root else LISTED
        return lambda name: bool(own.get(name)) or world.knows(name, policy)

    def look_up(self, server: Any, prefer: str = "") -> Deferred[Recipe]:
        """Fire with the recipe of a server (`mcpgateway.system.catalog.lookup`); the registry is asked in a thread."""
        catalog = ServerCatalog(self._reload.settings.gateway.registry_url)
        return self._reload.in_thread(catalog.find, server, prefer)

    @property
    def world(self) -> World:
        """The variables that entries may refer to."""
        world = self._reload.settings.world
        return world if world is not None else World({}, {}, os.path.expanduser("~"))

    def plan(self, name: str, definition: Mapping[str, Any], root: str = "") -> InstallPlan:
        """Plan the installation of a definition, without writing any file.

        :param root: root of its workspace; empty for a global server.
        :raise GatewayError: the definition cannot be installed; no file was changed.
        """
        permissions.check(Put((name,), dict(definition)))
        return self._plan_own(name, definition, root) if root else self._plan_global(name, definition)

    def _plan_global(self, name: str, definition: Mapping[str, Any]) -> InstallPlan:
        file, reload = self._reload.config_file, self._reload
        if not file or reload.gather is None:
            raise NotOurs("the gateway runs without a configuration file that could be written to")
        if reload.state.problems:
            raise NotOurs(
                f"the configuration has an error, please mend that first: {reload.state.problems[0]}"
            )
        existing = self._existing(name)
        if existing is not None:
            if same(existing, dict(definition)):
                return InstallPlan(name, definition, file, "", self._server(name), is_there=True)
            raise _taken(name)
        if any(each.name == name for each in reload.settings.servers):
            raise _taken(name)
        if is_overlay(definition):
            raise InvalidParams(f"{name} cannot be installed: it is not {EXPECTED}")
        check_takes(hidden_in(dict(definition)), file)
        return InstallPlan(name, definition, file, "", self.draft(name, definition))

    def served(self, plan: InstallPlan) -> ServerSpec:
        """Return the server of a plan that has been carried out.

        :raise GatewayError: it is not served.
        """
        if plan.root:
            return self.workspaces.own(plan.name, plan.root)
        return self._server(plan.name)

    def _existing(self, name: str) -> Any:
        blueprint = self._reload.settings.blueprints.get(name)
        if blueprint is None or self._reload.gather is None or not blueprint.entry.origin.is_ours:
            return None
        place = place_of(self._reload.gather(), blueprint.entry)
        return None if place is None else place.value

    def _server(self, name: str) -> ServerSpec:
        return next(each for each in self._reload.settings.servers if each.name == name)

    def draft(self, name: str, definition: Mapping[str, Any]) -> ServerSpec:
        """Return the server that an entry would define, in the configuration with that entry.

        :raise InvalidParams: the entry defines no server.
        """
        file = self._reload.config_file
        text = read_text(file) or ""
        problems = Problems()
        made = edit(text, file, placed(parse(text, file).value, Put((name,), dict(definition))))
        settings = self._composed(file, in_its_dialect(text, made, file), problems)
        blueprint = settings.blueprints.get(name) if settings is not None else None
        if settings is None or blueprint is None:
            says = without_file(problems.errors[0]) if problems.errors else "it is left out"
            raise InvalidParams(f"{name} cannot be installed: {says}")
        for each in problems:
            if each.where.key.startswith((f"servers.{name}.", f"mcpServers.{name}.")):
                hint = f"values of variables belong into {self.home}/.env" if "variable" in str(each) else ""
                raise InvalidParams(f"{name} cannot be installed: {each}", hint)
        return next(each for each in settings.servers if each.name == name)

    def _composed(self, file: str, text: str, problems: Problems) -> Settings | None:
        """Return the settings with this text in place of that file's."""
        reload = self._reload
        assert reload.gather is not None
        found = reload.gather()
        document = parse(text, file, takes_list=True)
        native = [document if each.file == file else each for each in found.native]
        if document not in native:
            native.insert(0, document)
        setting = Circumstances(self.world, reload.settings.gateway.http_port, os.path.realpath)
        return compose(replace(found, native=tuple(native)), setting, problems)

    def foresee(self, name: str, changes: Sequence[Edit], root: str = "") -> tuple[ServerSpec, ...]:
        """Check that an entry could be changed, without writing any file.

        :return: the servers that the change would add or alter.
        :raise GatewayError: the change is not permitted.
        """
        if root:
            path = self.own_of(name, changes, root).path
            edited(read_text(path) or "", path, changes, (LIST, name))
            return ()
        self.home_of(name)
        reload = self._reload
        settings = self._after(name, changes)
        goes = any(len(each.key_path) == 1 and not isinstance(each, Put) for each in changes)
        if not goes and name not in settings.blueprints:
            raise Unfit(f"nothing was changed: {name} would not be {EXPECTED}")
        known = [_nameless(each) for each in reload.settings.servers if each.enabled]
        return tuple(each for each in settings.servers if each.enabled and _nameless(each) not in known)

    def edited_server(self, name: str, changes: Sequence[Edit], place: OverlayPlace | None) -> ServerSpec:
        """Return the server that an entry would define after changes, without writing any file.

        :param place: the overlay that is changed; None where it is the entry itself.
        :raise GatewayError: the change is not permitted, or defines no server.
        """
        found = self._after(name, changes, place).servers
        server = next((each for each in found if each.name == name), None)
        if server is None:
            raise Unfit(f"{name} would not be {EXPECTED}")
        return server

    def _after(self, name: str, changes: Sequence[Edit], place: OverlayPlace | None = None) -> Settings:
        for each in changes:
            permissions.check(each)
        reload = self._reload
        if reload.state.problems:
            raise NotOurs(
                f"the configuration has an error, please mend that first: {reload.state.problems[0]}"
            )
        if place is not None:
            file = place.file
            made = with_overlay(read_text(file) or "", place, name, tidied(place, name, changes))
        else:
            entry = reload.settings.blueprints[name].entry
            stands = place_of(reload.gather(), entry) if reload.gather is not None else None
            if stands is None:
                raise NotOurs(f"{name} stands in no file that could be changed")
            file = stands.document.file
            text = read_text(file) or ""
            made = in_its_dialect(text, edited(text, file, changes, key_path_of(stands)), file)
        problems = Problems()
        settings = self._composed(file, made, problems)
        if settings is None:
            raise refusal(problems.errors[0])
        return settings

    def own_of(self, name: str, changes: Sequence[Edit], root: str) -> Repository:
        """Return the workspace's file with an entry, if the entry may be changed.

        :raise GatewayError: it may not, or the file does not define it.
        """
        for each in changes:
            permissions.check(each)
        path = approvals.target(root)
        repository = self.approved(path, root)
        if repository is None or name not in [each.title for each in repository.entries]:
            raise UnknownServer(f"Unknown server: {printable(name)}; {visible(path)} does not define it")
        return repository

    def _plan_own(self, name: str, definition: Mapping[str, Any], root: str) -> InstallPlan:
        if strange := [key for key in definition if key not in REPOSITORY_KEYS and key != "share"]:
            raise InvalidParams(
                f"{name}: {', '.join(strange)} cannot stand in a workspace's own .mcp.json for the gateway",
                'pass scope: "global"; clients reach what has a url without the gateway',
            )
        definition = {key: each for key, each in definition.items() if key in REPOSITORY_KEYS}
        path = approvals.target(root)
        repository = self.approved(path, root)
        text = read_text(path)
        held = parse(text or EMPTY_REPOSITORY, path, strict=False).value
        listed = held.get("mcpServers")
        existing = listed.get(name) if isinstance(listed, dict) else None
        if existing is not None and same(existing, definition) and repository is not None:
            return InstallPlan(name, definition, path, root, self.workspaces.own(name, root), is_there=True)
        if existing is not None or any(each.name == name for each in self._reload.settings.servers):
            raise _taken(name)
        check_takes(hidden_in(definition), path, is_repository=True)
        planned = with_entry(text, path, name, definition)
        problems = Problems()
        entries = read_project(parse(planned, path, strict=False), root, 0, problems).entries
        entry = next((each for each in entries if each.title == name), None)
        if entry is None:
            raise InvalidParams(f"{name} cannot be installed: {next(iter(problems), 'it is left out')}")
        spec = specialise(
            Blueprint(name, evolve(entry, place=None), self.world), self.workspaces.workspace(root)
        )
        if scope_of(spec) not in ISOLATING:
            spec = evolve(spec, share=Share.WORKSPACE)
        return InstallPlan(name, definition, path, root, evolve(spec, workspace=root))

    def approved(self, path: str, root: str) -> Repository | None:
        """Read the file of a workspace, which its user must have approved.

        :raise NeedsApproval: the present content is not approved.
        """
        if os.path.realpath(path) != path:
            raise ConfigError(f"{visible(path)}: leads out of its workspace and is not written to")
        try:
            repository = read_repository(path, self.home)
        except FileNotFoundError:
            return None
        if repository.entries and approvals.read(self.home).get(path) != repository.digest:
            raise NeedsApproval(
                f"{visible(path)} defines servers, and is not approved as it is now",
                f"its user approves it with: {visible(cli('config approve {}', root))}",
            )
        return repository

    def home_of(self, name: str) -> str:
        """Return the configuration file that defines a server.

        :raise UnknownServer: no server has that name.
        :raise ConfigError: a client's own file defines it, which belongs to the client.
        """
        blueprint = self._reload.settings.blueprints.get(name)
        if blueprint is None:
            raise UnknownServer(
                f"Unknown server: {name}", server_hint(name, self._reload.settings.blueprints)
            )
        if not blueprint.entry.origin.is_ours:
            raise NotOurs(
                f"{name} is defined by {blueprint.entry.origin.words}, which the gateway does not change",
                "change it there, which the gateway follows within a second, or lay a change over it (servers set)",
            )
        return blueprint.entry.origin.words

    def definition_of(self, name: str, root: str = "") -> Any:
        """Return the entry of a server as written; None if no file has it."""
        if root:
            path = approvals.target(root)
            listed = parse(read_text(path) or "", path, strict=False).value.get("mcpServers")
            return listed.get(name) if isinstance(listed, dict) else None
        blueprint = self._reload.settings.blueprints.get(name)
        server = self.workspaces.named(name) if blueprint is None else None
        if server is not None:
            return self.definition_of(server.title, server.workspace)
        if blueprint is None or self._reload.gather is None:
            return None
        place = place_of(self._reload.gather(), blueprint.entry)
        return _written(blueprint.entry) if place is None else place.value

    def line_of(self, name: str) -> int | None:
        """Return the line of the entry of a server in its file; None if no file has it."""
        blueprint, gather = self._reload.settings.blueprints.get(name), self._reload.gather
        place = place_of(gather(), blueprint.entry) if blueprint is not None and gather is not None else None
        return None if place is None else place.where.line or None

    def whole_of(self, name: str) -> Any:
        """Return the entry of a server as written, with the overlays over it; None if no file has it."""
        found = self.definition_of(name)
        gather = self._reload.gather
        for each in overlays_of(gather(), name) if gather is not None else ():
            found = merged(found, each.value)
        return found


def _written(entry: Entry) -> Any:
    """Return the definition of a program that stands in a client's enrolled file; None for others."""
    if not entry.argv or entry.origin.is_ours:
        return None
    first, *rest = entry.argv
    definition: dict[str, Any] = {"command": first, "args": rest, "env": dict(entry.env), "cwd": entry.cwd}
    return {key: each for key, each in definition.items() if each}


def read_text(path: str) -> str | None:
    """Return the text of a file; None if it does not exist."""
    try:
        return files.read_text(path, FILE_LIMIT)
    except FileNotFoundError:
        return None


def edited(text: str, file: str, changes: Sequence[Edit], key_path: KeyPath) -> str:
    """Return a file's text after changes of the entry at a path."""
    for each in changes:
        text = edit(text, file, rooted(each, key_path))
    return text


def with_entry(text: str | None, path: str, name: str, definition: Mapping[str, Any]) -> str:
    """Return the text of a workspace's file with a new entry."""
    held = text if text is not None and text.strip() else EMPTY_REPOSITORY
    return edit(held, path, Put(("mcpServers", name), dict(definition)))


def _nameless(server: ServerSpec) -> ServerSpec:
    return evolve(server, name="", title="", source="", is_of_client=False)


def _taken(name: str) -> NameTaken:
    return NameTaken(
        f"there is a server {name} already, and it is defined otherwise",
        f"choose another name, replace that one ({cli('servers add --replace')}), or remove it first (remove_server)",
    )


def words_of(plan: InstallPlan) -> str:
    """Describe a plan in detail, for the user who is asked."""
    definition = plan.definition
    lines = []
    if definition.get("command") is not None:
        command = definition["command"]
        words = [command] if isinstance(command, str) else list(command)
        lines.append(f"It would run: {shlex.join([*words, *map(str, definition.get('args', ()))])}")
    rest = {key: each for key, each in definition.items() if key not in ("command", "args")}
    for key, value in rest.items():
        shown = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        lines.append(f"{key}: {shown}")
    whose = f"the clients that work in {plan.root}" if plan.root else "all clients of this gateway"
    lines += [f"It would be there for {whose}.", f"It would be written to {plan.file}."]
    return "\n".join(visible(each) for each in lines)


def words_of_served(servers: Sequence[ServerSpec]) -> str:
    """Describe the servers that would be served then, for the user who is asked."""
    lines = []
    for each in servers:
        runs = shlex.join(masked(list(each.command), "args"))
        what = runs or address(str(getattr(each.reach, "url", ""))) or "what it says"
        lines.append(f"Then another definition of {each.name} would be in force, of {each.source}: {what}")
    return "\n".join(visible(each) for each in lines)
