"""Upgrades of servers' packages: a newer version is tried beside the one in use, compared, and given to new sessions.

# Note [Two versions at a time]
The children of the former version go on until their last session has ended; sessions that begin after the switch get
the new version.  Where a server may have one process only, or shares its calls among replicas, the children are
replaced at once.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from attrs import evolve
from twisted.internet.defer import Deferred, DeferredLock
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from mcpgateway.backends.validation import validate, without_secrets
from mcpgateway.config.gateway_settings import GatewaySettings
from mcpgateway.config.model import ServerSpec
from mcpgateway.discovery.tool_changes import compare, digest_of
from mcpgateway.errors import Conflict, GatewayError, GatewayFault, InvalidParams, Outdated
from mcpgateway.hints import cli
from mcpgateway.hub.catalog.quarantine import Quarantine
from mcpgateway.hub.dispatch import LegacyDispatcher
from mcpgateway.interfaces import ILauncher, Launch
from mcpgateway.manage.discovery import OURSELVES
from mcpgateway.manage.install import CONNECT_S, INSTALL_S
from mcpgateway.manage.servers import ServerOperations
from mcpgateway.manage.tools.family import list_tools
from mcpgateway.observe.roster import named
from mcpgateway.policy.launch_probe import is_version
from mcpgateway.policy.runners import Age, Package, Wrapped, is_patch, take_apart
from mcpgateway.system.launch.lock import LockedServer, NewerVersion, SeenVersion

AskNewest = Callable[[Launch, Wrapped], Awaitable[str]]
"""Asks the index of a launch's package, whose command line was taken apart, for the newest requested version."""

ROLLED_BACK = "it was rolled back"
ONE_PROCESS = "its entry allows one process only, so a second version is not started beside it"


class ServerUpgrades:
    """Finds, compares and switches the versions of servers' packages.

    :param launcher: starts the newer versions, beside those in use.
    :param newest: asks for the newest version.
    :param settings: returns the settings in force.
    """

    log = Logger()

    def __init__(
        self,
        dispatcher: LegacyDispatcher,
        operations: ServerOperations,
        launcher: ILauncher,
        clock: IReactorTime,
        newest: AskNewest,
        settings: Callable[[], GatewaySettings],
    ) -> None:
        self._dispatcher = dispatcher
        self._operations = operations
        self._launcher = launcher
        self._clock = clock
        self._newest = newest
        self._settings = settings
        self._turn = DeferredLock()  # one version is tried at a time

    @property
    def _quarantine(self) -> Quarantine:
        quarantine = self._dispatcher.permits.quarantine
        assert quarantine is not None  # a gateway has one
        return quarantine

    # In the background

    def found(self, name: str, package: Package, version: str) -> None:
        """Take the newest version of a server's package: one that is not known is compared."""
        known = self._quarantine.lock.servers.get(name)
        if known is None or not known.is_of(package.name, package.version):
            return
        newer = known.newer
        if version == known.current.version:
            if newer is not None:
                known.newer = None
                self._quarantine.lock.put(name, known)
            return
        if newer is None or newer.version != version:
            known.newer = NewerVersion(version, seen_at=self._quarantine.lock.seconds())
            self._quarantine.lock.put(name, known)
            self.log.info(
                "{server}: {package} {version} is there, after {former}; {command} compares them",
                event="server.newer_version",
                server=name,
                package=package.name,
                version=version,
                former=known.current.version,
                command=cli("servers upgrade {} --check", name),
            )
        elif newer.is_judged and not (_has_failed(newer) or self._switches(name, known, newer)):
            return
        done = self._turn.run(lambda: Deferred.fromCoroutine(self._consider(name, version)))
        done.addErrback(lambda why: self.log.failure("a version could not be compared", why))

    async def _consider(self, name: str, version: str) -> None:
        server = self._dispatcher.servers.get(name)
        if server is None or not server.enabled or not self._dispatcher.is_open:
            return
        newer = await self._compared(server, version)
        if not self._switches(name, self._quarantine.lock.servers[name], newer):
            return
        try:
            await self._switch(server, newer)
        except GatewayError as why:
            self.log.warn(
                "{server} is not upgraded to {version}: {why}",
                event="server.not_upgraded",
                server=name,
                version=version,
                why=why.message,
            )

    def _switches(self, name: str, known: LockedServer, newer: NewerVersion) -> bool:
        """True if a version that was compared is given to new sessions without a request."""
        if newer.fault or (known.former is not None and known.former.version == newer.version):
            return False  # its user has left that version
        server = self._dispatcher.servers.get(name)
        own = None if server is None else server.auto_upgrade
        mode = self._settings().auto_upgrade if own is None else own
        is_small = is_patch(known.current.version, newer.version) and not newer.changes
        return mode == "any" or (mode == "patch" and is_small)

    # On request

    def check(self, name: str, version: str = "") -> Deferred[dict[str, Any]]:
        """Compare the newest version of a server's package, or a given one, with the one in use.

        :return: the entry of the server (`Quarantine.shown`).
        :raise UnknownServer: no server has that name.
        :raise InvalidParams: (through the Deferred) the given version is none.
        :raise GatewayError: (through the Deferred) it is no package, or its versions cannot be asked for.
        """
        server = named(self._dispatcher.servers, name)
        return self._turn.run(lambda: Deferred.fromCoroutine(self._check(server, version)))

    async def _check(self, server: ServerSpec, version: str) -> dict[str, Any]:
        if version and not is_version(version):
            raise InvalidParams(f"{version[:80]!r} is no version", "name one version, such as 1.2.3")
        written = _package_of(server)
        known = await self._present(server, written)
        if not version:
            launch = Launch(server.name, server.command, server.env, server.cwd, server.reach)
            version = await self._newest(launch, written)
        if version != known.current.version:
            await self._compared(server, version)
        elif known.newer is not None:
            known.newer = None
            self._quarantine.lock.put(server.name, known)
        return self._quarantine.shown(server)

    def upgrade(self, name: str, version: str) -> Deferred[dict[str, Any]]:
        """Give new sessions of a server a version that `check` has compared.

        :raise UnknownServer: no server has that name.
        :raise Outdated: (through the Deferred) that version has not been compared.
        :raise Conflict: (through the Deferred) it does not work.
        :raise GatewayFault: (through the Deferred) the home takes no record of it; the version in use stays.
        """
        server = named(self._dispatcher.servers, name)
        return self._turn.run(lambda: Deferred.fromCoroutine(self._upgrade(server, version)))

    async def _upgrade(self, server: ServerSpec, version: str) -> dict[str, Any]:
        newer = (await self._present(server, _package_of(server))).newer
        if newer is None or newer.version != version or not newer.is_judged:
            raise Outdated(
                f"{version} of {server.name} has not been compared",
                f"{cli('servers upgrade {} --check', server.name)} does that",
            )
        if _has_failed(newer):
            raise Conflict(f"{version} of {server.name} does not work: {newer.fault}")
        await self._switch(server, newer)
        return self._quarantine.shown(server)

    def rollback(self, name: str) -> Deferred[dict[str, Any]]:
        """Give new sessions of a server the version before its upgrade.

        :raise UnknownServer: no server has that name.
        :raise Conflict: (through the Deferred) it was not upgraded.
        """
        server = named(self._dispatcher.servers, name)
        return self._turn.run(lambda: Deferred.fromCoroutine(self._rollback(server)))

    async def _rollback(self, server: ServerSpec) -> dict[str, Any]:
        known = await self._present(server, _package_of(server))
        if known.former is None:
            raise Conflict(f"{server.name} was not upgraded, so there is no version to go back to")
        left, seconds = known.current, self._quarantine.lock.seconds()
        known.current, known.former = known.former, left
        # Else an automatic upgrade would bring it back.
        known.newer = NewerVersion(left.version, left.integrity, None, seconds, fault=ROLLED_BACK)
        self._quarantine.settle(server.name, known)
        await self._begin(server)
        return self._quarantine.shown(server)

    def approve(self, name: str, digests: Mapping[str, str]) -> dict[str, Any]:
        """Offer tools again that are held back.

        :param digests: the digests of the definitions that were shown, by tool.
        :raise UnknownServer: no server has that name.
        :raise InvalidParams: a tool is not held back.
        :raise Outdated: a tool has changed again since it was shown.
        """
        server = named(self._dispatcher.servers, name)
        held = self._quarantine.held(server)
        for tool, digest in digests.items():
            if tool not in held:
                raise InvalidParams(
                    f"{tool} of {name} is not held back", f"{cli('servers approve {}', name)} lists those"
                )
            if held[tool].digest != digest:
                raise Outdated(f"{tool} of {name} has changed since it was shown", "look at it again")
        self._quarantine.approve(server, digests)
        return self._quarantine.shown(server)

    # The work

    async def _present(self, server: ServerSpec, written: Wrapped) -> LockedServer:
        """Return the entry of a server, which is started if its version is not known yet."""
        if written.package.age is Age.PINNED:
            raise Conflict(
                f"the entry of {server.name} names one version of {written.package.name}",
                f"change it there: {cli('servers edit {}', server.name)}",
            )
        if self._known(server, written) is None:
            await self._operations.start(server.name)
        known = self._known(server, written)
        if known is None:
            raise Conflict(f"{server.name} is run as its entry is written, so its version is not known")
        if known.current.tools is None:
            await list_tools(self._dispatcher, self._clock, server, OURSELVES)
        return known

    def _known(self, server: ServerSpec, written: Wrapped) -> LockedServer | None:
        known, package = self._quarantine.lock.servers.get(server.name), written.package
        return known if known is not None and known.is_of(package.name, package.version) else None

    async def _compared(self, server: ServerSpec, version: str) -> NewerVersion:
        known, seconds = self._quarantine.lock.servers[server.name], self._quarantine.lock.seconds()
        newer = NewerVersion(version, seen_at=seconds)
        try:
            await self._try_out(server, newer)
        except GatewayError as why:
            newer.fault = why.message
        known.newer = newer
        self._quarantine.lock.put(server.name, known)
        self.log.info(
            "{server}: {version} was compared with {former}: {outcome}",
            event="server.compared",
            server=server.name,
            version=version,
            former=known.current.version,
            outcome=newer.fault or "; ".join(each.words for each in newer.changes[:5]) or "the same tools",
        )
        return newer

    async def _try_out(self, server: ServerSpec, newer: NewerVersion) -> None:
        words = _package_of(server).pinned(newer.version).words
        trial = evolve(server, command=words)
        launch = await self._launcher.prepare(
            Launch(server.name, words, server.env, server.cwd, server.reach)
        )
        if launch.package is not None:  # else the runner starts it, and tells what fails
            if launch.package.version != newer.version:
                raise GatewayError(f"its package calls that version {launch.package.version}")
            newer.integrity = launch.package.integrity
        if server.is_sole:
            raise GatewayError(ONE_PROCESS)
        report = without_secrets(
            await validate(trial, self._launcher, self._clock, INSTALL_S, CONNECT_S), server
        )
        if not report.passed:
            step = next(each for each in report.steps if not each.passed)
            raise GatewayError(f"{step.name}: {step.detail}")
        newer.tools = {each.own: [digest_of(each)] for each in report.items}
        newer.changes = compare(self._dispatcher.view_sessions.server_lists.tools(server) or (), report.items)

    async def _switch(self, server: ServerSpec, newer: NewerVersion) -> None:
        known = self._quarantine.lock.servers[server.name]
        before = known.current, known.former, known.newer
        known.current = SeenVersion(
            newer.version, newer.integrity, newer.tools, self._quarantine.lock.seconds()
        )
        known.former, known.newer, known.republished = before[0], None, ""
        known.held.clear()
        try:
            self._quarantine.settle(server.name, known)
            if (
                why_not := self._quarantine.lock.unwritten
            ):  # the next start would bring the former version back
                raise GatewayFault(f"the version cannot be kept: {why_not}", why_not.hint)
            await self._begin(server)
        except GatewayError as why:
            known.current, known.former, known.newer = before
            newer.fault = why.message
            self._quarantine.settle(server.name, known)
            self._dispatcher.set_aside(server)
            raise
        self.log.info(
            "new sessions of {server} get {package} {version}, after {former}",
            event="server.upgraded",
            server=server.name,
            package=known.package,
            version=newer.version,
            former=before[0].version,
        )

    async def _begin(self, server: ServerSpec) -> None:
        """Let new sessions begin with the version that is current now."""
        if self._dispatcher.pool.is_single(server) or server.replicas > 1:
            await self._operations.stop(server.name)
        else:
            self._dispatcher.set_aside(server)
        await self._operations.start(server.name)


def _has_failed(newer: NewerVersion) -> bool:
    """True if a version could not be compared, which may pass: an index that did not answer, for instance."""
    return newer.tools is None and newer.fault not in ("", ONE_PROCESS, ROLLED_BACK)


def _package_of(server: ServerSpec) -> Wrapped:
    written = take_apart(server.command) if server.resolve and server.reach is None else None
    if written is None:
        raise Conflict(
            f"{server.name} is not run by npx, uvx, bunx or pipx in a known form, so it has no versions"
        )
    return written
