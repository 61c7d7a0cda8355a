"""A gateway that does what a test says, for what no real one can be made to do on purpose."""

import json
import socket
import threading
from contextlib import suppress

REFUSAL = b'{"jsonrpc":"2.0","id":null,"error":{"code":-32000,"message":"Mcp-Session-Id header is required"}}'
EVENTS = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"


class Request:
    """One request, and the connection it came on."""

    def __init__(self, connection, head, body):
        first, *lines = head.decode().split("\r\n")
        self.verb, self.target, _ = first.split()
        self.headers = {
            name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)
        }
        self.body = json.loads(body) if body else None
        self._connection = connection

    @property
    def method(self):
        """The JSON-RPC method, or the verb where there is none."""
        if isinstance(self.body, list):
            return "batch"
        return (self.body or {}).get("method", self.verb)

    def send(self, data):
        """Send bytes as they are."""
        self._connection.sendall(data)

    def answer(self, status, body=b"", kind="application/json", **headers):
        """Answer at once."""
        more = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
        head = f"HTTP/1.1 {status} X\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n{more}\r\n"
        self.send(head.encode() + body)

    def result(self, result, **headers):
        """Answer with a result."""
        body = json.dumps({"jsonrpc": "2.0", "id": self.body["id"], "result": result}, indent=1)
        self.answer(200, body.encode(), **headers)

    def event(self, message, *, begin=False, **fields):
        """Send an event, as a chunk."""
        lines = [f"{name}: {value}\n" for name, value in fields.items()]
        lines += [
            f"data: {line}\n" for line in (json.dumps(message, indent=1) if message else "").split("\n")
        ]
        data = ("".join(lines) + "\n").encode()
        self.send((EVENTS if begin else b"") + b"%x\r\n%b\r\n" % (len(data), data))

    def is_cut(self):
        """Whether the other side closes this connection, once it does."""
        with suppress(ConnectionError):
            return self._connection.recv(1) == b""
        return True

    def cut(self):
        """Close the connection."""
        self._connection.shutdown(socket.SHUT_RDWR)


class Stub:
    """Answers each request by the function that its JSON-RPC method, or its verb, names.

    :ivar requests: what has been asked, but for the shim's looking whether anybody is there.
    :ivar looked: status and body of the answer to that.
    """

    def __init__(self, **answers):
        self._answers = answers
        self.looked = (400, REFUSAL)
        self.requests = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def asked(self, method):
        """What has been asked so far by that method."""
        return [each for each in self.requests if each.method == method]

    def _accept(self):
        with suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection):
        with suppress(OSError, ValueError), connection:
            stream = connection.makefile("rb")
            while head := self._head(stream):
                length = next(
                    (int(x[15:]) for x in head.lower().split(b"\r\n") if x.startswith(b"content-length:")), 0
                )
                request = Request(connection, head, stream.read(length))
                if request.verb == "GET" and "mcp-session-id" not in request.headers:
                    request.answer(*self.looked)
                    continue
                self.requests.append(request)
                self._answers[request.method.replace("/", "_")](request)

    @staticmethod
    def _head(stream):
        lines = []
        while (line := stream.readline()).strip():
            lines.append(line.rstrip(b"\r\n"))
        return b"\r\n".join(lines)

    def leave(self):
        """Take no connection any more."""
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def __enter__(self):
        return self

    def __exit__(self, *why):
        self.leave()
