"""Commands that are rows: the request each sends, and the sentence it prints."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import click
import pytest
from click.testing import CliRunner

from mcpgateway.cli.console import Trouble
from mcpgateway.cli.context import Globals
from mcpgateway.cli.queries import RouteVerb, ask

Request = tuple[str, str, object]


class Answering(HTTPServer):
    """A gateway that answers each request with an id and a hint.

    :ivar requests: the method, the path and the body of each.
    """

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answer)
        self.requests: list[Request] = []
        self.globals = Globals("/h", url=f"http://127.0.0.1:{self.server_port}")


class _Answer(BaseHTTPRequestHandler):
    server: Answering

    def handle_one(self) -> None:
        """Note the request, and answer it."""
        body = self.rfile.read(int(self.headers["Content-Length"] or 0))
        self.server.requests.append((self.command, self.path, json.loads(body) if body else None))
        answer = b'{"id": 7, "hint": "wait a little"}'
        self.send_response(200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    do_GET = do_PATCH = do_POST = handle_one

    def log_message(self, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def gateway() -> Iterator[Answering]:
    """A gateway that listens."""
    with Answering() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


class VerbTests:
    """`RouteVerb`."""

    def test_command(self, gateway: Answering) -> None:
        """The arguments stand in the route, in the body and in the sentence; the gateway's hint follows."""
        verb = RouteVerb("/things/{name}", "PATCH", "{name} is {colour} now ({found[id]}).")
        command = verb.command(
            "paint",
            "Paint a thing.",
            click.argument("name"),
            click.argument("colour"),
            body=lambda colour: {"paint": colour},
        )
        done = CliRunner().invoke(command, ["a/b", "red"], obj=gateway.globals)
        assert done.output == "a/b is red now (7).\n  wait a little\n"
        assert gateway.requests == [("PATCH", "/things/a%2Fb", {"paint": "red"})]
        assert "Paint a thing." in CliRunner().invoke(command, ["--help"]).output

    def test_json(self, gateway: Answering) -> None:
        """A program gets the answer as it is."""
        command = RouteVerb("/all", "POST", "Done.", {"x": 1}).command("do", "Do it.")
        done = CliRunner().invoke(command, [], obj=gateway.globals._replace(as_json=True))
        assert '"id": 7' in done.output
        assert gateway.requests == [("POST", "/all", {"x": 1})]


def test_another_program(gateway: Answering) -> None:
    """An answer without the member that a gateway's answer has is another program's."""
    with pytest.raises(Trouble, match="what answers there is no gateway"):
        ask(gateway.globals, "/health", has="status")
