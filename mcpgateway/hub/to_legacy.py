"""Bring requests of the modern era to servers that speak only the legacy one.

# Note [A question becomes an answer]
A legacy server asks its client something while a call is under way; a modern client is asked by the answer to its
request.  So the call is parked: the client gets ``input_required`` with the question and a sealed state that names the
parked call, and the request it sends next, with the answers, takes the call's place.  The state is good once, for a
while, and only for the same principal, server, method and arguments.

# Note [One call in a lane]
Nothing on the wire ties a question to the call it belongs to, so a child that may ask is used by one call at a time:
its lane.  Lanes are kept apart by principal, by what the client can be asked, and by its process where the server keeps
state.  While a call is parked its lane is closed, and others get a lane of their own, up to `LANES_LIMIT`.
"""

from __future__ import annotations

import secrets
from collections import deque
from collections.abc import Callable
from typing import Any, cast

from attrs import define, field
from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from mcpgateway.config.model import ServerSpec
from mcpgateway.errors import (
    GatewayError,
    InvalidParams,
    Overloaded,
    ShuttingDown,
    UnknownMethod,
    UserDeclined,
)
from mcpgateway.hub import mirrors
from mcpgateway.hub.asker import Asker
from mcpgateway.hub.ears import Ears
from mcpgateway.hub.pool import Pool
from mcpgateway.hub.questions import Questions
from mcpgateway.hub.sessions import Session, Sessions
from mcpgateway.hub.siblings import Siblings
from mcpgateway.hub.slot import Slot
from mcpgateway.interfaces import Call, ICallSink
from mcpgateway.rules import audience
from mcpgateway.rules.questions import offers_something
from mcpgateway.rules.sharing import keeps_state
from mcpgateway.wire import jsonrpc, modern, peek, translate
from mcpgateway.wire.jsonrpc import Envelope, Kind, Message
from mcpgateway.wire.requeststates import HANDLE_BYTES, RequestStates, digest_of
from mcpgateway.wire.revisions import LATEST_LEGACY, LATEST_MODERN

ASKING = frozenset(("tools/call", "prompts/get", "resources/read"))
"""The requests during which a server may ask, and whose answers may ask (MCP 2026-07-28)."""

PARKED_TICKS = 600  # a human may have to decide
PARKED_LIMIT = 1000
PARKED_OF_PRINCIPAL = 100
LANES_LIMIT = 8  # with the same key
SPARE_TICKS = 30  # how long a lane is kept beside another idle one
QUEUE_LIMIT = 100  # calls that wait for one lane
LOG_MESSAGE = "notifications/message"


@define(eq=False)
class Lane:
    """A child that is used by one call at a time; see Note [One call in a lane].

    :ivar session: whose child it is.
    :ivar aside: stands for the requests that go to the same child and during which it asks nothing.
    """

    session: Session
    aside: Session
    current: Crossing | None = None
    queue: deque[Crossing] = field(factory=deque)

    def aside_calls(self) -> bool:
        """Whether a request is under way during which the child asks nothing."""
        slot = self.aside.slot
        return slot is not None and bool(slot.load)

    @property
    def is_closed(self) -> bool:
        """Whether its call is parked."""
        return self.current is not None and self.current.client is None


@implementer(ICallSink)
@define(eq=False)
class Crossing:
    """One request on its way through the eras.

    :ivar client: the client's request, to be answered; None while it is parked.
    :ivar call: the same as the server knows it.
    :ivar asked: the questions before the client, by the number they are known under.
    :ivar held: the server's answer, while nobody waits for it.
    """

    owner: ToLegacy
    client: Call | None
    call: Call
    message: Message
    slot: Slot
    key: tuple[str, str, str, bytes]  # principal, server, method, digest of the arguments
    lane: Lane | None = None
    asked: dict[int, Envelope] = field(factory=dict)
    held: Envelope | GatewayError | None = None
    handle: bytes = b""
    ticks: int = 0

    @property
    def is_gone(self) -> bool:
        """Nobody waits for it, though the client of a parked one may come back."""
        return self.client is not None and bool(self.client.sink.is_gone)

    def answered(self, call: Call, reply: Envelope) -> None:
        """The server's own response."""
        self.owner.ended(self, reply)

    def failed(self, call: Call, why: GatewayError) -> None:
        """The gateway answers in the server's place."""
        self.owner.ended(self, why)

    def progressed(self, call: Call, message: bytes) -> None:
        """Its progress, for whoever waits now."""
        if self.client is not None:
            self.client.progress = call.progress
            self.client.sink.progressed(self.client, message)

    def noticed(self, call: Call, message: bytes) -> bool:
        """Something before the answer: a question parks the call."""
        said = jsonrpc.decode(message)
        method = peek.text(said, "method") or ""
        if "id" in said:
            return self.owner.asked(self, said)
        if method == "notifications/cancelled":
            return self._taken_back(said)
        if self.client is None or (method == LOG_MESSAGE and not self._wants(said)):
            return True
        return bool(self.client.sink.noticed(self.client, message))

    def _taken_back(self, said: Envelope) -> bool:
        number = jsonrpc.integer(peek.members(said, "params").get("requestId"))
        self.asked.pop(number or 0, None)
        return True

    def _wants(self, said: Envelope) -> bool:
        # Whose call a message is of cannot be seen where several are under way.
        wanted, level = self.call.level, peek.text(peek.members(said, "params"), "level")
        return wanted is not None and len(self.slot.calls()) == 1 and audience.admits(wanted, level or "")


class ToLegacy:
    """The bridge from modern clients to legacy servers.

    :param seconds: the wall clock, for request states.
    :param end: ends a session of the gateway's own.
    """

    log = Logger()

    def __init__(
        self,
        pool: Pool,
        sessions: Sessions,
        questions: Questions,
        siblings: Siblings,
        states: RequestStates,
        seconds: Callable[[], float],
        end: Callable[[Session, str], object],
    ) -> None:
        self.claim: Callable[[Session, int, int], None] = _unclaimed
        self._pool = pool
        self._sessions = sessions
        self._questions = questions
        self._siblings = siblings
        self._states = states
        self._seconds = seconds
        self._end = end
        self._ears = Ears(sessions, end)
        self._lanes: dict[tuple[str, str, int, bytes], list[Lane]] = {}
        self._levelled: dict[tuple[str, str, str], Session] = {}
        self._crossings: dict[Call, Crossing] = {}  # by the client's request
        self._parked: dict[bytes, Crossing] = {}

    def submit(self, call: Call, message: Message, asker: Asker, peer: int) -> None:
        """Bring a request to its server.

        :param peer: the process it comes from, where the server keeps state for each; else 0.
        :raise GatewayError: it goes nowhere.
        """
        server = asker.server
        capabilities = translate.client_capabilities_for_legacy(message.meta or {})
        is_interactive = server.interactive is not False and offers_something(capabilities)
        if call.method.startswith("tasks/"):
            modern.check_tasks(message.meta)
            raise UnknownMethod(
                f"Method not found: {call.method} (the server's own tasks are of another kind)"
            )
        if call.method in ASKING and "requestState" in (message.params or {}):
            self._resume(call, message, server, asker.principal)
        elif is_interactive and self._pool.is_open_question(server):
            self._later(self._siblings.find_out(server), call, message, asker, peer)
        else:
            self._enter(call, message, asker, peer, capabilities)

    def _later(self, known: Deferred[None], call: Call, message: Message, asker: Asker, peer: int) -> None:
        known.addCallback(lambda _: None if call.sink.is_gone else self.submit(call, message, asker, peer))
        known.addErrback(self._not_entered, call)

    def _not_entered(self, why: Failure, call: Call) -> None:
        if not why.check(GatewayError):
            self.log.failure("a request broke on its way to a legacy server", why, event="bridge.broken")
        known = why.value if why.check(GatewayError) else GatewayError("Internal error: the bridge broke")
        call.sink.failed(call, known)

    def _enter(
        self, call: Call, message: Message, asker: Asker, peer: int, capabilities: dict[str, Any]
    ) -> None:
        server, principal = asker.server, asker.principal
        asks = server.interactive is not False and (
            bool(server.interactive) or bool(self._pool.reason(server))
        )
        offered = capabilities if asks and offers_something(capabilities) else {}
        lane = None
        if offered or keeps_state(server):
            lane = self._lane(server, principal, peer, offered, message.meta or {})
        is_alone = lane is not None and bool(offered) and call.method in ASKING
        session = self._session(lane, server, principal, call.level, is_alone=is_alone)
        slot = session.slot or self._pool.slot_for(session)
        learning = mirrors.check(slot, message, asker.headers)
        if learning is not None:
            self._later(learning, call, message, asker, peer)
        elif call.method == modern.DISCOVER:
            self._discover(call, slot)
        elif call.method == modern.LISTEN:
            self._ears.listen(call, message, slot, principal)
        else:
            self._cross(call, message, slot, session, lane if is_alone else None)

    def _session(
        self, lane: Lane | None, server: ServerSpec, principal: str, level: str | None, *, is_alone: bool
    ) -> Session:
        if lane is None:
            return self._plain(server, principal, level)
        return lane.session if is_alone else lane.aside

    def _discover(self, call: Call, slot: Slot) -> None:
        def met(hello: Envelope) -> None:
            result = translate.discovery_from_hello(hello, LATEST_MODERN)
            call.sink.answered(call, jsonrpc.result(jsonrpc.NULL, result))

        slot.greet().addCallback(met).addErrback(self._not_entered, call)

    # Whose child

    def _plain(self, server: ServerSpec, principal: str, level: str | None) -> Session:
        if level is None:
            return self._sessions.anonymous(server, principal, LATEST_LEGACY)
        # The server has one level for all; what it is set to is what the most verbose of its sessions asks for.
        key = (server.name, principal, level)
        session = self._levelled.get(key)
        if session is None or self._sessions.named(session.id) is not session:
            session = self._levelled[key] = self._sessions.open_unlisted(
                server, principal, LATEST_LEGACY, None
            )
            session.level, session.has_level = level, True
        session.seen = self._sessions.now
        return session

    def _lane(
        self, server: ServerSpec, principal: str, peer: int, offered: dict[str, Any], meta: Envelope
    ) -> Lane:
        key = (server.name, principal, peer, bytes(jsonrpc.raw(offered)))
        lanes = [lane for lane in self._lanes.get(key, []) if self._is_open(lane)]
        self._lanes[key] = lanes
        free = [lane for lane in lanes if not lane.is_closed]
        if not free and len(lanes) >= LANES_LIMIT:
            self._displace(lanes)
            free = [lane for lane in lanes if not lane.is_closed]
        if free or (lanes and keeps_state(server)):
            lane = min(free or lanes, key=lambda each: (each.current is not None, len(each.queue)))
        else:
            lane = self._new_lane(server, principal, peer, offered, meta)
            lanes.append(lane)
        lane.session.seen = self._sessions.now
        return lane

    def _displace(self, lanes: list[Lane]) -> None:
        # Who has not come back for longest will hardly come any more.
        parked = [lane.current for lane in lanes if lane.current is not None and lane.current.client is None]
        if parked:
            self._give_up(max(parked, key=lambda each: each.ticks), "others need its place")

    def _is_open(self, lane: Lane) -> bool:
        return self._sessions.named(lane.session.id) is lane.session

    def _new_lane(
        self, server: ServerSpec, principal: str, peer: int, offered: dict[str, Any], meta: Envelope
    ) -> Lane:
        params = {
            "protocolVersion": jsonrpc.raw(LATEST_LEGACY),
            "capabilities": jsonrpc.raw(offered),
            "clientInfo": meta.get(modern.INFO_KEY) or jsonrpc.raw({"name": "mcpgateway", "version": "0"}),
        }
        session = self._sessions.open_unlisted(server, principal, LATEST_LEGACY, params)
        session.is_apart = True
        if peer:
            session.owner = peer
            self.claim(session, peer, 0)
        slot = self._pool.slot_for(session)
        aside = Session(b"", server, principal, LATEST_LEGACY, slot=slot)
        return Lane(session, aside)

    # Across

    def _cross(
        self,
        client: Call,
        message: Message,
        slot: Slot,
        session: Session,
        lane: Lane | None,
    ) -> None:
        key = (session.principal, session.server.name, client.method, digest_of(message.params or {}))
        call = Call(session, client.method, client.id, client.token, None)
        call.level = client.level
        crossing = Crossing(self, client, call, message, slot, key, lane)
        call.sink = crossing
        self._crossings[client] = crossing
        if lane is not None and lane.current is not None:
            if len(lane.queue) >= QUEUE_LIMIT:
                del self._crossings[client]
                raise Overloaded(f"{QUEUE_LIMIT} calls wait for {session.server.name} already")
            lane.queue.append(crossing)
            return
        self._send(crossing)

    def _send(self, crossing: Crossing) -> None:
        lane = crossing.lane
        if lane is not None:
            lane.current = crossing
            session = lane.session
            if crossing.call.level is not None and crossing.call.level != session.level:
                session.level, session.has_level = crossing.call.level, True
                crossing.slot.tune()
        crossing.slot.submit(crossing.call, _translated(crossing.message))

    def ended(self, crossing: Crossing, outcome: Envelope | GatewayError) -> None:
        """The server has answered, or will not."""
        self._leave(crossing)
        if crossing.client is None:
            crossing.held = outcome  # until its client comes back
        else:
            self._deliver(crossing, crossing.client, outcome)

    def _leave(self, crossing: Crossing) -> None:
        lane = crossing.lane
        if lane is not None and lane.current is crossing:
            lane.current = None
            if lane.queue and self._is_open(lane):
                self._send(lane.queue.popleft())
            while lane.queue and not self._is_open(lane):
                late = lane.queue.popleft()
                self.ended(late, ShuttingDown(f"{late.slot.server.name} is being stopped"))

    def _deliver(self, crossing: Crossing, client: Call, outcome: Envelope | GatewayError) -> None:
        self._crossings.pop(client, None)
        crossing.client = None
        if isinstance(outcome, GatewayError):
            client.sink.failed(client, outcome)
            return
        reply = outcome
        if "error" in reply:
            elicitations = translate.elicitations_of(reply["error"])
            if elicitations is not None:
                self._sent_elsewhere(crossing, client, elicitations)
                return
            reply = reply | {"error": translate.modern_error(reply["error"])}
        else:
            info = (crossing.slot.hello or {}).get("serverInfo")
            reply = reply | {"result": translate.modern_result(client.method, reply["result"], info)}
        client.sink.answered(client, reply)

    def _sent_elsewhere(self, crossing: Crossing, client: Call, elicitations: list[dict[str, Any]]) -> None:
        # The client is to open these and to ask again: nothing is under way meanwhile.
        offered = translate.client_capabilities_for_legacy(crossing.message.meta or {}).get("elicitation")
        if not isinstance(offered, dict) or "url" not in offered or not self._has_room(crossing):
            why = GatewayError("the server wants its user to open a page, and the client cannot show one")
            client.sink.failed(client, why)
            return
        crossing.held = None
        crossing.asked = {
            -nth: {
                "method": jsonrpc.raw("elicitation/create"),
                "params": jsonrpc.raw({"mode": "url", "message": "", **each}),
            }
            for nth, each in enumerate(elicitations, 1)
        }
        self._park(crossing, client)

    # Parking

    def _has_room(self, crossing: Crossing) -> bool:
        of_principal = sum(each.key[0] == crossing.key[0] for each in self._parked.values())
        return len(self._parked) < PARKED_LIMIT and of_principal < PARKED_OF_PRINCIPAL

    def asked(self, crossing: Crossing, question: Envelope) -> bool:
        """The server asks something; true when its client is, or will be, asked."""
        client = crossing.client
        number = jsonrpc.integer(question["id"])
        if crossing.lane is None or number is None or (client is not None and not self._has_room(crossing)):
            return False
        crossing.asked[number] = {key: question[key] for key in ("method", "params") if key in question}
        if client is not None:
            self._park(crossing, client)
        return True

    def _park(self, crossing: Crossing, client: Call) -> None:
        self._crossings.pop(client, None)
        crossing.client = None
        crossing.ticks = 0
        crossing.handle = secrets.token_bytes(HANDLE_BYTES)
        self._parked[crossing.handle] = crossing
        expires = int(self._seconds()) + PARKED_TICKS
        state = self._states.seal(crossing.handle, expires, *crossing.key)
        result = {
            "resultType": modern.INPUT_REQUIRED,
            "inputRequests": {f"q{number}": each for number, each in crossing.asked.items()},
            "requestState": state,
        }
        client.sink.answered(client, jsonrpc.result(jsonrpc.NULL, result))

    def _resume(self, client: Call, message: Message, server: ServerSpec, principal: str) -> None:
        params = message.params or {}
        key = (principal, server.name, client.method, digest_of(params))
        state = peek.text(params, "requestState", jsonrpc.URI_LIMIT) or ""
        handle = self._states.open(state, int(self._seconds()), *key)
        crossing = self._parked.pop(handle, None) if handle is not None else None
        if crossing is None:
            raise InvalidParams(
                "Invalid params: requestState is not known: it was used, has expired, or belongs to another request"
            )
        answers = peek.members(params, "inputResponses")
        if any(bytes(each)[:1] != b"{" for each in answers.values()):
            self._parked[crossing.handle] = crossing
            raise InvalidParams("Invalid params: each of inputResponses must be an object")
        self._go_on(crossing, client, message, answers)

    def _go_on(self, crossing: Crossing, client: Call, message: Message, answers: Envelope) -> None:
        if any(number < 0 for number in crossing.asked):
            self._opened(crossing, client, message, answers)
            return
        crossing.client = client
        crossing.call.token = client.token if crossing.call.token is not None else None
        self._crossings[client] = crossing
        lane = cast("Lane", crossing.lane)
        for number in list(crossing.asked):
            result = answers.get(f"q{number}")
            if result is not None:
                del crossing.asked[number]
                envelope = {"jsonrpc": jsonrpc.VERSION, "id": jsonrpc.raw(number), "result": result}
                self._questions.answered(lane.session, Message(Kind.RESPONSE, envelope, id=b"%d" % number))
        if crossing.held is not None:
            self._deliver(crossing, client, crossing.held)
        elif crossing.client is not None and crossing.asked:
            self._park(crossing, client)  # what it has not answered, or was asked meanwhile

    def _opened(self, crossing: Crossing, client: Call, message: Message, answers: Envelope) -> None:
        # The client has been where the server sent it, and now asks again.
        said = [
            peek.text({"answer": peek.members(answers, f"q{number}").get("action", jsonrpc.NULL)}, "answer")
            for number in crossing.asked
        ]
        if any(each != "accept" for each in said):
            raise UserDeclined("the user did not go where the server wanted them to")
        self._cross(client, message, crossing.slot, crossing.call.session, crossing.lane)

    def cancel(self, client: Call) -> bool:
        """Take a client's request back; false when it did not come this way."""
        if self._ears.cancel(client):
            return True
        crossing = self._crossings.pop(client, None)
        if crossing is None:
            return False
        self._drop(crossing, "the client has disconnected")
        return True

    def _drop(self, crossing: Crossing, why: str) -> None:
        crossing.client, crossing.held = None, None
        lane = crossing.lane
        if lane is not None and crossing in lane.queue:
            lane.queue.remove(crossing)
            return
        crossing.slot.cancel(crossing.call, why)
        if lane is not None:
            if crossing.asked:
                self._questions.session_ended(lane.session)
            self._leave(crossing)

    def tick(self) -> None:
        """A second has passed: give up the calls whose clients do not come back, and lanes that are one too many."""
        for key, lanes in list(self._lanes.items()):
            idle = [lane for lane in lanes if lane.current is None and not lane.aside_calls()]
            for lane in idle[1:]:
                if self._sessions.now - lane.session.seen > SPARE_TICKS:
                    lanes.remove(lane)
                    self._end(lane.session, "there is another child for the same clients")
            if not lanes:
                del self._lanes[key]
        for crossing in list(self._parked.values()):
            crossing.ticks += 1
            if crossing.ticks > PARKED_TICKS:
                self._give_up(crossing, "its client did not come back")

    def _give_up(self, crossing: Crossing, why: str) -> None:
        self._parked.pop(crossing.handle, None)
        self._drop(crossing, why)

    def close(self) -> None:
        """End whatever stands open, in order."""
        self._ears.close()


def _translated(message: Message) -> Message:
    params = translate.legacy_params(message.params)
    envelope = {key: value for key, value in message.envelope.items() if key != "params"}
    if params is not None:
        envelope["params"] = jsonrpc.raw(params)
    meta = peek.members(params, "_meta") if params is not None and "_meta" in params else None
    return Message(message.kind, envelope, message.method, message.id, params, meta)


def _unclaimed(session: Session, pid: int, inode: int) -> None:
    """Nobody watches over owners."""
