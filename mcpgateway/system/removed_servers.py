"""The entries of servers that were removed from the configuration.

They are kept for a while, since an entry may hold the only copy of a secret.
"""

from __future__ import annotations

import json
import os
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from mcpgateway.errors import ConfigError
from mcpgateway.system import home_files

DIRECTORY = "removed"
KEPT = 50  # files; the oldest are deleted


def keep(home: str, name: str, entry: Any) -> str:
    """Write an entry to a file of its own, as a configuration that defines it, and return the path.

    :param name: the server's name, of which other characters than letters, digits, - and _ are replaced in the file's
        name.
    :raise ConfigError: the file cannot be written.
    """
    directory = os.path.join(home, DIRECTORY)
    fit = "".join(each if each.isalnum() or each in "-_" else "-" for each in name)[:64]
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
    path = os.path.join(directory, f"{stamp}-{fit}.json")
    text = json.dumps({"mcpServers": {name: entry}}, indent=2, ensure_ascii=False, default=str) + "\n"
    try:
        home_files.make_directory(directory)
        home_files.keep(path, text.encode("utf-8", "surrogatepass"))
    except ConfigError as why:
        raise ConfigError(f"nothing was removed: {why}", why.advice) from why
    for each in home_files.names(directory)[:-KEPT]:
        with suppress(OSError):
            os.unlink(os.path.join(directory, each))
    return path
