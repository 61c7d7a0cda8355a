"""A whole gateway between two memory ends: HTTP bytes in front, scripted children behind."""

from __future__ import annotations

import errno
import json
from collections.abc import Callable, Collection, Mapping
from functools import cached_property
from typing import Any

from attrs import define, evolve, field
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock

from mcpgateway.app.control import ControlParts, make_site
from mcpgateway.app.hub import HubDependencies, Keys, exposition_of, figures_of, make_hub
from mcpgateway.app.log import LogPipeline
from mcpgateway.backends.http.client import Web
from mcpgateway.config.diff import compare
from mcpgateway.config.gateway_settings import Circuit, GatewaySettings, Limits
from mcpgateway.config.model import Bridge, ServerSpec, Share
from mcpgateway.config.settings import Settings
from mcpgateway.errors import (
    BackendGone,
    ClientFilesFailed,
    GatewayError,
    LaunchFailed,
    NeedsAuthorization,
    Overloaded,
)
from mcpgateway.frontends.http.channel import Channel
from mcpgateway.frontends.http.channel_factory import ChannelFactory
from mcpgateway.frontends.http.guard import Guard
from mcpgateway.frontends.http.health import HealthEndpoint
from mcpgateway.frontends.http.legacy_sse import LegacySse
from mcpgateway.frontends.http.mcp import LegacyEndpoint
from mcpgateway.frontends.http.router import Root
from mcpgateway.hub.catalog.recorded import CatalogStore, Snapshots
from mcpgateway.hub.health.instruments import BLIND, Instruments
from mcpgateway.hub.owners.owners import Owners
from mcpgateway.hub.owners.reaper import Reaper
from mcpgateway.hub.probes.writes import Written
from mcpgateway.interfaces import (
    Gone,
    ISessionStore,
    Launch,
    Returned,
)
from mcpgateway.manage.client_files import ClientFiles
from mcpgateway.manage.credentials import CredentialStore
from mcpgateway.manage.logins import Logins
from mcpgateway.manage.tokens import TokenIssuer
from mcpgateway.observe.census import Census
from mcpgateway.observe.event_feed import EventHistory
from mcpgateway.policy.access import AccessPolicy, CredentialHolder
from mcpgateway.protocol.versions import Era
from mcpgateway.system.journal import Journal
from mcpgateway.system.token_files import TokenFiles
from mcpgateway.views.specs import NOTHING_KEPT, ViewStorage, view_specs
from tests.support.doors import MemoryTransport
from tests.support.scripted_http import MemoryNet
from tests.support.serverlogs import MemoryLog

HELLO: dict[str, Any] = {
    "protocolVersion": "2025-11-25",
    "capabilities": {"tools": {"listChanged": True}, "logging": {}, "tasks": {}},
    "serverInfo": {"name": "m"},
}

DISCOVERED: dict[str, Any] = {
    "resultType": "complete",
    "supportedVersions": ["2026-07-28"],
    "capabilities": {"tools": {"listChanged": True}, "resources": {"subscribe": True}, "logging": {}},
    "ttlMs": 0,
    "cacheScope": "private",
    "_meta": {"io.modelcontextprotocol/serverInfo": {"name": "m", "version": "1"}},
}


class MemoryChild:
    """A child whose stdin is a list and whose stdout is the test.

    :ivar received: every line written to it, decoded.
    :ivar launched: what it was started with.
    :ivar is_asleep: it is frozen.
    :ivar naps: how often it was frozen, and how often its memory was to be paged out.
    :ivar hangs: it answers nothing by itself, not even who it is.
    :ivar is_full: it reads nothing, and its stdin takes no more.
    :ivar lingers: fired by the test when a stubborn child has climbed down at last; None stops at once.
    """

    def __init__(
        self, pid: int, receiver: Any, hello: dict[str, Any] | None, eras: Collection[Era] = (Era.LEGACY,)
    ) -> None:
        self.pid = pid
        self.launched: Launch | None = None
        self._eras = eras
        self.received: list[dict[str, Any]] = []
        self.heard = 0
        self.hangs = self.is_asleep = False
        self.naps = [0, 0]
        self.is_killed = False
        self.is_stopping = False
        self.is_full = False
        self.lingers: Deferred[None] | None = None
        self._receiver = receiver
        self._hello = hello

    def write(self, line: bytes, *, now: bool = False) -> None:
        if self.is_stopping:
            raise BackendGone("its stdin is closed")
        if self.is_full:
            raise Overloaded("its stdin is full")
        self.thaw()
        assert line.endswith(b"\n")
        assert line.count(b"\n") == 1
        message = json.loads(line)
        self.received.append(message)
        if self.hangs:
            return
        if message.get("method") == "initialize" and self._hello is not None:
            self._greet(message, Era.LEGACY, self._hello)
        elif message.get("method") == "server/discover" and self._hello is not None:
            self._greet(message, Era.MODERN, DISCOVERED)

    def freeze(self) -> bool:
        self.is_asleep = True
        self.naps[0] += 1
        return True

    def thaw(self) -> None:
        self.is_asleep = False

    def page_out(self) -> bool:
        self.naps[1] += 1
        return True

    def _greet(self, message: dict[str, Any], era: Era, hello: dict[str, Any]) -> None:
        if era in self._eras:
            self.answer(message, hello)
            return
        code = -32601 if era is Era.MODERN else -32022
        self.say({"jsonrpc": "2.0", "id": message["id"], "error": {"code": code, "message": "not my era"}})

    def say(self, message: dict[str, Any]) -> None:
        """Write one message on its stdout."""
        self.heard += 1
        self._receiver.line_received(json.dumps(message, separators=(",", ":")).encode())

    def answer(self, request: dict[str, Any], result: Any) -> None:
        """Answer one request."""
        self.say({"jsonrpc": "2.0", "id": request["id"], "result": result})

    def asked(self, method: str) -> list[dict[str, Any]]:
        """The messages of one method it has received."""
        return [message for message in self.received if message.get("method") == method]

    def exit(self, code: int = 0, words: str = "") -> None:
        """End."""
        self._receiver.gone(Gone(code, None, words))

    def lose(self, why: Gone) -> None:
        """End like this."""
        self._receiver.gone(why)

    def stop(self) -> Deferred[None]:
        self.is_stopping = True
        if self.lingers is not None:
            return self.lingers
        self.exit()
        return succeed(None)

    def kill(self) -> None:
        self.is_killed = True

    def stderr_tail(self) -> str:
        return "last words"


@define
class MemoryLauncher:
    """Starts memory children.

    :ivar hello: what they answer to ``initialize``; None leaves that to the test.
    :ivar children: all of them, in order.
    :ivar refuses: none can be started.
    :ivar refusal: the same, for this reason.
    :ivar is_passing: that will pass by itself; else somebody has to do something about it.
    :ivar prepares: it is found out how they are best started; else that takes for ever.
    :ivar silent: the names of servers that never answer their handshake.
    :ivar eras: which eras a server speaks, by its name; where it is not named, the legacy one.
    """

    hello: dict[str, Any] | None = field(factory=lambda: dict(HELLO))
    children: list[MemoryChild] = field(factory=list)
    refuses: bool = False
    is_passing: bool = False
    refusal: GatewayError | None = None
    prepares: bool = True
    eras: dict[str, Collection[Era]] = field(factory=dict)
    silent: set[str] = field(factory=set)

    def prepare(self, launch: Launch) -> Deferred[Launch]:
        return succeed(launch) if self.prepares else Deferred()

    def launch(self, launch: Launch, receiver: Any) -> MemoryChild:
        if self.refusal is not None:
            raise self.refusal
        if self.refuses:
            why = OSError(errno.EAGAIN, "too many processes") if self.is_passing else None
            raise LaunchFailed(f"{launch.server}: the program was not found") from why
        eras = self.eras.get(launch.server, (Era.LEGACY,))
        hello = None if launch.server in self.silent else self.hello
        child = MemoryChild(1000 + len(self.children), receiver, hello, eras)
        child.launched = launch
        self.children.append(child)
        return child


@define
class MemoryProcesses:
    """A machine on which every process lives until the test ends it.

    :ivar dead: those that have ended.
    :ivar watched: those whose end is waited for.
    :ivar sockets: which process holds which socket.
    :ivar searches: what was asked about them.
    """

    dead: set[int] = field(factory=set)
    watched: dict[int, Any] = field(factory=dict)
    sockets: dict[int, int] = field(factory=dict)
    searches: list[set[int]] = field(factory=list)

    def is_alive(self, pid: int) -> bool:
        return pid not in self.dead

    def watch(self, pid: int, on_exit: Callable[[int], None]) -> bool:
        self.watched[pid] = on_exit
        return True

    def forget(self, pid: int) -> None:
        del self.watched[pid]

    def close(self) -> None:
        self.watched.clear()

    def holders(self, inodes: Collection[int]) -> Deferred[dict[int, int]]:
        """Which process holds each of these sockets."""
        self.searches.append(set(inodes))
        return succeed({inode: self.sockets[inode] for inode in inodes if inode in self.sockets})

    def exit(self, pid: int) -> None:
        """End a process."""
        self.dead.add(pid)
        told = self.watched.pop(pid, None)
        if told is not None:
            told(pid)


@define
class Answer:
    """An HTTP answer."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)

    @property
    def events(self) -> list[Any]:
        """The messages of a chunked event stream, as far as they have come; a primer has none."""
        data, text = self.body, b""
        while data:
            size, _, rest = data.partition(b"\r\n")
            text += rest[: int(size, 16)]
            data = rest[int(size, 16) + 2 :]
        return [json.loads(line[6:]) for line in text.split(b"\n") if line.startswith(b"data: {")]


class Client:
    """A connection that keeps its session."""

    def __init__(self, channel: Channel, path: str, headers: dict[str, str]) -> None:
        self.transport = MemoryTransport()
        self.channel = channel
        self.path = path
        self.headers = headers
        channel.makeConnection(self.transport)

    def send(self, body: Any, method: str = "POST", path: str = "", **headers: str) -> None:
        """Send one request; a dict as JSON."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        given = {"Host": "localhost:9100", "Content-Type": "application/json", **self.headers}
        given |= {name.replace("_", "-"): value for name, value in headers.items()}
        lines = [f"{name}: {value}\r\n" for name, value in given.items() if value]
        head = f"{method} {path or self.path} HTTP/1.1\r\n{''.join(lines)}Content-Length: {len(data)}\r\n\r\n"
        self.transport.taken = b""
        self.channel.dataReceived(head.encode() + data)

    @property
    def heard(self) -> Answer | None:
        """The answer to the last request, as far as it has come."""
        head, found, body = self.transport.taken.partition(b"\r\n\r\n")
        if not found:
            return None
        first, *lines = head.decode().split("\r\n")
        headers = dict(line.lower().split(": ", 1) for line in lines)
        return Answer(int(first.split(" ")[1]), headers, body)

    def ask(self, body: Any, method: str = "POST", path: str = "", **headers: str) -> Answer:
        """Send a request that is answered at once."""
        self.send(body, method, path, **headers)
        answer = self.heard
        assert answer is not None, "not answered yet"
        return answer

    def call(self, identifier: Any, method: str = "tools/call", **params: Any) -> None:
        """Send a JSON-RPC request."""
        self.send({"jsonrpc": "2.0", "id": identifier, "method": method, "params": params})

    def initialize(self, **params: Any) -> Answer:
        """Begin a session and keep its id."""
        answer = self.ask({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params})
        if "mcp-session-id" in answer.headers:
            self.headers["Mcp-Session-Id"] = (
                self.transport.taken.split(b"Mcp-Session-Id: ")[1].split(b"\r\n")[0].decode()
            )
        return answer


class MemoryGateway:
    """The house, wired as `service` wires it, on memory ends.

    :ivar net: where servers' own APIs are, with a time of its own.
    :ivar stops: each time that the gateway was to end.
    :ivar catalogs: what servers have answered before; a subclass may keep it.
    :ivar storage: what is kept of what happens on views; likewise.
    """

    catalogs: CatalogStore | None = None
    storage: ViewStorage = NOTHING_KEPT

    def __init__(  # noqa: PLR0913 - the parts that a test may replace
        self,
        *,
        policy: AccessPolicy | None = None,
        timeout_s: float = 0.0,
        limits: Limits | None = None,
        store: ISessionStore | None = None,
        more: tuple[ServerSpec, ...] = (),
        processes: MemoryProcesses | None = None,
        bridge: Bridge = Bridge.AUTO,
        circuit: Circuit | None = None,
        ping_s: float = 0.0,
        instruments: Instruments = BLIND,
        looks: bool = False,
        written: Written | None = None,
        settings: Settings | None = None,
    ) -> None:
        limits = limits or (settings.gateway.limits if settings is not None else Limits())
        self.clock = Clock()
        self.clock.advance(1_700_000_000)
        self.net = MemoryNet()
        self.stops: list[bool] = []
        self.events = EventHistory(100, 100_000)
        self.launcher = MemoryLauncher()
        servers = (
            ServerSpec(
                "shared",
                ("true",),
                {},
                "/",
                share=Share.GLOBAL,
                timeout_s=timeout_s,
                title="shared",
                source="a test",
            ),
            ServerSpec(
                "own",
                ("true",),
                {},
                "/",
                share=Share.SESSION,
                timeout_s=timeout_s,
                title="own",
                source="a test",
            ),
            *more,
        )
        self.store = store or Journal(":memory:", self.clock.seconds)
        self.processes = processes or MemoryProcesses()
        circuit = circuit or Circuit()
        gateway = GatewaySettings(limits=limits, bridge=bridge, circuit=circuit, ping_s=ping_s)
        settings = settings or Settings(gateway, servers)
        keys = Keys("a key of forty-three characters for the tests")
        self.observation = LogPipeline()
        self.logs = self.observation.serve(self.clock, lambda _: MemoryLog())
        outside = HubDependencies(
            self.launcher,
            self.clock,
            keys,
            self.store,
            self.processes.holders,
            instruments,
            Snapshots(self.catalogs, self.clock.seconds) if self.catalogs is not None else None,
            self.storage,
            self.logs.log_message,
            self.clock.seconds,
            looks=looks,
            redactor=self.observation.redactor,
            written=written,
        )
        self.hub = make_hub(settings, outside)
        self.sign_ins = MemorySignIns()
        self.helper_runs: list[tuple[str, ...]] = []
        self.answers_for_helper: Callable[..., Deferred[Any]] = _no_helper
        self.dispatcher = self.hub.dispatcher
        self.health = self.hub.health
        self.sessions = self.dispatcher.sessions
        self.reaper = Reaper(self.sessions, self.dispatcher, self.processes)
        self.owners = Owners(
            self.sessions, self.processes, self.processes, self.processes.holders, self.reaper.owner_ended
        )
        self.hub.claim = self.owners.claim
        self.door = LegacyEndpoint(self.dispatcher, self.owners, lambda: self.hub.modern_dispatcher)
        self.bearers = CredentialStore.of("bearer-token", "admin-token", seconds=self.clock.seconds)
        self.dispatcher.permits.scopes = self.bearers.scopes
        self.guard = guard = Guard(policy or AccessPolicy(), self.bearers)
        self.census = census = Census(
            self.dispatcher,
            self.health,
            self.hub.meters,
            0.0,
            lambda: 9100,
            auth=lambda: "loopback-trusted",
            clients=lambda: self.settings.adopted,
            is_disabled=lambda: self.root.is_disabled,
            saved=lambda: self.hub.usage.shown() if self.hub.usage is not None else {},
            groups=lambda: self.hub.views_config.gateway.groups.rules,
        )
        sse = LegacySse(self.dispatcher, self.owners, self.door.streams)
        self.settings = settings
        self.gather = None  # its servers stand in no file
        self.root = root = Root(
            (*settings.servers, *view_specs(self.hub.views_config)),
            self.door,
            lambda: sse,
            guard,
            limits,
            lambda: make_site(self.control),
            HealthEndpoint(census, lambda: exposition_of(self.hub, census)),
        )
        self.home = ""
        self.environ: dict[str, str] = {}
        self.clients = ClientFiles(self.ask_helper, self, root.switch, 9100)
        self.reload: Any = None
        self.home = ""
        self.factory = ChannelFactory(root)
        self.bearers.gone = self.factory.hang_up
        self.bearers.dashboards = self.judge_dashboard
        guard.changed = lambda: self.factory.hang_up_where(root.would_refuse)

    @cached_property
    def control(self) -> ControlParts:
        """The parts of the control plane, made for the first request to it."""
        return self.parts()

    def judge_dashboard(self, token: bytes) -> CredentialHolder:
        """The holder of a dashboard's token."""
        return self.control.judge_dashboard(token)

    def parts(self) -> ControlParts:
        """The parts of the control plane."""
        return ControlParts(
            dispatcher=self.dispatcher,
            bearers=self.bearers,
            owners=self.owners,
            clock=self.clock,
            base=lambda: "http://localhost:9100",
            limits=lambda: self.settings.gateway.limits,
            sign_ins=self.sign_ins,
            logins=lambda: Logins(self.dispatcher, self.health, self.clock, _no_accounts),
            clients=lambda: self.clients,
            issuing=lambda: TokenIssuer(self.bearers, TokenFiles(self.home, self.environ), self),  # type: ignore[arg-type]
            figures=lambda: figures_of(self.hub, self.census),
            savings=self.hub.savings,
            hub=self.hub,
            problems=tuple,
            redact=self.observation.redactor.redact,
            census=self.census,
            reload=self.reload or self,  # there are no files unless a test brings them
            home=self.home,
            environ=self.environ,
            launcher=self.launcher,
            port=lambda: 9100,
            tag_key=b"of a test",
            web=lambda: Web(self.net),
            newest=_no_package,
            connections=lambda: self.factory.connections,
            is_disabled=lambda: self.root.is_disabled,
            restart=lambda: False,
            stop=lambda: self.stops.append(True),
            judge_streams=lambda: self.factory.hang_up_where(self.root.would_refuse),
            access_tokens=lambda: self.guard.access_tokens,
            logs=self.logs,
            own_log=self.observation.own,
            events=self.observation.events,
            examine=self.ask_helper,
        )

    def ask_helper(self, *words: str) -> Deferred[Any]:
        """Run a command of the helper program, answered by the test."""
        self.helper_runs.append(words)
        return self.answers_for_helper(*words)

    def read_own(self) -> None:
        """Return no files."""

    def serve(self, *servers: ServerSpec) -> None:
        """Serve these from now on, as an edit of the configuration would have it."""
        self.apply(evolve(self.settings, servers=servers))

    def apply(self, settings: Settings) -> None:
        """Apply other settings, as an edit of the configuration would have it."""
        change = compare(self.settings, settings)
        self.settings = change.settings
        self.root.apply(change)
        self.hub.apply(change)

    def edit(self, name: str, **fields: Any) -> None:
        """Change the definition of one server."""
        self.serve(
            *(
                evolve(each, **{"env": dict(each.env), **(fields if each.name == name else {})})
                for each in self.settings.servers
            )
        )

    def client(self, server: str = "shared", **headers: str) -> Client:
        """A new connection to a server's endpoint."""
        return Client(self.factory.buildProtocol(None), f"/{server}/mcp", dict(headers))

    def view(self, path: str = "/mcp/full", **capabilities: Any) -> Client:
        """A new connection with a session of all servers."""
        client = Client(self.factory.buildProtocol(None), path, {})
        client.initialize(protocolVersion="2025-06-18", capabilities=capabilities)
        return client

    def session(self, server: str = "shared") -> Client:
        """A new connection with a session."""
        client = self.client(server)
        client.initialize(protocolVersion="2025-06-18")
        return client

    def listen(self, client: Client, **headers: str) -> Client:
        """A new connection on which a session's client listens to what is said outside of its calls."""
        ears = self.client(**client.headers)
        ears.path = client.path
        ears.send(b"", "GET", Accept="text/event-stream", **headers)
        return ears

    @property
    def child(self) -> MemoryChild:
        """The latest child."""
        return self.launcher.children[-1]

    def tick(self, times: int = 1) -> None:
        """Advance the clock by some seconds."""
        for _ in range(times):
            self.sessions.now += 1
            self.factory.sweep()
            self.door.streams.tick()
            self.owners.tick()
            self.dispatcher.pool.tick()
            self.dispatcher.calls.tick()
            self.dispatcher.questions.tick()
            self.hub.tick()
            self.health.tick()
            for slot in self.dispatcher.pool:
                slot.expire()
            self.clock.advance(1)


def _no_helper(*words: str) -> Deferred[Any]:
    return fail(ClientFilesFailed("there is no helper program here"))


async def _no_package(launch: Launch) -> str:
    raise AssertionError("no server here is a package")


def _no_accounts() -> Any:
    raise AssertionError("nobody signs in anywhere here")


@define
class MemorySignIns:
    """Takes what browsers bring back.

    :ivar finds: what becomes of it; where it is not said, nobody has asked.
    :ivar asked: what was brought.
    """

    finds: list[Returned] = field(factory=list)
    asked: list[Any] = field(factory=list)

    def returned(self, query: Mapping[str, str]) -> Deferred[Returned]:
        self.asked.append(query)
        return self._found()

    def agreed(self, key: str) -> Deferred[Returned]:
        self.asked.append(key)
        return self._found()

    def document(self) -> dict[str, Any] | None:
        return None

    def _found(self) -> Deferred[Returned]:
        if self.finds:
            return succeed(self.finds.pop(0))
        return fail(NeedsAuthorization("This answer belongs to no question of this gateway"))
