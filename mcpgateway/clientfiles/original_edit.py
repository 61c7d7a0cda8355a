"""Change an original: the entry of a server as its client's file has it without the gateway.

The text of an enrolled file without the gateway is changed, and its entries are enrolled anew in that: one change of
the file and of its record in the ledger, after which a restored file has the changed entry, byte for byte.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from attrs import evolve, field, frozen

from mcpgateway.clientfiles.apply import approve, is_approved, ledger_locked
from mcpgateway.clientfiles.enrol_edit import EnrolEdit, EntryPlan
from mcpgateway.clientfiles.enrolment import STOPPED
from mcpgateway.clientfiles.enrolment_records import EnrolledEntry, FileRecord
from mcpgateway.clientfiles.files import FileChoice, FileLocation, chosen, recorded_sites
from mcpgateway.clientfiles.formats import rewrite, syntax
from mcpgateway.clientfiles.formats.client_format import KeyPath
from mcpgateway.clientfiles.ledger import EditResult
from mcpgateway.clientfiles.machine import Machine
from mcpgateway.clientfiles.originals import original_text
from mcpgateway.clientfiles.transaction import FILE_LIMIT
from mcpgateway.config.document import Place, visible
from mcpgateway.config.edit.edits import at, same
from mcpgateway.config.load import key_path_of
from mcpgateway.errors import ConfigError
from mcpgateway.system import files


@frozen
class OriginalEntry:
    """The original entry of a server.

    :ivar name: the name under which the gateway serves it.
    :ivar site: the client's file that has it.
    :ivar text: the text of that file without enrolled entries.
    """

    name: str
    site: FileLocation
    key_path: KeyPath
    value: Mapping[str, Any] = field(repr=False)
    text: str = field(repr=False)

    @property
    def keys(self) -> frozenset[str]:
        """The keys that the client reads in an entry, and those that the entry has."""
        words = self.site.dialect.shape_of(self.key_path).words
        known = (words.command, words.args, words.env, "cwd")
        return frozenset((*self.value, *(each for each in known if each)))

    @property
    def env_key(self) -> str:
        """The key of the entry's variables."""
        return self.site.dialect.shape_of(self.key_path).words.env

    def text_with(self, value: Mapping[str, Any]) -> str:
        """Return the text of the file with another value of the entry; everything else stays.

        :raise ConfigError: the text cannot be changed without changing something else.
        """
        return rewrite.change_entry(self.text, self.site.path, self.key_path, value)


def find(machine: Machine, name: str, project: str = "", place: Place | None = None) -> OriginalEntry:
    """Return the original entry of a server.

    :param project: the directory of its project, where the name is the one in the client's file; or "".
    :param place: the place of the server in a file that is read and not enrolled.
    :raise ConfigError: no client's file has it, or the file cannot be read.
    """
    found = next(_kept(machine, name, project), None)
    if found is not None:
        return found
    if place is None:
        raise ConfigError(f"no client's file has an original of {visible(name)}")
    site = chosen(FileChoice(file=place.document.file), machine.environ, machine.records)[0]
    return _entry(name, site, key_path_of(place), _text(site))


def others(machine: Machine, found: OriginalEntry) -> Iterator[OriginalEntry]:
    """Iterate over the originals of the same server in other files of the user's clients.

    :raise ConfigError: a file cannot be read.
    """
    yield from (each for each in _kept(machine, found.name, "") if each.site.path != found.site.path)


def _kept(machine: Machine, name: str, project: str) -> Iterator[OriginalEntry]:
    """Iterate over the originals of a server that the ledger keeps, one for each file."""
    for site in recorded_sites(machine.records):
        record = machine.record_of(site.path)
        key_path = _key_path(record, site, name, project) if record is not None else None
        if record is not None and key_path is not None:
            yield _entry(record.entries[key_path].name, site, key_path, original_text(record, _text(site)))


def change(machine: Machine, found: OriginalEntry, value: Mapping[str, Any]) -> None:
    """Write another value of an original entry.

    :raise ConfigError: the file cannot be changed, or the entry has changed since it was read.
    """
    site = found.site
    with ledger_locked(machine):
        was_approved = is_approved(machine, site)
        try:
            machine.ledger.change(site.path, _ValueEdit(machine, found, value), lock=site.lock)
        except FileNotFoundError:
            raise ConfigError(f"{visible(site.path)}: there is no such file") from None
        machine.look_again()
        if was_approved:
            approve(machine, site)


@frozen
class _ValueEdit:
    """The edit of a client's file that gives an original entry another value, and enrols its entries anew."""

    machine: Machine
    found: OriginalEntry
    value: Mapping[str, Any] = field(repr=False)

    def __call__(self, text: str, record: FileRecord | None) -> EditResult:
        site, key_path = self.found.site, self.found.key_path
        original = original_text(record, text) if record is not None else text
        if not same(at(syntax.read(original, site.path, site.dialect), key_path), self.found.value):
            raise ConfigError(f"{visible(site.path)}: {key_path[-1]} was changed meanwhile, and is as it was")
        made = rewrite.change_entry(original, site.path, key_path, self.value)
        if record is None:
            return EditResult(made, None)
        if record.suspended:
            return EditResult(made, self._renewed(record))
        values = syntax.read(made, site.path, site.dialect)
        plans = [_plan(each, at(values, path)) for path, each in record.entries.items() if each.name]
        blank = evolve(record, entries={}, suspended=record.suspended or STOPPED)
        done = EnrolEdit(self.machine, site, plans, record.mode)(made, blank)
        return EditResult(done.text, done.record, made)

    def _renewed(self, record: FileRecord) -> FileRecord:
        key_path = self.found.key_path
        if key_path not in record.entries:
            return record
        enrolled = record.entries[key_path]
        replaced = evolve(enrolled.replaced, former=dict(self.value))
        return evolve(record, entries={**record.entries, key_path: evolve(enrolled, replaced=replaced)})


def _plan(enrolled: EnrolledEntry, value: Any) -> EntryPlan:
    """Return the plan that enrols an entry as it was enrolled; a new one without an original is written as it was."""
    replaced = enrolled.replaced
    ours = replaced.ours if replaced.former is None else None
    return EntryPlan(replaced.key_path, replaced.title, value, enrolled.name, ours)


def _key_path(record: FileRecord, site: FileLocation, name: str, project: str) -> KeyPath | None:
    for key_path, each in record.entries.items():
        if each.replaced.former is None:
            continue
        its = record.project or site.dialect.project_of(key_path)
        if (its == project and name in (each.name, each.replaced.title)) if project else each.name == name:
            return key_path
    return None


def _entry(name: str, site: FileLocation, key_path: KeyPath, text: str) -> OriginalEntry:
    value = at(syntax.read(text, site.path, site.dialect), key_path)
    if not isinstance(value, Mapping):
        raise ConfigError(f"{visible(site.path)}: {visible(key_path[-1])} is not there any more")
    return OriginalEntry(name, site, key_path, value, text)


def _text(site: FileLocation) -> str:
    try:
        return files.marked_text_of(files.read_bytes(site.path, FILE_LIMIT), site.path)
    except FileNotFoundError:
        raise ConfigError(f"{visible(site.path)}: there is no such file") from None
