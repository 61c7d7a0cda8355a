"""A server with a port of its own: started once or adopted, shared by its sessions, and reached by its URL.

# Note [Whose a daemon is]
A daemon that this gateway starts ends with it, as every child does: the guardian ends it even if the gateway is killed.
A daemon that ran before is adopted: the gateway uses it and never ends it, nor any other process that holds the port.

# Note [One port, one environment]
A port has room for one process, and a process has one environment.  A launch with another command or other variables,
such as the token of another workspace, never gets the running daemon: it waits for the daemon's end, as after a change
of the configuration, and fails if the daemon does not end.
"""

from __future__ import annotations

from collections import deque
from typing import Any, Protocol

from attrs import evolve
from msgspec.structs import replace
from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure

from mcpgateway.backends.http.client import Web
from mcpgateway.backends.probe import is_open, speaks_mcp
from mcpgateway.config.reach_settings import Daemon, Remote
from mcpgateway.errors import BackendError, BackendGone, GatewayError, LaunchFailed, Overloaded, Unreachable
from mcpgateway.escaping import one_line
from mcpgateway.inherited import Inherited, InheritedDaemon
from mcpgateway.interfaces import Gone, IBackend, IDaemonLocks, ILauncher, ILineReceiver, Launch, going_on
from mcpgateway.policy.secrets.masking import secrets_of
from mcpgateway.policy.secrets.redaction import quoted
from mcpgateway.units import duration
from mcpgateway.waiting import Waiting

CONNECT_S = 10.0  # from the launch of a daemon until its port answers, if its entry does not say
LOOK_S, LOOK_LIMIT_S = 0.05, 0.5  # between two attempts to connect to the port, increasing
WAITING_LIMIT = 1000  # messages for a daemon that is not reached yet
WAITING_BYTES = 16 * 2**20
LINGER_S = 2.0  # a daemon is kept running between the probe of its era and the first session
TAIL_LINES, TAIL_CHARS, TAIL_BYTES = 50, 500, 2048  # more than is shown, since a cut secret is not recognised


class ReachRemote(Protocol):
    """A function that reaches a server by URL."""

    def __call__(self, launch: Launch, receiver: ILineReceiver) -> IBackend:
        """Begin a session at the URL of a launch."""


def _nobody(*, has_spoken: bool) -> None:
    """Return no program: the entry is started as it is written."""


async def prepare_daemon(reactor: Any, programs: ILauncher, launch: Launch) -> Launch:
    """Find the program that a package runner would start, unless the port is already served; return the launch.

    A download that this needs does not count in the time that the program has to open its port.
    """
    assert isinstance(launch.reach, Daemon)
    if not await is_open(reactor, launch.reach.url, launch.reach.port):
        await programs.prepare(evolve(launch, reach=None))
    return launch


class Daemons:
    """The daemons of one gateway, each shared by any number of backends."""

    def __init__(self, reactor: Any, programs: ILauncher, web: Web, locks: IDaemonLocks) -> None:
        self.reactor = reactor
        self.programs = programs
        self.web = web
        self.locks = locks
        self._running: list[_Daemon] = []  # the eldest first

    def of(self, launch: Launch, reach: Daemon) -> _Daemon:
        """Return the daemon of a launch, started or not."""
        for each in self._running:
            if not each.is_over and each.is_of(launch, reach):
                return each
        made = _Daemon(self, launch, reach)
        self._running.append(made)
        return made

    def before(self, daemon: _Daemon) -> list[_Daemon]:
        """Return the older daemons that have the same port, or are to have it."""
        elder = self._running[: self._running.index(daemon)] if daemon in self._running else []
        return [each for each in elder if each.reach.port == daemon.reach.port and _same_server(each, daemon)]

    def forget(self, daemon: _Daemon) -> None:
        """Forget a daemon that has ended."""
        if daemon in self._running:
            self._running.remove(daemon)


def _same_server(one: _Daemon, other: _Daemon) -> bool:
    return one.launch.server == other.launch.server


class _Daemon:
    """One server with a port of its own, as far as this gateway uses it.

    :ivar child: its process, if the gateway has started it.
    :ivar is_over: True once it is being stopped or has ended.
    """

    log = Logger()

    def __init__(self, all_of_them: Daemons, launch: Launch, reach: Daemon) -> None:
        self.launch = launch
        self.reach = reach
        self.child: IBackend | None = None
        self.is_over = False
        self._all = all_of_them
        self._users: list[DaemonBackend] = []
        self._ready = Waiting[None]()
        self._starting: Deferred[None] | None = None
        self._is_up = False
        self._ended: Gone | None = None
        self._connect_s = launch.connect_s or CONNECT_S
        self._output: deque[bytes] = deque(maxlen=TAIL_LINES)
        self._is_stopping = False
        self._is_cleared = False
        self._is_locked = False
        self._left: Inherited | None = None
        self._hidden = secrets_of(launch.env, launch.argv)
        self._stopped = Waiting[None]()

    def is_of(self, launch: Launch, reach: Daemon) -> bool:
        """Return whether a launch would start this daemon. See Note [One port, one environment]."""
        own = self.launch
        return (own.server, own.argv, own.env, self.reach) == (
            launch.server,
            launch.argv,
            launch.env,
            reach,
        )

    def enter(self, user: DaemonBackend) -> Deferred[None]:
        """Count a backend in; fires when the daemon can be reached.

        :raise GatewayError: (through the Deferred) the daemon does not start, or its port does not answer.
        """
        self._users.append(user)
        if self._is_up:
            return succeed(None)
        ready = self._ready.wait()
        if self._starting is None:
            self._starting = Deferred.fromCoroutine(self._bring_up())
            self._starting.addCallbacks(self._came_up, self._failed)
        return ready

    @property
    def goes_on(self) -> bool:
        """True if the next program of this process can take it over."""
        is_lasting = self.child is None or self._left is not None or going_on(self.child) is not None
        return self._is_up and not self.is_over and is_lasting

    def hand_over(self) -> Inherited | None:
        """Return its process for the next program of this process, and leave it alone; None if it was adopted."""
        child = going_on(self.child) if self._left is None else None
        if child is not None:
            self._left = child.hand_over()
        return self._left

    def take_over(self, user: DaemonBackend, child: Inherited | None) -> None:
        """Count in a backend of the former program of this process, and take over the process with the first.

        :raise LaunchFailed: the process has ended.
        """
        if not self._is_up and child is not None:
            launch = evolve(self.launch, reach=None, is_heard=False, told=None, inherited=child)
            try:
                self.child = self._all.programs.launch(launch, self)
            except GatewayError:
                self.is_over = True
                self._all.forget(self)
                raise
            self._note(self.child)
        self._users.append(user)
        self._came_up(None)

    def leave(self, user: DaemonBackend) -> Deferred[None]:
        """Count a backend out; after the last one the gateway stops its own daemon, and this fires at its end."""
        if user in self._users:
            self._users.remove(user)
        if self._users and not self.is_over:
            return succeed(None)
        return self.stop()

    def drop(self, user: DaemonBackend, *, is_well: bool) -> None:
        """Count a backend out without waiting: after the last one the gateway kills its own daemon.

        :param is_well: the daemon has answered: it is kept for `LINGER_S`, for a caller that asks again,
            such as in the other era.
        """
        if user in self._users:
            self._users.remove(user)
        if is_well and self._is_up:
            self._all.reactor.callLater(LINGER_S, self._kill_unused)
        else:
            self._kill_unused()

    def _kill_unused(self) -> None:
        if self._users or self.is_over:
            return
        self.is_over = True
        if self.child is not None:
            self.child.kill()
        self.stop()

    async def _bring_up(self) -> None:
        locks, port = self._all.locks, self.reach.port
        server, transport = self.launch.server, self.reach.transport.value
        looked = 0.0
        await self._wait_for_others()
        while True:
            is_open = await self._is_open()
            lock = locks.find(server, port)
            if is_open:
                await self._adopt(is_known=lock is not None)
                return
            if lock is None and locks.claim(server, port, transport):
                self._is_locked = True
                await self._start()
                return
            # Another process is starting it, or has it and is busy.
            if looked >= self._connect_s:
                raise Unreachable(
                    f"{server}: its lock says that process {lock.pid if lock else 0} serves port {port},"
                    f" where nothing has answered for {duration(self._connect_s)}"
                )
            await deferLater(self._all.reactor, LOOK_LIMIT_S)
            looked += LOOK_LIMIT_S

    async def _wait_for_others(self) -> None:
        waited = 0.0
        while others := self._all.before(self):
            if others[0].is_over:
                await others[0].stop()
                continue
            if waited >= self._connect_s:
                raise LaunchFailed(
                    f"{self.launch.server}: port {self.reach.port} is in use by the same server with another command or"
                    " environment, as of another workspace",
                    "give each workspace an entry with a port of its own",
                )
            await deferLater(self._all.reactor, LOOK_LIMIT_S)
            waited += LOOK_LIMIT_S

    async def _adopt(self, *, is_known: bool) -> None:
        if not is_known and not await speaks_mcp(self._all.reactor, self._all.web, self.reach):
            holder = await self._all.locks.holder(self.reach.port)
            by = f" by {holder}" if holder else ""
            raise LaunchFailed(
                f"{self.launch.server}: port {self.reach.port} is taken{by}, which does not speak MCP there",
                "stop that program, or give the server another port",
            )
        self.log.info(
            "{server} already runs at port {port} and is adopted",
            event="daemon.adopted",
            server=self.launch.server,
            port=self.reach.port,
        )

    async def _start(self) -> None:
        server, port = self.launch.server, self.reach.port
        # `prepare_daemon` has found the program already, so this takes no time.
        prepared: Launch = await self._all.programs.prepare(evolve(self.launch, reach=None))
        works = prepared.told or _nobody
        try:
            launch = evolve(
                prepared, is_heard=False, told=None
            )  # its output shows nothing of its health: it is a log
            self.child = self._all.programs.launch(launch, self)
        except GatewayError:
            self._unlock()
            works(has_spoken=False)
            raise
        self._note(self.child)
        self.log.info(
            "{server} was started for port {port}", event="daemon.started", server=server, port=port
        )
        begun, pause = self._all.reactor.seconds(), LOOK_S
        while not await self._is_open():
            if self._ended is not None:
                works(has_spoken=False)
                raise LaunchFailed(
                    f"{server} ended before it served port {port} ({self._ended})", self.tail()
                )
            if self._all.reactor.seconds() - begun >= self._connect_s:
                raise LaunchFailed(
                    f"{server} did not serve port {port} within {duration(self._connect_s)}", self.tail()
                )
            await deferLater(self._all.reactor, pause)
            pause = min(1.5 * pause, LOOK_LIMIT_S)
        works(has_spoken=True)

    def _note(self, child: IBackend) -> None:
        self._is_locked = True
        self._all.locks.started(self.launch.server, child.pid, self.reach.port, self.reach.transport.value)

    async def _is_open(self) -> bool:
        found = await is_open(self._all.reactor, self.reach.url, self.reach.port)
        if self.is_over:
            raise BackendGone(f"{self.launch.server} is being stopped")
        return found

    def _came_up(self, _: None) -> None:
        self._is_up = True
        self._ready.over(None)

    def _failed(self, why: Failure) -> None:
        self.is_over = True
        if self.child is not None:
            self.child.kill()
        self.stop()
        if not why.check(GatewayError, CancelledError):
            self.log.failure("{server} broke", why, event="daemon.broken", server=self.launch.server)
        is_known = why.check(GatewayError)
        self._ready.over(why if is_known else Failure(BackendError("it could not be started")))

    def stop(self) -> Deferred[None]:
        """Stop the daemon if the gateway has started it; fires when none of its processes is left."""
        self.is_over = True
        if not self._is_stopping:
            self._is_stopping = True
            if self._starting is not None and not self._starting.called:
                self._starting.cancel()
            ending = self.child.stop() if self.child is not None and self._left is None else succeed(None)
            ending.addBoth(self._cleared)
        if self._is_cleared:
            return succeed(None)
        return self._stopped.wait()

    def _cleared(self, _: object) -> None:
        self._is_cleared = True
        self._unlock()
        self._all.forget(self)
        self._stopped.over(None)

    def _unlock(self) -> None:
        # A refused start must not release the lock of the running one.
        if self._is_locked and self._left is None:
            self._is_locked = False
            self._all.locks.release(self.launch.server)

    def line_received(self, line: bytes) -> None:
        """Receive a line of the daemon's stdout, which is a log."""
        self._output.append(line[:TAIL_BYTES])

    def line_overflowed(self, head: bytes, limit: int) -> None:
        """Note that a line of the log has no end; the process is being killed."""
        self.log.error(
            "{server} wrote more than {limit} bytes without a newline and is stopped",
            event="child.line_too_long",
            server=self.launch.server,
            limit=limit,
        )

    def gone(self, why: Gone) -> None:
        """Note the end of the daemon's process."""
        self._ended = replace(why, last_words=self.tail())
        if not self._is_up:
            return  # the wait for its port fails
        self.is_over = True
        users, self._users = self._users, []
        for each in users:
            each.daemon_gone(self._ended)
        self.stop()

    def tail(self) -> str:
        """Return the last lines that the daemon wrote to stdout and stderr."""
        errors: str = self.child.stderr_tail() if self.child is not None else ""
        lines = (quoted(each.decode(errors="replace"), self._hidden)[:TAIL_CHARS] for each in self._output)
        return "\n".join([*map(one_line, lines), *([errors] if errors else [])])


class DaemonBackend:
    """A session at a daemon."""

    def __init__(
        self, daemons: Daemons, reach_remote: ReachRemote, launch: Launch, receiver: ILineReceiver
    ) -> None:
        assert isinstance(launch.reach, Daemon)
        self.server = launch.server
        self._launch = launch
        self._reach_remote = reach_remote
        self._receiver = receiver
        self._reactor = daemons.reactor
        self._remote: IBackend | None = None
        self._waiting: list[bytes] = []
        self._waiting_bytes = 0
        self._is_stopping = False
        self._is_told = False
        self._lines = 0
        self._daemon = daemons.of(launch, launch.reach)
        if isinstance(launch.inherited, InheritedDaemon):
            self._daemon.take_over(self, launch.inherited.child)
            self._begin(launch.inherited.session)
        else:
            self._daemon.enter(self).addCallbacks(self._entered, self._refused)

    @property
    def pid(self) -> int:
        """The daemon's process id, if the gateway has started it; else 0."""
        child = self._daemon.child
        return 0 if child is None else child.pid

    @property
    def heard(self) -> int:
        """The number of messages, and of writes to stderr if the gateway has started the daemon."""
        child = self._daemon.child
        return self._lines + (0 if child is None else child.heard)

    def _entered(self, _: None) -> None:
        if self._is_stopping or self._is_told:
            return
        try:
            remote = self._begin(None)
            waiting, self._waiting = self._waiting, []
            for line in waiting:
                remote.write(line)
        except GatewayError as why:
            self._lose(Gone(fault=why.message))

    def _begin(self, former: Inherited | None) -> IBackend:
        reach = self._daemon.reach
        launch = evolve(self._launch, reach=Remote(reach.url, reach.transport), inherited=former)
        self._remote = remote = self._reach_remote(launch, self)
        return remote

    @property
    def goes_on(self) -> bool:
        """True if the next program of this process can take the session over."""
        is_lasting = going_on(self._remote) is not None and self._daemon.goes_on
        return is_lasting and not self._is_stopping

    def keeps(self, number: int) -> bool:
        """Return whether a call under way goes on with the session."""
        remote = going_on(self._remote)
        return remote is not None and remote.keeps(number)

    def hand_over(self) -> InheritedDaemon:
        """Return the session for the next program of this process, with the daemon's process, and leave both alone."""
        remote, self._remote, self._is_stopping = going_on(self._remote), None, True
        assert remote is not None
        return InheritedDaemon(remote.hand_over(), self._daemon.reach.port, self._daemon.hand_over())

    def _refused(self, why: Failure) -> None:
        why.trap(GatewayError)
        is_unreachable = why.check(Unreachable) is not None
        self._lose(Gone(None, None, _hint(why.value), why.getErrorMessage(), is_unreachable))

    def write(self, line: bytes, *, now: bool = False) -> None:
        """Send one message, or queue it until the daemon is reached.

        :raise Overloaded: too many messages wait.
        :raise BackendGone: the daemon has ended, or is being stopped.
        """
        if self._is_stopping or self._is_told:
            raise BackendGone(f"{self.server} is not running")
        if self._remote is not None:
            self._remote.write(line, now=now)
            return
        self._waiting_bytes += len(line)
        if len(self._waiting) >= WAITING_LIMIT or self._waiting_bytes > WAITING_BYTES:
            raise Overloaded(f"too much waits for {self.server} to start")
        self._waiting.append(line)

    def line_received(self, line: bytes) -> None:
        """Receive a message of the daemon's."""
        self._lines += 1
        if not self._is_told:
            self._receiver.line_received(line)

    def line_overflowed(self, head: bytes, limit: int) -> None:
        """Report a message of the daemon's that is too large."""
        if not self._is_told:
            self._receiver.line_overflowed(head, limit)

    def gone(self, why: Gone) -> None:
        """Report the loss of the session; the next user of a daemon without other sessions restarts it."""
        self._remote = None
        if not self._is_stopping:
            self._daemon.leave(self)
            self._tell(why)

    def daemon_gone(self, why: Gone) -> None:
        """Report the end of the daemon itself."""
        remote, self._remote = self._remote, None
        if remote is not None:
            remote.kill()
        self._tell(why)

    def stop(self) -> Deferred[None]:
        """End the session, then the gateway's own daemon if it has no other user; fires when both are done."""
        return Deferred.fromCoroutine(self._stop())

    async def _stop(self) -> None:
        self._is_stopping = True
        if self._remote is not None:
            await self._remote.stop()
        await self._daemon.leave(self)
        self._tell(Gone(0))

    def kill(self) -> None:
        """Drop the session, and the gateway's own daemon if it has no other user."""
        self._lose(Gone(0, None, self._daemon.tail()))

    def _lose(self, why: Gone) -> None:
        self._is_stopping = True
        remote, self._remote = self._remote, None
        if remote is not None:
            remote.kill()
        self._daemon.drop(self, is_well=self._lines > 0)
        self._reactor.callLater(0, self._tell, why)

    def _tell(self, why: Gone) -> None:
        if not self._is_told:
            self._is_told = True
            self._waiting.clear()
            self._receiver.gone(why)

    def stderr_tail(self) -> str:
        """Return the end of the daemon's stderr, if the gateway has started it; else an empty text."""
        return self._daemon.tail()


def _hint(why: Any) -> str:
    found: str = why.hint
    return found
