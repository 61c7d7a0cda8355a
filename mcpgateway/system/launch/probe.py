"""A program of its own that stands in for a server, and reports how a package runner has started it.

Any Python runs it, without the gateway's packages.
"""

from __future__ import annotations

import json
import os
import sys

MARK = "mcpgateway-probe:"


def main() -> None:
    """Print one line about the arguments, the environment and the runner."""
    facts = {
        "argv": sys.argv[1:],
        "env": dict(os.environ),
        "executable": sys.executable,
        "kib": runners_kib(),
    }
    # The runner's last output may not end with a line break.
    sys.stdout.write(f"\n{MARK}{json.dumps(facts)}\n")


def runners_kib() -> int:
    """Return the memory in KiB of the processes between the gateway and this one; 0 where it is unknown."""
    leader, pid, total = os.getsid(0), os.getpid(), 0
    while pid not in {leader, 0, 1}:
        pid = parent_of(pid)
        total += proportional_kib(pid)
    return total


def parent_of(pid: int) -> int:
    """Return the parent of a process; 0 where it is unknown."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as stat:
            return int(stat.read().rpartition(b")")[2].split()[1])
    except OSError:
        return 0


def proportional_kib(pid: int) -> int:
    """Return the memory of a process in KiB, with shared memory counted in proportion."""
    try:
        with open(f"/proc/{pid}/smaps_rollup", "rb") as rollup:
            return next((int(line.split()[1]) for line in rollup if line.startswith(b"Pss:")), 0)
    except OSError:
        return 0


if __name__ == "__main__":
    main()
