"""Restore clients' files after the end of their gateway, unless another one takes its place."""

from __future__ import annotations

import posix
import sys
from time import sleep

from mcpgateway.shim import startup

AFTER_S = 10.0  # a restart of any kind has begun by then
BEGIN_S = 120.0  # a successor that has begun may take so long to listen
LOOK_S = 0.2


def restore(home: str, config: str, after_s: float) -> None:
    """Wait for a successor, else become the program that restores the files; returns where there is a successor.

    :param config: the configuration file of the gateway.
    :raise OSError: that program cannot be started.
    """
    startup.write_log(home, "mcpgateway.restoring", f"clients' files are restored in {after_s:g} s")
    due_ms = startup.clock() + int(after_s * 1000)
    try:
        startup.write_due(home, startup.RESTORATION, due_ms)
    except OSError:
        pass  # then only the log has the time
    try:
        if _has_successor(home, due_ms):
            startup.write_log(
                home, "mcpgateway.restoring", "a gateway runs again; the files stay as they are"
            )
            return
    finally:
        try:
            startup.forget(home, startup.RESTORATION)
        except OSError:
            pass
    words = [
        sys.executable,
        "-P",
        "-m",
        "mcpgateway.cli.local",
        "clients",
        "release",
        "--home",
        home,
        "--json",
    ]
    posix.execve(words[0], words, _environment(config))


def _has_successor(home: str, due_ms: int) -> bool:
    """True if a gateway of the home listens again; one that has begun meanwhile has more time."""
    while True:
        # The lock is tried only when that matters: a starter might find it taken.
        word, now = startup.record_of(home).word, startup.clock()
        if word == startup.UP and startup.is_held(home):
            return True
        if now >= due_ms and (now >= due_ms + BEGIN_S * 1000 or not startup.is_held(home)):
            return False
        sleep(LOOK_S)


def _environment(config: str) -> dict[bytes, bytes]:
    environ = {**posix.environ}
    if config:
        environ[b"MCPGATEWAY_CONFIG"] = config.encode(errors="surrogateescape")
    root = __file__.rpartition("/")[0].rpartition("/")[0].rpartition("/")[0]
    if root.rpartition("/")[2] not in ("site-packages", "dist-packages"):
        # A checkout is not where such a Python looks.
        former = environ.get(b"PYTHONPATH")
        environ[b"PYTHONPATH"] = root.encode(errors="surrogateescape") + (b":" + former if former else b"")
    return environ
