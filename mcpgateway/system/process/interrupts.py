"""Ctrl-C while a program loads, which ends it without a traceback, also where it takes the place of a command.

A command that executes another program calls `hold`; that program calls `release` before its slow imports, and `loaded`
when the reactor handles Ctrl-C.
"""

from __future__ import annotations

import sys
from signal import SIG_BLOCK, SIG_UNBLOCK, SIGINT, pthread_sigmask
from types import TracebackType


def hold() -> None:
    """Keep Ctrl-C back, also for the program that this one executes, until `release`."""
    pthread_sigmask(SIG_BLOCK, (SIGINT,))


def release() -> None:
    """Let Ctrl-C through; from here on it ends the program silently where nothing else handles it."""
    sys.excepthook = _silent
    pthread_sigmask(SIG_UNBLOCK, (SIGINT,))


def loaded() -> None:
    """Have exceptions shown as usual again: the prompt of the manhole shows errors of syntax to its user only then."""
    sys.excepthook = sys.__excepthook__


def _silent(kind: type[BaseException], why: BaseException, trace: TracebackType | None) -> None:
    if not issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, why, trace)
