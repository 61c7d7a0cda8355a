"""The trial of a program before a restart, as the gateway that restarts runs it."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from mcpgateway.app.restart import TRIAL
from mcpgateway.system.process.handover import FORMAT
from tests.support.certificates import Authority


def tried(home: Path, document: dict[str, Any]) -> subprocess.CompletedProcess[str]:
    """Run a trial with a configuration in the home."""
    (home / "config.json").write_text(json.dumps(document))
    argv = (sys.executable, "-P", "-c", TRIAL, "--home", str(home), "--adopt")
    environ = {"PATH": os.environ["PATH"], "HOME": str(home), "MCPGATEWAY_ENVIRONMENT": "1"}
    return subprocess.run(argv, env=environ, capture_output=True, text=True, timeout=120, check=False)


def test_nobody_notices(tmp_path: Path) -> None:
    """A trial takes the settings, and leaves ports, servers, other nodes and the home alone."""
    mark, pair = tmp_path / "started", Authority(tmp_path).issue("localhost")
    touch = {"command": "touch", "args": [str(mark)], "lazy": {"enabled": False, "prewarm": True}}
    with socket.create_server(("127.0.0.1", 0)) as other, socket.create_server(("127.0.0.1", 0)) as own:
        port, elsewhere = own.getsockname()[1], f"127.0.0.1:{other.getsockname()[1]}"
        document = {
            "gateway": {
                "http_port": port,
                "listen": [f"tcp:{port}:interface=127.0.0.1"],
                "tls_cert_path": pair,
                "tls_key_path": pair,
                "auth_mcp_transport": "bearer-required",
                "trace": {"otlp": f"http://{elsewhere}", "begin": True},
                "cluster": {"store": f"postgresql://{elsewhere}/none", "config": "files"},
            },
            "manhole": {"socket": True},
            "settings": {
                "security": {"oauth": {"issuer": f"https://{elsewhere}", "audience": ["https://a.example"]}}
            },
            "servers": {
                "touch": touch,
                "remote": {"url": f"http://{elsewhere}/mcp", "lazy": {"enabled": False}},
            },
        }
        before = {each.name for each in tmp_path.iterdir()} | {"config.json"}
        done = tried(tmp_path, document)
        assert (done.returncode, done.stdout) == (0, f"{FORMAT}\n"), done.stderr
        assert not mark.exists()
        assert {each.name for each in tmp_path.iterdir()} == before
        other.setblocking(False)
        with pytest.raises(BlockingIOError):
            other.accept()


def test_settings_that_do_not_start(tmp_path: Path) -> None:
    """A trial fails where these settings keep a gateway from its start, and tells why in its last line."""
    done = tried(tmp_path, {"gateway": {"tls_cert_path": str(tmp_path / "no.pem"), "tls_key_path": "no.pem"}})
    assert done.returncode == 1
    assert "no.pem" in done.stderr.splitlines()[-1]
