"""A session of a storm on the wire: its calls, its GET stream, and how it breaks and mends its connections."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Mapping
from random import Random
from typing import Any

from attrs import Factory, define, field

from tests.support.harness.model import clock, until
from tests.support.http_client import LIMIT_S, Answer, Connection, Event, message, request
from tests.support.storm_model import Call, Member, SessionsModel, number_of, question_text

LOST = (ConnectionError, asyncio.IncompleteReadError)
TRY_AGAIN_S = 0.05
REOPEN_S = 0.5  # how long a client waits before it opens its GET stream again
NEVER = (401, 403, 404)  # statuses that tell a client that its session is lost
CAPABILITIES = {"roots": {"listChanged": True}, "sampling": {}, "elicitation": {"form": {}, "url": {}}}


@define(eq=False)
class Link:
    """One connection, and the epoch of the gateway at its other end.

    :ivar is_dropped: the client has cut it; what it had not read yet it does not know.
    :ivar is_resumed: it carries a stream on.
    :ivar opened: when it was opened, on the clock that numbers what servers say.
    :ivar number: of the latest message that the server has said on it unasked.
    """

    wire: Connection
    epoch: int
    is_dropped: bool = False
    is_resumed: bool = False
    opened: int = Factory(time.monotonic_ns)
    number: int = 0

    async def answer(self, status: int) -> Answer:
        """The rest of an answer whose head was read."""
        async with asyncio.timeout(LIMIT_S):
            return Answer(status, self.wire.headers, await self.wire._body(status))


@define(eq=False)
class Session:
    """A client of one server.

    :ivar id: its ``Mcp-Session-Id``.
    :ivar leaving: set once it asks for nothing new.
    :ivar is_gone: True once no message of it is read.
    """

    address: str
    member: Member
    random: Random = field(repr=False)
    others: Callable[[], list[Session]] = field(repr=False)
    id: str = ""
    leaving: asyncio.Event = Factory(asyncio.Event)
    is_gone: bool = False
    said: dict[str, Any] = Factory(dict)
    _asked: int = 0
    _links: set[Link] = Factory(set)
    _idle: list[Link] = Factory(list)
    _stream: Link | None = None
    _stream_at: str = ""
    _tasks: set[asyncio.Task[None]] = Factory(set)
    _keeper: asyncio.Task[None] | None = None

    @property
    def model(self) -> SessionsModel:
        """The model by which its messages are judged."""
        return self.member.model

    @property
    def headers(self) -> dict[str, str]:
        """The headers of its session's requests."""
        said = {"Mcp-Session-Id": self.id}
        if self.member.version >= "2025-06-18":
            said["MCP-Protocol-Version"] = self.member.version
        return said if self.id else {}

    @property
    def path(self) -> str:
        """The endpoint of the session."""
        return f"/{self.member.server}/mcp"

    def spawn(self, work: Callable[..., Awaitable[Any]], *about: Any) -> asyncio.Task[None]:
        """Do something beside everything else; its failure is a finding."""
        task = asyncio.create_task(self._guarded(work, *about))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _guarded(self, work: Callable[..., Awaitable[Any]], *about: Any) -> None:
        try:
            await work(*about)
        except Exception as why:
            self.member.complain(f"broke: {why!r}")
            raise

    # Connections.

    async def link(self, *, is_fresh: bool = True) -> Link:
        """A connection to the gateway, as soon as there is one."""
        while not is_fresh and self._idle:
            link = self._idle.pop()
            if link.epoch == self.model.epoch:
                return link
            self._cut(link)
        async with asyncio.timeout(LIMIT_S):
            while True:
                epoch = self.model.epoch
                if epoch % 2:
                    await asyncio.sleep(TRY_AGAIN_S)
                    continue
                try:
                    link = Link(await Connection.open(self.address), epoch)
                except OSError:
                    if self.model.kills == 0:
                        raise
                    await asyncio.sleep(TRY_AGAIN_S)
                else:
                    self._links.add(link)
                    return link

    def _cut(self, link: Link) -> None:
        link.is_dropped = True
        link.wire.close()
        self._links.discard(link)

    async def ask(
        self, method: str, body: bytes = b"", headers: Mapping[str, str] | None = None
    ) -> Answer | None:
        """Send one request whose answer is short; None when it was lost with the gateway."""
        link = await self.link(is_fresh=False)
        try:
            answer = await link.wire.ask(method, self.path, body, {**self.headers, **(headers or {})})
        except LOST as why:
            self._lost(link, why, f"{method} {body[:200]!r}")
            return None
        self.member.was_served(link.epoch)
        self._keep(link, answer.headers)
        return answer

    def _keep(self, link: Link, headers: Mapping[str, str]) -> None:
        if headers.get("connection") == "close" or self.is_gone:
            self._cut(link)
        else:
            self._idle.append(link)

    def _lost(self, link: Link, why: Exception, what: str) -> bool:
        self._cut(link)
        is_explained = self.model.is_explained(link.epoch) or self.is_gone
        if not is_explained:
            self.member.complain(f"lost its connection without a reason ({why!r}): {what}")
        return is_explained

    # The session.

    async def begin(self) -> None:
        """Initialise; a handshake that was lost with the gateway is begun anew."""
        params = {
            "protocolVersion": self.member.version,
            "capabilities": CAPABILITIES,
            "clientInfo": {"name": self.member.name, "version": "1"},
        }
        answer = None
        while answer is None:
            answer = await self.ask("POST", message(self.member.name, "initialize", params))
        if answer.status != 200 or answer.json["result"]["protocolVersion"] != self.member.version:
            raise AssertionError(f"{self.member}: initialize: {answer}")
        if answer.json["id"] != self.member.name:
            self.member.complain(f"initialised and was answered {answer.json}")
        self.id = answer.headers["mcp-session-id"]
        self.member.is_here = True
        while not await self.tell(message(None, "notifications/initialized")):
            pass
        self._keeper = self.spawn(self._keep_stream)

    async def tell(self, body: bytes) -> bool:
        """Post what needs no answer; false when it was lost with the gateway."""
        answer = await self.ask("POST", body)
        if answer is None:
            return False
        wanted = (202,) if self.member.is_here else (202, 404)
        if answer.status not in wanted or (answer.status == 202 and answer.body):
            self.member.complain(f"told {body!r} and was answered {answer}")
        return True

    async def call(self, call: Call, method: str, params: Any = None, **manner: float) -> Call:
        """Send a request and read everything that comes of it.

        :param hold_s: how long its answer is not read.
        :param drops: how often the connection is cut after an event, and the stream taken up again.
        """
        self.member.calls[call.text] = call
        call.epoch, call.begun = self.model.epoch, clock()
        call.may_fail = "" if self.member.is_here else "ended"
        self.model.counts[call.kind] += 1
        try:
            async with asyncio.timeout(LIMIT_S):
                await self._carry(call, message(call.id, method, params), **manner)
        except TimeoutError:
            self.member.complain(f"got no answer to {call.text} ({call.kind}) within {LIMIT_S:g} s")
        else:
            call.done = clock()
        return call

    async def _carry(self, call: Call, body: bytes, hold_s: float = 0, drops: int = 0) -> None:
        link = await self.link(is_fresh=hold_s > 0 or drops > 0)
        call.epoch = link.epoch
        at = ""
        try:
            await self._send(link, "POST", body, {}, hold_s)
            status = await link.wire.head()
            self.member.was_served(link.epoch)
            if link.wire.is_stream:
                at = await self._read(link, call, drops=drops, status=status)
            else:
                self._take(await link.answer(status), call, link)
        except LOST as why:
            if self._lost(link, why, call.text):
                self.model.counts["calls lost"] += 1
                call.may_fail = call.may_fail or "lost"
        else:
            if not call.is_over and at:
                await self._resume(call, at, drops - 1)
            elif not call.is_over:
                self._cut(link)
                self.member.complain(f"asked {call.text} and its answer ended without one")
            else:
                self._keep(link, link.wire.headers)

    async def _send(
        self, link: Link, method: str, body: bytes, more: Mapping[str, str], hold_s: float
    ) -> None:
        if hold_s:
            self.model.counts["held answers"] += 1
            link.wire.hold()
        await link.wire.send(request(method, self.path, body, {**self.headers, **more}))
        if hold_s:
            await asyncio.sleep(hold_s)
            link.wire.resume()

    def _take(self, answer: Answer, call: Call, link: Link) -> None:
        if answer.status != 200 and not (call.may_fail == "ended" and answer.status == 404):
            self.member.complain(f"asked {call.text} and was answered {answer}")
            call.answers += 1
        else:
            self._judge(answer.json, call, link)

    async def _resume(self, call: Call, at: str, drops: int) -> None:
        await asyncio.sleep(self.random.choice((0, 0.05, 0.3)))
        self.model.counts["resumed calls"] += 1
        link = await self.link()
        try:
            await self._send(link, "GET", b"", {"Last-Event-ID": at}, 0)
            status = await link.wire.head()
            if status != 200 or not link.wire.is_stream:
                answer = await link.answer(status)
                if not call.may_fail and (not self.model.is_explained(call.epoch) or status in NEVER):
                    self.member.complain(f"took up {call.text} after {at} and was answered {answer}")
                call.may_fail = call.may_fail or "lost"
                return
            at = await self._read(link, call, drops=drops, status=status, is_new=False) or at
        except LOST as why:
            if self._lost(link, why, call.text):
                call.may_fail = call.may_fail or "lost"
            return
        if not call.is_over:
            await self._resume(call, at, drops - 1)

    async def _read(
        self, link: Link, call: Call | None, *, status: int, drops: int = 0, is_new: bool = True
    ) -> str:
        """Read a stream to its end, or drop it; the id of its last event."""
        if status != 200:
            self.member.complain(f"was answered {status} with a stream")
        at, is_first = "", is_new
        async for event in link.wire.raw_events():
            if link.is_dropped:
                raise ConnectionAbortedError
            self._check_form(event, is_first=is_first)
            is_first = False
            at = event.id or at
            if link is self._stream:
                self._stream_at = at
            if event.data:
                self._judge(json.loads(event.data), call, link)
                if drops > 0 and call is not None and not call.is_over:
                    self.model.counts["dropped calls"] += 1
                    self._cut(link)
                    return at
        return at

    def _check_form(self, event: Event, *, is_first: bool) -> None:
        if not self.member.is_resumable:
            if event.id or not event.data:
                self.member.complain(f"heard an event that its revision does not know: {event}")
            return
        if not event.id:
            # Only where a stream is known no more, and there is nothing to come back for.
            if not is_lost(json.loads(event.data)):
                self.member.complain(f"heard an event without an id: {event}")
            self.model.counts["calls known to be lost"] += 1
        else:
            self.member.hears_event(event.id)
        if is_first and (event.data or not event.retry):
            self.member.complain(f"heard as a stream's first event {event}")

    def _judge(self, said: Any, call: Call | None, link: Link) -> None:
        if call is None and (number := number_of(said)):
            self._check_order(number, said, link)
        self.member.hears(said, call, link.epoch)
        if "method" in said and "id" in said and not self.is_gone:
            self.spawn(self._answer, said)

    def _check_order(self, number: int, said: Any, link: Link) -> None:
        if number <= link.number:
            self.member.complain(f"heard it after what was said later: {said}")
        link.number = number
        if number < link.opened:
            self.model.counts["heard later" if link.is_resumed else "heard on another stream"] += 1

    # Questions.

    async def _answer(self, question: Any) -> None:
        """Answer a server's question after a delay, and let another client answer it first."""
        number, text = question["id"], question_text(question)
        await asyncio.sleep(self.random.choice((0, 0, 0.02, 0.3)))
        if self.random.random() < 0.3:
            await self._forge(number)
        mine = self._opinion(question["method"], text)
        self.said[text] = mine
        self.model.counts["answered questions"] += 1
        await self.tell(json.dumps({"jsonrpc": "2.0", "id": number, **mine}).encode())
        if self.model.questions.get(json.dumps(number)) is self.member:
            del self.model.questions[json.dumps(number)]

    async def _forge(self, number: Any) -> None:
        others = [
            each for each in self.others() if each is not self and each.member.is_here and not each.is_gone
        ]
        if others:
            liar = self.random.choice(others)
            lie = {"action": "accept", "content": {"answer": f"a lie of {liar.member.name}"}}
            self.model.counts["lies"] += 1
            await liar.tell(json.dumps({"jsonrpc": "2.0", "id": number, "result": lie}).encode())

    def _opinion(self, method: str, text: str) -> dict[str, Any]:
        mine = f"{self.member.name} says {self.random.random()}"
        if self.random.random() < 0.1:
            return {"error": {"code": -1, "message": mine}}
        if method == "roots/list":
            return {"result": {"roots": [{"uri": f"file:///{text}", "name": mine}]}}
        if method == "sampling/createMessage":
            said = {"role": "assistant", "content": {"type": "text", "text": mine}, "model": "m"}
            return {"result": said}
        if self.random.random() < 0.3:
            return {"result": {"action": self.random.choice(("decline", "cancel"))}}
        return {"result": {"action": "accept", "content": {"answer": mine}}}

    # The GET stream.

    async def _keep_stream(self) -> None:
        """Keep a GET stream open for as long as the session lives, or until another one replaces it."""
        mine = asyncio.current_task()
        while not self.is_gone and self._keeper is mine:
            link = await self.link()
            try:
                is_replaced = await self._hear(link, mine)
            except LOST as why:
                is_replaced = False
                if link is self._stream:
                    self._lost(link, why, "its GET stream")
            self._cut(link)
            if link is self._stream:
                self._stream = None
            if is_replaced or not self.member.is_here:
                return
            await asyncio.sleep(
                self.random.random() * REOPEN_S if not self.model.is_explained(link.epoch) else REOPEN_S
            )

    async def _hear(self, link: Link, mine: Any) -> bool:
        """Read one GET stream; true when it ended because another has taken its place."""
        more = {"Last-Event-ID": self._stream_at} if self._stream_at else {}
        link.is_resumed = bool(more)
        await self._send(link, "GET", b"", more, 0)
        status = await link.wire.head()
        self.member.was_served(link.epoch)
        if status != 200 or not link.wire.is_stream:
            answer = await link.answer(status)
            if self.member.is_here:
                self.member.complain(
                    f"opened its GET stream after {self._stream_at!r} and was answered {answer}"
                )
            return False
        if self._keeper is mine:
            self._stream = link
            self.model.counts["resumed streams"] += link.is_resumed
            if not self.model.is_explained(link.epoch):
                self.member.opened()
        await self._read(link, None, status=status, is_new=not more)
        if self._keeper is not mine:
            return True
        if self.member.is_here and link is self._stream:
            self.member.complain("had its GET stream ended")
        return False

    async def drop_stream(self, before: Callable[[], Awaitable[None]]) -> None:
        """Stop reading the GET stream, do something, and cut its connection; its keeper opens it again."""
        if (stream := self._stream) is None:
            return
        stream.wire.hold()
        await before()
        if stream is self._stream:
            self._stream = None
            self.member.away()
            if not self._stream_at:
                self.member.interrupted()
            self.model.counts["dropped streams"] += 1
            self._cut(stream)

    async def replace_stream(self) -> None:
        """Open another GET stream while the first is open, which has to end then."""
        before, stream = self._keeper, self._stream
        if before is None or stream is None:
            return
        self.model.counts["replaced streams"] += 1
        self._stream, self._stream_at = None, ""
        self._keeper = self.spawn(self._keep_stream)
        await self._wait(before, "its first GET stream to end after it has opened another")

    async def hold_stream(self, meanwhile: Callable[[], Awaitable[None]]) -> None:
        """Read nothing from the GET stream while something is done, then catch up."""
        if (stream := self._stream) is not None:
            self.model.counts["held streams"] += 1
            stream.wire.hold()
            await meanwhile()
            stream.wire.resume()
            await self.settled()

    # The end.

    async def reopened(self) -> None:
        """Wait until its GET stream is open."""
        if not await until(lambda: self._stream is not None or not self.member.is_here):
            self.member.complain("has no GET stream")

    async def settled(self, only: str = "") -> None:
        """Wait until it has heard what it is owed now, or a certain thing of that."""
        owed = {what: since for what, since in self.member.owed.items() if only in {"", what}}
        still = lambda: [what for what, since in owed.items() if self.member.owed.get(what) == since]  # noqa: E731
        if not await until(lambda: not still()):
            for what in still():
                self.member.complain(f"never heard {what}, owed since {owed[what].since:.3f}")
                self.member.owed.pop(what, None)

    async def end(self) -> None:
        """End the session: its calls are answered, its GET stream ends, and its id means nothing."""
        self.member.ends()
        for call in self.member.calls.values():
            if not call.is_over:
                call.may_fail = "ended"
        tries, answer = 0, None
        while answer is None:
            tries += 1
            answer = await self.ask("DELETE")
        if answer.status != 200 and (answer.status != 404 or tries == 1):
            self.member.complain(f"was deleted and was answered {answer}")
        self.member.ended()
        if self._keeper is not None and not self.is_gone:
            await self._wait(self._keeper, "its GET stream to end after DELETE")
        for method, body in (("POST", message(1, "ping")), ("GET", b""), ("DELETE", b"")):
            after = await self.ask(method, body)
            if after is not None and after.status != 404:
                self.member.complain(f"was deleted, and then {method} was answered {after}")

    async def _wait(self, task: asyncio.Task[None], what: str) -> None:
        done, _ = await asyncio.wait([task], timeout=LIMIT_S)
        if not done:
            self.member.complain(f"waited {LIMIT_S:g} s for {what}")

    async def vanish(self) -> None:
        """Leave without an end; unread messages stay unread."""
        self.leaving.set()
        self.is_gone = True
        self.member.owed.clear()
        self.member.is_here = False
        for call in self.member.calls.values():
            if not call.is_over:
                call.may_fail = "abandoned"
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self.close()

    def close(self) -> None:
        """Cut its connections, also those on which it still says something."""
        self.is_gone = True
        for link in list(self._links):
            self._cut(link)
        self._idle.clear()


def is_lost(said: Any) -> bool:
    """Return whether an error says that an answer was lost with the gateway."""
    return str(said.get("error", {}).get("message")).startswith("the answer is lost")
