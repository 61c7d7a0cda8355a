"""The former program goes on where the next one fails at its start; with real processes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

import mcpgateway
from mcpgateway.system.process.fall_back import keep

NEXT = """
import json, os, sys
from mcpgateway.system.process import fall_back

fall_back.arm(os.environ)
descriptor, is_former = int(sys.argv[1]), os.sep + "program" + os.sep in fall_back.__file__
if is_former:
    names = ("PYTHONPATH", "MCPGATEWAY_FAILED", "MCPGATEWAY_FORMER", "MCPGATEWAY_PYTHONPATH")
    found = {name: os.environ.get(name) for name in names}
    print(json.dumps({**found, "read": os.read(descriptor, 100).decode()}), flush=True)
else:
    print("next", flush=True)
    os.close(descriptor)
"""


def kept_in(home: Path) -> str:
    """Keep the package in a home."""
    return keep(str(home), time.time())


def ran(home: Path, then: str, first: str = "", **environ: str) -> tuple[int, list[str], str]:
    """Run a program that goes on with that code; return its exit status, the lines it prints, and its errors."""
    ours, theirs = os.pipe()
    os.write(theirs, b"unread")
    os.close(theirs)
    try:
        done = subprocess.run(
            [sys.executable, "-P", "-c", f"{first}\n{NEXT}\n{then}", str(ours)],
            env={"MCPGATEWAY_FORMER": kept_in(home), **environ},
            pass_fds=(ours,),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    finally:
        os.close(ours)
    return done.returncode, done.stdout.splitlines(), done.stderr


@pytest.mark.parametrize(
    ("end", "says"),
    [("1 / 0", "ZeroDivisionError: division by zero"), ("sys.exit('wrong settings')", "it has ended")],
)
@pytest.mark.parametrize("path", ["", "/nowhere"])
def test_an_end(tmp_path: Path, end: str, says: str, path: str) -> None:
    """The former program has the descriptors, the variables and the reason, and names no program in its turn."""
    environ = {"PYTHONPATH": path} if path else {}
    code, lines, errors = ran(tmp_path, f"if not is_former:\n    {end}", **environ)
    found: dict[str, Any] = json.loads(lines[1])
    assert (code, lines[0], found.pop("read")) == (0, "next", "unread")
    assert found == {
        "PYTHONPATH": path or None,
        "MCPGATEWAY_FAILED": says,
        "MCPGATEWAY_FORMER": None,
        "MCPGATEWAY_PYTHONPATH": None,
    }
    assert f"the former one goes on: {says}" in errors


def test_the_former_fails_too(tmp_path: Path) -> None:
    """Nothing is tried a third time."""
    code, lines, errors = ran(tmp_path, "raise RuntimeError(len(sys.argv))")
    assert (code, len(lines), errors.count("goes on")) == (1, 2, 1)


def test_a_start(tmp_path: Path) -> None:
    """A program that has started ends as any other."""
    assert ran(tmp_path, "fall_back.disarm()\nassert not fall_back.is_armed()\nsys.exit(3)")[:2] == (
        3,
        ["next"],
    )


def test_few_files(tmp_path: Path) -> None:
    """Where copies of its descriptors would leave too few for its start, a program has no fallback, and starts."""
    limit = "import os, resource\nresource.setrlimit(resource.RLIMIT_NOFILE, (50, 50))"
    opened = "for _ in range(20):\n    os.set_inheritable(os.open(os.devnull, os.O_RDONLY), True)"
    code, lines, _ = ran(tmp_path, "sys.exit(3)", f"{limit}\n{opened}")
    assert (code, lines) == (3, ["next"])


def test_what_is_kept(tmp_path: Path) -> None:
    """The package is kept as it was loaded; one whose files have changed since is not kept."""
    kept = Path(kept_in(tmp_path))
    own = Path(mcpgateway.__file__)
    assert (kept / "mcpgateway" / "__init__.py").read_bytes() == own.read_bytes()
    newest = max(each.stat().st_mtime for each in own.parent.rglob("*.py"))
    assert keep(str(tmp_path), newest - 1) == ""
    assert list(tmp_path.iterdir()) == []
