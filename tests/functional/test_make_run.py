"""``make run`` of a checkout: a short welcome, and a quiet end."""

from __future__ import annotations

import os
import signal
import subprocess
import urllib.request
from pathlib import Path

import pytest

from tests.support.gateway import LIMIT_S
from tests.support.pages import ROOT
from tests.support.ports import free_port

pytestmark = pytest.mark.functional

WELCOME = """\
The gateway serves 2 servers at http://localhost:{port}
  clock     http://localhost:{port}/clock/mcp
  notebook  http://localhost:{port}/notebook/mcp

In another terminal:
  .venv/bin/mcpgateway status         shows what runs
  .venv/bin/mcpgateway clients apply  lets your clients use the servers
  .venv/bin/mcpgateway ui             opens the dashboard

Ctrl-C ends the gateway. Warnings and errors follow here.
"""


class MakeRunTests:
    """A person tries the gateway."""

    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=str)
    def test_the_process_group_is_ended(self, tmp_path: Path, number: signal.Signals) -> None:
        """The welcome is all there is to read, also after a signal to make and the gateway at the same time."""
        port = free_port()
        environ = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "LANG": "C.UTF-8"}
        with subprocess.Popen(
            ["make", "run", f"PORT={port}", "VENV="],
            cwd=ROOT,
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        ) as process:
            try:
                assert process.stdout is not None
                shown = "".join(process.stdout.readline() for _ in WELCOME.splitlines())
                assert shown == WELCOME.format(port=port)
                with urllib.request.urlopen(f"http://localhost:{port}/healthz", timeout=LIMIT_S) as answer:
                    assert answer.status == 200
                os.killpg(process.pid, number)
                rest, _ = process.communicate(timeout=LIMIT_S)
                assert rest == ""
                assert process.returncode in (0, -number)
            finally:
                if process.poll() is None:
                    os.killpg(process.pid, signal.SIGKILL)
