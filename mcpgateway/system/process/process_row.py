"""A process among those of its machine."""

from __future__ import annotations

from typing import NamedTuple


class ProcessRow(NamedTuple):
    """A process, and where it belongs.

    :ivar state: the letter of proc(5), such as ``T`` for one that a signal has stopped.
    :ivar pages: its resident memory.
    :ivar ticks: its CPU time and that of its ended children, in clock ticks.
    """

    pid: int
    state: bytes
    parent: int
    group: int
    session: int
    pages: int
    ticks: int
