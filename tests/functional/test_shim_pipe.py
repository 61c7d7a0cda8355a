"""The shim's connection to a gateway: how it asks for it, and what it does when it ends."""

import json
import os
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import unquote

import pytest

from mcpgateway.shim.main import PENDING_S
from tests.shim.driver import INITIALIZE, MODERN, SHIM, Shim
from tests.shim.stub import Connection, Stub
from tests.support.gateway import LIMIT_S, eventually

pytestmark = pytest.mark.functional

FIXTURE = (
    sys.executable,
    "-I",
    "-S",
    str(Path(__file__).parents[1] / "servers" / "fixture.py"),
)
HELLO = {"protocolVersion": "2025-11-25", "capabilities": {}, "serverInfo": {"name": "stub", "version": "1"}}
UNKNOWN_SESSION = b'{"jsonrpc":"2.0","id":null,"error":{"code":-32001,"message":"Session not found"}}'
UNKNOWN_SERVER = b'{"jsonrpc":"2.0","id":null,"error":{"code":-32601,"message":"Unknown server: x"}}'


def greet(line):
    """Begin a session."""
    line.connection.send(b"#session s-%d\n" % id(line))
    line.result(HELLO)


def empty(line):
    """Answer with nothing in particular."""
    line.result({})


USUAL = {"initialize": greet}


@contextmanager
def talk(directory, *more, opens=Connection.upgrade, original=(), **answers):
    """A shim in front of a stub."""
    behind = ("--", *original) if original else ()
    with (
        Stub(opens, **{**USUAL, **answers}) as stub,
        Shim("--url", stub.url, *more, "connect", "a b/ü", *behind, cwd=directory) as shim,
    ):
        yield shim, stub


class AskingTests:
    """The request for a connection."""

    def test_what_is_said_of_the_client(self, tmp_path):
        """The one request names the shim's process and directory."""
        (folder := tmp_path / "süß und leer").mkdir()
        with talk(folder, tools_list=empty) as (shim, stub):
            shim.open()
            shim.ask("tools/list")
            assert shim.end() == 0
            (only,) = stub.connections
            assert (only.verb, only.target) == ("GET", "/mcp/a%20b%2F%C3%BC")
            assert only.headers["upgrade"] == "mcp-stdio"
            assert only.headers["x-client-pid"] == str(shim.process.pid)
            assert only.headers["x-mcpgateway-stdio"] == "1"
            assert unquote(only.headers["mcp-project-path"]) == str(folder)
            assert "mcp-session-id" not in only.headers

    def test_an_older_gateway(self, tmp_path):
        """A gateway that knows no such connections is no use: the original runs instead, or the client is told."""
        body = b'{"jsonrpc":"2.0","id":null,"error":{"code":-32000,"message":"Mcp-Session-Id header is required"}}'

        def refuse(connection):
            connection.refuse(400, body)

        with talk(tmp_path, opens=refuse) as (shim, _):
            assert "mcpgateway restart" in shim.hear()["error"]["message"]
            assert shim.process.wait(LIMIT_S) == 1
        with talk(tmp_path, opens=refuse, original=FIXTURE) as (shim, _):
            shim.open()
            assert shim.call("echo", text="mine") == "mine"

    def test_a_gateway_that_is_busy(self, tmp_path):
        """A gateway that is overloaded is asked again."""

        def refuse(connection):
            if len(stub.connections) < 3:
                connection.refuse(503, b'{"error":"Too many connections"}')
            else:
                connection.upgrade()

        with Stub(refuse, **USUAL) as stub, Shim("--url", stub.url, "connect", "x", cwd=tmp_path) as shim:
            shim.open()
            assert len(stub.connections) == 3

    def test_an_answer_in_pieces(self, tmp_path):
        """The head of the answer may come a byte at a time, with the first line behind it."""

        def slowly(connection):
            for each in b"HTTP/1.1 101 X\r\nupgrade: mcp-stdio\r\n\r\n#session a\n":
                connection.send(bytes((each,)))

        with talk(tmp_path, opens=slowly) as (shim, _):
            shim.open()


class LineTests:
    """Lines both ways."""

    def test_what_is_too_long(self, tmp_path):
        """A message that the gateway would not take is an error under its own id."""

        def limited(connection):
            connection.upgrade("X-Mcpgateway-Line-Limit: 1000")

        with talk(tmp_path, opens=limited, ping=empty) as (shim, _):
            shim.open()
            error = shim.ask("ping", text="x" * 1000)["error"]
            assert (error["code"], error["message"]) == (-32000, "Request body too large")
            assert shim.ask("ping")["result"] == {}

    def test_a_batch(self, tmp_path):
        """An array goes as one, and so does its answer."""

        def both(line):
            line.connection.say([{"jsonrpc": "2.0", "id": each, "result": {}} for each in (1, 2)])

        with talk(tmp_path, batch=both) as (shim, _):
            shim.open()
            shim.say(b'[{"jsonrpc":"2.0","id":1,"method":"ping"},{"jsonrpc":"2.0","id":2,"method":"ping"}]\n')
            assert [each["id"] for each in shim.hear()] == [1, 2]
            assert shim.end() == 0

    def test_what_is_for_the_shim(self, tmp_path):
        """A word of the gateway to the shim is kept from the client."""

        def hint(line):
            line.connection.send(b"#something new\n")
            line.result({})

        with talk(tmp_path, ping=hint) as (shim, _):
            shim.open()
            assert shim.ask("ping")["result"] == {}


class RecoveryTests:
    """A connection that ends."""

    def test_a_request_whose_answer_is_lost(self, tmp_path):
        """A call that was under way is an error, and not sent again."""
        with talk(tmp_path, tools_call=lambda line: line.cut()) as (shim, stub):
            shim.open()
            error = shim.ask("tools/call")["error"]
            assert (error["code"], "not sent twice" in error["message"]) == (-32603, True)
            eventually(lambda: len(stub.connections) == 2, "it comes back")
            assert len(stub.asked("tools/call")) == 1

    def test_the_session_goes_on(self, tmp_path):
        """Another connection names the session, and begins none."""
        with talk(tmp_path, tools_call=lambda line: line.cut(), ping=empty) as (shim, stub):
            shim.open()
            shim.ask("tools/call")
            assert shim.ask("ping")["result"] == {}
            _, second = stub.connections
            assert second.headers["mcp-session-id"].startswith("s-")
            assert len(stub.asked("initialize")) == 1

    def test_what_changes_nothing_is_sent_again(self, tmp_path):
        """A list is asked for once more when the connection ends before its answer."""

        def tools(line):
            if len(stub.asked("tools/list")) == 1:
                line.cut()
            else:
                line.result({"tools": []})

        with talk(tmp_path, tools_list=tools) as (shim, stub):
            shim.open()
            assert shim.ask("tools/list")["result"] == {"tools": []}

    def test_an_answer_to_a_question_is_sent_again(self, tmp_path):
        """The client's answer to a question is sent once more when it is not known to have been taken."""

        def taken(line):
            if len(stub.asked("answer")) == 1:
                line.cut()

        with talk(tmp_path, answer=taken) as (shim, stub):
            shim.open()
            shim.say({"jsonrpc": "2.0", "id": 7, "result": {"action": "decline"}})
            eventually(lambda: len(stub.asked("answer")) == 2, "it is sent again")
            first, second = stub.asked("answer")
            assert first.text == second.text

    def test_what_was_not_taken(self, tmp_path):
        """Messages that a closing gateway has not taken are sent again, in their order, and no others are."""

        def call(line):
            if len(stub.connections) == 1 and line.body["params"]["n"] == 2:
                (answered,) = [each for each in stub.asked("tools/call") if each.body["params"]["n"] == 0]
                answered.result({})
                line.connection.close(4)  # with the initialize and what follows it
            elif len(stub.connections) == 2:
                line.result({})

        with talk(tmp_path, tools_call=call) as (shim, stub):
            shim.open()
            numbers = [shim.begin("tools/call", n=each) for each in range(4)]
            answers = {(message := shim.hear())["id"]: message for _ in numbers}
            assert ["result" in answers[each] for each in numbers] == [True, False, True, True]
            assert [each.body["params"]["n"] for each in stub.connections[1].lines] == [2, 3]

    def test_a_gateway_that_takes_nothing(self, tmp_path):
        """A request that no gateway takes is an error in the end."""
        with talk(tmp_path, ping=lambda line: line.connection.close(0)) as (shim, _):
            assert shim.ask("ping")["error"]["code"] == -32603

    def test_a_session_that_is_gone(self, tmp_path):
        """The session is begun again as the client began it; the client notices nothing."""

        def remember(connection):
            if "mcp-session-id" in connection.headers:
                connection.refuse(404, UNKNOWN_SESSION)
            else:
                connection.upgrade()

        def call(line):
            if len(stub.connections) == 1:
                line.connection.close(2)
            else:
                line.result({"ok": True})

        with talk(tmp_path, opens=remember, tools_call=call) as (shim, stub):
            shim.open()
            numbers = [shim.begin("tools/call") for _ in range(10)]
            assert {shim.hear()["id"] for _ in numbers} == set(numbers)
            first, second = stub.asked("initialize")
            assert first.body == second.body
            assert [each.method for each in stub.connections[-1].lines[:2]] == [
                "initialize",
                "notifications/initialized",
            ]
            assert shim.stderr.count("begun again") == 1

    def test_a_line_that_is_cut(self, tmp_path):
        """Half a line of a gateway that goes is never told."""

        def half(line):
            line.connection.send(b'{"jsonrpc":"2.0","id":')
            line.cut()

        with talk(tmp_path, tools_call=half, ping=empty) as (shim, _):
            shim.open()
            assert "error" in shim.ask("tools/call")
            assert shim.ask("ping")["result"] == {}


class ModernTests:
    """The era without sessions."""

    def test_the_gateway_goes(self, tmp_path):
        """A call that the gateway takes with it is an error; the end of a listening is told as its cancellation."""
        with talk(tmp_path, tools_call=lambda line: line.cut()) as (shim, _):
            listening = shim.begin("subscriptions/listen", _meta=MODERN)
            call = shim.begin("tools/call", _meta=MODERN)
            said = [shim.hear(), shim.hear()]
            (cancelled,) = [each for each in said if each.get("method") == "notifications/cancelled"]
            assert cancelled["params"]["requestId"] == listening
            (failed,) = [each for each in said if each.get("id") == call]
            assert failed["error"]["code"] == -32603

    def test_a_listening_hinders_no_end(self, tmp_path):
        """A client that closes stdin while it listens does not wait for that to end."""
        with talk(tmp_path) as (shim, stub):
            shim.begin("subscriptions/listen", _meta=MODERN)
            eventually(lambda: stub.lines, "it listens")
            assert shim.end() == 0

    def test_cancel(self, tmp_path):
        """A call that is called off is not waited for, and the gateway is told."""
        with talk(tmp_path) as (shim, stub):
            number = shim.begin("tools/call", _meta=MODERN)
            shim.notify("notifications/cancelled", requestId=number)
            eventually(lambda: stub.asked("notifications/cancelled"), "the gateway is told")
            assert shim.end() == 0


class UnderstudyTests:
    """The original goes on in the place of a gateway that has left."""

    def test_it_is_initialized_once(self, tmp_path):
        """A gateway that goes before it has heard that the client is initialized leaves that to be said once."""

        def leave(line):
            stub.leave()
            line.cut()

        more = {"notifications_initialized": leave}
        with talk(tmp_path, "--patience", "0.5", original=FIXTURE, **more) as (shim, stub):
            shim.open()
            eventually(lambda: stub.ended, "the gateway has gone")
            assert len(json.loads(shim.call("initialized"))["notified"]) == 1

    @pytest.mark.parametrize(
        ("original", "code"), [(("no-such-program-here",), 127), (("sh", "-c", "read line; exit 3"), 3)]
    )
    def test_it_does_not_go_on(self, tmp_path, original, code):
        """A call that waits for an original that cannot be run, or dies, is an error under its own id."""

        def leave(line):
            stub.leave()
            line.cut()

        with talk(tmp_path, "--patience", "0.5", original=original, tools_call=leave) as (shim, stub):
            shim.open()
            first = shim.begin("tools/call")
            assert shim.answer(first)["error"]["code"] == -32603
            second = shim.begin("tools/list")
            assert shim.answer(second)["error"]["code"] == -32603
            assert shim.process.wait(LIMIT_S) == code

    def test_the_server_has_gone(self, tmp_path):
        """A gateway that does not know the server any more is as one that stays away."""

        def forget(line):
            stub.opens = lambda connection: connection.refuse(404, UNKNOWN_SERVER)
            line.connection.close(2)

        with talk(tmp_path, original=FIXTURE, tools_list=forget) as (shim, stub):
            shim.open()
            assert "tools" in shim.ask("tools/list")["result"]
            assert shim.call("echo", text="instead") == "instead"
            assert len(stub.asked("tools/list")) == 1
            assert shim.end() == 0

    def test_the_server_comes_back(self, tmp_path):
        """Without an original, what is said while the server is unknown is refused in the gateway's words."""

        def forget(line):
            stub.opens = lambda connection: connection.refuse(404, UNKNOWN_SERVER)
            line.connection.close(2)

        with talk(tmp_path, tools_list=forget, ping=empty) as (shim, stub):
            shim.open()
            assert shim.ask("tools/list")["error"] == {"code": -32601, "message": "Unknown server: x"}
            stub.opens = Connection.upgrade
            assert shim.ask("ping")["result"] == {}


class ClosedTests:
    """A client that has closed a standard descriptor before it starts the shim."""

    @pytest.mark.parametrize("closing", ["0<&-", "1>&-", "0<&- 1>&- 2>&-"])
    def test_it_ends(self, tmp_path, closing):
        """No other file takes the place of the descriptor: the shim finds its end there, or is heard by no one."""
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
            Stub(**USUAL, ping=lambda line: line.result(text)) as stub,
            Shim("--url", stub.url, "connect", "x", cwd=tmp_path, listens=False) as shim,
        ):
            shim.begin("initialize", **INITIALIZE)
            shim.process.stdout.readline()
            shim.begin("ping")
            shim.process.stdin.close()
            eventually(lambda: stub.ended, "it ends the session")
            begin = time.monotonic()
            shim.process.terminate()
            assert shim.process.wait(LIMIT_S) == 0
            assert time.monotonic() - begin < PENDING_S / 2

    def test_the_client_does_not_read(self, tmp_path):
        """While the client reads nothing, the shim's memory stays bounded, and nothing is lost."""
        text = "x" * 2**20
        with (
            Stub(**USUAL, ping=lambda line: line.result(text)) as stub,
            Shim("--url", stub.url, "connect", "x", cwd=tmp_path, listens=False) as shim,
        ):
            shim.begin("initialize", **INITIALIZE)
            shim.process.stdout.readline()
            for _ in range(100):
                shim.begin("ping")
            eventually(lambda: stub.asked("ping"), "they are asked")
            got = 0
            for _ in range(100):
                got += len(shim.process.stdout.readline()) > 2**20
                with open(f"/proc/{shim.process.pid}/status") as status:
                    (peak,) = [int(line.split()[1]) for line in status if line.startswith("VmHWM")]
                assert peak < 32 * 1024
            assert got == 100
            assert os.path.exists(f"/proc/{shim.process.pid}")
