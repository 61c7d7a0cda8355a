"""Which entries of clients' files are to use the gateway: worked out beforehand, to be shown and then carried out."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import suppress

from attrs import evolve, field, frozen

from mcpgateway.clientfiles.change import Adoption, Wish, wishes_of
from mcpgateway.clientfiles.enrolment_records import Adopted
from mcpgateway.clientfiles.files import FileChoice, Seen, Site, chosen, see, unwritable
from mcpgateway.clientfiles.formats.client_format import FileKind, Listed, Road
from mcpgateway.clientfiles.machine import FAIL_OPEN, HTTP, SINGLE, Machine
from mcpgateway.clientfiles.naming import Newcomer, named
from mcpgateway.clientfiles.report import Left
from mcpgateway.errors import ConfigError

EVERYWHERE = FileChoice()
MODES = (HTTP, FAIL_OPEN, SINGLE)
WHY = {
    FileKind.REMOTE: "is reached by a URL already",
    FileKind.OFF: "is switched off in the client",
}
LOST = "uses the gateway already, and the ledger does not know what stood there before"


@frozen
class WantedServer:
    """What is asked for.

    :ivar servers: titles or names of servers; none means all.
    :ivar mode: how entries are to use the gateway; "" for the usual one, or the one that a file has.
    :ivar helper: whether clients are asked to say who they are.
    """

    choice: FileChoice = EVERYWHERE
    servers: tuple[str, ...] = ()
    mode: str = ""
    helper: bool = False


@frozen
class FilePlan:
    """What is to become of one file.

    :ivar wishes: what is to use the gateway.
    :ivar left: what stays as it is, and why.
    :ivar after: what the file is then; the same as `before` where nothing changes.
    :ivar renewed: titles of what uses the gateway in another way then.
    :ivar trouble: why the file cannot be used.
    :ivar values: the entries that it lists, and that it is to list: what may be shown of it, but for their secrets.
    """

    site: Site
    mode: str
    wishes: tuple[Wish, ...] = ()
    left: tuple[Left, ...] = ()
    before: str = field(default="", repr=False)
    after: str = field(default="", repr=False)
    renewed: tuple[str, ...] = ()
    trouble: str = ""
    values: tuple[object, ...] = field(default=(), repr=False)

    @property
    def is_change(self) -> bool:
        """Whether the file would be another."""
        return self.before != self.after


def plan(machine: Machine, wanted: WantedServer) -> tuple[FilePlan, ...]:
    """Work out what each file is to be.

    :raise ConfigError: what is asked for cannot be done anywhere.
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


def _named_sources(machine: Machine) -> list[Site]:
    """The clients' files that were named for the gateway: whoever names one has it served, and means it."""
    found = []
    for path in dict.fromkeys(machine.sources):
        with suppress(ConfigError):  # it is not there, which is said of the configuration
            found += chosen(FileChoice(file=path), machine.environ, machine.records)
    return found


def plan_of(machine: Machine, wanted: WantedServer, found: Sequence[Seen]) -> tuple[FilePlan, ...]:
    """Work out what files are to be that have been read.

    :raise ConfigError: the configuration cannot be used.
    """
    listed = [_eligible(machine, each) for each in found]
    newcomers = [
        Newcomer(one, os.path.dirname(os.path.abspath(each.site.path)), each.site.project)
        for each, (programs, _) in zip(found, listed, strict=True)
        for one in programs
    ]
    names = iter(named(machine.settings, newcomers) if newcomers else ())
    plans: list[FilePlan] = []
    for each, (programs, left) in zip(found, listed, strict=True):
        roads: dict[Road, str] = {}
        for one in programs:
            given = next(names)
            if wanted.servers:
                if not {one.title, given.name} & set(wanted.servers):
                    continue
            elif _is_out(machine, each.site, one, given.name):
                left.append(_opted_out(one, given.name))
                continue
            if given.name:
                roads[one.road] = given.name
            else:
                left.append(Left(one.title, f"cannot be served: {given.why}"))
        plans.append(_planned(machine, wanted, each, wishes_of(programs, roads), left))
    return tuple(plans)


def adopted_at(machine: Machine, site: Site) -> Adopted | None:
    """What the ledger says of a file."""
    return machine.records.files.get(os.path.realpath(site.path))


def opted_out(machine: Machine) -> frozenset[str]:
    """The names of servers that stay in the clients' files: the configuration's, and the user's."""
    return frozenset((*machine.settings.clients.opt_out, *machine.records.opted_out))


def for_client(site: Site, name: str) -> str:
    """How it is written down that a server stays in the files of one client only."""
    return f"{site.dialect.name}:{name}"


def _eligible(machine: Machine, seen: Seen) -> tuple[list[Listed], list[Left]]:
    adopted = adopted_at(machine, seen.site)
    known: Mapping[Road, object] = adopted.entries if adopted is not None and not adopted.suspended else {}
    programs: list[Listed] = []
    left: list[Left] = []
    for each in seen.listed:
        match each.kind:
            case FileKind.PROGRAM:
                programs.append(each)
            case FileKind.OURS if each.road not in known and not _is_known(seen, each, adopted):
                left.append(Left(each.title, LOST, "mcpgateway clients undo rebuilds it where it can"))
            case FileKind.OURS:
                pass
            case _:
                left.append(Left(each.title, WHY.get(each.kind, each.why)))
    return programs, left


def _is_known(seen: Seen, listed: Listed, adopted: Adopted | None) -> bool:
    # An entry that was given another name by its user, or a copy of one.
    return adopted is not None and any(each.name == listed.served for each in adopted.entries.values())


def _is_out(machine: Machine, site: Site, listed: Listed, name: str) -> bool:
    ids = {listed.title, name}
    return bool((ids | {for_client(site, each) for each in ids}) & opted_out(machine))


def _opted_out(listed: Listed, name: str) -> Left:
    hint = f"mcpgateway clients apply --server {name or listed.title} takes it in"
    return Left(listed.title, "stays the client's own", hint)


def _planned(
    machine: Machine, wanted: WantedServer, seen: Seen, wishes: Sequence[Wish], left: Sequence[Left]
) -> FilePlan:
    site = seen.site
    adopted = adopted_at(machine, site)
    mode = _mode(machine, wanted, adopted)
    made = FilePlan(site, mode, tuple(wishes), tuple(left), seen.text, seen.text, trouble=seen.trouble)
    if seen.trouble:
        return made
    if (
        adopted is not None
        and not adopted.suspended
        and SINGLE in {adopted.mode, mode}
        and adopted.mode != mode
    ):
        return evolve(
            made,
            trouble=f"{site.path}: uses the gateway in mode {adopted.mode}; mcpgateway clients undo first",
        )
    adoption = Adoption(machine, site, wishes, mode, wanted.helper)
    try:
        after = adoption(seen.text, adopted).text
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


def _mode(machine: Machine, wanted: WantedServer, adopted: Adopted | None) -> str:
    mode = wanted.mode or (adopted.mode if adopted is not None else HTTP)
    # No token goes into a client's file.
    if mode == HTTP and machine.gateway.auth_mcp_transport == "bearer-required":
        return FAIL_OPEN
    return mode
