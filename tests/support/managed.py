"""A configuration that is managed by tools: real files, and servers whose trials are scripted."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from msgspec import Raw
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock

from mcpgateway.backends.validation import ValidationReport, ValidationStep
from mcpgateway.clientfiles.reader import enrolled_files
from mcpgateway.config.dotenv import parse_dotenv
from mcpgateway.config.merge import WorkspaceSpec
from mcpgateway.config.model import ServerSpec
from mcpgateway.discovery.records import Item, ListKind
from mcpgateway.errors import GatewayError, QuestionRefused
from mcpgateway.hub.repo_servers import Approvals
from mcpgateway.hub.workspaces import WorkspaceSettings
from mcpgateway.interfaces import Request
from mcpgateway.manage.install import Installer
from mcpgateway.manage.install_plans import InstallPlanner, InstallWorkspaces
from mcpgateway.manage.reload import Reload, ReloadState
from mcpgateway.manage.tools.family import management
from mcpgateway.manage.tools.tool import Management
from mcpgateway.owntools.status import GatewayStatus
from mcpgateway.owntools.tool import Builtin
from mcpgateway.protocol import jsonrpc
from mcpgateway.protocol.jsonrpc import own_request
from mcpgateway.system.fingerprint import Fingerprints
from mcpgateway.system.settings import LoadOptions, config_file, examine, gather
from mcpgateway.system.watch import FileWatch, no_notifier
from mcpgateway.system.workspaces import WorkspaceFinder
from tests.support.gateway_in_memory import MemoryGateway
from tests.support.gateway_tools import RecordingSink, ScriptedAccess, spec

CONFIG = """\
# mine
servers:
  a:  # the first
    command: run
    env: {TOKEN: "very secret"}
"""


class NamingView:
    """A view in which every tool has the usual name.

    :ivar servers: those it is of, but for those that its caller may use.
    """

    def __init__(self) -> None:
        self.servers: Callable[[], Iterable[ServerSpec]] = tuple

    @property
    def others(self) -> tuple[ServerSpec, ...]:
        return tuple(self.servers())

    @property
    def listing(self) -> NamingView:
        return self

    @property
    def names(self) -> NamingView:
        return self

    def name_of(self, item: Item) -> str:
        return f"{item.server}__{item.own}"


class Asked(ScriptedAccess):
    """A caller whose human is scripted.

    :ivar answer: what the human says; None where nobody can be asked.
    :ivar questions: what was asked.
    """

    def __init__(self, **more: Any) -> None:
        super().__init__(**more)
        self.view = NamingView()
        self.answer: dict[str, Any] | None = None
        self.questions: list[str] = []

    def rebuilt(self) -> Asked:
        return self

    def elicit(self, call: Request, params: dict[str, Any]) -> Deferred[dict[str, Any]]:
        if self.answer is None:
            return fail(QuestionRefused(-32601, "nobody to ask"))
        self.questions.append(params["message"])
        return succeed(self.answer)

    def yes(self) -> None:
        """The human agrees to everything."""
        self.answer = {"action": "accept", "content": {"confirm": True}}

    def tools(self, server: str, *names: str) -> None:
        """A server that the view shows lists these tools."""
        self.servers = (*self.servers, spec(server))
        self.lists[server] = tuple(Item(server, ListKind.TOOL, name, {}) for name in names)


class Managed:
    """A home with a configuration, and the tools that manage it.

    :ivar reports: what trying a server comes to, by its name; all others work.
    :ivar tried: the servers that were tried.
    :ivar visited: those whose tools were listed though no view shows them.
    """

    def __init__(self, home: Path, config: str | None = CONFIG, sources: tuple[str, ...] = ()) -> None:
        self.home = home
        self.file = home / "config.yaml"
        if config is not None:
            self.file.write_text(config)
        self.reports: dict[str, ValidationReport | Deferred[ValidationReport]] = {}
        self.tried: list[ServerSpec] = []
        self.visited: list[ServerSpec] = []
        self.access = Asked()
        self._clock = Clock()
        self._clock.advance(time.time() + 3600)
        self._options = LoadOptions(home=str(home), sources=sources, enrolled=enrolled_files)
        found = examine(self._options, {})
        assert found.settings is not None
        self.reload = Reload(
            found.settings,
            ReloadState(self._clock.seconds(), found.files),
            lambda: examine(self._options, {}),
            self._clock,
            Fingerprints(()),
            config_file(self._options, {}),
            lambda: gather(self._options, {}),
        )
        self.reload.begin(FileWatch(self._clock, no_notifier, self.reload.look))
        scopes = self._scopes()
        self.plans = InstallPlanner(self.reload, InstallWorkspaces(scopes), str(home))
        self.installing = Installer(self.reload, self.plans, self._try)
        self.access.view.servers = lambda: [
            each
            for each in self.reload.settings.servers
            if each.name not in [known.name for known in self.access.specs()]
        ]
        sight = GatewayStatus(
            lambda: self.reload.settings.servers, lambda _: {}, lambda _: 1, self.reload.state.shown
        )
        self.builtin = Builtin(management(lambda: Management(sight, self.installing, self._visit)))

    @classmethod
    def again(cls, home: Path) -> Managed:
        """The same with the files as they are, as after a start."""
        return cls(home, None)

    def _scopes(self) -> Any:
        scopes = MemoryGateway().dispatcher.scopes
        places = WorkspaceFinder((), str(self.home.parent), self._clock.seconds)
        scopes.configure(WorkspaceSettings(places, (), _workspace, lambda server, _: server, lambda _: False))
        world = self.reload.settings.world
        assert world is not None
        names = [each.name for each in self.reload.settings.servers]
        scopes.repositories = Approvals(str(self.home), world, scopes.workspace, lambda: names, lambda: 0.0)
        return scopes

    def _try(self, server: ServerSpec) -> Deferred[ValidationReport]:
        self.tried.append(server)
        found = self.reports.get(server.name, worked(server.name))
        return found if isinstance(found, Deferred) else succeed(found)

    async def _visit(self, server: ServerSpec, principal: str) -> list[str]:
        self.visited.append(server)
        return ["own"]

    @property
    def text(self) -> str:
        """The configuration file."""
        return self.file.read_text()

    @property
    def names(self) -> list[str]:
        """The servers in force."""
        return [each.name for each in self.reload.settings.servers]

    def ask(self, tool: str, *, is_admin: bool = False, **arguments: Any) -> RecordingSink:
        """Call a tool; what has become of it so far."""
        sink = RecordingSink()
        call = Request(None, own_request("tools/call", identifier=b"7"), None, sink, is_admin=is_admin)
        found = self.builtin.find(f"gateway_{tool}")
        assert found is not None
        members: dict[str, Raw] = {name: jsonrpc.raw(value) for name, value in arguments.items()}
        try:
            found.call(call, members, self.access)
        except GatewayError as why:
            from mcpgateway.owntools import answers

            answers.failed_by(call, why)
        return sink


def worked(name: str) -> ValidationReport:
    """A trial that has passed."""
    return ValidationReport(
        name,
        (ValidationStep("connect", True, 0.1, "x 1"), ValidationStep("list_tools", True, 0.1, "2 tools")),
    )


def failed(name: str, detail: str, why: GatewayError | None = None) -> ValidationReport:
    """A trial that has failed."""
    return ValidationReport(name, (ValidationStep("connect", False, 0.1, detail, why),))


def said(sink: RecordingSink) -> dict[str, Any]:
    """Return the result of a tool's call, which must have succeeded."""
    assert not sink.failures
    assert "isError" not in sink.result, sink.value
    found: dict[str, Any] = sink.value
    return found


def refused(sink: RecordingSink) -> dict[str, Any]:
    """Return the error of a tool's call, which must have failed."""
    assert not sink.failures
    assert sink.result["isError"] is True, sink.value
    found: dict[str, Any] = sink.value
    return found


def repository(directory: Path, text: str | None = None) -> Path:
    """A workspace, with its own file."""
    (directory / ".git").mkdir(parents=True)
    if text is not None:
        (directory / ".mcp.json").write_text(text)
    return directory


def _workspace(path: str) -> WorkspaceSpec:
    file = Path(path, ".env")
    return WorkspaceSpec(path, parse_dotenv(file.read_text(), str(file)) if file.exists() else {})
