"""The original server in the place of the gateway: instead of the shim at the start, as its child later on."""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # the builtin half of signal, which would load enum and more
import errno
import posix
from posix import _exit

from mcpgateway.shim import jsontext
from mcpgateway.shim.loop import READ, WRITE, Loop
from mcpgateway.shim.messages import Line
from mcpgateway.shim.stdio import LINE_LIMIT, PIECE, STDERR, STDIN, STDOUT, Output

NOT_FOUND, NOT_RUNNABLE = 127, 126  # exit codes of shells
DEFAULT_PATH = "/usr/local/bin:/usr/bin:/bin"
# The variables that name a child of Node.js the descriptor of the channel to its parent.
NODE_CHANNEL = (b"NODE_CHANNEL_FD", b"NODE_CHANNEL_SERIALIZATION_MODE")
BEHIND_LIMIT = 1024 * 1024
KILL_AFTER_S = 10.0
LOOK_S = 0.5


def become(argv: list[str], *, ignores_interrupts: bool) -> int:
    """Replace this process by the original; returns an exit code only where that fails.

    :param ignores_interrupts: the original is started with SIGINT ignored, as the shim was.
    """
    _signal.set_wakeup_fd(-1)
    _keep_to_ourselves()
    for number in (_signal.SIGPIPE, _signal.SIGTERM, _signal.SIGHUP, getattr(_signal, "SIGXFSZ", 0)):
        if number:
            _signal.signal(number, _signal.SIG_DFL)
    _signal.signal(_signal.SIGINT, _signal.SIG_IGN if ignores_interrupts else _signal.SIG_DFL)
    code = NOT_FOUND
    for path in _candidates(argv[0]):
        try:
            posix.execve(path, argv, posix.environ)
        except OSError as why:
            if why.errno not in (errno.ENOENT, errno.ENOTDIR):
                code = NOT_RUNNABLE
    return code


def _keep_to_ourselves() -> None:
    """Close all descriptors that the client has passed on to the shim, except for the standard ones."""
    for directory in ("/proc/self/fd", "/dev/fd"):
        try:
            names = posix.listdir(directory)
        except OSError:
            continue
        for name in names:
            try:
                posix.set_inheritable(int(name), int(name) <= STDERR)
            except OSError:
                continue  # the one that listed the directory is closed by now
        break
    for variable in NODE_CHANNEL:  # a program of Node.js ends at once where the descriptor is missing
        posix.environ.pop(variable, b"")


def _candidates(program: str) -> list[str]:
    if not program:
        return []
    if "/" in program:
        return [program]
    path = posix.environ.get(b"PATH", DEFAULT_PATH.encode()).decode(errors="surrogateescape")
    return [f"{each or '.'}/{program}" for each in path.split(":")]


class WaitingRequests:
    """The requests that wait for an answer, as far as the relayed bytes show.

    :ivar waiting: their ids as JSON text, in order.
    """

    def __init__(self) -> None:
        self.waiting: dict[str, None] = {}
        self._asked = bytearray()
        self._answered = bytearray()

    @property
    def is_inside_a_line(self) -> bool:
        """True if the answers have stopped before the end of a line."""
        return bool(self._answered)

    def asked(self, data: bytes) -> None:
        """Register bytes from the client."""
        for text in _lines(self._asked, data):
            try:
                line = Line(text)
            except jsontext.Unreadable:
                continue
            self.waiting.update(dict.fromkeys(line.ids))
            if line.target is not None:
                self.waiting.pop(line.target, None)

    def answered(self, data: bytes) -> None:
        """Register bytes for the client."""
        for text in _lines(self._answered, data):
            try:
                message = jsontext.glanced(text)
            except jsontext.Unreadable:
                continue
            for each in message if isinstance(message, list) else [message]:
                if isinstance(each, dict) and "method" not in each:
                    self.waiting.pop(jsontext.identifier(each) or "", None)


def _lines(begun: bytearray, data: bytes) -> list[bytes]:
    """Return the lines that more data completes; the rest is kept in ``begun``."""
    whole, end, rest = data.rpartition(b"\n")
    found = (bytes(begun) + whole).split(b"\n") if end else []
    if end:
        begun.clear()
    begun += rest
    if len(begun) > LINE_LIMIT:
        del begun[1:]  # a line of this length is not parsed; one byte shows that a line has begun
    return found


class FallbackProcess:
    """The original as a child, after the gateway has gone for good: bytes are relayed unchanged from then on.

    :ivar pid: the process id of the child.
    """

    def __init__(self, loop: Loop, argv: list[str], output: Output, *, ignores_interrupts: bool) -> None:
        self._loop = loop
        self._output = output
        inner_in, self._to = posix.pipe()
        self._from, inner_out = posix.pipe()
        self.pid = posix.fork()
        if not self.pid:
            try:
                posix.dup2(inner_in, STDIN)
                posix.dup2(inner_out, STDOUT)
                code = become(argv, ignores_interrupts=ignores_interrupts)
            finally:
                _exit(code)
        posix.close(inner_in)
        posix.close(inner_out)
        posix.set_blocking(self._to, False)
        self._pending = bytearray()
        self._hidden_answer: str | None = None
        self._unread = bytearray()
        self._requests = WaitingRequests()
        self._is_stdin_over = False
        self._has_ended = False
        self.status = 0

    def replay_handshake(self, hello: Line | None, initialized: Line | None) -> None:
        """Repeat the client's handshake with the gateway for the child; the child's answer is not relayed."""
        if hello is not None:
            (self._hidden_answer,) = hello.ids
            self._pending += hello.text + b"\n"
            if initialized is not None:
                self._pending += initialized.text + b"\n"

    def take(self, lines: list[Line], rest: bytes) -> None:
        """Queue the client's later lines, and the beginning of its next line, for the child."""
        data = b"".join(line.text + b"\n" for line in lines) + rest
        self._requests.asked(data)
        self._pending += data

    def run(self) -> int:
        """Relay bytes both ways until the child has ended, and return its exit status."""
        self._loop.watch(self._from, READ, self._child_readable)
        self._regulate()
        self._look()
        self._loop.run()
        if not self._has_ended:
            _, self.status = posix.waitpid(self.pid, 0)
        self._answer_the_rest()
        return self.status

    def _answer_the_rest(self) -> None:
        if self._requests.waiting and self._requests.is_inside_a_line:
            self._output.say_bytes(b"\n")
        for each in self._requests.waiting:
            self._output.say(jsontext.error(each, "The original command has ended without an answer"))

    def _look(self) -> None:
        # The end of its pipe is no sign: a grandchild may hold it.
        pid, status = posix.waitpid(self.pid, posix.WNOHANG)
        if pid:
            self._has_ended, self.status = True, status
        self._loop.later(LOOK_S, self._loop.stop if pid else self._look)

    def signal(self, number: int) -> None:
        """Send a signal to the child."""
        self._kill(number)
        self._loop.later(KILL_AFTER_S, lambda: self._kill(_signal.SIGKILL))

    def _kill(self, number: int) -> None:
        if not self._has_ended:
            posix.kill(self.pid, number)

    def relieved(self) -> None:
        """Resume reading from the child, since the client has read its messages."""
        self._loop.watch(self._from, READ, self._child_readable)

    def deserted(self) -> None:
        """End the child, since the client has closed its end."""
        self.signal(_signal.SIGTERM)

    # From the client

    def _regulate(self) -> None:
        if self._pending and self._to >= 0:
            self._loop.watch(self._to, WRITE, self._child_reads)
        elif self._to >= 0:
            self._loop.forget(self._to)
            if self._is_stdin_over:
                posix.close(self._to)
                self._to = -1
        if self._is_stdin_over or len(self._pending) > BEHIND_LIMIT:
            self._loop.forget(STDIN)
        else:
            self._loop.watch(STDIN, READ, self._client_readable)

    def _client_readable(self, mask: int) -> None:
        data = posix.read(STDIN, PIECE)
        self._is_stdin_over = not data
        self._requests.asked(data)
        if self._to >= 0:
            self._pending += data
        self._regulate()

    def _child_reads(self, mask: int) -> None:
        try:
            written = posix.write(self._to, memoryview(bytes(self._pending[:PIECE])))
            del self._pending[:written]
        except BlockingIOError:
            return
        except OSError:
            self._loop.forget(self._to)
            posix.close(self._to)
            self._to = -1
            self._pending.clear()
        self._regulate()

    # From the child

    def _child_readable(self, mask: int) -> None:
        data = posix.read(self._from, PIECE)
        if not data:
            self._loop.forget(self._from)
            self._loop.stop()
        elif self._hidden_answer is None:
            self._tell(data)
        else:
            self._look_for_the_answer(data)
        if self._output.is_behind:
            self._loop.forget(self._from)

    def _look_for_the_answer(self, data: bytes) -> None:
        self._unread += data
        while self._hidden_answer is not None:
            line, end, rest = self._unread.partition(b"\n")
            if not end:
                return
            self._unread = rest
            if self._is_the_answer(bytes(line)):
                self._hidden_answer = None
            else:
                self._tell(bytes(line) + b"\n")
        self._tell(bytes(self._unread))
        self._unread.clear()

    def _tell(self, data: bytes) -> None:
        self._requests.answered(data)
        self._output.say_bytes(data)

    def _is_the_answer(self, line: bytes) -> bool:
        try:
            message = jsontext.decoded(line)
        except jsontext.Unreadable:
            return False
        is_answer = isinstance(message, dict) and "method" not in message
        return is_answer and jsontext.identifier(message) == self._hidden_answer
