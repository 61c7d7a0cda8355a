"""What becomes of the text of one client's file: entries give way to ours, or come back.

Each of these is asked anew when somebody else has written the file meanwhile, so it decides by what the text holds
then, and keeps what it did the last time.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from itertools import chain, count
from typing import Any

from attrs import define, evolve, field, frozen

from mcpgateway.clientfiles import rebuilt
from mcpgateway.clientfiles.enrolment_records import Adopted, Enrolled, unwound
from mcpgateway.clientfiles.files import Site, listed_in
from mcpgateway.clientfiles.formats import rewrite, syntax
from mcpgateway.clientfiles.formats.client_format import FileKind, Listed, Road
from mcpgateway.clientfiles.formats.rewrite import Replaced
from mcpgateway.clientfiles.ledger import Rewritten
from mcpgateway.clientfiles.machine import FAIL_OPEN, HTTP, SINGLE, Machine
from mcpgateway.config.edit import edits
from mcpgateway.config.edit.edits import MISSING, same
from mcpgateway.errors import ConfigError

ONE = "mcpgateway"
BEARER = "bearer-required"
NOTHING = "{}\n"  # in JSON


@frozen
class Wish:
    """An entry that is to use the gateway.

    :ivar value: what it is as long as this wish is right.
    :ivar name: as which it is served.
    """

    road: Road
    title: str
    value: Any = field(repr=False)
    name: str


@define(eq=False)
class Adoption:
    """Entries of a file give way to ours.

    :param wishes: those that are new; one that has become another meanwhile is left alone.
    :param mode: how they use the gateway; those that use the gateway already are made to do it in this way, too.
    :param helper: whether the client is asked to say who it is.
    :ivar taken: by title, as what the entries are served that now use the gateway and did not before.
    :ivar renewed: by title, those that use the gateway in another way than before.
    :ivar put: what stands there now.
    """

    machine: Machine
    site: Site
    wishes: Sequence[Wish]
    mode: str
    helper: bool = False
    taken: dict[str, str] = field(factory=dict)
    renewed: dict[str, str] = field(factory=dict)
    put: list[Any] = field(factory=list, repr=False)

    def __call__(self, text: str, adopted: Adopted | None) -> Rewritten:
        """Work it out for a text and what is known of the file.

        :raise ConfigError: the text is not of its form, or cannot be changed.
        """
        self.taken, self.renewed = {}, {}
        former = adopted if adopted is not None and not adopted.suspended else None
        known = dict(former.entries) if former is not None else {}
        values = syntax.read(text, self.site.path, self.site.dialect)
        if self.mode == SINGLE:
            return self._all_in_one(text, values, adopted, known)
        wanted: list[tuple[Road, Any]] = []
        names: dict[Road, str] = {}
        for wish in self.wishes:
            if same(edits.at(values, wish.road), wish.value):
                wanted.append((wish.road, self._ours(wish.road, wish.title, wish.value, wish.name)))
                names[wish.road] = wish.name
                self.taken[wish.title] = wish.name
        for road, enrolled in known.items():
            renewed = None if road in names else self._renewed(values, road, enrolled)
            if renewed is not None:
                wanted.append((road, renewed))
                self.renewed[enrolled.replaced.title] = enrolled.name
        self.put = [value for _, value in wanted]
        made, replaced = rewrite.replace(text, self.site.path, wanted)
        for each in replaced:
            known[each.road] = self._enrolled(each, names.get(each.road), known.get(each.road))
        return Rewritten(made, self._adopted(adopted, known, self.mode))

    def _enrolled(self, replaced: Replaced, name: str | None, former: Enrolled | None) -> Enrolled:
        if former is None or name is not None:
            return Enrolled(name or "", replaced)
        # An entry of ours gave way.  What stood there before that comes back, with what the client added to ours.
        first, wrote = former.replaced, replaced.ours
        if wrote is not None and first.former is not None:
            wrote = self._ours(first.road, first.title, first.former, former.name)
        return Enrolled(former.name, evolve(first, ours=wrote))

    def _adopted(
        self, adopted: Adopted | None, entries: Mapping[Road, Enrolled], mode: str
    ) -> Adopted | None:
        if not entries:
            return adopted
        if adopted is None:
            adopted = Adopted(self.site.path, self.site.dialect.name, project=self.site.project)
        return evolve(adopted, mode=mode, entries=entries, suspended="")

    def _ours(self, road: Road, title: str, former: Any, name: str) -> Any:
        mode = self.mode
        if mode == SINGLE:
            # No token goes into a client's file.
            mode = FAIL_OPEN if self.machine.gateway.auth_mcp_transport == BEARER else HTTP
        listed = Listed(title, road, former, FileKind.PROGRAM)
        return ours(self.machine, self.site, listed, name, mode, self.helper)

    def _renewed(self, values: Any, road: Road, enrolled: Enrolled) -> Any:
        """Return what an entry of ours is to be in this mode and at this port; None where it is that already."""
        replaced: Replaced = enrolled.replaced
        now = edits.at(values, road)
        if replaced.ours is None or now is MISSING or not isinstance(now, Mapping):
            return None
        dialect = self.site.dialect
        if dialect.leads(road, now) != dialect.leads(road, replaced.ours):
            return None
        # What the client has added to ours is the client's; it is in the former entry's place from now on.
        is_new = replaced.former is None
        whole = now if is_new else rewrite.carried(replaced.former, replaced.ours, now)
        wanted = self._ours(road, replaced.title, whole, enrolled.name)
        project = dialect.project_of(road) or self.site.project
        is_said = not project or dialect.names_project(road, now, project)
        return None if is_said and dialect.leads(road, wanted) == dialect.leads(road, now) else wanted

    # All in one

    def _all_in_one(
        self, text: str, values: Any, adopted: Adopted | None, known: dict[Road, Enrolled]
    ) -> Rewritten:
        dialect = self.site.dialect
        wishes = [each for each in self.wishes if same(edits.at(values, each.road), each.value)]
        wanted: list[tuple[Road, Any]] = [(each.road, None) for each in wishes]
        names = {each.road: each.name for each in wishes}
        self.taken = {each.title: each.name for each in wishes}
        for road, enrolled in known.items():
            if enrolled.replaced.ours is not None and enrolled.name and edits.at(values, road) is not MISSING:
                wanted.append((road, None))
                self.renewed[enrolled.replaced.title] = enrolled.name
            elif not enrolled.name and (renewed := self._renewed(values, road, enrolled)) is not None:
                wanted.append((road, renewed))
                self.renewed[enrolled.replaced.title] = enrolled.replaced.title
        if wanted and not self._has_one(values):
            titles = chain((ONE,), (f"{ONE}-{number}" for number in count(2)))
            one = next(each for each in map(dialect.fresh, titles) if edits.at(values, each.road) is MISSING)
            wanted.append((one.road, self._ours(one.road, one.title, one.value, "")))
        self.put = [value for _, value in wanted]
        made, replaced = rewrite.replace(text, self.site.path, wanted)
        for each in replaced:
            known[each.road] = self._enrolled(each, names.get(each.road), known.get(each.road))
        return Rewritten(made, self._adopted(adopted, known, SINGLE))

    def _has_one(self, values: Any) -> bool:
        listed = listed_in(self.site, values, self.machine.base)
        return any(each.kind is FileKind.OURS and not each.served for each in listed)


@define(eq=False)
class Return:
    """Entries of ours give way to what stood there before.

    :param wanted: whether an entry is to come back, by its title and name.
    :param why: the file is restored for now, for this reason, and is to use the gateway again later; "" for ever.
    :ivar given: what has become of each entry.
    :ivar is_exact: the file is what it was before us, to the byte.
    :ivar again: of what is restored, what had been put together again, and from where.
    """

    machine: Machine
    site: Site
    servers: Collection[str] = ()
    why: str = ""
    given: rewrite.Given = field(factory=lambda: rewrite.Given(""), repr=False)
    is_exact: bool = False
    again: dict[str, str] = field(factory=dict)

    def __call__(self, text: str, adopted: Adopted | None) -> Rewritten:
        """Work it out for a text and what is known of the file.

        :raise ConfigError: the text is not of its form, or cannot be changed.
        """
        self.given, self.is_exact, self.again = rewrite.Given(text), False, {}
        if adopted is None:
            return Rewritten(text, None)
        if adopted.suspended:
            return Rewritten(text, self._suspended(adopted))
        chosen = {road: each for road, each in adopted.entries.items() if self._is_meant(each)}
        rest = {road: each for road, each in adopted.entries.items() if road not in chosen}
        if not any(each.name for each in rest.values()):
            chosen, rest = dict(adopted.entries), {}  # the one entry for all has nothing left behind it
        exact = None if rest else unwound(adopted, text)
        if exact is not None:
            titles = dict.fromkeys(each.replaced.title for each in chosen.values())
            # A file that was made for our entries stays, and a client can read it.
            is_made = not exact and self.site.path.endswith(".json")
            self.given = rewrite.Given(NOTHING if is_made else exact, tuple(titles))
            self.is_exact = not is_made
        else:
            replaced = [each.replaced for each in chosen.values()]
            self.given = rewrite.give_back(
                text, self.site.path, self.site.dialect, self.machine.base, replaced
            )
        self.again = self._again([each.replaced for each in chosen.values()])
        self.is_exact = self.is_exact and not self.again
        if self.why:
            return Rewritten(self.given.text, self._suspended(adopted))
        return Rewritten(self.given.text, evolve(adopted, entries=rest) if rest else None)

    def _again(self, given: Sequence[Replaced]) -> dict[str, str]:
        home, path = self.machine.home, self.site.path
        found = {each.title: rebuilt.source_of(home, path, each.road, each.former) for each in given}
        return {title: source for title, source in found.items() if source and title in self.given.restored}

    def _suspended(self, adopted: Adopted) -> Adopted | None:
        return evolve(adopted, suspended=self.why) if self.why else None

    def _is_meant(self, each: Enrolled) -> bool:
        return not self.servers or each.name in self.servers or each.replaced.title in self.servers


def ours(machine: Machine, site: Site, listed: Listed, name: str, mode: str, helper: bool) -> Any:  # noqa: FBT001
    """What stands in the place of an entry, so that it uses the gateway.

    :param name: as which it is served; "" for the one entry for all servers.
    """
    # A client's own process may well work elsewhere, so the entry says for which project it is.
    project = site.dialect.project_of(listed.road) or site.project
    if mode != FAIL_OPEN:
        with suppress(ConfigError):
            return site.dialect.by_url(listed, machine.url(name), helper=helper, project=project)
    # A client that takes no URLs is enrolled by a command.
    original = site.dialect.leads(listed.road, listed.value)
    return site.dialect.by_command(listed, machine.command(name, original, project))


def wishes_of(listed: Sequence[Listed], names: Mapping[Road, str]) -> list[Wish]:
    """The entries that have a name to be served under."""
    return [
        Wish(each.road, each.title, each.value, names[each.road]) for each in listed if each.road in names
    ]


def programs(site: Site, text: str, machine: Machine) -> list[Listed]:
    """The programs that a text lists.

    :raise ConfigError: it is not of its form.
    """
    values = syntax.read(text, site.path, site.dialect)
    return [each for each in listed_in(site, values, machine.base) if each.kind is FileKind.PROGRAM]
