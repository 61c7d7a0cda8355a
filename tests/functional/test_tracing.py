"""Tracing with a real gateway: why servers fail, the record of messages, the activity of callers, and spans."""

import json
import os
import re
import stat
import sys
import threading
import urllib.request
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.support import forkserver
from tests.support.gateway import BIN, LIMIT_S, Gateway, eventually, server

pytestmark = pytest.mark.functional

FIXTURE = (sys.executable, "-I", "-S", str(Path(__file__).parents[1] / "servers" / "fixture.py"))
SECRET = "hunter2-and-a-bit-more"
TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
SERVERS = {
    "fx": server(FIXTURE, env={"FX_TOKEN": SECRET}),
    "early": server((*FIXTURE, "--exit-in-handshake")),
    "module": server((sys.executable, "-I", "-c", "import no_such_module_at_all")),
    "key": server((sys.executable, "-I", "-c", "import os; os.environ['ACME_API_KEY']")),
    "gone": server(("/nonexistent/program",)),
    "off": server(FIXTURE, enabled=False),
    "quiet": server(FIXTURE),
    "far": {"url": "http://127.0.0.1:9/mcp"},
}
CAUSES = {
    "early": "failed",
    "module": "missing-module",
    "key": "missing-variable",
    "gone": "command-not-found",
    "off": "disabled",
    "quiet": "never-started",
    "far": "unreachable",
}


def ran(home, *words):
    """Run a command; its code, and what it said."""
    done = forkserver.ran(
        [str(BIN / "mcpgateway"), "--home", str(home), *words],
        env={"PATH": os.environ["PATH"], "HOME": str(Path(home).parent), "LANG": "C.UTF-8"},
        has_ended=False,
    )
    return done.returncode, done.stdout, done.stderr


def called(gateway, name="echo", headers=None, **arguments):
    """Call a tool of the fixture in a session of its own."""
    url, sent = f"{gateway.url}/fx/mcp", headers or {}
    sent |= {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}

    def post(body, **more):
        request = urllib.request.Request(url, json.dumps(body).encode(), sent | more)
        with urllib.request.urlopen(request, timeout=LIMIT_S) as answer:
            return answer.headers, answer.read()

    hello = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}
    begun, _ = post({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": hello})
    session = {"Mcp-Session-Id": begun["Mcp-Session-Id"]}
    post({"jsonrpc": "2.0", "method": "notifications/initialized"}, **session)
    params = {"name": name, "arguments": arguments}
    post({"jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": params}, **session)
    return session["Mcp-Session-Id"]


@contextmanager
def collector():
    """Takes spans; what it was sent."""
    bodies = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            bodies.append((self.path, self.headers["X-Key"], json.loads(body)))
            self.send_response(200)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, *_):
            pass

    taker = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=taker.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{taker.server_port}", bodies
    finally:
        taker.shutdown()
        taker.server_close()
        thread.join(LIMIT_S)


@pytest.fixture(scope="module")
def gateway(tmp_path_factory):
    """A gateway that runs, with servers that fail in all kinds of ways."""
    with Gateway(tmp_path_factory.mktemp("trace"), SERVERS) as running:
        for name in ("early", "module", "key", "gone", "far"):
            ran(running.home, "tools", "list", "--server", name)
        yield running


class WhyTests:
    """``mcpgateway why``."""

    @pytest.mark.parametrize("name", CAUSES)
    def test_causes(self, gateway, name):
        """Each failure is told by its own cause, and the exit code says whether something is wrong."""
        code, out, _ = ran(gateway.home, "why", name, "--json")
        found = json.loads(out)
        assert found["advice"][0]["cause"] == CAUSES[name]
        assert code == (0 if name == "quiet" else 1)

    def test_in_words(self, gateway):
        """A person is told what is wrong, what helps, how it is started, what has happened and what it said last."""
        code, out, _ = ran(gateway.home, "why", "module")
        assert code == 1
        assert out.startswith("module does not work: its Python has no module no_such_module_at_all")
        for each in (
            "What helps",
            "How it is started",
            "Its circuit breaker",
            "What has happened",
            "Its last words",
        ):
            assert each.lower() in out.lower()
        assert "import no_such_module_at_all" in out

    def test_shared(self, gateway):
        """A server that works is said to be shared by all clients, too."""
        code, out, _ = ran(gateway.home, "why", "quiet")
        assert (code, re.search(r"^  share +global", out, re.MULTILINE) is not None) == (0, True)

    def test_key_of_the_share(self, gateway):
        """The key is explained with the sharing at work and the questions; of no server, with the command for both."""
        code, out, _ = ran(gateway.home, "config", "explain", "servers.quiet.share")
        assert code == 0
        assert re.search(r"^  at work: global.*; it has asked its clients: nothing$", out, re.MULTILINE)
        _, out, _ = ran(gateway.home, "config", "explain", "servers.absent.share")
        assert "mcpgateway why absent says by what it is shared" in out

    def test_all_of_them(self, gateway):
        """Without a name, each server that needs its user is explained, in the order of status."""
        ran(gateway.home, "why", "module")
        code, out, _ = ran(gateway.home, "why", "--json")
        needs = json.loads(ran(gateway.home, "status", "--json")[1])["needs"]
        faulty = [each["name"] for each in needs if each["kind"] == "server"]
        assert faulty != []
        assert (code, [each["server"] for each in json.loads(out)["items"]]) == (1, faulty)

    def test_unknown(self, gateway):
        """Of a server that is not there, the nearest is named."""
        code, _, err = ran(gateway.home, "why", "modules")
        assert (code, "did you mean module?" in err) == (1, True)


class RecordTests:
    """``mcpgateway debug record export``."""

    def test_export(self, gateway, tmp_path):
        """Messages are written to a file that no other user can read, without secrets."""
        session = called(gateway, text=f"it is {SECRET}")
        file = tmp_path / "record.jsonl"
        code, out, _ = ran(gateway.home, "record", "export", "fx", "--output", str(file))
        assert (code, "lines are in" in out) == (0, True)
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        text = file.read_text()
        lines = [json.loads(each) for each in text.splitlines()]
        assert any(each.get("message", {}).get("method") == "tools/call" for each in lines)
        assert {"to-server", "from-server"} <= {each.get("direction") for each in lines}
        assert SECRET not in text
        assert session not in text
        code, out, _ = ran(gateway.home, "record", "export", "fx", "--last", "1")
        assert len(out.splitlines()) == 1

    def test_unknown(self, gateway):
        """A server that is not there is an error."""
        assert ran(gateway.home, "record", "export", "none")[0] == 1


class ActivityTests:
    """``mcpgateway debug activity`` and ``mcpgateway debug trace``."""

    def test_trace(self, gateway):
        """A call is found by the trace that its client has named in a header."""
        called(gateway, headers={"traceparent": f"00-{TRACE}-{SPAN}-01"}, text="private words")
        code, out, _ = ran(gateway.home, "trace", TRACE, "--json")
        (record,) = json.loads(out)
        assert (code, record["tool"], record["outcome"], record["parent"]) == (0, "echo", "ok", SPAN)
        assert record["client"] == "t"
        told = ran(gateway.home, "trace", record["id"])[1].splitlines()
        assert told[1].split()[3:5] == ["fx", "echo"]
        assert any(each.split()[0] == "upstream" and "█" in each for each in told[2:])
        assert ran(gateway.home, "trace", "f" * 32)[0] == 1
        log = gateway.home / "logs" / "activity.jsonl"
        assert stat.S_IMODE(log.stat().st_mode) == 0o600
        assert "private words" not in log.read_text()

    def test_failures(self, gateway):
        """Calls that have failed are told with their errors."""
        called(gateway, "no such tool")
        code, out, _ = ran(gateway.home, "activity", "--failed", "--server", "fx")
        assert (code, "no such tool" in out) == (0, True)
        assert "error" in out

    def test_refused(self, gateway):
        """A call that a token is not for is told, with the token's bearer."""
        words = ("token", "create", "narrow", "--server", "fx", "--tool", "big", "--json")
        made = json.loads(ran(gateway.home, *words)[1])
        called(gateway, headers={"Authorization": f"Bearer {made['token']}"}, text="private words")
        out = ran(gateway.home, "activity", "--json")[1]
        (record,) = [each for each in json.loads(out) if each.get("outcome") == "refused"]
        assert (record["server"], record["tool"], record["request"]) == ("fx", "echo", "7")
        assert record["principal"].endswith(made["id"])
        assert "may not call echo" in record["error"]
        assert "refused: this token may not call echo" in ran(gateway.home, "activity")[1]

    def test_changes(self, gateway):
        """A change in the gateway is told, too."""
        ran(gateway.home, "discover", "--server", "quiet")
        request = urllib.request.Request(f"{gateway.url}/sessions/none", method="DELETE")
        with urllib.request.urlopen(request, timeout=LIMIT_S) as answer:
            identifier = answer.headers["X-Request-Id"]
        out = ran(gateway.home, "activity", "--changes")[1]
        assert identifier in out
        assert "sessions.end" in out


class SpanTests:
    """Spans, sent to a collector."""

    def test_sent(self, tmp_path):
        """A span of each call stands between the client's and the server's, and is sent with the headers that are set.

        The server is told of it.
        """
        with collector() as (url, bodies):
            environ = {"OTEL_EXPORTER_OTLP_HEADERS": "x-key=of%20the%20collector"}
            settings = {"trace": {"otlp": url, "begin": True}}
            with Gateway(tmp_path, {"fx": server(FIXTURE)}, settings=settings, environ=environ) as gateway:
                called(gateway, headers={"traceparent": f"00-{TRACE}-{SPAN}-01"}, text="hello")

                def spans():
                    scopes = (each[2]["resourceSpans"][0]["scopeSpans"][0] for each in bodies)
                    return {each["name"]: each for scope in scopes for each in scope["spans"]}

                eventually(lambda: "tools/call echo" in spans(), "the span is sent")
                span = spans()["tools/call echo"]
                assert (span["traceId"], span["parentSpanId"]) == (TRACE, SPAN)
                assert bodies[0][:2] == ("/v1/traces", "of the collector")
                out = ran(gateway.home, "record", "export", "fx")[1]
                assert f"00-{TRACE}-{span['spanId']}-01" in out
