"""What a shell is told of values that only this machine knows: clients, and the servers of a running gateway."""

from __future__ import annotations

from contextlib import suppress

import click
from click.shell_completion import CompletionItem

from mcpgateway.bridge import places

ANSWER_S = 1.0  # somebody has pressed a key


def client_names(
    context: click.Context, parameter: click.Parameter | None, begun: str
) -> list[CompletionItem]:
    """The clients that are known."""
    from mcpgateway.config.clients.dialects import DIALECTS

    return [CompletionItem(each, help=DIALECTS[each].title) for each in DIALECTS if each.startswith(begun)]


def server_names(
    context: click.Context, parameter: click.Parameter | None, begun: str
) -> list[CompletionItem]:
    """The servers of the gateway, where one answers."""
    from mcpgateway.ctl.console import Trouble
    from mcpgateway.ctl.context import Globals
    from mcpgateway.ctl.remote import Away, Remote

    environ = places.environment()
    said = context.find_root().params
    url = said.get("url") or environ.get(places.URL_VARIABLE, "")
    with suppress(Away, Trouble, places.Unusable):
        home = places.gateway_home(environ, said.get("home"))
        globals_ = Globals(home, "", url, said.get("token_file") or "")
        found = Remote(globals_).ask("/health", limit_s=ANSWER_S).value
        servers = found.get("backends", ()) if isinstance(found, dict) else ()
        names = [str(each.get("name")) for each in servers if isinstance(each, dict)]
        return [CompletionItem(each) for each in names if each.startswith(begun)]
    return []
