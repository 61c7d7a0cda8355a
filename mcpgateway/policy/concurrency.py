"""The limit on concurrent calls of a server, and whether the server may have a second child at the same time.

# Note [One instance]
A server that reads a file, changes it and writes it back was written for one client and one process: two of its
processes overwrite each other's changes, as two concurrent calls do within one.  So a server whose calls run one at a
time has one child for all clients of its scope: no replica, no child of the other era, none beside a stuck one.  A
server with a child for each session has as many processes as its entry asks for, as without a gateway.

# Note [Writing calls]
The first calls of tools that may change something run one at a time, so that bytes which the server's processes write
to storage meanwhile (``write_bytes`` of proc_pid_io(5), which counts neither pipes nor sockets) belong to that call.
Programs also write compiled code, or a cache, at the first use of something: a tool counts as a writer for good when
two of its calls have written.  A tool with one such call counts as a writer until a later call of it writes nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import Enum
from typing import Any

from mcpgateway.config.model import UNLIMITED, WRITES, Concurrency, ServerSpec, Share
from mcpgateway.policy.tool_names import only_reads
from mcpgateway.records import Record

QUIET_CALLS = 5  # without a byte written, after which a server counts as one that does not write
FAILED_CALLS = 20  # that prove little; after so many of them it counts as such, too
TWICE = 2


def concurrency_of(server: ServerSpec, *, is_writer: bool) -> Concurrency:
    """Return the limit of a server's calls under way: that of its entry, else that of its known properties.

    :param is_writer: the server is known to write, from its sources or from observed calls.
    """
    if server.concurrency is not None:
        return server.concurrency
    return WRITES if is_writer else UNLIMITED


def is_single(server: ServerSpec, scope: Share, *, is_writer: bool) -> bool:
    """True if a server may have no second child at the same time; see Note [One instance].

    An entry that asks for replicas and sets no concurrency permits several children.

    :param scope: how widely the server is shared, as far as that is known.
    :param is_writer: as for `concurrency_of`.
    """
    if server.is_sole:
        return True
    if scope is Share.SESSION or (server.concurrency is None and server.replicas > 1):
        return False
    return concurrency_of(server, is_writer=is_writer) != UNLIMITED


def readers(tools: Iterable[Any], *, by_name: bool) -> frozenset[str]:
    """Return the names of the listed tools whose calls change nothing.

    :param by_name: the tool's name decides where the tool has no ``readOnlyHint``.
    """
    return frozenset(
        each["name"]
        for each in tools
        if isinstance(each, dict) and isinstance(each.get("name"), str) and _reads(each, by_name=by_name)
    )


def _reads(tool: Mapping[str, Any], *, by_name: bool) -> bool:
    annotations = tool.get("annotations")
    hint = annotations.get("readOnlyHint") if isinstance(annotations, dict) else None
    return hint if isinstance(hint, bool) else by_name and only_reads(tool["name"])


class Tally(Record):
    """The calls of one tool that were observed one at a time.

    :ivar wrote: the number of calls that have written.
    :ivar quiet: the number that have not, since the last one that has.
    :ivar failed: the number that have not written, and have failed.
    """

    wrote: int = 0
    quiet: int = 0
    failed: int = 0

    def count(self, written: int, *, has_failed: bool) -> None:
        """Count a call that has written so many bytes."""
        if written:
            self.wrote, self.quiet = self.wrote + 1, 0
        elif has_failed:
            self.failed += 1
        else:
            self.quiet += 1


class ConcurrencyFinding(Enum):
    """The conclusion from the observed calls.

    ``OPEN``: none yet.  ``WRITES``: the server writes.  ``PERHAPS``: it writes, unless the tool's next call shows
    otherwise.
    ``FREE``: it does not write.
    """

    OPEN = "open"
    PERHAPS = "perhaps"
    WRITES = "writes"
    FREE = "free"


def judge(tallies: Iterable[Tally]) -> ConcurrencyFinding:
    """Return the conclusion from a server's watched calls; see Note [Writing calls]."""
    seen = list(tallies)
    if any(each.wrote >= TWICE for each in seen):
        return ConcurrencyFinding.WRITES
    if any(each.wrote and not each.quiet for each in seen):
        return ConcurrencyFinding.PERHAPS
    is_long = sum(each.quiet + each.failed for each in seen) >= FAILED_CALLS
    return (
        ConcurrencyFinding.FREE
        if is_long or sum(each.quiet for each in seen) >= QUIET_CALLS
        else ConcurrencyFinding.OPEN
    )
