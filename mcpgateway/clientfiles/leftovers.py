"""The files that a change makes beside a user's file, and what becomes of them when it is killed.

# Note [What is left over]
``.NAME.mcpgateway-PID-DIGEST.part`` is being written and of no use to anybody.  Once whole it is called ``….new``, and
its name says the digest of our version.  When its digest is another, it holds what was displaced.
"""

from __future__ import annotations

import os
from contextlib import suppress

from attrs import frozen

from mcpgateway.clientfiles.backups import Kept, digest_of, read_file
from mcpgateway.clientfiles.disk import Disk

PART = "part"
WHOLE = "new"
NAME_CHARACTERS = 100  # of the file's name; a name has at most 255 bytes
MARK_CHARACTERS = 16


def part_name(path: str, data: bytes) -> str:
    """The file to write a new version of a file to."""
    return f"{_prefix(path)}{os.getpid()}-{digest_of(data)[:MARK_CHARACTERS]}.{PART}"


def whole_name(part: str) -> str:
    """What that file is called once it is whole."""
    return part.removesuffix(PART) + WHOLE


@frozen
class Leftover:
    """What a killed run has left beside a file.

    :ivar mark: the beginning of the digest of the version that was to replace the file.
    :ivar is_whole: false of a version that was still being written.
    """

    path: str
    mark: str
    is_whole: bool


def leftovers(disk: Disk, path: str) -> list[Leftover]:
    """What killed runs have left beside a file."""
    prefix = os.path.basename(_prefix(path))
    try:
        names = disk.names(os.path.dirname(path))
    except OSError:
        return []
    found = []
    for name in names:
        pid, _, rest = name.removeprefix(prefix).partition("-")
        mark, _, kind = rest.partition(".")
        if not name.startswith(prefix) or not pid.isdecimal() or kind not in {PART, WHOLE}:
            continue
        # This program has the lock, so what bears its own number is from an earlier one.
        if int(pid) == os.getpid() or not disk.is_alive(int(pid)):
            found.append(Leftover(os.path.join(os.path.dirname(path), name), mark, kind == WHOLE))
    return found


def sweep(kept: Kept, path: str) -> None:
    """Remove what killed runs have left beside a file, and keep what may be somebody's edit."""
    for each in leftovers(kept.disk, path):
        with suppress(OSError):
            put_away(kept, each.path)


def put_away(kept: Kept, leftover: str) -> list[str]:
    """Remove a file that was to be exchanged; the digest of what it held, where that had to be kept.

    :raise OSError: it cannot be kept, and is still there.
    """
    digests = []
    mark, _, kind = leftover.rpartition("-")[2].partition(".")
    if kind == WHOLE:
        data = read_file(kept.disk, leftover)
        if not digest_of(data).startswith(mark):
            digests.append(kept.put(data))
    kept.disk.unlink(leftover)
    return digests


def _prefix(path: str) -> str:
    directory, name = os.path.split(path)
    return os.path.join(directory, f".{name[:NAME_CHARACTERS]}.mcpgateway-")
