"""Programs of servers that this shell finds on its PATH, while the gateway has kept an older one."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from typing import Any

from mcpgateway.cli.client import GatewayClient, NoGateway
from mcpgateway.cli.console import shortened
from mcpgateway.cli.context import Globals
from mcpgateway.hints import cli

LIMIT_S = 5.0
RESTART = cli("restart")  # the gateway takes the PATH of the shell that runs it


def remedy_of(globals_: Globals, told: Mapping[str, Any]) -> str:
    """Return the remedy for a program that is found here only, without its command, which is `RESTART`; empty for none.

    :param told: what the gateway tells of the server, as ``mcpgateway why`` has it.
    """
    launch = told.get("launch")
    if globals_.url or not isinstance(launch, dict) or "program" not in launch or launch["program"]:
        return ""
    program = next(iter(launch.get("command") or ()), "")
    found = shutil.which(program) if program and "/" not in program else None
    if found is None or os.path.dirname(found) in str(launch.get("path")).split(os.pathsep):
        return ""
    where = shortened(os.path.dirname(found))
    return (
        f"this shell finds {program} in {where}, and the gateway, with the PATH of an earlier start, does not"
    )


def sentence(globals_: Globals, name: str) -> str:
    """Return the remedy for a server whose program is found here only; empty for none, and without a gateway."""
    remedy = _remedy_for(globals_, name)
    return f"{remedy[:1].upper()}{remedy[1:]}: {RESTART}" if remedy else ""


def _remedy_for(globals_: Globals, name: str) -> str:
    if globals_.url:
        return ""
    try:
        reply = GatewayClient(globals_).ask(f"/api/v1/servers/{name}/why", limit_s=LIMIT_S)
    except NoGateway:
        return ""
    return remedy_of(globals_, reply.value) if reply.status == 200 and isinstance(reply.value, dict) else ""
