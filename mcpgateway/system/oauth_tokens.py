"""The tokens that authorization servers have issued to the gateway: one private file for each key."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator
from typing import Any

from twisted.internet.defer import Deferred, succeed
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
        self.write_named(name_of(key), value)

    def erase(self, key: str) -> None:
        """Erase the tokens under a key."""
        self.erase_named(name_of(key))

    def turn(self, key: str) -> Deferred[Callable[[], object]]:
        """Take the turn to renew a grant, which no other gateway has."""
        return succeed(_nothing)

    # By the names of the files

    def named(self) -> dict[str, dict[str, Any]]:
        """Return all readable tokens, by the names that `name_of` gives."""
        names = [each for each in home_files.names(self._folder) if each.endswith(SUFFIX)]
        return {each.removesuffix(SUFFIX): self._read(os.path.join(self._folder, each)) for each in names}

    def write_named(self, name: str, value: dict[str, Any]) -> None:
        """Save tokens as `write` does."""
        try:
            home_files.make_directory(self._folder)
            home_files.keep(self._at(name), json.dumps(value, indent=1).encode())
        except ConfigError as why:
            self.log.warn("a grant cannot be kept: {why}", event="grant.not_kept", why=why.message)

    def erase_named(self, name: str) -> None:
        """Erase tokens as `erase` does."""
        try:
            home_files.remove(self._at(name))
        except OSError as why:
            self.log.warn("a grant cannot be erased: {why}", event="grant.not_erased", why=why.strerror)

    def _path(self, key: str) -> str:
        return self._at(name_of(key))

    def _at(self, name: str) -> str:
        return os.path.join(self._folder, f"{name}{SUFFIX}")


def name_of(key: str) -> str:
    """Return the name of the file of a key, without its extension."""
    return hashlib.sha256(key.encode()).hexdigest()[:32]


def _nothing() -> None:
    """End the turn of a gateway that is alone."""
