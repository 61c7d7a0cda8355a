"""Tell the failures to start a child that pass by themselves from those that last until its user mends something."""

from __future__ import annotations

import errno

from mcpgateway.errors import GatewayError, LaunchFailed
from mcpgateway.interfaces import Gone

NEVER_RUNS = frozenset((126, 127))  # what a shell exits with whose program is not executable, or not there
PASSING = frozenset((errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE, errno.ETXTBSY))


def lasts(why: GatewayError) -> bool:
    """Whether a program that could not be launched cannot be launched again either, as one that is missing."""
    return isinstance(why, LaunchFailed) and getattr(why.__cause__, "errno", 0) not in PASSING


def never_runs(why: Gone) -> bool:
    """Whether a child has ended because there is no program to be run."""
    return why.code in NEVER_RUNS
