"""The client's side of a shim: lines from stdin, lines to stdout, remarks to stderr.

The descriptors stay blocking, since others may share them: nothing is read or written but what poll(2) says will not
block, and a pipe that can be written takes `PIPE_BUF` bytes at once.
"""

from __future__ import annotations

import posix
import select

from mcpgateway.escaping import one_line
from mcpgateway.shim.loop import READ, WRITE, Loop, is_ready

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

STDIN, STDOUT, STDERR = 0, 1, 2
PIECE = 65536
LINE_LIMIT = 64 * 1024 * 1024  # bytes; a gateway takes far less, and says so
BEHIND_LIMIT = 1024 * 1024  # bytes that the client may be behind before no more is read for it
WRITES_AT_ONCE = 256
SIGNALLED_S = 1.0  # for what is left to say when a signal has come


class Input:
    """Lines from the client.

    :ivar rest: what has been read behind the last whole line.
    """

    def __init__(
        self,
        loop: Loop,
        line: Callable[[bytes], None],
        too_long: Callable[[], None],
        ended: Callable[[], None],
    ) -> None:
        self._loop = loop
        self._line = line
        self._too_long = too_long
        self._ended = ended
        self._looked = 0
        self._is_skipping = False
        self._is_over = False
        self.rest = bytearray()

    def resume(self) -> None:
        """Read on."""
        if not self._is_over:
            self._loop.watch(STDIN, READ, self._ready)

    def pause(self) -> None:
        """Read nothing for now, or never again."""
        self._loop.forget(STDIN)

    def _ready(self, mask: int) -> None:
        try:
            data = posix.read(STDIN, PIECE)
        except OSError:
            data = b""
        if not data:
            self._is_over = True
            self.pause()
            if self.rest and not self._is_skipping:
                data = b"\n"  # a last line without its end is one all the same
        self.rest += data
        start = 0
        while (end := self.rest.find(b"\n", max(start, self._looked))) >= 0:
            line = bytes(self.rest[start:end])
            start = self._looked = end + 1
            if self._is_skipping:
                self._is_skipping = False
            elif line.strip():
                self._line(line.removesuffix(b"\r"))
        del self.rest[:start]
        self._looked = len(self.rest)
        if self._looked > LINE_LIMIT:
            if not self._is_skipping:
                self._too_long()
            self._is_skipping = True
            self.rest.clear()
            self._looked = 0
        if self._is_over:
            self._ended()


class Output:
    """Lines to the client."""

    def __init__(self, loop: Loop, relieved: Callable[[], None], closed: Callable[[], None]) -> None:
        self._loop = loop
        self._relieved = relieved
        self._closed = closed
        self._waiting: list[bytes] = []
        self._at = 0
        self._behind = 0
        self._is_closed = False

    def begin(self) -> None:
        """Notice from now on when nobody listens any more."""
        self._loop.watch(STDOUT, 0, self._ready)

    @property
    def is_behind(self) -> bool:
        """Whether the client reads more slowly than it is told."""
        return self._behind > BEHIND_LIMIT

    @property
    def is_empty(self) -> bool:
        """Whether the client has been told everything."""
        return not self._waiting

    def say(self, message: bytes) -> None:
        """Tell the client one message, given without the end of its line."""
        if len(message) < PIECE:
            self.say_bytes(message + b"\n")
        else:
            self.say_bytes(message)
            self.say_bytes(b"\n")

    def say_bytes(self, data: bytes) -> None:
        """Tell the client something, as it is."""
        if self._is_closed or not data:
            return
        if not self._waiting:
            self._loop.watch(STDOUT, WRITE, self._ready)
        self._waiting.append(data)
        self._behind += len(data)

    def flush(self, patience: float) -> None:
        """Wait until the client has been told all, or gave up listening, or takes too long; less after a signal."""
        end = self._loop.now() + patience
        waiter = select.poll()
        waiter.register(STDOUT, WRITE)
        waker = self._loop.waker
        if waker is not None:
            waiter.register(waker, READ)
        while self._waiting and not self._is_closed and (left := end - self._loop.now()) > 0:
            ready = [descriptor for descriptor, _ in waiter.poll(left * 1000)]
            if STDOUT in ready:
                self._ready(WRITE)
            if waker is not None and waker in ready:
                waiter.unregister(waker)
                end = min(end, self._loop.now() + SIGNALLED_S)

    def _ready(self, mask: int) -> None:
        if not self._waiting:
            self._end()  # only its end is told when nothing waits
            return
        was_behind = self.is_behind
        try:
            for _ in range(WRITES_AT_ONCE):
                self._write_some()
                if not self._waiting or not is_ready(STDOUT, WRITE):
                    break
        except OSError:
            self._end()
            return
        if not self._waiting:
            self._loop.watch(STDOUT, 0, self._ready)
        if was_behind and not self.is_behind:
            self._relieved()

    def _write_some(self) -> None:
        first = self._waiting[0]
        written = posix.write(STDOUT, memoryview(first)[self._at : self._at + select.PIPE_BUF])
        self._behind -= written
        self._at += written
        if self._at == len(first):
            del self._waiting[0]
            self._at = 0

    def _end(self) -> None:
        self._is_closed = True
        self._waiting.clear()
        self._loop.forget(STDOUT)
        self._closed()


class Remarks:
    """The shim's messages to its user, on stderr; lost where stderr is not read."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._complaint = ""

    def complain(self, text: str) -> None:
        """One remark, unless the last complaint was the same."""
        if text != self._complaint:
            self._complaint = text
            self.say(text)

    def say(self, text: str) -> None:
        """One remark."""
        self.write(f"[Proxy:{self._name}] {text}")

    def write(self, text: str) -> None:
        """One line as it is, for a program that waits for it."""
        line = f"{one_line(text)}\n".encode(errors="replace")
        try:
            if is_ready(STDERR, WRITE):
                posix.write(STDERR, line[: select.PIPE_BUF])
        except OSError:
            return
