"""Replace this program by another one, for commands that need the whole gateway's code."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Mapping
from runpy import run_module
from typing import Any, NoReturn

from mcpgateway.system.process.interrupts import hold, release


def hand_over(module: str, request: Mapping[str, Any]) -> NoReturn:
    """Execute ``python -m module`` in the same process; it reads the request with `request_of`.

    The request goes by stdin: it may contain secrets, and every program of the machine can read command lines.

    :param request: any value that JSON can represent.
    """
    with tempfile.TemporaryFile() as file:
        file.write(json.dumps(request).encode())
        file.seek(0)
        os.dup2(file.fileno(), 0)
    sys.stdout.flush()
    sys.stderr.flush()
    hold()
    os.execv(sys.executable, [sys.executable, "-P", "-m", __name__, module])  # noqa: S606 - without a shell


def request_of() -> dict[str, Any]:
    """Return the request of the command that has started this program."""
    request: dict[str, Any] = json.load(sys.stdin)
    return request


if __name__ == "__main__":
    release()
    run_module(sys.argv[1], run_name="__main__")
