"""The client's side of a shim: lines from stdin, lines to stdout, remarks to stderr.

The descriptors stay blocking, since other programs may share them: the shim reads and writes only when poll(2) says
that this does not block, and a writable pipe takes `PIPE_BUF` bytes at once.
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
LINE_LIMIT = 64 * 1024 * 1024  # bytes; a gateway takes far less, and announces its limit
BEHIND_LIMIT = 1024 * 1024  # unread bytes of the client beyond which no more is read for it
WRITES_AT_ONCE = 256
SIGNALLED_S = 1.0  # for the remaining output after a signal


class Input:
    """Lines from the client.

    :ivar rest: the data behind the last whole line.
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
        """Resume reading."""
        if not self._is_over:
            self._loop.watch(STDIN, READ, self._ready)

    def pause(self) -> None:
        """Stop reading, until `resume` is called."""
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
                data = b"\n"  # a last line without a line end counts as one
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
        """Report from now on when the client closes its end."""
        self._loop.watch(STDOUT, 0, self._ready)

    @property
    def is_behind(self) -> bool:
        """True if more than `BEHIND_LIMIT` bytes wait for the client to read them."""
        return self._behind > BEHIND_LIMIT

    @property
    def is_empty(self) -> bool:
        """True if the client has read everything."""
        return not self._waiting

    def say(self, message: bytes) -> None:
        """Send one message to the client, given without its line end."""
        if len(message) < PIECE:
            self.say_bytes(message + b"\n")
        else:
            self.say_bytes(message)
            self.say_bytes(b"\n")

    def say_bytes(self, data: bytes) -> None:
        """Send bytes to the client unchanged."""
        if self._is_closed or not data:
            return
        if not self._waiting:
            self._loop.watch(STDOUT, WRITE, self._ready)
        self._waiting.append(data)
        self._behind += len(data)

    def flush(self, patience: float) -> None:
        """Wait until the client has read everything, has closed its end, or takes too long; shorter after a signal."""
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
            self._end()  # with nothing to write, the event is the end of the pipe
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
        """Write a remark, unless the last complaint was the same."""
        if text != self._complaint:
            self._complaint = text
            self.say(text)

    def say(self, text: str) -> None:
        """Write a remark, with the shim's prefix."""
        self.write(f"[Proxy:{self._name}] {text}")

    def write(self, text: str) -> None:
        """Write one line unchanged, for a program that waits for it."""
        line = f"{one_line(text)}\n".encode(errors="replace")
        try:
            if is_ready(STDERR, WRITE):
                posix.write(STDERR, line[: select.PIPE_BUF])
        except OSError:
            return
