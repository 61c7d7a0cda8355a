"""Costs of Twisted alone, as programs: none of them is a gateway, each is a limit that one cannot go below.

    floors.py raw PORT             a bare Protocol that finds head and body by hand and answers fixed bytes
    floors.py pipe PORT CHILD...   raw, with one shared child behind it: the id is swapped in the bytes, nothing parsed
    floors.py copy PORT CHILD...   pipe for large results: read in large pieces, joined once, UTF-8 checked, scanned

They listen on 127.0.0.1 and know no sessions.
"""

from __future__ import annotations

import fcntl
import os
import sys
from typing import Any

import msgspec
from attrs import define, field
from twisted.internet import reactor as global_reactor
from twisted.internet.main import CONNECTION_DONE
from twisted.internet.process import Process, ProcessReader
from twisted.internet.protocol import Factory, ProcessProtocol, Protocol

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
FIXED = b'{"jsonrpc":"2.0","id":1,"result":{"content":[{"type":"text","text":"' + b"x" * 64 + b'"}]}}'
ID = b'"id":'
READ_BYTES = 262_144  # Twisted's own reader takes 8 KiB, which for megabytes would be no floor
PIPE_BYTES = 1_048_576  # the most an unprivileged process may ask for on Linux
reactor: Any = global_reactor


class Raw(Protocol):
    """The least that reads a POST over a keep-alive connection."""

    transport: Any
    buffer = b""

    def connectionMade(self) -> None:
        self.transport.setTcpNoDelay(True)

    def dataReceived(self, data: bytes) -> None:
        buffer = self.buffer + data
        while True:
            head = buffer.find(b"\r\n\r\n")
            if head < 0:
                break
            at = buffer.lower().find(b"content-length:", 0, head)
            length = int(buffer[at + 15 : buffer.index(b"\r", at)]) if at >= 0 else 0
            if len(buffer) < head + 4 + length:
                break
            self.requested(buffer[head + 4 : head + 4 + length])
            buffer = buffer[head + 4 + length :]
        self.buffer = buffer

    def requested(self, body: bytes) -> None:
        """Answer, as a whole body is in."""
        self.answer(FIXED)

    def answer(self, body: bytes) -> None:
        """Send one whole body."""
        self.transport.write(HEAD % len(body) + body)


@define(eq=False)
class Waiting:
    """The caller that waits for an answer, and its id."""

    caller: Raw
    id: bytes


@define(eq=False)
class Pipe(ProcessProtocol):
    """The shared child; its answers find their way by the number that was put in."""

    transport: Any = None
    number: int = 0
    waiting: dict[int, Waiting] = field(factory=dict)
    buffer: bytes = b""

    def outReceived(self, data: bytes) -> None:
        *lines, self.buffer = (self.buffer + data).split(b"\n")
        for line in lines:
            self.answered(line)

    def ask(self, caller: Raw, body: bytes) -> None:
        """Pass a request on under a number of ours; what has no id is only acknowledged."""
        at = body.find(ID)
        if at < 0:
            caller.answer(b"{}")
            return
        start, end = id_span(body, at)
        self.number += 1
        self.waiting[self.number] = Waiting(caller, body[start:end].strip())
        self.transport.write(b"%s%d%s\n" % (body[:start], self.number, body[end:]))

    def answered(self, line: bytes) -> None:
        """Give one answer to its caller under the caller's own id."""
        start, end = id_span(line, line.find(ID))
        found = self.waiting.pop(int(line[start:end]), None)
        if found is not None:
            found.caller.answer(line[:start] + found.id + line[end:])


class Envelope(msgspec.Struct):
    """The part of an answer that a gateway must see."""

    id: int
    result: msgspec.Raw = msgspec.Raw()


class LargeReader(ProcessReader):
    """Reads the child's output in large pieces, always into the same warm memory: a fresh buffer is all page faults."""

    buffer = bytearray(READ_BYTES)

    def doRead(self) -> Any:
        size = os.readv(self.fd, (self.buffer,))
        if not size:
            return CONNECTION_DONE
        self.proc.proto.copied(self.buffer, size)
        return None


@define(eq=False)
class Copy(Pipe):
    """As Pipe, careful with megabytes."""

    parts: list[bytes] = field(factory=list)
    scan: Any = field(factory=lambda: msgspec.json.Decoder(Envelope).decode)

    def connectionMade(self) -> None:
        fcntl.fcntl(self.transport.pipes[1].fileno(), fcntl.F_SETPIPE_SZ, PIPE_BYTES)

    def copied(self, buffer: bytearray, size: int) -> None:
        """Take what was read; each line is joined once."""
        start = 0
        with memoryview(buffer) as view:
            while (stop := buffer.find(b"\n", start, size)) >= 0:
                self.parts.append(bytes(view[start:stop]))
                start = stop + 1
                line = self.parts[0] if len(self.parts) == 1 else b"".join(self.parts)
                self.parts.clear()
                self.answered(line)
            if start < size:
                self.parts.append(bytes(view[start:size]))

    def answered(self, line: bytes) -> None:
        if not line.isascii():
            str(line, "utf-8")
        found = self.waiting.pop(self.scan(line).id, None)
        if found is None:
            return
        start, end = id_span(line, line.find(ID))
        parts = [line[:start], found.id, line[end:]]
        found.caller.transport.writeSequence([HEAD % sum(map(len, parts)), *parts])


def id_span(text: bytes, at: int) -> tuple[int, int]:
    """Where the digits of the id begin and end."""
    start = at + len(ID)
    end = start
    while text[end] in b" 0123456789":
        end += 1
    return start, end


def main() -> None:
    """Serve one floor until a signal comes."""
    mode, port, *argv = sys.argv[1:]
    factory = Factory()
    if mode == "raw":
        factory.protocol = Raw
    else:
        pipe = Copy() if mode == "copy" else Pipe()
        if mode == "copy":
            Process.processReaderFactory = LargeReader

        class Piped(Raw):
            def requested(self, body: bytes) -> None:
                pipe.ask(self, body)

        factory.protocol = Piped
        reactor.spawnProcess(pipe, argv[0], argv, env=None)
    reactor.listenTCP(int(port), factory, backlog=512, interface="127.0.0.1")
    reactor.run()


if __name__ == "__main__":
    main()
