"""The bytes that processes have written to storage."""

from __future__ import annotations

import subprocess
import sys
from itertools import pairwise
from pathlib import Path

from mcpgateway.system.process.disk_writes import written_by

WRITER = """
import os, subprocess, sys
CHILD = "import os, sys; f = open(sys.argv[1], 'w'); f.write('y' * 20000); f.flush(); os.fsync(f.fileno())"
for line in sys.stdin:
    if line == "write\\n":
        with open(sys.argv[1], "w") as file:
            file.write("x" * 10000)
            file.flush()
            os.fsync(file.fileno())
    elif line == "child\\n":
        subprocess.run([sys.executable, "-c", CHILD, sys.argv[1]])
    print("done", flush=True)
"""


class TableTests:
    """A table of processes."""

    def test_tree(self, tmp_path: Path) -> None:
        """Writes of a leader's children count as its own; a process that cannot be read is left out."""
        rows = {
            10: (1, 10, "write_bytes: 100\n"),
            11: (10, 10, "rchar: 5\nwrite_bytes: 20\n"),
            12: (1, 12, ""),
        }
        for pid, (parent, group, io) in rows.items():
            fields = ["S", str(parent), str(group), str(group), *("0" for _ in range(17)), "1", "0"]
            (tmp_path / str(pid)).mkdir()
            (tmp_path / str(pid) / "stat").write_text(f"{pid} (x) {' '.join(fields)}\n")
            if io:
                (tmp_path / str(pid) / "io").write_text(io + "cancelled_write_bytes: 7\n")
        assert written_by([10, 12, 99], str(tmp_path)) == {10: 120}

    def test_no_table(self, tmp_path: Path) -> None:
        """A system that has none tells nothing."""
        assert written_by([1], str(tmp_path / "none")) == {}


class ProcessTests:
    """A process of this machine."""

    def test_seen(self, disk: Path) -> None:
        """Writes of a process and of the programs that it runs are counted; its stdout is not."""
        command = [sys.executable, "-c", WRITER, str(disk / "file")]
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
        )
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            seen = []
            for word in ("nothing", "nothing", "write", "nothing", "child"):
                process.stdin.write(f"{word}\n")
                process.stdin.flush()
                process.stdout.readline()
                seen.append(written_by([process.pid])[process.pid])
            told = [later - earlier for earlier, later in pairwise(seen)]
            assert told[0] == told[2] == 0
            assert "tmpfs" in _kind(disk) or (told[1] >= 10_000 and told[3] >= 20_000)
        finally:
            process.kill()
            process.wait()


def _kind(path: Path) -> str:
    return subprocess.run(
        ["stat", "-f", "-c", "%T", str(path)], capture_output=True, text=True, check=False
    ).stdout
