"""The configuration files of a node that are shared, with the versions of the cluster's documents that they follow."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping
from contextlib import suppress

import msgspec

from mcpgateway.cluster.documents import BODY_LIMIT
from mcpgateway.config.document import printable
from mcpgateway.errors import ConfigError
from mcpgateway.records import FrozenRecord
from mcpgateway.system import files, home_files
from mcpgateway.system.config_template import template
from mcpgateway.system.settings import EXTENSIONS
from mcpgateway.system.watch import FileStamp, stamp

STEM = "config"
VALUES = ".env"
RECORD = "files.json"
RECORD_LIMIT = 1_048_576
NAME_LIMIT = 200  # characters
PRIVATE = 0o600


class Followed(FrozenRecord, frozen=True):
    """The version of a document that a file has had last.

    :ivar number: the number of the document.
    :ivar digest: of its content; empty for a document that is gone.
    """

    number: int
    digest: str


class LocalFiles:
    """The shared files of one node, by the names of their documents.

    The configuration file is ``config.yaml`` or ``config.json`` by its extension, whatever its own name is; then come
    ``config.local.yaml``, the files in ``config.d``, and ``.env``, the values in the home.

    :param config_file: the path of the configuration file; it need not exist.
    """

    def __init__(self, config_file: str, home: str) -> None:
        self._stem = os.path.splitext(config_file)[0].removesuffix(".local")
        self._home = home
        self._record = os.path.join(home, "cluster", RECORD)
        self._seen: dict[str, tuple[FileStamp | None, bytes]] = {}
        self.followed: dict[str, Followed] = self._read_record()

    def path(self, name: str) -> str | None:
        """Return the path of a document's file; None for a name that is none of a shared file."""
        if name == VALUES:
            return os.path.join(self._home, VALUES)
        head, _, extension = name.rpartition(".")
        if extension not in EXTENSIONS or len(name) > NAME_LIMIT or not name.isprintable():
            return None
        if head in (STEM, f"{STEM}.local"):
            return f"{self._stem}{head.removeprefix(STEM)}.{extension}"
        folder, slash, base = name.partition("/")
        if folder != f"{STEM}.d" or not slash or "/" in base or base.startswith("."):
            return None
        return os.path.join(f"{self._stem}.d", base)

    def contents(self) -> dict[str, bytes]:
        """Return the contents of all shared files that exist and can be read.

        :raise ConfigError: one cannot be read.
        """
        found: dict[str, bytes] = {}
        for name in self._names():
            with suppress(FileNotFoundError):
                found[name] = self._content(name)
        return found

    def write(self, name: str, content: bytes | None) -> None:
        """Write a file, or remove it.

        :raise ConfigError: it cannot be written.
        """
        path = self.path(name)
        if path is None:
            raise ConfigError(f"{printable(name)}: is no name of a shared file")
        try:
            if content is None:
                with suppress(FileNotFoundError):
                    os.unlink(path)
                return
            os.makedirs(os.path.dirname(path), 0o700, exist_ok=True)
            files.write_atomic(path, content, _mode(path))
        except OSError as why:
            raise home_files.refused(path, "written", why) from why

    def keep_aside(self, name: str, content: bytes, suffix: str) -> str:
        """Keep a content beside its file; return the path.

        :raise ConfigError: it cannot be written.
        """
        path = f"{self.path(name)}.{suffix}"
        try:
            files.write_atomic(path, content, PRIVATE)
        except OSError as why:
            raise home_files.refused(path, "written", why) from why
        return path

    def follow(self, name: str, number: int, content: bytes | None) -> None:
        """Note the version that a file has from now on."""
        self.followed[name] = Followed(number, digest_of(content))
        found = {key: (each.number, each.digest) for key, each in self.followed.items()}
        with suppress(ConfigError):  # then a change of this file while the node is away counts as a collision
            home_files.make_directory(os.path.dirname(self._record))
            home_files.keep(self._record, msgspec.json.encode(found), lasting=False)

    def _names(self) -> Iterator[str]:
        for extension in EXTENSIONS:
            yield from (f"{STEM}.{extension}", f"{STEM}.local.{extension}")
        try:
            names = sorted(os.listdir(f"{self._stem}.d"))
        except OSError:
            names = []
        yield from (each for each in (f"{STEM}.d/{name}" for name in names) if self.path(each) is not None)
        yield VALUES

    def _content(self, name: str) -> bytes:
        path = self.path(name)
        assert path is not None
        now = stamp(path)
        seen = self._seen.get(name)
        if seen is not None and now is not None and seen[0] == now:
            return seen[1]
        content = files.read_bytes(path, BODY_LIMIT)
        self._seen[name] = (now, content)
        return content

    def _read_record(self) -> dict[str, Followed]:
        try:
            data = home_files.read(self._record, RECORD_LIMIT)
            found: Mapping[str, tuple[int, str]] = msgspec.json.decode(data, type=dict[str, tuple[int, str]])
        except (FileNotFoundError, ConfigError, msgspec.MsgspecError):
            return {}
        return {name: Followed(*each) for name, each in found.items()}


def digest_of(content: bytes | None) -> str:
    """Return the digest of a content; empty for a file that does not exist."""
    return "" if content is None else hashlib.sha256(content).hexdigest()


def is_template(content: bytes) -> bool:
    """Return whether a configuration file is as a new home gets it, so that nothing is lost with it."""
    return content == template()


def _mode(path: str) -> int:
    try:
        return os.stat(path).st_mode & 0o777
    except OSError:
        return PRIVATE
