"""`mcpgateway.hub.filters`: the objects between a request and its sink."""

from __future__ import annotations

import pytest

from mcpgateway.errors import BackendGone, GatewayError, HandshakeRefused, SharedOtherwise
from mcpgateway.hub.filters import ATTEMPTS_LIMIT, resubmit
from mcpgateway.interfaces import Request
from mcpgateway.protocol import jsonrpc


class Sink:
    """Keeps the errors that it receives."""

    is_gone = False

    def __init__(self) -> None:
        self.errors: list[GatewayError] = []

    def failed(self, _: Request, why: GatewayError) -> None:
        """Keep an error."""
        self.errors.append(why)


class Unlucky:
    """A dispatcher whose children can never take a request."""

    def __init__(self, why: GatewayError) -> None:
        self.why, self.submitted = why, 0

    def submit(self, request: Request) -> None:
        """Send a request to a child that cannot take it."""
        self.submitted += 1
        resubmit(request, self)
        request.sink.failed(request, self.why)

    def resubmit(self, request: Request) -> None:
        """Send it to another child."""
        self.submit(request)

    def refused(self, request: Request, _: HandshakeRefused) -> None:
        """Send it in the other era."""
        self.submit(request)


class ResubmissionTests:
    """A request whose child cannot take it."""

    @pytest.mark.parametrize(
        "why", [SharedOtherwise("a child for each"), HandshakeRefused("not in this era")]
    )
    def test_ends(self, why: GatewayError) -> None:
        """Where no child can take it, the client gets the error after a bounded number of attempts."""
        sink, dispatcher = Sink(), Unlucky(why)
        dispatcher.submit(Request(None, jsonrpc.own_request("tools/call"), None, sink))
        assert sink.errors == [why]
        assert dispatcher.submitted == ATTEMPTS_LIMIT + 1

    def test_other_errors(self) -> None:
        """Any other error is the client's at once."""
        why = BackendGone("it has ended")
        sink, dispatcher = Sink(), Unlucky(why)
        dispatcher.submit(Request(None, jsonrpc.own_request("tools/call"), None, sink))
        assert (sink.errors, dispatcher.submitted) == ([why], 1)
