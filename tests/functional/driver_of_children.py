"""A small gateway-like program for tests of survival: starts one child and waits to be killed.

    python -m tests.functional.driver_of_children HOME SCRIPT

Prints the guardian's process id once the child runs.
"""

from __future__ import annotations

import os
import sys
from typing import Any

from mcpgateway.backends.spawn import Launcher
from mcpgateway.interfaces import Gone, Launch
from mcpgateway.system.process.children import ChildGuard
from mcpgateway.system.process.guardian import Guardian
from mcpgateway.system.process.orphans import ChildRegistry


class Silent:
    """A receiver that wants nothing."""

    def line_received(self, line: bytes) -> None:
        """Ignore a line."""

    def line_overflowed(self, head: bytes, limit: int) -> None:
        """Ignore a line that is too long."""

    def gone(self, why: Gone) -> None:
        """Ignore the end of the child."""


def main(reactor: Any, home: str, script: str) -> None:
    """Start the child and run."""
    guardian = Guardian(reactor, os.path.basename(home))
    ward = ChildGuard(ChildRegistry(home, os.path.basename(home)), guardian)
    launcher = Launcher(reactor, ward)
    launcher.launch(Launch("s", ("sh", "-c", script), dict(os.environ), home), Silent())
    reactor.callLater(0.3, lambda: os.write(1, b"%d\n" % (guardian.pid or 0)))
    reactor.run()


if __name__ == "__main__":
    from twisted.internet import reactor as the_reactor

    main(the_reactor, sys.argv[1], sys.argv[2])
