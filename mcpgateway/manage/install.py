"""Install a server into a configuration: validate it, write its entry, list its tools.

# Note [Nothing is there by halves]
An installation has succeeded when the new server has listed its tools, through the same code as calls.  So the server
is validated before any file is written, with its future definition, and connected clients never see a server that does
not work.  A written entry is removed again when the server fails after all: byte for byte, unless another program has
written to the file meanwhile, whose changes then stay.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from attrs import field, frozen
from twisted.internet.defer import Deferred, DeferredLock
from twisted.logger import Logger

from mcpgateway.backends.validation import ValidationReport
from mcpgateway.clientfiles.reader import read_repository
from mcpgateway.config.edit.change import runs_here
from mcpgateway.config.edit.edits import Edit, KeyPath, Put, Remove, key_path_to
from mcpgateway.config.edit.file_text import edit
from mcpgateway.config.edit.overlays import OverlayPlace
from mcpgateway.config.model import ServerSpec
from mcpgateway.config.read import parse
from mcpgateway.credentials.commands import put_values
from mcpgateway.errors import (
    BackendError,
    ConfigError,
    GatewayError,
    NeedsAuthorization,
    NotOurs,
    Overloaded,
)
from mcpgateway.manage.config_edits import carry_out, lay_over, place_of_overlay
from mcpgateway.manage.install_plans import LIST, InstallPlan, InstallPlanner, edited, read_text, with_entry
from mcpgateway.manage.reload import Reload
from mcpgateway.manage.secret_values import KeptSecrets, kept, notes_of, of_header, owners
from mcpgateway.policy.remote_policy import check_may_run
from mcpgateway.policy.secrets.masking import secrets_of
from mcpgateway.policy.secrets.redaction import quoted
from mcpgateway.system import approvals
from mcpgateway.system.removed_servers import keep
from mcpgateway.system.write_back import write_back

INSTALL_S = 300.0  # a large package on a slow line
CONNECT_S = 120.0  # a runner that has to download its package sends no message before
WAITING_LIMIT = 20  # installations that wait for each other

TryOut = Callable[[ServerSpec], Deferred[ValidationReport]]
"""Tries a server and ends it; fires with what was found, and never fails (`mcpgateway.backends.validation`)."""

ListTools = Callable[[ServerSpec], Awaitable[Sequence[str]]]
"""Has a server's tools listed under the names by which calls reach them; fires with these names."""


@frozen
class InstallOutcome:
    """The outcome of an installation.

    :ivar tools: names of the server's tools.
    :ivar was_there: True if no file was changed.
    """

    plan: InstallPlan
    tools: tuple[str, ...]
    was_there: bool = False


@frozen
class _Written:
    """A change of a file that can be undone.

    :ivar before: the file's former text; None if it did not exist.
    """

    file: str
    key_path: KeyPath
    before: str | None = field(repr=False)
    after: str = field(repr=False)


class Installer:
    """Installs servers one after the other, and changes what is installed.

    :ivar plans: planner of the installations.
    :ivar try_out: validates a server, such as before its installation.
    """

    log = Logger()

    def __init__(self, reload: Reload, plans: InstallPlanner, try_out: TryOut) -> None:
        self.plans = plans
        self._reload = reload
        self.try_out = try_out
        self._lock = DeferredLock()

    def check_may_run(self, principal: str, definition: Mapping[str, Any]) -> None:
        """Check that a principal may decide which programs this machine runs.

        :raise NotEntitled: the principal may not.
        """
        check_may_run(principal, self._reload.settings.gateway, is_run_here=runs_here(definition))

    def install(self, plan: InstallPlan, list_tools: ListTools) -> Deferred[InstallOutcome]:
        """Carry out a plan; fires when the server's tools are listed, or fails with all files unchanged.

        :raise GatewayError: (through the Deferred) the server does not work; the text says why.
        """
        if len(self._lock.waiting) >= WAITING_LIMIT:
            raise Overloaded("too many installations are waiting", "try again when some of them are done")

        def install() -> Deferred[InstallOutcome]:
            return Deferred.fromCoroutine(self._install(plan, list_tools))

        return self._lock.run(install)

    async def _install(self, plan: InstallPlan, list_tools: ListTools) -> InstallOutcome:
        # Other servers may have been installed since the plan was made.
        plan = self.plans.plan(plan.name, plan.definition, plan.root)
        if plan.is_there:
            return InstallOutcome(plan, tuple(await list_tools(plan.spec)), was_there=True)
        report = await self.try_out(plan.spec)
        if not report.passed:
            raise _failed(plan, report)
        written = self._write(self.plans.plan(plan.name, plan.definition, plan.root))
        try:
            tools = tuple(await list_tools(self.plans.served(plan)))
        except Exception as why:
            self._take_back(written, plan)
            if isinstance(why, GatewayError):
                raise BackendError(f"{plan.name} was not installed: {why.message}", why.hint) from why
            raise
        self.log.info(
            "{server} was installed into {file}", event="server.installed", server=plan.name, file=plan.file
        )
        return InstallOutcome(plan, tools)

    def settled(self) -> Deferred[None]:
        """Fire when changes of files that are under way have been read, such as a value that a new server needs."""
        return self._reload.look_soon()

    def put(self, plan: InstallPlan) -> None:
        """Carry out a plan without validating the server.

        :raise GatewayError: the entry cannot be written; no file was changed.
        """
        self._write(plan)
        self.log.info("{server} was added to {file}", event="server.added", server=plan.name, file=plan.file)

    def _write(self, plan: InstallPlan) -> _Written:
        before = read_text(plan.file)
        if plan.root:
            definition = plan.definition
            write_back(
                plan.file, lambda text: with_entry(text, plan.file, plan.name, definition), is_repository=True
            )
            self.plans.workspaces.approve(plan.root, approvals.digest_of(plan.file))
            key_path: KeyPath = (LIST, plan.name)
        else:
            key_path = key_path_to(parse(before or "", plan.file).value, plan.name)
            carry_out(self._reload, Put((plan.name,), dict(plan.definition)))
        return _Written(plan.file, key_path, before, read_text(plan.file) or "")

    def _take_back(self, written: _Written, plan: InstallPlan) -> None:
        try:
            self._restore(written)
            if plan.root and written.before is not None:
                self.plans.workspaces.approve(plan.root, approvals.digest_of(plan.file))
        except (GatewayError, OSError) as why:
            self.log.error(
                "{server} could not be removed from {file} again: {why}",
                event="server.not_taken_back",
                server=plan.name,
                file=plan.file,
                why=str(why),
            )
        if not plan.root:
            self._reload.read_own()

    def _restore(self, written: _Written) -> None:
        if written.before is None and read_text(written.file) == written.after:
            os.unlink(written.file)
            return

        def restored(text: str) -> str:
            if text == written.after and written.before is not None:
                return written.before
            return edit(text, written.file, Remove(written.key_path))

        write_back(written.file, restored)

    def change(self, changes: Sequence[Edit], root: str = "") -> str:
        """Change the entry of a server, in the configuration or in a workspace's own file; return the file.

        :param changes: all at once; their paths begin with the server's name.
        :raise GatewayError: no changeable file has the entry, or the change is not permitted; no file was changed.
        """
        name = changes[0].key_path[0]
        if root:
            file = self._change_own(name, changes, root)
        else:
            file = self.plans.home_of(name)
            carry_out(self._reload, *changes)
        self.log.info("{server} was changed in {file}", event="server.edited", server=name, file=file)
        return file

    def overlay_of(self, name: str) -> OverlayPlace | None:
        """Return the place for changes of a server that another program's file defines; None for the gateway's own.

        :raise GatewayError: no server has that name, or the gateway has no file for it.
        """
        blueprint = self._reload.settings.blueprints.get(name)
        is_ours = (
            self.plans.workspaces.named(name) is None if blueprint is None else blueprint.entry.origin.is_ours
        )
        return None if is_ours else place_of_overlay(self._reload, name)

    def laid_over(self, name: str) -> OverlayPlace | None:
        """Return the place of the overlay over a server; None where none lies over it."""
        try:
            place = place_of_overlay(self._reload, name)
        except NotOurs:
            return None
        return place if place.key_path else None

    def lay_over(self, name: str, place: OverlayPlace, changes: Sequence[Edit]) -> bool:
        """Change the overlay over a server; return false if it was so already.

        :raise GatewayError: the change is not permitted; no file was changed.
        """
        is_other = lay_over(self._reload, name, place, changes)
        if is_other:
            self.log.info(
                "{server} was changed by an overlay in {file}",
                event="server.edited",
                server=name,
                file=place.file,
            )
        return is_other

    async def keep_secrets(
        self, name: str, env: Mapping[str, str], headers: Mapping[str, str]
    ) -> tuple[KeptSecrets, KeptSecrets, str]:
        """Write the secrets among new variables and headers of a server into the gateway's own file of values.

        :return: the variables and the headers for the entry, and the file; it is empty where the gateway can write
            none, and the values stay in the entry then.
        """
        reload = self._reload
        as_given = KeptSecrets(env), KeptSecrets(headers), ""
        if reload.values_file is None or reload.refusal:
            return as_given
        file = reload.values_file()
        there, whose = self.plans.world.variables, owners(file, reload.settings.blueprints)
        own = kept(name, env, self._texts(name, "env"), there, whose)
        sent = kept(name, headers, self._texts(name, "headers"), {**there, **own.values}, whose, of_header)
        values = {**own.values, **sent.values}
        if not values:
            return as_given
        try:
            await reload.in_thread(put_values, file, values, notes_of(values, name))
        except ConfigError as why:
            self.log.warn("{why}", event="server.secret_not_kept", why=why.message)
            return as_given
        reload.read_own()
        return own, sent, file

    def _texts(self, name: str, key: str) -> dict[str, str]:
        """Return the variables or the headers of the present entry of a server."""
        whole = self.plans.whole_of(name)
        found = whole.get(key) if isinstance(whole, Mapping) else None
        return {each: str(text) for each, text in found.items()} if isinstance(found, Mapping) else {}

    def values_left_by(self, name: str) -> tuple[tuple[str, ...], str]:
        """Return the values that were kept for a server and that no other server refers to, and their file."""
        if self._reload.values_file is None:
            return (), ""
        file = self._reload.values_file()
        return owners(file, self._reload.settings.blueprints).left_by(name), file

    def remove(self, name: str, root: str = "") -> tuple[str, str]:
        """Remove a server; return its file, and the file that keeps the removed entry.

        :raise GatewayError: it cannot be removed; no file was changed.
        """
        copy = keep(self.plans.home, name, self.plans.definition_of(name, root))
        try:
            return self.change((Remove((name,)),), root), copy
        except GatewayError:
            os.unlink(copy)
            raise

    def _change_own(self, name: str, changes: Sequence[Edit], root: str) -> str:
        repository = self.plans.own_of(name, changes, root)
        path = repository.path
        former = write_back(path, lambda text: edited(text, path, changes, (LIST, name)), is_repository=True)
        try:
            left = {each.title for each in read_repository(path, self.plans.home).entries}
            gone = any(isinstance(each, Remove) and len(each.key_path) == 1 for each in changes)
            if len(left) < len(repository.entries) - gone:
                raise ConfigError(f"nothing was changed: {name} could not be run like this")
        except ConfigError:
            former.restore()
            raise
        self.plans.workspaces.approve(root, approvals.digest_of(path))
        return path


def _failed(plan: InstallPlan, report: ValidationReport) -> GatewayError:
    step = next(each for each in report.steps if not each.passed)
    if isinstance(step.why, NeedsAuthorization):
        return NeedsAuthorization(
            step.why.message,
            "let its user open that URL in a browser on the gateway's machine, then install it again",
            step.why.data,
        )
    detail = quoted(step.detail, secrets_of(plan.spec.env, plan.spec.command))
    return BackendError(
        f"{plan.name} was not installed, and nothing was changed: {step.name}: {detail}",
        "correct its definition, or what it needs, and install it again",
    )
