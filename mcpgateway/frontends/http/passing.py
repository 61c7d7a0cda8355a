"""Pass a client's request on to the node that serves its conversation, and the answer back, as they come.

# Note [Once]
A request that was sent is never sent again: it may have had effects.  One that could not be sent, because its node
refuses connections, is routed anew.  A node that gets a request passed on and knows a better one names it (421, header
``Mcpgateway-Home``), once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from mcpgateway.backends.http.response import WebStream
from mcpgateway.cluster.membership import Member, Membership
from mcpgateway.errors import BackendError, GatewayFault, Unreachable
from mcpgateway.frontends.http.exchange import UNSHARED
from mcpgateway.frontends.http.node_client import HOME, HOST, REACH, SCHEME, NodeClient, is_refused
from mcpgateway.protocol import jsonrpc
from mcpgateway.records import Record

HOP = frozenset(
    b"connection keep-alive te trailer transfer-encoding upgrade content-length expect host proxy-connection".split()
)
OURS = b"mcpgateway-"
ANSWERED_HERE = HOP | {b"date", b"content-type"} | UNSHARED.keys() | {HOME.lower().encode()}
EVENTS = b"text/event-stream"
MISDIRECTED = 421
BROKEN = "the connection to the node of this conversation broke; the call may have had effects"
AWAY = "Service Unavailable: the node of this conversation does not answer; it may be back in a moment"
RETRY = b"Retry-After: 2\r\n"

Unsent = Callable[[bool], None]
"""Called where a request could not be sent, with True if its node refuses connections."""

Corrected = Callable[[bytes], bool]
"""Called with the octets of a better node; returns False where the request goes nowhere else."""


class Passing:
    """Passes requests on.

    :ivar count: the number of requests that were passed on.
    :ivar client: the client for other nodes.
    """

    log = Logger()

    def __init__(self, client: NodeClient) -> None:
        self.count = 0
        self.client = client
        self._under_way: set[_Pass] = set()

    def send(
        self, exchange: Any, member: Member, unsent: Unsent | None = None, corrected: Corrected | None = None
    ) -> None:
        """Send a request to a node, and its answer to the client."""
        self.count += 1
        target = exchange.head.target.decode("latin-1")
        opened = self.client.open(
            member, exchange.method.decode(), target, passed_headers(exchange), exchange.body
        )
        under_way = _Pass(member, exchange, opened)
        self._under_way.add(under_way)
        exchange.on_gone = opened.cancel
        opened.addCallbacks(
            self._opened,
            self._failed,
            callbackArgs=(under_way, corrected),
            errbackArgs=(under_way, unsent),
        )
        opened.addErrback(self._broken, exchange)

    def under_way(self) -> frozenset[object]:
        """Return the requests that are not answered yet, but for streams that have no end."""
        return frozenset(each for each in self._under_way if each.exchange.method != b"GET")

    def end_streams(self) -> None:
        """End the streams that have no end, in order; their clients open them again."""
        for each in [each for each in self._under_way if each.answer is not None]:
            if each.exchange.method == b"GET":
                each.give_up()

    def look(self, membership: Membership) -> None:
        """Give up what was passed on to nodes that count as gone; called once a second."""
        for each in list(self._under_way):
            member = membership.find(each.member.octets)
            if member is None or not membership.is_live(member):
                each.give_up()

    def _failed(self, why: Failure, under_way: _Pass, unsent: Unsent | None) -> None:
        self._under_way.discard(under_way)
        exchange = under_way.exchange
        exchange.on_gone = None
        if exchange.gone:
            return
        if why.check(CancelledError):  # its node counts as gone
            exchange.answer(502, error_of(exchange, BROKEN))
            return
        why.trap(BackendError)
        if why.check(Unreachable):
            if unsent is not None:
                unsent(is_refused(why))
            else:
                answer_away(exchange)
        else:
            exchange.answer(502, error_of(exchange, BROKEN))

    def _opened(self, stream: WebStream, under_way: _Pass, corrected: Corrected | None) -> None:
        exchange = under_way.exchange
        exchange.on_gone = None
        if exchange.gone:
            self._under_way.discard(under_way)
            stream.abort()
            return
        home = stream.headers.get(HOME.lower().encode())
        if stream.status == MISDIRECTED and home is not None and corrected is not None:
            self._under_way.discard(under_way)
            stream.abort()
            if not corrected(bytes.fromhex(home.decode())):
                answer_away(exchange)
            return
        under_way.answer = answer = _Answer(exchange, stream, lambda: self._under_way.discard(under_way))
        answer.begin()

    def _broken(self, why: Failure, exchange: Any) -> None:
        self.log.failure("a request could not be passed on", why, event="cluster.pass_broken")
        if not exchange.gone and not exchange.answered and not exchange.streaming:
            exchange.answer(500, error_of(exchange, "Internal error"))


class _Pass(Record):
    """A request that was passed on and has not been answered whole.

    :ivar opened: fires with the head of the answer.
    """

    member: Member
    exchange: Any
    opened: Deferred[Any]
    answer: _Answer | None = None

    def give_up(self) -> None:
        """End it: its node will not answer any more."""
        if self.answer is None:
            self.opened.cancel()
        else:
            self.answer.give_up()


class _Answer:
    """Copies one answer, at the speed of its reader."""

    def __init__(self, exchange: Any, stream: WebStream, over: Callable[[], None]) -> None:
        self._exchange = exchange
        self._stream = stream
        self._over = over
        self._left = -1

    def begin(self) -> None:
        """Send the head, and let the body come."""
        exchange, stream = self._exchange, self._stream
        headers = stream.headers
        kind = headers.get(b"content-type", b"")
        extra = b"".join(
            b"%b: %b\r\n" % (name, value) for name, value in headers.items() if name not in ANSWERED_HERE
        )
        exchange.on_gone = self._gone
        length = headers.get(b"content-length", b"0")
        if kind.startswith(EVENTS) and stream.status == 200:
            exchange.begin_stream(_own_of_stream(extra))
        else:
            self._left = int(length) if length.isdigit() and exchange.method != b"HEAD" else 0
            exchange.begin_parts(stream.status, int(length) if length.isdigit() else 0, kind, extra)
        outlet = exchange.channel.outlet
        outlet.producer = self
        if outlet.is_congested:
            stream.pause()
        stream.deliver(self)

    def give_up(self) -> None:
        """End the answer, of which no more comes."""
        self._stream.abort()
        self.ended(BackendError(BROKEN))

    def _gone(self) -> None:
        self._over()
        self._stream.abort()

    # The body

    def data(self, data: bytes) -> None:
        """Send a part of the body."""
        self._left -= len(data)
        if not self._exchange.send(data):
            self._gone()

    def ended(self, why: BackendError | None) -> None:
        """End the answer; one that was cut short ends with its connection."""
        self._over()
        exchange = self._exchange
        exchange.on_gone = None
        if not exchange.gone:
            exchange.channel.outlet.producer = None
        if why is not None and self._left > 0:
            exchange.abort()
        else:
            exchange.finish()

    # The producer of the client's connection

    def pauseProducing(self) -> None:
        """Read no more for now: the client is slow."""
        self._stream.pause()

    def resumeProducing(self) -> None:
        """Go on."""
        self._stream.resume()

    def stopProducing(self) -> None:
        """Drop the rest: the client has gone."""


def _own_of_stream(extra: bytes) -> bytes:
    # The head of every event stream has these already.
    lines = [each for each in extra.split(b"\r\n") if each]
    kept = [each for each in lines if not each.lower().startswith((b"cache-control:", b"x-accel-buffering:"))]
    return b"".join(each + b"\r\n" for each in kept)


def passed_headers(exchange: Any) -> dict[str, str]:
    """Return the headers of a request for another node: the client's own, with where it comes from."""
    found = {
        name.decode("latin-1"): value.decode("latin-1")
        for name, value in exchange.headers.items()
        if name not in HOP and not name.startswith(OURS)
    }
    address = getattr(exchange.caller.address, "host", "") or "127.0.0.1"
    chain = found.get("x-forwarded-for", "")
    found["x-forwarded-for"] = f"{chain}, {address}" if chain else address
    if host := exchange.headers.get(b"host"):
        found[HOST] = host.decode("latin-1")
    found[REACH] = exchange.caller.reach.name.lower()
    found[SCHEME] = "https" if exchange.secure else "http"
    return found


def restored_headers(headers: Mapping[bytes, bytes]) -> dict[bytes, bytes]:
    """Return the headers of a request that another node has passed on, as its client sent them."""
    found = {name: value for name, value in headers.items() if not name.startswith(OURS)}
    found.pop(b"host", None)
    host = headers.get(HOST.lower().encode())
    return {**found, b"host": host} if host is not None else found


def answer_away(exchange: Any) -> None:
    """Answer that the node of a conversation does not answer."""
    exchange.answer(503, error_of(exchange, AWAY), extra=RETRY)


def error_of(exchange: Any, why: str) -> bytes:
    """Return the body of an error, for the request in an exchange if it can be read."""
    identifier = b"null"
    if exchange.body.startswith(b"{"):
        from mcpgateway.frontends.http.workspace_detection import known_id

        identifier = known_id(exchange.body)
    return jsonrpc.error_bytes(identifier, GatewayFault(why))
