"""Children under a lease as real processes: none of them outlives its deadline, whatever the gateway does."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted

from mcpgateway.cluster.leases import Lease
from mcpgateway.cluster.membership import boot_seconds
from mcpgateway.errors import LaunchFailed
from mcpgateway.interfaces import Launch
from mcpgateway.system.process import guardian_main
from mcpgateway.system.process.processes import bearing
from mcpgateway.system.process.procfs import is_alive
from tests.functional.test_children import DOUBLE, Nursery, Recorder, until

pytestmark = pytest.mark.functional

STAYS = "exec sleep 600"
LEAVES = f"""printf "{DOUBLE}" | {sys.executable} - ; exec sleep 600"""


@pytest.fixture
def nursery(tmp_path: Path) -> Iterator[Nursery]:
    """A launcher; whatever it started is killed in the end."""
    made = Nursery(tmp_path)
    yield made
    for pid in made.survivors:
        os.kill(pid, signal.SIGKILL)
    made.guardian.stop()


def start(nursery: Nursery, lease: Lease, script: str = STAYS) -> tuple[Any, Recorder]:
    """Start a child under a lease."""
    recorder = Recorder()
    launch = Launch("s", ("sh", "-c", script), {"PATH": os.environ["PATH"]}, nursery.home, lease=lease)
    return nursery.launcher.launch(launch, recorder), recorder


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize("script", [STAYS, LEAVES])
async def test_killed_by_the_guardian(nursery: Nursery, script: str) -> None:
    """A child whose deadline passes is killed by the guardian, with the processes that have left its group."""
    lease = Lease("files", 7, boot_seconds() + 2)
    _, recorder = start(nursery, lease, script)
    await until(lambda: len(nursery.survivors) >= (2 if script is LEAVES else 1))
    await until(lambda: recorder.ends)
    assert boot_seconds() >= lease.deadline
    assert recorder.ends[0].signal == signal.SIGKILL
    await until(lambda: not nursery.survivors)
    await until(lambda: not lease.children)


@pytest_twisted.ensureDeferred
async def test_renewed(nursery: Nursery) -> None:
    """A child lives on as long as its lease is renewed, and is told its number."""
    lease = Lease("files", 7, boot_seconds() + 2)
    child, recorder = start(nursery, lease, "echo $MCPGATEWAY_FENCE; exec sleep 600")
    await until(lambda: recorder.lines == [b"7"])
    lease.deadline = boot_seconds() + 600
    for each in lease.on_renewed:
        each(lease.deadline)
    await until(lambda: boot_seconds() > lease.deadline - 597)
    assert not recorder.ends
    await child.stop()
    await until(lambda: not lease.children)
    assert (lease.on_renewed, lease.on_lost) == ([], [])


@pytest_twisted.ensureDeferred
async def test_lost(nursery: Nursery) -> None:
    """A child whose lease is lost is killed at once."""
    lease = Lease("files", 7, boot_seconds() + 600)
    _, recorder = start(nursery, lease)
    for each in list(lease.on_lost):
        each()
    await until(lambda: recorder.ends and not lease.children)


@pytest_twisted.ensureDeferred
async def test_guardian_killed(nursery: Nursery) -> None:
    """A guardian that was killed is started again, and knows the deadlines."""
    lease = Lease("files", 7, boot_seconds() + 5)
    _, recorder = start(nursery, lease)
    former = nursery.guardian.pid
    assert former is not None
    os.kill(former, signal.SIGKILL)
    await until(lambda: nursery.guardian.pid not in (None, former))
    assert not recorder.ends
    await until(lambda: recorder.ends)
    assert boot_seconds() >= lease.deadline


@pytest_twisted.ensureDeferred
async def test_too_late(nursery: Nursery) -> None:
    """No child is started under a lease that has ended."""
    lease = Lease("files", 7, boot_seconds() + 600, is_held=False)
    with pytest.raises(LaunchFailed, match="lease"):
        start(nursery, lease)
    assert not nursery.survivors


FROZEN = """
import os, signal, sys
from twisted.internet import reactor
from tests.functional.test_deadlines import Recorder, start, Nursery
from mcpgateway.cluster.leases import Lease
from mcpgateway.cluster.membership import boot_seconds
from pathlib import Path
nursery = Nursery(Path(sys.argv[1]))
def begin():
    start(nursery, Lease("files", 7, boot_seconds() + 1))
    print(nursery.instance, flush=True)
    os.kill(os.getpid(), signal.SIGSTOP)
reactor.callWhenRunning(begin)
reactor.run()
"""


def test_frozen(tmp_path: Path) -> None:
    """A child of a gateway that is frozen right after the start does not outlive its deadline."""
    program = subprocess.Popen(
        [sys.executable, "-c", FROZEN, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert program.stdout is not None
        marker = f"MCPGATEWAY_INSTANCE={program.stdout.readline().strip()}"
        ends = time.monotonic() + 30
        while any(map(is_alive, bearing(marker))):
            assert time.monotonic() < ends, "the child lives"
            time.sleep(0.05)
        assert "T" in Path(f"/proc/{program.pid}/stat").read_text().split(")")[1]
    finally:
        program.kill()
        program.communicate()


def test_what_follows(tmp_path: Path) -> None:
    """The program that the guardian becomes after a killed gateway is not ended by an alarm for a deadline."""
    done = tmp_path / "done"
    follower = ("/bin/sh", "-c", f"sleep 1; echo done > {done}")
    words = b" ".join(each.encode().hex().encode() for each in follower)
    guardian = subprocess.Popen(
        [sys.executable, "-I", "-S", guardian_main.__file__, "MARKER=none-of-this"], stdin=subprocess.PIPE
    )
    deadline = boot_seconds() + 600
    guardian.communicate(b"=%b\n@ENTRY=none-of-that %f 0\n" % (words, deadline), timeout=60)
    assert guardian.returncode == 0
    assert done.exists()
