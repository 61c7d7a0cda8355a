"""A service without MCP, and its OpenAPI description: what a test wants of one, in HTTP.

    python pets.py      prints its port, then serves on 127.0.0.1 until it is killed

Every request is written down; ``GET /asked`` tells all of them.  It stands on the standard library alone.
"""

from __future__ import annotations

import json
import struct
import time
import zlib
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

TEXT = {"type": "string"}
WHOLE = {"type": "integer"}
LIST = {"type": "array", "items": TEXT}


def argument(name: str, where: str, schema: dict[str, Any], **more: Any) -> dict[str, Any]:
    """Return a parameter of an operation."""
    return {"name": name, "in": where, "schema": schema, "required": where == "path", **more}


def operation(name: str, *parameters: dict[str, Any], **more: Any) -> dict[str, Any]:
    """Return an operation."""
    return {
        "operationId": name,
        "parameters": list(parameters),
        "responses": {"200": {"description": "ok"}},
        **more,
    }


PET = {
    "type": "object",
    "required": ["name", "id"],
    "properties": {
        "id": {"type": "integer", "readOnly": True},
        "name": {"type": "string", "description": "What it is called."},
        "tags": LIST,
        "mother": {"$ref": "#/components/schemas/Pet"},
    },
}
JSON_PET = {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/Pet"}}}}
DESCRIPTION = {
    "openapi": "3.1.0",
    "info": {"title": "Pets", "version": "1.2"},
    "servers": [{"url": "/v1"}],
    "paths": {
        "/echo": {"get": operation("echo", argument("text", "query", TEXT), summary="Say it again.")},
        "/slow": {"get": operation("slow", argument("ms", "query", WHOLE), argument("text", "query", TEXT))},
        "/big": {"get": operation("big", argument("bytes", "query", WHOLE))},
        "/image": {"get": operation("image")},
        "/blob": {"get": operation("blob")},
        "/away": {"get": operation("away")},
        "/broken": {"get": operation("broken")},
        "/empty": {"delete": operation("empty", deprecated=True)},
        "/list": {"get": operation("list", argument("tags", "query", LIST))},
        "/pets": {"post": operation("add pet", requestBody={"required": True, **JSON_PET})},
        "/pets/{petId}": {
            "parameters": [argument("petId", "path", TEXT)],
            "get": operation("show/pet", argument("X-Trace", "header", TEXT)),
        },
    },
    "components": {"schemas": {"Pet": PET}},
}


def picture() -> bytes:
    """A PNG of one pixel."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0\0")) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


class Pets(BaseHTTPRequestHandler):
    """Answers one connection's requests."""

    protocol_version = "HTTP/1.1"
    asked: list[dict[str, Any]] = []

    def log_message(self, *_: object) -> None:
        """The service logs nothing."""

    def do_GET(self) -> None:
        """Answer."""
        split = urlsplit(self.path)
        body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
        headers = {name.lower(): value for name, value in self.headers.items()}
        note = {"method": self.command, "target": self.path, "headers": headers, "body": body}
        if split.path == "/asked":
            self.tell(self.asked)
            return
        self.asked.append(note)
        if split.path == "/openapi.json":
            self.tell(DESCRIPTION)
            return
        query = {name: values[-1] for name, values in parse_qs(split.query).items()}
        name = split.path.removeprefix("/v1/").partition("/")[0]
        answer = getattr(self, f"answer_{name}", self.answer_anything)
        answer(query, note)

    do_POST = do_PUT = do_DELETE = do_GET

    def answer_echo(self, query: dict[str, str], _: dict[str, Any]) -> None:
        """The text again."""
        self.put(200, "text/plain; charset=utf-8", query.get("text", "").encode())

    def answer_slow(self, query: dict[str, str], note: dict[str, Any]) -> None:
        """The text, after a while."""
        time.sleep(float(query.get("ms", "0")) / 1000)
        self.answer_echo(query, note)

    def answer_big(self, query: dict[str, str], _: dict[str, Any]) -> None:
        """So many bytes."""
        self.put(200, "text/plain", b"x" * int(query["bytes"]))

    def answer_image(self, _: dict[str, str], __: dict[str, Any]) -> None:
        """A picture."""
        self.put(200, "image/png", picture())

    def answer_blob(self, _: dict[str, str], __: dict[str, Any]) -> None:
        """Bytes that are nothing to look at."""
        self.put(200, "application/x-thing", b"\0\1\2")

    def answer_away(self, _: dict[str, str], __: dict[str, Any]) -> None:
        """A redirect to somebody else."""
        self.put(302, "text/plain", b"", location="http://127.0.0.1:9/elsewhere")

    def answer_broken(self, _: dict[str, str], __: dict[str, Any]) -> None:
        """An error with a page."""
        self.put(503, "text/html", b"<p>out of order</p>" * 1000)

    def answer_empty(self, _: dict[str, str], __: dict[str, Any]) -> None:
        """Answer with no body."""
        self.put(204, "", b"")

    def answer_anything(self, _: dict[str, str], note: dict[str, Any]) -> None:
        """Answer with the request."""
        self.tell(note)

    def tell(self, value: Any) -> None:
        """Answer with JSON, over several lines."""
        self.put(200, "application/json", json.dumps(value, indent=2).encode())

    def put(self, status: int, kind: str, body: bytes, **headers: str) -> None:
        """Answer."""
        self.send_response(status)
        if kind:
            self.send_header("Content-Type", kind)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


class Server(ThreadingHTTPServer):
    """Takes many connections at once."""

    request_queue_size = 128


def main() -> None:
    """Serve."""
    server = Server(("127.0.0.1", 0), Pets)
    server.daemon_threads = True
    print(server.server_address[1], flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
