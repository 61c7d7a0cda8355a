"""The tokens that authorization servers have issued to the gateway: one private file for each key."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from typing import Any

from twisted.logger import Logger

from mcpgateway.errors import ConfigError
from mcpgateway.system import home_files

FILE_LIMIT = 1_048_576
SUFFIX = ".json"


class OAuthTokenFiles:
    """Files of mode 0600 in ``<home>/grants``."""

    log = Logger()

    def __init__(self, home: str) -> None:
        self._folder = os.path.join(home, "grants")

    def read(self, key: str) -> dict[str, Any]:
        """Return the tokens under a key; a file that cannot be read counts as none."""
        return self._read(self._path(key))

    def every(self) -> Iterator[dict[str, Any]]:
        """Iterate over all readable files of tokens."""
        try:
            names = sorted(each for each in os.listdir(self._folder) if each.endswith(SUFFIX))
        except OSError:
            return
        for name in names:
            yield self._read(os.path.join(self._folder, name))

    def _read(self, path: str) -> dict[str, Any]:
        try:
            found = json.loads(home_files.read_text(path, FILE_LIMIT))
        except FileNotFoundError:
            return {}
        except (ConfigError, ValueError, RecursionError):
            self.log.warn("the file of a grant cannot be read, and is left out", event="grant.unreadable")
            return {}
        return found if isinstance(found, dict) else {}

    def write(self, key: str, value: dict[str, Any]) -> None:
        """Save tokens; where that fails they are lost with the end of the gateway."""
        try:
            home_files.make_directory(self._folder)
            home_files.keep(self._path(key), json.dumps(value, indent=1).encode())
        except ConfigError as why:
            self.log.warn("a grant cannot be kept: {why}", event="grant.not_kept", why=why.message)

    def erase(self, key: str) -> None:
        """Erase the tokens under a key."""
        try:
            home_files.remove(self._path(key))
        except OSError as why:
            self.log.warn("a grant cannot be erased: {why}", event="grant.not_erased", why=why.strerror)

    def _path(self, key: str) -> str:
        return os.path.join(self._folder, f"{hashlib.sha256(key.encode()).hexdigest()[:32]}{SUFFIX}")
