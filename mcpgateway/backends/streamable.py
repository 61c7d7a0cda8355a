"""A server behind Streamable HTTP: every message is a POST, in the revisions with sessions and in the one without.

initialize                  POST; the answer's Mcp-Session-Id goes with everything that follows
notifications/initialized   POST, 202; what was asked meanwhile waits for it; then the standing stream is opened (GET)
notifications/initialized   POST, 202; other messages wait for it; then the standing stream is opened (GET)
notifications/cancelled     POST, and the request's stream is dropped; in the modern era that alone says it
notifications/cancelled     POST, and the request's stream is closed; in the modern era closing alone cancels it
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any

from msgspec import Raw
from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.logger import Logger
from twisted.python.failure import Failure

from mcpgateway.backends.concurrency_limit import RequestLimit
from mcpgateway.backends.get_stream import ServerStream
from mcpgateway.backends.http.client import Web
from mcpgateway.backends.http.post import PostRequest, error_in, members
from mcpgateway.backends.http.response import WebAnswer, WebStream
from mcpgateway.backends.param_headers import BOTH, LIST, Mirror, is_mismatch
from mcpgateway.backends.probe import PING
from mcpgateway.backends.remote_access import IAuthorizer, RemoteAccess
from mcpgateway.config.reach_settings import Remote
from mcpgateway.errors import (
    BackendError,
    BackendGone,
    BadReply,
    NeedsAuthorization,
    NeedsLogin,
    Overloaded,
    Unavailable,
    Unreachable,
    named,
)
from mcpgateway.hints import cli, with_command
from mcpgateway.inherited import InheritedSession
from mcpgateway.interfaces import Gone, ILineReceiver, Launch
from mcpgateway.protocol import jsonrpc, legacy, modern, peek, trace_context
from mcpgateway.protocol.jsonrpc import Envelope
from mcpgateway.protocol.versions import LEGACY, Era
from mcpgateway.waiting import Waiting

NOTICES_AT_ONCE = 1000  # notifications and responses under way
NOTICE_S = 30.0  # for each of them
LINGERING = 64  # streams that the server does not end after the answer
FAREWELL_S = 2.0
SESSION_LIMIT = 1024  # characters
SESSION, VERSION = "Mcp-Session-Id", "MCP-Protocol-Version"

INITIALIZE, INITIALIZED, CANCELLED = "initialize", "notifications/initialized", "notifications/cancelled"
GREETINGS = frozenset((INITIALIZE, modern.DISCOVER))
# Statuses that say nothing about a server's transport: they are about the caller, its rate, or the server's health.
SILENT = frozenset((401, 403, 407, 408, 425, 429))
UNAUTHORIZED, FORBIDDEN = LOCKED = 401, 403  # the statuses of a server that wants another authorization
AWAY = frozenset((502, 503, 504))
NO_SUCH_ENDPOINT = frozenset((400, 404, 405))  # of a server of 2024-11-05 to a POST
ONLY_MODERN = frozenset((-32020, -32021, -32022))

_SESSION = re.compile(rb"[\x21-\x7e]+")


class Streamable:
    """One session at a server over Streamable HTTP, or in the modern era its requests.

    :ivar server: the server's name.
    :ivar clock: clock of its time limits.
    :ivar access: access to the server: its address, headers and authorization.
    :param authorizer: provider of tokens for the server.
    :param fall_back: takes over the handshake if the server seems to be of 2024-11-05; None if the entry excludes that.
    """

    log = Logger()
    pid = heard = 0

    def __init__(
        self,
        reactor: Any,
        web: Web,
        launch: Launch,
        remote: Remote,
        receiver: ILineReceiver,
        authorizer: IAuthorizer | None = None,
        fall_back: Callable[[bytes, str], None] | None = None,
    ) -> None:
        self.server = launch.server
        self.clock = reactor
        self.access = RemoteAccess(web, launch.server, remote, authorizer)
        self._receiver = receiver
        self._fall_back = fall_back
        self._mirror = Mirror(reactor, self.access) if launch.era is Era.MODERN else None
        self._standing: ServerStream | None = None
        self._session = ""
        self._headers = {"Content-Type": "application/json", "Accept": BOTH}
        self._posts: dict[bytes, PostRequest] = {}
        self._lingering: dict[PostRequest, None] = {}
        self._turns = RequestLimit(launch.server, self._send)
        self._notices: set[Deferred[Any]] = set()
        self._is_stopping = False
        self._has_ended = False
        self._checking: Deferred[Any] | None = None
        self._stopped = Waiting[None]()
        self._farewell: Deferred[Any] | None = None
        if isinstance(launch.inherited, InheritedSession):
            self._take_over(launch.inherited)

    def _take_over(self, former: InheritedSession) -> None:
        self.access.url, self._session = former.url, former.id
        if former.id:
            self._headers[SESSION] = former.id
        if former.version:
            self._headers[VERSION] = former.version
        if self._mirror is None:
            self._listen(former.last_event)
        for each in former.posts:
            # It is not sent: the body is an object of its own, by which its connection is found.
            body = each.id + b"\n"
            post = self._posts[each.id] = PostRequest(self, {"id": Raw(each.id)}, each.method, body)
            post.take_over(each)

    # What the hub asks

    def write(self, line: bytes, *, now: bool = False) -> None:
        """Send one message to the server.

        :raise Overloaded: too many requests wait for the server's answers.
        :raise BackendGone: the session is lost, or being ended.
        """
        if self._has_ended or self._is_stopping:
            raise BackendGone(f"{self.server} is not connected")
        envelope = jsonrpc.decode(line)
        method = jsonrpc.read_string(envelope["method"], "method") if "method" in envelope else ""
        body = line.rstrip(b"\n")
        if method and "id" in envelope:
            self._ask(PostRequest(self, envelope, method, body))
        elif method == CANCELLED:
            self._cancel(envelope, body)
        else:
            self._tell(method, envelope, body)

    def stop(self) -> Deferred[None]:
        """Drop all requests and end the session; fires when the server has answered the DELETE, or does not answer."""
        if self._has_ended:
            return succeed(None)
        done = self._stopped.wait()
        if not self._is_stopping:
            self._is_stopping = True
            self._drop()
            self._say_farewell()
        return done

    def kill(self) -> None:
        """Drop every connection; ``gone`` follows."""
        self._is_stopping = True
        self._drop()
        self.clock.callLater(0, self._end, Gone(fault="its connections were dropped"))

    def stderr_tail(self) -> str:
        """Return an empty text: a remote server has no stderr."""
        return ""

    @property
    def goes_on(self) -> bool:
        """True if the next program of this process can take the session over."""
        return not (self._has_ended or self._is_stopping or self._turns.is_held)

    def keeps(self, number: int) -> bool:
        """Return whether a call under way goes on with the session."""
        post = self._posts.get(b"%d" % number)
        return post is not None and post.goes_on

    def hand_over(self) -> InheritedSession:
        """Return the session for the next program of this process, and close the connections that do not go on."""
        last_event = self._standing.last_id if self._standing is not None else None
        posts = tuple(each.hand_over() for each in self._posts.values() if each.goes_on)
        self._has_ended = True
        self._notices.clear()  # they are written: a reset of their connections could take them back
        self._drop()
        version = self._headers.get(VERSION, "")
        return InheritedSession(self.access.url, self._session, version, last_event, posts)

    # Requests

    def _ask(self, post: PostRequest) -> None:
        if post.method == modern.LISTEN:
            self._send(post)  # the stream of ``subscriptions/listen`` stays open
        else:
            self._turns.ask(post)

    def _send(self, post: PostRequest) -> None:
        self._posts[post.id] = post
        post.send()

    def _cancel(self, envelope: Envelope, body: bytes) -> None:
        identifier = bytes(peek.members(envelope, "params").get("requestId", b""))
        if self._turns.withdraw(identifier):
            return
        post = self._posts.get(identifier)
        if post is not None:
            post.abort()
            self.over(post)
        if self._mirror is None:
            self._tell(CANCELLED, envelope, body)

    # What a request asks (`IOwner`)

    def headers_for(self, post: PostRequest) -> dict[str, str]:
        """Return the headers of a request."""
        mirror = self._mirror
        headers = mirror.headers(post.method, post.envelope) if mirror is not None else self._headers
        if trace_context.MARK not in post.body:
            return headers
        meta = peek.members(peek.members(post.envelope, "params"), "_meta")
        return headers | trace_context.headers(meta)

    def headers_to_resume(self, last_id: bytes) -> dict[str, str] | None:
        """Return the headers that resume a stream."""
        return self.headers_to_listen(last_id) if self._mirror is None else None

    def opened(self, post: PostRequest, stream: WebStream) -> None:
        """Take the session id if the answer to the handshake has one."""
        if post.method != INITIALIZE:
            return
        session = stream.headers.get(b"mcp-session-id")
        if session is None:
            return
        if len(session) > SESSION_LIMIT or not _SESSION.fullmatch(session):
            self._lose(BadReply("the id of its session is not visible ASCII"))
            return
        self._session = self._headers[SESSION] = session.decode()

    def hear(self, message: bytes) -> None:
        """Pass a message on to the receiver."""
        if not self._has_ended and not self._is_stopping:
            self._receiver.line_received(message)

    def answering(self, post: PostRequest, envelope: Envelope) -> bool:
        """Examine a response before it is passed on; return false to hold the request and send it once more."""
        if self._mirror is not None:
            if self._corrects(post, self._mirror, envelope):
                return False
            if post.method == LIST:
                self._mirror.heard(envelope)
        elif post.method == INITIALIZE:
            version = peek.text(peek.members(envelope, "result"), "protocolVersion")
            if version in LEGACY:
                self._headers[VERSION] = version
        self._lingering[post] = None
        if len(self._lingering) > LINGERING:
            oldest = next(iter(self._lingering))
            oldest.abort()
            self.over(oldest)
        self._turns.release(post)
        return True

    def _corrects(self, post: PostRequest, mirror: Mirror, envelope: Envelope) -> bool:
        if post.method != "tools/call" or post.is_held or not is_mismatch(envelope):
            return False
        post.is_held = True
        mirror.learn(post.envelope).addCallback(lambda _: post.send())
        return True

    def refused(self, post: PostRequest, status: int, error: Envelope | None) -> None:
        """Answer a request that the server refuses."""
        if self._is_forgotten(status, error):
            self.forgotten()
        elif post.method in GREETINGS and (status >= 500 or status in SILENT):
            self._lose(refusal(self.server, status, error))
        elif post.method == INITIALIZE and self._falls_back(post, status, error):
            pass
        elif error is not None and status != UNAUTHORIZED:
            post.answer(error)
            self._check_access(status)
        else:
            why = refusal(self.server, status, error)
            self._answer(post, why)
            if status == UNAUTHORIZED:
                self._lock_out(why)
            else:
                self._check_access(status)

    def _lock_out(self, why: BackendError) -> None:
        # The next request begins a session anew, and its handshake shows whether the authorization is accepted again.
        if not any(each.method != modern.LISTEN and not each.is_answered for each in self._posts.values()):
            self._lose(why)

    def _check_access(self, status: int) -> None:
        # A server may forbid one tool; a token that is not accepted any more is refused for a ping, too.
        if status != FORBIDDEN or self._checking is not None or self._has_ended:
            return
        self._checking = self.access.request("POST", self._headers, PING, asks=False)
        self._checking.addTimeout(NOTICE_S, self.clock).addCallbacks(self._checked, lambda _: None)
        self._checking.addBoth(self._check_over)

    def _checked(self, answer: WebAnswer) -> None:
        if answer.status in LOCKED and not self._has_ended:
            self._lock_out(refusal(self.server, answer.status, error_in(answer)))

    def _check_over(self, _: object) -> None:
        self._checking = None

    def _is_forgotten(self, status: int, error: Envelope | None) -> bool:
        # 404 is what the specification says; servers made from the examples of an SDK answer 400.
        if not self._session:
            return False
        return status == 404 or (
            status == 400 and error is not None and "session id" in legacy.error_text(error["error"]).lower()
        )

    def _falls_back(self, post: PostRequest, status: int, error: Envelope | None) -> bool:
        code = jsonrpc.integer(peek.members(error, "error").get("code"))
        if self._fall_back is None or status not in NO_SUCH_ENDPOINT or code in ONLY_MODERN:
            return False
        self._has_ended = True
        self._drop()
        self._fall_back(post.body + b"\n", f"HTTP {status}")
        return True

    def failed(self, post: PostRequest, why: BackendError) -> None:
        """Answer a request that gets no answer from the server."""
        if post.method in GREETINGS:
            self._lose(why)
            return
        self._answer(post, why)
        if isinstance(why, Unreachable) and not self._is_connected(post):
            self._lose(why)

    def _answer(self, post: PostRequest, why: BackendError) -> None:
        post.fail(named(self.server, why))
        self._turns.release(post)

    def _is_connected(self, besides: PostRequest) -> bool:
        if self._standing is not None and self._standing.is_open:
            return True
        return any(each.is_open for each in self._posts.values() if each is not besides)

    def over(self, post: PostRequest) -> None:
        """Count out a completed request."""
        if self._posts.get(post.id) is post:
            del self._posts[post.id]
        self._lingering.pop(post, None)
        self._turns.release(post)

    # Notifications, and responses to the server's questions

    def _tell(self, method: str, envelope: Envelope, body: bytes) -> None:
        if self._mirror is not None and not method:
            return  # servers of the modern era ask nothing
        if len(self._notices) >= NOTICES_AT_ONCE:
            raise Overloaded(f"{self.server} does not take its notifications; {NOTICES_AT_ONCE} wait for it")
        self._turns.is_held = self._turns.is_held or method == INITIALIZED
        headers = self._mirror.headers(method, envelope) if self._mirror is not None else self._headers
        telling = self.access.request("POST", headers, body, asks=False).addTimeout(NOTICE_S, self.clock)
        self._notices.add(telling)
        telling.addCallbacks(self._told, self._not_told, callbackArgs=(method,), errbackArgs=(method,))
        telling.addBoth(self._went_on, telling, method)

    def _told(self, answer: WebAnswer, method: str) -> None:
        if answer.status < 400:
            return
        error = error_in(answer)
        if self._is_forgotten(answer.status, error):
            self.forgotten()
        else:
            self._not_taken(method, refusal(self.server, answer.status, error).message)

    def _not_told(self, why: Failure, method: str) -> None:
        if not self._has_ended and not why.check(CancelledError):
            self._not_taken(method, str(why.value))

    def _not_taken(self, method: str, why: str) -> None:
        self.log.info(
            "{server} does not take {what}: {why}",
            event="remote.notice_refused",
            server=self.server,
            what=method or "a response",
            why=why,
        )

    def _went_on(self, _: object, telling: Deferred[Any], method: str) -> None:
        self._notices.discard(telling)
        if method == INITIALIZED and not self._has_ended and not self._is_stopping:
            self._listen(None)
            self._turns.is_held = False
            self._turns.go_on()

    # The standing stream (`IStreamListener`)

    def _listen(self, last_event: bytes | None) -> None:
        self._standing = ServerStream(self, last_event)
        self._standing.open()

    def headers_to_listen(self, last_id: bytes) -> dict[str, str]:
        """Return the headers of the GET stream."""
        headers = {name: value for name, value in self._headers.items() if name != "Content-Type"}
        headers["Accept"] = "text/event-stream"
        if last_id:
            headers["Last-Event-ID"] = last_id.decode(errors="replace")
        return headers

    def hear_all(self, data: bytes) -> None:
        """Receive a message that belongs to no request, or an array of several."""
        for each in members(data):
            self.hear(each)

    def forgotten(self) -> None:
        """End the session: the server does not know it any more."""
        self._session = ""
        self._end(Gone(fault="the server does not know its session any more"))

    def unreachable(self, why: Unreachable) -> None:
        """End the session: the server has not been reachable for a while."""
        self._lose(why)

    # The end

    def _lose(self, why: BackendError) -> None:
        # The error begins with the server's name, but not twice: the sentences for callers have it already.
        fault = why.plain if isinstance(why, NeedsLogin) else why.message
        self._end(
            Gone(fault=fault, is_unreachable=isinstance(why, Unreachable), error=named(self.server, why))
        )

    def _say_farewell(self) -> None:
        if not self._session:
            self.clock.callLater(0, self._end, Gone(fault="it was stopped"))
            return
        headers = {name: value for name, value in self._headers.items() if name != "Content-Type"}
        self._farewell = self.access.request("DELETE", headers, asks=False).addTimeout(FAREWELL_S, self.clock)
        self._farewell.addBoth(lambda _: self._end(Gone(fault="it was stopped")))

    def _drop(self) -> None:
        standing, self._standing = self._standing, None
        if standing is not None:
            standing.close()
        self._turns.clear()
        posts, self._posts = self._posts, {}
        _abort(posts.values())
        for each in list(self._notices):
            each.cancel()
        if self._checking is not None:
            self._checking.cancel()

    def _end(self, gone: Gone) -> None:
        if self._has_ended:
            return
        self._has_ended = True
        self._drop()
        if self._farewell is not None:
            self._farewell.cancel()
        self._receiver.gone(gone)
        self._stopped.over(None)


def _abort(posts: Iterable[PostRequest]) -> None:
    for each in list(posts):
        each.abort()


def refusal(server: str, status: int, error: Envelope | None) -> BackendError:
    """Return the error for a status other than 2xx, in words that follow a server's name."""
    reason = f": {legacy.error_text(error['error'])}" if error is not None else ""
    if status in LOCKED:
        return NeedsAuthorization(
            f"it wants an authorization that the gateway does not have (HTTP {status}){reason}",
            with_command(
                "give its entry a header Authorization that it accepts, such as Bearer TOKEN, or oauth",
                cli("servers set-header {} Authorization", server),
            ),
        )
    if status in AWAY:
        return Unavailable(f"it answers with HTTP {status}{reason}")
    return BackendError(f"it answers with HTTP {status}{reason}")
