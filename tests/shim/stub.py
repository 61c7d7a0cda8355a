"""A gateway that does what a test says, for what no real one can be made to do on purpose."""

import json
import socket
import threading
from contextlib import suppress


class Line:
    """A line, and the connection that it came on.

    :ivar body: the message.
    :ivar connection: a `Connection`.
    """

    def __init__(self, connection, text):
        self.connection = connection
        self.text = text
        self.body = json.loads(text)

    @property
    def method(self):
        """The JSON-RPC method; "answer" for an answer."""
        if isinstance(self.body, list):
            return "batch"
        return self.body.get("method", "answer")

    def result(self, result):
        """Answer with a result."""
        self.connection.say({"jsonrpc": "2.0", "id": self.body["id"], "result": result})

    def error(self, code, message):
        """Answer with an error."""
        self.connection.say(
            {"jsonrpc": "2.0", "id": self.body["id"], "error": {"code": code, "message": message}}
        )

    def cut(self):
        """Close the connection without a word."""
        self.connection.cut()


class Connection:
    """A connection of a shim.

    :ivar headers: of its request, by lower-case name.
    :ivar lines: what has come on it.
    """

    def __init__(self, made, head):
        first, *lines = head.decode().split("\r\n")
        self.verb, self.target, _ = first.split()
        self.headers = {
            name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)
        }
        self.lines = []
        self._made = made

    def send(self, data):
        """Send bytes as they are."""
        self._made.sendall(data)

    def say(self, message):
        """Say one message."""
        self.send(json.dumps(message).encode() + b"\n")

    def refuse(self, status, body, *more):
        """Answer the request."""
        head = "\r\n".join([f"HTTP/1.1 {status} X", f"Content-Length: {len(body)}", *more])
        self.send(head.encode() + b"\r\n\r\n" + body)

    def upgrade(self, *more):
        """Let lines come."""
        head = "\r\n".join(["HTTP/1.1 101 X", "Connection: Upgrade", "Upgrade: mcp-stdio", *more])
        self.send(head.encode() + b"\r\n\r\n")

    def close(self, taken):
        """Close the connection in order."""
        self.send(b"#closing %d\n" % taken)
        self.cut()

    def cut(self):
        """Close the connection without a word."""
        with suppress(OSError):
            self._made.shutdown(socket.SHUT_RDWR)


class Stub:
    """Takes each line by the function that its JSON-RPC method names; what has none is only noted.

    :ivar connections: all there have been.
    :ivar opens: takes each connection; upgrades it where the test says nothing else.
    :ivar ended: how many connections have ended.
    """

    def __init__(self, opens=Connection.upgrade, **answers):
        self.answers = answers
        self.opens = opens
        self.connections = []
        self.ended = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def lines(self):
        """The lines so far, on all connections."""
        return [line for each in list(self.connections) for line in list(each.lines)]

    def asked(self, method):
        """The messages of a method so far."""
        return [each for each in self.lines if each.method == method]

    def _accept(self):
        with suppress(OSError):
            while True:
                made, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(made,), daemon=True).start()

    def _serve(self, made):
        with suppress(OSError, ValueError), made:
            stream = made.makefile("rb")
            connection = Connection(made, self._head(stream))
            self.connections.append(connection)
            self.opens(connection)
            for text in stream:
                line = Line(connection, text)
                connection.lines.append(line)
                answer = self.answers.get(line.method.replace("/", "_"))
                if answer is not None:
                    answer(line)
        self.ended += 1

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
        for each in self.connections:
            each.cut()
