"""Which views there are, and which servers each of them shows."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import TYPE_CHECKING

from attrs import frozen

from mcpgateway.config.document import printable
from mcpgateway.config.model import ServerSpec, Share
from mcpgateway.config.surface import Expose, ShieldLimits
from mcpgateway.errors import InvalidParams
from mcpgateway.hub.views import ViewsConfig

if TYPE_CHECKING:
    from mcpgateway.hub.results.originals import Vault
    from mcpgateway.hub.usage import Usage
    from mcpgateway.owntools.job_records import JobStore

MAIN = "mcp"
ADMIN = "admin"
FULL, SEARCH, HYBRID = Expose.FULL.value, Expose.SEARCH.value, Expose.HYBRID.value
VIEWS_LIMIT = 1000  # whose entries are held
_PROFILES = "mcp/p/"
_FIXED = {"mcp/full": FULL, "mcp/search": SEARCH, "mcp/admin": ADMIN}


@frozen
class Keepers:
    """What is kept of what happens on views; each None where nothing is.

    :ivar jobs: where jobs outlive the gateway.
    :ivar usage: makes what counts calls of tools.
    :ivar vault: makes what keeps the originals of shortened answers.
    """

    jobs: JobStore | None = None
    usage: Callable[[], Usage] | None = None
    vault: Callable[[ShieldLimits], Vault] | None = None


NOTHING_KEPT = Keepers()


def view_specs(ways: ViewsConfig) -> tuple[ServerSpec, ...]:
    """The entries of all views; their names are their paths."""
    kinds = {MAIN: ways.gateway.views.expose.value, **_FIXED}
    kinds.update({f"{_PROFILES}{each}": FULL for each in ways.profiles})
    return tuple(_entry(name, kind) for name, kind in kinds.items())


@lru_cache(maxsize=VIEWS_LIMIT)
def _entry(name: str, kind: str) -> ServerSpec:
    # The same object whoever asks, since what is known of servers is known of one entry.
    return ServerSpec(
        name, (), {}, "/", share=Share.GLOBAL, title=name, source="the gateway itself", view=kind
    )


def concerned(view: ServerSpec, servers: Iterable[ServerSpec], ways: ViewsConfig) -> tuple[ServerSpec, ...]:
    """The servers that a view is of, switched on or off: all, or those of its profile."""
    name = view.name.removeprefix(_PROFILES)
    named = None if name == view.name else ways.profiles[name].servers if name in ways.profiles else ()
    return tuple(each for each in servers if named is None or each.name in named)


def check_directory(cwd: str) -> None:
    """Refuse what is no directory that somebody could work in.

    :raise InvalidParams: it is none.
    """
    if not (os.path.isabs(cwd) and os.path.isdir(cwd)):
        raise InvalidParams(f"cwd is no directory: {printable(cwd)}", "pass the absolute path of one")
