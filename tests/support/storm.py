"""The storm on sessions: clients of single servers that do at random what clients do, each judged by a model."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from math import inf
from random import Random
from typing import Any

from attrs import define, field

from tests.support.gateway import IS_SOAK, Gateway, server
from tests.support.harness.model import clock
from tests.support.harness.storm import Storm, pause, walk
from tests.support.http_client import message, text_of
from tests.support.ports import free_port
from tests.support.real_servers import ROOT
from tests.support.storm_client import CAPABILITIES, Session
from tests.support.storm_model import BACK, CHANGED, LEVELS, RESUMABLE, Call, Member, SessionsModel, Setting

TOLD = {**CAPABILITIES, "roots": {}}  # what a child is told that serves many of them

SHARED = ("north", "south", "east")
OWN = ("mine", "yours")
CITIES = [f"weather://city/{name}" for name in ("aachen", "bonn", "cologne", "dresden")]
WEATHER = [sys.executable, "-I", "-S", str(ROOT / "tests" / "servers" / "weather.py")]
PAUSES_S = (0, 0.05, 0.2, 0.4)
HANDS = 2  # calls that a session has under way at a time
ABANDONED = 8  # sessions that are left behind before the first of them is cleaned up
RESTART_EVERY_S = 3.0 if IS_SOAK else 1.5
TOOLS = 11  # that the server lists
MANY, MUCH = (
    12,
    500_000,
)  # messages, and bytes of each: more than the kernel takes, so that the gateway keeps the rest

Judge = Callable[[Call, Any], str | None]


def servers() -> dict[str, Any]:
    """The entries of a storm's servers."""
    shared = {name: server(WEATHER, share="global", concurrency="none") for name in SHARED}
    return shared | {name: server(WEATHER, share="session") for name in OWN}


@define(eq=False)
class SessionStorm(Storm):
    """Sessions of single servers.

    :ivar places: the number of sessions at a time.
    :ivar restarts: the gateway is killed and started again, all the time.
    """

    places: int
    restarts: bool
    model: SessionsModel = field(init=False, factory=SessionsModel)
    sessions: list[Session] = field(init=False, factory=list)
    abandoned: list[Session] = field(init=False, factory=list)

    def __attrs_post_init__(self) -> None:
        # The port is the same after each start.
        port = str(free_port(Random(self.seed)))
        self.gateway = Gateway(self.directory, servers(), options=("--port", port))

    async def run(self) -> None:
        """Let the sessions live, let it end, and clean up."""
        works = {
            f"place {nth}": self.lives(f"s{nth:02}", partial(self._live, nth)) for nth in range(self.places)
        }
        if self.restarts:
            works["restarts"] = self._restarts()
        await self.side_by_side(works, self.seconds)
        await self.guarded("the calm after the storm", self._calm())
        await self.guarded("cleaning up", self._clean_up())
        for each in self.model.members:
            each.last_words()

    async def _restarts(self) -> None:
        while await pause(self.over, RESTART_EVERY_S):
            await asyncio.gather(*(each.settled(BACK) for each in self.sessions))
            self.model.killed()
            await asyncio.to_thread(self.gateway.kill)
            self.model.epoch += 1
            await asyncio.to_thread(self.gateway.start)

    async def _live(self, nth: int, name: str, random: Random) -> None:
        server = (*SHARED, *OWN)[nth % 5]
        version = ("2025-06-18", "2025-11-25")[nth // 5 % 2]
        if nth in {7, 8}:
            server, version = SHARED[nth % 3], "2025-03-26"
        member = Member(self.model, name, server, server in OWN, version)
        session = Session(self.gateway.url, member, random, lambda: self.sessions)
        await session.begin()
        self.sessions.append(session)
        hands = [session.spawn(Hand(self, session, nth).work) for nth in range(HANDS)]
        is_blowing = await pause(self.over, random.uniform(3, 15))
        session.leaving.set()
        manner = random.choice(("politely", "politely", "in a hurry", "silently")) if is_blowing else "not"
        if manner in {"politely", "not"}:
            await asyncio.gather(*hands)
            await session.settled()
        if manner == "not":
            return
        self.model.counts[f"left {manner}"] += 1
        self.sessions.remove(session)
        if manner == "silently":
            await session.vanish()
            await self._abandon(session)
        else:
            await session.end()
            await asyncio.gather(*hands)
            session.close()

    async def _abandon(self, session: Session) -> None:
        self.abandoned.append(session)
        if len(self.abandoned) > ABANDONED:
            first = self.abandoned.pop(0)
            await first.end()
            first.close()

    async def _calm(self) -> None:
        """After the storm each session is told what it should be, and each answer has come."""
        await asyncio.gather(*(each.settled() for each in self.sessions))
        hands = [Hand(self, each, HANDS) for each in self.sessions]
        await asyncio.gather(*(each.session.reopened() for each in hands))
        for deed in (Hand.whoami, Hand.touch_own, Hand.change, Hand.echo):
            await asyncio.gather(*(deed(each) for each in hands))
        await asyncio.gather(*(each.settled() for each in self.sessions))

    async def _clean_up(self) -> None:
        for group in (self.abandoned, self.sessions):
            await asyncio.gather(*(each.end() for each in group))
            for each in group:
                each.close()
        await self.settles("no call is under way", lambda: self.gateway.health()["calls"] == 0)
        await self.settles("the sessions' own children are gone", lambda: not self._left_behind())

    def _left_behind(self) -> set[int]:
        shared = {pid for name in SHARED for pid in self.gateway.backend(name)["pids"]}
        return set(self.gateway.children()) - shared


@define(eq=False)
class Hand:
    """The actions of a session, one after the other."""

    storm: SessionStorm
    session: Session
    nth: int
    _done: int = field(init=False, default=0)

    @property
    def member(self) -> Member:
        """The model's half of the session."""
        return self.session.member

    @property
    def random(self) -> Random:
        """The session's dice."""
        return self.session.random

    async def work(self) -> None:
        """Do things until the session leaves or the storm is over."""
        pauses = partial(self.random.choice, PAUSES_S)
        await walk(self, self.random, WEIGHTS, pauses, self.session.leaving)

    async def request(self, kind: str, method: str, params: Any, judge: Judge, **more: Any) -> Call:
        """Send a request of any kind; the parameters may be made from the call's text."""
        call = self.prepared(kind, judge, **more)
        return await self.session.call(call, method, params(call.text) if callable(params) else params)

    def prepared(self, kind: str, judge: Judge, **more: Any) -> Call:
        """A call with the next id; ids are small numbers, or the same digits as text, as those of other clients are."""
        self._done += 1
        number = self._done * (HANDS + 1) + self.nth
        text = f"{self.member.name}#{self.nth}.{self._done}"
        return Call(self.either(number), kind, text, judge, **more)

    def either(self, number: int) -> int | str:
        """A number, or its digits as text."""
        return number if self.random.random() < 0.8 else str(number)

    async def tool(self, kind: str, judge: Judge, arguments: Any = None, **manner: Any) -> Call:
        """Call a tool; its arguments hold the call's text."""
        return await self.session.call(*self.prepared_tool(kind, judge, arguments), **manner)

    def prepared_tool(
        self, kind: str, judge: Judge, arguments: Any = None, **more: Any
    ) -> tuple[Call, str, Any]:
        """A tool call that has yet to be sent."""
        call = self.prepared(kind, judge, **more)
        params = {
            "name": kind,
            "arguments": {"text": call.text} if arguments is None else arguments(call.text),
        }
        if call.token is not None:
            params["_meta"] = {"progressToken": call.token}
        return call, "tools/call", params

    async def echo(self) -> None:
        """Hear one's own words."""
        await self.tool("echo", same_text)

    async def big(self) -> None:
        """Hear them with much behind them, some of the time without listening for a while."""
        hold_s = self.random.choice((0, 0, 0.5, 1.5))
        size = self.random.choice((1_000, 100_000, MANY * MUCH if hold_s else 1_000_000))

        def judge(call: Call, result: Any) -> str | None:
            text = text_of({"result": result})
            return None if text == call.text + "x" * size else f"{len(text)} bytes that begin {text[:50]!r}"

        await self.tool("big", judge, lambda text: {"text": text, "bytes": size}, hold_s=hold_s)

    def progressing(self, steps: int, ms: float) -> tuple[Call, str, Any]:
        """A call that reports progress, to the token that each hand of each session uses again and again."""
        prepared = self.prepared_tool("progress", same_text, token=self.either(self.nth), steps=steps)
        prepared[2]["arguments"] |= {"steps": steps, "ms": ms}
        return prepared

    async def progress(self) -> None:
        """Hear how far a call has come."""
        prepared = self.progressing(self.random.randint(1, 6), self.random.choice((0, 5, 30)))
        await self.session.call(*prepared, hold_s=self.random.choice((0, 0, 0, 0.5)))

    async def resume(self) -> None:
        """Hear it over several connections, where streams can be taken up again."""
        async with self.alone("what is kept") as is_alone:
            if is_alone and self.member.is_resumable:
                drops = self.random.randint(1, 3)
                await self.session.call(*self.progressing(6, self.random.choice((0, 20, 60))), drops=drops)

    async def slow(self) -> None:
        """Wait for an answer while others get theirs."""
        ms = self.random.choice((50, 200, 1000))
        await self.tool("slow", same_text, lambda text: {"text": text, "ms": ms})

    async def cancel(self) -> None:
        """Begin something, and take it back, maybe too late."""
        kind = self.random.choice(("slow", "progress", "ask"))
        if kind == "progress":
            prepared = self.progressing(6, 30)
        elif kind == "ask" and self.can_be_asked:
            prepared = self.asking()
        else:
            prepared = self.prepared_tool("slow", same_text, lambda text: {"text": text, "ms": 300})
        call = prepared[0]
        running = self.session.spawn(self.session.call, *prepared)
        await asyncio.sleep(self.random.choice((0, 0.01, 0.05, 0.2, 0.3)))
        if not call.is_over:
            call.may_fail = call.may_fail or "cancelled"
            self.storm.model.counts["cancelled"] += 1
            await self.session.tell(
                message(None, "notifications/cancelled", {"requestId": call.id, "reason": "storm"})
            )
        await running

    @property
    def can_be_asked(self) -> bool:
        """Return whether its server may send it a question."""
        return self.member.is_own

    def asking(self) -> tuple[Call, str, Any]:
        """A call whose answer is what the client says to a question."""
        kind = self.random.choice(("elicit", "elicit", "sample", "roots"))

        def judge(call: Call, result: Any) -> str | None:
            wanted = {"text": call.text, "said": self.session.said.get(call.text)}
            return None if value_of(result) == wanted else f"{result}, not {wanted}"

        prepared = self.prepared_tool(kind, judge)
        if kind == "elicit" and self.member.version >= RESUMABLE and self.random.random() < 0.5:
            prepared[2]["arguments"]["mode"] = "url"
        return prepared

    async def ask(self) -> None:
        """Be asked something by the server."""
        if self.can_be_asked:
            await self.session.call(*self.asking())

    async def subscribe(self) -> None:
        """Want to hear of a resource, of one's own or of everybody's, maybe for the second time."""
        await self.subscribe_to(self.random.choice([*CITIES, *self.member.uris]))

    async def subscribe_to(self, uri: str) -> None:
        """Want to hear of a resource."""
        async with self.alone(uri) as is_alone:
            if is_alone:
                span = self.member.subscribes(uri)
                call = await self.request("subscribe", "resources/subscribe", {"uri": uri}, nothing)
                if call.result is not None:
                    span.answered = clock()

    async def unsubscribe(self) -> None:
        """Want to hear of it no more."""
        uris = [uri for uri, spans in self.member.spans.items() if spans[-1].ended == inf]
        uri = self.random.choice(uris or [""])
        async with self.alone(uri) as is_alone:
            if uri and is_alone:
                spans = self.member.unsubscribes(uri)
                call = await self.request("unsubscribe", "resources/unsubscribe", {"uri": uri}, nothing)
                if call.result is not None:
                    for span in spans:
                        span.ended = min(span.ended, clock())

    @asynccontextmanager
    async def alone(self, what: str) -> AsyncIterator[bool]:
        """Keep the session's other hand from changing the same; false when it is doing so."""
        if what in self.member.busy:
            yield False
            return
        self.member.busy.add(what)
        try:
            yield True
        finally:
            self.member.busy.discard(what)

    async def touch(self) -> None:
        """Change a resource to which sessions may be subscribed."""
        near = [each.member for each in self.storm.sessions if each.member.child == self.member.child]
        other = self.random.choice(near or [self.member])
        await self.touch_one(self.random.choice([*CITIES, *self.member.spans, *other.spans]))

    async def touch_own(self) -> None:
        """Touch everything that the session is subscribed to."""
        for uri in list(self.member.spans):
            await self.touch_one(uri)

    async def touch_one(self, uri: str, size: int = 0) -> None:
        """Touch a resource; those who are subscribed hear of it, in so many bytes."""
        await self.cause("touch", {"uri": uri, "bytes": size}, self.storm.model.touched, what=uri, topic=uri)

    async def change(self) -> None:
        """Change the list of tools; everybody of the same child hears of it."""
        await self.cause("change", {}, self.storm.model.changed, topic=CHANGED)

    async def log(self) -> None:
        """Let a server log a message, which sessions with that level receive."""
        level = self.random.choice(LEVELS)
        await self.cause("log", {"level": level}, self.storm.model.logged, what=level)

    async def cause(self, kind: str, given: Any, done: Callable[..., None], **about: str) -> None:
        """Call a tool that makes the server tell something, to which the model says who has to hear of it."""
        prepared = self.prepared_tool(kind, reported, lambda text: {**given, "mark": text})
        deed = self.storm.model.begin(self.member, prepared[0].text, **about)
        call = await self.session.call(*prepared)
        if call.result is not None:
            said = value_of(call.result)
            done(deed, said["number"], is_said=said["said"])

    async def set_level(self) -> None:
        """Say which log messages are worth hearing."""
        async with self.alone("level") as is_alone:
            if is_alone:
                setting = Setting(self.random.choice(LEVELS), clock())
                self.member.settings.append(setting)
                call = await self.request("setLevel", "logging/setLevel", {"level": setting.level}, nothing)
                if call.result is not None:
                    setting.answered = clock()

    async def whoami(self) -> None:
        """Ask the child for its identity, and for that of its client."""

        def judge(call: Call, result: Any) -> str | None:
            told = value_of(result)
            self.member.served_by(told["pid"], call.epoch)
            mine = {
                "protocolVersion": self.member.version,
                "capabilities": CAPABILITIES,
                "clientInfo": {"name": self.member.name, "version": "1"},
            }
            (seen, *more) = told["handshakes"]
            is_right = seen == mine if self.member.is_own else seen["capabilities"] == TOLD
            return None if is_right and not more else f"{told}"

        await self.tool("whoami", judge, lambda text: {})

    async def list_tools(self) -> None:
        """Ask what there is."""

        def judge(call: Call, result: Any) -> str | None:
            return None if len(result["tools"]) == TOOLS else f"{result}"

        await self.request("list", "tools/list", None, judge)

    async def refuse(self) -> None:
        """Be refused, with one's own words."""
        await self.request("refuse", "weather/refuse", lambda text: {"text": text}, nothing)

    async def ping(self) -> None:
        """Ask whether anybody is there."""
        await self.request("ping", "ping", None, nothing)

    async def break_stream(self) -> None:
        """Cut the GET stream, open a second one, or read nothing from it for a while."""
        async with self.alone("stream") as is_alone:
            if not is_alone:
                return
            deed = self.random.choice(("drop", "drop", "replace", "hold"))
            if deed == "drop":
                await self.session.drop_stream(self.touch_mine)
                await self.touch_mine()
            elif deed == "replace":
                await self.session.replace_stream()
            else:
                await self.session.hold_stream(self.cause_much)

    async def touch_mine(self) -> None:
        """Touch a resource that no other session is subscribed to, so that something is on its way to this one."""
        await self.subscribe_to(self.member.uris[0])
        for _ in range(2):
            await self.touch_one(self.member.uris[0])

    async def cause_much(self) -> None:
        """Let a server send much on the GET stream, or nothing for a while."""
        uri = self.member.uris[0]
        async with self.alone("what is kept") as is_alone:  # for it has a limit, and the oldest goes first
            if is_alone and self.random.random() < 0.5:
                await self.subscribe_to(uri)
                for _ in range(MANY):
                    await self.touch_one(uri, MUCH)
        await asyncio.sleep(self.random.choice((0.3, 1.0)))


def same_text(call: Call, result: Any) -> str | None:
    """The answer is the call's own text."""
    return None if text_of({"result": result}) == call.text else f"{result}"


def nothing(call: Call, result: Any) -> str | None:
    """The answer says nothing but that it was done."""
    return None if result == {} else f"{result}"


def reported(call: Call, result: Any) -> str | None:
    """The answer is whether the server has said something, and under which number."""
    value = value_of(result)
    return None if value["said"] in {True, False} and value["number"] else f"{result}"


def value_of(result: Any) -> Any:
    """The value in a tool's result."""
    return json.loads(text_of({"result": result}))


INGREDIENTS = {
    "notifications/progress": 100,
    "notifications/message": 100,
    "notifications/resources/updated": 100,
    "notifications/tools/list_changed": 100,
    "elicitation/create": 10,
    "sampling/createMessage": 10,
    "roots/list": 10,
    "answered questions": 30,
    "lies": 10,
    "calls cancelled": 10,
    "notifications/cancelled": 1,
    "subscribe": 10,
    "unsubscribe": 10,
    "setLevel": 10,
    "resumed calls": 10,
    "resumed streams": 10,
    "heard later": 10,
    "replaced streams": 5,
    "held streams": 5,
    "held answers": 5,
    "left politely": 1,
    "left in a hurry": 1,
    "left silently": 1,
}
"""The required events: a storm without one of these proves little."""

LOSSES = {
    "kills": 4,
    "calls lost": 1,
    "calls known to be lost": 1,
    "resets": 100,
    "sessions that went on": 50,
}
"""The further required events of a storm with restarts."""

WEIGHTS = {
    Hand.echo: 12,
    Hand.big: 2,
    Hand.progress: 8,
    Hand.resume: 5,
    Hand.slow: 4,
    Hand.cancel: 5,
    Hand.ask: 8,
    Hand.subscribe: 6,
    Hand.unsubscribe: 4,
    Hand.touch: 10,
    Hand.change: 2,
    Hand.log: 6,
    Hand.set_level: 3,
    Hand.whoami: 3,
    Hand.list_tools: 2,
    Hand.refuse: 2,
    Hand.ping: 2,
    Hand.break_stream: 2,
}
"""The relative frequency of each action."""
