"""The settings of views, groups and the shield: the tools that are listed, servers that belong together, large answers.

# Note [Expressions of users]
Users write the expressions of groups, and `re` tries every way in which one may match.  The names that they are matched
with have 64 characters at most, and an expression that can match them in more than `WAYS_LIMIT` ways is refused: the
rest take a few milliseconds at worst.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from enum import Enum
from functools import lru_cache
from math import prod
from string import Formatter
from typing import Any

from attrs import frozen

from mcpgateway.config.document import Place
from mcpgateway.config.fields import FILLED, Choice, Flag, ListOf, Switch, Text, Texts, WholeNumber, text
from mcpgateway.config.names import NAME_CHARACTERS
from mcpgateway.config.problems import Problems
from mcpgateway.config.section import Key, Section, keys_of, setting
from mcpgateway.records import FrozenRecord


class Expose(Enum):
    """The tools that the endpoint for all servers lists."""

    FULL = "full"
    SEARCH = "search"
    HYBRID = "hybrid"
    META = "meta"


class FilterMode(Enum):
    """The choice of the servers whose tools views offer."""

    NONE = ""
    ALLOW = "allowlist"
    BLOCK = "blocklist"


class SearchFormat(Enum):
    """The members of each hit of a search."""

    COMPACT = "compact"
    FULL = "full"


class Order(Enum):
    """The order of tools, where a list has room for some only.

    ``BACKEND`` is the order of the configuration and of the servers' own lists.
    """

    USAGE = "usage"
    BACKEND = "backend"
    NAME = "name"


class SemanticMode(Enum):
    """The use of the semantic search."""

    AUTO = "auto"
    OFF = "off"


class Level(Enum):
    """The amount of an answer that is shown."""

    OFF = "off"
    BOUNDED = "bounded"
    LEAN = "lean"


GIB = 2**30
# "full" is the word of some files for the level that shortens most.
LEVELS = Switch({**{each.value: each for each in Level}, "full": Level.LEAN}, {False: Level.OFF})
FILTER = "tool_filter"


@frozen
class ViewSettings:
    """The settings ``gateway.expose``, ``gateway.compress_schemas`` and ``gateway.tool_filter``.

    :ivar include: names of servers; no others count where the mode is ``ALLOW``.
    :ivar exclude: names of servers whose tools are left out in either mode.
    :ivar pinned: ids of tools that come before all others.
    """

    expose: Expose = setting(
        "expose",
        Choice({each.value: each for each in Expose}),
        "What ``/mcp`` lists. ``full``: every tool. ``search``: tools that find, describe and call all others. "
        "``hybrid``: these, and a few that are pinned or called most. ``meta``: the tools of Klipide's gateway.",
        "hybrid",
    )
    compress_schemas: bool = setting(
        "compress_schemas",
        Flag(),
        "Whether views list each tool with the first sentence of its description only, and without examples.",
        default=False,
    )
    mode: FilterMode = setting(
        "mode",
        Choice({each.value: each for each in FilterMode}),
        "Which servers' tools views offer. ``allowlist``: only those of ``include_servers``. ``blocklist``: all "
        "but those of ``exclude_servers``.",
        "",
        below=FILTER,
    )
    include: tuple[str, ...] = setting(
        "include_servers", Texts(), "Servers whose tools are offered.", [], below=FILTER
    )
    exclude: tuple[str, ...] = setting(
        "exclude_servers", Texts(), "Servers whose tools are not offered, in either mode.", [], below=FILTER
    )
    tool_budget: int = setting(
        "tool_budget",
        WholeNumber(0, 1_000_000),
        "How many tools are listed in all; 0: all of them. The others can be called all the same.",
        0,
        below=FILTER,
    )
    per_server_budget: int = setting(
        "per_server_budget",
        WholeNumber(0, 1_000_000),
        "How many tools of one server are listed; 0: all.",
        0,
        below=FILTER,
    )
    consolidate_excess: bool = setting(
        "consolidate_excess",
        Flag(),
        "Whether what is over a server's budget is listed as one tool, ``<server>__more_tools``.",
        default=False,
        below=FILTER,
    )
    budget_order: Order = setting(
        "budget_order",
        Choice({**{each.value: each for each in Order}, "config": Order.BACKEND}),
        "Which tools come first. ``usage``: the pinned ones, then those called most. ``backend`` (``config``): the "
        "order of the servers and of their own lists. ``name``: the alphabet.",
        "usage",
        below=FILTER,
    )
    pinned: tuple[str, ...] = setting(
        "pinned", Texts(), "Tools that come before all others, as ``<server>__<tool>``.", [], below=FILTER
    )
    search_format: SearchFormat = setting(
        "search_format",
        Choice({each.value: each for each in SearchFormat}),
        "What ``gateway_search`` tells of a tool. ``compact``: its id, arguments and description in 45 tokens. "
        "``full``: all members that harshal-mcp-proxy has. Files of harshal-mcp-proxy have ``full``.",
        "compact",
    )
    semantic_search: SemanticMode = setting(
        "semantic_search",
        Choice({each.value: each for each in SemanticMode}),
        "Whether ``gateway_search`` ranks tools by the meaning of a question too. ``auto``: where"
        " ``mcpgateway[semantic]`` is installed, by a program of its own. ``off``: by words alone.",
        "auto",
    )


TOOL_FILTER = Section("The filter of tools", keys_of(ViewSettings, FILTER))


@frozen
class ShieldLimits:
    """The bounds of the answers that views pass on, and of the whole answers that are kept."""

    level: Level = setting(
        "level",
        LEVELS,
        "How much of an answer is shown on views. ``off``: all of it. ``bounded``: what is within the limits. "
        "``lean`` (``full``): as little as tells what there is. What is left out can be asked for.",
        "bounded",
    )
    array_items: int = setting("array_items", WholeNumber(1, GIB), "Items of a list that are shown.", 50)
    string_chars: int = setting(
        "string_chars", WholeNumber(1, GIB), "Characters of a text that are shown.", 8192
    )
    field_bytes: int = setting(
        "field_bytes",
        WholeNumber(1, GIB),
        "Mean size of a field that is shown of each object in a list.",
        256,
    )
    total_bytes: int = setting("total_bytes", WholeNumber(1024, GIB), "Bytes of a whole answer.", 65_536)
    keep: int = setting("keep", WholeNumber(0, 1_000_000), "Whole answers that are kept.", 100)
    keep_bytes: int = setting(
        "keep_bytes", WholeNumber(0, 1024 * GIB), "Bytes of all whole answers that are kept.", 67_108_864
    )
    mask_secrets: bool = setting(
        "mask_secrets", Flag(), "Whether what looks like a token or a password is masked.", default=False
    )


SHIELD = Section("The shield against large answers", keys_of(ShieldLimits))


PATTERN_CHARACTERS = 200
WAYS_LIMIT = 300_000  # three times .*
RULES_LIMIT = 50


@frozen
class GroupRule:
    """A rule that assigns servers to groups by their names.

    :ivar match: the expression that matches the whole name of a server.
    :ivar key: the name of the group; ``{part}`` stands for a named part of the match.
    :ivar title: the heading above all groups of the rule.
    """

    match: re.Pattern[str]
    key: str
    title: str = ""


class NamePattern(FrozenRecord, frozen=True):
    """A regular expression of names."""

    words: str = (
        f"a regular expression of at most {PATTERN_CHARACTERS} characters, with few repetitions and without"
        " repetitions in repetitions, such as ^sap-(?P<system>[A-Z0-9]{3})$"
    )

    def read(self, place: Place, problems: Problems) -> re.Pattern[str]:
        """Read an expression; see Note [Expressions of users]."""
        written = text(place)
        if not 0 < len(written) <= PATTERN_CHARACTERS:
            raise place.wrong(self.words)
        try:
            found = re.compile(written)
        except (re.error, OverflowError, RecursionError) as why:
            raise place.wrong(self.words, str(why)) from None
        if ways(written) > WAYS_LIMIT:
            hint = "it can match one name in too many ways, which would hold up the gateway"
            raise place.wrong(self.words, hint)
        return found

    def json(self) -> dict[str, Any]:
        """Return the JSON Schema of expressions."""
        return {"type": "string", "minLength": 1, "maxLength": PATTERN_CHARACTERS, "format": "regex"}


def ways(pattern: str) -> int:
    """Return a bound of the number of ways in which an expression may match a name."""
    from re import _parser  # type: ignore[attr-defined]  # typeshed does not know it

    return _ways(_parser.parse(pattern))


def _ways(items: Iterable[Any]) -> int:
    """Return the bound for a sequence of parsed items; see Note [Expressions of users]."""
    found = 1
    for code, value in items:
        match str(code):
            case "MAX_REPEAT" | "MIN_REPEAT" | "POSSESSIVE_REPEAT":
                least, most, inner = value
                one = _ways(inner)
                least, most = min(least, NAME_CHARACTERS), min(most, NAME_CHARACTERS)
                found *= most - least + 1 if one == 1 else sum(one**times for times in range(least, most + 1))
            case "BRANCH":
                found *= sum(map(_ways, value[1]))
            case "SUBPATTERN":
                found *= _ways(value[-1])
            case "ASSERT" | "ASSERT_NOT":
                found *= _ways(value[1])
            case "ATOMIC_GROUP":
                found *= _ways(value)
            case "GROUPREF_EXISTS":
                found *= prod(_ways(each) for each in value[1:] if each is not None)
        if found > WAYS_LIMIT:
            break
    return found


GROUP = Section(
    "A rule of groups",
    [
        Key(
            "match",
            NamePattern(),
            "Regular expression of the whole names of the group's servers, with named parts.",
        ),
        Key("key", FILLED, "The group's name; ``{part}`` stands for the part of that name."),
        Key("title", Text(), "Heading above all groups of the rule.", ""),
    ],
)


class GroupRules(FrozenRecord, frozen=True):
    """Rules of groups."""

    words: str = "a list of rules, each with match and key"

    def read(self, place: Place, problems: Problems) -> tuple[GroupRule, ...]:
        """Read the rules that can be read; the others are problems."""
        if not isinstance(place.value, list) or len(place.value) > RULES_LIMIT:
            raise place.wrong_secret(f"{self.words}, and at most {RULES_LIMIT} of them")
        return tuple(rule for each in place.items() for rule in _rules(each, problems))

    def json(self) -> dict[str, Any]:
        """Return the JSON Schema of lists of rules."""
        return {
            "type": "array",
            "maxItems": RULES_LIMIT,
            "items": {**GROUP.json(), "required": ["match", "key"]},
        }


def _rules(place: Place, problems: Problems) -> Iterable[GroupRule]:
    found = GROUP.read(place, problems)
    for name in ("match", "key"):
        if not place.has(name):
            problems.append(place.at(name).wrong(GROUP.keys[name].kind.words).problem)
    if "match" not in found or "key" not in found:
        return
    pattern = found["match"]
    try:
        named = [part for _, part, spec, how in Formatter().parse(found["key"]) if part is not None]
        is_plain = all(not spec and not how for _, part, spec, how in Formatter().parse(found["key"]) if part)
    except ValueError:
        named, is_plain = [], False
    if not is_plain or not set(named) <= set(pattern.groupindex):
        parts = (
            ", ".join(f"{{{each}}}" for each in pattern.groupindex) or "none, since match has no named part"
        )
        problems.append(place.at("key").wrong(f"text in which the parts are {parts}").problem)
        return
    yield GroupRule(pattern, found["key"], found.get("title", ""))


SAP = (
    r"^(?:vsp|sap-gui)-(?P<sid>[A-Z0-9]{3})-(?P<client>[0-9]{3})$",
    r"^(?:vsp|sap-gui)-(?P<sid>[A-Z0-9]{3})$",
)
PRESETS = {
    "sap": (
        GroupRule(re.compile(SAP[0]), "{sid} client {client}", "SAP systems"),
        GroupRule(re.compile(SAP[1]), "{sid}", "SAP systems"),
    )
}


@frozen
class GroupSettings:
    """The rules that assign servers to groups.

    :ivar own: the rules of the configuration.
    """

    own: tuple[GroupRule, ...] = setting(
        "groups",
        GroupRules(),
        "Rules that assign servers to groups by their names; the first that matches counts. Lists of servers and the"
        " dashboard show groups, each in the worst state of its servers.",
        [],
    )
    presets: tuple[str, ...] = setting(
        "presets",
        ListOf(Choice.of(*PRESETS)),
        "Rules of groups that come with the gateway, after those of ``groups``. ``sap``: ``vsp-D10-100`` and"
        " ``sap-gui-D10-100`` are the group ``D10 client 100`` of ``SAP systems``.",
        [],
    )

    @property
    def rules(self) -> tuple[GroupRule, ...]:
        """The rules of the configuration, then those of the presets."""
        return (*self.own, *(rule for each in self.presets for rule in PRESETS[each]))


@lru_cache(maxsize=2048)
def group_of(rules: tuple[GroupRule, ...], name: str) -> tuple[str, str]:
    """Return the group of a server and the heading above it, by the first rule that matches; empty texts for none."""
    for rule in rules:
        if match := rule.match.fullmatch(name[:NAME_CHARACTERS]):
            parts = {part: value or "" for part, value in match.groupdict().items()}
            return " ".join(rule.key.format_map(parts).split()), rule.title
    return "", ""
