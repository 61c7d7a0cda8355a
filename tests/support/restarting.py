"""A gateway that is restarted in place, and clients of it."""

import http.client
import json
import os
import signal
import threading
import time

from tests.shim.driver import INITIALIZE
from tests.support.gateway import LIMIT_S, eventually

JSON = "application/json"


def state(home):
    """The gateway's state file."""
    return json.loads((home.path / "state.json").read_text())


def renewed(home, before):
    """Wait until the gateway has begun anew and answers; what it says of itself then."""
    eventually(lambda: state(home)["started_at"] > before["started_at"], "it has begun anew")
    eventually(lambda: asked(home.port, "GET", "/healthz")[0] == 200, "it answers")
    return state(home)


def hung_up(home):
    """Tell it to begin anew."""
    before = state(home)
    os.kill(before["pid"], signal.SIGHUP)
    return before


def restarted(gateway):
    """Restart a gateway that keeps its servers; a trial of the next program that takes too long is repeated."""
    done, refused = "are handed over", "the gateway cannot restart and keeps running"
    already = gateway.log.count(done)
    for _ in range(3):
        before = gateway.log.count(refused)
        os.kill(gateway.pid, signal.SIGHUP)
        eventually(
            lambda: gateway.log.count(done) > already or gateway.log.count(refused) > before,  # noqa: B023
            "it has tried",
        )
        if gateway.log.count(done) > already:
            break
    assert gateway.log.count(done) > already
    eventually(lambda: _answers(gateway), "it answers again")


def _answers(gateway):
    try:
        return gateway.health()
    except OSError:
        return False


def asked(port, method, path, body=None, **headers):
    """Send a request on a connection of its own; return status, headers and body."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=LIMIT_S)
    try:
        connection.request(method, path, body, {k.replace("_", "-"): v for k, v in headers.items()})
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read().decode()
    finally:
        connection.close()


class Client:
    """A client with a session and a connection for each request.

    :cvar offer: its capabilities.
    """

    offer = {}

    def __init__(self, port, path="/shared/mcp"):
        self.port = port
        self.path = path
        self.headers = {"Content_Type": JSON, "Accept": f"{JSON}, text/event-stream"}
        status, headers, _ = self.post("initialize", **INITIALIZE | {"capabilities": self.offer})
        assert status == 200
        self.headers |= {"Mcp_Session_Id": headers["Mcp-Session-Id"], "MCP_Protocol_Version": "2025-11-25"}

    def post(self, method, **params):
        """Send a request."""
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
        return asked(self.port, "POST", self.path, body, **self.headers)

    def call(self, name, **arguments):
        """Call a tool; the answer."""
        status, _, text = self.post("tools/call", name=name, arguments=arguments)
        assert status == 200, text
        data = next(
            (line[5:] for line in text.splitlines() if line.startswith("data:") and "{" in line), text
        )
        return json.loads(data)

    def said(self, name, **arguments):
        """The text that a tool answers with."""
        answer = self.call(name, **arguments)
        return answer["result"]["content"][0]["text"] if "result" in answer else answer["error"]

    def stream(self, **more):
        """Open the session's stream."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=LIMIT_S)
        wanted = {**self.headers, "Accept": "text/event-stream", **more}
        connection.request("GET", self.path, None, {k.replace("_", "-"): v for k, v in wanted.items()})
        return connection.getresponse()


class InBackground:
    """Something that is done beside the test; its outcome, or what went wrong, is told at its end."""

    def __init__(self, work):
        self.outcome = []
        self.is_wanted = True
        self._thread = threading.Thread(target=self._run, args=(work,), daemon=True)
        self._thread.start()

    def _run(self, work):
        try:
            self.outcome.append(work(self))
        except Exception as why:  # noqa: BLE001 - told by result
            self.outcome.append(why)

    def result(self):
        """Return the result of the work."""
        self.is_wanted = False
        self._thread.join(LIMIT_S)
        (outcome,) = self.outcome
        if isinstance(outcome, Exception):
            raise outcome
        return outcome


def posting(client):
    """Post every 50 ms until nobody wants it any more; how often, and the longest that one took."""

    def work(background):
        count, longest = 0, 0.0
        while background.is_wanted:
            began = time.monotonic()
            assert client.said("echo", text=str(count)) == str(count)
            longest = max(longest, time.monotonic() - began)
            count += 1
            time.sleep(0.05)
        return count, longest

    return InBackground(work)
