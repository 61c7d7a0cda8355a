"""A small HTTP/1.1 client for tests that look at the bytes: it reads what it is told to read, and no more."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

from attrs import define, field, frozen

LIMIT_S = 60.0
READ_LIMIT = 64 * 2**20  # bytes of one line or one chunk
BOTH = "application/json, text/event-stream"
REVISION = "2025-06-18"


@frozen
class Answer:
    """A complete answer; header names are lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body, read as JSON."""
        return json.loads(self.body)

    @property
    def messages(self) -> list[Any]:
        """The JSON-RPC messages in it, be it JSON or an event stream."""
        if not self.is_stream:
            return [self.json] if self.body else []
        events = self.body.split(b"\n\n")
        return [json.loads(data) for event in events if (data := _data(event))]

    @property
    def is_stream(self) -> bool:
        """True if it came as an event stream."""
        return self.headers.get("content-type", "").startswith("text/event-stream")


@frozen
class Event:
    """An event of a stream; an empty one has an id only."""

    name: str
    id: str
    retry: str
    data: bytes


@define(eq=False)
class Connection:
    """A connection to a gateway, kept alive; used by one request at a time.

    :ivar headers: of the latest answer; names are lower case.
    """

    _reader: asyncio.StreamReader
    _writer: asyncio.StreamWriter
    headers: dict[str, str] = field(init=False, factory=dict)

    @classmethod
    async def open(cls, address: str) -> Connection:
        """Connect to ``http://host:port``, ``https://host:port`` (unverified) or ``unix:/path``."""
        if address.startswith("unix:"):
            return cls(*await asyncio.open_unix_connection(address[5:], limit=READ_LIMIT))
        url = urlsplit(address)
        context = ssl._create_unverified_context() if url.scheme == "https" else None
        return cls(*await asyncio.open_connection(url.hostname, url.port, ssl=context, limit=READ_LIMIT))

    async def send(self, data: bytes) -> None:
        """Send bytes as they are."""
        self._writer.write(data)
        await self._writer.drain()

    async def ask(
        self, method: str, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None
    ) -> Answer:
        """Send a request and read its whole answer."""
        await self.send(request(method, path, body, headers))
        return await self.answer()

    async def answer(self) -> Answer:
        """Read a whole answer."""
        async with asyncio.timeout(LIMIT_S):
            status = await self.head()
            return Answer(status, self.headers, await self._body(status))

    async def head(self) -> int:
        """Read the head of an answer; its status."""
        async with asyncio.timeout(LIMIT_S):
            lines = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        pairs = (line.partition(":") for line in lines[1:] if line)
        self.headers = {name.strip().lower(): value.strip() for name, _, value in pairs}
        return int(lines[0].split(" ", 2)[1])

    async def _body(self, status: int) -> bytes:
        if self.headers.get("transfer-encoding") == "chunked":
            return b"".join([chunk async for chunk in self.chunks()])
        if "content-length" in self.headers:
            return await self._reader.readexactly(int(self.headers["content-length"]))
        return b"" if status in {204, 304} else await self._reader.read()

    async def chunks(self) -> AsyncIterator[bytes]:
        """The chunks of a chunked body, as they come."""
        while size := int((await self._reader.readuntil(b"\r\n")).split(b";")[0], 16):
            yield (await self._reader.readexactly(size + 2))[:-2]
        await self._reader.readuntil(b"\r\n")

    async def raw_events(self) -> AsyncIterator[Event]:
        """The events of a stream, as they come, comments left out; the head has been read."""
        rest = b""
        async for chunk in self.chunks():
            *blocks, rest = (rest + chunk).split(b"\n\n")
            for block in blocks:
                if fields := _fields(block):
                    texts = [fields.get(name, b"").decode() for name in ("event", "id", "retry")]
                    yield Event(*texts, fields.get("data", b""))

    async def events(self) -> AsyncIterator[Any]:
        """The messages of an event stream, as they come; the head has been read."""
        async for event in self.raw_events():
            if event.data:
                yield json.loads(event.data)

    async def messages(self) -> AsyncIterator[Any]:
        """The messages of an answer whose head was read, be it one JSON document or a stream of them."""
        if self.is_stream:
            async for each in self.events():
                yield each
        elif body := await self._body(200):
            yield json.loads(body)

    @property
    def is_stream(self) -> bool:
        """True if the answer with the last head is an event stream."""
        return self.headers.get("content-type", "").startswith("text/event-stream")

    async def ended(self) -> bytes:
        """Return the bytes until the connection ends."""
        async with asyncio.timeout(LIMIT_S):
            try:
                return await self._reader.read()
            except ConnectionError:
                return b""

    def hold(self) -> None:
        """Read nothing from the socket any more, so that it fills up."""
        self._transport.pause_reading()

    def resume(self) -> None:
        """Read again."""
        self._transport.resume_reading()

    @property
    def _transport(self) -> asyncio.Transport:
        transport = self._writer.transport
        assert isinstance(transport, asyncio.Transport)
        return transport

    def close(self) -> None:
        """Cut the connection."""
        self._writer.transport.abort()


def request(
    method: str,
    path: str,
    body: bytes = b"",
    headers: Mapping[str, str] | None = None,
    host: str = "localhost",
) -> bytes:
    """A whole HTTP request."""
    said = {"Host": host, "Content-Length": str(len(body)), "Accept": BOTH}
    if body:
        said["Content-Type"] = "application/json"
    said |= headers or {}
    lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in said.items() if value)]
    return "\r\n".join([*lines, "", ""]).encode() + body


def message(number: Any, method: str, params: Any = None) -> bytes:
    """A JSON-RPC request, or a notification where the id is None."""
    said: dict[str, Any] = {"jsonrpc": "2.0"}
    if number is not None:
        said["id"] = number
    said["method"] = method
    if params is not None:
        said["params"] = params
    return json.dumps(said).encode()


def tool_call(number: Any, tool: str, arguments: Any = None, token: Any = None) -> bytes:
    """A ``tools/call``, with a progress token if there is one."""
    params: dict[str, Any] = {"name": tool, "arguments": arguments or {}}
    if token is not None:
        params["_meta"] = {"progressToken": token}
    return message(number, "tools/call", params)


def text_of(answer: Any) -> str:
    """The text of a tool's result."""
    text: str = answer["result"]["content"][0]["text"]
    return text


@define(eq=False)
class Pool:
    """Connections to one address, as many as there are requests at a time."""

    address: str
    _idle: list[Connection] = field(init=False, factory=list)

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """A free connection, kept for the next request unless this one fails."""
        connection = self._idle.pop() if self._idle else await Connection.open(self.address)
        try:
            yield connection
        except BaseException:
            connection.close()
            raise
        if connection.headers.get("connection") == "close":
            connection.close()
        else:
            self._idle.append(connection)

    async def ask(
        self, method: str, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None
    ) -> Answer:
        """Send one request on a free connection, and read its whole answer."""
        async with self.connection() as connection:
            return await connection.ask(method, path, body, headers)

    def close(self) -> None:
        """Cut the free connections."""
        for each in self._idle:
            each.close()
        self._idle.clear()


@define(eq=False)
class Client:
    """A session with one server, over as many connections as it has requests at a time.

    :ivar id: its ``Mcp-Session-Id``.
    :ivar revision: the revision it asks for, and says in its headers.
    :ivar hello: the result of its ``initialize``.
    """

    address: str
    path: str
    id: str = ""
    revision: str = REVISION
    hello: dict[str, Any] = field(factory=dict)
    _pool: Pool = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._pool = Pool(self.address)

    @classmethod
    async def open(
        cls,
        address: str,
        server: str,
        info: Mapping[str, Any] | None = None,
        *,
        capabilities: Mapping[str, Any] | None = None,
        revision: str = REVISION,
        **headers: str,
    ) -> Client:
        """Initialise a session."""
        client = cls(address, f"/{server}/mcp", revision=revision)
        params = {
            "protocolVersion": revision,
            "capabilities": capabilities or {},
            "clientInfo": {"name": "test", "version": "1", **(info or {})},
        }
        more = {name.replace("_", "-"): value for name, value in headers.items()}
        answer = await client.post(message(0, "initialize", params), more)
        if answer.status != 200 or "result" not in answer.json:
            raise AssertionError(f"initialize: {answer.status} {answer.body.decode(errors='replace')}")
        client.id = answer.headers["mcp-session-id"]
        client.hello = answer.json["result"]
        done = await client.post(message(None, "notifications/initialized"), more)
        assert done.status == 202
        return client

    @property
    def headers(self) -> dict[str, str]:
        """The headers of the session's requests."""
        return {"Mcp-Session-Id": self.id, "MCP-Protocol-Version": self.revision} if self.id else {}

    async def post(self, body: bytes, headers: Mapping[str, str] | None = None) -> Answer:
        """Post one message."""
        return await self.ask("POST", body, headers)

    async def ask(self, method: str, body: bytes = b"", headers: Mapping[str, str] | None = None) -> Answer:
        """Send one request to its endpoint, on a connection that is free."""
        return await self._pool.ask(method, self.path, body, {**self.headers, **(headers or {})})

    async def begin(self, body: bytes, *, reads: bool = True) -> Connection:
        """Post a message on a connection of its own, and let its answer wait."""
        connection = await Connection.open(self.address)
        if not reads:
            connection.hold()
        await connection.send(request("POST", self.path, body, self.headers))
        return connection

    async def call(self, tool: str, arguments: Any = None, number: Any = 1) -> Any:
        """Call a tool; the last message of the answer, whose id is the call's own."""
        answer = await self.post(tool_call(number, tool, arguments))
        last = answer.messages[-1]
        assert last["id"] == number
        assert type(last["id"]) is type(number)
        return last

    async def text(self, tool: str, **arguments: Any) -> str:
        """Call a tool; the text of its result."""
        return text_of(await self.call(tool, arguments))

    async def value(self, tool: str, **arguments: Any) -> Any:
        """Call a tool; the JSON value in the text of its result."""
        return json.loads(await self.text(tool, **arguments))

    def close(self) -> None:
        """Cut its connections."""
        self._pool.close()


def _data(event: bytes) -> bytes:
    return _fields(event).get("data", b"")


def _fields(event: bytes) -> dict[str, bytes]:
    fields: dict[str, bytes] = {}
    for line in event.replace(b"\r\n", b"\n").split(b"\n"):
        name, _, value = line.partition(b":")
        if name:
            value = value.removeprefix(b" ")
            key = name.decode()
            fields[key] = fields[key] + b"\n" + value if key in fields else value
    return fields
