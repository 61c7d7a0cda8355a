"""Requests over HTTP: what is sent, what is taken, and what is kept for the next one."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectionLost

from mcpgateway.backends.http.client import Web, check_headers
from mcpgateway.backends.http.http1 import HEAD_LIMIT
from mcpgateway.backends.http.response import WebStream
from mcpgateway.errors import BackendError, BackendTimeout, Unreachable
from tests.support.scripted_http import MemoryNet, ScriptedServer

URL = "http://10.0.0.1/mcp?key=secret"


class Asking:
    """A client that asks, and a server."""

    def __init__(self) -> None:
        self.net = MemoryNet()
        self.server: ScriptedServer = self.net.serve()
        self.web = Web(self.net)

    def request(self, method: str = "POST", url: str = URL, **more: Any) -> list[Any]:
        """Ask; what comes of it."""
        sent = self.web.request(
            method, url, more.pop("headers", {}), more.pop("body", b""), timeout_s=10.0, **more
        )
        return outcome(sent)

    def opened(self, method: str = "POST", url: str = URL, **more: Any) -> list[Any]:
        """Ask for a stream; what comes of it."""
        return outcome(self.web.open(method, url, {}, b"", **more))


class Body:
    """The parts of a body, and its end."""

    def __init__(self, stream: WebStream) -> None:
        self.parts: list[bytes] = []
        self.ends: list[BackendError | None] = []
        stream.deliver(self)

    def data(self, data: bytes) -> None:
        self.parts.append(data)

    def ended(self, why: BackendError | None) -> None:
        self.ends.append(why)


def outcome(sent: Deferred[Any]) -> list[Any]:
    """The result of a request, or its error."""
    found: list[Any] = []
    sent.addCallbacks(found.append, lambda why: found.append(why.value))
    return found


class RequestTests:
    """A request and its answer."""

    def test_what_is_sent(self) -> None:
        """Method, target and host are the URL's; headers are as given; a POST says how long it is."""
        asking = Asking()
        asking.request(headers={"Accept": "text/plain"}, body=b"hello")
        asked = asking.server.last
        assert (asked.method, asked.target, asked.body) == ("POST", "/mcp?key=secret", b"hello")
        assert asked.headers == {"host": "10.0.0.1", "accept": "text/plain", "content-length": "5"}

    def test_whole(self) -> None:
        """Status, headers by their names in lower case, repeated ones joined, and the body."""
        asking = Asking()
        found = asking.request()
        asking.server.last.wire.say(
            b"HTTP/1.1 404 No\r\nX-One: 1\r\nx-one: 2\r\nTransfer-Encoding: chunked\r\n\r\n"
            b"3;ext=1\r\nabc\r\n2\r\nde\r\n0\r\nTrailer: t\r\n\r\n"
        )
        assert found[0].status == 404
        assert found[0].headers[b"x-one"] == b"1, 2"
        assert found[0].body == b"abcde"
        assert b"trailer" not in found[0].headers

    def test_bit_by_bit(self) -> None:
        """An answer may come in any pieces."""
        asking = Asking()
        found = asking.request()
        answer = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
        for place in range(len(answer)):
            asking.server.last.wire.say(answer[place : place + 1])
        assert (found[0].status, found[0].body) == (200, b"hello")

    @pytest.mark.parametrize("status", [204, 304])
    def test_bodiless(self, status: int) -> None:
        """Some answers have no body, and their connection can be used again."""
        asking = Asking()
        found = asking.request()
        asking.server.last.wire.say(b"HTTP/1.1 %d No\r\n\r\n" % status)
        assert found[0].body == b""
        asking.request()
        assert len(asking.server.wires) == 1

    def test_to_the_end(self) -> None:
        """A body without a length ends with its connection; one that was cut is no answer."""
        for why, is_whole in ((None, True), (ConnectionLost(), False)):
            asking = Asking()
            found = asking.request()
            asking.server.last.wire.say(b"HTTP/1.1 200 OK\r\n\r\nhello")
            asking.server.last.wire.close(why)
            assert (getattr(found[0], "body", None) == b"hello") is is_whole

    @pytest.mark.parametrize(
        "answer",
        [
            b"",
            b"HTTP/1.1 200 OK\r\nContent-Le",
            b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
        ],
    )
    def test_cut(self, answer: bytes) -> None:
        """An answer that is not whole is none; the error names the server and no more of the URL."""
        asking = Asking()
        found = asking.request()
        asking.server.last.wire.say(answer) if answer else None
        asking.server.last.wire.close()
        assert isinstance(found[0], BackendError)
        assert "the connection to 10.0.0.1:80 broke" in str(found[0])
        assert "secret" not in str(found[0])

    @pytest.mark.parametrize(
        "answer",
        [
            b"SSH-2.0-OpenSSH\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n",
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n",
        ],
    )
    def test_nonsense(self, answer: bytes) -> None:
        """An answer that is not HTTP, or could be read in two ways, ends the connection."""
        asking = Asking()
        found = asking.request()
        asking.server.last.wire.say(answer)
        assert isinstance(found[0], BackendError)
        assert asking.server.wires[0].is_aborted

    @pytest.mark.parametrize(
        "endless",
        [
            b"X: " + b"x" * 1000 + b"\r\n",
            b"Transfer-Encoding: chunked\r\n\r\n5;" + b"x" * 1000,
            b"Transfer-Encoding: chunked\r\n\r\n0\r\nX: " + b"x" * 1000,
        ],
    )
    def test_endless_head(self, endless: bytes) -> None:
        """Every part of an answer beside its body is bounded: heads, the extensions of chunks, trailers."""
        asking = Asking()
        found = asking.request()
        wire = asking.server.last.wire
        wire.say(b"HTTP/1.1 200 OK\r\n" + endless)
        for _ in range(HEAD_LIMIT // 1000 + 2):
            wire.say(b"x" * 1000)
        assert isinstance(found[0], BackendError)
        assert wire.is_aborted

    def test_too_large(self) -> None:
        """A body beyond the limit ends the connection."""
        asking = Asking()
        found = asking.request(limit=10)
        asking.server.last.reply(200, b"x" * 11)
        assert "larger than 10 bytes" in str(found[0])

    def test_too_late(self) -> None:
        """An answer that does not come in time is given up, with its connection."""
        asking = Asking()
        found = asking.request()
        asking.server.last.wire.say(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n")
        asking.net.advance(10.0)
        assert isinstance(found[0], BackendTimeout)
        assert asking.server.wires[0].is_aborted

    def test_header_with_a_break(self) -> None:
        """A header that would be two is not sent."""
        for header in ({"A": "b\r\nC: d"}, {"A": "b\nC: d"}, {"A\r\nB": "c"}, {"A": "b\0"}):
            asking = Asking()
            found = asking.request(headers=header)
            assert isinstance(found[0], BackendError)
            assert asking.server.requests == []

    def test_cancelled(self) -> None:
        """A caller that gives up drops the connection."""
        asking = Asking()
        sent = asking.web.open("POST", URL, {})
        found = outcome(sent)
        sent.cancel()
        assert isinstance(found[0], CancelledError)
        assert asking.server.wires[0].is_aborted

    def test_unreachable(self) -> None:
        """An address where no server listens is called unreachable."""
        found = Asking().request(url="http://10.0.0.1:81/mcp?key=secret")
        assert isinstance(found[0], Unreachable)
        assert str(found[0]) == "no connection to 10.0.0.1:81: connection refused"


class StreamTests:
    """A body that comes bit by bit."""

    def test_bit_by_bit(self) -> None:
        """A part of the body is handed on as soon as it comes."""
        asking = Asking()
        found = asking.opened()
        asked = asking.server.last
        asked.begin()
        body = Body(found[0])
        asked.event(text="a")
        asked.event(text="b")
        assert body.parts == [b"data: a\n\n", b"data: b\n\n"]
        asked.finish()
        assert body.ends == [None]

    def test_late_taker(self) -> None:
        """The parts that come before a taker are kept, and the sender waits."""
        asking = Asking()
        found = asking.opened()
        asked = asking.server.last
        asked.begin()
        asked.event(text="a")
        assert asked.wire.is_paused
        asked.event(text="b")
        asked.finish()
        body = Body(found[0])
        assert b"".join(body.parts) == b"data: a\n\ndata: b\n\n"
        assert body.ends == [None]
        assert not asked.wire.is_paused

    def test_pausing(self) -> None:
        """A taker lets the sender wait."""
        asking = Asking()
        found = asking.opened()
        asked = asking.server.last
        asked.begin()
        body = Body(found[0])
        found[0].pause()
        asked.event(text="a")
        assert body.parts == []
        found[0].resume()
        assert body.parts == [b"data: a\n\n"]

    def test_abort(self) -> None:
        """A caller that has dropped a stream hears no more of it."""
        asking = Asking()
        found = asking.opened()
        asked = asking.server.last
        asked.begin()
        body = Body(found[0])
        found[0].abort()
        assert asked.wire.is_aborted
        assert (body.parts, body.ends) == ([], [])

    def test_broken(self) -> None:
        """A stream that breaks ends once, with the reason."""
        asking = Asking()
        found = asking.opened()
        asked = asking.server.last
        asked.begin()
        body = Body(found[0])
        asked.cut()
        assert len(body.ends) == 1
        assert "broke" in str(body.ends[0])


class KeepingTests:
    """Connections that are used again."""

    def test_used_again(self) -> None:
        """Requests that come one after the other share a connection; side by side they do not."""
        asking = Asking()
        for _ in range(3):
            asking.request()
            asking.server.last.reply()
        assert len(asking.server.wires) == 1
        asking.request()
        asking.request()
        assert len(asking.server.wires) == 2

    def test_not_kept(self) -> None:
        """A server that closes behind its answer is asked on another connection."""
        for headers in ({"Connection": "close"}, {"Keep_Alive": "timeout=1"}):
            asking = Asking()
            asking.request()
            asking.server.last.reply(**headers)
            assert asking.server.wires[0].disconnecting

    def test_says_how_long(self) -> None:
        """An idle connection is used for a second less than its server says, or for a few seconds, then closed."""
        for header, kept_s in (
            ({}, 4),
            ({"Keep_Alive": "timeout=20, max=5"}, 19),
            ({"Keep_Alive": "timeout=999"}, 59),
        ):
            asking = Asking()
            asking.request()
            asking.server.last.reply(**header)
            asking.net.pump([1] * (kept_s - 1))
            assert not asking.server.wires[0].disconnecting
            asking.net.pump([1, 1])
            assert asking.server.wires[0].disconnecting

    def test_closed_meanwhile(self) -> None:
        """A connection that has ended is used no more."""
        asking = Asking()
        asking.request()
        asking.server.last.reply()
        asking.server.wires[0].close()
        found = asking.request()
        asking.server.last.reply()
        assert found[0].status == 200
        assert len(asking.server.wires) == 2

    def test_surplus(self) -> None:
        """A server that answers twice could answer for the next one: its connection is closed."""
        asking = Asking()
        found = asking.request()
        asking.server.last.wire.say(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n" * 2)
        assert found[0].status == 200
        assert asking.server.wires[0].disconnecting

    def test_unasked(self) -> None:
        """An answer without a request ends the connection."""
        asking = Asking()
        asking.request()
        asking.server.last.reply()
        asking.server.wires[0].say(b"HTTP/1.1 408 Too Late\r\n\r\n")
        assert asking.server.wires[0].is_aborted

    def test_trust(self) -> None:
        """Places are told apart by scheme, host, port, and by who has named them."""
        asking = Asking()
        asking.net.serve(81)
        for url, by in ((URL, ""), ("http://10.0.0.1:81/", ""), (URL, "http://10.0.0.1:81/")):
            asking.request(url=url, named_by=by)
            asking.net.servers["10.0.0.1", 81 if ":81" in url else 80].last.reply()
        assert len(asking.server.wires) == 2

    def test_closing(self) -> None:
        """In the end all idle connections are closed, and nothing is waited for."""
        asking = Asking()
        asking.request()
        asking.server.last.reply()
        asking.web.close()
        assert asking.server.wires[0].disconnecting
        assert asking.net.getDelayedCalls() == []


class RedirectTests:
    """Redirects."""

    @pytest.mark.parametrize(
        ("method", "status"), [("POST", 307), ("POST", 308), ("GET", 302), ("DELETE", 307)]
    )
    def test_followed(self, method: str, status: int) -> None:
        """Within the origin the same request is sent to where it leads, and the answer says where that was."""
        asking = Asking()
        found = asking.opened(method, follows=True)
        asking.server.last.reply(status, Location="/mcp/")
        asked = asking.server.last
        assert (asked.method, asked.target) == (method, "/mcp/")
        asked.reply()
        assert found[0].url == "http://10.0.0.1/mcp/"

    def test_not_followed(self) -> None:
        """Unless it is wanted, a redirect is an answer like any other."""
        asking = Asking()
        found = asking.request()
        asking.server.last.reply(307, Location="/mcp/")
        assert found[0].status == 307

    def test_other_origin(self) -> None:
        """A redirect to another origin is not followed, and the error says which it was."""
        asking = Asking()
        other = asking.net.serve(81)
        found = asking.opened(follows=True)
        asking.server.last.reply(307, Location="http://10.0.0.1:81/mcp?other=secret")
        assert "http://10.0.0.1:81, which is not http://10.0.0.1:80" in str(found[0])
        assert "secret" not in str(found[0])
        assert other.requests == []

    def test_without_end(self) -> None:
        """Redirects in a circle end."""
        asking = Asking()
        asking.server.answers["POST"] = lambda asked: asked.reply(307, Location="/mcp")
        found = asking.opened(follows=True)
        assert "more than 5 times" in str(found[0])
        assert len(asking.server.requests) == 6


class HeaderTests:
    """Headers that a user sets."""

    def test_given(self) -> None:
        """The user's headers go along with the gateway's own name."""
        checked = check_headers({"Authorization": "Bearer x"})
        assert checked["Authorization"] == "Bearer x"
        assert checked["User-Agent"].startswith("mcpgateway/")

    @pytest.mark.parametrize(
        "name", ["Host", "content-length", "Transfer-Encoding", "Connection", "Upgrade", "A B", "", "A:"]
    )
    def test_ours(self, name: str) -> None:
        """A header that would turn the request into another cannot be set."""
        with pytest.raises(BackendError):
            check_headers({name: "secret"})

    def test_breaks(self) -> None:
        """A value with a line break is refused without being shown."""
        with pytest.raises(BackendError) as caught:
            check_headers({"X-Key": "secret\r\nHost: evil"})
        assert "secret" not in str(caught.value)


class RoomTests:
    """The memory that many large answers take at once."""

    HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 20000000\r\n\r\n"

    def test_bounded(self) -> None:
        """The server that sends most gives way, with an error that says so; others are heard to the end."""
        asking = Asking()
        asking.web.room.limit = 1_000_000
        other = asking.net.serve(host="10.0.0.2")
        small = asking.request(url="http://10.0.0.2/mcp")
        other.last.wire.say(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel")
        found = []
        for _ in range(5):
            found.append(asking.request())
            asking.server.last.wire.say(self.HEAD + bytes(300_000))
            assert asking.web.room.used <= 1_000_000
        failed = [each[0] for each in found if each]
        assert failed
        assert all(isinstance(each, BackendError) for each in failed)
        assert "too many large answers" in str(failed[0])
        assert len(failed) < 5
        assert not small
        other.last.wire.say(b"lo")
        assert small[0].body == b"hello"

    def test_given_back(self) -> None:
        """The memory of an answer is counted no more once it is whole, broken or given up."""
        asking = Asking()
        whole = asking.request()
        asking.server.last.wire.say(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf")
        assert asking.web.room.used == 4
        asking.server.last.wire.say(b"other")
        assert whole[0].body == b"halfother"
        assert asking.web.room.used == 0
        broken = asking.request()
        asking.server.last.wire.say(self.HEAD + b"half")
        asking.server.last.wire.close(ConnectionLost())
        assert isinstance(broken[0], BackendError)
        assert asking.web.room.used == 0
