"""Overlays: entries of the gateway's own files that lie over a server of another file, key by key.

An overlay names a server by the name under which it is served.  An entry without a command and without an address is
one; an entry with either is one where ``overlay: true`` says so, since it is a server of its own else.  A key of the
overlay outranks the same key below it; variables and headers are added to those below, and another command keeps the
arguments below it.  The name of a server never depends on an overlay, so that its URL stays.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

from attrs import evolve, field, frozen

from mcpgateway.config.document import Place
from mcpgateway.config.entry import SERVER, Entry
from mcpgateway.config.model import Lazy, ServerSettings
from mcpgateway.config.ours import original_of
from mcpgateway.config.problems import Problems
from mcpgateway.config.reach import EntryReach, read_headers, read_reach, take_apart
from mcpgateway.config.reach_settings import URL_KEYS, Container, Remote
from mcpgateway.config.section import keys_of, nearest, overlaid, settings_in, settings_of

# With any of these an entry is a server of its own.
OF_SERVERS = ("command", "docker", "rest_url", "openapi", "port", "path", "type", "transport", *URL_KEYS)
MARK = "overlay"
ADDED = ("env", "environment", "headers")
REMOTE_KEYS = frozenset(key.name for key in keys_of(Remote))
# The projects of a code graph are worked out of its whole entry.
UNUSED = ("projects", "defaultProject", "tools")


def is_overlay(value: Any) -> bool:
    """True if an entry of the gateway's own files has no command and no address, or is marked as an overlay."""
    return isinstance(value, dict) and (value.get(MARK) is True or not reaches(value))


def reaches(value: Mapping[str, Any]) -> bool:
    """True if an entry has a command or an address."""
    return any(value.get(key) is not None for key in OF_SERVERS)


@frozen
class Overlay:
    """The settings that lie over a server.

    :ivar title: the name of the server, as written.
    :ivar place: the place of the entry in the gateway's own file.
    :ivar members: the settings, by the names of the fields of an `Entry`.
    :ivar args: the arguments of the program; None: as below.
    :ivar found: the values of the keys, as read.
    :ivar reached: the way in which the server is reached instead; None: as below.
    """

    title: str
    place: Place = field(eq=False, repr=False)
    members: Mapping[str, Any] = field(repr=False)
    args: tuple[str, ...] | None = field(default=None, repr=False)
    found: Mapping[str, Any] = field(factory=dict, repr=False)
    reached: EntryReach | None = field(default=None, repr=False)

    @property
    def variables(self) -> Mapping[str, str]:
        """The variables that are added to those of the server, as written."""
        found: Mapping[str, str] = self.members.get("env", {})
        return found

    def over(self, entry: Entry) -> Entry:
        """Return an entry with these settings in the place of its own."""
        members = dict(self.members)
        if "env" in members:
            members["env"] = {**entry.env, **members["env"]}
        if "lazy" in members:
            members["lazy"] = _lazy(entry.lazy, members["lazy"])
        if self.reached is not None:
            members |= _reached(entry, self.reached, self.args)
        elif self.args is not None and entry.argv:
            members["argv"] = (entry.argv[0], *self.args)
        reach = members.get("reach", entry.reach)
        if isinstance(reach, Container):
            members["reach"] = _container(reach, self.variables)
        elif isinstance(reach, Remote) and reach is entry.reach and not REMOTE_KEYS.isdisjoint(self.found):
            members["reach"] = _remote(reach, self.found)
        settings = members.keys() & settings_of(ServerSettings).keys()
        return evolve(entry, **members, explicit=entry.explicit | settings)

    def beneath(self, later: Overlay) -> Overlay:
        """Return this overlay with another one over it."""
        members = {**self.members, **later.members}
        if "env" in self.members:
            members["env"] = {**self.variables, **later.variables}
        found = {**self.found, **later.found}
        args = self.args if later.args is None else later.args
        return Overlay(later.title, later.place, members, args, found, later.reached or self.reached)


def read_overlay(title: str, place: Place, problems: Problems) -> Overlay | None:
    """Read an overlay; None where it has a mistake, which is added to the problems."""
    before = len(problems.errors)
    found = SERVER.read(place, problems)
    if not {"headers", "auth"}.isdisjoint(found):
        found = {**found, "headers": read_headers(found, place, problems)}
    if len(problems.errors) > before:
        return None
    for key in UNUSED:
        if found.pop(key, None) is not None:
            problems.warn(place.at(key).where, "has no effect in an entry without a command")
    reached = read_reach(found, place, {}, problems) if reaches(found) else None
    if reached is not None and reached.argv and original_of(reached.argv) is not None:
        allowed = "the command of a server; this one starts the gateway itself"
        problems.append(place.at("command").wrong_secret(allowed).problem)
    if len(problems.errors) > before:
        return None
    args = tuple(found["args"]) if "args" in found else None
    return Overlay(title, place, settings_in(Entry, found), args, found, reached)


def by_name(
    overlays: Iterable[Overlay],
    names: Mapping[str, Entry],
    problems: Problems,
    of_projects: Callable[[], Collection[str]] = tuple,
) -> dict[str, Overlay]:
    """Return overlays by the names of their servers; one without a server is a warning.

    One with arguments and without a server is an error: its command was forgotten, and its server runs on meanwhile.

    :param names: the entries of the servers, by the names under which they are served.
    :param of_projects: returns the names of the servers of projects' approved files, which no other file has.
    """
    found: dict[str, Overlay] = {}
    for each in overlays:
        if each.title not in names and each.title in of_projects():
            found[each.title] = found[each.title].beneath(each) if each.title in found else each
            continue
        if each.title not in names:
            hint = nearest(each.title, names) or "give it a command or a url, or take it out"
            what = "has no command and no url, and lies over no server: no file has a server of that name"
            if each.reached is not None:
                hint = nearest(each.title, names) or "take out overlay: true, and it is a server of its own"
                what = "lies over no server: no file has a server of that name"
            tell = problems.warn if each.args is None or each.reached is not None else problems.error
            tell(each.place.where, what, hint)
            continue
        _warn_of_headers(each, names[each.title], problems)
        found[each.title] = found[each.title].beneath(each) if each.title in found else each
    return found


def _warn_of_headers(overlay: Overlay, entry: Entry, problems: Problems) -> None:
    reach = overlay.over(entry).reach
    for key in sorted(REMOTE_KEYS & overlay.found.keys()) if not isinstance(reach, Remote) else ():
        if overlay.place.has(key):
            what = "has no effect, since the server is not reached by a url"
            problems.warn(overlay.place.at(key).where, what)


def merged(entry: Any, overlay: Any) -> Any:
    """Return an entry as written with an overlay as written over it."""
    if not isinstance(entry, Mapping) or not isinstance(overlay, Mapping):
        return entry if overlay is None else overlay
    made = {**entry, **overlay}
    for key in ADDED:
        one, other = entry.get(key), overlay.get(key)
        if isinstance(one, Mapping) and isinstance(other, Mapping):
            made[key] = {**one, **other}
    return made


def _reached(entry: Entry, reached: EntryReach, args: tuple[str, ...] | None) -> dict[str, Any]:
    """Return the members of an entry with another command or address; what belongs to the former one stays."""
    if reached.reach is not None or not reached.argv:
        if isinstance(entry.reach, Remote) and isinstance(reached.reach, Remote):
            return {
                "transport": reached.transport
            }  # its headers stay; the URL follows as the other settings do
        return {"argv": reached.argv, "reach": reached.reach, "transport": reached.transport}
    if not entry.has_process:
        return {"argv": reached.argv, "reach": None, "transport": None}
    argv, reach = reached.argv, entry.reach
    if isinstance(reach, Container):
        below = ("run", "-i", "--rm", *reach.options, reach.image, *entry.argv)
        argv = (*argv, *below) if args is None and len(argv) == 1 else argv
        taken = take_apart(argv)
        return {"argv": taken.inside, "reach": taken.container} if taken else {"argv": argv, "reach": None}
    if args is None and len(argv) == 1:
        argv = (*argv, *entry.argv[1:])
    return {"argv": argv, "reach": reach}


def _lazy(before: Lazy, found: Any) -> Lazy:
    if isinstance(found, bool):
        return evolve(before, enabled=found)
    return overlaid(before, found)


def _remote(reach: Remote, found: Mapping[str, Any]) -> Remote:
    headers = found.get("headers", {})
    given = {each.lower() for each in headers}
    held = {name: value for name, value in reach.headers.items() if name.lower() not in given}
    return overlaid(reach, {**found, "headers": {**held, **headers}})


def _container(reach: Container, variables: Mapping[str, str]) -> Container:
    # By name only, as those of its own entry; of two options for one variable the last counts.
    given = tuple(word for name in sorted(variables) for word in ("-e", name))
    return evolve(reach, options=(*reach.options, *given))
