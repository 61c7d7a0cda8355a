"""Clients whose messages come on a stream that stays open: of HTTP with SSE, and of listening clients."""

import http.client
import json
import queue
import threading

from tests.shim.driver import INITIALIZE
from tests.support.gateway import LIMIT_S
from tests.support.modern_client import headers_of
from tests.support.restarting import JSON, asked

ENDED = object()


class Stream:
    """The events of an answer that stays open, on one connection.

    :ivar status: the status of the answer.
    :ivar last_id: the id of the latest event; empty for none.
    """

    def __init__(self, port, method, path, body=None, *, timeout=LIMIT_S, **headers):
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=None)
        self._connection.request(method, path, body, {"Accept": f"{JSON}, text/event-stream", **headers})
        self._answer = self._connection.getresponse()
        self.status = self._answer.status
        self.last_id = ""
        self._events = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        kind = "message"
        try:
            for line in self._answer:
                if line.startswith(b"id:"):
                    self.last_id = line[3:].strip().decode()
                elif line.startswith(b"event:"):
                    kind = line[6:].strip().decode()
                elif line.startswith(b"data:"):
                    self._events.put((kind, line[5:].strip().decode()))
                    kind = "message"
        except (OSError, http.client.HTTPException):
            pass
        self._events.put(ENDED)

    def next(self):
        """The kind and the data of the next event, or the end."""
        return self._events.get(timeout=LIMIT_S)

    def event(self):
        """The kind and the data of the next event; the stream may not end before."""
        found = self.next()
        assert found is not ENDED, "the stream has ended"
        return found

    def message(self):
        """The next message."""
        return json.loads(self.event()[1])

    def until(self, holds):
        """All messages up to the first for which this holds."""
        found = [self.message()]
        while not holds(found[-1]):
            found.append(self.message())
        return found

    @property
    def is_quiet(self):
        """True if nothing has come that was not read."""
        return self._events.empty()


class SseClient:
    """A client of the oldest revision: one stream, and a POST for each message."""

    def __init__(self, port, path):
        self.port = port
        self.stream = Stream(port, "GET", path)
        kind, self.address = self.stream.event()
        assert kind == "endpoint"
        self._number = 0

    def post(self, message):
        """Send a message."""
        status, _, text = asked(self.port, "POST", self.address, json.dumps(message), Content_Type=JSON)
        assert status == 202, text

    def begin(self, method, **params):
        """Send a request; its id."""
        self._number += 1
        self.post({"jsonrpc": "2.0", "id": self._number, "method": method, "params": params})
        return self._number

    def answer(self, number):
        """The answer to a request; messages before it are passed over."""
        return self.stream.until(lambda each: each.get("id") == number)[-1]

    def open(self):
        """Begin the session."""
        answer = self.answer(self.begin("initialize", **INITIALIZE))
        assert "result" in answer, answer
        self.post({"jsonrpc": "2.0", "method": "notifications/initialized"})
        return self

    def call(self, name, **arguments):
        """Send a call of a tool; its id."""
        return self.begin("tools/call", name=name, arguments=arguments)

    def said(self, name, **arguments):
        """The text with which a tool answers."""
        return text_in(self.answer(self.call(name, **arguments)))


def text_in(answer):
    """The text in the answer of a tool."""
    assert "result" in answer, answer
    return answer["result"]["content"][0]["text"]


def posted(port, path, body):
    """Post a modern request on a connection of its own; its message."""
    headers = {"Content-Type": JSON, "Accept": f"{JSON}, text/event-stream", **headers_of(body)}
    status, _, text = asked(port, "POST", path, json.dumps(body), **headers)
    assert status == 200, text
    lines = (line[5:] for line in text.splitlines() if line.startswith("data:") and "{" in line)
    return json.loads(next(lines, text))


def listened(port, path, body):
    """The stream of a modern request to listen, and the acknowledgement."""
    headers = {"Content-Type": JSON, **headers_of(body)}
    stream = Stream(port, "POST", path, json.dumps(body), **headers)
    assert stream.status == 200
    return stream, stream.message()
