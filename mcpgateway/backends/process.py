"""One child process: lines in, lines out, and the end of all its processes."""

from __future__ import annotations

import os
import signal
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any, Protocol

from twisted.internet.defer import Deferred, succeed
from twisted.internet.error import ProcessTerminated
from twisted.internet.process import unregisterReapProcessHandler
from twisted.internet.protocol import ProcessProtocol
from twisted.logger import Logger
from twisted.python.failure import Failure

from mcpgateway.backends.leased import LeasedChild
from mcpgateway.errors import BackendGone, Overloaded
from mcpgateway.escaping import one_line
from mcpgateway.inherited import InheritedChild
from mcpgateway.interfaces import Gone, ILineReceiver, IWard
from mcpgateway.policy.secrets.shapes import without
from mcpgateway.protocol.framing import LineFramer, LineTooLong
from mcpgateway.system.process.handover import left_open
from mcpgateway.system.process.procfs import start_time
from mcpgateway.waiting import Waiting

LINE_LIMIT = 32 * 2**20  # bytes; screenshots and documents come as one line of base64
STDIN_LIMIT = 16 * 2**20  # bytes queued for a child that does not read
CLOSE_STDIN_S, TERM_S, KILL_S = 2.0, 5.0, 2.0  # the rungs of the stop ladder (product decision)
CUT_OFF_S = (
    1.0  # a child that closes its stdin or stdout is mostly about to exit, and its exit code says more
)
LOOK_S = 0.05  # between two checks of the ladder whether the group is empty
STDERR_LINES, STDERR_CHARS = 50, 500
STDERR_BYTES = 2500  # of a line that are processed: a cut secret is not recognised
DRAIN_BYTES = 64 * 2**20  # of the rest of an exited child's stdout
DRAIN_STDERR_BYTES = 2**20
DRAIN_PIECE = 262_144


Redact = Callable[[str, int], str]


def _as_it_is(text: str, shown: int) -> str:
    return text[:shown]


class ChildProtocol(ProcessProtocol):
    """Twisted's protocol of a child: receives its output and its exit."""

    transport: Any

    def __init__(self, child: Child) -> None:
        self._child = child

    def connectionMade(self) -> None:
        """Note that the process has started."""
        self._child.connected(self.transport)

    def childBufferReceived(self, childFD: int, data: bytearray, size: int) -> None:
        """Receive bytes of stdout or stderr; the buffer is reused afterwards."""
        if childFD == 1:
            self._child.output(data, size)
        else:
            self._child.complained(bytes(data[:size]))

    def inConnectionLost(self) -> None:
        """Note that all processes have closed the child's stdin, or the gateway itself has."""
        self._child.cut_off("stdin")

    def outConnectionLost(self) -> None:
        """Note that all processes have closed the child's stdout."""
        self._child.cut_off("stdout")

    def processExited(self, reason: Failure) -> None:
        """Note that the process itself has exited; a grandchild may still hold its pipes."""
        self._child.exited(reason)


class StderrSink(Protocol):
    """Receives the stderr of a child."""

    def heard(self, data: bytes) -> None:
        """Receive bytes of the stderr."""

    def ended(self) -> None:
        """Note the end of the child."""


class StderrTail:
    """Keeps the last lines of a child's stderr, within a bound.

    The bytes are kept as received and decoded on demand, which is rare.

    :param hidden: secrets that are left out of the lines.
    :param redact: removes all other secrets from a text of which at most so many characters are shown.
    """

    def __init__(self, hidden: tuple[str, ...] = (), redact: Redact = _as_it_is) -> None:
        self._hidden = hidden
        self._redact = redact
        self._lines: deque[bytes] = deque(maxlen=STDERR_LINES)
        self._rest = b""

    def feed(self, data: bytes) -> None:
        """Keep the end of the received bytes."""
        keep = STDERR_LINES * STDERR_CHARS
        data = self._rest + data
        *lines, rest = data[-keep:].split(b"\n")
        if len(data) > keep:
            lines = lines[1:]  # the rest of a cut line may begin with the rest of a secret
        self._rest = rest[:STDERR_BYTES]
        self._lines.extend(line[:STDERR_BYTES] for line in lines[-STDERR_LINES:])

    def lines(self) -> tuple[bytes, ...]:
        """Return the lines as received."""
        return (*self._lines, *([self._rest] if self._rest.strip() else []))

    def text(self) -> str:
        """Return the lines, with control characters escaped."""
        return "\n".join(map(self._readable, self.lines()))

    def _readable(self, line: bytes) -> str:
        text = without(line, self._hidden).decode(errors="replace").rstrip("\r")
        return one_line(self._redact(text, STDERR_CHARS))


class Child:
    """A running child, leader of its own session and group.

    :ivar pid: its process id, also its group and session.
    :ivar has_exited: True once its own process has exited.
    :ivar heard: number of reads of its stdout and stderr.
    :ivar receiver: receiver of its lines, and of its end.
    :ivar is_heard: True if it is killed when it closes its stdin or stdout.
    :ivar leased: keeper of its deadline; None without a lease.
    :ivar is_asleep: True while its processes are frozen.
    :ivar hearing: sink of all of its stderr; None: only the end of the stderr is kept.
    """

    log = Logger()

    def __init__(
        self,
        reactor: Any,
        server: str,
        receiver: ILineReceiver,
        marker: str,
        ward: IWard,
        ladder: tuple[float, float] = (CLOSE_STDIN_S, TERM_S),
        stderr: StderrTail | None = None,
    ) -> None:
        self.server = server
        self.pid = 0  # kept here: the transport forgets its own when the process is reaped
        self.has_exited = False
        self.heard = 0
        self.stderr = stderr or StderrTail()
        self.protocol = ChildProtocol(self)
        self._reactor = reactor
        self.receiver = receiver
        self.is_heard = True
        self.hearing: StderrSink | None = None
        self.leased: LeasedChild | None = None
        self.is_asleep = False
        self._marker = marker
        self._ward = ward
        self._ladder = ladder
        self._framer = LineFramer(LINE_LIMIT)
        self._overflowed = False
        self._pipes: dict[int, Any] = {}
        self._stopped = Waiting[None]()
        self._climbing = False
        self._is_cleared = False
        self._is_killed = False
        self._cut_off: Any = None
        self._fault = ""

    @property
    def is_dismissed(self) -> bool:
        """Return whether the gateway is stopping the child."""
        return self._climbing or self._is_killed

    def connected(self, transport: Any) -> None:
        """Take the transport: the process has started."""
        self.pid = transport.pid
        self._pipes = transport.pipes

    def write(self, line: bytes, *, now: bool = False) -> None:
        """Queue one line for the child's stdin, or with ``now`` write it at once if nothing is queued.

        :raise Overloaded: the child has stopped reading and its queue is full.
        :raise BackendGone: it has exited, or is being stopped.
        """
        pipe = self._pipes.get(0)
        if pipe is None or self._climbing or self.has_exited:
            raise BackendGone(f"{self.server} is not running")
        if self.is_asleep:
            self.thaw()
        if (waiting := pipe.size) and waiting + len(line) > STDIN_LIMIT:
            raise Overloaded(f"{self.server} does not read its input; {STDIN_LIMIT >> 20} MiB wait for it")
        if now:
            pipe.write_now(line)
        else:
            pipe.write(line)

    def output(self, data: bytes | bytearray, size: int) -> None:
        """Receive bytes of stdout; the buffer is reused afterwards."""
        self.heard += 1
        if self._overflowed:
            return
        receive = self.receiver.line_received
        try:
            for line in self._framer.feed(data, size):
                receive(line)
        except LineTooLong as why:
            self._overflowed = True
            self.receiver.line_overflowed(why.head, LINE_LIMIT)
            self.kill()

    def complained(self, data: bytes) -> None:
        """Receive bytes of stderr."""
        self.heard += 1
        self.stderr.feed(data)
        if self.hearing is not None:
            self.hearing.heard(data)

    def cut_off(self, pipe: str) -> None:
        """Kill the child unless it exits soon: it has closed its stdin or stdout."""
        if self.is_heard and not self.has_exited and not self._climbing and self._cut_off is None:
            self._cut_off = self._reactor.callLater(CUT_OFF_S, self._is_cut_off, pipe)

    def _is_cut_off(self, pipe: str) -> None:
        self._cut_off = None
        if not self.is_dismissed:
            self._fault = f"it closed its {pipe}"
            self.kill()

    def exited(self, reason: Failure) -> None:
        """The process has exited: deliver its last output, end its group, notify the receiver."""
        if self.has_exited:
            return
        self.has_exited, self.is_asleep = True, False
        cut_off, self._cut_off = self._cut_off, None
        if cut_off is not None:
            cut_off.cancel()
        self._drain()
        # Processes that hold its pipes, and its helpers, have no purpose any more.
        self._ward.signal_group(self.pid, signal.SIGKILL)
        for pipe in list(self._pipes.values()):
            pipe.loseConnection()
        value = reason.value
        gone = Gone(0, None, self.stderr.text(), self._fault)
        if isinstance(value, ProcessTerminated):
            gone = Gone(value.exitCode, value.signal, self.stderr.text(), self._fault)
        self.receiver.gone(gone)
        if not self._climbing:
            self._clear_up()

    def _drain(self) -> None:
        # The child's output before its exit is still in the pipes: its last answers, and the reason of its exit.
        for data in self._left_in(1, DRAIN_BYTES):
            self.output(data, len(data))
        for data in self._left_in(2, DRAIN_STDERR_BYTES):
            self.complained(data)
        if self.hearing is not None:
            self.hearing.ended()

    def _left_in(self, descriptor: int, limit: int) -> Iterator[bytes]:
        reader = self._pipes.get(descriptor)
        while reader is not None and limit > 0:
            try:
                data = os.read(reader.fileno(), DRAIN_PIECE)
            except OSError:
                return
            if not data:
                return
            limit -= len(data)
            yield data

    def freeze(self) -> bool:
        """Freeze all processes of the child until it is written to or stopped; false where that is not possible."""
        if not (self.is_dismissed or self.has_exited or self.is_asleep):
            self.is_asleep = self._ward.freeze(self.pid, self._marker)
        return self.is_asleep

    def thaw(self) -> None:
        """Let a frozen child go on."""
        if self.is_asleep:
            self.is_asleep = False
            self._ward.thaw(self.pid)

    def page_out(self) -> bool:
        """Begin to move the memory of the child to swap; false where there is none, or it is not frozen."""
        return self.is_asleep and self._ward.page_out(self.pid, self._marker)

    def kill(self) -> None:
        """KILL the whole group now; ``gone`` follows."""
        self._is_killed = True
        self._ward.signal_group(self.pid, signal.SIGKILL)

    def stop(self) -> Deferred[None]:
        """Stop the child: close stdin, TERM the group, KILL the group; fires when no process is left."""
        if self._is_cleared:
            return succeed(None)
        done = self._stopped.wait()
        if not self._climbing:
            self.thaw()
            self._climbing = True
            writer = self._pipes.get(0)
            if writer is not None:
                writer.loseConnection()
            self._look(0.0, 0)
        return done

    def _look(self, waited: float, rung: int) -> None:
        if self.has_exited and not self._ward.group_is_alive(self.pid):
            self._clear_up()
            return
        if rung < len(self._ladder) and waited >= self._ladder[rung]:
            self._ward.signal_group(self.pid, (signal.SIGTERM, signal.SIGKILL)[rung])
            rung, waited = rung + 1, 0.0
        elif rung == len(self._ladder) and waited >= KILL_S:
            self.log.error("{server} cannot be killed", event="child.unkillable", server=self.server)
            self._clear_up()
            return
        self._reactor.callLater(LOOK_S, self._look, waited + LOOK_S, rung)

    def _clear_up(self) -> None:
        # Processes that left the group (a double fork, a session of their own) still have the child's marker.
        self._is_cleared = True
        self._ward.kill_bearing(self._marker)
        self._ward.removed(self.pid)
        if self.leased is not None:
            self.leased.end()
        self._stopped.over(None)

    @property
    def goes_on(self) -> bool:
        """True if the next program of this process can take it over."""
        is_ending = self.has_exited or self.is_dismissed or self._overflowed or self._cut_off is not None
        is_open = {0, 1} <= self._pipes.keys() or not self.is_heard
        may_run = self.leased is None or self.leased.is_held
        return not is_ending and may_run and is_open

    def keeps(self, number: int) -> bool:
        """Return whether a call under way goes on with it: each does."""
        return True

    def hand_over(self) -> InheritedChild:
        """Return the child for the next program of this process, and leave it alone."""
        pipes = self._pipes
        for pipe in pipes.values():
            pipe.stopReading()
            pipe.stopWriting()
        unregisterReapProcessHandler(self.pid, self.protocol.transport)
        self._pipes = {}
        stdin, stdout, stderr = (
            left_open(pipes[each].fileno()) if each in pipes else -1 for each in range(3)
        )
        return InheritedChild(
            self.pid,
            start_time(self.pid),
            self.server,
            self._marker,
            (stdin, stdout, stderr),
            self._framer.rest(),
            pipes[0].unwritten() if 0 in pipes else b"",
            self.stderr.lines(),
            self.is_asleep,
            self._ward.stopped(self.pid),
            self.leased.named if self.leased is not None else None,
        )

    def take_over(self, inherited: InheritedChild) -> None:
        """Go on where the former program of this process has ended, once the process is connected."""
        self.is_asleep = inherited.is_asleep and not self.has_exited
        self._framer.feed(inherited.half_line)
        self.stderr.feed(b"".join(each + b"\n" for each in inherited.last_words))
        if inherited.unwritten and not self.has_exited:
            self._pipes[0].write(inherited.unwritten)

    def stderr_tail(self) -> str:
        """Return the last lines of the child's stderr."""
        return self.stderr.text()
