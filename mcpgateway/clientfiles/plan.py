"""The plans of clients' files: the entries that are to use the gateway, and the text of each file after that.

A plan is worked out beforehand, to be shown, and carried out by `mcpgateway.clientfiles.apply`.  Its edit is worked out
anew when another program has written the file meanwhile, so it decides by the text of that moment.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from itertools import chain, count
from typing import Any

from attrs import define, evolve, field, frozen

from mcpgateway.clientfiles.enrolment_records import EnrolledEntry, FileRecord
from mcpgateway.clientfiles.files import (
    FileChoice,
    FileContents,
    FileLocation,
    chosen,
    listed_in,
    see,
    unwritable,
)
from mcpgateway.clientfiles.formats import rewrite, syntax
from mcpgateway.clientfiles.formats.client_format import ClientEntry, EntryKind, KeyPath
from mcpgateway.clientfiles.formats.rewrite import ReplacedEntry
from mcpgateway.clientfiles.ledger import EditResult
from mcpgateway.clientfiles.machine import FAIL_OPEN, HTTP, SINGLE, Machine
from mcpgateway.clientfiles.naming import UnnamedServer, named
from mcpgateway.config.edit import edits
from mcpgateway.config.edit.edits import MISSING, same
from mcpgateway.errors import ConfigError

ONE = "mcpgateway"
BEARER = "bearer-required"
EVERYWHERE = FileChoice()
MODES = (HTTP, FAIL_OPEN, SINGLE)
WHY = {
    EntryKind.REMOTE: "is reached by a URL already",
    EntryKind.OFF: "is switched off in the client",
}
LOST = "uses the gateway already, and the ledger does not know its original"


@frozen
class UntouchedEntry:
    """An entry that stays as it is, and the reason.

    :ivar hint: a command or an edit that changes that.
    """

    title: str
    why: str
    hint: str = ""


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
class EnrolRequest:
    """A request to enrol or to restore.

    :ivar servers: titles or names of servers; none means all.
    :ivar mode: the way in which entries use the gateway; "" for the file's present one, or the usual one.
    :ivar helper: clients are configured to send their process id and directory.
    """

    choice: FileChoice = EVERYWHERE
    servers: tuple[str, ...] = ()
    mode: str = ""
    helper: bool = False


@frozen
class FilePlan:
    """The plan of one file.

    :ivar to_enrol: the entries that are to use the gateway.
    :ivar left: the entries that stay as they are, with the reasons.
    :ivar after: the text of the file then; the same as `before` where nothing changes.
    :ivar renewed: titles of the entries that use the gateway in another way then.
    :ivar trouble: the reason why the file cannot be used.
    :ivar values: its present and future entries, which may be shown without their secrets.
    """

    site: FileLocation
    mode: str
    to_enrol: tuple[EntryPlan, ...] = ()
    left: tuple[UntouchedEntry, ...] = ()
    before: str = field(default="", repr=False)
    after: str = field(default="", repr=False)
    renewed: tuple[str, ...] = ()
    trouble: str = ""
    values: tuple[object, ...] = field(default=(), repr=False)

    @property
    def is_change(self) -> bool:
        """True if the plan changes the file."""
        return self.before != self.after


def plan(machine: Machine, wanted: EnrolRequest) -> tuple[FilePlan, ...]:
    """Plan all requested files.

    :raise ConfigError: the request cannot be fulfilled for any file.
    """
    if wanted.mode == SINGLE and not machine.serves_all_at_once:
        raise ConfigError(
            "--single: the gateway that runs does not serve all servers together at one endpoint, so one entry for all"
            " of them would lead nowhere; mcpgateway restart runs the one that is installed"
        )
    if not machine.port:
        raise ConfigError(
            "no gateway runs, and none has a port of its own to which entries could lead",
            "mcpgateway start --port N starts one at a port of its own",
        )
    sites = chosen(wanted.choice, machine.environ, machine.records)
    if not wanted.choice.is_named:
        known = {os.path.realpath(each.path) for each in sites}
        sites += [each for each in _named_sources(machine) if os.path.realpath(each.path) not in known]
    return plan_of(machine, wanted, [see(site, machine.base) for site in sites])


def _named_sources(machine: Machine) -> list[FileLocation]:
    """Return the clients' files that are sources of the gateway's servers."""
    found = []
    for path in dict.fromkeys(machine.sources):
        with suppress(ConfigError):  # a missing one is a problem of the configuration
            found += chosen(FileChoice(file=path), machine.environ, machine.records)
    return found


def plan_of(machine: Machine, wanted: EnrolRequest, found: Sequence[FileContents]) -> tuple[FilePlan, ...]:
    """Plan files that have been read.

    :raise ConfigError: the configuration cannot be used.
    """
    listed = [_eligible(machine, each) for each in found]
    newcomers = [
        UnnamedServer(one, os.path.dirname(os.path.abspath(each.site.path)), each.site.project)
        for each, (programs, _) in zip(found, listed, strict=True)
        for one in programs
    ]
    names = iter(named(machine.settings, newcomers) if newcomers else ())
    plans: list[FilePlan] = []
    for each, (programs, left) in zip(found, listed, strict=True):
        key_paths: dict[KeyPath, str] = {}
        for one in programs:
            given = next(names)
            if wanted.servers:
                if not {one.title, given.name} & set(wanted.servers):
                    continue
            elif _is_out(machine, each.site, one, given.name):
                left.append(_opted_out(one, given.name))
                continue
            if given.name:
                key_paths[one.key_path] = given.name
            else:
                left.append(UntouchedEntry(one.title, f"cannot be served: {given.why}"))
        plans.append(_planned(machine, wanted, each, entry_plans(programs, key_paths), left))
    return tuple(plans)


def opted_out(machine: Machine) -> frozenset[str]:
    """Return the names of servers that stay in the clients' files, by the configuration or by a command."""
    return frozenset((*machine.settings.clients.opt_out, *machine.records.opted_out))


def for_client(site: FileLocation, name: str) -> str:
    """Return the opt-out name of a server for the files of one client only."""
    return f"{site.dialect.name}:{name}"


def _eligible(machine: Machine, seen: FileContents) -> tuple[list[ClientEntry], list[UntouchedEntry]]:
    record = machine.record_of(seen.site.path)
    known: Mapping[KeyPath, object] = record.entries if record is not None and not record.suspended else {}
    programs: list[ClientEntry] = []
    left: list[UntouchedEntry] = []
    for each in seen.listed:
        match each.kind:
            case EntryKind.PROGRAM:
                programs.append(each)
            case EntryKind.ENROLLED if each.key_path not in known and not _is_known(seen, each, record):
                left.append(
                    UntouchedEntry(each.title, LOST, "mcpgateway clients undo rebuilds it where it can")
                )
            case EntryKind.ENROLLED:
                pass
            case _:
                left.append(UntouchedEntry(each.title, WHY.get(each.kind, each.why)))
    return programs, left


def _is_known(seen: FileContents, listed: ClientEntry, record: FileRecord | None) -> bool:
    # An entry that its user has renamed or copied.
    return record is not None and any(each.name == listed.served for each in record.entries.values())


def _is_out(machine: Machine, site: FileLocation, listed: ClientEntry, name: str) -> bool:
    ids = {listed.title, name}
    return bool((ids | {for_client(site, each) for each in ids}) & opted_out(machine))


def _opted_out(listed: ClientEntry, name: str) -> UntouchedEntry:
    hint = f"mcpgateway clients apply --server {name or listed.title} takes it in"
    return UntouchedEntry(listed.title, "stays the client's own", hint)


def _planned(
    machine: Machine,
    wanted: EnrolRequest,
    seen: FileContents,
    to_enrol: Sequence[EntryPlan],
    left: Sequence[UntouchedEntry],
) -> FilePlan:
    site = seen.site
    record = machine.record_of(site.path)
    mode = _mode(machine, wanted, record)
    made = FilePlan(site, mode, tuple(to_enrol), tuple(left), seen.text, seen.text, trouble=seen.trouble)
    if seen.trouble:
        return made
    if record is not None and not record.suspended and SINGLE in {record.mode, mode} and record.mode != mode:
        return evolve(
            made,
            trouble=f"{site.path}: uses the gateway in mode {record.mode}; mcpgateway clients undo first",
        )
    adoption = EnrolEdit(machine, site, to_enrol, mode, wanted.helper)
    try:
        after = adoption(seen.text, record).text
    except ConfigError as why:
        return evolve(made, trouble=str(why))
    trouble = unwritable(site.path) if after != seen.text else ""
    return evolve(
        made,
        after=seen.text if trouble else after,
        renewed=tuple(adoption.renewed),
        trouble=trouble,
        values=(*({each.title: each.value} for each in seen.listed), *adoption.put),
    )


def _mode(machine: Machine, wanted: EnrolRequest, record: FileRecord | None) -> str:
    mode = wanted.mode or (record.mode if record is not None else HTTP)
    return _http_mode(machine) if mode == HTTP else mode


def _http_mode(machine: Machine) -> str:
    # No token goes into a client's file.
    return FAIL_OPEN if machine.gateway.auth_mcp_transport == BEARER else HTTP


def entry_plans(listed: Sequence[ClientEntry], names: Mapping[KeyPath, str]) -> list[EntryPlan]:
    """Return the plans of the entries that have a name to be served under."""
    return [
        EntryPlan(each.key_path, each.title, each.value, names[each.key_path])
        for each in listed
        if each.key_path in names
    ]


# The edit of one file


@define(eq=False, repr=False)
class EnrolEdit:
    """The edit that enrols the entries of a file.

    :param to_enrol: the entries to enrol; one that has changed since it was planned is left alone.
    :param mode: the way in which they use the gateway; enrolled entries are changed to it, too.
    :param helper: the client is configured to send its process id and directory.
    :ivar taken: the names in the gateway of the newly enrolled entries, by title.
    :ivar renewed: the same for entries that use the gateway in another way than before.
    :ivar put: the new values of all these entries.
    """

    machine: Machine
    site: FileLocation
    to_enrol: Sequence[EntryPlan]
    mode: str
    helper: bool = False
    taken: dict[str, str] = field(factory=dict)
    renewed: dict[str, str] = field(factory=dict)
    put: list[Any] = field(factory=list, repr=False)

    def __call__(self, text: str, record: FileRecord | None) -> EditResult:
        """Return the edited text for a text and the record of its file.

        :raise ConfigError: the text is malformed, or cannot be changed.
        """
        self.taken, self.renewed = {}, {}
        former = record if record is not None and not record.suspended else None
        known = dict(former.entries) if former is not None else {}
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
                self.taken[entry.title] = entry.name
        for key_path, enrolled in known.items():
            renewed = None if key_path in names else self._renewed(values, key_path, enrolled)
            if renewed is not None:
                wanted.append((key_path, renewed))
                self.renewed[enrolled.replaced.title] = enrolled.name
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
        made, replaced = rewrite.replace(text, self.site.path, wanted)
        for each in replaced:
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
        first, wrote = former.replaced, replaced.ours
        if wrote is not None and first.former is not None:
            wrote = self._ours(first.key_path, first.title, first.former, former.name)
        return EnrolledEntry(former.name, evolve(first, ours=wrote))

    def _ours(self, key_path: KeyPath, title: str, former: Any, name: str) -> Any:
        mode = _http_mode(self.machine) if self.mode == SINGLE else self.mode
        listed = ClientEntry(title, key_path, former, EntryKind.PROGRAM)
        return ours(self.machine, self.site, listed, name, mode, helper=self.helper)

    def _renewed(self, values: Any, key_path: KeyPath, enrolled: EnrolledEntry) -> Any:
        """Return the value of an enrolled entry in this mode and at this port; None where it already has that value."""
        replaced: ReplacedEntry = enrolled.replaced
        now = edits.at(values, key_path)
        if replaced.ours is None or now is MISSING or not isinstance(now, Mapping):
            return None
        dialect = self.site.dialect
        if dialect.target_of(key_path, now) != dialect.target_of(key_path, replaced.ours):
            return None
        # The client's own additions to an enrolled entry are carried over.
        is_new = replaced.former is None
        whole = now if is_new else rewrite.carried(replaced.former, replaced.ours, now)
        wanted = self._ours(key_path, replaced.title, whole, enrolled.name)
        project = dialect.project_of(key_path) or self.site.project
        has_project = not project or dialect.names_project(key_path, now, project)
        return (
            None
            if has_project and dialect.target_of(key_path, wanted) == dialect.target_of(key_path, now)
            else wanted
        )

    # All in one

    def _all_in_one(
        self, text: str, values: Any, record: FileRecord | None, known: dict[KeyPath, EnrolledEntry]
    ) -> EditResult:
        dialect = self.site.dialect
        to_enrol = [each for each in self.to_enrol if same(edits.at(values, each.key_path), each.value)]
        wanted: list[tuple[KeyPath, Any]] = [(each.key_path, each.ours) for each in to_enrol]
        names = {each.key_path: each.name for each in to_enrol}
        self.taken = {each.title: each.name for each in to_enrol}
        for key_path, enrolled in known.items():
            if (
                enrolled.replaced.ours is not None
                and enrolled.name
                and edits.at(values, key_path) is not MISSING
            ):
                wanted.append((key_path, None))
                self.renewed[enrolled.replaced.title] = enrolled.name
            elif not enrolled.name and (renewed := self._renewed(values, key_path, enrolled)) is not None:
                wanted.append((key_path, renewed))
                self.renewed[enrolled.replaced.title] = enrolled.replaced.title
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


def ours(
    machine: Machine, site: FileLocation, listed: ClientEntry, name: str, mode: str, *, helper: bool
) -> Any:
    """Return the value of an entry that uses the gateway.

    :param name: the server's name in the gateway; "" for the single entry for all servers.
    """
    # The client's process may well work in another directory, so the entry names its project.
    project = site.dialect.project_of(listed.key_path) or site.project
    if mode != FAIL_OPEN:
        with suppress(ConfigError):
            return site.dialect.by_url(listed, machine.url(name), helper=helper, project=project)
    # A client that takes no URLs is enrolled by a command.
    original = site.dialect.target_of(listed.key_path, listed.value)
    return site.dialect.by_command(listed, machine.command(name, original, project))
