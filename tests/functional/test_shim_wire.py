"""What the shim says over HTTP, and what it makes of odd answers; against a stub of a gateway."""

import json
import os
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import unquote

import pytest

from mcpgateway.shim.main import PENDING_S
from tests.shim.driver import INITIALIZE, MODERN, SHIM, Shim
from tests.shim.stub import Stub
from tests.support.gateway import LIMIT_S, eventually

pytestmark = pytest.mark.functional

FIXTURE = (
    sys.executable,
    "-I",
    "-S",
    str(Path(__file__).parents[1] / "servers" / "fixture.py"),
)
HELLO = {"protocolVersion": "2025-11-25", "capabilities": {}, "serverInfo": {"name": "stub", "version": "1"}}


def greet(request):
    """Begin a session."""
    request.result(HELLO, Mcp_Session_Id=f"session-{id(request)}")


def accept(request):
    """Take a notification."""
    request.answer(202)


def none(request):
    """There is no standing stream."""
    request.answer(405)


def bye(request):
    """End a session."""
    request.answer(200, b'{"ok":true}')


USUAL = {"initialize": greet, "notifications_initialized": accept, "GET": none, "DELETE": bye}


@contextmanager
def talk(directory, *more, **answers):
    """A shim in front of a stub."""
    with (
        Stub(**{**USUAL, **answers}) as stub,
        Shim("--url", stub.url, *more, "connect", "a b/ü", cwd=directory) as shim,
    ):
        yield shim, stub


def modern(shim, method, **params):
    """Say a request of the modern era; its id."""
    return shim.begin(method, _meta=MODERN, **params)


class LegacyTests:
    """The era of sessions."""

    def test_what_is_said_of_the_client(self, tmp_path):
        """Every request names the shim's process and directory, and the session once there is one."""
        (folder := tmp_path / "süß und leer").mkdir()
        with talk(folder, tools_list=lambda request: request.result({})) as (shim, stub):
            shim.open()
            shim.ask("tools/list")
            assert shim.end() == 0
            first, initialized, *_ = stub.requests
            (last,) = stub.asked("DELETE")  # the standing stream may still have been on its way
            for each in stub.requests:
                assert each.target == "/mcp/a%20b%2F%C3%BC"
                assert each.headers["x-client-pid"] == str(shim.process.pid)
                assert each.headers["x-mcpgateway-stdio"] == "1"
                assert unquote(each.headers["mcp-project-path"]) == str(folder)
            assert "mcp-session-id" not in first.headers
            assert initialized.headers["mcp-session-id"] == f"session-{id(first)}"
            assert initialized.headers["mcp-protocol-version"] == "2025-11-25"
            assert last.headers["mcp-session-id"] == f"session-{id(first)}"

    def test_no_standing_stream(self, tmp_path):
        """A gateway that has no standing stream is not asked for it again."""
        with talk(tmp_path, ping=lambda request: request.result({})) as (shim, stub):
            shim.open()
            eventually(lambda: stub.asked("GET"), "it is asked for")
            shim.ask("ping")
            assert len(stub.asked("GET")) == 1

    def test_a_standing_stream_that_ends(self, tmp_path):
        """A standing stream is opened again as soon as it says, after the last event."""

        def stand(request):
            number = len(stub.asked("GET"))
            request.event(
                {"jsonrpc": "2.0", "method": "n", "params": {"n": number}}, begin=True, id=number, retry=10
            )
            request.cut()

        with talk(tmp_path, GET=stand) as (shim, stub):
            shim.open()
            assert [shim.hear()["params"]["n"] for _ in range(3)] == [1, 2, 3]
            assert [each.headers.get("last-event-id") for each in stub.asked("GET")[:3]] == [None, "1", "2"]

    def test_an_answer_in_many_lines(self, tmp_path):
        """JSON and events that are folded become one line each."""

        def call(request):
            progress = {"jsonrpc": "2.0", "method": "notifications/progress", "params": {"a": "\n\r"}}
            request.event(progress, begin=True)
            request.event({"jsonrpc": "2.0", "id": request.body["id"], "result": {"b": 1}})
            request.send(b"0\r\n\r\n")

        with talk(tmp_path, tools_call=call) as (shim, _stub):
            shim.open()
            number = shim.begin("tools/call")
            assert shim.hear()["params"] == {"a": "\n\r"}
            assert shim.hear() == {"jsonrpc": "2.0", "id": number, "result": {"b": 1}}

    def test_an_answer_that_breaks(self, tmp_path):
        """The rest of a stream with event ids is fetched; the request is not sent again."""

        def call(request):
            request.event(None, begin=True, id="e1", retry=10)
            request.cut()

        def more(request):
            if "last-event-id" not in request.headers:
                request.answer(405)
                return
            number = stub.asked("tools/call")[0].body["id"]
            request.event({"jsonrpc": "2.0", "id": number, "result": {"late": True}}, begin=True)
            request.send(b"0\r\n\r\n")

        with talk(tmp_path, tools_call=call, GET=more) as (shim, stub):
            shim.open()
            assert shim.ask("tools/call")["result"] == {"late": True}
            (resumed,) = [each for each in stub.asked("GET") if "last-event-id" in each.headers]
            assert resumed.headers["last-event-id"] == "e1"
            assert len(stub.asked("tools/call")) == 1

    def test_an_answer_that_breaks_for_good(self, tmp_path):
        """A connection that ends without event ids is an error, and the request is not sent again."""
        with talk(tmp_path, tools_call=lambda request: request.cut()) as (shim, stub):
            shim.open()
            error = shim.ask("tools/call")["error"]
            assert error["code"] == -32603
            assert len(stub.asked("tools/call")) == 1

    def test_what_changes_nothing_is_sent_again(self, tmp_path):
        """A list is asked for once more when the connection ends before its answer."""

        def tools(request):
            if len(stub.asked("tools/list")) == 1:
                request.cut()
            else:
                request.result({"tools": []})

        with talk(tmp_path, tools_list=tools) as (shim, stub):
            shim.open()
            assert shim.ask("tools/list")["result"] == {"tools": []}

    def test_an_answer_to_a_question_is_sent_again(self, tmp_path):
        """What the client has answered is said once more when the connection ends before it was taken."""

        def taken(request):
            if len(stub.asked("POST")) == 1:
                request.cut()
            else:
                request.answer(202)

        with talk(tmp_path, POST=taken) as (shim, stub):
            shim.open()
            shim.say({"jsonrpc": "2.0", "id": 7, "result": {"action": "decline"}})
            eventually(lambda: len(stub.asked("POST")) == 2, "it is sent again")
            first, second = stub.asked("POST")
            assert first.body == second.body

    def test_a_session_that_has_gone(self, tmp_path):
        """The session is begun again as the client began it, and what was refused is repeated once, in it."""

        def call(request):
            if request.headers["mcp-session-id"] == f"session-{id(stub.asked('initialize')[0])}":
                request.answer(
                    404, b'{"jsonrpc":"2.0","id":null,"error":{"code":-32001,"message":"Session not found"}}'
                )
            else:
                request.result({"ok": True})

        with talk(tmp_path, tools_call=call) as (shim, stub):
            shim.open()
            numbers = [shim.begin("tools/call") for _ in range(10)]
            assert {shim.hear()["id"] for _ in numbers} == set(numbers)
            first, second = stub.asked("initialize")
            assert first.body == second.body
            assert len(stub.asked("notifications/initialized")) == 2

    def test_a_session_that_stays_gone(self, tmp_path):
        """A request that is refused in the new session too is an error."""
        gone = b'{"jsonrpc":"2.0","id":null,"error":{"code":-32001,"message":"Session not found"}}'
        with talk(tmp_path, tools_call=lambda request: request.answer(404, gone)) as (shim, stub):
            shim.open()
            assert shim.ask("tools/call")["error"] == {"code": -32001, "message": "Session not found"}
            assert len(stub.asked("tools/call")) == 2

    def test_a_call_whose_session_ends(self, tmp_path):
        """A call that was under way is not repeated; what comes after it goes on in a new session."""

        def call(request):
            if len(stub.asked("tools/call")) == 1:
                number = request.body["id"]
                ended = {"code": -32001, "message": "Session has ended"}
                body = json.dumps({"jsonrpc": "2.0", "id": number, "error": ended}).encode()
                request.answer(404, body)
            else:
                request.result({"ok": True})

        with talk(tmp_path, tools_call=call) as (shim, stub):
            shim.open()
            assert shim.ask("tools/call")["error"]["message"] == "Session has ended"
            assert shim.ask("tools/call")["result"] == {"ok": True}
            first, second = stub.asked("tools/call")
            assert first.headers["mcp-session-id"] != second.headers["mcp-session-id"]
            assert len(stub.asked("initialize")) == 2

    @pytest.mark.parametrize(
        ("status", "body", "message"),
        [
            (400, b'{"jsonrpc":"2.0","id":null,"error":{"code":-32000,"message":"No"}}', "No"),
            (413, b'{"error":"Too large"}', "The gateway answered with HTTP 413: Too large"),
            (500, b"<html>", "The gateway answered with HTTP 500: Internal Server Error"),
            (202, b"", "The gateway answered with HTTP 202"),
        ],
    )
    def test_refusals(self, tmp_path, status, body, message):
        """What is refused over HTTP is an error under the request's own id."""
        with talk(tmp_path, ping=lambda request: request.answer(status, body)) as (shim, _stub):
            shim.open()
            assert shim.ask("ping")["error"]["message"] == message

    def test_order(self, tmp_path):
        """Nothing overtakes a notification, however long that takes to be accepted."""
        gate = threading.Event()

        def slow(request):
            gate.wait(LIMIT_S)
            request.answer(202)

        with talk(tmp_path, notifications_first=slow, ping=lambda request: request.result({})) as (
            shim,
            stub,
        ):
            shim.open()
            shim.notify("notifications/first")
            number = shim.begin("ping")
            eventually(lambda: stub.asked("notifications/first"), "the notification is sent")
            assert not stub.asked("ping")
            gate.set()
            assert shim.answer(number)["result"] == {}

    def test_a_batch(self, tmp_path):
        """An array goes as one, and so does its answer."""

        def both(request):
            request.answer(
                200, b'[{"jsonrpc":"2.0","id":1,"result":{}},{"jsonrpc":"2.0","id":2,"result":{}}]'
            )

        with Stub(**USUAL) as stub, Shim("--url", stub.url, "connect", "x", cwd=tmp_path) as shim:
            stub._answers["batch"] = both
            shim.open()
            shim.say(b'[{"jsonrpc":"2.0","id":1,"method":"ping"},{"jsonrpc":"2.0","id":2,"method":"ping"}]\n')
            assert [each["id"] for each in shim.hear()] == [1, 2]


class ModernTests:
    """The era without sessions."""

    def test_a_request(self, tmp_path):
        """A request goes with its revision and method, and without a session."""
        with talk(tmp_path, tools_list=lambda request: request.result({"tools": []})) as (shim, stub):
            assert shim.answer(modern(shim, "tools/list"))["result"] == {"tools": []}
            (request,) = stub.requests
            assert request.headers["mcp-protocol-version"] == "2026-07-28"
            assert request.headers["mcp-method"] == "tools/list"
            assert "mcp-session-id" not in request.headers
            assert shim.end() == 0
            assert not stub.asked("DELETE")

    def test_a_method_that_fits_no_header(self, tmp_path):
        """A method cannot smuggle headers."""
        method = "x\r\nHost: evil"
        with talk(tmp_path, **{method: lambda request: request.result({})}) as (shim, stub):
            shim.answer(modern(shim, method))
            assert "mcp-method" not in stub.requests[0].headers

    def test_refusals(self, tmp_path):
        """An error with an HTTP status of its own is the error of the request."""
        body = b'{"jsonrpc":"2.0","id":null,"error":{"code":-32601,"message":"Method not found","data":{"a":[1]}}}'
        with talk(tmp_path, nope=lambda request: request.answer(404, body)) as (shim, stub):
            error = shim.answer(modern(shim, "nope"))["error"]
            assert error == {"code": -32601, "message": "Method not found", "data": {"a": [1]}}
            assert len(stub.requests) == 1

    def test_cancel(self, tmp_path):
        """A request is called off by closing its connection; nothing is sent, and nothing more is heard of it."""
        cut = threading.Event()

        def call(request):
            request.event({"jsonrpc": "2.0", "method": "notifications/progress", "params": {}}, begin=True)
            if request.is_cut():
                cut.set()

        with talk(tmp_path, tools_call=call, ping=lambda request: request.result({})) as (shim, stub):
            number = modern(shim, "tools/call")
            assert shim.hear()["method"] == "notifications/progress"
            shim.notify("notifications/cancelled", requestId=number)
            assert cut.wait(LIMIT_S)
            assert "result" in shim.answer(modern(shim, "ping"))
            assert not stub.asked("notifications/cancelled")

    def test_the_gateway_goes(self, tmp_path):
        """A call that the gateway takes with it is an error; the end of a listening is told as its cancellation."""
        calls = []

        def listen(request):
            note = {"jsonrpc": "2.0", "method": "notifications/subscriptions/acknowledged", "params": {}}
            request.event(note, begin=True)
            calls.append(request)

        with talk(tmp_path, subscriptions_listen=listen, tools_call=calls.append) as (shim, _stub):
            listening = modern(shim, "subscriptions/listen")
            assert shim.hear()["method"] == "notifications/subscriptions/acknowledged"
            call = modern(shim, "tools/call")
            eventually(lambda: len(calls) == 2, "both are under way")
            for each in calls:
                each.cut()
            said = [shim.hear(), shim.hear()]
            (cancelled,) = [each for each in said if each.get("method") == "notifications/cancelled"]
            assert cancelled["params"]["requestId"] == listening
            (failed,) = [each for each in said if each.get("id") == call]
            assert failed["error"]["code"] == -32603

    def test_a_listening_hinders_no_end(self, tmp_path):
        """A client that closes stdin while it listens does not wait for that to end."""
        with talk(tmp_path, subscriptions_listen=lambda request: request.is_cut()) as (shim, stub):
            modern(shim, "subscriptions/listen")
            eventually(lambda: stub.requests, "it listens")
            assert shim.end() == 0

    def test_both_eras(self, tmp_path):
        """A client that looks for the modern era first may begin a session afterwards."""
        body = b'{"jsonrpc":"2.0","id":1,"error":{"code":-32000,"message":"Unsupported protocol version"}}'
        with talk(tmp_path, server_discover=lambda request: request.answer(400, body)) as (shim, stub):
            assert shim.answer(modern(shim, "server/discover"))["error"]["code"] == -32000
            shim.open()
            eventually(lambda: stub.asked("GET"), "the session has begun")
            assert stub.asked("initialize")[0].body["params"] == INITIALIZE


class UnderstudyTests:
    """The original goes on in the place of a gateway that has left."""

    def test_it_is_initialized_once(self, tmp_path):
        """A gateway that goes before it has heard that the client is initialized leaves that to be said once."""

        def leave(request):
            stub.leave()
            request.cut()

        with (
            Stub(**{**USUAL, "notifications_initialized": leave}) as stub,
            Shim(
                "--url", stub.url, "--patience", "0.5", "connect", "x", "--", *FIXTURE, cwd=tmp_path
            ) as shim,
        ):
            shim.open()
            assert len(json.loads(shim.call("initialized"))["notified"]) == 1

    @pytest.mark.parametrize(
        ("original", "code"), [(("no-such-program-here",), 127), (("sh", "-c", "read line; exit 3"), 3)]
    )
    def test_it_does_not_go_on(self, tmp_path, original, code):
        """What waits for an original that cannot be run, or dies, is an error under its own id."""

        def leave(request):
            stub.leave()
            request.cut()

        with (
            Stub(**{**USUAL, "tools_call": leave, "tools_list": leave}) as stub,
            Shim(
                "--url", stub.url, "--patience", "0.5", "connect", "x", "--", *original, cwd=tmp_path
            ) as shim,
        ):
            shim.open()
            first = shim.begin("tools/call")
            second = shim.begin("tools/list")
            assert [shim.answer(each)["error"]["code"] for each in (first, second)] == [-32603] * 2
            assert shim.process.wait(LIMIT_S) == code

    @pytest.mark.parametrize("is_cut", [False, True])
    def test_the_server_has_gone(self, tmp_path, is_cut):
        """A gateway that comes back without the server is as one that stays away."""
        unknown = b'{"jsonrpc":"2.0","id":null,"error":{"code":-32601,"message":"Unknown server: x"}}'

        def forget(request):
            stub.looked = (404, unknown)
            if is_cut:
                request.cut()
            else:
                request.answer(404, unknown)

        with (
            Stub(**{**USUAL, "tools_list": forget}) as stub,
            Shim("--url", stub.url, "connect", "x", "--", *FIXTURE, cwd=tmp_path) as shim,
        ):
            shim.open()
            assert "tools" in shim.ask("tools/list")["result"]
            assert shim.call("echo", text="instead") == "instead"
            assert len(stub.asked("tools/list")) == 1
            assert shim.end() == 0


class ClosedTests:
    """A client that has closed a standard descriptor before it starts the shim."""

    @pytest.mark.parametrize("closing", ["0<&-", "1>&-", "0<&- 1>&- 2>&-"])
    def test_it_ends(self, tmp_path, closing):
        """Nothing else takes the place of the descriptor: the shim finds its end there, or says things to nobody."""
        way = ("sh", "-c", f'exec "$@" {closing}', "sh", *SHIM)
        with (
            Stub(**USUAL) as stub,
            Shim("--url", stub.url, "connect", "x", cwd=tmp_path, shim=way) as shim,
        ):
            if not closing.startswith("0"):
                shim.begin("initialize", **INITIALIZE)
                eventually(lambda: stub.asked("initialize"), "it relays")
            assert shim.end() == 0
            assert shim.hear() is None
            assert "Traceback" not in shim.stderr


class PressureTests:
    """More than fits."""

    def test_it_is_ended_while_nobody_reads(self, tmp_path):
        """SIGTERM ends a shim that waits for its client to read what is left."""
        text = "x" * 2**20
        with (
            Stub(**USUAL, ping=lambda request: request.result(text)) as stub,
            Shim("--url", stub.url, "connect", "x", cwd=tmp_path, listens=False) as shim,
        ):
            shim.begin("initialize", **INITIALIZE)
            shim.process.stdout.readline()
            shim.begin("ping")
            shim.process.stdin.close()
            eventually(lambda: stub.asked("DELETE"), "it ends the session")
            begin = time.monotonic()
            shim.process.terminate()
            assert shim.process.wait(LIMIT_S) == 0
            assert time.monotonic() - begin < PENDING_S / 2

    def test_the_client_does_not_read(self, tmp_path):
        """While the client reads nothing, the shim's memory stays bounded, and nothing is lost."""
        text = "x" * 2**20
        with (
            Stub(**USUAL, ping=lambda request: request.result(text)) as stub,
            Shim("--url", stub.url, "connect", "x", cwd=tmp_path, listens=False) as shim,
        ):
            shim.begin("initialize", **INITIALIZE)
            shim.process.stdout.readline()
            for _ in range(100):
                shim.begin("ping")
            eventually(lambda: len(stub.asked("ping")) == 100, "all are asked")
            with open(f"/proc/{shim.process.pid}/status") as status:
                (peak,) = [int(line.split()[1]) for line in status if line.startswith("VmHWM")]
            assert peak < 64 * 1024
            got = sum(1 for _ in range(100) if len(shim.process.stdout.readline()) > 2**20)
            assert got == 100
            assert os.path.exists(f"/proc/{shim.process.pid}")
