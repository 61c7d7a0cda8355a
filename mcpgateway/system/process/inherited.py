"""Processes that the former program of this process has started: they are its children still, with the same pipes."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from twisted.internet.process import Process, registerReapProcessHandler


class InheritedProcess(Process):
    """A running child of this process that another program has started, as a transport.

    :param pipes: the descriptors of this side of its pipes, by the child's own descriptors; 0 is written, others are
        read.
    """

    def __init__(self, reactor: Any, pid: int, pipes: Mapping[int, int], proto: Any) -> None:
        # The constructor of `Process` would start a process.
        self.pid = pid
        self.proto = proto
        self.pipes: dict[int, Any] = {}
        for theirs, ours in pipes.items():
            os.set_inheritable(ours, False)
            if theirs == 0:
                self.pipes[0] = self.processWriterFactory(reactor, self, 0, ours, forceReadHack=True)
            else:
                self.pipes[theirs] = self.processReaderFactory(reactor, self, theirs, ours)
        proto.makeConnection(self)
        registerReapProcessHandler(pid, self)


def is_own_child(pid: int) -> bool:
    """True if a process is a child of this one, running or not yet waited for."""
    try:
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except OSError:
        return False
    return True
