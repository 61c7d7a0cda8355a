"""The gateway's own log, as its file has it: the latest lines, and those that are added."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from typing import NamedTuple

from mcpgateway.cli.console import fail
from mcpgateway.hints import cli
from mcpgateway.shim.startup import LOG, opener

POLL_S = 0.25
BLOCK = 65_536


def log_path(home: str) -> str:
    """Return the path of the log of a home's gateway."""
    return f"{home}/logs/{LOG}"


class Latest(NamedTuple):
    """The latest lines of a log.

    :ivar end: the place in the file behind them, where `added` begins.
    """

    lines: list[str]
    end: int


def latest(path: str, number: int) -> Latest:
    """Return the latest lines of a log.

    :raise Trouble: there is no log, or it cannot be read.
    """
    try:
        with open(path, "rb", opener=opener) as file:
            at = end = file.seek(0, os.SEEK_END)
            data = b""
            while at > 0 and data.count(b"\n") <= number:
                step = min(BLOCK, at)
                at = file.seek(at - step)
                data = file.read(step) + data
    except FileNotFoundError:
        fail(
            f"there is no log at {path}",
            f"{cli('start')} makes it; a gateway in the foreground logs to its own terminal, or to the journal",
        )
    except OSError as why:
        fail(f"{path} cannot be read: {why.strerror}")
    lines = [each.decode(errors="replace") for each in data.removesuffix(b"\n").split(b"\n")] if data else []
    return Latest(lines[-number:] if number else [], end)


def added(path: str, at: int) -> Iterator[str]:
    """Yield each line that is added to a log behind a place, also after its file was replaced by a new one."""
    file = open(path, "rb", opener=opener)  # noqa: SIM115 - replaced below
    try:
        file.seek(at)
        rest = b""
        while True:
            data = file.read(BLOCK)
            if data:
                *lines, rest = (rest + data).split(b"\n")
                yield from (each.decode(errors="replace") for each in lines)
                continue
            if _is_replaced(file.fileno(), path, file.tell()):
                file.close()
                file = open(path, "rb", opener=opener)  # noqa: SIM115 - closed below
                continue
            time.sleep(POLL_S)
    finally:
        file.close()


def _is_replaced(descriptor: int, path: str, at: int) -> bool:
    try:
        now, ours = os.stat(path), os.fstat(descriptor)
    except OSError:
        return False  # the new file is being made
    return (now.st_dev, now.st_ino) != (ours.st_dev, ours.st_ino) or now.st_size < at
