"""What views show of the servers' tools, and how much of a large answer: the settings of both."""

from __future__ import annotations

from enum import Enum

from attrs import frozen


class Expose(Enum):
    """What the aggregate endpoint lists."""

    FULL = "full"
    SEARCH = "search"
    HYBRID = "hybrid"
    META = "meta"


class FilterMode(Enum):
    """How the servers are chosen whose tools views offer."""

    NONE = ""
    ALLOW = "allowlist"
    BLOCK = "blocklist"


class Order(Enum):
    """Which tools come first, where there is only room for some.

    ``BACKEND`` is the order of the configuration and of the servers' own lists.
    """

    USAGE = "usage"
    BACKEND = "backend"
    NAME = "name"


class Level(Enum):
    """How much of an answer is shown."""

    OFF = "off"
    BOUNDED = "bounded"
    LEAN = "lean"


@frozen
class ViewSettings:
    """What ``gateway.expose``, ``gateway.compress_schemas`` and ``gateway.tool_filter`` decide.

    :ivar include: servers; all that count where the mode is ``ALLOW``.
    :ivar exclude: servers that are left out in either mode.
    :ivar tool_budget: how many tools are listed in all; 0: all of them.
    :ivar per_server_budget: how many of one server; 0: all of them.
    :ivar consolidate_excess: what is over a server's budget is listed as one tool.
    :ivar pinned: ids of tools that come before all others.
    """

    expose: Expose = Expose.HYBRID
    compress_schemas: bool = False
    mode: FilterMode = FilterMode.NONE
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    tool_budget: int = 0
    per_server_budget: int = 0
    consolidate_excess: bool = False
    budget_order: Order = Order.USAGE
    pinned: tuple[str, ...] = ()


@frozen
class ShieldLimits:
    """How large the answers are that views pass on, and how much of the originals is kept.

    :ivar array_items: items of a list that are shown.
    :ivar string_chars: characters of a text that are shown.
    :ivar field_bytes: the mean size beyond which a field of a list's objects is not shown.
    :ivar total_bytes: bytes of a whole answer.
    :ivar keep: originals that are kept.
    :ivar keep_bytes: bytes of all of them together, as they are kept.
    :ivar mask_secrets: what looks like a secret is not shown.
    """

    level: Level = Level.BOUNDED
    array_items: int = 50
    string_chars: int = 8192
    field_bytes: int = 256
    total_bytes: int = 65_536
    keep: int = 100
    keep_bytes: int = 67_108_864
    mask_secrets: bool = False
