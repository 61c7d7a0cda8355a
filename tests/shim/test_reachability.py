"""Whether the gateway is there, asked where nobody is."""

import socket

from mcpgateway.shim.headers import Headers
from mcpgateway.shim.locations import Address
from mcpgateway.shim.loop import Loop
from mcpgateway.shim.pool import Pool
from mcpgateway.shim.reachability import Link
from mcpgateway.shim.stdio import Remarks


class Noted(Loop):
    """A loop that remembers its timers.

    :ivar timers: all there have been.
    """

    def __init__(self):
        super().__init__()
        self.timers = []

    def later(self, delay, call):
        """Remember one more."""
        self.timers.append(super().later(delay, call))
        return self.timers[-1]


class Waiting:
    """Who wants to know, and does not hear."""

    def found(self):
        """Nobody is there."""
        raise AssertionError

    def refused(self, status, why):
        """Nobody is there."""
        raise AssertionError


def test_nobody_is_there(tmp_path):
    """A question that could not even be asked leaves nothing behind: one timer runs, until it is asked again."""
    loop = Noted()
    address = Address(int(socket.AF_UNIX), str(tmp_path / "none.sock"), b"localhost", b"", is_own=True)
    link = Link(loop, Pool(loop, address), Headers(address, "x", b""), None, Remarks("x"))
    link.seek(Waiting(), 0.0)
    for _ in range(3):
        (running,) = [each for each in loop.timers if each.call is not None]
        again, running.call = running.call, None
        again()
    assert not link.is_up
    link.give_up()
    assert not any(each.call for each in loop.timers)
