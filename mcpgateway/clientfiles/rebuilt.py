"""Which entries of clients' files were put together again, since the ledger was lost: ``<home>/rebuilt.json``.

Such an entry is its client's own from then on, and the ledger takes it for that.  Who gives it back later is to say
what it is, which is not what its user has written.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from mcpgateway.errors import ConfigError
from mcpgateway.system import home_files

FILE = "rebuilt.json"
BYTES_LIMIT = 1_048_576
ENTRIES_LIMIT = 1000  # the eldest go
Road = Sequence[str]


def remember(home: str, path: str, entries: Mapping[tuple[str, ...], tuple[Any, str]]) -> None:
    """Put on record what was written into a file; that it cannot be is no reason not to give an entry back.

    :param path: of the client's file.
    :param entries: the values by their roads, each with where it was found.
    """
    known = _read(home)
    for road, (value, source) in entries.items():
        known[_key(path, road)] = [_digest(value), source]
    data = json.dumps(dict(list(known.items())[-ENTRIES_LIMIT:])).encode()
    with suppress(ConfigError):
        home_files.keep(os.path.join(home, FILE), data, lasting=False)


def source_of(home: str, path: str, road: Road, value: Any) -> str:
    """From where an entry was put together again; empty for one that its user has written, or has changed since."""
    said = _read(home).get(_key(path, road))
    match said:
        case [str(digest), str(source)] if digest == _digest(value):
            return source
    return ""


def _read(home: str) -> dict[str, Any]:
    try:
        found = json.loads(home_files.read_text(os.path.join(home, FILE), BYTES_LIMIT))
    except (OSError, ValueError, ConfigError):
        return {}
    return found if isinstance(found, dict) else {}


def _key(path: str, road: Road) -> str:
    return json.dumps([os.path.realpath(path), *road])


def _digest(value: Any) -> str:
    # It may hold secrets, of which nothing is to be kept here.
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()
