from __future__ import annotations

import errno
import resource
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.interfaces import IProtocol, IProtocolFactory, IPushProducer
from twisted.internet.task import Clock
from twisted.logger import capturedLogs
from zope.interface.verify import verifyObject

from mcpgateway.frontends.http import channel as channel_module
from mcpgateway.frontends.http.channel_factory import ChannelFactory
from mcpgateway.system.process.processes import RESERVE, TELLING
from tests.support.doors import MemoryTransport, OpenedTransport, RecordingDoor, Wire

HOST = b"Host: localhost\r\n"
GET = b"GET / HTTP/1.1\r\n" + HOST
POST = b"POST /mcp HTTP/1.1\r\n" + HOST


def get(path: bytes) -> bytes:
    return b"GET %b HTTP/1.1\r\n%b\r\n" % (path, HOST)


def post(path: bytes, body: bytes, *extra: bytes) -> bytes:
    headers = b"".join(each + b"\r\n" for each in extra)
    return b"POST %b HTTP/1.1\r\n%b%bContent-Length: %d\r\n\r\n%b" % (path, HOST, headers, len(body), body)


def chunked(path: bytes, *pieces: bytes) -> bytes:
    body = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"
    return b"POST %b HTTP/1.1\r\n%bTransfer-Encoding: chunked\r\n\r\n%b" % (path, HOST, body)


CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"

PROBES = {
    "two lengths": (400, POST + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nab"),
    "two equal lengths": (400, POST + b"Content-Length: 1\r\nContent-Length: 1\r\n\r\na"),
    "a list of lengths": (400, POST + b"Content-Length: 1, 1\r\n\r\na"),
    "length with chunked": (400, POST + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    "chunked with length": (400, POST + b"Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n"),
    "signed length": (400, POST + b"Content-Length: +1\r\n\r\na"),
    "negative length": (400, POST + b"Content-Length: -1\r\n\r\na"),
    "hexadecimal length": (400, POST + b"Content-Length: 0x1\r\n\r\na"),
    "length with an underscore": (400, POST + b"Content-Length: 1_0\r\n\r\n0123456789"),
    "empty length": (400, POST + b"Content-Length:\r\n\r\n"),
    "length in other digits": (400, POST + "Content-Length: ٣\r\n\r\nabc".encode()),
    "length with a fraction": (400, POST + b"Content-Length: 1.0\r\n\r\na"),
    "length with a space inside": (400, POST + b"Content-Length: 1 1\r\n\r\na"),
    "length of 20 digits": ((400, 413), POST + b"Content-Length: 10000000000000000000\r\n\r\n"),
    "length of 19 digits": ((400, 413), POST + b"Content-Length: 1000000000000000000\r\n\r\n"),
    "length of 5000 digits": ((400, 413), POST + b"Content-Length: " + b"9" * 5000 + b"\r\n\r\n"),
    "bare LF everywhere": (400, b"GET / HTTP/1.1\nHost: localhost\n\n"),
    "bare LF after the request line": (400, b"GET / HTTP/1.1\nHost: localhost\r\n\r\n"),
    "bare LF after a header": (400, b"GET / HTTP/1.1\r\nHost: localhost\nX: y\r\n\r\n"),
    "bare LF before the end": (400, b"GET / HTTP/1.1\r\nHost: localhost\r\n\n\r\n"),
    "bare CR in a header": (400, GET + b"X: a\rb\r\n\r\n"),
    "bare CR after the request line": (400, b"GET / HTTP/1.1\rHost: localhost\r\n\r\n"),
    "a folded header": (400, GET + b"X: a\r\n b\r\n\r\n"),
    "a header folded by a tab": (400, GET + b"X: a\r\n\tb\r\n\r\n"),
    "folded chunked": (400, POST + b"Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n"),
    "a blank before the first header": (400, b"GET / HTTP/1.1\r\n Host: localhost\r\n\r\n"),
    "NUL in a value": (400, GET + b"X: a\0b\r\n\r\n"),
    "NUL in a name": (400, GET + b"X\0: a\r\n\r\n"),
    "NUL in the target": (400, b"GET /\0 HTTP/1.1\r\n" + HOST + b"\r\n"),
    "a control byte in a value": (400, GET + b"X: a\x01b\r\n\r\n"),
    "an escape in a value": (400, GET + b"X: \x1b[2J\r\n\r\n"),
    "DEL in a value": (400, GET + b"X: a\x7f\r\n\r\n"),
    "a control byte in the target": (400, b"GET /\x01 HTTP/1.1\r\n" + HOST + b"\r\n"),
    "DEL in the target": (400, b"GET /\x7f HTTP/1.1\r\n" + HOST + b"\r\n"),
    "a tab in the target": (400, b"GET /\t HTTP/1.1\r\n" + HOST + b"\r\n"),
    "Latin-1 in the target": (400, b"GET /\xe4 HTTP/1.1\r\n" + HOST + b"\r\n"),
    "UTF-8 in the target": (400, "GET /ä HTTP/1.1\r\n".encode() + HOST + b"\r\n"),
    "a fragment": (400, b"GET /#a HTTP/1.1\r\n" + HOST + b"\r\n"),
    "no Host": (400, b"GET / HTTP/1.1\r\nX: y\r\n\r\n"),
    "no headers": (400, b"GET / HTTP/1.1\r\n\r\n"),
    "two Hosts": (400, GET + HOST + b"\r\n"),
    "two Hosts in other cases": (400, GET + b"hOST: other\r\n\r\n"),
    "two session ids": (400, POST + b"Mcp-Session-Id: a\r\nMCP-Session-ID: b\r\n\r\n"),
    "two authorizations": (400, POST + b"Authorization: a\r\nAuthorization: b\r\n\r\n"),
    "an absolute target": (400, b"GET http://localhost/ HTTP/1.1\r\n" + HOST + b"\r\n"),
    "an absolute target of another host": (400, b"GET http://evil/ HTTP/1.1\r\n" + HOST + b"\r\n"),
    "a relative target": (400, b"GET x HTTP/1.1\r\n" + HOST + b"\r\n"),
    "no target": (400, b"GET HTTP/1.1\r\n" + HOST + b"\r\n"),
    "a star for GET": (400, b"GET * HTTP/1.1\r\n" + HOST + b"\r\n"),
    "two spaces before the target": (400, b"GET  / HTTP/1.1\r\n" + HOST + b"\r\n"),
    "two spaces after the target": (400, b"GET /  HTTP/1.1\r\n" + HOST + b"\r\n"),
    "a space in the target": (400, b"GET /a b HTTP/1.1\r\n" + HOST + b"\r\n"),
    "a space before the method": (400, b" GET / HTTP/1.1\r\n" + HOST + b"\r\n"),
    "a space after the version": (400, b"GET / HTTP/1.1 \r\n" + HOST + b"\r\n"),
    "tabs in the request line": (400, b"GET\t/\tHTTP/1.1\r\n" + HOST + b"\r\n"),
    "a lower-case method": (400, b"get / HTTP/1.1\r\n" + HOST + b"\r\n"),
    "an unknown method": (400, b"FROB / HTTP/1.1\r\n" + HOST + b"\r\n"),
    "an empty name": (400, GET + b": a\r\n\r\n"),
    "no colon": (400, GET + b"X\r\n\r\n"),
    "a space before the colon": (400, GET + b"X : a\r\n\r\n"),
    "a space before the colon of a length": (400, POST + b"Content-Length : 1\r\n\r\na"),
    "a space in a name": (400, GET + b"X Y: a\r\n\r\n"),
    "a parenthesis in a name": (400, GET + b"X(: a\r\n\r\n"),
    "Latin-1 in a name": (400, GET + b"X\xe4: a\r\n\r\n"),
    "gzip, chunked": (400, POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"),
    "chunked, gzip": (400, POST + b"Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n"),
    "chunked twice": (
        400,
        POST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ),
    "chunked, chunked": (400, POST + b"Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n"),
    "identity": (400, POST + b"Transfer-Encoding: identity\r\n\r\n"),
    "identity with length": (400, POST + b"Transfer-Encoding: identity\r\nContent-Length: 1\r\n\r\na"),
    "no coding": (400, POST + b"Transfer-Encoding:\r\n\r\n"),
    "quoted chunked": (400, POST + b'Transfer-Encoding: "chunked"\r\n\r\n0\r\n\r\n'),
    "xchunked": (400, POST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n"),
    "chunked with a parameter": (400, POST + b"Transfer-Encoding: chunked;q=1\r\n\r\n0\r\n\r\n"),
    "chunked after a vertical tab": (400, POST + b"Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n"),
    "chunked in HTTP/1.0": (
        400,
        b"POST / HTTP/1.0\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ),
    "RTSP": (400, b"GET / RTSP/1.1\r\n" + HOST + b"\r\n"),
    "RTSP's own method": (400, b"DESCRIBE / RTSP/1.0\r\n" + HOST + b"\r\n"),
    "ICE": (400, b"SOURCE / ICE/1.0\r\n" + HOST + b"\r\n"),
    "HTTP/2's preface": (400, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    "HTTP/2.0": (400, b"GET / HTTP/2.0\r\n" + HOST + b"\r\n"),
    "HTTP/0.9": (400, b"GET /\r\n\r\n"),
    "HTTP/0.9 by name": (400, b"GET / HTTP/0.9\r\n" + HOST + b"\r\n"),
    "HTTP/1.2": (400, b"GET / HTTP/1.2\r\n" + HOST + b"\r\n"),
    "HTTP/1.10": (400, b"GET / HTTP/1.10\r\n" + HOST + b"\r\n"),
    "HTTP/01.1": (400, b"GET / HTTP/01.1\r\n" + HOST + b"\r\n"),
    "http/1.1": (400, b"GET / http/1.1\r\n" + HOST + b"\r\n"),
    "a TLS hello": (400, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"),
    "no size": (400, CHUNKED + b"\r\n\r\n"),
    "a signed size": (400, CHUNKED + b"+1\r\na\r\n0\r\n\r\n"),
    "a negative size": (400, CHUNKED + b"-1\r\na\r\n0\r\n\r\n"),
    "a size with 0x": (400, CHUNKED + b"0x1\r\na\r\n0\r\n\r\n"),
    "a size that is no number": (400, CHUNKED + b"g\r\na\r\n0\r\n\r\n"),
    "a size with an underscore": (400, CHUNKED + b"1_0\r\n0123456789abcdef\r\n0\r\n\r\n"),
    "a size of 17 digits": (400, CHUNKED + b"00000000000000001\r\na\r\n0\r\n\r\n"),
    "a size too large": ((400, 413), CHUNKED + b"ffffffff\r\na\r\n0\r\n\r\n"),
    "a size that overflows": (400, CHUNKED + b"10000000000000000\r\na\r\n0\r\n\r\n"),
    "a space after the size": (400, CHUNKED + b"1 \r\na\r\n0\r\n\r\n"),
    "a space before the size": (400, CHUNKED + b" 1\r\na\r\n0\r\n\r\n"),
    "bare LF after the size": (400, CHUNKED + b"1\na\r\n0\r\n\r\n"),
    "bare LF in an extension": (400, CHUNKED + b"1;a\nb\r\na\r\n0\r\n\r\n"),
    "a control byte in an extension": (400, CHUNKED + b"1;\x01\r\na\r\n0\r\n\r\n"),
    "an endless extension": (400, CHUNKED + b"1;" + b"a" * 1000),
    "too much data": (400, CHUNKED + b"1\r\nab\r\n0\r\n\r\n"),
    "bare LF after the data": (400, CHUNKED + b"1\r\na\n0\r\n\r\n"),
    "bare LF at the end": (400, CHUNKED + b"0\r\n\n"),
    "a folded trailer": (400, CHUNKED + b"0\r\nX: a\r\n b\r\n\r\n"),
    "a trailer without a name": (400, CHUNKED + b"0\r\n: a\r\n\r\n"),
    "endless trailers": (400, CHUNKED + b"0\r\n" + b"X: a\r\n" * 2000),
    "an endless trailer": (400, CHUNKED + b"0\r\nX: " + b"a" * 9000),
    "CONNECT": (405, b"CONNECT localhost:80 HTTP/1.1\r\n" + HOST + b"\r\n"),
    "CONNECT to a path": (405, b"CONNECT / HTTP/1.1\r\n" + HOST + b"\r\n"),
    "TRACE": (405, b"TRACE / HTTP/1.1\r\n" + HOST + b"\r\n"),
    "another expectation": (417, POST + b"Expect: tea\r\nContent-Length: 1\r\n\r\n"),
    "gzip": (415, POST + b"Content-Encoding: gzip\r\nContent-Length: 1\r\n\r\na"),
    "too many headers": (431, GET + b"X: y\r\n" * 101 + b"\r\n"),
    "one header too large": (431, GET + b"X: " + b"y" * 65536 + b"\r\n\r\n"),
    "headers without end": (431, GET + b"X: " + b"y" * 70000),
    "a target too long": (414, b"GET /" + b"a" * 65536 + b" HTTP/1.1\r\n" + HOST + b"\r\n"),
    "a target without end": (414, b"GET /" + b"a" * 70000),
    "a length beyond the limit": (413, POST + b"Content-Length: 4194305\r\n\r\n"),
}


class RefusalTests:
    @pytest.mark.parametrize("name", PROBES)
    @pytest.mark.parametrize("size", [None, 1, 1000])
    def test_is_refused_and_closed(self, name: str, size: int | None) -> None:
        """A request that could mean two things gets one refusal, reaches no handler, and ends the connection."""
        allowed, data = PROBES[name]
        wire = Wire()
        for start in range(0, len(data), size or len(data)):
            if wire.transport.is_closing:
                break
            wire.send(data[start : start + (size or len(data))])
        assert len(wire.answers) == 1
        assert wire.answers[0].status in (allowed if isinstance(allowed, tuple) else (allowed,))
        assert wire.answers[0].headers[b"connection"] == b"close"
        assert wire.transport.is_closing
        assert wire.door.handled == []

    @pytest.mark.parametrize("name", PROBES)
    def test_answers_what_came_before_it(self, name: str) -> None:
        """A good request before a bad one is answered, and nothing after the bad one is served."""
        wire = Wire()
        wire.send(get(b"/first") + PROBES[name][1] + b"\r\n\r\n" + get(b"/smuggled"))
        assert wire.statuses[0] == 200
        assert len(wire.statuses) == 2
        assert [each.path for each in wire.door.handled] == [b"/first"]

    def test_lets_the_client_finish_sending(self) -> None:
        """The rest that a refused client still sends is read and dropped, in bounds."""
        wire = Wire()
        wire.send(b"GET /\r\n\r\n")
        part = b"x" * 1_048_576
        wire.send(part * 8)
        assert not wire.transport.is_aborted
        for _ in range(9):
            wire.send(part)
        assert wire.transport.is_aborted

    def test_answers_405_with_allow(self) -> None:
        """A method that is never served is refused with the ones that are."""
        wire = Wire()
        wire.send(b"TRACE / HTTP/1.1\r\n" + HOST + b"\r\n")
        assert b"POST" in wire.answers[0].headers[b"allow"]


class AcceptanceTests:
    @pytest.mark.parametrize(
        "data",
        [
            b"GET / HTTP/1.1\r\nHost:localhost\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: \t localhost \t \r\n\r\n",
            b"GET / HTTP/1.1\r\nHost:\r\n\r\n",
            b"GET / HTTP/1.0\r\n\r\n",
            b"GET /a?b=c&d=%20%00~!$'()*+,;:@/?[]|{}^`\"<> HTTP/1.1\r\n" + HOST + b"\r\n",
            b"GET //evil/ HTTP/1.1\r\n" + HOST + b"\r\n",
            b"OPTIONS * HTTP/1.1\r\n" + HOST + b"\r\n",
            b"\r\n" + GET + b"\r\n",
            GET + b"X: caf\xc3\xa9\r\n\r\n",
            GET + b"X:\r\n\r\n",
            GET + b"X: y\r\n" * 99 + b"\r\n",
            GET + b"X: " + b"y" * 65000 + b"\r\n\r\n",
            GET + b"Content-Length: 0\r\n\r\n",
            POST + b"Content-Encoding: identity\r\nContent-Length: 1\r\n\r\na",
            POST + b"Transfer-Encoding: CHUNKED\r\n\r\n1;a=b\r\na\r\n0;c\r\nX: trailer\r\n\r\n",
            POST + b"Transfer-Encoding: chunked\r\n\r\nA\r\n0123456789\r\n000\r\n\r\n",
        ],
    )
    @pytest.mark.parametrize("size", [None, 1])
    def test_is_served(self, data: bytes, size: int | None) -> None:
        """A request that the grammar allows is served, in whatever pieces it comes."""
        wire = Wire()
        for start in range(0, len(data), size or len(data)):
            wire.send(data[start : start + (size or len(data))])
        assert wire.statuses == [200]
        assert len(wire.door.handled) == 1

    def test_gives_the_door_the_facts(self) -> None:
        """An exchange carries the request as it was sent, with names in lower case and repeated headers joined."""
        wire = Wire()
        wire.send(post(b"/a%20b?c=d?e", b"body", b"X-One: 1", b"Cookie: a=b", b"x-ONE:  2 ", b"Cookie: c=d"))
        exchange = wire.door.handled[0]
        assert (exchange.method, exchange.path, exchange.query) == (b"POST", b"/a%20b", b"c=d?e")
        assert exchange.version == b"1.1"
        assert exchange.headers[b"x-one"] == b"1, 2"
        assert exchange.headers[b"cookie"] == b"a=b; c=d"
        assert wire.door.bodies == [b"body"]
        assert exchange.caller.address == wire.transport.getPeer()
        assert exchange.secure is False

    def test_judges_a_head_before_its_body(self) -> None:
        """The door is asked once the head is in, and handles once the body is."""
        wire = Wire()
        data = post(b"/", b"0123456789")
        wire.send(data[:-10])
        assert (wire.door.opened_paths, wire.door.handled) == ([b"/"], [])
        wire.send(b"01234")
        assert wire.door.handled == []
        wire.send(b"56789")
        assert wire.door.bodies == [b"0123456789"]

    def test_compares_known_heads(self) -> None:
        """A repeated head is served like the first, with another body, and a longer one is not taken for it."""
        wire = Wire()
        for body in (b"aaa", b"bbb", b"ccc"):
            wire.send(post(b"/", body))
        wire.send(post(b"/", b"ddd") + post(b"/", b"eee"))
        wire.send(post(b"/", b"f" * 4))
        assert wire.door.bodies == [b"aaa", b"bbb", b"ccc", b"ddd", b"eee", b"ffff"]

    def test_upgrades_nothing(self) -> None:
        """An upgrade is ignored and its request served, body and all (`curl --http2` sends one)."""
        wire = Wire()
        wish = (
            b"Connection: Upgrade, HTTP2-Settings",
            b"Upgrade: h2c",
            b"HTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA",
        )
        wire.send(post(b"/", b"body", *wish) + get(b"/next"))
        assert wire.statuses == [200, 200]
        assert wire.door.bodies == [b"body", b""]


def requests() -> st.SearchStrategy[bytes]:
    paths = st.sampled_from((b"/", b"/a", b"/a/b?c=d"))
    bodies = st.one_of(st.binary(max_size=30), st.sampled_from((b"\r\n\r\n", get(b"/inner"), b"0\r\n\r\n")))
    return st.one_of(
        st.builds(get, paths),
        st.builds(post, paths, bodies),
        st.builds(
            lambda path, pieces: chunked(path, *[each for each in pieces if each]), paths, st.lists(bodies)
        ),
        st.just(b"\r\n" + get(b"/after-a-blank-line")),
    )


def facts(door: RecordingDoor) -> list[tuple[bytes, bytes, bytes, dict[bytes, bytes], bytes]]:
    return [
        (each.method, each.path, each.query, each.headers, body)
        for each, body in zip(door.handled, door.bodies, strict=True)
    ]


class ChunkingTests:
    @given(st.lists(requests(), min_size=1, max_size=5), st.data())
    def test_does_not_matter(self, stream: list[bytes], data: st.DataObject) -> None:
        """Any way of cutting a pipelined stream into chunks gives the same exchanges and the same answers."""
        whole = b"".join(stream)
        cuts = data.draw(st.lists(st.integers(0, len(whole)), max_size=12).map(sorted))
        one, other = Wire(), Wire()
        one.send(whole)
        for start, end in zip([0, *cuts], [*cuts, len(whole)], strict=True):
            other.send(whole[start:end])
        assert len(one.door.handled) == len(stream)
        assert facts(one.door) == facts(other.door)
        assert one.transport.taken == other.transport.taken


class PipeliningTests:
    def test_keeps_the_order(self) -> None:
        """The second request is not looked at before the first is answered, and reading pauses meanwhile."""
        wire = Wire(RecordingDoor(waits=True))
        wire.send(get(b"/1") + get(b"/2"))
        assert wire.door.opened_paths == [b"/1"]
        assert not wire.transport.is_producing
        wire.door.handled[0].answer(200, b"one")
        assert wire.door.opened_paths == [b"/1", b"/2"]
        assert wire.transport.is_producing
        wire.door.handled[1].answer(200, b"two")
        assert [each.body for each in wire.answers] == [b"one", b"two"]

    def test_keeps_reading_while_nothing_is_held(self) -> None:
        """While a lone request waits, reading goes on, or nobody would notice a disconnect."""
        wire = Wire(RecordingDoor(waits=True))
        wire.send(get(b"/1"))
        assert wire.transport.is_producing

    def test_answers_hundreds_without_recursion(self) -> None:
        """A chunk full of requests that are answered at once is a loop, not a stack."""
        wire = Wire()
        wire.send(get(b"/") * 2000)
        assert wire.statuses == [200] * 2000

    def test_continues_after_a_late_answer_without_recursion(self) -> None:
        """The same when the first of them had to wait."""
        wire = Wire(RecordingDoor(waits=True))
        wire.send(get(b"/") * 2000)
        wire.door.waits = False
        wire.door.handled[0].answer(200)
        assert wire.statuses == [200] * 2000

    def test_waits_for_a_slow_reader(self) -> None:
        """While the client has not read its answers, no further request is started."""
        wire = Wire(RecordingDoor(waits=True), MemoryTransport(reads=False))
        wire.send(get(b"/1") + get(b"/2"))
        wire.door.handled[0].answer(200, b"x" * 100_000)
        assert wire.door.opened_paths == [b"/1"]
        wire.transport.read()
        assert wire.door.opened_paths == [b"/1", b"/2"]

    def test_half_a_request_waits_for_its_turn(self) -> None:
        """The beginning of a request behind a waiting one is held, and completed later."""
        wire = Wire(RecordingDoor(waits=True))
        second = post(b"/2", b"0123456789")
        wire.send(get(b"/1") + second[:-4])
        wire.door.handled[0].answer(200)
        assert wire.door.opened_paths == [b"/1", b"/2"]
        wire.send(second[-4:])
        assert wire.door.bodies == [b"", b"0123456789"]


class BodyTests:
    def test_stops_at_the_announced_length(self) -> None:
        """A body that is announced as too long is refused before it is sent."""
        wire = Wire(RecordingDoor(limit=5))
        wire.send(POST + b"Content-Length: 6\r\n\r\n")
        assert wire.statuses == [413]
        assert wire.transport.is_closing

    def test_stops_a_body_that_came_along(self) -> None:
        """A large body that came in the chunk of its head is refused all the same."""
        wire = Wire(RecordingDoor(limit=5))
        wire.send(post(b"/", b"123456"))
        assert wire.statuses == [413]
        assert wire.door.handled == []

    def test_stops_a_chunked_body(self) -> None:
        """A chunked body is counted as it comes."""
        wire = Wire(RecordingDoor(limit=5))
        wire.send(CHUNKED + b"3\r\nabc\r\n")
        assert wire.statuses == []
        wire.send(b"3\r\n")
        assert wire.statuses == [413]
        assert wire.door.handled == []

    def test_takes_a_body_of_the_limit(self) -> None:
        """The limit itself is allowed, however the body comes."""
        wire = Wire(RecordingDoor(limit=5))
        wire.send(post(b"/", b"12345") + chunked(b"/", b"12", b"345"))
        assert wire.door.bodies == [b"12345", b"12345"]

    def test_closes_after_a_refusal_with_an_unread_body(self) -> None:
        """After an answer to a request whose body was not read, the connection closes."""
        wire = Wire()
        wire.send(POST.replace(b"/mcp", b"/refused") + b"Content-Length: 10\r\n\r\n01")
        assert wire.statuses == [403]
        assert wire.answers[0].headers[b"connection"] == b"close"
        assert wire.transport.is_closing

    def test_goes_on_after_a_refusal_with_a_read_body(self) -> None:
        """A refusal whose request was read whole costs no connection."""
        wire = Wire()
        wire.send(post(b"/refused", b"abc") + get(b"/"))
        assert wire.statuses == [403, 200]


class ExpectationTests:
    REQUEST = POST + b"Expect: 100-continue\r\nContent-Length: 3\r\n\r\n"

    def test_says_continue(self) -> None:
        """A client that waits is told to go on, once the door has allowed it."""
        wire = Wire()
        wire.send(self.REQUEST)
        assert wire.statuses == [100]
        wire.send(b"abc")
        assert wire.statuses == [100, 200]

    def test_says_nothing_to_who_does_not_wait(self) -> None:
        """A body that is already there makes the word needless."""
        wire = Wire()
        wire.send(self.REQUEST + b"abc")
        wire.send(self.REQUEST + b"ab", b"c")
        assert wire.statuses == [200, 200]

    def test_refuses_instead(self) -> None:
        """A refused client is not told to go on."""
        wire = Wire(RecordingDoor(limit=2))
        wire.send(self.REQUEST)
        assert wire.statuses == [413]

    def test_is_unknown_to_the_old(self) -> None:
        """HTTP/1.0 has no such word."""
        wire = Wire()
        wire.send(self.REQUEST.replace(b"1.1", b"1.0"))
        assert wire.statuses == []

    def test_says_it_for_each_request(self) -> None:
        """A repeated head waits for its word too."""
        wire = Wire()
        wire.send(self.REQUEST, b"abc", self.REQUEST, b"abc")
        assert wire.statuses == [100, 200, 100, 200]


class PersistenceTests:
    @pytest.mark.parametrize(
        ("version", "connection", "stays"),
        [
            (b"1.1", b"", True),
            (b"1.1", b"Connection: close\r\n", False),
            (b"1.1", b"Connection: X, Close\r\n", False),
            (b"1.1", b"Connection: keep-alive\r\n", True),
            (b"1.0", b"", False),
            (b"1.0", b"Connection: Keep-Alive\r\n", True),
            (b"1.0", b"Connection: keep-alive, close\r\n", False),
        ],
    )
    def test_is_as_the_client_says(self, version: bytes, connection: bytes, *, stays: bool) -> None:
        """The version and the Connection header decide, and the answer says so."""
        wire = Wire()
        wire.send(b"GET / HTTP/%b\r\n%b%b\r\n" % (version, HOST, connection))
        said = wire.answers[0].headers.get(b"connection")
        assert wire.transport.is_closing is not stays
        assert said == (b"close" if not stays else b"keep-alive" if version == b"1.0" else None)

    def test_serves_nothing_after_close(self) -> None:
        """A request that follows one called the last is not served."""
        wire = Wire()
        wire.send(GET + b"Connection: close\r\n\r\n" + get(b"/more"))
        assert wire.statuses == [200]


class DeadlineTests:
    def test_an_idle_connection_ends_quietly(self) -> None:
        """After five minutes without a request the connection is closed, without a word."""
        wire = Wire()
        wire.send(get(b"/"))
        wire.pass_ticks(299)
        assert not wire.transport.is_closing
        wire.pass_ticks(1)
        assert wire.transport.is_closing
        assert wire.statuses == [200]

    @pytest.mark.parametrize("start", [b"G", b"GET / HTTP/1.1\r\nHost: x\r\n", b"\r\n", b"\r"])
    def test_a_head_must_come_in_ten_seconds(self, start: bytes) -> None:
        """A trickling head does not renew its time."""
        wire = Wire()
        wire.send(start)
        wire.pass_ticks(9)
        if start != b"\r":
            wire.send(b"G" if start == b"\r\n" else b"E" if start == b"G" else b"X")
        assert not wire.transport.is_closing
        wire.pass_ticks(1)
        assert wire.statuses == [408]
        assert wire.transport.is_closing

    def test_a_body_must_come_at_some_speed(self) -> None:
        """A body has thirty seconds, and one more for each KiB of it."""
        wire = Wire()
        wire.send(POST + b"Content-Length: 100000\r\n\r\n")
        wire.pass_ticks(29)
        wire.send(b"x" * 2048)
        wire.pass_ticks(2)
        assert not wire.transport.is_closing
        wire.pass_ticks(1)
        assert wire.statuses == [408]

    def test_a_chunked_body_too(self) -> None:
        """The framing of chunks counts for nothing."""
        wire = Wire()
        wire.send(CHUNKED)
        wire.pass_ticks(29)
        wire.send(b"1;" + b"x" * 100 + b"\r\na\r\n")
        wire.pass_ticks(1)
        assert wire.statuses == [408]

    def test_an_answer_takes_the_time_it_takes(self) -> None:
        """The channel does not judge how long a call lasts."""
        wire = Wire(RecordingDoor(waits=True))
        wire.send(get(b"/"))
        wire.pass_ticks(1000)
        wire.door.handled[0].answer(200)
        assert wire.statuses == [200]

    def test_a_reader_that_stops_is_cut(self) -> None:
        """A minute without reading ends the connection; every byte read begins another one."""
        wire = Wire(RecordingDoor(waits=True), MemoryTransport(reads=False))
        wire.send(get(b"/"))
        wire.door.handled[0].answer(200, b"x" * 200_000)
        wire.pass_ticks(50)
        wire.transport.read(10)
        wire.pass_ticks(60)
        assert not wire.transport.is_aborted
        wire.pass_ticks(1)
        assert wire.transport.is_aborted

    def test_closing_is_not_endless(self) -> None:
        """A client that keeps its end open after ours has closed is cut after ten seconds."""
        wire = Wire()
        wire.send(GET + b"Connection: close\r\n\r\n")
        wire.pass_ticks(9)
        assert not wire.transport.is_aborted
        wire.pass_ticks(1)
        assert wire.transport.is_aborted


class DisconnectTests:
    def test_tells_the_door(self) -> None:
        """A waiting exchange hears once that its client has gone, and stays silent from then on."""
        wire = Wire(RecordingDoor(waits=True))
        wire.send(get(b"/"))
        exchange = wire.door.handled[0]
        heard = []
        exchange.on_gone = lambda: heard.append(exchange.gone)
        wire.hang_up()
        assert heard == [True]
        exchange.answer(200, b"too late")
        assert wire.transport.taken == b""
        assert wire.factory.connections == set()

    def test_tells_nobody_after_the_answer(self) -> None:
        """An answered exchange is not told."""
        wire = Wire(RecordingDoor(waits=True))
        wire.send(get(b"/"))
        heard = []
        wire.door.handled[0].on_gone = lambda: heard.append(True)
        wire.door.handled[0].answer(200)
        wire.hang_up()
        assert heard == []

    def test_survives_a_broken_listener(self) -> None:
        """A listener that raises is logged, and the connection is forgotten all the same."""
        wire = Wire(RecordingDoor(waits=True))
        wire.send(get(b"/"))
        wire.door.handled[0].on_gone = lambda: 1 / 0
        with capturedLogs() as logs:
            wire.hang_up()
        assert [each["event"] for each in logs] == ["http.gone_failed"]
        assert wire.factory.connections == set()

    def test_forgets_what_was_held(self) -> None:
        """A request behind the one that was interrupted is never served."""
        wire = Wire(RecordingDoor(waits=True))
        wire.send(get(b"/1") + get(b"/2"))
        wire.hang_up()
        wire.door.handled[0].answer(200)
        assert wire.door.opened_paths == [b"/1"]


class BrokenDoorTests:
    @pytest.mark.parametrize("path", [b"/broken", b"/broken-guard"])
    def test_gives_an_incident(self, path: bytes) -> None:
        """The caller gets a number, the log the story, and the next request its answer."""
        wire = Wire()
        with capturedLogs() as logs:
            wire.send(get(path) + get(b"/next"))
        assert wire.statuses == [500, 200]
        assert logs[0]["incident"].encode() in wire.answers[0].body
        assert b"ZeroDivision" not in wire.transport.taken

    def test_cuts_a_broken_stream(self) -> None:
        """A stream that breaks is cut, so that it is not taken for whole."""
        wire = Wire()
        with capturedLogs():
            wire.send(get(b"/broken-stream"))
        assert wire.transport.is_aborted


class FilelessDoor(RecordingDoor):
    """Needs a file for every request, and gets none."""

    def handle(self, exchange: Any) -> None:
        raise OSError(errno.EMFILE, "Too many open files")


class FactoryTests:
    def test_provides_what_twisted_asks_for(self) -> None:
        """The parts are what a listening port and a transport expect."""
        wire = Wire()
        verifyObject(IProtocolFactory, wire.factory)
        verifyObject(IProtocol, wire.channel)
        verifyObject(IPushProducer, wire.channel.outlet)

    def test_drains(self) -> None:
        """Draining closes the idle at once, and the busy after their answer."""
        door = RecordingDoor(waits=True)
        idle, busy = Wire(door), Wire(door)
        busy.send(get(b"/"))
        for wire in (idle, busy):
            wire.factory.drain()
        assert idle.transport.is_closing
        assert not busy.transport.is_closing
        door.handled[0].answer(200)
        assert busy.answers[0].headers[b"connection"] == b"close"
        assert busy.transport.is_closing

    def test_takes_one_request_from_a_late_client(self) -> None:
        """A connection that was accepted while draining began is answered once."""
        wire = Wire()
        wire.factory.shared.is_draining = True
        late, transport = wire.factory.buildProtocol(None), MemoryTransport()
        late.makeConnection(transport)
        late.dataReceived(get(b"/"))
        assert transport.is_closing

    def test_aborts_all(self) -> None:
        """Every connection can be cut, and its exchange knows."""
        wire = Wire(RecordingDoor(waits=True))
        wire.send(get(b"/"))
        wire.factory.abort_all()
        assert wire.transport.is_aborted
        assert wire.door.handled[0].gone

    def test_has_room_for_so_many(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Connections beyond the limit are told so, and beyond that cut."""
        monkeypatch.setattr(channel_module, "CONNECTIONS_LIMIT", 2)
        monkeypatch.setattr(channel_module, "REFUSALS_LIMIT", 1)
        factory = ChannelFactory(RecordingDoor())
        transports = [MemoryTransport() for _ in range(4)]
        for transport in transports:
            factory.buildProtocol(None).makeConnection(transport)
        assert [each.is_closing for each in transports] == [False, False, True, False]
        assert transports[2].taken.startswith(b"HTTP/1.1 503 ")
        assert [each.is_aborted for each in transports] == [False, False, False, True]

    def test_leaves_a_reserve_of_descriptors(self) -> None:
        """Connections that come close to it are told so, those that would use it are cut, and the log says it once."""
        limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        factory = ChannelFactory(RecordingDoor())
        told, last = limit // TELLING, limit - RESERVE - 1
        transports = [
            OpenedTransport(each) for each in (9, last - told, last - told + 1, last, last + 1, limit - 1)
        ]
        for transport in transports:
            factory.buildProtocol(None).makeConnection(transport)
        assert [each.is_closing for each in transports] == [False, False, True, True, False, False]
        assert [each.is_aborted for each in transports] == [False, False, False, False, True, True]
        assert b"503 " in transports[2].taken
        assert b"too many files open" in transports[2].taken
        with capturedLogs() as events:
            factory.sweep()
            factory.sweep()
        assert [(each["event"], each["count"]) for each in events] == [("http.files", 4)]

    def test_a_request_that_no_file_is_left_for(self) -> None:
        """A request that no file is left for is refused as one that may be sent again, without a traceback."""
        wire = Wire(FilelessDoor())
        with capturedLogs() as events:
            wire.send(get(b"/"))
            wire.pass_ticks(1)
        assert wire.statuses == [503]
        assert [each["event"] for each in events] == ["http.files"]

    def test_tells_the_date(self) -> None:
        """With a clock every answer carries a Date, renewed by the sweep."""
        clock = Clock()
        factory, transport = ChannelFactory(RecordingDoor(), clock), MemoryTransport()
        channel = factory.buildProtocol(None)
        channel.makeConnection(transport)
        channel.dataReceived(get(b"/"))
        assert b"\r\nDate: Thu, 01 Jan 1970 00:00:00 GMT\r\n" in transport.taken
        clock.advance(60 * 60 * 24)
        factory.sweep()
        channel.dataReceived(get(b"/"))
        assert b"\r\nDate: Fri, 02 Jan 1970 00:00:00 GMT\r\n" in transport.taken
