"""The places of the files of the gateway and its clients."""

from __future__ import annotations

import os
from collections.abc import Mapping

HOME_VARIABLE = "MCPGATEWAY_HOME"


def user_home(environ: Mapping[str, str]) -> str:
    """Return the user's home directory, absolute."""
    return os.path.abspath(environ.get("HOME") or os.path.expanduser("~"))


def gateway_home(environ: Mapping[str, str], chosen: str | None = None) -> str:
    """Return the gateway's own directory: the chosen one, ``MCPGATEWAY_HOME``, or ``~/.mcp-gateway``."""
    home = chosen or environ.get(HOME_VARIABLE)
    if home:
        return absolute(home, environ)
    return os.path.join(user_home(environ), ".mcp-gateway")


def claude_file(environ: Mapping[str, str]) -> str:
    """Return the file in which Claude Code keeps its servers."""
    directory = environ.get("CLAUDE_CONFIG_DIR")
    where = absolute(directory, environ) if directory else user_home(environ)
    return os.path.join(where, ".claude.json")


def immorterm_classification(environ: Mapping[str, str]) -> str:
    """Return the file in which immorterm-mcp-gateway records which servers are stateful."""
    return os.path.join(user_home(environ), ".immorterm", "mcp-gateway", "classification.json")


def absolute(path: str, environ: Mapping[str, str]) -> str:
    """Return a path as an absolute one, with ``~`` standing for the user's home."""
    if path == "~" or path.startswith("~/"):
        path = user_home(environ) + path[1:]
    return os.path.abspath(path)
