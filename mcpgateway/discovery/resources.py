"""Resources of several servers on one endpoint: their URIs are unchanged, and determine their servers.

    URI                      server as a server lists it     that server; if two list the same, the one that had it
    first mcpgateway:NAME/URI      the server NAME, with its own URI; the form in which the others' are listed, and all
    that begin with mcpgateway: in a server's own list any other                servers with a template that matches,
    the one with the most fixed characters first; then servers that list a URI with its scheme; each with the unchanged
    URI

# Note [First owner]
Servers come and go, and their order may change.  A URI that was shown as one server's could then become another's,
which no reader would notice.  So `ResourceOwners` remembers the server of each URI when it was shown or requested: the
URI stays that server's for as long as the view has that server, listed at the moment or not, and other servers with the
same URI have theirs with their names.  This is not stored: after a restart the order of the configuration decides
between servers that list the same.

# Note [Templates]
A template (RFC 6570) matches more than its expansions: clients do not always escape the values, so ``{x}`` stands for
everything up to the next ``/``, ``?`` or ``#``.  If the resource does not exist, the server itself answers with an
error. A template comes from a server and a URI from a client, so neither may make the other expensive: a match is found
by the positions that can be reached from the left, without backtracking.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Container, Iterable, Iterator, Mapping
from urllib.parse import quote, unquote

from attrs import define, field, frozen

from mcpgateway.discovery.records import Item, ListKind
from mcpgateway.protocol.jsonrpc import URI_LIMIT

SCHEME = "mcpgateway"
HOLDERS_LIMIT = 20_000  # URIs and templates of one view
PARTS_LIMIT = 64  # fixed texts and expressions of one template

_EXPRESSION = re.compile(r"\{([^{}]*)\}")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")


@frozen
class Owned:
    """A URI in the form that one server uses."""

    server: str
    uri: str


def prefixed(server: str, uri: str) -> str:
    """Return the URI or template that distinguishes a server's own one from equal ones of other servers."""
    return f"{SCHEME}:{quote(server, safe='')}/{uri}"


def unprefixed(uri: str) -> Owned | None:
    """The inverse of `prefixed`; None for other URIs."""
    scheme, _, rest = uri.partition(":")
    name, slash, own = rest.partition("/")
    server = unquote(name)
    return (
        Owned(server, own) if scheme == SCHEME and slash and prefixed(server, own) == uri and name else None
    )


def owner_named(uri: str | None) -> frozenset[str]:
    """Return the server that a URI names; empty if it names none."""
    found = unprefixed(uri) if uri is not None else None
    return frozenset((found.server,)) if found is not None else frozenset()


@define(eq=False, repr=False)
class ResourceOwners:
    """The owners of the URIs and templates that a view has shown; see Note [First owner]."""

    _servers: dict[tuple[ListKind, str], str] = field(factory=dict, repr=False)

    def of(self, kind: ListKind, uri: str, servers: Container[str]) -> str | None:
        """Return the server that had it first, if that is one of these; else None."""
        found = self._servers.get((kind, uri))
        return found if found in servers else None

    def keep(self, kind: ListKind, uri: str, server: str) -> None:
        """Note that a URI was shown as a server's; an earlier owner keeps it."""
        if self._servers.setdefault((kind, uri), server) == server and len(self._servers) > HOLDERS_LIMIT:
            del self._servers[next(iter(self._servers))]

    def retain(self, servers: Container[str]) -> None:
        """Forget the URIs of all other servers."""
        self._servers = {key: server for key, server in self._servers.items() if server in servers}


@frozen(eq=False, repr=False)
class Roof:
    """The resources, or the templates, of all servers.

    :ivar items: the entries by the URI or template that they are listed under, in the order of servers and their lists.
    """

    items: Mapping[str, Item]
    _shown: Mapping[tuple[str, str], str] = field(repr=False)

    @classmethod
    def over(
        cls, items: Iterable[Item], holders: ResourceOwners | None = None, servers: Container[str] = ()
    ) -> Roof:
        """Assign URIs to listed resources.

        :param holders: the owners of URIs that were shown already.
        """
        listed: dict[str, Item] = {}
        shown: dict[tuple[str, str], str] = {}
        for each in items:
            # A server's own URI in the form of another server's is listed with the server's own name.
            is_unprefixed = each.own not in listed and not each.own.startswith(f"{SCHEME}:")
            if is_unprefixed and holders is not None:
                is_unprefixed = holders.of(each.kind, each.own, servers) in (None, each.server)
            uri = each.own if is_unprefixed else prefixed(each.server, each.own)
            listed[uri] = each
            shown[each.server, each.own] = uri
        return cls(listed, shown)

    def shown(self, server: str, uri: str) -> str:
        """Return the URI on the view of a server's own URI; one that is not listed is unchanged."""
        return self._shown.get((server, uri), uri)


@frozen(eq=False, repr=False)
class Routes:
    """The servers of requested URIs.

    :ivar resources: the listed resources.
    """

    resources: Roof
    templates: Roof
    _known: frozenset[str] = field(repr=False)
    _patterns: tuple[tuple[Pattern, Item], ...] = field(repr=False)
    _schemes: Mapping[str, tuple[str, ...]] = field(repr=False)
    _holders: ResourceOwners = field(repr=False)

    @classmethod
    def over(
        cls, items: Iterable[Item], holders: ResourceOwners | None = None, servers: Container[str] = ()
    ) -> Routes:
        """Find the owners of all URIs.

        :param items: resources and templates of all servers, in the order of the servers and of their lists.
        :param holders: the owners of URIs that were shown already.
        """
        holders = holders or ResourceOwners()
        found = list(items)
        templates = [each for each in found if each.kind is ListKind.TEMPLATE]
        patterns = [(Pattern.of(each.own), each) for each in templates]
        patterns.sort(key=lambda pair: -pair[0].fixed)
        schemes: defaultdict[str, dict[str, None]] = defaultdict(dict)
        for each in found:
            schemes[_scheme(each.own)][each.server] = None
        return cls(
            Roof.over((each for each in found if each.kind is ListKind.RESOURCE), holders, servers),
            Roof.over(templates, holders, servers),
            frozenset(each.server for each in found),
            tuple(patterns),
            {scheme: tuple(having) for scheme, having in schemes.items() if scheme},
            holders,
        )

    def owners(self, uri: str, servers: Collection[str] = ()) -> tuple[Owned, ...]:
        """Return the servers that may own a URI, the likeliest first, each with its own URI.

        :param servers: all servers, which may be asked though they list no resource.
        """
        if len(uri) > URI_LIMIT:
            return ()
        item = self.resources.items.get(uri)
        if item is not None:
            return (Owned(item.server, item.own),)
        holder = self._holders.of(ListKind.RESOURCE, uri, servers)
        if holder is not None:
            return (Owned(holder, uri),)
        owned = unprefixed(uri)
        if owned is not None and (owned.server in self._known or owned.server in servers):
            return (owned,)
        fitting = dict.fromkeys(item.server for pattern, item in self._patterns if pattern.fits(uri))
        others = self._schemes.get(_scheme(uri), ())
        return tuple(Owned(each, uri) for each in dict.fromkeys((*fitting, *others)))

    def template_owners(self, template: str) -> tuple[Owned, ...]:
        """Return the server of the template in a completion; empty if no server has it."""
        item = self.templates.items.get(template)
        owned = Owned(item.server, item.own) if item is not None else unprefixed(template)
        return (owned,) if owned is not None and owned.server in self._known else ()


@frozen
class _Gap:
    """The values of an expression.

    :ivar first: its first character unless it is empty; "": it is not empty, and begins with any permitted character.
    :ivar ends: the characters that it does not contain.
    """

    first: str
    ends: str

    def reached(self, uri: str, starts: Iterable[int]) -> set[int]:
        """Return the positions in a URI where a value may end that begins at one of these positions."""
        found: set[int] = set()
        for start in sorted(starts):
            at = start
            if self.first:
                found.add(start)
                if not uri.startswith(self.first, start):
                    continue
                at += 1
            while at < len(uri) and uri[at] not in self.ends:
                at += 1
                if at in found:
                    break  # all positions behind it were reached from an earlier start
                found.add(at)
        return found


_GAPS = {
    "": _Gap("", "/?#"),
    "+": _Gap("", ""),
    "#": _Gap("#", ""),
    ".": _Gap(".", "/?#"),
    "/": _Gap("/", "?#"),
    ";": _Gap(";", "/?#"),
    "?": _Gap("?", "#"),
    "&": _Gap("&", "#"),
}
_WHOLE = _Gap("", "")  # ``{path*}``, for values that may contain slashes


@frozen
class Pattern:
    """A template in the form for matching URIs; see Note [Templates].

    :ivar parts: fixed texts and the expressions between them; empty for an unknown kind of template.
    :ivar fixed: number of fixed characters.
    """

    parts: tuple[str | _Gap, ...]
    fixed: int = 0

    @classmethod
    def of(cls, template: str) -> Pattern:
        """Parse a template."""
        parts = tuple(_parts(template))
        if len(parts) > PARTS_LIMIT or any(isinstance(each, str) and set(each) & set("{}") for each in parts):
            return cls(())
        return cls(parts, sum(len(each) for each in parts if isinstance(each, str)))

    def fits(self, uri: str) -> bool:
        """Return whether a URI may be an expansion of the template."""
        places: set[int] = {0} if self.parts else set()
        for part in self.parts:
            if isinstance(part, str):
                places = {each + len(part) for each in places if uri.startswith(part, each)}
            else:
                places = part.reached(uri, places)
            if not places:
                return False
        return len(uri) in places


def _parts(template: str) -> Iterator[str | _Gap]:
    end = 0
    for found in _EXPRESSION.finditer(template):
        if found.start() > end:
            yield template[end : found.start()]
        yield _gap(found[1])
        end = found.end()
    if end < len(template):
        yield template[end:]


def _gap(expression: str) -> _Gap:
    operator = expression[:1] if expression[:1] in "+#./;?&" else ""
    return _WHOLE if not operator and expression.endswith("*") else _GAPS[operator]


def _scheme(uri: str) -> str:
    found = _SCHEME.match(uri)
    return found[0].lower() if found else ""
