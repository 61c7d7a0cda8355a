"""Put a server into a configuration so that it is there: tried first, written then, listed at last.

# Note [Nothing is there by halves]
Whoever installs is told of success when the new server has shown its tools, on the very road that calls take.  So it is
tried before anything is written, under the definition that it would have, and whoever is connected sees nothing of a
server that does not work.  What was written is taken back when it turns out not to work after all: byte for byte,
unless somebody else has written to the file meanwhile, whose changes then stay.

# Note [Where a workspace's servers stand]
Global servers stand in the configuration file, those of a workspace in its own ``.mcp.json``, which the clients that
work there read too.  Such a file counts when its user has approved of it, byte for byte.  Who installs into it has a
yes of the user to that very command, so the file is approved of as it is then, but only if it was before, or is new:
nobody else's entry is let in by the way.
"""

from __future__ import annotations

import json
import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from attrs import define, evolve, field, frozen
from twisted.internet.defer import Deferred, DeferredLock
from twisted.logger import Logger

from mcpgateway.backends.validating import Report
from mcpgateway.config import permit
from mcpgateway.config.assemble import Blueprint, World, specialise
from mcpgateway.config.client import read_project
from mcpgateway.config.compose import Setting, compose
from mcpgateway.config.document import visible
from mcpgateway.config.edit import Edit, Put, Remove, Road, edit, road_to, rooted, same
from mcpgateway.config.model import ServerSpec, Share
from mcpgateway.config.problems import Problems
from mcpgateway.config.provenance import place_of
from mcpgateway.config.read import parse
from mcpgateway.errors import (
    BackendError,
    ConfigError,
    GatewayError,
    InvalidParams,
    NeedsApproval,
    NeedsAuthorization,
    Overloaded,
    UnknownServer,
)
from mcpgateway.host import approvals, files
from mcpgateway.host.approvals import Repository
from mcpgateway.host.writeback import write_back
from mcpgateway.hub.reload import Reload
from mcpgateway.rules.secrecy import secrets_in, without
from mcpgateway.rules.sharing import scope_of

FILE_LIMIT = 20 * 1_048_576
INSTALL_S = 300.0  # a large package on a slow line
CONNECT_S = 120.0  # a runner that has to fetch its package says nothing before it has
WAITING_LIMIT = 20  # installations one behind the other
REPOSITORY_KEYS = ("command", "args", "env", "cwd")
EMPTY_REPOSITORY = '{\n  "mcpServers": {}\n}\n'
ISOLATING = (Share.SESSION, Share.ISOLATED, Share.WORKSPACE)

TryOut = Callable[[ServerSpec], Deferred[Report]]
"""Tries a server and ends it; fires with what was found, and never fails (`mcpgateway.backends.validating`)."""

ListTools = Callable[[str], Awaitable[Sequence[str]]]
"""Has a server's tools listed on the road that calls take; fires with what they are called there."""


@frozen
class Plan:
    """What is going to be written where, once it has been agreed to.

    :ivar file: the file it is written to.
    :ivar root: the workspace that it is for; empty for everybody.
    :ivar spec: the server that it makes.
    :ivar is_there: the very same stands there already.
    """

    name: str
    definition: Mapping[str, Any] = field(repr=False)
    file: str
    root: str
    spec: ServerSpec
    is_there: bool = False


@frozen
class Installed:
    """What has become of it.

    :ivar tools: what the server's tools are called.
    :ivar was_there: nothing was changed.
    """

    plan: Plan
    tools: tuple[str, ...]
    was_there: bool = False


@frozen
class _Written:
    """A change of a file that can be taken back.

    :ivar before: its text; None where there was no file.
    """

    file: str
    road: Road
    before: str | None = field(repr=False)
    after: str = field(repr=False)


class Installing:
    """Installs and removes servers, one after the other.

    :ivar home: the gateway's own directory.
    :param try_out: tries a server before anybody relies on it.
    """

    log = Logger()

    def __init__(self, reload: Reload, workspaces: Workspaces, home: str, try_out: TryOut) -> None:
        self.home = home
        self._reload = reload
        self._workspaces = workspaces
        self._try_out = try_out
        self._lock = DeferredLock()

    def knows(self, root: str) -> Callable[[str], bool]:
        """Whether the entries of a scope are given values for variables, by name."""
        from mcpgateway.config.environment import sources  # nobody installs all day

        world = self._world
        own = self._workspaces.workspace(root).variables if root else {}
        # A repository's entries get the whole login, as the clients that read them would give them.
        login = world.login if root else sources(world.login)
        return lambda name: bool(own.get(name) or world.variables.get(name) or login.get(name))

    @property
    def _world(self) -> World:
        world = self._reload.settings.world
        return world if world is not None else World({}, {}, os.path.expanduser("~"))

    # Plans

    def plan(self, name: str, definition: Mapping[str, Any], root: str = "") -> Plan:
        """Find out what a definition would make, without writing anything.

        :param root: of the workspace that it is for; empty for everybody.
        :raise GatewayError: it cannot be installed like this; nothing was changed.
        """
        permit.check(Put((name,), dict(definition)))
        return self._plan_own(name, definition, root) if root else self._plan_global(name, definition)

    def _plan_global(self, name: str, definition: Mapping[str, Any]) -> Plan:
        file, reload = self._reload.config_file, self._reload
        if not file or reload.gather is None:
            raise ConfigError("the gateway runs without a configuration file that could be written to")
        if reload.state.problems:
            raise ConfigError(
                f"the configuration has an error, please mend that first: {reload.state.problems[0]}"
            )
        existing = self._existing(name)
        if existing is not None:
            if same(existing, dict(definition)):
                return Plan(name, definition, file, "", self._server(name), is_there=True)
            raise _taken(name)
        if any(each.name == name for each in reload.settings.servers):
            raise _taken(name)
        return Plan(name, definition, file, "", self._draft(name, definition))

    def _existing(self, name: str) -> Any:
        blueprint = self._reload.settings.blueprints.get(name)
        if blueprint is None or self._reload.gather is None or not blueprint.entry.origin.is_ours:
            return None
        place = place_of(self._reload.gather(), blueprint.entry)
        return None if place is None else place.value

    def _server(self, name: str) -> ServerSpec:
        return next(each for each in self._reload.settings.servers if each.name == name)

    def _draft(self, name: str, definition: Mapping[str, Any]) -> ServerSpec:
        """The server that an entry would make, in the configuration as it would be."""
        reload, file = self._reload, self._reload.config_file
        assert reload.gather is not None
        text = _read(file) or ""
        edited = edit(text, file, Put(road_to(parse(text, file).value, name), dict(definition)))
        found = reload.gather()
        document = parse(edited, file)
        native = [document if each.file == file else each for each in found.native]
        if document not in native:
            native.insert(0, document)
        problems = Problems()
        setting = Setting(self._world, reload.settings.gateway.http_port, os.path.realpath)
        settings = compose(evolve(found, native=tuple(native)), setting, problems)
        blueprint = settings.blueprints.get(name) if settings is not None else None
        if settings is None or blueprint is None:
            raise InvalidParams(
                f"{name} cannot be installed: {next(iter(problems.errors), 'it is left out')}"
            )
        for each in problems:
            if each.where.key.startswith((f"servers.{name}.", f"mcpServers.{name}.")):
                raise InvalidParams(f"{name} cannot be installed: {each}")
        return next(each for each in settings.servers if each.name == name)

    def _plan_own(self, name: str, definition: Mapping[str, Any], root: str) -> Plan:
        if strange := [key for key in definition if key not in REPOSITORY_KEYS and key != "share"]:
            raise InvalidParams(
                f"{name}: {', '.join(strange)} cannot stand in a workspace's own .mcp.json for the gateway",
                'pass scope: "global"; clients reach what has a url without the gateway',
            )
        definition = {key: each for key, each in definition.items() if key in REPOSITORY_KEYS}
        path = approvals.target(root)
        repository = self._approved(path, root)
        text = _read(path)
        held = parse(text or EMPTY_REPOSITORY, path, strict=False).value
        listed = held.get("mcpServers")
        existing = listed.get(name) if isinstance(listed, dict) else None
        if existing is not None and same(existing, definition) and repository is not None:
            return Plan(name, definition, path, root, self._workspaces.own(name, root), is_there=True)
        if existing is not None or any(each.name == name for each in self._reload.settings.servers):
            raise _taken(name)
        edited = _with(text, path, name, definition)
        problems = Problems()
        entries = read_project(parse(edited, path, strict=False), root, 0, problems).entries
        entry = next((each for each in entries if each.title == name), None)
        if entry is None:
            raise InvalidParams(f"{name} cannot be installed: {next(iter(problems), 'it is left out')}")
        spec = specialise(
            Blueprint(name, evolve(entry, place=None), self._world), self._workspaces.workspace(root)
        )
        if scope_of(spec) not in ISOLATING:
            spec = evolve(spec, share=Share.WORKSPACE)
        return Plan(name, definition, path, root, evolve(spec, workspace=root))

    def _approved(self, path: str, root: str) -> Repository | None:
        """What a workspace defines already, which its user has to have approved of.

        :raise NeedsApproval: not as it is now.
        """
        if os.path.realpath(path) != path:
            raise ConfigError(f"{visible(path)}: leads out of its workspace and is not written to")
        try:
            repository = approvals.read_repository(path, self.home)
        except FileNotFoundError:
            return None
        if repository.entries and approvals.read(self.home).get(path) != repository.digest:
            raise NeedsApproval(
                f"{visible(path)} defines servers that nobody has approved of as it is now",
                f"its user approves of it with: mcpgateway config approve {visible(root)}",
            )
        return repository

    # What is done

    def install(self, plan: Plan, list_tools: ListTools) -> Deferred[Installed]:
        """Carry a plan out; fires when the server's tools are listed, or fails when nothing has changed.

        :raise GatewayError: (through the Deferred) it does not work; the text says why.
        """
        if len(self._lock.waiting) >= WAITING_LIMIT:
            raise Overloaded("too many installations are waiting", "try again when some of them are done")

        def install() -> Deferred[Installed]:
            return Deferred.fromCoroutine(self._install(plan, list_tools))

        return self._lock.run(install)

    async def _install(self, plan: Plan, list_tools: ListTools) -> Installed:
        # Others may have been installed since it was planned.
        plan = self.plan(plan.name, plan.definition, plan.root)
        if plan.is_there:
            return Installed(plan, tuple(await list_tools(plan.name)), was_there=True)
        report = await self._try_out(plan.spec)
        if not report.passed:
            raise _failed(plan, report)
        written = self._write(self.plan(plan.name, plan.definition, plan.root))
        try:
            tools = tuple(await list_tools(plan.name))
        except Exception as why:
            self._take_back(written, plan)
            if isinstance(why, GatewayError):
                raise BackendError(f"{plan.name} was not installed: {why.message}", why.hint) from why
            raise
        self.log.info(
            "{server} was installed into {file}", event="server.installed", server=plan.name, file=plan.file
        )
        return Installed(plan, tools)

    def _write(self, plan: Plan) -> _Written:
        before = _read(plan.file)
        if plan.root:
            write_back(plan.file, lambda text: _with(text, plan.file, plan.name, plan.definition))
            self._workspaces.approve(plan.root, approvals.digest_of(plan.file))
            road: Road = ("mcpServers", plan.name)
        else:
            road = road_to(parse(before or "", plan.file).value, plan.name)
            self._reload.edit(Put((plan.name,), dict(plan.definition)))
        return _Written(plan.file, road, before, _read(plan.file) or "")

    def _take_back(self, written: _Written, plan: Plan) -> None:
        try:
            self._restore(written)
            if plan.root and written.before is not None:
                self._workspaces.approve(plan.root, approvals.digest_of(plan.file))
        except (GatewayError, OSError) as why:
            self.log.error(
                "{server} could not be taken out of {file} again: {why}",
                event="server.not_taken_back",
                server=plan.name,
                file=plan.file,
                why=str(why),
            )
        if not plan.root:
            self._reload.read_own()

    def _restore(self, written: _Written) -> None:
        if written.before is None and _read(written.file) == written.after:
            os.unlink(written.file)
            return

        def restored(text: str) -> str:
            if text == written.after and written.before is not None:
                return written.before
            return edit(text, written.file, Remove(written.road))

        write_back(written.file, restored)

    def change(self, change: Edit, root: str = "") -> str:
        """Change or remove the entry of a server, in the configuration or in a workspace's own file; the file.

        :param change: its road begins with the server's name.
        :raise GatewayError: it stands nowhere where it could be changed, or cannot be changed so; nothing was changed.
        """
        name = change.road[0]
        if root:
            file = self._change_own(name, change, root)
        else:
            file = self.home_of(name)
            self._reload.edit(change)
        self.log.info(
            "{server} was changed in {file} through a tool", event="server.edited", server=name, file=file
        )
        return file

    def _change_own(self, name: str, change: Edit, root: str) -> str:
        permit.check(change)
        path = approvals.target(root)
        repository = self._approved(path, root)
        if repository is None or name not in [each.title for each in repository.entries]:
            raise UnknownServer(f"Unknown server: {name}; {visible(path)} does not define it")
        former = write_back(path, lambda text: edit(text, path, rooted(change, ("mcpServers", name))))
        try:
            left = {each.title for each in approvals.read_repository(path, self.home).entries}
            if len(left) < len(repository.entries) - (isinstance(change, Remove) and len(change.road) == 1):
                raise ConfigError(f"nothing was changed: {name} could not be run like this")
        except ConfigError:
            former.restore()
            raise
        self._workspaces.approve(root, approvals.digest_of(path))
        return path

    def home_of(self, name: str) -> str:
        """The configuration file that defines a server.

        :raise UnknownServer: there is none of that name.
        :raise ConfigError: a client's own file defines it, which is its client's to change.
        """
        blueprint = self._reload.settings.blueprints.get(name)
        if blueprint is None:
            raise UnknownServer(f"Unknown server: {name}")
        if not blueprint.entry.origin.is_ours:
            raise ConfigError(
                f"{name} is defined by {blueprint.entry.origin.words}, which the gateway does not change",
                "change it there; the gateway follows within a second",
            )
        return blueprint.entry.origin.words

    def definition_of(self, name: str, root: str = "") -> Any:
        """The entry of a server as it is written; None where it stands in no file."""
        if root:
            path = approvals.target(root)
            listed = parse(_read(path) or "", path, strict=False).value.get("mcpServers")
            return listed.get(name) if isinstance(listed, dict) else None
        blueprint = self._reload.settings.blueprints.get(name)
        if blueprint is None or self._reload.gather is None:
            return None
        place = place_of(self._reload.gather(), blueprint.entry)
        return None if place is None else place.value


@define
class Workspaces:
    """What is known of workspaces, for whoever installs into them.

    :ivar scopes: a `mcpgateway.hub.scopes.Scopes`, with its repositories.
    """

    scopes: Any

    def root_of(self, cwd: str) -> str:
        """The root of the workspace that a directory lies in; empty where it is none."""
        from mcpgateway.hub.scopes import Said

        place = self.scopes.place(Said(cwd=cwd), None)
        return "" if place is None else str(place.root)

    def workspace(self, root: str) -> Any:
        """What servers are built with for a workspace."""
        return self.scopes.workspace(root)

    def own(self, name: str, root: str) -> ServerSpec:
        """A server that a workspace defines itself."""
        found: ServerSpec = self.scopes.own(name, root)
        return found

    def approve(self, root: str, digest: str) -> None:
        """Let the servers of a workspace's file run as long as its bytes have this digest."""
        if self.scopes.repositories is None:
            raise ConfigError("this gateway serves no servers of workspaces")
        self.scopes.repositories.approve(root, digest)


def _read(path: str) -> str | None:
    try:
        return files.read_text(path, FILE_LIMIT)
    except FileNotFoundError:
        return None


def _with(text: str | None, path: str, name: str, definition: Mapping[str, Any]) -> str:
    held = text if text is not None and text.strip() else EMPTY_REPOSITORY
    return edit(held, path, Put(("mcpServers", name), dict(definition)))


def _taken(name: str) -> InvalidParams:
    return InvalidParams(
        f"there is a server {name} already, and it is defined otherwise",
        "pass another name, or remove that one first (remove_server)",
    )


def _failed(plan: Plan, report: Report) -> GatewayError:
    step = next(each for each in report.steps if not each.passed)
    if isinstance(step.why, NeedsAuthorization):
        return NeedsAuthorization(
            step.why.message,
            "let its user open that URL in a browser on the gateway's machine, then install it again",
            step.why.data,
        )
    said = without(step.detail.encode(), secrets_in(plan.spec.env)).decode(errors="replace")
    return BackendError(
        f"{plan.name} was not installed, and nothing was changed: {step.name}: {said}",
        "correct its definition, or what it needs, and install it again",
    )


def words_of(plan: Plan) -> str:
    """What a plan would do, word by word, for the human who is asked."""
    said = plan.definition
    lines = []
    if said.get("command") is not None:
        command = said["command"]
        words = [command] if isinstance(command, str) else list(command)
        import shlex

        lines.append(f"It would run: {shlex.join([*words, *map(str, said.get('args', ()))])}")
    rest = {key: each for key, each in said.items() if key not in ("command", "args")}
    for key, value in rest.items():
        shown = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        lines.append(f"{key}: {shown}")
    whose = f"the clients that work in {plan.root}" if plan.root else "all clients of this gateway"
    lines += [f"It would be there for {whose}.", f"It would be written to {plan.file}."]
    return "\n".join(visible(each) for each in lines)
