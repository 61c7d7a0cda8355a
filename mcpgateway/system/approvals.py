"""The user's approvals and refusals of repositories' files, each by its digest, in one file of the home."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, Literal

from attrs import evolve, field, frozen

from mcpgateway.config.client import read_project
from mcpgateway.config.entry import Entry
from mcpgateway.config.names import Candidate, assign, slug
from mcpgateway.config.problems import Problems
from mcpgateway.config.read import parse
from mcpgateway.errors import ConfigError
from mcpgateway.system import files, home_files

FILE = "approvals.json"
REPOSITORY_FILE = ".mcp.json"
REPOSITORY_LIMIT = 2 * 1_048_576  # clients read no larger ones
FILE_LIMIT = 1_048_576
APPROVALS_LIMIT = 1000
DIGEST_CHARACTERS = 64  # SHA-256 in hexadecimal digits

Answer = Literal["approvals", "refusals"]
Restored = Callable[[str, bytes], tuple[bytes, frozenset[str]]]


@frozen
class Repository:
    """A repository's file, as it is now.

    :ivar digest: the SHA-256 digest of its bytes.
    :ivar entries: the servers that it defines.
    """

    path: str
    digest: str
    entries: tuple[Entry, ...] = field(repr=False)

    def named(self, root: str, taken: Iterable[str]) -> Mapping[str, Entry]:
        """Return the entries by the names under which they are served in a workspace.

        :param taken: the names of the servers of all clients, which keep them.
        """
        others = [Candidate(name, 0, f"everybody's {name}") for name in taken]
        own = [
            Candidate(each.title, 1, repr((each.argv, sorted(each.env.items()), each.cwd)), root, keeps=False)
            for each in self.entries
        ]
        names = assign([*others, *own])[len(others) :]
        return dict(zip(names, self.entries, strict=True))


def file_of(home: str) -> str:
    """Return the path of the file in which a gateway of this home keeps the approvals."""
    return os.path.join(home, FILE)


def target(path: str) -> str:
    """Return the file that a path on a command line stands for: for a directory, the repository's file in it.

    A file that is itself a link keeps its place in the repository, since servers are looked for there.
    """
    if os.path.isdir(path):
        return os.path.join(os.path.realpath(path), REPOSITORY_FILE)
    directory, name = os.path.split(os.path.abspath(path))
    return os.path.join(os.path.realpath(directory), name)


def digest_of(path: str) -> str:
    """Return the digest of a repository's file, to approve its present content.

    :raise ConfigError: the file cannot be read.
    :raise FileNotFoundError: the file does not exist.
    """
    return digest_of_bytes(files.read_bytes(path, REPOSITORY_LIMIT))


def digest_of_bytes(data: bytes) -> str:
    """Return the digest of a file's content."""
    return hashlib.sha256(data).hexdigest()


def as_it_is(path: str, data: bytes) -> tuple[bytes, frozenset[str]]:
    """Return the bytes of a file of which no entry is enrolled."""
    return data, frozenset()


def read_repository(path: str, restored: Restored = as_it_is) -> Repository:
    """Read the servers of a repository's file, with the digest of the same bytes.

    :param restored: returns the file's bytes as if it were restored, and the titles of enrolled entries, which are
        left out.

    :raise ConfigError: the file cannot be read.
    :raise FileNotFoundError: the file does not exist.
    """
    data = files.read_bytes(path, REPOSITORY_LIMIT)
    data, served = restored(path, data)
    document = parse(files.text_of(data, path), path, strict=False)
    found = read_project(document, os.path.dirname(path), 0, Problems())
    # The place of an entry holds the whole file.
    entries = tuple(
        evolve(each, place=None) for each in found.entries if each.enabled and each.title not in served
    )
    return Repository(path, digest_of_bytes(data), entries)


def read(home: str) -> dict[str, str]:
    """Return the approved digests, by the real paths of the files.

    :raise ConfigError: the file cannot be used.
    """
    return read_all(home)["approvals"]


def read_all(home: str) -> dict[Answer, dict[str, str]]:
    """Return the approved and the refused digests, by the real paths of the files.

    :raise ConfigError: the file cannot be used.
    """
    return {
        answer: {path: each["sha256"] for path, each in files.items()}
        for answer, files in _read(file_of(home)).items()
    }


def approved_entries(home: str, look: Callable[[str], str] = str) -> dict[str, Entry]:
    """Return the entries of all approved files as they are now, by the names of their servers.

    :param look: called with the path of every file that is read.
    """
    found: dict[str, Entry] = {}
    with suppress(ConfigError):
        look(file_of(home))
        for path, digest in read(home).items():
            with suppress(ConfigError, OSError):
                repository = read_repository(look(path))
                if repository.digest == digest:
                    found |= {slug(each.title): each for each in repository.entries}
    return found


def approve(home: str, path: str, digest: str, now: float) -> None:
    """Approve a file as long as its bytes have this digest.

    :raise ConfigError: the digest is malformed, or the file of approvals cannot be used.
    """
    _answer(home, path, digest, now, "approvals")


def refuse(home: str, path: str, digest: str, now: float) -> None:
    """Refuse a file, which waits for no approval as long as its bytes have this digest.

    :raise ConfigError: the digest is malformed, or the file of approvals cannot be used.
    """
    _answer(home, path, digest, now, "refusals")


def _answer(home: str, path: str, digest: str, now: float, answer: Answer) -> None:
    if len(digest) != DIGEST_CHARACTERS or not all(each in "0123456789abcdef" for each in digest):
        raise ConfigError(f"{path}: found another digest; expected {DIGEST_CHARACTERS} hexadecimal digits")
    at = datetime.fromtimestamp(now, UTC).isoformat(timespec="seconds")
    with files.locked(home):
        found = _read(file_of(home))
        for each in found.values():
            each.pop(path, None)
        answered = found[answer]
        answered[path] = {"sha256": digest, "at": at}
        while len(answered) > APPROVALS_LIMIT:
            del answered[next(iter(answered))]
        _write(home, found)


def revoke(home: str, path: str) -> bool:
    """Revoke the approval or the refusal of a file; false if it had none.

    :raise ConfigError: the file of approvals cannot be used.
    """
    with files.locked(home):
        found = _read(file_of(home))
        if not any(path in each for each in found.values()):
            return False
        for each in found.values():
            each.pop(path, None)
        _write(home, found)
    return True


def _read(file: str) -> dict[Answer, dict[str, dict[str, Any]]]:
    try:
        found = json.loads(home_files.read_text(file, FILE_LIMIT))
        return {
            "approvals": {path: _checked(each) for path, each in found["approvals"].items()},
            "refusals": {path: _checked(each) for path, each in found.get("refusals", {}).items()},
        }
    except FileNotFoundError:
        return {"approvals": {}, "refusals": {}}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as why:
        raise ConfigError(f"{file}: is not as the gateway writes it; remove it and approve again") from why


def _checked(approval: Mapping[str, Any]) -> dict[str, Any]:
    if not isinstance(approval["sha256"], str):
        raise TypeError("a digest is text")
    return dict(approval)


def _write(home: str, answers: Mapping[Answer, Mapping[str, Any]]) -> None:
    home_files.keep(file_of(home), json.dumps(answers, indent=1).encode("ascii"))
