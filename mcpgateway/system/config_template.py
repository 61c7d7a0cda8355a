"""The configuration file that a new home gets: every key explained, and all of them comments."""

from __future__ import annotations

import os

from mcpgateway.errors import ConfigError
from mcpgateway.system import files

NAME = "template.yaml"
OVERLAY = ".local"


def template() -> bytes:
    """Return the content of the file."""
    from mcpgateway import config

    with open(os.path.join(os.path.dirname(os.path.abspath(config.__file__)), NAME), "rb") as stream:
        return stream.read()


def write_first(path: str) -> bool:
    """Write the file if there is none; true if it was written.

    A directory that cannot be written to is left alone.  No template is written for an overlay, which is made with its
    first setting.
    """
    if os.path.lexists(path) or os.path.splitext(path)[0].endswith(OVERLAY):
        return False
    try:
        files.write_atomic(path, template())
    except (OSError, ConfigError):
        return False
    return True
