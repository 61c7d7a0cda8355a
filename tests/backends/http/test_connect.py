"""Connections: which address is tried, and which is not."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.protocol import Protocol

from mcpgateway.backends.http.connect import DIAL_S, HEAD_START_S, PLAIN, Dialler
from mcpgateway.errors import BackendError, Unreachable
from mcpgateway.policy import urls
from tests.support.scripted_http import HERE, MemoryNet


class Plain(Protocol):
    """A protocol that does nothing."""

    def __init__(self) -> None:
        self.made: Deferred[None] = Deferred()
        self.secured: Deferred[None] = Deferred()

    def connectionMade(self) -> None:
        self.made.callback(None)


class Dialling:
    """A client that dials."""

    def __init__(self) -> None:
        self.net = MemoryNet()
        self.dialler = Dialler(self.net)

    def dial(self, url: str, named_by: str = "") -> list[Any]:
        """Dial; what comes of it."""
        self.sent = self.dialler.dial(urls.read(url), Plain, PLAIN, urls.read(named_by) if named_by else None)
        found: list[Any] = []
        self.sent.addCallbacks(found.append, lambda why: found.append(why.value))
        return found


class RaceTests:
    """Several addresses of one name."""

    def test_first(self) -> None:
        """The first address that answers is taken, and no other tried."""
        dialling = Dialling()
        dialling.net.names["h"] = ["10.0.0.1", "10.0.0.2"]
        dialling.net.serve(80, "10.0.0.1")
        dialling.net.serve(80, "10.0.0.2")
        found = dialling.dial("http://h/")
        assert isinstance(found[0], Plain)
        assert dialling.net.dialled == [("10.0.0.1", 80)]
        assert dialling.net.getDelayedCalls() == []

    def test_refused(self) -> None:
        """Where one refuses, the next is tried at once."""
        dialling = Dialling()
        dialling.net.names["h"] = ["10.0.0.1", "10.0.0.2"]
        dialling.net.serve(80, "10.0.0.2")
        assert isinstance(dialling.dial("http://h/")[0], Plain)

    def test_silent(self) -> None:
        """Where one says nothing, the next is tried after a moment, and the first given up when that answers."""
        dialling = Dialling()
        dialling.net.names["h"] = ["10.0.0.1", "10.0.0.2"]
        dialling.net.silent.add("10.0.0.1")
        dialling.net.serve(80, "10.0.0.2")
        found = dialling.dial("http://h/")
        assert found == []
        dialling.net.advance(HEAD_START_S)
        assert isinstance(found[0], Plain)
        assert dialling.net.getDelayedCalls() == []

    def test_all_refused(self) -> None:
        """Where none answers, that is said with the name that was asked for."""
        dialling = Dialling()
        dialling.net.names["h"] = ["10.0.0.1", "10.0.0.2"]
        found = dialling.dial("http://h/")
        assert isinstance(found[0], Unreachable)
        assert str(found[0]) == "no connection to h:80: connection refused"

    def test_all_silent(self) -> None:
        """Where none even refuses, it is given up."""
        dialling = Dialling()
        dialling.net.silent.add("10.0.0.1")
        found = dialling.dial("http://10.0.0.1:8000/")
        dialling.net.advance(DIAL_S)
        assert isinstance(found[0], Unreachable)
        assert "no connection to 10.0.0.1:8000: no answer" in str(found[0])
        assert dialling.net.getDelayedCalls() == []

    def test_unknown_name(self) -> None:
        """A name without an address leads nowhere."""
        found = Dialling().dial("http://h/")
        assert isinstance(found[0], Unreachable)
        assert str(found[0]) == "the host name h is not known"

    def test_localhost(self) -> None:
        """The name localhost is this machine in both families, whatever a resolver would say."""
        dialling = Dialling()
        dialling.net.serve(80, "::1")
        assert isinstance(dialling.dial("http://localhost/")[0], Plain)
        assert dialling.net.dialled == [("127.0.0.1", 80), ("::1", 80)]

    def test_called_off(self) -> None:
        """A caller that gives up leaves no connection and no timer behind."""
        dialling = Dialling()
        dialling.net.names["h"] = ["10.0.0.1", "10.0.0.2"]
        dialling.net.silent |= {"10.0.0.1", "10.0.0.2"}
        dialling.dial("http://h/")
        dialling.sent.cancel()
        assert dialling.net.getDelayedCalls() == []


class JudgementTests:
    """Places that a server has named."""

    def test_sent_inside(self) -> None:
        """A public server sends the gateway to no private place, whatever name it gives it."""
        for address in ("10.0.0.1", "127.0.0.1", "169.254.169.254"):
            dialling = Dialling()
            dialling.net.names |= {"public": ["93.184.216.34"], "inner": [address]}
            dialling.net.serve(80, address)
            found = dialling.dial("http://inner/", "https://public/")
            assert isinstance(found[0], BackendError)
            assert "public:443 names inner:80" in str(found[0])
            assert dialling.net.dialled == []

    def test_pinned(self) -> None:
        """The connection goes to an address that was judged; what else the name may mean is not tried."""
        dialling = Dialling()
        dialling.net.names |= {"public": ["93.184.216.34"], "both": ["10.0.0.1", "93.184.216.35"]}
        dialling.net.serve(80, "10.0.0.1")
        dialling.net.serve(80, "93.184.216.35")
        assert isinstance(dialling.dial("http://both/", "https://public/")[0], Plain)
        assert dialling.net.dialled == [("93.184.216.35", 80)]

    def test_changes_its_address(self) -> None:
        """A server that was reached on the Internet is judged by that, though its name means this machine by now."""
        for scheme in ("http", "https"):
            dialling = Dialling()
            dialling.net.names["evil"] = ["93.184.216.34"]
            dialling.net.serve(80, "93.184.216.34")
            dialling.net.serve(81, "127.0.0.1")
            assert isinstance(dialling.dial("http://evil/mcp")[0], Plain)
            dialling.net.names["evil"] = ["127.0.0.1"]
            found = dialling.dial("http://evil:81/admin", f"{scheme}://evil/mcp")
            assert "evil:81, which is not a place that it may send the gateway to" in str(found[0])
            assert dialling.net.dialled == [("93.184.216.34", 80)]

    def test_moves_nearer(self) -> None:
        """Without TLS nobody proves to be the server that was reached: its name may not lead nearer than it did."""
        for first, then, is_fine in (
            ("93.184.216.34", ["127.0.0.1"], False),
            ("93.184.216.34", ["10.0.0.1"], False),
            ("10.0.0.1", ["169.254.169.254"], False),
            ("93.184.216.34", ["127.0.0.1", "93.184.216.35"], True),
            ("127.0.0.1", ["127.0.0.2"], True),
            ("10.0.0.1", ["93.184.216.35"], True),
        ):
            dialling = Dialling()
            dialling.net.names["h"] = [first]
            for each in (first, *then):
                dialling.net.serve(80, each)
            assert isinstance(dialling.dial("http://h/")[0], Plain)
            dialling.net.names["h"] = then
            found = dialling.dial("http://h/")
            assert isinstance(found[0], Plain if is_fine else BackendError)
            assert dialling.net.dialled[1:] == ([(then[-1], 80)] if is_fine else [])
            assert is_fine or ("h:80 was at a" in str(found[0]) and "restart" in found[0].hint)

    def test_neighbours(self) -> None:
        """A server on this machine may name another on this machine."""
        dialling = Dialling()
        dialling.net.serve(81, "127.0.0.1")
        assert isinstance(dialling.dial("http://127.0.0.1:81/", "http://localhost:80/")[0], Plain)

    def test_configured(self) -> None:
        """A place that the user has named is not judged."""
        dialling = Dialling()
        dialling.net.serve(80, "169.254.169.254")
        assert isinstance(dialling.dial("http://169.254.169.254/")[0], Plain)

    def test_ourselves(self) -> None:
        """A connection to the gateway itself is dropped, by whatever address it is reached."""
        for host in ("127.0.0.1", HERE):
            dialling = Dialling()
            dialling.dialler.own_ports = {9100}
            server = dialling.net.serve(9100, host)
            found = dialling.dial(f"http://{host}:9100/mcp")
            assert "is this gateway itself" in str(found[0])
            assert server.wires[0].is_aborted
