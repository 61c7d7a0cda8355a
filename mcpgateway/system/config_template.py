"""The configuration file that a user finds: every key explained, and all of them comments."""

from __future__ import annotations

import os

from mcpgateway.errors import ConfigError
from mcpgateway.system import files

NAME = "template.yaml"
OVERLAY = ".local"


def template() -> bytes:
    """The text of the file."""
    from mcpgateway import config

    with open(os.path.join(os.path.dirname(os.path.abspath(config.__file__)), NAME), "rb") as stream:
        return stream.read()


def write_first(path: str) -> bool:
    """Write the file if there is none; whether it was written.

    A place that cannot be written to is left alone, and nothing is laid beside a file that is another's: an overlay is
    written when there is something to say in it.
    """
    if os.path.lexists(path) or os.path.splitext(path)[0].endswith(OVERLAY):
        return False
    try:
        files.write_atomic(path, template())
    except (OSError, ConfigError):
        return False
    return True
