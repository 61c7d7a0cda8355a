"""The servers of a client's file, as entries of the gateway's own configuration."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from attrs import define

from mcpgateway.clientfiles.enrolled_text import SWITCHES
from mcpgateway.clientfiles.formats.client_format import (
    REACH,
    ClientDialect,
    ClientEntry,
    EntryKind,
    LocalGateway,
)
from mcpgateway.clientfiles.formats.remote import FROM_VARIABLE, FROM_VARIABLES, HEADERS, NESTED, remote_of
from mcpgateway.config.document import Document, Place, dotted
from mcpgateway.config.edit.edits import Put, changed
from mcpgateway.config.entry import Entry, Origin, Scope, read_server
from mcpgateway.config.environment import FULL
from mcpgateway.config.ours import original_of
from mcpgateway.config.problems import Problems, Where
from mcpgateway.errors import ConfigError

USES_GATEWAY = "uses the gateway already"


@define
class ClientServersReader:
    """Reads the servers of one file.

    :ivar base: the gateway's own URLs.
    :ivar project: the directory of the project that the file lies in, or "".
    :ivar is_enrolled: the file is enrolled, so the gateway serves the originals of its entries.
    """

    path: str
    dialect: ClientDialect
    base: LocalGateway
    project: str = ""
    is_enrolled: bool = False

    def entries(self, value: Any, problems: Problems) -> Iterator[Entry]:
        """Iterate over the usable entries of a file; the others are added to the problems.

        :param value: the value of the file; see `mcpgateway.clientfiles.formats.syntax.read`.
        """
        off = [
            each for each in self.dialect.listed(value, self.base, self.project) if each.kind is EntryKind.OFF
        ]
        for each in off:
            on = {key: setting for key, setting in each.value.items() if key not in SWITCHES}
            value = changed(value, Put(each.key_path, on), self.path)
        for each in self.dialect.listed(value, self.base, self.project):
            own = Problems()
            try:
                members = self._definition(each)
            except ConfigError as why:
                problems.warn(self._where(each), str(why))
                continue
            if each.key_path in {one.key_path for one in off}:
                members["enabled"] = False
            place = Place(Document(self.path, None, _no_line), each.key_path, members)
            entry = read_server(each.title, place, self._origin(each), own)
            problems.soften(own, "")
            if entry is not None:
                yield entry

    def _definition(self, listed: ClientEntry) -> dict[str, Any]:
        """Return an entry in the keys of the gateway's configuration.

        :raise ConfigError: the gateway could not serve the entry.
        """
        match listed.kind:
            case EntryKind.PROGRAM if listed.program is not None:
                program = listed.program
            case EntryKind.ENROLLED if not self.is_enrolled and (argv := self._behind(listed)):
                program = self.dialect.behind(listed, argv, listed.value.get("env"))
            case EntryKind.ENROLLED:
                raise ConfigError(USES_GATEWAY)
            case EntryKind.REMOTE:
                return {**self._rest(listed), **remote_of(self.dialect, listed, self.project)}
            case _:
                raise ConfigError(listed.why)
        found: dict[str, Any] = {**self._rest(listed), "command": program.command, "args": list(program.args)}
        found |= {"env": dict(program.env)} if program.env else {}
        return found | ({"cwd": program.cwd} if program.cwd else {})

    def _behind(self, listed: ClientEntry) -> tuple[str, ...]:
        # A copied relay with its original behind it: the gateway can serve the original.
        target = self.dialect.target_of(listed.key_path, listed.value)
        return (original_of(target) or ()) if target and "://" not in target[0] else ()

    def _rest(self, listed: ClientEntry) -> dict[str, Any]:
        gone = {*REACH, *HEADERS, NESTED, FROM_VARIABLES, FROM_VARIABLE}
        return {key: each for key, each in listed.value.items() if key not in gone}

    def _origin(self, listed: ClientEntry) -> Origin:
        project = listed.project
        directory = project or self.project or self.path.rpartition("/")[0] or "/"
        scope = Scope.PROJECT if project else Scope.USER
        return Origin(scope, self.path, directory, project=project, env_policy=FULL)

    def _where(self, listed: ClientEntry) -> Where:
        return Where(self.path, 0, dotted(listed.key_path))


def _no_line(_path: object) -> int:
    return 0
