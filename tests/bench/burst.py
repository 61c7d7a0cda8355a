"""The gateway's memory around a burst of requests and after a restart: ``python -m tests.bench.burst``.

The load is 2,300 sessions on as many connections, which echo, list, get large results and hear of progress.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import resource
import signal
import sys
import time
from pathlib import Path

from tests.bench.driver import Load, drive_async, open_sessions
from tests.bench.mcp import Session
from tests.bench.procs import memory_kib
from tests.bench.subjects import OURS, Running, Starter
from tests.bench.tools import prepare

SETTLED_S = 6.0
FEW, MANY = 500, 2300  # sessions
SHARES = {"echo": 0.5, "list": 0.2, "big": 0.1, "progress": 0.2}  # of the time
LARGE = 1_000_000
FILES = 20_000


def show(what: str, running: Running) -> None:
    """Print a line of the table."""
    found = memory_kib(running.pid)
    print(
        f"{what:24}" + "".join(f"{name} {size / 1024:6.1f} MB  " for name, size in found.items()), flush=True
    )


async def load(running: Running, seconds: float) -> None:
    """Open sessions, and send calls of each kind."""
    sessions: list[Session] = list(await open_sessions(running.url, FEW))
    await asyncio.sleep(SETTLED_S)
    show(f"{FEW} sessions", running)
    sessions += await open_sessions(running.url, MANY - FEW, FEW)
    await asyncio.sleep(SETTLED_S)
    show(f"{MANY} sessions", running)
    for operation, share in SHARES.items():
        is_large = operation == "big"
        calls = Load(
            running.url,
            MANY,
            64 if is_large else MANY,
            seconds * share,
            operation=operation,
            size=LARGE if is_large else 64,
            timeout_s=60.0,
        )
        tally = await drive_async(calls, sessions)
        show(f"{operation}: {tally.right}, {tally.faults} wrong", running)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description="Measure the memory of the gateway around a load.")
    parser.add_argument("--seconds", type=float, default=60.0, help="of load")
    parser.add_argument(
        "--after", type=float, default=60.0, help="seconds from its end until a restart in place"
    )
    options = parser.parse_args()
    resource.setrlimit(resource.RLIMIT_NOFILE, (FILES, FILES))
    starter = Starter(prepare(with_npm=False), Path(sys.executable))
    try:
        running = starter.start(OURS)
        running.wait_until_listening()
        time.sleep(SETTLED_S)
        show("idle", running)
        running.wait_until_called()
        asyncio.run(load(running, options.seconds))
        time.sleep(options.after)
        show(f"{options.after:g} s after", running)
        os.kill(running.pid, signal.SIGHUP)
        time.sleep(2 * SETTLED_S)
        show("restarted in place", running)
    finally:
        starter.stop_all()


if __name__ == "__main__":
    main()
