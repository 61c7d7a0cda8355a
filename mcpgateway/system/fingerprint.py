"""Fingerprints of the servers in a file that its client writes all the time, so that other changes cause no reload.

Claude Code keeps its servers beside its history, and writes the file with every prompt.  Comparing fingerprints takes a
third of the time of reading the file as a configuration, and leaves no garbage.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable

import msgspec
from msgspec import Raw

from mcpgateway.errors import ConfigError
from mcpgateway.system import files

WORDS = ("mcp", "server")
PROJECTS = "projects"
FILE_LIMIT = 20 * 1_048_576


class Fingerprints:
    """The last fingerprints of files that mostly hold other things than servers.

    :param paths: those files.
    """

    def __init__(self, paths: Iterable[str], read: Callable[[str, int], str] = files.read_text) -> None:
        self._seen: dict[str, bytes | None] = dict.fromkeys(paths)
        self._read = read

    def is_other(self, changed: Iterable[str]) -> bool:
        """True if the servers may differ in one of the changed files."""
        found = [self._is_other(each) for each in changed]
        return any(found)

    def _is_other(self, path: str) -> bool:
        if path not in self._seen:
            return True
        former, self._seen[path] = self._seen[path], self._essence(path)
        return self._seen[path] is None or self._seen[path] != former

    def _essence(self, path: str) -> bytes | None:
        try:
            return essence(self._read(path, FILE_LIMIT))
        except (ConfigError, OSError):
            return None


def essence(text: str) -> bytes | None:
    """Return a digest of the parts of a client's file that may concern servers; None where it has another structure."""
    try:
        top = msgspec.json.decode(text, type=dict[str, Raw])
        projects = msgspec.json.decode(top.pop(PROJECTS, Raw(b"{}")), type=dict[str, dict[str, Raw]])
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return None
    digest = hashlib.sha256()
    for name, members in (("", top), *projects.items()):
        for key, value in members.items():
            if any(word in key.lower() for word in WORDS):
                digest.update(repr((name, key)).encode(errors="surrogatepass") + bytes(value))
    return digest.digest()
