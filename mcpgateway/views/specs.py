"""The entries of all views, and the servers that each of them shows."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import TYPE_CHECKING

from mcpgateway.config.document import printable
from mcpgateway.config.model import ServerSpec, Share
from mcpgateway.config.surface import Expose, ShieldLimits
from mcpgateway.errors import InvalidParams
from mcpgateway.hub.views import ViewsConfig
from mcpgateway.records import FrozenRecord

if TYPE_CHECKING:
    from mcpgateway.hub.results.originals import Vault
    from mcpgateway.hub.usage import Usage
    from mcpgateway.interfaces import IOtherNodes, Launch
    from mcpgateway.owntools.job_records import JobStore

MAIN = "mcp"
ADMIN = "admin"
FULL, SEARCH, HYBRID, META = (each.value for each in Expose)
VIEWS_LIMIT = 1000  # views whose entries are held
_PROFILES = "mcp/p/"
_FIXED = {"mcp/full": FULL, "mcp/search": SEARCH, "mcp/admin": ADMIN}


class ViewStorage(FrozenRecord, frozen=True):
    """The storage of views' data; each None where nothing is kept.

    :ivar jobs: stores jobs, which outlive the gateway.
    :ivar usage: makes the counter of tool calls.
    :ivar vault: makes the storage of originals of shortened results.
    :ivar others: fetches jobs and originals of other nodes; None for a gateway that is alone.
    :ivar semantic: makes the launch of the program that ranks tools by meaning and keeps their vectors.
    """

    jobs: JobStore | None = None
    usage: Callable[[], Usage] | None = None
    vault: Callable[[ShieldLimits], Vault] | None = None
    others: IOtherNodes | None = None
    semantic: Callable[[], Launch | None] | None = None


NOTHING_KEPT = ViewStorage()


def view_specs(views_config: ViewsConfig) -> tuple[ServerSpec, ...]:
    """Return the entries of all views; their names are their paths."""
    kinds = {MAIN: views_config.gateway.views.expose.value, **_FIXED}
    profiles = (
        _entry(f"{_PROFILES}{name}", FULL, each.tools_off, each.tier, each.budget)
        for name, each in views_config.profiles.items()
    )
    return (*(_entry(name, kind) for name, kind in kinds.items()), *profiles)


@lru_cache(maxsize=VIEWS_LIMIT)
def _entry(
    name: str, kind: str, tools_off: tuple[str, ...] = (), tier: str = "", budget: int = 0
) -> ServerSpec:
    # The same object each time, since facts about servers are kept by the identity of the entry.
    return ServerSpec(
        name,
        (),
        {},
        "/",
        share=Share.GLOBAL,
        title=name,
        source="the gateway itself",
        view=kind,
        tools_off=tools_off,
        tier=tier,
        budget=budget,
    )


def profile_of(view: ServerSpec) -> str:
    """Return the name of the profile whose view it is; empty for another view."""
    name = view.name.removeprefix(_PROFILES)
    return name if name != view.name else ""


def concerned(
    view: ServerSpec, servers: Iterable[ServerSpec], views_config: ViewsConfig
) -> tuple[ServerSpec, ...]:
    """Return the servers of a view, switched on or off: all, or those of its profile."""
    name = profile_of(view)
    if not name:
        return tuple(servers)
    named = views_config.profiles[name].servers if name in views_config.profiles else ()
    return tuple(each for each in servers if each.name in named)


def check_directory(cwd: str) -> None:
    """Check that a path is a directory that a client can work in.

    :raise InvalidParams: the path is not absolute, or no directory.
    """
    if not (os.path.isabs(cwd) and os.path.isdir(cwd)):
        raise InvalidParams(f"cwd is no directory: {printable(cwd)}", "pass the absolute path of one")
