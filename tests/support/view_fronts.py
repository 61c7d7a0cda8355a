"""The ways in which clients reach views and servers, for the storm on them: one small client for each."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

from attrs import Factory, define

from tests.support.gateway import Gateway
from tests.support.http_client import LIMIT_S, Connection, message, request
from tests.support.modern_client import LISTEN, PREFIX, headers_of, meta
from tests.support.modern_client import request as modern_request
from tests.support.view_stories import Story

OFFERS = {"elicitation": {}}
REVISION = "2025-11-25"
LIFE_S = 600  # a process that a failing test forgot ends by itself
ROUNDS = 5  # of questions that one request of the modern era may lead to
CHANGES = ("toolsListChanged", "promptsListChanged")
NO_SESSION = 404
TRIES, KILLED = 5, "killed by signal"
GONE = (ConnectionError, asyncio.IncompleteReadError)

Answers = Callable[[str], dict[str, Any]]


class Lost(Exception):
    """A request had no answer."""


@define(eq=False)
class Asked:
    """The answer to a request.

    :ivar said: the messages before it.
    :ivar answer: the response, which may be an error.
    """

    said: list[Any]
    answer: dict[str, Any]


@define(eq=False)
class Front:
    """One client at one endpoint.

    :ivar name: unlike that of any other.
    :ivar path: the endpoint.
    :ivar answer_question: what its human says to a question.
    :ivar complain: takes what is wrong.
    :ivar listening_since: from when on it is sure to hear of changes.
    :ivar heard_at: when it has last heard each method.
    :ivar story: what it has said and heard.
    """

    gateway: Gateway
    name: str
    path: str
    answer_question: Answers
    complain: Callable[[str], None]
    listening_since: float = float("inf")
    heard_at: dict[str, float] = Factory(dict)
    story: Story = Factory(Story)
    _numbers: int = 0
    _tasks: set[asyncio.Task[Any]] = Factory(set)

    @property
    def remarks(self) -> str:
        """The stderr of its own program, if it has one."""
        return ""

    def told_since(self, begun: str) -> str:
        """All that is known of what has happened to it since some moment."""
        return self.story.since(begun, self.remarks, self.gateway.log)

    async def open(self) -> None:
        """Begin."""
        raise NotImplementedError

    async def ask(self, method: str, params: dict[str, Any]) -> Asked:
        """Send a request, and wait for its answer.

        :raise Lost: there was none.
        """
        try:
            async with asyncio.timeout(LIMIT_S):
                return await self._ask(method, params)
        except TimeoutError:
            raise Lost(f"no answer within {LIMIT_S:g} s") from None
        except GONE as why:
            raise Lost(f"the connection was lost: {why!r}") from None

    async def _ask(self, method: str, params: dict[str, Any]) -> Asked:
        raise NotImplementedError

    async def close(self) -> None:
        """End in order."""
        tasks, self._tasks = self._tasks, set()
        for each in tasks:
            each.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _number(self) -> int:
        # Small numbers, so that those of all clients are the same.
        self._numbers += 1
        return self._numbers

    def _beside(self, work: Any) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _now(self) -> float:
        return asyncio.get_running_loop().time()

    def _hears(self, said: dict[str, Any]) -> None:
        # What is said to it outside of the answers to its requests.
        self.heard_at[said["method"]] = self._now()

    def _reply(self, question: dict[str, Any]) -> dict[str, Any]:
        if question["method"] != "elicitation/create":
            self.complain(f"was asked {question}")
        result = self.answer_question(question["params"]["message"])
        return {"jsonrpc": "2.0", "id": question["id"], "result": result}

    def _hello(self) -> dict[str, Any]:
        return {
            "protocolVersion": REVISION,
            "capabilities": OFFERS,
            "clientInfo": self._info(),
        }

    def _info(self) -> dict[str, str]:
        # Programs are few, however many clients run.
        return {"name": type(self).__name__, "version": "1"}


async def events(connection: Connection) -> AsyncIterator[Any]:
    """The messages of an answer whose head was read, be it one JSON document or a stream of them."""
    kind = connection._headers.get("content-type", "")
    if kind.startswith("text/event-stream"):
        async for each in connection.events():
            yield each
    else:
        body = await connection._body(200)
        if body:
            yield json.loads(body)


class Legacy(Front):
    """Streamable HTTP with a session."""

    _id = ""

    @property
    def _headers(self) -> dict[str, str]:
        return {"Mcp-Session-Id": self._id, "MCP-Protocol-Version": REVISION} if self._id else {}

    async def open(self) -> None:
        """Initialise, and open the stream on which the server speaks unasked."""
        connection = await Connection.open(self.gateway.url)
        answer = await connection.ask("POST", self.path, message(0, "initialize", self._hello()))
        connection.close()
        if answer.status != 200 or "result" not in answer.json:
            raise Lost(f"initialize: {answer}")
        self._id = answer.headers["mcp-session-id"]
        await self._post(message(None, "notifications/initialized"))
        stream = await Connection.open(self.gateway.url)
        await stream.send(request("GET", self.path, b"", {**self._headers, "Accept": "text/event-stream"}))
        status = await stream.head()
        if status != 200:
            raise Lost(f"GET: {status}")
        self.listening_since = self._now()
        self._beside(self._listen(stream))

    async def _listen(self, stream: Connection) -> None:
        try:
            async for each in events(stream):
                await self._takes(each)
        except GONE as why:
            self.complain(f"lost its stream: {why!r}")
        finally:
            self.listening_since = float("inf")
            stream.close()

    async def _takes(self, said: dict[str, Any]) -> None:
        self.story.tell("heard on its stream", said)
        if "id" in said:
            await self._post(json.dumps(self._reply(said)).encode())
        else:
            self._hears(said)

    async def _post(self, body: bytes) -> None:
        connection = await Connection.open(self.gateway.url)
        self.story.tell("said", body)
        try:
            answer = await connection.ask("POST", self.path, body, self._headers)
            if answer.status != 202:
                self.complain(f"said {body!r} and was answered {answer}")
        finally:
            connection.close()

    async def _ask(self, method: str, params: dict[str, Any]) -> Asked:
        number = self._number()
        connection = await Connection.open(self.gateway.url)
        said: list[Any] = []
        try:
            body = message(number, method, params)
            self.story.tell("asked", body)
            await connection.send(request("POST", self.path, body, self._headers))
            status = await connection.head()
            if status == NO_SESSION:
                self.complain(f"asked {body!r} and was told that its session is none")
            async for each in events(connection):
                self.story.tell(f"heard for {number}", each)
                if "method" not in each:
                    if each.get("id") != number:
                        self.complain(f"asked as {number} and was answered {each}")
                    return Asked(said, each)
                if "id" in each:
                    await self._post(json.dumps(self._reply(each)).encode())
                else:
                    said.append(each)
            raise Lost(f"status {status}, and no answer among {said}")
        finally:
            connection.close()

    async def close(self) -> None:
        """Delete the session."""
        await super().close()
        connection = await Connection.open(self.gateway.url)
        answer = await connection.ask("DELETE", self.path, b"", self._headers)
        connection.close()
        if answer.status != 200:
            self.complain(f"left and was answered {answer}")


class Modern(Front):
    """Streamable HTTP without sessions."""

    def _meta(self, **more: Any) -> dict[str, Any]:
        return meta(**{PREFIX + "clientCapabilities": OFFERS, PREFIX + "clientInfo": self._info()}, **more)

    async def open(self) -> None:
        """Listen to what changes, as a process of its own: where servers keep state, that tells clients apart."""
        self._process = await asyncio.create_subprocess_exec("sleep", str(LIFE_S))
        for _ in range(TRIES):
            if await self._has_begun():
                return
        raise Lost(f"listen: its server was killed {TRIES} times")

    async def _has_begun(self) -> bool:
        """Return whether it listens; false if its server was killed before the two had met."""
        wanted = dict.fromkeys(CHANGES, True)
        body = modern_request("listen", LISTEN, self._meta(), notifications=wanted)
        stream = await Connection.open(self.gateway.url)
        await stream.send(request("POST", self.path, json.dumps(body).encode(), self._headers(body)))
        status = await stream.head()
        if status != 200:
            raise Lost(f"listen: {status}")
        begun: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._beside(self._listen(stream, begun))
        async with asyncio.timeout(LIMIT_S):
            return await begun

    def _headers(self, body: dict[str, Any]) -> dict[str, str]:
        return headers_of(body) | {"X-Client-Pid": str(self._process.pid)}

    async def close(self) -> None:
        """End its process."""
        await super().close()
        self._process.kill()
        await self._process.wait()

    async def _listen(self, stream: Connection, begun: asyncio.Future[bool]) -> None:
        try:
            async for each in events(stream):
                if each.get("method") == "notifications/subscriptions/acknowledged":
                    self.listening_since = self._now()
                    begun.set_result(True)
                elif "method" in each:
                    self._hears(each)
                elif not begun.done() and KILLED in each.get("error", {}).get("message", ""):
                    begun.set_result(False)
                else:
                    self.complain(f"was told to listen no more: {each}")
        except GONE as why:
            self.complain(f"lost its stream: {why!r}")
        finally:
            self.listening_since = float("inf")
            stream.close()

    async def _ask(self, method: str, params: dict[str, Any]) -> Asked:
        said: list[Any] = []
        more: dict[str, Any] = {}
        for _ in range(ROUNDS):
            answer = await self._round(method, {**params, **more}, said)
            result = answer.get("result", {})
            if result.get("resultType") != "input_required":
                return Asked(said, answer)
            questions = result["inputRequests"]
            more = {
                "inputResponses": {
                    name: self._reply({"id": 0, **each})["result"] for name, each in questions.items()
                }
            }
            if "requestState" in result:
                more["requestState"] = result["requestState"]
        raise Lost(f"was asked {ROUNDS} times")

    async def _round(self, method: str, params: dict[str, Any], said: list[Any]) -> dict[str, Any]:
        number = self._number()
        given = {key: each for key, each in params.items() if key != "_meta"}
        body = modern_request(number, method, self._meta(**params.get("_meta", {})), **given)
        self.story.tell("asked", body)
        connection = await Connection.open(self.gateway.url)
        try:
            await connection.send(request("POST", self.path, json.dumps(body).encode(), self._headers(body)))
            status = await connection.head()
            async for each in events(connection):
                self.story.tell(f"heard for {number}", each)
                if "method" not in each:
                    if each.get("id") != number:
                        self.complain(f"asked as {number} and was answered {each}")
                    return dict(each)
                said.append(each)
            raise Lost(f"status {status}, and no answer among {said}")
        finally:
            connection.close()
