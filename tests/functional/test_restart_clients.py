"""Clients of each kind while the gateway is restarted in place: no connection is closed, and no message is lost."""

import json
import os
import signal
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.functional.test_restart_children import (
    FIXTURE,
    RESTART_S,
    STORM_S,
    again,
    calls_of,
    servers_of,
)
from tests.shim.driver import MODERN as MODERN_META
from tests.shim.driver import Shim
from tests.support.gateway import eventually, server
from tests.support.home import Home
from tests.support.modern_client import ACKNOWLEDGED, TOOLS_CHANGED, UPDATED, request
from tests.support.processes import command_line
from tests.support.restarting import JSON, Client, InBackground, asked, hung_up, renewed
from tests.support.storm import WEATHER
from tests.support.streaming import ENDED, SseClient, Stream, listened, posted, text_in

pytestmark = pytest.mark.functional

MODERN = (*FIXTURE, "--era", "modern")
SERVERS = {
    "shared": server(FIXTURE, share="global"),
    "own": server(FIXTURE, share="session"),
    "weather": server(WEATHER, share="global"),
    "modern": server(MODERN, share="global"),
}
URI = "weather://city/aachen"
NEWS = {"method": TOOLS_CHANGED}


@pytest.fixture
def home(tmp_path):
    """A home with a gateway that runs detached."""
    with Home(tmp_path, SERVERS) as made:
        made.json("start", "--adopt", "never")
        yield made
        assert "Traceback" not in made.log, made.log


@contextmanager
def over_a_restart(home, calls=1):
    """Stop all servers; restart the gateway once so many calls have been sent, and let the servers go on."""
    pids = servers_of(home)
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    yield
    eventually(lambda: calls_of(home) >= calls, "the calls are under way")
    again(home)
    eventually(lambda: calls_of(home) >= calls, "they are under way again")
    for pid in pids:
        os.kill(pid, signal.SIGCONT)


def meanwhile(home, pid, work):
    """Have a server work while the gateway is restarted: it goes on once it is handed over."""
    os.kill(pid, signal.SIGSTOP)
    doing = InBackground(lambda _: work())
    eventually(lambda: calls_of(home), "the call is under way")
    before = hung_up(home)
    handed = home.log.count("are handed over")
    eventually(lambda: home.log.count("are handed over") > handed, "it is handed over")
    os.kill(pid, signal.SIGCONT)
    renewed(home, before)
    return doing.result()


class LegacySseTests:
    """Clients of HTTP with SSE."""

    def test_they_go_on(self, home):
        """Stream, address, session and server stay; a call under way is answered once, and notifications come."""
        own, shared = SseClient(home.port, "/own/sse").open(), SseClient(home.port, "/shared/sse").open()
        view = SseClient(home.port, "/mcp/full/sse").open()
        early = SseClient(home.port, "/own/sse")  # has not begun its session
        assert [own.said("count"), shared.said("count"), view.said("own__count")] == ["1", "1", "1"]
        assert view.said("shared__echo", text="warm") == "warm"
        before = servers_of(home)
        for nth in range(2):
            with over_a_restart(home, calls=2):
                one, other = own.call("echo", text="one"), view.call("shared__echo", text="other")
            assert text_in(own.answer(one)) == "one"
            assert text_in(view.answer(other)) == "other"
            assert [own.said("count"), view.said("own__count")] == [str(nth + 2)] * 2
            assert shared.said("count") == str(nth + 2)
            own.call("notify", **NEWS)
            assert own.stream.until(lambda each: each.get("method") == TOOLS_CHANGED)
        assert len(json.loads(own.said("initialized"))["handshakes"]) == 1
        assert servers_of(home) == before
        assert early.open().said("count") == "1"


class ListeningTests:
    """Modern clients that listen (``subscriptions/listen``)."""

    def test_at_a_legacy_server(self, home):
        """One acknowledgement; a change during the restart comes, of a resource and of a list."""
        wanted = {"toolsListChanged": True, "resourceSubscriptions": [URI]}
        stream, first = listened(
            home.port, "/weather/mcp", request(1, "subscriptions/listen", notifications=wanted)
        )
        assert (first["method"], first["params"]["notifications"]) == (ACKNOWLEDGED, wanted)
        (pid,) = servers_of(home)
        touch = request(2, "tools/call", name="touch", arguments={"uri": URI, "mark": "m"})
        told = meanwhile(home, pid, lambda: posted(home.port, "/weather/mcp", touch))
        assert json.loads(text_in(told))["said"] is True
        (updated,) = stream.until(lambda each: each["method"] == UPDATED)
        assert updated["params"]["_meta"]["mark"] == "m"
        posted(home.port, "/weather/mcp", request(3, "tools/call", name="change", arguments={"mark": "n"}))
        assert stream.until(lambda each: each["method"] == TOOLS_CHANGED)
        assert servers_of(home) == [pid]

    def test_at_a_modern_server(self, home):
        """The server's own request stays open, and nothing that comes by it is lost."""
        stream, first = listened(
            home.port,
            "/modern/mcp",
            request(1, "subscriptions/listen", notifications={"toolsListChanged": True}),
        )
        assert first["method"] == ACKNOWLEDGED
        (pid,) = servers_of(home)
        news = request(2, "tools/call", name="notify", arguments=NEWS)
        told = meanwhile(home, pid, lambda: posted(home.port, "/modern/mcp", news))
        assert text_in(told) == "1"
        assert stream.message()["method"] == TOOLS_CHANGED
        again(home)
        listens = posted(home.port, "/modern/mcp", request(3, "tools/call", name="listens", arguments={}))
        assert len(json.loads(text_in(listens))) == 1
        posted(home.port, "/modern/mcp", news)
        assert stream.message()["method"] == TOOLS_CHANGED
        assert stream.is_quiet

    def test_at_a_view(self, home):
        """The listening of a view goes on with those at its servers."""
        posted(home.port, "/mcp/full", request(1, "tools/call", name="weather__whoami", arguments={}))
        wanted = {"toolsListChanged": True, "resourceSubscriptions": [f"mcpgateway:weather/{URI}"]}
        stream, first = listened(
            home.port, "/mcp/full", request(2, "subscriptions/listen", notifications=wanted)
        )
        assert (first["method"], first["params"]["notifications"]) == (ACKNOWLEDGED, wanted)
        (pid,) = [each for each in servers_of(home) if b"weather" in command_line(each)]
        touch = request(3, "tools/call", name="weather__touch", arguments={"uri": URI, "mark": "m"})
        told = meanwhile(home, pid, lambda: posted(home.port, "/mcp/full", touch))
        assert json.loads(text_in(told))["said"] is True
        (*others, updated) = stream.until(lambda each: each["method"] == UPDATED)
        assert updated["params"]["_meta"]["mark"] == "m"
        assert ACKNOWLEDGED not in {each["method"] for each in others}
        change = request(4, "tools/call", name="weather__change", arguments={"mark": "n"})
        posted(home.port, "/mcp/full", change)
        assert stream.until(lambda each: each["method"] == TOOLS_CHANGED)


class ShimTests:
    """Clients on stdin and stdout, whose shim is connected through the Unix socket."""

    def test_it_goes_on(self, home):
        """The connection stays, with its session, its call under way, and the lines that come meanwhile."""
        environ = {**home.environ, "MCPGATEWAY_HOME": str(home.path)}
        with (
            Shim("connect", "own", cwd=home.directory, environ=environ) as shim,
            Shim("connect", "weather", cwd=home.directory, environ=environ) as modern,
        ):
            shim.open()
            wanted = {"resourceSubscriptions": [URI]}
            modern.begin("subscriptions/listen", notifications=wanted, _meta=MODERN_META)
            assert modern.hear()["method"] == ACKNOWLEDGED
            assert shim.call("count") == "1"
            before, connections = servers_of(home), unix_connections(shim.process.pid)
            with over_a_restart(home, calls=30):
                counts = [shim.begin("tools/call", name="count", arguments={}) for _ in range(30)]
            assert [text_in(shim.answer(each)) for each in counts] == [str(nth + 2) for nth in range(30)]
            began = hung_up(home)
            counts = [shim.begin("tools/call", name="count", arguments={}) for _ in range(100)]
            assert [text_in(shim.answer(each)) for each in counts] == [str(nth + 32) for nth in range(100)]
            renewed(home, began)
            assert unix_connections(shim.process.pid) == connections
            touch = modern.begin(
                "tools/call", name="touch", arguments={"uri": URI, "mark": "m"}, _meta=MODERN_META
            )
            assert modern.hear()["method"] == UPDATED
            assert json.loads(text_in(modern.answer(touch)))["said"] is True
            assert servers_of(home) == before
            assert shim.end() == 0


def unix_connections(pid):
    """The sockets of a process, by their numbers in the kernel."""
    found = (os.readlink(each) for each in Path(f"/proc/{pid}/fd").iterdir())
    return sorted(each for each in found if each.startswith("socket:"))


class BridgeTests:
    """Clients of one era at servers of the other."""

    @pytest.mark.parametrize("name", ["shared", "own"])
    def test_modern_at_legacy(self, home, name):
        """A server that is shared, and one with a child for each client process, keep call and child."""

        def body(number, tool, **arguments):
            return request(number, "tools/call", name=tool, arguments=arguments)

        path = f"/{name}/mcp"
        assert text_in(posted(home.port, path, body(1, "count"))) == "1"
        before = servers_of(home)
        for nth in range(2):
            with over_a_restart(home):
                call = InBackground(lambda _: posted(home.port, path, body(2, "count")))
            assert text_in(call.result()) == str(2 * nth + 2)
            assert text_in(posted(home.port, path, body(3, "count"))) == str(2 * nth + 3)
            assert servers_of(home) == before

    def test_legacy_at_modern(self, home):
        """A call of a session goes on, and its server is the same process."""
        client = Client(home.port, "/modern/mcp")
        assert client.said("count") == "1"
        before = servers_of(home)
        with over_a_restart(home):
            call = InBackground(lambda _: client.said("count"))
        assert call.result() == "2"
        stream = client.stream()
        assert client.said("count") == "3"
        client.said("notify", **NEWS)
        assert any(b"list_changed" in line for line in stream)
        assert servers_of(home) == before


class OwnToolsTests:
    """Calls of the gateway's own tools."""

    def test_a_call_through_one(self, home):
        """A call through ``gateway_invoke`` goes on as one of the tool itself does, in both eras."""
        client = Client(home.port, "/mcp")
        target = {"id": "shared__count", "args": {}}
        modern = request(1, "tools/call", name="gateway_invoke", arguments=target)
        assert client.said("gateway_invoke", **target) == "1"
        assert text_in(posted(home.port, "/mcp", modern)) == "2"
        before = servers_of(home)
        with over_a_restart(home, calls=2):
            legacy = InBackground(lambda _: client.said("gateway_invoke", **target))
            other = InBackground(lambda _: text_in(posted(home.port, "/mcp", modern)))
        assert sorted((legacy.result(), other.result())) == ["3", "4"]
        assert client.said("gateway_invoke", **target) == "5"
        assert servers_of(home) == before


class RestTests:
    """Clients of the control plane."""

    def test_a_request_is_waited_for(self, home):
        """A request under way is answered before the restart."""
        body = json.dumps({"tool": "sleep", "args": {"ms": 4000, "text": "slept"}})
        token = (home.path / "auth.token").read_text().strip()
        headers = {"Content_Type": JSON, "Authorization": f"Bearer {token}"}
        call = InBackground(
            lambda _: asked(home.port, "POST", "/api/v1/servers/shared/call", body, **headers)
        )
        eventually(lambda: calls_of(home), "the call is under way")
        again(home)
        status, _, text = call.result()
        assert (status, "slept" in text) == (200, True), text

    def test_no_event_is_lost(self, home):
        """A follower of the events reconnects after its last one, and has those that came while it was away.

        No server that goes on is said to have stopped.
        """
        Client(home.port).call("counter")
        stream = Stream(home.port, "GET", "/api/v1/events?after=2000-01-01T00:00:00.000000Z")
        events = [stream.event()]
        again(home)
        while (found := stream.next()) is not ENDED:
            events.append(found)
        assert all("are handed over" not in text for _, text in events)
        stream = Stream(home.port, "GET", "/api/v1/events", **{"Last-Event-ID": stream.last_id})
        texts = [stream.event()[1]]
        while "served at" not in texts[-1]:
            texts.append(stream.event()[1])
        assert sum("are handed over" in each for each in texts) == 1
        assert not {text for _, text in events} & set(texts)
        assert not any("is now idle" in each or "is now stopped" in each for each in texts)


def counting(client, size):
    """Count in portions of calls until nobody wants it any more; how often."""

    def work(background):
        count = 0
        while background.is_wanted:
            numbers = [client.begin("tools/call", name="count", arguments={}) for _ in range(size)]
            found = [text_in(client.answer(each)) for each in numbers]
            assert found == [str(count + nth + 1) for nth in range(size)]
            count += size
        return count

    return InBackground(work)


class StormTests:
    """A restart after the other, under load."""

    def test_every_call_once(self, home):
        """Each call of clients on stdio and of HTTP with SSE is carried out once, in order, by the same processes."""
        environ = {**home.environ, "MCPGATEWAY_HOME": str(home.path)}
        with (
            Shim("connect", "own", cwd=home.directory, environ=environ) as one,
            Shim("connect", "own", cwd=home.directory, environ=environ) as other,
        ):
            clients = [one, other, *(SseClient(home.port, "/own/sse") for _ in range(2))]
            for each in clients:
                each.open()
            works = [counting(each, size) for each, size in zip(clients, (7, 30, 1, 3), strict=True)]
            eventually(lambda: len(servers_of(home)) == 4, "all servers run")
            before = servers_of(home)
            ends = time.monotonic() + STORM_S
            while time.monotonic() < ends:
                again(home)
                time.sleep(RESTART_S)
            print("calls:", [each.result() for each in works])
            assert servers_of(home) == before
