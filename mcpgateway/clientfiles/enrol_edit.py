"""The edit that enrols the entries of one client's file, in any mode, also those that were enrolled in another one.

An edit is worked out anew when another program has written the file meanwhile, so it decides by the text of that
moment.
The first original of an entry stays on record, however often the mode is changed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from itertools import chain, count
from typing import Any

from attrs import define, evolve, field, frozen

from mcpgateway.clientfiles.enrolment_records import EnrolledEntry, FileRecord
from mcpgateway.clientfiles.files import FileLocation, listed_in
from mcpgateway.clientfiles.formats import rewrite, syntax
from mcpgateway.clientfiles.formats.client_format import ClientEntry, EntryKind, KeyPath
from mcpgateway.clientfiles.formats.remote import is_remote, without_credentials
from mcpgateway.clientfiles.formats.rewrite import ReplacedEntry
from mcpgateway.clientfiles.ledger import EditResult
from mcpgateway.clientfiles.machine import FAIL_OPEN, HTTP, SINGLE, Machine
from mcpgateway.config.edit import edits
from mcpgateway.config.edit.edits import MISSING, same
from mcpgateway.errors import ConfigError

ONE = "mcpgateway"
BEARER = "bearer-required"


@frozen
class EntryPlan:
    """An entry that is to use the gateway.

    :ivar value: the present value for which the plan holds; `MISSING` for a new entry.
    :ivar name: the name under which the server is served.
    :ivar ours: the new value; None where it is worked out from the present one.
    """

    key_path: KeyPath
    title: str
    value: Any = field(repr=False)
    name: str
    ours: Any = field(default=None, repr=False)


@frozen
class ChangedEntry:
    """The change of one entry of a client's file.

    :ivar name: the server's name in the gateway.
    :ivar project: the directory of the project that the entry is for, where its place in the file names one.
    :ivar is_renewed: the entry has used the gateway before, in another way.
    :ivar mode: how the entry uses the gateway now, which need not be the mode of its file: an entry with the URL of
        a server always has a URL.
    :ivar why_name: the reason for which the name is not the title; empty where it is.
    """

    title: str
    name: str
    project: str = ""
    is_renewed: bool = False
    mode: str = ""
    why_name: str = ""


@define(eq=False, repr=False)
class EnrolEdit:
    """The edit that enrols the entries of a file.

    :param to_enrol: the entries to enrol; one that has changed since it was planned is left alone.
    :param mode: the way in which they use the gateway; enrolled entries are changed to it, too.
    :param helper: the client is configured to send its process id and directory.
    :ivar changes: the changed entries, in order; those of one title in two projects are two.
    :ivar put: the new values of all these entries.
    :ivar leads_by_url: one of them has a URL of the gateway, which nothing answers while no gateway runs.
    :ivar uncommented: the titles of entries that could not keep a comment of their user.
    """

    machine: Machine
    site: FileLocation
    to_enrol: Sequence[EntryPlan]
    mode: str
    helper: bool = False
    changes: list[ChangedEntry] = field(factory=list)
    put: list[Any] = field(factory=list, repr=False)
    leads_by_url: bool = False
    uncommented: tuple[str, ...] = ()
    _firsts: dict[KeyPath, Any] = field(factory=dict, repr=False)  # new originals of enrolled entries

    @property
    def taken(self) -> dict[str, str]:
        """The names in the gateway of the newly enrolled entries, by title."""
        return {each.title: each.name for each in self.changes if not each.is_renewed}

    @property
    def renewed(self) -> dict[str, str]:
        """The names in the gateway of the entries that use it in another way than before, by title."""
        return {each.title: each.name for each in self.changes if each.is_renewed}

    def _note(self, key_path: KeyPath, title: str, name: str, made: Any, *, is_renewed: bool = True) -> None:
        """Record a changed entry.

        :param made: its new value; None where the single entry stands for it.
        """
        project = self.site.dialect.project_of(key_path)
        mode = mode_of(self.site, key_path, made)
        why = self.machine.reason_for_name(title, name) if name else ""
        self.changes.append(ChangedEntry(title, name, project, is_renewed, mode, why))

    def __call__(self, text: str, record: FileRecord | None) -> EditResult:
        """Return the edited text for a text and the record of its file.

        :raise ConfigError: the text is malformed, or cannot be changed.
        """
        self.changes, self._firsts = [], {}
        former = record if record is not None and not record.suspended else None
        known = dict(former.entries) if former is not None else self._behind_one(record)
        values = syntax.read(text, self.site.path, self.site.dialect)
        if self.mode == SINGLE:
            return self._all_in_one(text, values, record, known)
        wanted: list[tuple[KeyPath, Any]] = []
        names: dict[KeyPath, str] = {}
        for entry in self.to_enrol:
            if same(edits.at(values, entry.key_path), entry.value):
                made = entry.ours or self._ours(entry.key_path, entry.title, entry.value, entry.name)
                wanted.append((entry.key_path, made))
                names[entry.key_path] = entry.name
                self._note(entry.key_path, entry.title, entry.name, made, is_renewed=False)
        for key_path, enrolled in known.items():
            renewed = None if key_path in names else self._renewed(values, key_path, enrolled)
            if renewed is not None:
                wanted.append((key_path, renewed))
                self._note(
                    key_path, enrolled.replaced.title, self._name_now(key_path, enrolled.name), renewed
                )
        if former is not None and former.mode == SINGLE:
            wanted += self._in_place_of_one(values, known, names)
        return self._rewritten(text, wanted, names, record, known)

    def _rewritten(
        self,
        text: str,
        wanted: Sequence[tuple[KeyPath, Any]],
        names: Mapping[KeyPath, str],
        record: FileRecord | None,
        known: dict[KeyPath, EnrolledEntry],
    ) -> EditResult:
        self.put = [value for _, value in wanted]
        self.leads_by_url = any(mode_of(self.site, *each) == HTTP for each in wanted)
        texts = {key_path: known[key_path].replaced.written for key_path, _ in wanted if key_path in known}
        made, replaced, lost = rewrite.exchange(text, self.site.path, wanted, texts)
        self.uncommented = tuple(dict.fromkeys(key_path[-1] for key_path in lost))
        for each in replaced:
            if each.ours is None and each.key_path not in names and each.key_path not in known:
                continue  # the single entry, which has no original
            known[each.key_path] = self._enrolled(each, names.get(each.key_path), known.get(each.key_path))
        if not known:
            return EditResult(made, record)
        record = record or FileRecord(self.site.path, self.site.dialect.name, project=self.site.project)
        return EditResult(made, evolve(record, mode=self.mode, entries=known, suspended=""))

    def _enrolled(
        self, replaced: ReplacedEntry, name: str | None, former: EnrolledEntry | None
    ) -> EnrolledEntry:
        if former is not None and any(
            each.key_path == replaced.key_path and each.ours for each in self.to_enrol
        ):
            return EnrolledEntry(name or "", evolve(former.replaced, ours=replaced.ours))
        if former is None or name is not None:
            return EnrolledEntry(name or "", replaced)
        # An enrolled entry was replaced: its first original stays on record, with the client's additions.
        first, wrote, name = former.replaced, replaced.ours, self._name_now(replaced.key_path, former.name)
        if replaced.key_path in self._firsts:
            first = evolve(first, former=self._firsts[replaced.key_path])
        if wrote is not None and first.former is not None:
            wrote = self._ours(first.key_path, first.title, first.former, name)
        return EnrolledEntry(name, evolve(first, ours=wrote))

    def _name_now(self, key_path: KeyPath, name: str) -> str:
        """Return the name of the server of an enrolled entry, which is another one once its user has changed it."""
        if not name or self.mode == SINGLE:
            return name
        return self.machine.moved(self.site.path).get(key_path, name)

    def _ours(self, key_path: KeyPath, title: str, former: Any, name: str, *, is_new: bool = False) -> Any:
        mode = http_mode(self.machine) if self.mode == SINGLE else self.mode
        kind = EntryKind.ENROLLED if is_new else EntryKind.PROGRAM
        listed = ClientEntry(title, key_path, former, kind)
        return ours(self.machine, self.site, listed, name, mode, helper=self.helper)

    def _renewed(self, values: Any, key_path: KeyPath, enrolled: EnrolledEntry) -> Any:
        """Return the value of an enrolled entry in this mode and at this port; None where it already has that value."""
        replaced, dialect = enrolled.replaced, self.site.dialect
        now, name = edits.at(values, key_path), self._name_now(key_path, enrolled.name)
        is_moved = name != enrolled.name and isinstance(now, Mapping)
        is_ours = is_moved or self._is_as_enrolled(key_path, now, replaced)
        if (not enrolled.name and self.mode != SINGLE) or not is_ours:
            return None
        # The client's own additions to an enrolled entry are carried over.
        is_new = replaced.former is None
        whole = now if is_new else rewrite.as_changed(dialect, key_path, replaced, now)
        # A command that its user has written beside the URL is its original from now on; a project's file may have
        # been written by others.
        argv = () if is_new or self.site.project else dialect.command_beside(key_path, now)
        if argv:
            listed = ClientEntry(replaced.title, key_path, whole, EntryKind.PROGRAM)
            whole = self._firsts[key_path] = dialect.by_command(listed, argv)
        elif not (is_new or self.site.project or same(whole, replaced.former)):
            self._firsts[key_path] = whole  # an entry with a URL has no place for some of its user's changes
        wanted = self._ours(key_path, replaced.title, whole, name, is_new=is_new)
        project = dialect.project_of(key_path) or self.site.project
        has_project = not project or dialect.names_project(key_path, now, project)
        is_there = dialect.target_of(key_path, wanted) == dialect.target_of(key_path, now)
        return None if is_there and has_project and not argv else wanted

    def _is_as_enrolled(self, key_path: KeyPath, now: Any, replaced: ReplacedEntry) -> bool:
        """True if an entry has the URL or command that it was given; its user may have made another server of it."""
        if replaced.ours is None or not isinstance(now, Mapping):
            return False
        target_of = self.site.dialect.target_of
        return target_of(key_path, now) == target_of(key_path, replaced.ours)

    # From the single entry to one for each server

    def _in_place_of_one(
        self, values: Any, known: dict[KeyPath, EnrolledEntry], names: Mapping[KeyPath, str]
    ) -> list[tuple[KeyPath, Any]]:
        """Return the entries that stood behind the single one, and remove that."""
        wanted: list[tuple[KeyPath, Any]] = []
        for key_path, enrolled in list(known.items()):
            first = enrolled.replaced
            if not enrolled.name:
                wanted += [(one, None) for one in self._places_of_one(values, key_path, first, known)]
                del known[key_path]
            elif first.ours is None and key_path not in names and edits.at(values, key_path) is MISSING:
                is_new = first.former is None
                fresh = self.site.dialect.fresh(first.title, key_path[:-1]).value
                value = fresh if is_new else first.former
                made = self._ours(key_path, first.title, value, enrolled.name, is_new=is_new)
                wanted.append((key_path, made))
                self._note(key_path, first.title, enrolled.name, made)
        return wanted

    def _places_of_one(
        self, values: Any, key_path: KeyPath, first: ReplacedEntry, known: Mapping[KeyPath, EnrolledEntry]
    ) -> list[KeyPath]:
        if self._is_as_enrolled(key_path, edits.at(values, key_path), first):
            return [key_path]
        # Its user may have renamed it.
        listed = listed_in(self.site, values, self.machine.base)
        return [
            each.key_path
            for each in listed
            if each.kind is EntryKind.ENROLLED and not each.served and each.key_path not in known
        ][:1]

    # All in one

    def _behind_one(self, record: FileRecord | None) -> dict[KeyPath, EnrolledEntry]:
        """Return the added entries for which the single one of a restored file has stood, and is to stand again."""
        entries = record.entries if record is not None and self.mode == SINGLE else {}
        return {
            key_path: each
            for key_path, each in entries.items()
            if each.name and each.replaced.former is None and each.replaced.ours is None
        }

    def _all_in_one(
        self, text: str, values: Any, record: FileRecord | None, known: dict[KeyPath, EnrolledEntry]
    ) -> EditResult:
        dialect = self.site.dialect
        to_enrol = [each for each in self.to_enrol if same(edits.at(values, each.key_path), each.value)]
        wanted: list[tuple[KeyPath, Any]] = [(each.key_path, each.ours) for each in to_enrol]
        names = {each.key_path: each.name for each in to_enrol}
        for each in to_enrol:
            self._note(each.key_path, each.title, each.name, None, is_renewed=False)
        for key_path, enrolled in list(known.items()):
            now = edits.at(values, key_path)
            if (
                enrolled.name
                and key_path not in names
                and self._is_as_enrolled(key_path, now, enrolled.replaced)
            ):
                wanted.append((key_path, None))
                known[key_path] = _with_additions(enrolled, now)
                self._note(key_path, enrolled.replaced.title, enrolled.name, None)
            elif not enrolled.name and (renewed := self._renewed(values, key_path, enrolled)) is not None:
                wanted.append((key_path, renewed))
                self._note(key_path, enrolled.replaced.title, enrolled.replaced.title, None)
        if wanted and not self._has_one(values):
            titles = chain((ONE,), (f"{ONE}-{number}" for number in count(2)))
            one = next(
                each for each in map(dialect.fresh, titles) if edits.at(values, each.key_path) is MISSING
            )
            wanted.append((one.key_path, self._ours(one.key_path, one.title, one.value, "")))
        return self._rewritten(text, wanted, names, record, known)

    def _has_one(self, values: Any) -> bool:
        listed = listed_in(self.site, values, self.machine.base)
        return any(each.kind is EntryKind.ENROLLED and not each.served for each in listed)


def _with_additions(enrolled: EnrolledEntry, now: Mapping[str, Any]) -> EnrolledEntry:
    """Return an enrolled entry that leaves its file, with the changes that its client has made in it since."""
    first = enrolled.replaced
    if not isinstance(first.former, Mapping):
        return enrolled
    whole = rewrite.carried(first.former, first.ours, now)
    if same(whole, first.former):
        return enrolled
    return EnrolledEntry(enrolled.name, evolve(first, former=whole))


def ours(
    machine: Machine, site: FileLocation, listed: ClientEntry, name: str, mode: str, *, helper: bool
) -> Any:
    """Return the value of an entry that uses the gateway.

    :param name: the server's name in the gateway; "" for the single entry for all servers.
    """
    # The client's process may well work in another directory, so the entry names its project.
    project = site.dialect.project_of(listed.key_path) or site.project
    is_url = is_remote(site.dialect, listed.key_path, listed.value, machine.base)
    if is_url:
        # The gateway has the headers.  No command could stand in for a URL where no gateway answers.
        listed = evolve(listed, value=without_credentials(listed.value))
        mode = http_mode(machine)
    if mode != FAIL_OPEN:
        with suppress(ConfigError):
            return site.dialect.by_url(listed, machine.url(name), helper=helper, project=project)
    if listed.kind is EntryKind.ENROLLED and name:
        *words, _dashes = machine.command(name, (), project)
        return site.dialect.by_command(listed, words)  # an added entry has no original
    # A client that takes no URLs is enrolled by a command.
    original = () if is_url else site.dialect.target_of(listed.key_path, listed.value)
    return site.dialect.by_command(listed, machine.command(name, original, project))


def mode_of(site: FileLocation, key_path: KeyPath, value: Any) -> str:
    """Return how an entry of the gateway uses it.

    :param value: the value of the entry; None where the single entry stands for it.
    """
    if value is None:
        return SINGLE
    target = site.dialect.target_of(key_path, value)
    return HTTP if target and "://" in target[0] else FAIL_OPEN


def http_mode(machine: Machine) -> str:
    """Return the mode of entries that are to lead to the gateway by URL: no token goes into a client's file."""
    return FAIL_OPEN if machine.gateway.auth_mcp_transport == BEARER else HTTP
