"""The bridge that brings modern requests to legacy servers.

# Note [A question becomes an answer]
A legacy server asks its client while a call is under way; a modern client gets the questions in the result of its
request.  So the call is parked (`mcpgateway.hub.parking`), and the request that brings the answers takes its place.

# Note [Whose question it is]
Until a server has been seen asking, its calls run side by side on the child that clients with the same capabilities
share, and a question belongs to the only call under way (`mcpgateway.hub.server_messages`).  From then on each call
whose client can be asked has an exclusive child, its lane (`mcpgateway.hub.bridge.exclusive`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from mcpgateway.bounded import Bounded
from mcpgateway.config.diff import Change
from mcpgateway.config.model import ServerSpec
from mcpgateway.errors import (
    BackendTimeout,
    GatewayError,
    HandshakeFailed,
    InvalidParams,
    LaunchFailed,
    Overloaded,
    SharedOtherwise,
    ShuttingDown,
    UnknownMethod,
    UnknownServer,
    UserDeclined,
)
from mcpgateway.hub.bridge import task_tools
from mcpgateway.hub.bridge.bridged_request import (
    ASKING,
    BridgedRequest,
    answers_in,
    can_show_pages,
    check_headers,
    in_legacy_form,
    page_questions,
)
from mcpgateway.hub.bridge.exclusive import QUEUE_LIMIT, ChildGroup, Lane, Lanes
from mcpgateway.hub.bridge.levelled_sessions import LevelledSessions
from mcpgateway.hub.client_requests import Questions
from mcpgateway.hub.filters import reason
from mcpgateway.hub.parking import PARKED_TICKS, Parking
from mcpgateway.hub.pool import Pool
from mcpgateway.hub.request_states import UNKNOWN
from mcpgateway.hub.sessions import Session, Sessions
from mcpgateway.hub.slot import Slot
from mcpgateway.hub.subscriptions.modern_clients import Ears
from mcpgateway.interfaces import Request
from mcpgateway.policy import routing
from mcpgateway.policy.client_requests import offer_to, offers_something
from mcpgateway.policy.recorded_answers import told_at_handshake
from mcpgateway.policy.sharing import name_in_workspace, variant_of
from mcpgateway.protocol import jsonrpc, legacy, modern, peek, translate
from mcpgateway.protocol.jsonrpc import Envelope, Message, MessageKind
from mcpgateway.protocol.request_states import RequestStates, digest_of
from mcpgateway.protocol.versions import LATEST_LEGACY, LATEST_MODERN

# After so long a parked call is given up, if calls that may ask wait for a lane and none may be added.
PATIENCE_TICKS = 60
ASKERS_LIMIT = 1000


class ToLegacy:
    """The bridge from modern clients to legacy servers.

    :param seconds: the wall clock, for request states.
    :param end: ends a session of the gateway's own.
    :param current: the definition in force of a server (`mcpgateway.hub.dispatch.Switchboard.current`).
    :ivar lanes: the exclusive children.
    """

    log = Logger()

    def __init__(
        self,
        pool: Pool,
        sessions: Sessions,
        questions: Questions,
        states: RequestStates,
        seconds: Callable[[], float],
        end: Callable[[Session, str], object],
        current: Callable[[ServerSpec], ServerSpec],
    ) -> None:
        self._pool = pool
        self._sessions = sessions
        self._questions = questions
        self._current = current
        self._ears = Ears(sessions, end)
        self.lanes = Lanes(pool, sessions, self._ears, end)
        self._is_open = True
        self._levelled = LevelledSessions(pool, sessions)
        self._crossings: dict[Request, BridgedRequest] = {}  # by the client's request
        self._parked: Parking[BridgedRequest] = Parking(states, seconds)
        self._askers: Bounded[tuple[str, str, str], None] = Bounded(ASKERS_LIMIT)  # targets that asked

    def apply(self, change: Change) -> None:
        """Apply a change of the configuration: refuse the calls that wait for a lane of a removed server."""
        removed = {each.name for each in change.removed}
        for group in self.lanes:
            if group.server.name in removed:
                self._refuse_queue(group, UnknownServer(f"Unknown server: {group.server.name}"))
        self.lanes.apply(change)

    def submit(self, call: Request, peer: int, known: Session | None = None) -> Session | None:
        """Send a request to its server.

        :param peer: the client's process, where the server keeps state for each; else 0.
        :param known: the session for the request, if that is known and its child runs.
        :return: a session for all requests of the principal with the same log level and capabilities, if that is used.
        :raise GatewayError: the request is refused, and not sent.
        """
        if call.method.startswith("tasks/"):
            modern.check_tasks(call.message.meta)
            raise UnknownMethod(
                f"Method not found: {call.method} (the server's own tasks are of another kind)"
            )
        if call.level is not None and call.level not in routing.LEVELS:
            raise InvalidParams(
                f'Invalid params: _meta["{modern.LEVEL_KEY}"] must be one of {", ".join(routing.LEVELS)}'
            )
        params = call.message.params or {}
        if call.method in ASKING and "requestState" in params:
            self._resume(call, peer)
            return None
        if call.method in ASKING and "inputResponses" in params:
            answers_in(params)  # the server does not get them, so the gateway has to check their form
        return self._enter(call, peer, known)

    def told(self, server: ServerSpec, meta: Envelope) -> str:
        """Return the key of what a server's child is told, at its handshake, of clients with these ``_meta``."""
        offer = offer_to(server, meta)
        if not (offers_something(offer) and self.lanes.asks(server)):
            return self._pool.told(server, offer)
        info = peek.mapping(meta, modern.INFO_KEY) or {"name": "mcpgateway"}
        said = {"protocolVersion": LATEST_LEGACY, "capabilities": offer, "clientInfo": info}
        return told_at_handshake(said)

    def _later(self, known: Deferred[None], call: Request, peer: int) -> None:
        known.addCallback(lambda _: None if call.sink.is_gone else self._enter(call, peer))
        known.addErrback(self._not_entered, call)

    def _not_entered(self, why: Failure, call: Request) -> None:
        if not why.check(GatewayError):
            self.log.failure("a request broke on its way to a legacy server", why, event="bridge.broken")
        call.sink.failed(call, reason(why))

    def _enter(self, call: Request, peer: int, known: Session | None = None) -> Session | None:
        if not self._is_open:
            raise ShuttingDown("the gateway is stopping")
        if known is not None:
            self._begin(call, known, peer, is_known=True)
            return known
        call.caller.server = self._current(call.caller.server)
        server, principal = call.caller.server, call.caller.principal
        if self._pool.keeps_state(server) and not peer:
            # The server was found to keep state only after the request had been routed.
            raise SharedOtherwise(f"{server.name} has a child for each client")
        offer = offer_to(server, call.message.meta)
        can_be_asked = offers_something(offer) and self.lanes.asks(server)
        if can_be_asked or self._pool.keeps_state(server):
            can = offer if self.lanes.asks(server) else {}
            group = self.lanes.group(server, principal, peer, can, call.message.meta or {})
            self._begin(call, self.lanes.any_of(group).aside, peer, group)
            return None
        session = self._levelled.session(server, principal, call.level, offer)
        self._begin(call, session, peer)
        return session if not self._pool.asks(server) else None

    def _begin(
        self,
        call: Request,
        session: Session,
        peer: int,
        group: ChildGroup | None = None,
        *,
        is_known: bool = False,
    ) -> None:
        server, principal = call.caller.server, call.caller.principal
        session.seen = self._sessions.now
        slot = session.slot
        if not isinstance(slot, Slot):
            slot = self._pool.slot_for(session)
        learning = check_headers(call, slot)
        if learning is not None:
            self._later(learning, call, peer)
        elif call.method == modern.DISCOVER:
            self._discover(call, slot)
        elif call.method == modern.LISTEN:
            self._ears.listen(call, slot, (variant_of(server), principal, peer))
        else:
            key = (principal, name_in_workspace(server), call.method, digest_of(call.message.params or {}))
            crossing = BridgedRequest.of(self, call, key, session)
            if group is not None and call.method in ASKING and offers_something(group.offered):
                self._queue(crossing, call, group)
            else:
                if group is not None:
                    group.lanes[0].set_level(call.level)
                self._hold(call, crossing)
                self._send(crossing, is_known=is_known)

    def _discover(self, call: Request, slot: Slot) -> None:
        def met(hello: Envelope) -> None:
            result = translate.discovery_from_hello(hello, LATEST_MODERN)
            call.sink.answered(call, jsonrpc.result(jsonrpc.NULL, result))

        slot.introduce().addCallback(met).addErrback(self._not_entered, call)

    # Across

    def _queue(self, crossing: BridgedRequest, client: Request, group: ChildGroup) -> None:
        """Send a request through a lane of a group, since it needs an exclusive child."""
        if len(group.queue) >= QUEUE_LIMIT:
            raise Overloaded(f"{QUEUE_LIMIT} calls wait for {group.server.name} already")
        crossing.group = group
        self._hold(client, crossing)
        group.queue.append(crossing)
        self._advance(group)

    def _hold(self, client: Request, crossing: BridgedRequest) -> None:
        self._crossings[client] = crossing
        client.holder = self

    def _advance(self, group: ChildGroup) -> None:
        # A call that fails at once, because its server cannot be started, lets the next go from here, not from its own
        # stack.
        if group.is_advancing:
            return
        group.is_advancing = True
        try:
            while (crossing := self._next(group)) is not None:
                self._send(crossing)
        finally:
            group.is_advancing = False

    def _next(self, group: ChildGroup) -> BridgedRequest | None:
        """Take the next call that can go on from the queue, and place it: in a lane, or beside the lanes."""
        for crossing in list(group.queue):
            lane = self._lane(group, crossing)
            beside: Session | None = None
            if lane is None and crossing in group.queue and self._goes_beside(crossing, group):
                beside = self._beside(crossing, group)
                if self._is_parked_at(beside):
                    lane = self._lane(group, crossing, past_share=True)
            if lane is not None:
                crossing.lane, lane.current = lane, crossing
                crossing.call.session = lane.session
                lane.set_level(crossing.call.level)
            elif beside is not None and crossing in group.queue:
                crossing.group = None
                crossing.call.session = beside
            else:
                continue
            group.queue.remove(crossing)
            found: BridgedRequest = crossing
            return found
        return None

    def _goes_beside(self, crossing: BridgedRequest, group: ChildGroup) -> bool:
        return crossing.target not in self._askers and self.lanes.is_held_up(group, crossing.whose)

    def _beside(self, crossing: BridgedRequest, group: ChildGroup) -> Session:
        # See Note [What questions hold up].
        if self._pool.keeps_state(group.server):
            return group.lanes[0].aside
        offer, level = offer_to(group.server, crossing.message.meta), crossing.call.level
        return self._levelled.session(group.server, group.principal, level, offer)

    def _is_parked_at(self, beside: Session) -> bool:
        slot = beside.slot or self._pool.slot_for(beside)
        return any(each.lane is None and each.slot is slot for each in self._parked)

    def _lane(self, group: ChildGroup, crossing: BridgedRequest, *, past_share: bool = False) -> Lane | None:
        try:
            return self.lanes.free(group, crossing.whose, past_share=past_share) if self._is_open else None
        except Overloaded as why:
            if not group.lanes:
                self._refuse_queue(group, why)
            return None

    def _refuse_queue(self, group: ChildGroup, why: GatewayError) -> None:
        waiting = list(group.queue)
        group.queue.clear()
        for crossing in waiting:
            if crossing.client is not None:
                self._deliver(crossing, crossing.client, why)

    def _send(self, crossing: BridgedRequest, *, is_known: bool = False) -> None:
        crossing.slot = crossing.call.session.slot or self._pool.slot_for(crossing.call.session)
        if self._ears.listening or not is_known:
            peer = crossing.group.peer if crossing.group is not None else 0
            self._ears.used(crossing.slot, (variant_of(crossing.slot.server), crossing.key[0], peer))
        crossing.call.message = in_legacy_form(crossing.message)
        slot, call = crossing.slot, crossing.call
        has_tasks = call.method == task_tools.CALL and legacy.has_tasks(slot.introduction)
        is_task = has_tasks and task_tools.begin(slot, self._pool, call)
        if slot.replicas is not None and call.method == task_tools.CALL and not is_task:
            slot.replicas.submit(call)
        else:
            slot.submit(call)

    def ended(self, crossing: BridgedRequest, outcome: Envelope | GatewayError) -> None:
        """Take the outcome of a request: answer the client, or keep it until the client of a parked call returns."""
        if crossing.group is not None and isinstance(outcome, LaunchFailed | HandshakeFailed):
            self._refuse_queue(crossing.group, outcome)  # each would only start it again, one after the other
        self._leave(crossing, is_done=not isinstance(outcome, BackendTimeout))
        if crossing.client is None:
            crossing.held = outcome  # until its client resumes the call
        else:
            self._deliver(crossing, crossing.client, outcome)

    def _leave(self, crossing: BridgedRequest, *, is_done: bool) -> None:
        lane, group = crossing.lane, crossing.group
        if lane is None or group is None or lane.current is not crossing:
            return
        lane.current = None
        if not is_done:
            self.lanes.retire(lane, group)
        self._advance(group)

    def _deliver(self, crossing: BridgedRequest, client: Request, outcome: Envelope | GatewayError) -> None:
        self._crossings.pop(client, None)
        crossing.client = None
        self._let_questions_go(crossing)
        if isinstance(outcome, GatewayError):
            client.sink.failed(client, outcome)
            return
        reply = outcome
        if "error" in reply:
            elicitations = translate.elicitations_of(reply["error"])
            if elicitations is not None and client.method in ASKING:
                self._sent_elsewhere(crossing, client, elicitations)
                return
            reply = reply | {"error": translate.modern_error(reply["error"])}
        else:
            hello = crossing.slot.introduction if crossing.slot is not None else None
            info = (hello or {}).get("serverInfo")
            reply = reply | {"result": translate.modern_result(client.method, reply["result"], info)}
        client.sink.answered(client, reply)

    def _sent_elsewhere(
        self, crossing: BridgedRequest, client: Request, elicitations: list[dict[str, Any]]
    ) -> None:
        # The client has to open the pages and to repeat the request; no call is under way meanwhile.
        if not can_show_pages(crossing.message):
            why = GatewayError("the server wants its user to open a page, and the client cannot show one")
            client.sink.failed(client, why)
        elif not self._parked.has_room(crossing):
            client.sink.failed(client, Overloaded("too many calls wait for answers of their users already"))
        else:
            crossing.held = None
            crossing.asked = page_questions(elicitations)
            self._park(crossing, client)

    # Parking

    def asked(self, crossing: BridgedRequest, method: str, question: Envelope) -> bool:
        """Park the call for a question of its server.

        :return: False if the question belongs to no call, is of an unknown method, or the call cannot be parked.
        """
        client = crossing.client
        number = jsonrpc.integer(question["id"])
        if number is None or method not in translate.QUESTIONS or not crossing.may_ask:
            return False
        if client is not None and not (self._is_open and self._parked.has_room(crossing)):
            return False
        crossing.asked[number] = {key: question[key] for key in ("method", "params") if key in question}
        if client is not None:
            self._park(crossing, client)
            if crossing.group is not None:
                self._advance(crossing.group)
        self._askers[crossing.target] = None
        if crossing.lane is None and crossing.slot is not None:
            self._pool.saw_asking(crossing.slot.server, method)
        return True

    def _park(self, crossing: BridgedRequest, client: Request) -> None:
        self._crossings.pop(client, None)
        crossing.client = None
        crossing.ticks = 0
        self._parked.park(crossing, client, {f"q{number}": each for number, each in crossing.asked.items()})
        group = crossing.group
        if group is not None and self.lanes.is_past_its_share(group, crossing.whose):
            mine = (each for each in self._in_lanes(group) if each.whose == crossing.whose)
            self._give_up(next(mine), "its client leaves too many questions open")

    def _resume(self, client: Request, peer: int) -> None:
        params = client.message.params or {}
        principal, server = client.caller.principal, client.caller.server
        key = (principal, name_in_workspace(server), client.method, digest_of(params))
        crossing = self._parked.find(params, key)
        if crossing is None:
            raise InvalidParams(UNKNOWN)
        is_silent = bytes(params.get("inputResponses", jsonrpc.NULL)) == b"null"
        answers = {} if is_silent else answers_in(params)
        self._parked.remove(crossing)
        if any(number < 0 for number in crossing.asked):
            self._opened(crossing, client, answers, peer)
        else:
            self._go_on(crossing, client, answers)

    def _go_on(self, crossing: BridgedRequest, client: Request, answers: Envelope) -> None:
        crossing.client = client
        crossing.call.token = client.token if crossing.call.token is not None else None
        crossing.call.level = client.level
        self._hold(client, crossing)
        if crossing.lane is not None:
            crossing.lane.set_level(client.level)
        self._pass_on(crossing, answers)
        if crossing.client is not client:
            return
        if crossing.held is not None:
            self._deliver(crossing, client, crossing.held)
        elif crossing.asked:
            self._park(crossing, client)  # with questions that are unanswered, or were asked meanwhile

    def _pass_on(self, crossing: BridgedRequest, answers: Envelope) -> None:
        for number in list(crossing.asked):
            result = answers.get(f"q{number}")
            if result is not None:
                del crossing.asked[number]
                envelope = {"jsonrpc": jsonrpc.VERSION, "id": jsonrpc.raw(number), "result": result}
                said = Message(MessageKind.RESPONSE, envelope, id=b"%d" % number)
                self._questions.answered(crossing.call.session, said)

    def _opened(
        self,
        crossing: BridgedRequest,
        client: Request,
        answers: Envelope,
        peer: int,
    ) -> None:
        # The client has opened the pages, and repeats its request.
        said = {number: peek.members(answers, f"q{number}") for number in crossing.asked}
        if any(action and peek.text(action, "action") != "accept" for action in said.values()):
            raise UserDeclined("the user did not go where the server wanted them to")
        crossing.asked = {number: each for number, each in crossing.asked.items() if not said[number]}
        if crossing.asked:
            self._park(crossing, client)
        else:
            self._enter(client, peer)

    # The end

    def withdraw(self, client: Request, reason: str) -> bool:
        """Cancel a client's request; return False when it has been answered."""
        crossing = self._crossings.pop(client, None)
        if crossing is None:
            return False
        self._drop(crossing, reason)
        return True

    def _drop(self, crossing: BridgedRequest, why: str) -> None:
        crossing.client, crossing.held = None, None
        group = crossing.group
        if group is not None and crossing in group.queue:
            group.queue.remove(crossing)
            return
        is_sent = bool(crossing.call.number)
        was_under_way = crossing.call.withdraw(why)
        task_tools.take_back(crossing.call)
        self._let_questions_go(crossing)
        self._leave(crossing, is_done=not (is_sent and was_under_way))

    def _let_questions_go(self, crossing: BridgedRequest) -> None:
        asked, crossing.asked = crossing.asked, {}
        for number in asked:
            self._questions.give_up(crossing.call.session, number)

    def tick(self) -> None:
        """Advance by one second: give up parked calls after `PARKED_TICKS`, and retire spare lanes."""
        for crossing in self._parked:
            crossing.ticks += 1
            crossing.call.age = 0  # its server waits for the client, so the call may not time out
            if crossing.ticks > PARKED_TICKS:
                self._give_up(crossing, "its client did not come back")
        for group in self.lanes:
            self._make_way(group)
        self.lanes.tick()
        self._ears.tick()

    def _make_way(self, group: ChildGroup) -> None:
        # The client that has been away for longest is the least likely to return.
        self._advance(group)
        waiting = next(iter(group.queue), None)
        if waiting is None:
            return
        is_own = self.lanes.has_its_share(group, waiting.whose)
        parked = [each for each in self._in_lanes(group) if each.whose == waiting.whose or not is_own]
        oldest = max(parked, key=lambda each: each.ticks, default=None)
        if oldest is not None and oldest.ticks > PATIENCE_TICKS:
            self._give_up(oldest, "others need its place")

    def _in_lanes(self, group: ChildGroup) -> Iterator[BridgedRequest]:
        """The parked calls that close a group's lanes, in the order in which they were parked."""
        return (
            each
            for each in self._parked
            if each.group is group and each.lane is not None and each.lane.current is each
        )

    def _give_up(self, crossing: BridgedRequest, why: str) -> None:
        self._parked.remove(crossing)
        self._drop(crossing, why)

    def close(self) -> None:
        """Refuse all waiting calls and give up the parked ones, since the gateway stops."""
        self._is_open = False
        self._ears.close()
        for group in self.lanes:
            self._refuse_queue(group, ShuttingDown("the gateway is stopping"))
        for crossing in self._parked:
            self._give_up(crossing, "the gateway is stopping")
