"""The vectors of texts on the disk, so that each is computed once."""

from __future__ import annotations

import hashlib
from contextlib import suppress
from typing import Any

import numpy as np

from mcpgateway.errors import ConfigError
from mcpgateway.system import home_files
from mcpgateway.system.semantic.model import SHA256, SIZE

MOST = 8192  # vectors in the file, 3.2 MB
_RECORD = np.dtype([("digest", "S16"), ("vector", "i1", (SIZE,))])


class VectorFile:
    """The vectors by text, those used last at the end; a file that cannot be read is empty.

    :param path: the file; its directory exists.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._vectors: dict[bytes, Any] = {}
        self._is_changed = False
        with suppress(FileNotFoundError, ConfigError):
            data = home_files.read(path, MOST * _RECORD.itemsize)
            whole = len(data) - len(data) % _RECORD.itemsize
            for record in np.frombuffer(data[:whole], _RECORD):
                self._vectors[bytes(record["digest"]).ljust(16, b"\0")] = record["vector"]

    def find(self, text: str) -> Any | None:
        """Return the vector of a text, of length 1; None if it is not known."""
        digest = _digest(text)
        if (packed := self._vectors.pop(digest, None)) is None:
            return None
        self._vectors[digest] = packed
        vector = packed.astype("f4")
        return vector / np.linalg.norm(vector)

    def add(self, text: str, vector: Any) -> None:
        """Keep the vector of a text until `save`."""
        self._vectors[_digest(text)] = np.round(vector * (127 / np.abs(vector).max())).astype("i1")
        self._is_changed = True

    def save(self) -> None:
        """Write the file, if it has changed.

        :raise ConfigError: it cannot be written.
        """
        if self._is_changed:
            kept = list(self._vectors.items())[-MOST:]
            home_files.keep(self._path, np.array(kept, _RECORD).tobytes(), lasting=False)
            self._is_changed = False


def _digest(text: str) -> bytes:
    return hashlib.blake2b(text.encode(errors="replace"), digest_size=16, key=SHA256.encode()).digest()
