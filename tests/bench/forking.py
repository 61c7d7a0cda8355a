"""Python servers forked from a template, beside the same servers started: memory, and time to an answer.

    python -m tests.bench.forking [COMMAND …]

Of each command line some children are started and as many forked (``CHILDREN``, 5).  The memory is that which is
private to each child (``Private`` in ``/proc/PID/smaps_rollup``) and, with the template, that of all (``Pss``).
`tests.functional.test_forked_servers` compares what they do.
"""

from __future__ import annotations

import json
import os
import shlex
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

from attrs import evolve
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater, react

from tests.support.forked import Nursery

CHILDREN = int(os.environ.get("CHILDREN", "5"))
SETTLED_S = 2.0
VARIABLES = {"OBSIDIAN_API_KEY": "x" * 32, "ALLOW_COMMANDS": "ls", "DB_URL": "sqlite:///x.db"}


def kib(pid: int, *names: str) -> int:
    """Return the sum of some lines of ``smaps_rollup``."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith(names))


async def compare(reactor: Any, nursery: Nursery, argv: Sequence[str]) -> dict[str, Any]:
    """Measure children of one command line."""
    launch = nursery.launch(argv, VARIABLES)
    plain = [await nursery.begin(launch)]  # the first one is always started
    plain += [await nursery.begin(evolve(launch, prefork=False)) for _ in range(CHILDREN - 1)]
    forked = [await nursery.begin(launch) for _ in range(CHILDREN)]
    await deferLater(reactor, SETTLED_S)
    templates = [each for each in nursery.launcher.templates.all() if each.server == launch.server]
    report: dict[str, Any] = {
        "server": launch.server,
        "how": sorted({talk.how for talk in forked}),
        "template_pss_mb": [round(kib(each.child.pid, "Pss:") / 1024, 1) for each in templates],
    }
    for word, talks in (("plain", plain), ("forked", forked)):
        pids = [talk.child.pid for talk in talks if talk.end is None]
        report[word] = {
            "private_mb": round(median(kib(pid, "Private") for pid in pids) / 1024, 1),
            "pss_mb": round(sum(kib(pid, "Pss:") for pid in pids) / 1024, 1),
            "ready_s": round(median(talk.ready_s for talk in talks), 2),
        }
    for talk in (*plain, *forked):
        await talk.child.stop()
    return report


async def measure(reactor: Any, lines: Sequence[str]) -> None:
    """Compare and print."""
    with tempfile.TemporaryDirectory() as home:
        nursery = Nursery(reactor, Path(home))
        for line in lines:
            print(json.dumps(await compare(reactor, nursery, shlex.split(line))), flush=True)
        await nursery.close()


def main(reactor: Any) -> Deferred[None]:
    """Run it."""
    return Deferred.fromCoroutine(measure(reactor, sys.argv[1:]))


if __name__ == "__main__":
    react(main)
