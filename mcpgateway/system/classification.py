"""Write ``classification.json`` in the home: how servers are used whose own entries cannot be edited."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any

from mcpgateway.errors import ConfigError
from mcpgateway.system import files

NAME = "classification.json"
LIMIT = 1_048_576


def classify(home: str, server: str, changes: Mapping[str, Any]) -> str:
    """Set members of a server's classification, or remove those that are None, and return the path of the file.

    :raise ConfigError: the file holds no such mapping, or cannot be read or written.
    """
    path = os.path.join(home, NAME)
    held = _read(path)
    entry = {key: value for key, value in {**held.get(server, {}), **changes}.items() if value is not None}
    whole = {**held, server: entry} if entry else {key: value for key, value in held.items() if key != server}
    try:
        files.write_atomic(path, (json.dumps(whole, indent=2, ensure_ascii=False) + "\n").encode())
    except OSError as why:
        raise ConfigError(f"{path}: cannot be written: {why.strerror}") from why
    return path


def _read(path: str) -> dict[str, Any]:
    try:
        found = json.loads(files.read_text(path, LIMIT))
    except FileNotFoundError:
        return {}
    except ValueError as why:
        raise ConfigError(f"{path}: is no JSON ({why})", "put it right, or take it away") from None
    if not (isinstance(found, dict) and all(isinstance(each, dict) for each in found.values())):
        raise ConfigError(
            f"{path}: holds something else than servers by their names", "put it right, or take it away"
        )
    return found
