"""The gateway's own memory: idle, with many sessions open, after a load, and some time later.

    python -m tests.bench.memory

The figures are of ``/proc/PID/smaps_rollup``, of the gateway and of its guardian.  ``SESSIONS``, ``LOAD_S`` and
``LATER_S`` say how many sessions there are, and how long the load and the time after it last (500, 600 and 300).
"""

from __future__ import annotations

import asyncio
import os
import tempfile
import time
from pathlib import Path

from tests.bench.procs import MIB
from tests.support.gateway import Gateway, server
from tests.support.http_client import Client
from tests.support.real_servers import fixture

SESSIONS = int(os.environ.get("SESSIONS", "500"))
LOAD_S = float(os.environ.get("LOAD_S", "600"))
LATER_S = float(os.environ.get("LATER_S", "300"))
CALLERS = 20
SETTLED_S = 6.0
KEYS = ("Rss", "Pss", "Private_Dirty")


def shown(pid: int) -> str:
    """Return the figures of a process in MiB."""
    lines = (line.split() for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:])
    found = {name.rstrip(":"): int(size) / MIB for name, size, *_ in lines}
    return ", ".join(f"{key} {found[key]:.1f}" for key in KEYS)


def tell(what: str, gateway: Gateway) -> None:
    """Print the figures of a gateway and of its guardian, once that runs."""
    more = "".join(f"; guardian: {shown(pid)}" for pid in gateway.helpers())
    print(f"{what}: {shown(gateway.pid)}{more}", flush=True)


async def used(gateway: Gateway) -> None:
    """Open the sessions, and let some of them call."""
    clients = [await Client.open(gateway.url, "fix") for _ in range(SESSIONS)]
    for each in clients:
        assert await each.text("echo", text="x") == "x"
    await asyncio.sleep(SETTLED_S)
    tell(f"{SESSIONS} sessions", gateway)
    until = time.monotonic() + LOAD_S

    async def calls(client: Client) -> int:
        count = 0
        while time.monotonic() < until:
            await client.text("echo", text="x" * 500)
            count += 1
        return count

    made = await asyncio.gather(*(calls(each) for each in clients[:CALLERS]))
    tell(f"after {sum(made)} calls", gateway)
    for each in clients:
        each.close()


def main() -> None:
    """Measure and print."""
    with (
        tempfile.TemporaryDirectory() as directory,
        # Not forked from the tests' own process, with which it would share memory.
        Gateway(Path(directory), {"fix": server(fixture())}, runner="start", is_forked=False) as gateway,
    ):
        time.sleep(SETTLED_S)
        tell("idle", gateway)
        asyncio.run(used(gateway))
        time.sleep(LATER_S)
        tell(f"{LATER_S:.0f} s later", gateway)


if __name__ == "__main__":
    main()
