"""Clients of a storm, one class for each transport: they ask, answer questions, and remember what was said."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import suppress
from math import inf
from pathlib import Path
from typing import Any

from attrs import Factory, define, field

from tests.support.gateway import Gateway
from tests.support.harness.model import Lost, Target, clock, excuse
from tests.support.harness.storm import Walker
from tests.support.harness.story import Story, now
from tests.support.http_client import LIMIT_S, READ_LIMIT, Answer, Connection, Pool, message, request
from tests.support.modern_client import ACKNOWLEDGED, LISTEN, PREFIX, headers_of, meta, note
from tests.support.modern_client import request as modern_request

GONE = (ConnectionError, asyncio.IncompleteReadError)
STREAM = {"Accept": "text/event-stream"}
REVISION = "2025-11-25"
CAN_BE_ASKED = {"elicitation": {}}
CHANGES = ("toolsListChanged", "promptsListChanged")
LIFE_S = 600  # a process that a failing test forgot ends by itself
ROUNDS = 5  # of questions that one request of the modern era may lead to
NO_SESSION = 404
TRIES, KILLED = 5, "killed by signal"
SHIM = Path(__file__).parents[3] / "mcpgateway" / "shim" / "shim_main.py"


@define(eq=False)
class Reply:
    """The answer to a request.

    :ivar status: 200 if it came on a stream.
    :ivar said: the messages before it.
    :ivar answer: the response, which may be an error.
    """

    status: int
    said: list[Any]
    answer: dict[str, Any]

    @property
    def text(self) -> str:
        """The text of a tool's result."""
        return str(self.answer["result"]["content"][0]["text"])

    @property
    def failure(self) -> str | None:
        """The failure that the answer reports; None for none."""
        if "error" in self.answer:
            return str(self.answer["error"].get("message") or "")
        return self.text if self.answer["result"].get("isError") else None


@define(eq=False)
class StormClient(Walker):
    """A client of one endpoint, with a stream on which the gateway announces changes.

    :ivar path: the endpoint.
    :ivar targets: the servers and tokens with which its requests may fail.
    :ivar address: of the gateway, by default that of its TCP port.
    :ivar offers: the client capabilities.
    :ivar session: its session, which may be ended by others.
    :ivar id: the session id; empty where there is no session.
    :ivar listening_since: the time from which on every change has to be announced to it.
    :ivar heard_at: the time of the latest notification of each method.
    :ivar story: the latest messages in both directions.
    """

    gateway: Gateway
    path: str
    targets: tuple[Target, ...] = ()
    address: str = ""
    token: str = ""
    offers: Mapping[str, Any] = Factory(dict)
    revisions: Sequence[str] = (REVISION,)
    id: str = field(init=False, default="")
    session: Target = field(init=False)
    listening_since: float = field(init=False, default=inf)
    heard_at: dict[str, float] = field(init=False, factory=dict)
    story: Story = field(init=False, factory=Story)
    _numbers: int = field(init=False, default=0)
    _leaves: bool = field(init=False, default=False)
    _revision: str = field(init=False, default="")
    _pool: Pool = field(init=False)
    _stream: asyncio.Task[None] | None = field(init=False, default=None)

    def __attrs_post_init__(self) -> None:
        self.address = self.address or self.gateway.url
        self.session = Target(f"the session of {self.name}")
        self._pool = Pool(self.address)

    # What a transport does.

    async def begin(self) -> None:
        """Initialise the session, and open the stream."""
        raise NotImplementedError

    async def send(self, number: int, method: str, params: dict[str, Any]) -> Reply:
        """Send a request, and wait for its answer."""
        raise NotImplementedError

    async def say(self, said: dict[str, Any]) -> None:
        """Send a notification, or the answer to a question."""
        self.story.tell("said", said)
        answer = await self.post(json.dumps(said).encode())
        if answer.status != 202:
            raise Lost(f"said {said} and was answered {answer}")

    async def leave(self) -> None:
        """End the session."""

    # What all do.

    @property
    def kind(self) -> str:
        """The name under which its transport and its endpoint are counted."""
        way = " over the Unix socket" if self.address.startswith("unix:") else ""
        return f"{type(self).__name__} at {'a view' if self.is_at_view else 'a server'}{way}"

    @property
    def is_at_view(self) -> bool:
        """True if the endpoint is a view."""
        return self.path == "/sse" or self.path.startswith("/mcp")

    @property
    def is_standing(self) -> bool:
        """True while the stream is open."""
        return self._stream is not None and not self._stream.done()

    @property
    def headers(self) -> dict[str, str]:
        """The headers of all requests."""
        said = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        if self.id:
            said |= {"Mcp-Session-Id": self.id, "MCP-Protocol-Version": self._revision}
        return said

    @property
    def info(self) -> dict[str, str]:
        """The client information; programs are few, however many clients run."""
        return {"name": type(self).__name__, "version": "1"}

    def complain(self, what: str) -> None:
        """Note that something is wrong."""
        self.model.complain(f"{self.name} ({type(self).__name__} at {self.path})", what)

    def excuse(self, begun: float, *more: Target) -> str:
        """The reason for which a request may have failed that began then; "" for none."""
        return excuse((*more, *self.targets, self.session), begun)

    async def open(self) -> bool:
        """Begin the session; return whether that has succeeded. Without an excuse a failure is a fault."""
        begun, self._leaves = clock(), False
        self.session = Target(self.session.name)
        self._revision = self.random.choice(self.revisions)
        try:
            async with asyncio.timeout(LIMIT_S):
                await self.begin()
        except (*GONE, Lost, TimeoutError) as why:
            if not self.excuse(begun):
                self.complain(f"could not begin: {why!r}")
            self.model.counts["could not begin"] += 1
            await self.close()
            return False
        if self.is_standing:
            self.listening_since = clock()
        self.model.counts[f"begun: {self.kind}"] += 1
        return True

    async def ask(self, method: str, params: dict[str, Any]) -> Reply:
        """Send a request, and wait for its answer.

        :raise Lost: no answer has come. Without an excuse that is a fault, and after the time limit in any case.
        """
        self._numbers += 1  # small numbers, so that those of all clients are the same
        begun, at, is_late = clock(), now(), False
        try:
            async with asyncio.timeout(LIMIT_S):
                return await self.send(self._numbers, method, params)
        except TimeoutError:
            lost, is_late = Lost(f"no answer within {LIMIT_S:g} s"), True
        except GONE as why:
            lost = Lost(f"the connection was lost: {why!r}")
        except Lost as why:
            lost = why
        if (why_not := self.excuse(begun)) and not is_late:
            self.model.counts[f"lost: {why_not}"] += 1
        else:
            self.complain(f"asked {method} {params} and lost the answer: {lost}")
            self.model.stories.append(self.story.since(at, self.remarks, self.gateway.log))
        raise lost

    @property
    def remarks(self) -> str:
        """The stderr of the client's own program, if there is one."""
        return ""

    async def close(self) -> None:
        """End the session where that is possible, and cut all connections."""
        begun, self._leaves = clock(), True
        try:
            async with asyncio.timeout(LIMIT_S):
                await self.leave()
        except (*GONE, Lost, TimeoutError) as why:
            if not self.excuse(begun):
                self.complain(f"could not leave: {why!r}")
        stream, self._stream = self._stream, None
        if stream is not None:
            stream.cancel()
            with suppress(asyncio.CancelledError):
                await stream
        self._pool.close()
        self.id = ""

    async def post(self, body: bytes) -> Answer:
        """Post a message, and read the whole answer."""
        return await self._pool.ask("POST", self.path, body, self.headers)

    async def initialize(self) -> None:
        """Send ``initialize``, and acknowledge the answer."""
        hello = {"protocolVersion": self._revision, "capabilities": self.offers, "clientInfo": self.info}
        reply = await self.send(0, "initialize", hello)
        if "result" not in reply.answer:
            raise Lost(f"initialize: {reply}")
        await self.say(note("notifications/initialized"))

    async def streamed(self, method: str, body: bytes, headers: Mapping[str, str]) -> Connection:
        """A connection on which a stream has begun."""
        stream = await Connection.open(self.address)
        await stream.send(request(method, self.path, body, {**self.headers, **headers}))
        if (status := await stream.head()) != 200:
            stream.close()
            raise Lost(f"{method} of a stream: {status}")
        return stream

    def listen(self, messages: AsyncIterator[Any], asked: float, stream: Connection | None = None) -> None:
        """Take the messages of a stream as they come, in a task.

        :param asked: the time since which there may be a reason for the end of the stream.
        """
        self._stream = asyncio.create_task(self._listen(messages, asked, stream))

    async def _listen(self, messages: AsyncIterator[Any], asked: float, stream: Connection | None) -> None:
        ended = "its end"
        try:
            async for each in messages:
                self.story.tell("heard on its stream", each)
                await self.takes(each)
        except (*GONE, Lost) as why:
            ended = repr(why)
        finally:
            self.listening_since = inf
            if stream is not None:
                stream.close()
            self.ended()
        if not self._leaves:
            self.stream_lost(asked, ended)

    def ended(self) -> None:
        """Note that no more messages come on the stream."""

    def stream_lost(self, asked: float, why: str) -> None:
        """Note that the stream has ended by itself, maybe before its head was read here."""
        if not self.excuse(asked):
            self.complain(f"lost its stream, session {self.id or 'none'}: {why}")

    async def takes(self, said: dict[str, Any]) -> None:
        """Take a message of the stream."""
        if "method" not in said:
            self.answered(said)
        elif "id" in said:
            await self.say(self.reply(said))
        else:
            self.hears(said)

    def answered(self, said: dict[str, Any]) -> None:
        """Take an answer that came on the stream."""
        self.complain(f"was answered on its stream: {said}")

    def hears(self, said: dict[str, Any]) -> None:
        """Take a notification that came on the stream."""
        self.heard_at[said["method"]] = clock()
        self.model.counts["heard on standing streams"] += 1

    def reply(self, question: dict[str, Any]) -> dict[str, Any]:
        """Answer a question with words that no other client has."""
        if question["method"] != "elicitation/create" or not self.offers:
            self.complain(f"was asked {question}")
        said = f"{self.name}: {question['params']['message']}"
        return {
            "jsonrpc": "2.0",
            "id": question["id"],
            "result": {"action": "accept", "content": {"said": said}},
        }

    async def exchange(self, number: int, body: bytes, headers: Mapping[str, str]) -> Reply:
        """Post a request, and read the whole answer, in which questions may come first."""
        said: list[Any] = []
        answers: list[Any] = []
        begun = clock()
        self.story.tell("asked", body)
        async with self._pool.connection() as connection:
            await connection.send(request("POST", self.path, body, {**self.headers, **headers}))
            status = await connection.head()
            async for each in connection.messages():
                self.story.tell(f"heard for {number}", each)
                if "method" not in each:
                    answers.append(each)
                elif "id" in each:
                    await self.say(self.reply(each))
                else:
                    said.append(each)
            self.id = self.id or connection.headers.get("mcp-session-id", "")
        why_not = self.excuse(begun)
        if status == NO_SESSION and not why_not:
            self.complain(f"asked {body!r} and was told that its session is none")
        answer = answers[0] if len(answers) == 1 else {}
        is_refused = status >= 400 and "error" in answer and (why_not or answer.get("id") == number)
        if not is_refused and (status >= 400 or not is_same(answer.get("id"), number)):
            self.complain(f"asked {body!r} and was answered {status}: {answers}")
            raise Lost(f"status {status}, {len(answers)} answers, after {said}")
        return Reply(status, said, answer)


class Streamable(StormClient):
    """A client over Streamable HTTP with a session."""

    async def begin(self) -> None:
        """Initialise, and open the stream on which the server speaks unasked."""
        await self.initialize()
        asked = clock()
        stream = await self.streamed("GET", b"", STREAM)
        self.listen(stream.messages(), asked, stream)

    async def send(self, number: int, method: str, params: dict[str, Any]) -> Reply:
        """Post a request."""
        return await self.exchange(number, message(number, method, params), {})

    async def leave(self) -> None:
        """Delete the session."""
        if self.id:
            answer = await self._pool.ask("DELETE", self.path, b"", self.headers)
            if answer.status != 200:
                raise Lost(f"DELETE: {answer}")


@define(eq=False)
class Modern(StormClient):
    """A client over Streamable HTTP without sessions.

    :ivar has_process: the client is a process of its own: where servers keep state, that tells clients apart.
    """

    has_process: bool = False
    _process: asyncio.subprocess.Process | None = field(init=False, default=None)
    _begun: asyncio.Future[bool] = field(init=False)

    async def begin(self) -> None:
        """Open the stream that announces changes."""
        if self.has_process:
            self._process = await asyncio.create_subprocess_exec("sleep", str(LIFE_S))
        for _ in range(TRIES):
            self._begun = asyncio.get_running_loop().create_future()
            body = modern_request("listen", LISTEN, self._meta(), notifications=dict.fromkeys(CHANGES, True))
            asked = clock()
            stream = await self.streamed("POST", json.dumps(body).encode(), headers_of(body))
            self.listen(stream.messages(), asked, stream)
            if await self._begun:
                return
        raise Lost(f"listen: its server was killed {TRIES} times")

    def hears(self, said: dict[str, Any]) -> None:
        """Take a notification; the first acknowledges the stream."""
        if said["method"] == ACKNOWLEDGED and not self._begun.done():
            self._begun.set_result(True)
        else:
            super().hears(said)

    def answered(self, said: dict[str, Any]) -> None:
        """Take the answer that ends the stream; the server may have been killed before the stream had begun."""
        if not self._begun.done() and KILLED in said.get("error", {}).get("message", ""):
            self._begun.set_result(False)
        raise Lost(f"it was told {said}")

    def stream_lost(self, asked: float, why: str) -> None:
        """Note that the stream has ended by itself, unless it is opened again because the server was killed."""
        if not self._begun.done():
            self._begun.set_result(False)
        elif not self._begun.result():
            return
        super().stream_lost(asked, why)

    @property
    def headers(self) -> dict[str, str]:
        """The headers of all requests."""
        return super().headers | ({"X-Client-Pid": str(self._process.pid)} if self._process else {})

    async def close(self) -> None:
        """End the session, and the process."""
        await super().close()
        if self._process is not None:
            self._process.kill()
            await self._process.wait()

    def _meta(self, **more: Any) -> dict[str, Any]:
        said = {PREFIX + "clientCapabilities": self.offers, PREFIX + "clientInfo": self.info}
        return meta(**said, **more)

    async def send(self, number: int, method: str, params: dict[str, Any]) -> Reply:
        """Post a request, and post it again with the answers to the questions that it leads to."""
        said: list[Any] = []
        more: dict[str, Any] = {}
        given = {key: each for key, each in params.items() if key != "_meta"}
        for _ in range(ROUNDS):
            body = modern_request(number, method, self._meta(**params.get("_meta", {})), **given, **more)
            reply = await self.exchange(number, json.dumps(body).encode(), headers_of(body))
            said += reply.said
            result = reply.answer.get("result", {})
            if result.get("resultType") != "input_required":
                return Reply(reply.status, said, reply.answer)
            questions = result["inputRequests"].items()
            more = {
                "inputResponses": {name: self.reply({"id": 0, **each})["result"] for name, each in questions}
            }
            if "requestState" in result:
                more["requestState"] = result["requestState"]
        raise Lost(f"was asked {ROUNDS} times")


@define(eq=False)
class Duplex(StormClient):
    """A client that reads all messages from one stream.

    :ivar waiting: for each request the future answer, the messages before it, and the progress token.
    """

    waiting: dict[Any, tuple[asyncio.Future[Reply], list[Any], Any]] = field(init=False, factory=dict)

    async def send(self, number: int, method: str, params: dict[str, Any]) -> Reply:
        """Send a request on the one stream, and wait for the answer on the other."""
        if not self.is_standing:
            raise Lost("there is no stream")
        done: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self.waiting[number] = (done, [], params.get("_meta", {}).get("progressToken"))
        try:
            await self.say({"jsonrpc": "2.0", "id": number, "method": method, "params": params})
            return await done
        finally:
            del self.waiting[number]

    def answered(self, said: dict[str, Any]) -> None:
        """Take the answer to a request."""
        number = said.get("id")
        done, before, _ = self.waiting.get(number, (None, [], None))
        if done is None or done.done() or type(number) is not int:
            self.complain(f"was answered what it has not asked, or twice: {said}")
        else:
            done.set_result(Reply(200, before, said))

    def hears(self, said: dict[str, Any]) -> None:
        """Take a notification; progress is that of the requests with its token."""
        if said["method"] != "notifications/progress":
            super().hears(said)
            return
        heard = [
            before for _, before, token in self.waiting.values() if token == said["params"]["progressToken"]
        ]
        for each in heard:
            each.append(said)
        if not heard:
            self.complain(f"heard progress of nothing: {said}")

    def ended(self) -> None:
        """Let all requests end without an answer."""
        for done, said, _ in self.waiting.values():
            if not done.done():
                done.set_exception(Lost(f"the stream has ended after {said}"))
                done.exception()  # the waiting hand may have left meanwhile


class Sse(Duplex):
    """A client of the older transport, HTTP with SSE."""

    revisions = ("2024-11-05",)
    _post_to = ""

    async def begin(self) -> None:
        """Open the stream, and initialise."""
        asked = clock()
        stream = await self.streamed("GET", b"", STREAM)
        events = stream.raw_events()
        self._post_to = (await anext(events)).data.decode()
        self.listen((json.loads(each.data) async for each in events if each.data), asked, stream)
        await self.initialize()

    async def post(self, body: bytes) -> Answer:
        """Post a message to the endpoint that the stream names."""
        return await self._pool.ask("POST", self._post_to or self.path, body, self.headers)


@define(eq=False)
class Stdio(Duplex):
    """A client behind the shim, on its standard input and output."""

    _process: asyncio.subprocess.Process = field(init=False)

    @property
    def _stderr(self) -> Path:
        return self.gateway.directory / f"stderr-{self.name}"

    @property
    def remarks(self) -> str:
        """The shim's output on stderr."""
        return self._stderr.read_text(errors="replace")

    async def begin(self) -> None:
        """Start the shim, and initialise the session."""
        view = self.path.removeprefix("/mcp").strip("/")
        directory = self.gateway.directory
        with self._stderr.open("wb") as stderr:
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-I", "-S", str(SHIM), "default", "--home", str(self.gateway.home)),
                *("stdio", *(("--view", view) if view else ())),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=stderr,
                cwd=directory,
                env={"PATH": os.environ["PATH"], "HOME": str(directory), "LANG": "C.UTF-8"},
                limit=READ_LIMIT,
            )
        self.listen(self._lines(), clock())
        await self.initialize()

    async def _lines(self) -> AsyncIterator[Any]:
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            yield json.loads(line)

    async def say(self, said: dict[str, Any]) -> None:
        """Write a line."""
        self.story.tell("said", said)
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(said).encode() + b"\n")
        await self._process.stdin.drain()

    async def leave(self) -> None:
        """Close the shim's input, and wait for its end."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            async with asyncio.timeout(LIMIT_S / 2):
                code = await self._process.wait()
        except TimeoutError:
            with suppress(ProcessLookupError):
                self._process.kill()
            await self._process.wait()
            raise Lost("its program does not end") from None
        # The gateway is there all the time, and so is the session: there is nothing to remark.
        if code != 0 or self.remarks:
            self.complain(f"its program ended with {code} and remarked {self.remarks!r}")
        self._stderr.unlink()


def is_same(found: Any, number: int) -> bool:
    """Return whether an id is that number; 1, 1.0 and True are three."""
    return type(found) is int and found == number
