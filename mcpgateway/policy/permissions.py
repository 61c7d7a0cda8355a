"""The permissions of a token: servers, tools, and the right to change something.

# Note [Patterns]
A pattern is a name in which ``*`` stands for any characters.  One with two underscores in it is matched against
``<server>__<tool>``, any other against the tool's own name, so that no server can bring a tool whose name is another's.
"""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct

ANY = "*"
BETWEEN = "__"
PATTERN_LIMIT = 200  # characters
PATTERNS_LIMIT = 100  # of one token

TIERS = (READ, WRITE, DESTRUCTIVE) = ("read", "write", "destructive")
"""What tools do, by their servers' annotations: nothing but read; change something; perhaps destroy something."""

READ_METHODS = frozenset(
    (
        "initialize",
        "ping",
        "server/discover",
        "subscriptions/listen",
        "tools/list",
        "prompts/list",
        "prompts/get",
        "resources/list",
        "resources/templates/list",
        "resources/read",
        "resources/subscribe",
        "resources/unsubscribe",
        "completion/complete",
        "logging/setLevel",
        "tasks/list",
        "tasks/get",
        "tasks/result",
        "tasks/cancel",
        "tasks/update",
    )
)
"""Methods that change nothing but the caller's own state; calls of tools are judged by the tool's name."""

OWN_TOOLS = frozenset(
    (
        "search",
        "describe",
        "describe_tool",
        "list_servers",
        "list_tools",
        "invoke",
        "call",
        "invoke_async",
        "invoke_status",
        "get_result",
    )
)
"""The gateway's own tools that show and use no more than the view they are called on."""


class TokenScope(Struct, frozen=True):
    """The permissions of a token; an empty member is no limit.

    :ivar servers: patterns of servers' names.
    :ivar tools: patterns of tools.
    :ivar read_only: the token allows only tools that their server declares to be read-only.
    :ivar tier: the token allows only tools of this tier and lower ones.
    :ivar is_void: the token allows nothing, since it is no longer valid.
    """

    servers: tuple[str, ...] = ()
    tools: tuple[str, ...] = ()
    read_only: bool = False
    is_void: bool = False
    tier: str = ""

    @property
    def is_whole(self) -> bool:
        """True if the token is not limited."""
        return not (self.servers or self.tools or self.highest_tier or self.is_void)

    @property
    def highest_tier(self) -> str:
        """The highest of `TIERS` that it allows; empty for any."""
        return READ if self.read_only else self.tier

    @property
    def names_tools(self) -> bool:
        """True if the permission depends on the tool of a server that is called."""
        return bool(self.tools or self.highest_tier)

    def admits_server(self, server: str) -> bool:
        """True if anything of a server may be used."""
        return not self.is_void and (not self.servers or any(matches(each, server) for each in self.servers))

    def admits_tool(self, server: str, tool: str, tier: str) -> bool:
        """True if a tool may be called.

        :param tool: the tool's own name.
        :param tier: its tier, as its server's annotations have it.
        """
        if not self.admits_server(server) or exceeds(tier, self.highest_tier):
            return False
        return not self.tools or matches_any(self.tools, server, tool)

    def admits_method(self, method: str) -> bool:
        """True if a request that calls no tool is allowed; unknown methods are not, as they may change something."""
        return not self.is_void and (not self.names_tools or method in READ_METHODS)


NOTHING = TokenScope(is_void=True)


def exceeds(tier: str, limit: str) -> bool:
    """True if tools of a tier do more than a limit allows; an empty limit allows all of `TIERS`."""
    return bool(limit) and TIERS.index(tier) > TIERS.index(limit)


def matches(pattern: str, name: str) -> bool:
    """True if a name matches a pattern, in time linear in both lengths."""
    first, *others = pattern.split(ANY)
    if not others:
        return name == pattern
    *middle, last = others
    if len(name) < len(first) + len(last) or not (name.startswith(first) and name.endswith(last)):
        return False
    at, end = len(first), len(name) - len(last)
    for part in middle:
        found = name.find(part, at, end)
        if found < 0:
            return False
        at = found + len(part)
    return True


def matches_any(patterns: Iterable[str], server: str, tool: str) -> bool:
    """True if a tool matches one of these patterns; see Note [Patterns]."""
    return any(matches(each, f"{server}{BETWEEN}{tool}" if BETWEEN in each else tool) for each in patterns)


def is_off(patterns: Iterable[str], tool: str) -> bool:
    """True if a server's ``tools_off`` takes a tool of that name out of its offer."""
    return any(matches(each, tool) for each in patterns)


def fault_of(patterns: Iterable[str]) -> str:
    """Return the mistake in patterns; empty for good ones."""
    found = list(patterns)
    if len(found) > PATTERNS_LIMIT:
        return f"there are more than {PATTERNS_LIMIT} patterns"
    for each in found:
        if not each or len(each) > PATTERN_LIMIT or not each.isprintable() or each != each.strip():
            return f"a pattern is a name of 1 to {PATTERN_LIMIT} characters, in which * stands for any"
    return ""
