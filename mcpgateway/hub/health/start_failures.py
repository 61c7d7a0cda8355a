"""The distinction of start failures that pass by themselves from those that last until the user mends something."""

from __future__ import annotations

import errno

from mcpgateway.errors import GatewayError, LaunchFailed
from mcpgateway.interfaces import Gone

NEVER_RUNS = frozenset((126, 127))  # exit codes of a shell whose program is not executable, or does not exist
PASSING = frozenset((errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE, errno.ETXTBSY))


def lasts(why: GatewayError) -> bool:
    """True if a failed launch would fail again, as that of a missing program."""
    return isinstance(why, LaunchFailed) and getattr(why.__cause__, "errno", 0) not in PASSING


def never_runs(why: Gone) -> bool:
    """True if a child has ended because its program does not exist or is not executable."""
    return why.code in NEVER_RUNS
