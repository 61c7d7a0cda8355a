"""The names of tools and prompts of many servers on one endpoint.

# Note [Names and ids]
A name that a client has seen must never come to mean another tool, when servers are added, removed or do not run.  So a
name alone determines its tool:

* ``<prefix>__<own>`` is used unchanged if its first ``__`` is the one behind the prefix, so that no other prefix and
name result in the same one, if it has at most 46 characters, all of which every model accepts, and if it neither ends
like the names of the next kind, nor begins like those of the gateway's own tools, listed or not. * All others end with
an underscore and six digits of a digest of the server and the tool's own name, behind as much of both as fits.

One case is left: servers that share a prefix by configuration, above all the empty one, and have a tool of the same
name. Then *all* of these tools get their digits, and none keeps the plain name: if the first one kept it, the name
would mean another tool as soon as a server was put before it.  A name with digits is valid for ever (`Names.find`).  So
the other known tools only decide if a plain name exists at all, never which tool it means.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from functools import cached_property
from hashlib import sha256
from itertools import islice, pairwise

from attrs import field, frozen

from mcpgateway.discovery.records import Item

NAME_LIMIT = (
    46  # characters; clients add up to 18 of their own before it, and models refuse names of more than 64
)
JOIN = "__"
OURS = "gateway_"
"""The prefix of the gateway's own tools; a bare name that looks like one gets its digits."""

OUR_PREFIX = "gateway"
"""``gateway__search`` is the gateway's own too, so all names of a server with this prefix get their digits."""

DIGITS = (6, 12, 24, 40)
"""The numbers of digits of the digest; the later ones are for names that are equal with fewer."""

OWN_ROOM = 20  # characters that are left for a tool's own name after a long prefix
ID_LIMIT = 2200  # characters of an id that is parsed: a server's and a tool's name, and the separator
ID_SPLITS = 32  # at each of the separators
SEPARATORS = ("::", JOIN, "/", ":")

_PLAIN = re.compile(rf"[a-zA-Z0-9_-]{{1,{NAME_LIMIT}}}")
_STRANGE = re.compile(r"[^a-zA-Z0-9_-]+")
_DIGITS = re.compile(f".*_(?:{'|'.join(f'[0-9a-f]{{{each}}}' for each in DIGITS)})")
_WORDS = re.compile(r"[^a-z0-9]+")


def shown(prefix: str, own: str, server: str | None = None) -> str:
    """Return the name of a tool or prompt; see Note [Names and ids].

    :param prefix: of its server; empty: its own name alone.
    :param server: the server's name, if it is not the prefix.
    """
    name = f"{prefix}{JOIN}{own}" if prefix else own
    return name if _is_plain(prefix, name) else marked(prefix, own, server)


def marked(prefix: str, own: str, server: str | None = None, digits: int = DIGITS[0]) -> str:
    """Return the name of a tool or prompt with digits of its own, within the limits of length and alphabet."""
    mark = _digest(prefix if server is None else server, own)[:digits]
    room = NAME_LIMIT - 1 - digits
    head, tail = _slug(prefix), _slug(own)
    if head:
        head = head[: max(room - len(JOIN) - len(tail), room - len(JOIN) - OWN_ROOM, 0)].rstrip("_-")
    whole = f"{head}{JOIN}{tail}" if head and tail else head or tail or "tool"
    return f"{whole[:room].rstrip('_-')}_{mark}"


def named(
    items: Iterable[Item], prefixes: Mapping[str, str], reserved: Collection[str] = ()
) -> dict[str, Item]:
    """Return the items by their names, in their order; see Note [Names and ids].

    :param prefixes: of the servers, by name; a server without one has its name as its prefix.
    :param reserved: names that no item may have.
    """
    found = list(items)
    names = [shown(prefixes.get(each.server, each.server), each.own, each.server) for each in found]
    for digits in DIGITS:
        clashing = _clashing(names, reserved)
        if not clashing:
            break
        for index in clashing:
            each = found[index]
            names[index] = marked(prefixes.get(each.server, each.server), each.own, each.server, digits)
    shown_as: dict[str, Item] = {}
    for name, each in zip(names, found, strict=True):
        shown_as.setdefault(name, each)  # they are equal only if an item is listed twice
    return shown_as


@frozen(eq=False, repr=False)
class Names:
    """The tools or prompts of all servers by their names, and by every other spelling of these.

    :ivar items: the items by name, in their order.
    :ivar prefixes: prefixes of the servers, by name.
    """

    items: Mapping[str, Item]
    prefixes: Mapping[str, str] = field(factory=dict)

    @cached_property
    def _names(self) -> Mapping[tuple[str, str], str]:
        return {(each.server, each.own): name for name, each in self.items.items()}

    @cached_property
    def _owners(self) -> Mapping[str, tuple[str, ...]]:
        owners: defaultdict[str, list[str]] = defaultdict(list)
        for server in dict.fromkeys(each.server for each in self.items.values()):
            owners[server].append(server)
            prefix = self.prefixes.get(server, server)
            if prefix != server:
                owners[prefix].append(server)
        return {name: tuple(servers) for name, servers in owners.items()}

    def find(self, text: str) -> Item | None:
        """Return the item of a name, with or without digits, or of an id (`read_id`) that is unique; else None."""
        found = self.items.get(text)
        if found is not None or len(text) > ID_LIMIT:
            return found
        return self._read(text) or self._find_marked(text)

    def name_of(self, item: Item) -> str:
        """Return the name of an item."""
        return self._names[item.server, item.own]

    def of(self, server: str, own: str) -> Item | None:
        """Return the item of a server by its own name; a unique prefix may stand for the server."""
        owners = self._owners.get(server, ())
        found = (self._names.get((each, own)) for each in owners if each == server or len(owners) == 1)
        return next((self.items[each] for each in found if each is not None), None)

    def near(self, wrong: str, most: int = 3) -> list[str]:
        """Return the nearest known names."""
        return did_you_mean(wrong, self.items, most)

    def _read(self, text: str) -> Item | None:
        found = {self.of(server, own) for server, own in read_id(text)} - {None}
        return found.pop() if len(found) == 1 else None

    def _find_marked(self, text: str) -> Item | None:
        if not _DIGITS.fullmatch(text):
            return None
        digits = len(text) - text.rindex("_") - 1
        for each in self.items.values():
            if marked(self.prefixes.get(each.server, each.server), each.own, each.server, digits) == text:
                return each
        return None


def read_id(text: str) -> list[tuple[str, str]]:
    """Return the servers and tools that an id may mean, likeliest first: ``server__tool``, ``::``, ``:`` and ``/`` too.

    Names of servers and tools may contain all of these separators, so one id may have several readings.
    """
    if len(text) > ID_LIMIT:
        return []
    found = (each for separator in SEPARATORS for each in islice(_splits(text, separator), ID_SPLITS))
    return list(dict.fromkeys(found))


def servers_named(text: str, prefixes: Mapping[str, str]) -> frozenset[str]:
    """Return the servers that a name or an id names, by their names or prefixes; empty if it names none.

    :param prefixes: prefixes of the servers, by name.
    """
    heads = {head for head, _ in read_id(text)}
    found = {server for server, prefix in prefixes.items() if server in heads or (prefix and prefix in heads)}
    if _DIGITS.fullmatch(text):
        # In a name with digits the prefix may be cut, or missing.
        head = text[: text.rindex("_")].partition(JOIN)[0]
        found |= {
            server for server, prefix in prefixes.items() if not prefix or _slug(prefix).startswith(head)
        }
    return frozenset(found)


def did_you_mean(wrong: str, known: Iterable[str], most: int = 3) -> list[str]:
    """Return the known names that are most similar to a wrong one, the most similar first.

    Pairs of letters are compared, without regard to case and separators, of names and of their parts behind the prefix;
    of short words the letters, because one typing error leaves hardly any pair unchanged.
    """
    asked = _Shape.of(wrong[:ID_LIMIT])
    scored = ((max(asked.likeness(each) for each in _parts(name)), name) for name in known)
    near = sorted(((-score, name) for score, name in scored if score >= NEAR))
    return [name for _, name in near[:most]]


def question_of(wrong: str, known: Iterable[str]) -> str:
    """Return the question for the names that a wrong one may stand for; empty where none is similar."""
    near = did_you_mean(wrong, known)
    return f"did you mean {' or '.join(near)}?" if near else ""


def server_hint(wrong: str, known: Collection[str]) -> str:
    """Return the hint of an error for an unknown server: the names that are meant, or those that there are."""
    meant = question_of(wrong, known)
    if meant:
        return meant
    others = len(known) - NAMED
    more = f" and {others} others" if others > 0 else ""
    return f"there are: {', '.join(islice(known, NAMED))}{more}" if known else "no server is configured"


NAMED = 20  # names in a hint
SHORT = 8  # letters; in longer words a typing error leaves most pairs unchanged
SHORTEST = 3  # letters; shorter words are similar to too many others
TWO_SLIPS_FROM = 5  # letters
NEAR = 0.5  # the least similarity of a suggested name; 1 is equality


@frozen
class _Shape:
    """A name in the form for comparison."""

    letters: str
    pairs: frozenset[str]

    @classmethod
    def of(cls, name: str) -> _Shape:
        letters = _WORDS.sub("", name.lower())
        return cls(letters, frozenset(map("".join, pairwise(letters))))

    def likeness(self, name: str) -> float:
        other = _Shape.of(name)
        if self.letters == other.letters:
            return 1.0 if self.letters else 0.0
        both = len(self.pairs & other.pairs)
        alike = 2 * both / ((len(self.pairs) + len(other.pairs)) or 1)
        return max(alike, _slipped(self.letters, other.letters))


def _slipped(wrong: str, right: str) -> float:
    # The similarity of two short words that differ by one typing error; 0 if they differ by more.
    longest, shortest = max(len(wrong), len(right)), min(len(wrong), len(right))
    reach = 2 if shortest >= TWO_SLIPS_FROM else 1
    if longest > SHORT or shortest < SHORTEST or longest - shortest > reach:
        return 0.0
    count = slips(wrong, right)
    return 1 - count / longest if count <= reach else 0.0


def slips(wrong: str, right: str) -> int:
    """Return the number of letters that were left out, added, replaced, or swapped with the next."""
    before: list[int] = []
    row = list(range(len(right) + 1))
    for i, letter in enumerate(wrong, 1):
        last, before, row = before, row, [i]
        for j, other in enumerate(right, 1):
            best = min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (letter != other))
            if i > 1 and j > 1 and letter == right[j - 2] and other == wrong[i - 2]:
                best = min(best, last[j - 2] + 1)
            row.append(best)
    return row[-1]


def _parts(name: str) -> Iterator[str]:
    yield name
    yield from name.split(JOIN, 1)[1:]


def _splits(text: str, separator: str) -> Iterator[tuple[str, str]]:
    at = text.find(separator, 1)
    while 0 < at < len(text) - len(separator):
        yield text[:at], text[at + len(separator) :]
        at = text.find(separator, at + 1)


def _is_plain(prefix: str, name: str) -> bool:
    if not _PLAIN.fullmatch(name) or _DIGITS.fullmatch(name):
        return False
    if not prefix:
        return JOIN not in name and not name.startswith(OURS)
    return JOIN not in prefix and not prefix.endswith("_") and prefix != OUR_PREFIX


def _clashing(names: list[str], reserved: Collection[str]) -> list[int]:
    places: defaultdict[str, list[int]] = defaultdict(list)
    for index, name in enumerate(names):
        places[name].append(index)
    return sorted(
        index for name, several in places.items() for index in several if len(several) > 1 or name in reserved
    )


def _slug(text: str) -> str:
    return _STRANGE.sub("_", text[:NAME_LIMIT]).strip("_-")


def _digest(server: str, own: str) -> str:
    # The length precedes the name, so that no other two texts result in the same one.
    data = server.encode("utf-8", "surrogatepass")
    return sha256(b"%d:%s%s" % (len(data), data, own.encode("utf-8", "surrogatepass"))).hexdigest()
