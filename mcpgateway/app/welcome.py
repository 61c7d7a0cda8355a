"""The welcome of a gateway that a person runs in the foreground, such as by ``make run``."""

from __future__ import annotations

import os
import shutil
import signal
import sys
from typing import TYPE_CHECKING, TextIO

from mcpgateway.hints import PROGRAM, cli

if TYPE_CHECKING:
    from mcpgateway.app.daemon import GatewayService


def greet(gateway: GatewayService, out: TextIO) -> None:
    """Print the addresses of a gateway that has begun, and the next steps; Ctrl-C ends it as SIGTERM does.

    Twisted's runners end by SIGINT once more, which programs such as make report as a failure.
    """
    signal.signal(signal.SIGINT, signal.getsignal(signal.SIGTERM))
    base = f"http://localhost:{gateway.listeners.http_port}"
    names = [each.name for each in gateway.settings.servers]
    width = max(map(len, names), default=0)
    count = "1 server" if len(names) == 1 else f"{len(names)} servers"
    lines = [f"The gateway serves {count} at {base}"]
    lines += [f"  {name:<{width}}  {base}/{name}/mcp" for name in names]
    lines += ["", "In another terminal:"]
    steps = {
        cli("status"): "shows what runs",
        cli("clients apply"): "lets your clients use the servers",
        cli("ui"): "opens the dashboard",
    }
    width = len(_directory()) + max(map(len, steps))
    lines += [f"  {_directory() + command:<{width}}  {what}" for command, what in steps.items()]
    lines += ["", "Ctrl-C ends the gateway. Warnings and errors follow here."]
    out.write("\n".join(lines) + "\n")
    out.flush()


def _directory() -> str:
    """Return the directory of the program with a slash, as a shell needs it: empty where it is on the path."""
    own = os.path.join(os.path.dirname(os.path.abspath(sys.argv[0])), PROGRAM)
    if shutil.which(PROGRAM) == own or not os.path.exists(own):
        return ""
    return os.path.join(os.path.relpath(os.path.dirname(own)), "")
