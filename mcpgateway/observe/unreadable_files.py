"""The clients' files that cannot be read, found without a second reading of a file that has not changed."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from attrs import define, field

from mcpgateway.clientfiles.files import FileLocation, detect, recorded_sites, see
from mcpgateway.clientfiles.formats.client_format import LocalGateway
from mcpgateway.clientfiles.ledger import Ledger
from mcpgateway.clientfiles.reader import has_ledger
from mcpgateway.errors import ConfigError

_NO_GATEWAY = LocalGateway(0)  # whose entries are whose makes no difference to whether a file can be read


class UnreadableFile(NamedTuple):
    """A client's file that cannot be read.

    :ivar client: the title of its client.
    :ivar trouble: the reason, with the file, and the line and the column where they are known.
    """

    client: str
    path: str
    trouble: str


class _State(NamedTuple):
    """The state of a file at its last reading."""

    inode: int
    size: int
    changed_ns: int


@define(eq=False, repr=False)
class UnreadableFiles:
    """Finds the clients' files of this machine, enrolled or not, that cannot be read.

    :ivar home: the gateway's own directory.
    """

    home: str
    environ: Mapping[str, str] = field(repr=False)
    _known: dict[str, tuple[_State, str]] = field(factory=dict, init=False)

    def __call__(self) -> list[UnreadableFile]:
        """Return them, each once."""
        found: dict[str, UnreadableFile] = {}
        for site in self._sites():
            if trouble := self._trouble(site):
                found.setdefault(
                    os.path.realpath(site.path), UnreadableFile(site.dialect.title, site.path, trouble)
                )
        return list(found.values())

    def _sites(self) -> Iterator[FileLocation]:
        for client in detect(self.environ):
            yield from client.sites
        if has_ledger(self.home):
            try:
                records = Ledger(self.home).read()
            except ConfigError:
                return  # `doctor` reports it
            yield from recorded_sites(records)

    def _trouble(self, site: FileLocation) -> str:
        try:
            status = os.stat(site.path)
        except OSError:
            return ""  # it is not there, and so is nothing in it
        state = _State(status.st_ino, status.st_size, status.st_mtime_ns)
        known = self._known.get(site.path)
        if known is None or known[0] != state:
            known = self._known[site.path] = (state, see(site, _NO_GATEWAY).trouble)
        return known[1]
