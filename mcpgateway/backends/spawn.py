"""Start children: find the program, start it, and register it."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

from twisted.internet.defer import Deferred, gatherResults, maybeDeferred, succeed
from twisted.logger import Logger

from mcpgateway.backends.leased import LeasedChild
from mcpgateway.backends.process import CLOSE_STDIN_S, TERM_S, Child, StderrSink, StderrTail
from mcpgateway.backends.session_process import ForkedProcess, InheritedServer, SessionProcess
from mcpgateway.backends.templates import CONTROL, Template, Templates
from mcpgateway.errors import LaunchFailed
from mcpgateway.inherited import InheritedChild, InheritedTemplate
from mcpgateway.interfaces import (
    CHILD_MARKER,
    FENCE_VARIABLE,
    INSTANCE_MARKER,
    Gone,
    ILineReceiver,
    IResolver,
    IWard,
    Launch,
    ProbeListener,
    Ran,
)
from mcpgateway.policy.secrets.masking import secrets_of
from mcpgateway.policy.secrets.redaction import Redactor
from mcpgateway.system.launch.missing import remedy
from mcpgateway.system.launch.node import node_words
from mcpgateway.system.process.inherited import is_own_child
from mcpgateway.system.process.procfs import start_time

PIPE_BYTES = 1_048_576  # the most an unprivileged process may ask for on Linux
RUN_S = 120.0  # a program that is run to its end may download a large package
RUN_BYTES = 2**20  # of its output, in which there may be a whole environment
NICE = 10  # of programs that no request waits for
WRAPPERS = frozenset(("npx", "npm", "uvx", "uv", "bunx", "bun", "pipx"))
"""The programs that may only fetch and start another."""


class Launcher:
    """Starts children, and registers each with the ward.

    :ivar templates: the templates that they are forked from.
    :ivar count: number of children, which is a part of their markers.

    :param make_resolver: makes the resolver of package runners' programs; None: the runners are always run.
    :param hear: makes the sink for the stderr of a new child, by the name of its server and the secrets it was given.
    :param redactor: removes secrets from the last lines of children.
    :param prefork: Python servers are forked where their launches do not say.
    """

    log = Logger()

    def __init__(
        self,
        reactor: Any,
        ward: IWard,
        make_resolver: Callable[[], IResolver] | None = None,
        hear: Callable[[str, tuple[str, ...]], StderrSink] | None = None,
        redactor: Redactor | None = None,
        *,
        prefork: bool = False,
        count: int = 0,
    ) -> None:
        self._redactor = redactor or Redactor()
        self._hear = hear
        self._reactor = reactor
        self._ward = ward
        self._make_resolver = make_resolver
        self._resolver: IResolver | None = None
        self._running: set[Child] = set()
        self._is_closed = False
        self.count = count
        self._prefork = prefork
        self.templates = Templates(reactor, ward, self._start_template)

    def prepare(self, launch: Launch) -> Deferred[Launch]:
        """Find the program that a package runner would start, and a template where it is forked."""
        prepared: Deferred[Launch] = succeed(launch)
        if self._make_resolver is not None and not launch.as_written and _may_wrap(launch):
            if self._resolver is None:
                self._resolver = self._make_resolver()
            prepared = self._resolver.resolve(launch, self.run)
        may_fork = self._prefork if launch.prefork is None else launch.prefork
        return prepared.addCallback(self._prepare_template) if may_fork else prepared

    def _prepare_template(self, launch: Launch) -> Launch | Deferred[Launch]:
        try:
            return self.templates.prepare(launch, find_program(launch))
        except LaunchFailed:
            return launch  # its start says so

    def _start_template(self, launch: Launch, receiver: ILineReceiver, control: int) -> Child:
        return self._start(launch, receiver, control=control)

    def take_over(self, templates: Iterable[InheritedTemplate]) -> None:
        """Take over the templates of the former program of this process; one that fails is made anew."""

        def begin(inherited: InheritedTemplate, receiver: ILineReceiver) -> Child:
            launch = Launch(inherited.child.server, (), {}, "/")
            return self._take_over(launch, inherited.child, receiver, is_server=False)

        for each in templates:
            try:
                self.templates.take_over(each, begin)
            except Exception:  # noqa: BLE001 - the others go on
                self.log.failure(
                    "the template of {server} could not be taken over",
                    event="handover.template",
                    server=each.child.server,
                )

    def launch(self, launch: Launch, receiver: ILineReceiver) -> Child:
        """Start a child, or take over the one that the launch names.

        :raise LaunchFailed: the program is missing or may not be executed; the text says which and why.
        """
        if isinstance(launch.inherited, InheritedChild):
            return self._take_over(launch, launch.inherited, receiver, is_server=True)
        template = self.templates.find(launch)
        told = launch.told if template is None else partial(_judge_fork, template, launch.told)
        if told is None:
            return self._start(launch, receiver, is_server=True)
        trial = LaunchTrial(receiver, told)
        try:
            trial.child = self._start(launch, trial, is_server=True, template=template)
        except LaunchFailed:
            told(has_spoken=False)
            raise
        return trial.child

    def _take_over(
        self, launch: Launch, inherited: InheritedChild, receiver: ILineReceiver, *, is_server: bool
    ) -> Child:
        pid = inherited.pid
        if not is_own_child(pid) or start_time(pid) != inherited.start_time:
            raise LaunchFailed(f"{launch.server}: its process has ended while the gateway restarted")
        self._ward.kept(pid, launch.server, inherited.stopped)
        ladder = (CLOSE_STDIN_S, TERM_S)
        child = self._child(launch, receiver, inherited.marker, ladder, is_server=is_server)
        lease = launch.lease
        if lease is not None:
            child.leased = LeasedChild(self._reactor, self._ward, lease, inherited.marker, child)
        InheritedServer(self._reactor, pid, inherited.open_pipes(), child.protocol)
        child.take_over(inherited)
        if child.has_exited:
            return child
        try:
            if inherited.lease != (lease and (lease.name, lease.fence)):
                raise OSError(0, "its lease has ended")
            if child.leased is not None:
                child.leased.begin()
                child.leased.started()
        except OSError:  # nor may it be left to itself for as long as a stop takes
            child.kill()
        return child

    def _child(
        self,
        launch: Launch,
        receiver: ILineReceiver,
        marker: str,
        ladder: tuple[float, float],
        *,
        is_server: bool,
    ) -> Child:
        hidden = secrets_of(launch.env, launch.argv)
        self._redactor.learn(hidden)
        tail = StderrTail(hidden, self._redactor.redact)
        child = Child(self._reactor, launch.server, receiver, marker, self._ward, ladder, tail)
        child.is_heard = launch.is_heard
        if is_server and self._hear is not None:
            child.hearing = self._hear(launch.server, hidden)
        return child

    def _start(
        self,
        launch: Launch,
        receiver: ILineReceiver,
        ladder: tuple[float, float] = (CLOSE_STDIN_S, TERM_S),
        *,
        is_server: bool = False,
        template: Template | None = None,
        control: int | None = None,
    ) -> Child:
        if not os.path.isdir(launch.cwd):
            raise LaunchFailed(f"{launch.server}: the working directory {launch.cwd} does not exist")
        program = find_program(launch)
        self.count += 1
        instance = self._ward.instance
        marker = f"{CHILD_MARKER}={instance}.{self.count}"
        env = dict(launch.env)
        env[INSTANCE_MARKER] = instance
        env[CHILD_MARKER] = f"{instance}.{self.count}"
        child = self._child(launch, receiver, marker, ladder, is_server=is_server)
        if launch.lease is not None:
            env[FENCE_VARIABLE] = str(launch.lease.fence)
            child.leased = LeasedChild(self._reactor, self._ward, launch.lease, marker, child)
        argv = node_words(program, launch.argv[1:], env) if is_server else [program, *launch.argv[1:]]
        try:
            with self._ward.spawning():
                if child.leased is not None:
                    child.leased.begin()
                process = self._forked(template, child, marker) or SessionProcess(
                    self._reactor,
                    argv[0],
                    argv,
                    _encoded(env),
                    launch.cwd,
                    child.protocol,
                    childFDs=None if control is None else {0: "w", 1: "r", 2: "r", CONTROL: control},
                )
        except OSError as why:
            if child.leased is not None:
                child.leased.end()
            raise LaunchFailed(f"{launch.server}: {program} could not be started: {why.strerror}") from why
        _enlarge(process)
        if is_server:
            self.templates.started(launch, child)
        if not child.has_exited:
            self._ward.added(child.pid, launch.server)
            if child.leased is not None:
                child.leased.started()
        return child

    def _forked(self, template: Template | None, child: Child, marker: str) -> SessionProcess | None:
        if template is None:
            return None

        def fork(streams: Sequence[int]) -> int:
            return template.fork(marker, streams, self._ward)

        try:
            return ForkedProcess(fork, self._reactor, b"", [], {}, b"", child.protocol)
        except OSError as why:
            self.log.info(
                "a child of {server} is started plainly: {why}",
                event="template.stale",
                server=template.server,
                why=why.strerror or str(why),
            )
            return None

    def run(self, launch: Launch, *, is_idle: bool, limit_s: float = RUN_S) -> Deferred[Ran]:
        """Run a program to its end with an empty stdin; fires with its outcome when none of its processes is left.

        The program is stopped after ``limit_s`` seconds, and killed when it prints more than `RUN_BYTES`.

        :param is_idle: the program runs at a low priority.
        :raise LaunchFailed: (through the Deferred) as of `launch`.
        """
        return maybeDeferred(self._run, launch, is_idle=is_idle, limit_s=limit_s)

    def _run(self, launch: Launch, *, is_idle: bool, limit_s: float) -> Deferred[Ran]:
        if self._is_closed:
            raise LaunchFailed(f"{launch.server}: the gateway is being stopped")
        output = ProgramOutput()
        child = output.child = self._start(launch, output, (limit_s, TERM_S))
        if is_idle:
            with suppress(OSError):  # it has ended already
                os.setpriority(os.PRIO_PGRP, child.pid, max(NICE, os.getpriority(os.PRIO_PROCESS, 0)))
        done: Deferred[Ran] = Deferred()
        self._running.add(child)

        def ended(_: None) -> None:
            self._running.remove(child)
            done.callback(output.ran)

        child.stop().addCallback(
            ended
        )  # its stdin closes, and the ladder's first rung lasts as long as the program may take
        return done

    def close(self) -> Deferred[Any]:
        """Stop all programs that run to their end, and start no more; fires when none is left."""
        self._is_closed = True
        for child in self._running:
            child.kill()
        return gatherResults([self.templates.close(), *(child.stop() for child in self._running)])


def _may_wrap(launch: Launch) -> bool:
    return launch.argv[0].rpartition("/")[2] in WRAPPERS


def _judge_fork(template: Template, told: ProbeListener | None, *, has_spoken: bool) -> None:
    if not has_spoken:
        template.end("a forked child ended before it had said a word")
    if told is not None:
        told(has_spoken=has_spoken)


class LaunchTrial:
    """Receives for a child's receiver until the child has sent its first message.

    :ivar child: the child, once it runs.
    """

    def __init__(self, receiver: ILineReceiver, listener: ProbeListener) -> None:
        self.child: Child | None = None
        self._receiver = receiver
        self._told: ProbeListener | None = listener

    def _tell(self, *, has_spoken: bool) -> None:
        listener, self._told = self._told, None
        if listener is not None:
            listener(has_spoken=has_spoken)

    def line_received(self, line: bytes) -> None:
        """Pass a line on; the first one that looks like a message ends the trial."""
        if line.lstrip()[:1] in (b"{", b"["):
            self._tell(has_spoken=True)
            if self.child is not None:  # a child may end before `launch` has returned it
                self.child.receiver = self._receiver
        self._receiver.line_received(line)

    def line_overflowed(self, head: bytes, limit: int) -> None:
        """Report a line that is too long: the child is killed."""
        self._receiver.line_overflowed(head, limit)

    def gone(self, why: Gone) -> None:
        """Report the end of a child that has sent no message, unless the gateway has stopped it."""
        if self.child is None or not self.child.is_dismissed:
            self._tell(has_spoken=False)
        self._receiver.gone(why)


class ProgramOutput:
    """Collects what a program prints.

    :ivar child: the program.
    :ivar ran: its outcome, once it has ended.
    """

    def __init__(self) -> None:
        self.child: Child | None = None
        self.ran = Ran(None, "")
        self._text = bytearray()
        self._is_full = False

    def line_received(self, line: bytes) -> None:
        """Keep one line, within the bound."""
        if len(self._text) + len(line) < RUN_BYTES:
            self._text += line + b"\n"
        elif not self._is_full and self.child is not None:
            self._is_full = True
            self.child.kill()

    def line_overflowed(self, head: bytes, limit: int) -> None:
        """Note a line that is too long: the program is killed."""
        self._is_full = True

    def gone(self, why: Gone) -> None:
        """Note that the program has ended."""
        code = None if self._is_full or why.signal is not None else why.code
        self.ran = Ran(code, self._text.decode(errors="replace"), why.last_words)


def find_program(launch: Launch) -> str:
    """Return the absolute path of a launch's program, searched as the child itself would.

    :raise LaunchFailed: the program is missing, or not executable.
    """
    name = launch.argv[0]
    if "/" in name:
        path = os.path.join(launch.cwd, name)
        if not os.path.exists(path):
            raise LaunchFailed(f"{launch.server}: the program {name} does not exist", _put_right(launch))
        if not os.access(path, os.X_OK) or os.path.isdir(path):
            hint = f"chmod +x {name}, or put its interpreter before it in the entry"
            raise LaunchFailed(f"{launch.server}: the program {name} is not executable", hint)
        return path
    where = launch.env.get("PATH", os.defpath)
    found = shutil.which(name, path=where)
    if found is None:
        raise LaunchFailed(f"{launch.server}: the program {name!r} was not found", _put_right(launch))
    return os.path.join(launch.cwd, found)


def _put_right(launch: Launch) -> str:
    return str(remedy(launch.argv[0], launch.env, launch.cwd, launch.server))


def _encoded(env: Mapping[str, str]) -> dict[str, str]:
    return {
        name: value for name, value in env.items() if "\0" not in name + value and "=" not in name and name
    }


def _enlarge(process: SessionProcess) -> None:
    # Fewer, larger reads: a 1 MB answer in 64 KiB pieces costs sixteen turns of the reactor.
    resize = getattr(fcntl, "F_SETPIPE_SZ", None)
    if resize is None:
        return
    with suppress(OSError, KeyError):  # the user's pipe quota may be used up
        fcntl.fcntl(process.pipes[1].fileno(), resize, PIPE_BYTES)
