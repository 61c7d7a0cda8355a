"""Clients under load: each way in which MCP is spoken to a gateway, every answer judged."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from contextlib import suppress
from random import Random
from typing import Any

from attrs import define, field

from tests.support.http_client import LIMIT_S, Answer, Connection, message, request, tool_call
from tests.support.load_model import Target, World
from tests.support.modern_client import LISTEN, headers_of
from tests.support.modern_client import request as modern_request

GONE = (ConnectionError, asyncio.IncompleteReadError)
REVISIONS = ("2025-03-26", "2025-06-18", "2025-11-25")
STREAM = {"Accept": "text/event-stream"}
Judge = Callable[[str], bool]


class Lost(Exception):
    """A required answer is missing."""


@define(eq=False)
class Reply:
    """The answer to a request.

    :ivar status: 200 if it came on a stream.
    """

    status: int
    messages: list[Any]


@define(eq=False)
class Caller:
    """One client of one endpoint, with a standing stream and a connection for its calls.

    :ivar name: unlike that of any other.
    :ivar address: of the gateway.
    :ivar server: what it calls.
    :ivar path: the endpoint.
    :ivar prefix: what the endpoint puts in front of the names of tools.
    :ivar session: what may happen to its session.
    :ivar id: of its session; empty where it has none.
    :ivar token: the target of the token it shows, and the token.
    """

    world: World
    name: str
    address: str
    server: Target
    random: Random
    path: str
    prefix: str = ""
    token: str = ""
    holds: tuple[Target, ...] = ()
    id: str = field(init=False, default="")
    session: Target = field(init=False)
    _numbers: int = field(init=False, default=0)
    _leaves: bool = field(init=False, default=False)
    _calls: Connection | None = field(init=False, default=None)
    _stream: asyncio.Task[None] | None = field(init=False, default=None)

    def __attrs_post_init__(self) -> None:
        self.session = self.world.target(f"the session of {self.name}")

    # What its kind does.

    async def begin(self) -> None:
        """Initialise, and open the standing stream."""
        raise NotImplementedError

    async def send(self, number: int, tool: str, arguments: Any) -> Reply:
        """Call a tool."""
        raise NotImplementedError

    async def leave(self) -> None:
        """Tell the gateway that it goes."""

    # What all do.

    @property
    def kind(self) -> str:
        """The name under which it is counted."""
        way = " over the Unix socket" if self.address.startswith("unix:") else ""
        return f"{type(self).__name__} at {'a view' if self.prefix else 'a server'}{way}"

    def excuse(self, begun: float) -> str:
        """Why a call may have failed that began then."""
        targets = (self.server, self.session, *self.holds)
        return next((why for each in targets if (why := each.excuse(begun))), "")

    async def open(self) -> bool:
        """Begin a session; whether that succeeded, which it has to unless there is an excuse."""
        begun = self.world.clock()
        self.session = self.world.target(f"the session of {self.name}")
        try:
            async with asyncio.timeout(LIMIT_S):
                await self.begin()
        except (*GONE, Lost, TimeoutError) as why:
            if not self.excuse(begun):
                self.world.complain(f"{self.name} ({self.kind}) could not begin: {why!r}")
            self.world.counts["could not begin, with an excuse"] += 1
            await self.close()
            return False
        self.world.counts[f"begun: {self.kind}"] += 1
        return True

    async def echo(self) -> None:
        """Hear one's own words, and nothing else."""
        nonce = self.world.nonce(self.name)
        await self.call("echo", {"text": nonce}, lambda text: text == nonce)

    async def big(self) -> None:
        """Hear very much."""
        size = self.random.choice((10_000, 300_000, 1_000_000))
        await self.call("big", {"bytes": size}, lambda text: text == "x" * size)

    async def sleep(self) -> None:
        """Wait for the answer while others get theirs."""
        nonce = self.world.nonce(self.name)
        await self.call("sleep", {"ms": 100, "text": nonce}, lambda text: text == nonce)

    async def call(self, tool: str, arguments: Any, is_right: Judge) -> None:
        """Call a tool, and see that the one answer is the right one, or that there is a reason for another."""
        begun, counts = self.world.clock(), self.world.counts
        self._numbers += 1
        number = self._numbers
        wrong = ""
        try:
            async with asyncio.timeout(LIMIT_S):
                reply = await self.send(number, self.prefix + tool, arguments)
        except TimeoutError:
            self.world.complain(f"{self.name} ({self.kind}) never heard of {tool} {arguments}")
            self.cut()
            return
        except (*GONE, Lost) as why:
            self.cut()
            wrong = f"lost: {why!r}"
        else:
            wrong = self._judged(reply, number, is_right)
            if wrong == "":
                counts[f"{tool}: {self.kind}"] += 1
                return
            if wrong.startswith("WRONG"):
                self.world.complain(f"{self.name} ({self.kind}) asked {number} {tool} {arguments}: {wrong}")
                return
        why_not = self.excuse(begun)
        if why_not:
            counts[f"failed: {why_not}"] += 1
        else:
            self.world.complain(
                f"{self.name} ({self.kind}) asked {self.server.name} {number} {tool} {arguments}: {wrong}"
            )

    def _judged(self, reply: Reply, number: int, is_right: Judge) -> str:
        # "" if it is right; a text that begins with WRONG is a fault in any case.
        answers = [each for each in reply.messages if "method" not in each]
        if reply.status >= 400:
            said = answers[0] if answers else {}
            return f"status {reply.status}: {said}" if said.get("error") else f"WRONG: bare {reply.status}"
        if len(answers) != 1:
            return f"WRONG: {len(answers)} answers: {reply.messages}"
        (answer,) = answers
        if answer.get("id") != number or type(answer.get("id")) is not int:
            return f"WRONG: an answer to another: {answer}"
        if "error" in answer:
            return f"error: {answer['error']}" if answer["error"].get("message") else f"WRONG: {answer}"
        result = answer["result"]
        text = result["content"][0]["text"]
        if result.get("isError"):
            return f"error: {text}"
        return "" if is_right(text) else f"WRONG: {text[:100]!r}, {len(text)} characters"

    @property
    def headers(self) -> dict[str, str]:
        """The headers of all its requests."""
        return {"Authorization": f"Bearer {self.token}"} if self.token else {}

    async def ask(self, method: str, path: str, body: bytes = b"", **headers: str) -> Answer:
        """Send a request on the connection for calls."""
        if self._calls is None:
            self._calls = await Connection.open(self.address)
        more = {name.replace("_", "-"): value for name, value in headers.items()}
        answer = await self._calls.ask(method, path, body, {**self.headers, **more})
        if answer.headers.get("connection") == "close":
            self.cut()
        return answer

    def cut(self) -> None:
        """Cut the connection for calls."""
        if self._calls is not None:
            self._calls.close()
            self._calls = None

    def stand(self, work: Any) -> None:
        """Listen on a stream, until it ends."""
        self._stream = asyncio.create_task(work)

    @property
    def is_standing(self) -> bool:
        """True while its stream is open."""
        return self._stream is not None and not self._stream.done()

    def stream_lost(self, asked: float, why: object) -> None:
        """The standing stream has ended by itself; it may have done so before its head was read here."""
        if not self._leaves and not self.excuse(asked):
            where = f"of {self.server.name}, session {self.id or 'none'}"
            self.world.complain(f"{self.name} ({self.kind}) lost its stream {where}: {why!r}")

    async def close(self) -> None:
        """Leave politely where that is possible, and cut all connections."""
        begun, self._leaves = self.world.clock(), True
        try:
            async with asyncio.timeout(LIMIT_S):
                await self.leave()
        except (*GONE, Lost, TimeoutError) as why:
            if not self.excuse(begun):
                self.world.complain(f"{self.name} ({self.kind}) could not leave: {why!r}")
        stream, self._stream = self._stream, None
        if stream is not None:
            stream.cancel()
            with suppress(asyncio.CancelledError):
                await stream
        self.cut()
        self.id = ""


@define(eq=False)
class Streamable(Caller):
    """Streamable HTTP with a session."""

    _revision: str = field(init=False, default="")

    @property
    def headers(self) -> dict[str, str]:
        """With the session, once there is one."""
        said = super().headers
        if self.id:
            said |= {"Mcp-Session-Id": self.id, "MCP-Protocol-Version": self._revision}
        return said

    async def begin(self) -> None:
        """Initialise, and open the stream on which the server speaks unasked."""
        self._revision = self.random.choice(REVISIONS)
        answer = await self.ask("POST", self.path, hello(self._revision))
        if answer.status != 200 or "result" not in (answer.messages or [{}])[-1]:
            raise Lost(f"initialize: {answer.status} {answer.body[:300]!r}")
        self.id = answer.headers["mcp-session-id"]
        done = await self.ask("POST", self.path, message(None, "notifications/initialized"))
        if done.status != 202:
            raise Lost(f"initialized: {done.status} {done.body[:300]!r}")
        asked, stream = self.world.clock(), await Connection.open(self.address)
        await stream.send(request("GET", self.path, b"", {**self.headers, **STREAM}))
        if (status := await stream.head()) != 200:
            stream.close()
            raise Lost(f"GET: {status}")
        self.stand(self._listen(stream, asked))

    async def _listen(self, stream: Connection, asked: float) -> None:
        ended = "its end"
        try:
            async for each in stream.events():
                self.world.counts["heard on standing streams"] += 1
                if "method" not in each:
                    self.world.complain(f"{self.name} heard an answer on its stream: {each}")
        except GONE as why:
            ended = repr(why)
        finally:
            stream.close()
        self.stream_lost(asked, ended)

    async def send(self, number: int, tool: str, arguments: Any) -> Reply:
        """Call a tool."""
        answer = await self.ask("POST", self.path, tool_call(number, tool, arguments))
        return Reply(answer.status, answer.messages)

    async def leave(self) -> None:
        """Delete the session."""
        if self.id:
            answer = await self.ask("DELETE", self.path)
            if answer.status != 200:
                raise Lost(f"DELETE: {answer.status} {answer.body[:300]!r}")


@define(eq=False)
class Modern(Caller):
    """Streamable HTTP without sessions."""

    async def begin(self) -> None:
        """Listen to what changes."""
        body = modern_request("listen", LISTEN, notifications={"toolsListChanged": True})
        asked, stream = self.world.clock(), await Connection.open(self.address)
        said = {**self.headers, **headers_of(body)}
        await stream.send(request("POST", self.path, json.dumps(body).encode(), said))
        if (status := await stream.head()) != 200:
            stream.close()
            raise Lost(f"listen: {status}")
        self.stand(self._listen(stream, asked))

    async def _listen(self, stream: Connection, asked: float) -> None:
        ended = "its end"
        try:
            async for each in stream.events():
                self.world.counts["heard on standing streams"] += 1
                if "method" not in each:
                    ended = f"it was told {each}"
        except GONE as why:
            ended = repr(why)
        finally:
            stream.close()
        self.stream_lost(asked, ended)

    async def send(self, number: int, tool: str, arguments: Any) -> Reply:
        """Call a tool."""
        body = modern_request(number, "tools/call", name=tool, arguments=arguments)
        headers = {name.replace("-", "_"): value for name, value in headers_of(body).items()}
        answer = await self.ask("POST", self.path, json.dumps(body).encode(), **headers)
        return Reply(answer.status, answer.messages)


@define(eq=False)
class Sse(Caller):
    """HTTP with SSE, as older clients speak it."""

    _post_to: str = field(init=False, default="")
    _waiting: dict[int, asyncio.Future[Any]] = field(init=False, factory=dict)

    async def begin(self) -> None:
        """Open the stream, and initialise."""
        asked, stream = self.world.clock(), await Connection.open(self.address)
        await stream.send(request("GET", self.path, b"", {**self.headers, **STREAM}))
        if (status := await stream.head()) != 200:
            stream.close()
            raise Lost(f"GET: {status}")
        named: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.stand(self._listen(stream, asked, named))
        self._post_to = await named
        answer = await self._asked(0, hello("2024-11-05", 0))
        if "result" not in answer:
            raise Lost(f"initialize: {answer}")
        await self._post(message(None, "notifications/initialized"))

    async def _listen(self, stream: Connection, asked: float, named: asyncio.Future[str]) -> None:
        ended, rest = "its end", b""
        try:
            async for chunk in stream.chunks():
                *blocks, rest = (rest + chunk).split(b"\n\n")
                for each in blocks:
                    if each.startswith(b"event: endpoint"):
                        named.set_result(each.partition(b"data: ")[2].decode().strip())
                    elif each.startswith(b"event: message\ndata: "):
                        self._heard(json.loads(each.partition(b"data: ")[2]))
        except GONE as why:
            ended = repr(why)
        finally:
            stream.close()
            waiting: list[asyncio.Future[Any]] = [named, *self._waiting.values()]
            for one in waiting:
                if not one.done():
                    one.set_exception(Lost("the stream has ended"))
                    one.exception()  # the waiting caller may have left meanwhile
        self.stream_lost(asked, ended)

    def _heard(self, said: Any) -> None:
        if "method" in said:
            self.world.counts["heard on standing streams"] += 1
            return
        waiting = self._waiting.pop(said.get("id", -1), None)
        if waiting is None or waiting.done():
            self.world.complain(f"{self.name} was answered what it has not asked, or twice: {said}")
        else:
            waiting.set_result(said)

    async def _asked(self, number: int, body: bytes) -> Any:
        if not self.is_standing:
            raise Lost("there is no stream")
        done: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waiting[number] = done
        try:
            await self._post(body)
            return await done
        finally:
            self._waiting.pop(number, None)

    async def _post(self, body: bytes) -> None:
        answer = await self.ask("POST", self._post_to, body)
        if answer.status != 202:
            raise Lost(f"status {answer.status}: {answer.body[:300]!r}")

    async def send(self, number: int, tool: str, arguments: Any) -> Reply:
        """Call a tool."""
        return Reply(200, [await self._asked(number, tool_call(number, tool, arguments))])


def hello(revision: str, number: int = 0) -> bytes:
    """An ``initialize``."""
    # Programs are few, however many clients run.
    info = {"name": "load", "version": "1"}
    params = {"protocolVersion": revision, "capabilities": {}, "clientInfo": info}
    return message(number, "initialize", params)
