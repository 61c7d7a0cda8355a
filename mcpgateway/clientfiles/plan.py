"""The plans of clients' files: the entries that are to use the gateway, and the text of each file after that.

A plan is worked out beforehand, to be shown, and carried out by `mcpgateway.clientfiles.apply`.  Its edit is worked out
anew when another program has written the file meanwhile, so it decides by the text of that moment.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import suppress

from attrs import evolve, field, frozen

from mcpgateway.clientfiles.additions import lacking, returning
from mcpgateway.clientfiles.enrol_edit import ChangedEntry, EnrolEdit, EntryPlan, http_mode
from mcpgateway.clientfiles.enrolment_records import FileRecord
from mcpgateway.clientfiles.files import (
    FileChoice,
    FileContents,
    FileLocation,
    around,
    chosen,
    see,
    unwritable,
)
from mcpgateway.clientfiles.formats.client_format import ClientEntry, EntryKind, KeyPath
from mcpgateway.clientfiles.formats.remote import has_helper
from mcpgateway.clientfiles.generate import SnippetForm, form_of
from mcpgateway.clientfiles.machine import FAIL_OPEN, HTTP, SINGLE, Machine
from mcpgateway.clientfiles.naming import UnnamedServer, named
from mcpgateway.config.document import visible
from mcpgateway.config.edit.edits import same
from mcpgateway.errors import ConfigError
from mcpgateway.hints import cli
from mcpgateway.system.service_files import has_service

EVERYWHERE = FileChoice()
MODES = (HTTP, FAIL_OPEN, SINGLE)
WHY = {
    EntryKind.REMOTE: "is reached by a URL already",
    EntryKind.OFF: "is switched off in the client",
}
HELPED = "is reached by a URL already, with headers that its client makes by a command"
BOTH = "has a command beside the gateway's URL"
TAKE_ONE_OUT = "take one of the two out of the file"
TAKEN_OVER = f"{{}} gives it back there; {cli('clients apply')} enrols it here then"
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
class EnrolRequest:
    """A request to enrol or to restore.

    :ivar servers: titles or names of servers; none means all.
    :ivar mode: the way in which entries use the gateway; "" for the file's present one, or the usual one.
    :ivar helper: clients are configured to send their process id and directory.
    :ivar remote: entries with the URL of another server are enrolled, too.
    :ivar offers: users' files get entries for the servers of the gateway's own configuration, too.
    """

    choice: FileChoice = EVERYWHERE
    servers: tuple[str, ...] = ()
    mode: str = ""
    helper: bool = False
    remote: bool = False
    offers: bool = False


@frozen
class FilePlan:
    """The plan of one file.

    :ivar to_enrol: the entries that are to use the gateway.
    :ivar left: the entries that stay as they are, with the reasons.
    :ivar after: the text of the file then; the same as `before` where nothing changes.
    :ivar renewed: titles of the entries that use the gateway in another way then.
    :ivar changes: all entries that are changed.
    :ivar leads_by_url: an entry gets a URL of the gateway, which nothing answers while no gateway runs.
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
    changes: tuple[ChangedEntry, ...] = ()
    leads_by_url: bool = False
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
            f" of them would lead nowhere; {cli('restart')} runs the one that is installed"
        )
    if not machine.port:
        raise ConfigError(
            "no gateway runs, and none has a port of its own to which entries could lead",
            f"{cli('start --port N')} starts one at a port of its own",
        )
    sites = chosen(wanted.choice, machine.environ, machine.records)
    if wanted.choice.around and not wanted.choice.is_named:
        sites += around(wanted.choice.around, machine.environ, sites)
    if not wanted.choice.is_named:
        known = {os.path.realpath(each.path) for each in sites}
        sites += [each for each in _named_sources(machine) if os.path.realpath(each.path) not in known]
    found = [see(site, machine.base) for site in sites]
    _refuse_unknown(machine, wanted, found)
    return plan_of(machine, wanted, found)


def _refuse_unknown(machine: Machine, wanted: EnrolRequest, found: Sequence[FileContents]) -> None:
    """Check that each requested server is one of the gateway's, or an entry of one of the files.

    :raise ConfigError: one is neither.
    """
    if not wanted.servers:
        return
    known = {name for each in found for one in each.listed for name in (one.title, one.served)}
    known |= {each.name for each in machine.settings.servers} | opted_out(machine)
    known |= {each.name for record in machine.records.files.values() for each in record.entries.values()}
    unknown = [each for each in wanted.servers if each not in known]
    if unknown:
        raise ConfigError(
            f"Unknown server: {', '.join(map(visible, unknown))}",
            f"{cli('servers list')} lists those of the gateway, and {cli('clients plan')} those of the files",
        )


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
    listed = [_eligible(machine, each, wanted) for each in found]
    newcomers = [
        UnnamedServer(
            one, os.path.dirname(os.path.abspath(each.site.path)), each.site.project, each.site.dialect
        )
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
        to_enrol = entry_plans(programs, key_paths)
        to_enrol += _added(machine, wanted, each, is_enrolled=bool(to_enrol))
        plans.append(_planned(machine, wanted, each, to_enrol, left))
    return tuple(plans)


def _added(
    machine: Machine, wanted: EnrolRequest, seen: FileContents, *, is_enrolled: bool
) -> list[EntryPlan]:
    """Return the entries for servers of the gateway: those that a restored file had, and those that are offered to it.

    :param is_enrolled: entries of the file itself are to use the gateway.
    """
    site, record = seen.site, machine.record_of(seen.site.path)
    mode = mode_for(machine, wanted, record)
    if seen.trouble or mode == SINGLE:
        return []
    again = returning(machine, seen, record, mode) if record is not None else []
    is_offered = wanted.offers and not site.project and (is_enrolled or bool(record and record.entries))
    there = {each.key_path for each in again}
    more = [each for each in lacking(machine, seen, mode) if each.key_path not in there] if is_offered else []
    out = opted_out(machine)
    if not wanted.servers:
        more = [each for each in more if each.name not in machine.failing]
    return [
        each
        for each in (*again, *(one for one in more if not wanted.servers or one.name in wanted.servers))
        if not {each.name, for_client(site, each.name)} & out
    ]


def opted_out(machine: Machine) -> frozenset[str]:
    """Return the names of servers that stay in the clients' files, by the configuration or by a command."""
    return frozenset((*machine.settings.clients.opt_out, *machine.records.opted_out))


def for_client(site: FileLocation, name: str) -> str:
    """Return the opt-out name of a server for the files of one client only."""
    return f"{site.dialect.name}:{name}"


def _eligible(
    machine: Machine, seen: FileContents, wanted: EnrolRequest
) -> tuple[list[ClientEntry], list[UntouchedEntry]]:
    record = machine.record_of(seen.site.path)
    known: Mapping[KeyPath, object] = record.entries if record is not None and not record.suspended else {}
    programs: list[ClientEntry] = []
    left: list[UntouchedEntry] = []
    for each in seen.listed:
        match each.kind:
            case EntryKind.PROGRAM:
                programs.append(each)
            case EntryKind.REMOTE if has_helper(each):
                left.append(UntouchedEntry(each.title, HELPED))
            case EntryKind.REMOTE if wanted.remote or _was_enrolled(each, record):
                programs.append(each)
            case EntryKind.REMOTE:
                hint = f"{cli('clients apply --remote')} lets the gateway reach it"
                left.append(UntouchedEntry(each.title, WHY[each.kind], hint))
            case EntryKind.ENROLLED if each.key_path not in known and not _is_known(seen, each, record):
                left.append(
                    UntouchedEntry(each.title, LOST, f"{cli('clients undo')} rebuilds it where it can")
                )
            case EntryKind.ENROLLED if seen.site.project and seen.site.dialect.command_beside(
                each.key_path, each.value
            ):
                left.append(UntouchedEntry(each.title, BOTH, TAKE_ONE_OUT))
            case EntryKind.ENROLLED:
                pass
            case _:
                hint = TAKEN_OVER.format(cli("--home {} clients undo", each.owner)) if each.owner else ""
                left.append(UntouchedEntry(each.title, WHY.get(each.kind, each.why), hint))
    return programs, left


def _was_enrolled(listed: ClientEntry, record: FileRecord | None) -> bool:
    # Its file was restored for now, or another program has put the original back.
    enrolled = record.entries.get(listed.key_path) if record is not None else None
    return enrolled is not None and same(enrolled.replaced.former, listed.value)


def _is_known(seen: FileContents, listed: ClientEntry, record: FileRecord | None) -> bool:
    # An entry that its user has renamed or copied.
    return record is not None and any(each.name == listed.served for each in record.entries.values())


def _is_out(machine: Machine, site: FileLocation, listed: ClientEntry, name: str) -> bool:
    ids = {listed.title, name}
    return bool((ids | {for_client(site, each) for each in ids}) & opted_out(machine))


def _opted_out(listed: ClientEntry, name: str) -> UntouchedEntry:
    hint = f"{cli('clients apply --server {}', name or listed.title)} takes it in"
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
    mode = mode_for(machine, wanted, record)
    made = FilePlan(site, mode, tuple(to_enrol), tuple(left), seen.text, seen.text, trouble=seen.trouble)
    if seen.trouble:
        return made
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
        changes=() if trouble else tuple(adoption.changes),
        leads_by_url=adoption.leads_by_url and not trouble,
        trouble=trouble,
        values=(*({each.title: each.value} for each in seen.listed), *adoption.put),
    )


def mode_for(machine: Machine, wanted: EnrolRequest, record: FileRecord | None) -> str:
    """Return how the entries of a file are to use the gateway."""
    mode = wanted.mode or (record.mode if record is not None else _usual_mode(machine, wanted))
    return http_mode(machine) if mode == HTTP else mode


def form_for(machine: Machine, record: FileRecord | None) -> SnippetForm | None:
    """Return the form of a new entry of a file, as its others have it; None for a URL where its client takes one."""
    mode = mode_for(machine, EnrolRequest(), record)
    return form_of(http_mode(machine) if mode == SINGLE else mode)


def _usual_mode(machine: Machine, wanted: EnrolRequest) -> str:
    """Return the mode of a file for which nobody names one: a URL needs a gateway that is started at every login."""
    # Clients send headers to URLs only.
    return HTTP if wanted.helper or has_service(machine.home, machine.environ) else FAIL_OPEN


def entry_plans(listed: Sequence[ClientEntry], names: Mapping[KeyPath, str]) -> list[EntryPlan]:
    """Return the plans of the entries that have a name to be served under."""
    return [
        EntryPlan(each.key_path, each.title, each.value, names[each.key_path])
        for each in listed
        if each.key_path in names
    ]
