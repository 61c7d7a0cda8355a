"""The clients' files of this machine, and their entries."""

from __future__ import annotations

import glob
import os
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from attrs import evolve, field, frozen

from mcpgateway.clientfiles.formats import syntax
from mcpgateway.clientfiles.formats.client_format import ClientDialect, ClientEntry, EntryKind, LocalGateway
from mcpgateway.clientfiles.formats.clients import DIALECTS
from mcpgateway.clientfiles.formats.locations import project_files, user_files
from mcpgateway.clientfiles.ledger import LedgerRecords
from mcpgateway.clientfiles.machine import CUSTOM
from mcpgateway.clientfiles.transaction import FILE_LIMIT, ClientLock, directory_lock
from mcpgateway.config.document import visible
from mcpgateway.discovery.naming import question_of
from mcpgateway.errors import ConfigError
from mcpgateway.system import files, paths

READ_ONLY = "is read-only; make it writable (chmod u+w) and try again"


@frozen
class FileLocation:
    """A file of a client.

    :ivar project: the directory of the project that it lies in, or "".
    """

    dialect: ClientDialect = field(repr=lambda dialect: dialect.name)
    path: str
    project: str = ""

    @property
    def lock(self) -> ClientLock | None:
        """The lock that the file's client takes before it writes; None where it takes none."""
        return directory_lock(self.path) if self.dialect.has_lock and not self.project else None


@frozen
class FileContents:
    """The contents of a client's file.

    :ivar text: its text, with the byte order mark if it has one.
    :ivar trouble: the reason why the file cannot be used; "" where it can.
    :ivar is_table_there: the file has the table of servers, be it empty.
    """

    site: FileLocation
    text: str = field(default="", repr=False)
    listed: tuple[ClientEntry, ...] = ()
    trouble: str = ""
    is_table_there: bool = False

    def counts(self) -> dict[str, int]:
        """Return the number of entries of each kind."""
        kinds = [each.kind for each in self.listed]
        return {each.value: kinds.count(each) for each in EntryKind}


@frozen
class FileChoice:
    """The requested files.

    :ivar clients: names of clients; none means all.
    :ivar project: the directory of a project whose own files are requested, or "".
    :ivar file: the path of one file, or "".
    :ivar around: the user's working directory, whose project's files are included where none are named, or "".
    """

    clients: tuple[str, ...] = ()
    project: str = ""
    file: str = ""
    around: str = ""

    @property
    def is_named(self) -> bool:
        """True if certain files were requested, rather than all."""
        return bool(self.clients or self.project or self.file)


def chosen(
    choice: FileChoice, environ: Mapping[str, str], records: LedgerRecords, *, with_projects: bool = False
) -> list[FileLocation]:
    """Return the requested files that exist, each once.

    :param records: the ledger's files, which are requested, too, where none are named.
    :param with_projects: the files of projects are included.
    :raise ConfigError: a client is unknown, or a named file does not exist.
    """
    for name in choice.clients:
        if name not in DIALECTS:
            meant = question_of(name, DIALECTS) or f"expected one of {', '.join(DIALECTS)}"
            raise ConfigError(f"--client {visible(name)}: is not known; {meant}")
    if choice.file:
        return [_named(choice, environ)]
    dialects = [DIALECTS[name] for name in choice.clients] if choice.clients else list(DIALECTS.values())
    if choice.project:
        found = list(_in_project(choice.project, dialects, environ))
        if not found:
            raise ConfigError(f"{visible(choice.project)}: no client has servers of its own there")
        return _each_once(found)
    sites = [each for dialect in dialects for each in _of_user(dialect, environ)]
    recorded = (each for each in recorded_sites(records) if with_projects or not each.project)
    return _each_once([*sites, *(each for each in recorded if each.dialect in dialects)])


def around(directory: str, environ: Mapping[str, str], known: Sequence[FileLocation]) -> list[FileLocation]:
    """Return the clients' files of the project that a directory lies in, other than the known ones.

    The project is the directory itself and those above it, up to the root of its repository.  The home of the user is
    none: its files are the user's.
    """
    paths_ = {os.path.realpath(each.path) for each in known}
    found: list[FileLocation] = []
    for project in _projects_of(os.path.realpath(directory), os.path.realpath(paths.user_home(environ))):
        found += _in_project(project, DIALECTS.values(), environ)
    return [each for each in _each_once(found) if os.path.realpath(each.path) not in paths_]


def project_around(directory: str, environ: Mapping[str, str]) -> str:
    """Return the project that a directory lies in: the root of its repository, else the directory itself.

    :raise ConfigError: it is the home of the user.
    """
    found = _projects_of(os.path.realpath(directory), os.path.realpath(paths.user_home(environ)))
    if not found:
        raise ConfigError(f"{visible(directory)}: is your home, or above it, and no project")
    return found[-1]


def _projects_of(directory: str, home: str) -> list[str]:
    found: list[str] = []
    while directory not in (home, "/") and not home.startswith(f"{directory}/"):
        found.append(directory)
        if os.path.exists(os.path.join(directory, ".git")):
            return found
        directory = os.path.dirname(directory)
    return found[:1]  # without a repository, a directory above may belong to anybody


def recorded_sites(records: LedgerRecords) -> Iterator[FileLocation]:
    """Iterate over the files in the ledger; a client that this release does not know counts as `CUSTOM`."""
    for real, record in records.files.items():
        dialect = DIALECTS.get(record.dialect, DIALECTS[CUSTOM])
        yield FileLocation(dialect, record.path or real, record.project)


def see(site: FileLocation, base: LocalGateway) -> FileContents:
    """Read a file; a defect is reported in the result, and not raised."""
    try:
        text = files.marked_text_of(files.read_bytes(site.path, FILE_LIMIT), site.path)
        values = syntax.read(text, site.path, site.dialect) if text.removeprefix(syntax.BOM).strip() else {}
        listed = listed_in(site, values, base)
    except FileNotFoundError:
        return FileContents(site, trouble=f"{visible(site.path)}: there is no such file")
    except ConfigError as why:
        return FileContents(site, trouble=str(why))
    return FileContents(site, text, listed, "", _has_table(values, site.dialect))


def listed_in(site: FileLocation, values: Any, base: LocalGateway) -> tuple[ClientEntry, ...]:
    """Return the entries of a file; those of a project's file belong to that project."""
    listed = site.dialect.listed(values, base, site.project)
    if not site.project:
        return listed
    return tuple(each if each.project else evolve(each, project=site.project) for each in listed)


def unwritable(path: str) -> str:
    """Return why a file cannot be changed, as far as known without trying; "" where no reason is known."""
    try:
        status = os.stat(path)
    except OSError as why:
        return f"{visible(path)}: cannot be looked at: {why.strerror}"
    if status.st_uid != os.geteuid() and os.geteuid() != 0:
        return f"{visible(path)}: belongs to another user (uid {status.st_uid}); let that user change it"
    if not status.st_mode & 0o222:
        return f"{visible(path)}: {READ_ONLY}"
    return ""


@frozen
class DetectedClient:
    """A client on this machine.

    :ivar sites: its existing files.
    :ivar expected: the path of the file that it would have, if it has none.
    """

    dialect: ClientDialect = field(repr=lambda dialect: dialect.name)
    sites: tuple[FileLocation, ...]
    expected: str = ""


def detect(environ: Mapping[str, str]) -> list[DetectedClient]:
    """Return the clients that have a file on this machine, or a directory for one."""
    found: list[DetectedClient] = []
    for dialect in DIALECTS.values():
        sites = tuple(_of_user(dialect, environ))
        places = () if sites else _user_places(dialect, environ)
        expected = next((each for each in places if _is_of_client(os.path.dirname(each), environ)), "")
        if sites or expected:
            found.append(DetectedClient(dialect, sites, expected))
    return found


def _user_places(dialect: ClientDialect, environ: Mapping[str, str]) -> Sequence[str]:
    return user_files(dialect, sys.platform, environ, paths.user_home(environ))


def _of_user(dialect: ClientDialect, environ: Mapping[str, str]) -> Iterator[FileLocation]:
    for path in _there(_user_places(dialect, environ)):
        yield FileLocation(dialect, path)


def _in_project(
    named: str, dialects: Iterable[ClientDialect], environ: Mapping[str, str]
) -> Iterator[FileLocation]:
    project = os.path.realpath(paths.absolute(named, environ))
    if os.path.basename(project) == ".mcp.json" and os.path.isfile(project):
        project = os.path.dirname(project)
    for dialect in dialects:
        for path in _there(project_files(dialect, project)):
            yield FileLocation(dialect, path, project)


def _there(patterns: Iterable[str]) -> Iterator[str]:
    for each in patterns:
        if "*" in each:
            pattern = re.sub(r"[?[]", r"[\g<0>]", each)  # these may be in the name of a directory
            yield from sorted(path for path in glob.glob(pattern) if os.path.isfile(path))
        elif os.path.lexists(each):
            yield each


def _named(choice: FileChoice, environ: Mapping[str, str]) -> FileLocation:
    path = paths.absolute(choice.file, environ)
    if not os.path.lexists(path):
        raise ConfigError(f"{visible(path)}: there is no such file")
    if choice.clients:
        dialect = DIALECTS[choice.clients[0]]
        own = _own(path, (dialect,), environ)
        return own or FileLocation(dialect, path, _by_its_name(path, (dialect,)).project)
    return _own(path, DIALECTS.values(), environ) or _by_its_name(path)


def _own(path: str, dialects: Iterable[ClientDialect], environ: Mapping[str, str]) -> FileLocation | None:
    """Return the user's own file at a path, which has the name of a project's in the home; None for another file."""
    real = os.path.realpath(path)
    known = (each for dialect in dialects for each in _of_user(dialect, environ))
    return next((each for each in known if os.path.realpath(each.path) == real), None)


def _by_its_name(path: str, dialects: Iterable[ClientDialect] = tuple(DIALECTS.values())) -> FileLocation:
    for dialect in dialects:
        for each in dialect.project:
            if "*" not in each and path.endswith(f"/{each}"):
                return FileLocation(dialect, path, os.path.realpath(path[: -len(each) - 1]))
    return FileLocation(DIALECTS[CUSTOM], path)


def _each_once(sites: Iterable[FileLocation]) -> list[FileLocation]:
    found: dict[str, FileLocation] = {}
    for each in sites:
        found.setdefault(os.path.realpath(each.path), each)
    return list(found.values())


def _is_of_client(directory: str, environ: Mapping[str, str]) -> bool:
    home = paths.user_home(environ)
    return directory not in (home, os.path.join(home, ".config")) and os.path.isdir(directory)


def _has_table(values: Any, dialect: ClientDialect) -> bool:
    return isinstance(values, dict) and any(
        isinstance(values.get(key_path[0]), dict | list) for key_path in dialect.tables
    )
