"""The settings of views and of the shield: which tools are listed, and how much of a large answer is shown."""

from __future__ import annotations

from enum import Enum

from attrs import frozen

from mcpgateway.config.fields import Choice, Flag, Switch, Texts, WholeNumber
from mcpgateway.config.section import Section, keys_of, setting


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


class Order(Enum):
    """The order of tools, where a list has room for some only.

    ``BACKEND`` is the order of the configuration and of the servers' own lists.
    """

    USAGE = "usage"
    BACKEND = "backend"
    NAME = "name"


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
