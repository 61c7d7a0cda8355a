"""Commands that need the whole gateway's code: this program becomes another one, which is built of it."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Mapping
from typing import Any, NoReturn


def hand_over(module: str, request: Mapping[str, Any]) -> NoReturn:
    """Become ``python -m module`` in the same process; it reads the request with `request_of`.

    The request goes by stdin: it may hold secrets, and every program of the machine reads command lines.

    :param request: anything that JSON can say.
    """
    with tempfile.TemporaryFile() as file:
        file.write(json.dumps(request).encode())
        file.seek(0)
        os.dup2(file.fileno(), 0)
    sys.stdout.flush()
    sys.stderr.flush()
    os.execv(sys.executable, [sys.executable, "-P", "-m", module])  # noqa: S606 - there is to be no shell


def request_of() -> dict[str, Any]:
    """The request that this program was started with."""
    request: dict[str, Any] = json.load(sys.stdin)
    return request
