"""The request for a connection of lines, and its answer."""

import socket

import pytest

from mcpgateway.shim.locations import GatewayAddress
from mcpgateway.shim.upgrade import check_owner, read_answer, refusal, request_of

UPGRADED = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: mcp-stdio\r\nX-Mcpgateway-Line-Limit: 9\r\n\r\n"
REFUSED = b"HTTP/1.1 404 Not Found\r\nContent-Length: 5\r\n\r\n"


class RequestTests:
    """The request."""

    @pytest.mark.parametrize(
        ("server", "view", "target"),
        [
            ("a b/c", "", b"/at/mcp/a%20b%2Fc"),
            ("", "", b"/at/mcp"),
            ("", "p/work", b"/at/mcp/p/work"),
        ],
    )
    def test_its_target(self, server, view, target):
        """The target of a request is a server, all of them, or a view."""
        address = GatewayAddress(int(socket.AF_INET), ("127.0.0.1", 1), b"here:1", b"/at", is_own=False)
        first, *lines = request_of(address, server, b"secret", view, "/a project")
        assert first == b"GET " + target + b" HTTP/1.1"
        assert b"Authorization: Bearer secret" in lines
        assert b"Mcp-Project-Path: /a%20project" in lines


class AnswerTests:
    """The answer."""

    @pytest.mark.parametrize("size", range(1, len(UPGRADED)))
    def test_it_is_not_whole(self, size):
        """A head that has not come to its end says nothing."""
        assert read_answer(UPGRADED[:size]) is None

    def test_lines_may_come(self):
        """The bytes behind the head are lines."""
        answer = read_answer(UPGRADED + b"#session a\n")
        assert (answer.status, answer.is_upgraded, answer.line_limit) == (101, True, 9)
        assert answer.body == b"#session a\n"

    def test_a_refusal(self):
        """A refusal is whole with its body."""
        assert read_answer(REFUSED + b"1234") is None
        answer = read_answer(REFUSED + b"12345")
        assert (answer.status, answer.is_upgraded, answer.body) == (404, False, b"12345")

    @pytest.mark.parametrize("came", [b"SSH-2.0-x\r\n\r\n", b"HTTP/1.1\r\n\r\n", b"x" * 70_000])
    def test_something_else(self, came):
        """An answer other than HTTP has no status."""
        assert read_answer(came).status == 0

    @pytest.mark.parametrize(
        "body", [b"", b"<html>", b'{"error":{"message":"a"}}', b'{"jsonrpc":"2.0","error":5}']
    )
    def test_no_gateway(self, body):
        """A refusal in JSON-RPC is a gateway's only."""
        assert refusal(body) == ""

    def test_a_gateway(self):
        """A gateway's refusal is shown by its own message."""
        assert refusal(b'{"jsonrpc":"2.0","id":null,"error":{"code":1,"message":"No"}}') == "No"


def test_no_socket(tmp_path):
    """Where no socket is, nobody's is taken."""
    with pytest.raises(FileNotFoundError):
        check_owner(str(tmp_path / "none"))
