"""The bridge that brings modern requests to legacy servers.

# Note [A question becomes an answer]
A legacy server asks its client while a call is under way; a modern client gets the questions in the result of its
request.  So the call is parked (`mcpgateway.hub.parking`), and the request that brings the answers takes its place.

# Note [Whose question it is]
Until a server has been seen asking, its calls run side by side on the child that clients with the same capabilities
share, and a question belongs to the only call under way (`mcpgateway.hub.server_messages`).  From then on each call
whose client can be asked has an exclusive child (`mcpgateway.hub.bridge.exclusive`).

# Note [Roots with each call]
A server that has asked for roots gets each call of a client that declares them on a child of these roots.  The client
is asked with each call, since in its era nothing tells of a change.  Requests that cannot be answered by a question,
as for lists, go to a child that is told of no roots.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator
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
    question_for_roots,
    roots_told,
)
from mcpgateway.hub.bridge.exclusive import QUEUE_LIMIT, ChildGroup, ExclusiveChild, ExclusiveChildren
from mcpgateway.hub.bridge.levelled_sessions import LevelledSessions
from mcpgateway.hub.client_requests import Questions
from mcpgateway.hub.filters import reason
from mcpgateway.hub.parking import PARKED_TICKS, Parking
from mcpgateway.hub.pool import Pool
from mcpgateway.hub.request_states import UNKNOWN
from mcpgateway.hub.sessions import Session, Sessions
from mcpgateway.hub.slot import Slot
from mcpgateway.hub.subscriptions.modern_clients import ListenStreams
from mcpgateway.interfaces import Request
from mcpgateway.policy import routing
from mcpgateway.policy.client_requests import DeclaredRoots, modern_offer_to, offers_something
from mcpgateway.policy.recorded_answers import legacy_handshake
from mcpgateway.policy.sharing import name_in_workspace, variant_of
from mcpgateway.protocol import jsonrpc, legacy, modern, peek, translate
from mcpgateway.protocol.jsonrpc import Envelope
from mcpgateway.protocol.request_states import RequestStates, digest_of
from mcpgateway.protocol.versions import LATEST_LEGACY, LATEST_MODERN

# After so long a parked call is given up, if calls that may ask wait for an exclusive child and none may be added.
PATIENCE_TICKS = 60
ASKERS_LIMIT = 1000


class ToLegacy:
    """The bridge from modern clients to legacy servers.

    :param seconds: the wall clock, for request states.
    :param end: ends a session of the gateway's own.
    :param current: the definition in force of a server (`mcpgateway.hub.dispatch.LegacyDispatcher.current`).
    :ivar exclusive: the exclusive children.
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
        self._listen_streams = ListenStreams(sessions, end)
        self.exclusive = ExclusiveChildren(pool, sessions, self._listen_streams, end)
        self._is_open = True
        self._levelled = LevelledSessions(pool, sessions)
        self._bridged: dict[Request, BridgedRequest] = {}  # by the client's request
        self._parked: Parking[BridgedRequest] = Parking(states, seconds)
        self._askers: Bounded[tuple[str, str, str], None] = Bounded(ASKERS_LIMIT)  # targets that asked

    def apply(self, change: Change) -> None:
        """Apply a change of the configuration: refuse the calls that wait for a removed server."""
        removed = {each.name for each in change.removed}
        for group in self.exclusive:
            if group.server.name in removed:
                self._refuse_queue(group, UnknownServer(f"Unknown server: {group.server.name}"))
        self.exclusive.apply(change)

    def submit(self, request: Request, peer: int, known: Session | None = None) -> Session | None:
        """Send a request to its server.

        :param peer: the client's process, where the server keeps state for each; else 0.
        :param known: the session for the request, if that is known and its child runs.
        :return: a session for all requests of the principal with the same log level and capabilities, if that is used.
        :raise GatewayError: the request is refused, and not sent.
        """
        if request.method.startswith("tasks/"):
            modern.check_tasks(request.message.meta)
            raise UnknownMethod(
                f"Method not found: {request.method} (the server's own tasks are of another kind)"
            )
        if request.level is not None and request.level not in routing.LEVELS:
            raise InvalidParams(
                f'Invalid params: _meta["{modern.LEVEL_KEY}"] must be one of {", ".join(routing.LEVELS)}'
            )
        params = request.message.params or {}
        if request.method in ASKING and "requestState" in params:
            self._resume(request, peer)
            return None
        if request.method in ASKING and "inputResponses" in params:
            answers_in(params)  # the server does not get them, so the gateway has to check their form
        return self._enter(request, peer, known)

    def handshake_of(self, server: ServerSpec, meta: Envelope) -> str:
        """Return the key of what a server's child learns, at its handshake, of clients with this ``_meta``."""
        offer = modern_offer_to(server, meta)
        if self._pool.asks_with_each_call(server):
            offer.pop("roots", None)  # what is looked up has no child of anybody's roots
        if not (offers_something(offer) and self.exclusive.asks(server)):
            return self._pool.handshake_of(server, offer)
        info = peek.mapping(meta, modern.INFO_KEY) or {"name": "mcpgateway"}
        params = {"protocolVersion": LATEST_LEGACY, "capabilities": offer, "clientInfo": info}
        return legacy_handshake(params)

    def _later(self, known: Deferred[None], request: Request, peer: int) -> None:
        known.addCallback(lambda _: None if request.sink.is_gone else self._enter(request, peer))
        known.addErrback(self._not_entered, request)

    def _not_entered(self, why: Failure, request: Request) -> None:
        if not why.check(GatewayError):
            self.log.failure("a request broke on its way to a legacy server", why, event="bridge.broken")
        request.sink.failed(request, reason(why))

    def _enter(self, request: Request, peer: int, known: Session | None = None) -> Session | None:
        if not self._is_open:
            raise ShuttingDown("the gateway is stopping")
        if known is not None:
            self._begin(request, known, peer, is_known=True)
            return known
        request.caller.server = self._current(request.caller.server)
        server, principal = request.caller.server, request.caller.principal
        keeps_state = self._pool.keeps_state(server)
        if keeps_state and not peer:
            # The server was found to keep state only after the request had been routed.
            raise SharedOtherwise(f"{server.name} has a child for each client")
        offer = modern_offer_to(server, request.message.meta)
        roots: DeclaredRoots | None = None
        if "roots" in offer and self._pool.asks_with_each_call(server):
            roots = roots_told(request.message)
            if roots is None:
                request.sink.answered(request, question_for_roots())
                return None
            if not roots.is_told:
                del offer["roots"]
        can_be_asked = offers_something(offer) and self.exclusive.asks(server)
        if can_be_asked or keeps_state:
            can = offer if self.exclusive.asks(server) else {}
            group = self.exclusive.group(server, principal, peer, can, request.message.meta or {}, roots)
            self._begin(request, self.exclusive.any_of(group).aside, peer, group)
            return None
        session = self._levelled.session(server, principal, request.level, offer, roots)
        self._begin(request, session, peer)
        return session if not self._pool.asks(server) else None

    def _begin(
        self,
        request: Request,
        session: Session,
        peer: int,
        group: ChildGroup | None = None,
        *,
        is_known: bool = False,
    ) -> None:
        server, principal = request.caller.server, request.caller.principal
        session.seen = self._sessions.now
        slot = session.slot
        if not isinstance(slot, Slot):
            slot = self._pool.slot_for(session)
        learning = check_headers(request, slot)
        if learning is not None:
            self._later(learning, request, peer)
        elif request.method == modern.DISCOVER:
            self._discover(request, slot)
        elif request.method == modern.LISTEN:
            self._listen_streams.listen(request, slot, (variant_of(server), principal, peer))
        else:
            params = digest_of(request.message.params or {})
            key = (principal, name_in_workspace(server), request.method, params)
            bridged = BridgedRequest.of(self, request, key, session)
            if group is not None and request.method in ASKING and offers_something(group.offered):
                self._queue(bridged, request, group)
            else:
                if group is not None:
                    group.children[0].set_level(request.level)
                self._hold(request, bridged)
                self._send(bridged, is_known=is_known)

    def _discover(self, request: Request, slot: Slot) -> None:
        def met(hello: Envelope) -> None:
            result = translate.discovery_from_hello(hello, LATEST_MODERN)
            request.sink.answered(request, jsonrpc.result(jsonrpc.NULL, result))

        slot.introduce().addCallback(met).addErrback(self._not_entered, request)

    # Across

    def _queue(self, bridged: BridgedRequest, client: Request, group: ChildGroup) -> None:
        """Send a request that needs an exclusive child through one of a group."""
        if len(group.queue) >= QUEUE_LIMIT:
            raise Overloaded(f"{QUEUE_LIMIT} calls wait for {group.server.name} already")
        bridged.group = group
        self._hold(client, bridged)
        group.queue.append(bridged)
        self._advance(group)

    def _hold(self, client: Request, bridged: BridgedRequest) -> None:
        self._bridged[client] = bridged
        client.holder = self

    def _advance(self, group: ChildGroup) -> None:
        # A call that fails at once, because its server cannot be started, lets the next go from here, not from its own
        # stack.
        if group.is_advancing:
            return
        group.is_advancing = True
        try:
            while (bridged := self._next(group)) is not None:
                self._send(bridged)
        finally:
            group.is_advancing = False

    def _next(self, group: ChildGroup) -> BridgedRequest | None:
        """Take the next call that can go on from the queue, and place it: at an exclusive child, or beside them."""
        for bridged in list(group.queue):
            child = self._child(group, bridged)
            beside: Session | None = None
            if child is None and bridged in group.queue and self._goes_beside(bridged, group):
                beside = self._beside(bridged, group)
                if self._is_parked_at(beside):
                    child = self._child(group, bridged, past_share=True)
            if child is not None:
                bridged.exclusive_child, child.current = child, bridged
                bridged.request.session = child.session
                child.set_level(bridged.request.level)
            elif beside is not None and bridged in group.queue:
                bridged.group = None
                bridged.request.session = beside
            else:
                continue
            group.queue.remove(bridged)
            found: BridgedRequest = bridged
            return found
        return None

    def _goes_beside(self, bridged: BridgedRequest, group: ChildGroup) -> bool:
        return bridged.target not in self._askers and self.exclusive.is_held_up(group, bridged.client_key)

    def _beside(self, bridged: BridgedRequest, group: ChildGroup) -> Session:
        # See Note [What questions hold up].
        if self._pool.keeps_state(group.server):
            return group.children[0].aside
        level = bridged.request.level
        return self._levelled.session(group.server, group.principal, level, group.offered, group.roots)

    def _is_parked_at(self, beside: Session) -> bool:
        slot = beside.slot or self._pool.slot_for(beside)
        return any(each.exclusive_child is None and each.slot is slot for each in self._parked)

    def _child(
        self, group: ChildGroup, bridged: BridgedRequest, *, past_share: bool = False
    ) -> ExclusiveChild | None:
        try:
            if not self._is_open:
                return None
            key, arrived = bridged.client_key, bridged.request.arrived
            return self.exclusive.free(group, key, arrived, past_share=past_share)
        except Overloaded as why:
            if not group.children:
                self._refuse_queue(group, why)
            return None

    def _refuse_queue(self, group: ChildGroup, why: GatewayError) -> None:
        waiting = list(group.queue)
        group.queue.clear()
        for bridged in waiting:
            if bridged.client is not None:
                self._deliver(bridged, bridged.client, why)

    def _send(self, bridged: BridgedRequest, *, is_known: bool = False) -> None:
        bridged.slot = bridged.request.session.slot or self._pool.slot_for(bridged.request.session)
        if self._listen_streams.listening or not is_known:
            peer = bridged.group.peer if bridged.group is not None else 0
            self._listen_streams.used(bridged.slot, (variant_of(bridged.slot.server), bridged.key[0], peer))
        bridged.request.message = in_legacy_form(bridged.message)
        slot, call = bridged.slot, bridged.request
        has_tasks = call.method == task_tools.CALL and legacy.has_tasks(slot.introduction)
        is_task = has_tasks and task_tools.begin(slot, self._pool, call)
        if slot.replicas is not None and call.method == task_tools.CALL and not is_task:
            slot.replicas.submit(call)
        else:
            slot.submit(call)

    def ended(self, bridged: BridgedRequest, outcome: Envelope | GatewayError) -> None:
        """Take the outcome of a request: answer the client, or keep it until the client of a parked call returns."""
        if bridged.group is not None and isinstance(outcome, LaunchFailed | HandshakeFailed):
            self._refuse_queue(bridged.group, outcome)  # each would only start it again, one after the other
        self._leave(bridged, is_done=not isinstance(outcome, BackendTimeout))
        if bridged.client is None:
            bridged.held = outcome  # until its client resumes the call
        else:
            self._deliver(bridged, bridged.client, outcome)

    def _leave(self, bridged: BridgedRequest, *, is_done: bool) -> None:
        child, group = bridged.exclusive_child, bridged.group
        if child is None or group is None or child.current is not bridged:
            return
        child.current = None
        if not is_done:
            self.exclusive.retire(child, group)
        self._advance(group)

    def _deliver(self, bridged: BridgedRequest, client: Request, outcome: Envelope | GatewayError) -> None:
        self._bridged.pop(client, None)
        bridged.client = None
        self._let_questions_go(bridged)
        if isinstance(outcome, GatewayError):
            client.sink.failed(client, outcome)
            return
        reply = outcome
        if "error" in reply:
            elicitations = translate.elicitations_of(reply["error"])
            if elicitations is not None and client.method in ASKING:
                self._sent_elsewhere(bridged, client, elicitations)
                return
            reply = reply | {"error": translate.modern_error(reply["error"])}
        else:
            reply = bridged.in_modern_form(reply)
        client.sink.answered(client, reply)

    def _sent_elsewhere(
        self, bridged: BridgedRequest, client: Request, elicitations: list[dict[str, Any]]
    ) -> None:
        # The client has to open the pages and to repeat the request; no call is under way meanwhile.
        if not can_show_pages(bridged.message):
            why = GatewayError("the server wants its user to open a page, and the client cannot show one")
            client.sink.failed(client, why)
        elif not self._parked.has_room(bridged):
            client.sink.failed(client, Overloaded("too many calls wait for answers of their users already"))
        else:
            bridged.held = None
            bridged.asked = page_questions(elicitations)
            self._park(bridged, client)

    # Parking

    def asked(self, bridged: BridgedRequest, method: str, question: Envelope) -> bool:
        """Park the call for a question of its server.

        :return: False if the question belongs to no call, is of an unknown method, or the call cannot be parked.
        """
        client = bridged.client
        number = jsonrpc.integer(question["id"])
        if number is None or method not in translate.QUESTIONS or not bridged.may_ask:
            return False
        if client is not None and not (self._is_open and self._parked.has_room(bridged)):
            return False
        bridged.asked[number] = {key: question[key] for key in ("method", "params") if key in question}
        if client is not None:
            self._park(bridged, client)
            if bridged.group is not None:
                self._advance(bridged.group)
        self._askers[bridged.target] = None
        if bridged.exclusive_child is None and bridged.slot is not None:
            self._pool.saw_asking(bridged.slot.server, method)
        return True

    def _park(self, bridged: BridgedRequest, client: Request) -> None:
        self._bridged.pop(client, None)
        bridged.client = None
        bridged.ticks = 0
        self._parked.park(bridged, client, {f"q{number}": each for number, each in bridged.asked.items()})
        group = bridged.group
        if group is not None and self.exclusive.is_past_its_share(group, bridged.client_key):
            parked = (each for each in self._parked_in(group) if each.client_key == bridged.client_key)
            self._give_up(next(parked), "its client leaves too many questions open")

    def _resume(self, client: Request, peer: int) -> None:
        params = client.message.params or {}
        principal, server = client.caller.principal, client.caller.server
        key = (principal, name_in_workspace(server), client.method, digest_of(params))
        bridged = self._parked.find(params, key)
        if bridged is None:
            raise InvalidParams(UNKNOWN)
        is_silent = bytes(params.get("inputResponses", jsonrpc.NULL)) == b"null"
        answers = {} if is_silent else answers_in(params)
        self._parked.remove(bridged)
        if any(number < 0 for number in bridged.asked):
            self._opened(bridged, client, answers, peer)
        else:
            self._go_on(bridged, client, answers)

    def _go_on(self, bridged: BridgedRequest, client: Request, answers: Envelope) -> None:
        bridged.client = client
        bridged.request.token = client.token if bridged.request.token is not None else None
        bridged.request.level = client.level
        self._hold(client, bridged)
        if bridged.exclusive_child is not None:
            bridged.exclusive_child.set_level(client.level)
        self._pass_on(bridged, answers)
        if bridged.client is not client:
            return
        if bridged.held is not None:
            self._deliver(bridged, client, bridged.held)
        elif bridged.asked:
            self._park(bridged, client)  # with questions that are unanswered, or were asked meanwhile

    def _pass_on(self, bridged: BridgedRequest, answers: Envelope) -> None:
        for response in bridged.responses_in(answers):
            self._questions.answered(bridged.request.session, response)

    def _opened(self, bridged: BridgedRequest, client: Request, answers: Envelope, peer: int) -> None:
        # The client has opened the pages, and repeats its request.
        bridged.pages_shown(answers)
        if bridged.asked:
            self._park(bridged, client)
        else:
            self._enter(client, peer)

    # The end

    def withdraw(self, client: Request, reason: str) -> bool:
        """Cancel a client's request; return False when it has been answered."""
        bridged = self._bridged.pop(client, None)
        if bridged is None:
            return False
        self._drop(bridged, reason)
        return True

    def _drop(self, bridged: BridgedRequest, why: str) -> None:
        bridged.client, bridged.held = None, None
        group = bridged.group
        if group is not None and bridged in group.queue:
            group.queue.remove(bridged)
            return
        is_sent = bool(bridged.request.number)
        was_under_way = bridged.request.withdraw(why)
        task_tools.take_back(bridged.request)
        self._let_questions_go(bridged)
        self._leave(bridged, is_done=not (is_sent and was_under_way))

    def _let_questions_go(self, bridged: BridgedRequest) -> None:
        asked, bridged.asked = bridged.asked, {}
        for number in asked:
            self._questions.give_up(bridged.request.session, number)

    def tick(self) -> None:
        """Advance by one second: give up parked calls after `PARKED_TICKS`, and retire spare exclusive children."""
        for bridged in self._parked:
            bridged.ticks += 1
            bridged.request.age = 0  # its server waits for the client, so the call may not time out
            if bridged.ticks > PARKED_TICKS:
                self._give_up(bridged, "its client did not come back")
        for group in self.exclusive:
            self._make_way(group)
        self.exclusive.tick()
        self._listen_streams.tick()

    def _make_way(self, group: ChildGroup) -> None:
        # The client that has been away for longest is the least likely to return.
        self._advance(group)
        waiting = next(iter(group.queue), None)
        if waiting is None:
            return
        is_own = self.exclusive.has_its_share(group, waiting.client_key)
        parked = [
            each for each in self._parked_in(group) if each.client_key == waiting.client_key or not is_own
        ]
        oldest = max(parked, key=lambda each: each.ticks, default=None)
        if oldest is not None and oldest.ticks > PATIENCE_TICKS:
            self._give_up(oldest, "others need its place")

    def _parked_in(self, group: ChildGroup) -> Iterator[BridgedRequest]:
        """The parked calls that close a group's exclusive children, in the order in which they were parked."""
        return (
            each
            for each in self._parked
            if each.group is group and each.exclusive_child and each.exclusive_child.current is each
        )

    def _give_up(self, bridged: BridgedRequest, why: str) -> None:
        self._parked.remove(bridged)
        self._drop(bridged, why)

    def close(self, staying: Container[float] = ()) -> None:
        """Refuse all waiting calls, give up the parked ones, and end the listenings, but for those that go on."""
        self._is_open = False
        self._listen_streams.close(staying)
        for group in self.exclusive:
            self._refuse_queue(group, ShuttingDown("the gateway is stopping"))
        for bridged in self._parked:
            self._give_up(bridged, "the gateway is stopping")
