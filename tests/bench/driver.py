"""A load client that verifies every answer: ``drive(Load(url=...))``.

Each answer is matched with its request: HTTP status, JSON-RPC id (same value, same JSON type) and, for the tools that
echo, the text, which names the session and the request.  Every session counts its ids and its progress tokens from 1,
as real clients do, so those of different sessions collide in a gateway that shares a child.

    python -m tests.bench.driver http://127.0.0.1:9100/echo/mcp --sessions 20 --connections 16 --seconds 3
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import resource
import socket
import time
from collections import Counter
from collections.abc import Sequence
from typing import Any
from urllib.parse import SplitResult, urlsplit

import attrs
from attrs import define, field, frozen

from tests.bench.http1 import Answer, AnswerReader, BadAnswer, messages
from tests.bench.mcp import INITIALIZED, MODERN, Session, call, initialize, listen, opened, post

OPERATIONS = ("echo", "sleep", "progress", "big", "list")
IDS = ("collide", "mixed", "unique")
SAMPLES_KEPT = 6
OPENED_AT_ONCE = 16
SPARE_FILES = 256
UNIQUE_STRIDE = 10_000_000  # more calls than one session makes in a run
SCANNED_FROM = 20_000  # larger texts are counted, not parsed: the client must not be the limit


@frozen
class Load:
    """The calls to send.

    :ivar is_modern: ask as a client of 2026-07-28, which has no sessions; each of them is a client then.
    :ivar calls: stop after so many calls, however much time is left.
    :ivar ids: ``collide``: every session counts from 1; ``mixed``: as that, every other session with strings, so that
        ``1`` meets ``"1"``; ``unique``: no two calls have the same id.
    :ivar notices: how many progress notices one ``progress`` call asks for.
    """

    url: str
    sessions: int = 1
    connections: int = 1
    seconds: float = 3.0
    calls: int = 10**12
    operation: str = field(default="echo", validator=attrs.validators.in_(OPERATIONS))
    size: int = 64
    ids: str = field(default="collide", validator=attrs.validators.in_(IDS))
    sleep_ms: int = 20
    notices: int = 2
    timeout_s: float = 10.0
    is_modern: bool = False


@define
class Tally:
    """The answers that came back."""

    sent: int = 0
    right: int = 0
    wrong: int = 0
    missing: int = 0
    refused: Counter[int] = field(factory=Counter)
    notices: int = 0
    seconds: float = 0.0
    latencies: list[float] = field(factory=list, repr=False)
    samples: list[str] = field(factory=list)

    @property
    def faults(self) -> int:
        """Calls that did not get their right answer."""
        return self.wrong + self.missing + self.refused.total()

    @property
    def rate(self) -> float:
        """Right answers per second."""
        return self.right / self.seconds if self.seconds else 0.0

    def percentile_ms(self, share: float) -> float:
        """The latency that ``share`` of the answers kept, in milliseconds."""
        if not self.latencies:
            return 0.0
        ordered = sorted(self.latencies)
        return 1e3 * ordered[min(len(ordered) - 1, int(len(ordered) * share))]

    def complain(self, what: str) -> None:
        """Keep the first few faults for the reader."""
        if len(self.samples) < SAMPLES_KEPT:
            self.samples.append(what[:300])


@frozen
class Question:
    """A call, and the text that its answer must hold."""

    body: bytes
    id: int | str
    text: str = ""
    size: int = 0
    token: int | str | None = None
    notices: int = 0


def question(load: Load, session: Session, count: int) -> Question:
    """The ``count``-th call of a session."""
    number: int | str = count
    if load.ids == "unique":
        number = session.number * UNIQUE_STRIDE + count
    elif load.ids == "mixed" and session.number % 2:
        number = str(count)
    if load.operation == "list":
        body = json.dumps({"jsonrpc": "2.0", "id": number, "method": "tools/list", "params": {}}).encode()
        return Question(body, number)
    if load.operation == "big":
        return Question(call(number, "big", {"bytes": load.size}), number, size=load.size)
    text = f"s{session.number}-n{count}-".ljust(load.size, "x")
    arguments: dict[str, Any] = {"text": text}
    if load.operation == "sleep":
        arguments["ms"] = load.sleep_ms
    if load.operation != "progress":
        return Question(call(number, load.operation, arguments), number, text)
    arguments |= {"n": load.notices, "steps": load.notices}
    return Question(call(number, "progress", arguments, number), number, text, 0, number, load.notices)


def fault(asked: Question, answer: Answer, *, is_modern: bool = False) -> str:
    """The fault of an answer; empty where there is none."""
    if asked.size > SCANNED_FROM:
        return _fault_in_big(asked, answer.body)
    try:
        found = messages(answer)
        replies = [message for message in found if "method" not in message]
        if len(replies) != 1:
            return f"{len(replies)} replies to {asked.id!r}: {answer.body[:120]!r}"
        if is_modern != ("resultType" in replies[0]["result"]):
            return f"in the words of the other era: {answer.body[:120]!r}"
        return _fault_in_reply(asked, replies[0]) or _fault_in_notices(asked, found)
    except (KeyError, IndexError, ValueError, TypeError) as why:
        return f"unreadable ({why!r}): {answer.body[:160]!r}"


def _fault_in_big(asked: Question, body: bytes) -> str:
    whole = body.count(b"x") >= asked.size
    named = re.search(
        rb'"id": ?' + re.escape(json.dumps(asked.id).encode()) + rb"[,}]", body[:300] + body[-300:]
    )
    return "" if whole and named else f"{len(body)} bytes for {asked.id!r}: {body[:80]!r} ... {body[-80:]!r}"


def _fault_in_reply(asked: Question, reply: dict[str, Any]) -> str:
    given = reply.get("id")
    if given != asked.id or type(given) is not type(asked.id):
        return f"asked as {asked.id!r}, answered as {given!r}"
    result = reply["result"]
    # A server may answer `progress` with the number of its notices; then they alone tell whose answer it is.
    texts = {asked.text, str(asked.notices)} if asked.notices else {asked.text}
    if asked.text and result["content"][0]["text"] not in texts:
        return f"asked for {asked.text[:32]!r}, got {str(result['content'][0]['text'])[:32]!r}"
    if asked.size and len(result["content"][0]["text"]) != asked.size:
        return f"asked for {asked.size} bytes, got {len(result['content'][0]['text'])}"
    return "" if asked.text or asked.size or result["tools"] else "an empty list of tools"


def _fault_in_notices(asked: Question, found: Sequence[dict[str, Any]]) -> str:
    if asked.token is None:
        return ""
    mine = [message["params"] for message in found if message.get("method") == "notifications/progress"]
    for params in mine:
        token = params["progressToken"]
        if token != asked.token or type(token) is not type(asked.token):
            return f"progress of {token!r} came to {asked.token!r}"
        if params.get("message", asked.text) != asked.text:
            return f"progress {params['message'][:32]!r} came to {asked.text[:32]!r}"
    return "" if len(mine) == asked.notices else f"{len(mine)} of {asked.notices} notices for {asked.token!r}"


class Connection(asyncio.Protocol):
    """A keep-alive HTTP connection that carries one request at a time."""

    def __init__(self) -> None:
        self._reader = AnswerReader()
        self._transport: asyncio.WriteTransport | None = None
        self._waiting: asyncio.Future[Answer] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The connection is open."""
        assert isinstance(transport, asyncio.WriteTransport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Some of an answer."""
        try:
            answer = self._reader.feed(data)
        except (BadAnswer, ValueError) as why:
            self._settle(why)
            return
        if answer is not None:
            self._settle(answer)

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection has closed, which ends an answer without length."""
        self._transport = None
        try:
            self._settle(exc or self._reader.ended())
        except BadAnswer as why:
            self._settle(why)

    def _settle(self, outcome: Answer | Exception) -> None:
        waiting, self._waiting = self._waiting, None
        if waiting is None or waiting.done():
            return
        if isinstance(outcome, Answer):
            waiting.set_result(outcome)
        else:
            waiting.set_exception(outcome)

    async def ask(self, url: SplitResult, request: bytes) -> Answer:
        """Send one request and wait for its whole answer."""
        loop = asyncio.get_running_loop()
        if self._transport is None:
            self._reader = AnswerReader()
            await loop.create_connection(lambda: self, url.hostname or "", url.port or 80)
        assert self._transport is not None
        waiting: asyncio.Future[Answer] = loop.create_future()
        self._waiting = waiting
        self._transport.write(request)
        answer = await waiting
        if answer.header("connection").lower() == "close":
            self.close()
        return answer

    def close(self) -> None:
        """Drop the connection and whatever it was waiting for."""
        self._waiting = None
        if self._transport is not None:
            self._transport.abort()
            self._transport = None


def clients(url: str, count: int) -> list[Session]:
    """So many clients of 2026-07-28, which need not open anything."""
    return [Session(number, url, version=MODERN) for number in range(count)]


async def open_sessions(url: str, count: int, first: int = 0, timeout_s: float = 30.0) -> list[Session]:
    """Initialise ``count`` sessions, a few at a time."""
    target = urlsplit(url)
    numbers = iter(range(first, first + count))
    sessions: list[Session] = []

    async def some() -> None:
        connection = Connection()
        for number in numbers:
            async with asyncio.timeout(timeout_s):
                session = opened(number, url, await connection.ask(target, post(target, initialize())))
                answer = await connection.ask(target, post(target, INITIALIZED, session))
            if answer.status not in {200, 202, 204}:
                raise BadAnswer(f"initialized: {answer.status} {answer.body[:200]!r}")
            sessions.append(session)
        connection.close()

    await asyncio.gather(*(some() for _ in range(min(count, OPENED_AT_ONCE))))
    return sorted(sessions, key=lambda session: session.number)


def open_streams(sessions: Sequence[Session], timeout_s: float = 30.0) -> list[socket.socket]:
    """Listen for each session or client, on a connection of its own, which is the caller's to close.

    :raise BadAnswer: one of them is not answered as a stream.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, len(sessions) + SPARE_FILES)), hard))
    streams: list[socket.socket] = []
    try:
        for session in sessions:
            target = urlsplit(session.url)
            stream = socket.create_connection((target.hostname or "", target.port or 80), timeout_s)
            streams.append(stream)
            stream.sendall(listen(target, session))
        for stream in streams:
            if not (head := stream.recv(1 << 16)).startswith(b"HTTP/1.1 200 "):
                raise BadAnswer(f"listening: {head[:200]!r}")
    except BaseException:
        for stream in streams:
            stream.close()
        raise
    return streams


@define
class _Run:
    load: Load
    sessions: Sequence[Session]
    tally: Tally = field(factory=Tally)
    counts: Counter[int] = field(factory=Counter)
    ends: float = 0.0

    def goes_on(self) -> bool:
        return self.tally.sent < self.load.calls and time.perf_counter() < self.ends

    async def work(self, worker: int) -> None:
        """Carry one connection's share of the load: it goes round its sessions until the run ends."""
        mine = self.sessions[worker % len(self.sessions) :: min(self.load.connections, len(self.sessions))]
        connection = Connection()
        turn = 0
        while self.goes_on():
            session = mine[turn % len(mine)]
            turn += 1
            self.counts[session.number] += 1
            await self._one(connection, session, question(self.load, session, self.counts[session.number]))
        connection.close()

    async def _one(self, connection: Connection, session: Session, asked: Question) -> None:
        tally, url = self.tally, urlsplit(session.url)
        tally.sent += 1
        began = time.perf_counter()
        try:
            async with asyncio.timeout(self.load.timeout_s):
                answer = await connection.ask(url, post(url, asked.body, session))
        except (OSError, TimeoutError, BadAnswer) as why:
            tally.missing += 1
            tally.complain(f"no answer to {asked.id!r} of session {session.number}: {why!r}")
            connection.close()
            await asyncio.sleep(0.01)  # a gateway that refuses connections must not be spun on
            return
        took = time.perf_counter() - began
        if answer.status != 200:
            tally.refused[answer.status] += 1
            tally.complain(f"HTTP {answer.status}: {answer.body[:200]!r}")
            return
        tally.latencies.append(took)
        what = fault(asked, answer, is_modern=session.is_modern)
        if what:
            tally.wrong += 1
            tally.complain(what)
        else:
            tally.right += 1
            tally.notices += asked.notices


async def drive_async(load: Load, sessions: Sequence[Session] = ()) -> Tally:
    """Run a load in the running asyncio loop; sessions that are open already may be given."""
    if not sessions:
        sessions = (
            clients(load.url, load.sessions)
            if load.is_modern
            else await open_sessions(load.url, load.sessions)
        )
    run = _Run(load, sessions)
    began = time.perf_counter()
    run.ends = began + load.seconds
    await asyncio.gather(*(run.work(worker) for worker in range(load.connections)))
    run.tally.seconds = time.perf_counter() - began
    return run.tally


def drive(load: Load, sessions: Sequence[Session] = ()) -> Tally:
    """Run a load and wait for it."""
    return asyncio.run(drive_async(load, sessions))


def parsed(argv: Sequence[str] | None = None) -> Load:
    """The load that a command line asks for."""
    parser = argparse.ArgumentParser(description="Send MCP calls and verify every answer.")
    parser.add_argument("url")
    parser.add_argument("--operation", choices=OPERATIONS, default="echo")
    parser.add_argument("--ids", choices=IDS, default="collide")
    parser.add_argument("--modern", dest="is_modern", action="store_true", help="ask as 2026-07-28 has it")
    defaults = {each.name: each.default for each in attrs.fields(Load)}
    for name in ("sessions", "connections", "calls", "size", "sleep_ms", "notices"):
        parser.add_argument(f"--{name.replace('_', '-')}", type=int, default=defaults[name])
    for name in ("seconds", "timeout_s"):
        parser.add_argument(f"--{name.replace('_', '-')}", type=float, default=defaults[name])
    return Load(**vars(parser.parse_args(argv)))


def main() -> None:
    """Print what came back, as one JSON object."""
    tally = drive(parsed())
    shown = attrs.asdict(tally, filter=lambda attribute, _: attribute.name != "latencies")
    shown |= {"rate": tally.rate, "p50_ms": tally.percentile_ms(0.5), "p99_ms": tally.percentile_ms(0.99)}
    print(json.dumps(shown))


if __name__ == "__main__":
    main()
