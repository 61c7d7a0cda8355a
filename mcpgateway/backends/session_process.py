"""The processes of children: each leads a session of its own, and has no descriptors but its pipes.

# Note [What spawnProcess leaves to us]
Twisted 26.10 uses ``posix_spawn`` only for a child in the gateway's own directory, leaves the child in the gateway's
process group, searches the program on the daemon's PATH, and reports a missing program in two different ways.  So the
program is found here, the directory is changed around the spawn, and `SessionProcess` asks ``posix_spawn`` for a
session of the child's own.
"""

from __future__ import annotations

import fcntl
import os
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from twisted.internet.main import CONNECTION_DONE
from twisted.internet.process import Process, ProcessReader, ProcessWriter

from mcpgateway.system.process.inherited import InheritedProcess

READ_BYTES = 262_144  # at once; Twisted's own reader takes 8 KiB, which costs a turn of the reactor per 8 KiB


class PipeReader(ProcessReader):
    """Reads a child's output in large pieces, into one buffer that all children share."""

    # All bytes are copied out of it before the next read; a fresh buffer for each read would cost page faults.
    buffer = bytearray(READ_BYTES)

    def doRead(self) -> BaseException | None:
        """Read the available bytes, up to `READ_BYTES`."""
        try:
            size = os.readv(self.fd, (self.buffer,))
        except BlockingIOError:
            return None
        except OSError as why:
            return why
        if not size:
            return CONNECTION_DONE
        self.proc.proto.childBufferReceived(self.name, self.buffer, size)
        return None


class PipeWriter(ProcessWriter):
    """Writes a child's input, without watching the pipe for reading: the child's exit is reported by its own event."""

    def __init__(self, reactor: Any, proc: Any, name: int, fileno: int, forceReadHack: object = None) -> None:
        super().__init__(reactor, proc, name, fileno, forceReadHack=False)
        self.stopReading()
        self.enableReadHack = False

    def write(self, data: bytes) -> None:
        """Queue bytes for the child; all bytes of one turn of the reactor are written together."""
        queue = self._tempDataBuffer
        is_full = self._tempDataLen + len(data) > self.bufferSize
        if queue and self.connected and not is_full and not self.dataBuffer:
            # The reactor knows already that there are bytes to write.
            queue.append(data)
            self._tempDataLen += len(data)
        else:
            super(ProcessWriter, self).write(data)

    @property
    def size(self) -> int:
        """The number of queued bytes."""
        return len(self.dataBuffer) - self.offset + self._tempDataLen

    def unwritten(self) -> bytes:
        """Return the queued bytes."""
        return b"".join((self.dataBuffer[self.offset :], *self._tempDataBuffer))

    def write_now(self, data: bytes) -> None:
        """Write at once if nothing is queued: an idle child reads it a turn earlier, and the epoll set stays."""
        if not self.dataBuffer and not self._tempDataBuffer and self.connected:
            try:
                sent = os.write(self.fd, data)
            except OSError:  # full, or closed: the ordinary write finds out which
                sent = 0
            if sent == len(data):
                return
            data = data[sent:]
        self.write(data)


class SessionProcess(Process):
    """A process that leads a session and a process group of its own."""

    processReaderFactory = PipeReader
    processWriterFactory = PipeWriter

    def _fork(
        self, path: Any, uid: Any, gid: Any, executable: Any, args: Any, environment: Any, **kwargs: Any
    ) -> None:
        fdmap: dict[int, int] = kwargs["fdmap"]
        ignored = [each for each in range(1, signal.NSIG) if signal.getsignal(each) == signal.SIG_IGN]
        # The others are close-on-exec (PEP 446, `mcpgateway.system.process.children`), so only the pipes have to be
        # put in place.
        with _directory(path), _out_of_the_way(fdmap) as ends:
            actions: list[Any] = [(os.POSIX_SPAWN_DUP2, ours, theirs) for theirs, ours in ends.items()]
            self.pid = os.posix_spawn(
                executable,
                args,
                environment,
                file_actions=actions,
                setsid=True,
                setsigmask=(),
                setsigdef=ignored,
            )
        self.status = -1


class ForkedProcess(SessionProcess):
    """A process that a template has forked.

    :param fork: forks it with these three descriptors, and returns its pid.
    """

    def __init__(self, fork: Callable[[Sequence[int]], int], *args: Any) -> None:
        self._fork_by = fork
        super().__init__(*args)

    def _fork(
        self, path: Any, uid: Any, gid: Any, executable: Any, args: Any, environment: Any, **kwargs: Any
    ) -> None:
        self.pid = self._fork_by([kwargs["fdmap"][each] for each in range(3)])
        self.status = -1


class InheritedServer(InheritedProcess):
    """A child that the former program of this process has started."""

    processReaderFactory = PipeReader
    processWriterFactory = PipeWriter


@contextmanager
def _directory(path: str) -> Iterator[None]:
    # Only the reactor's thread spawns, and no other code of the gateway depends on the working directory meanwhile.
    back = os.open(".", os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.chdir(path)
        try:
            yield
        finally:
            os.fchdir(back)
    finally:
        os.close(back)


@contextmanager
def _out_of_the_way(fdmap: Mapping[int, int]) -> Iterator[Mapping[int, int]]:
    # If a standard descriptor of the gateway was closed, a pipe may have its number, and be overwritten by another one.
    moved = (
        {theirs: fcntl.fcntl(ours, fcntl.F_DUPFD_CLOEXEC, len(fdmap)) for theirs, ours in fdmap.items()}
        if min(fdmap.values()) < len(fdmap)
        else {}
    )
    try:
        yield moved or fdmap
    finally:
        for each in moved.values():
            os.close(each)
