"""Completion of values: clients, and the servers and tools of a running gateway."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from typing import Any

import click
from click.shell_completion import CompletionItem

from mcpgateway.shim import locations

ANSWER_S = 1.0  # a user waits after pressing a key


def command_names(
    context: click.Context, parameter: click.Parameter | None, begun: str
) -> list[CompletionItem]:
    """Complete the commands of a group, whose words stand before."""
    group = context.find_root()
    for word in context.params.get("words") or ():
        command = group.command
        inner = command.get_command(group, word) if isinstance(command, click.Group) else None
        if inner is None:
            return []
        group = click.Context(inner, group, word)
    if not isinstance(group.command, click.Group):
        return []
    return _items(group.command.list_commands(group), begun)


def client_names(
    context: click.Context, parameter: click.Parameter | None, begun: str
) -> list[CompletionItem]:
    """Complete the names of known clients."""
    from mcpgateway.clientfiles.formats.clients import DIALECTS

    return [CompletionItem(each, help=DIALECTS[each].title) for each in DIALECTS if each.startswith(begun)]


def server_names(
    context: click.Context, parameter: click.Parameter | None, begun: str
) -> list[CompletionItem]:
    """Complete the names of the gateway's servers, if a gateway answers."""
    found = _asked(context, "/health")
    servers = found.get("backends", ()) if isinstance(found, dict) else ()
    return _items((each.get("name") for each in servers if isinstance(each, dict)), begun)


def tool_ids(context: click.Context, parameter: click.Parameter | None, begun: str) -> list[CompletionItem]:
    """Complete the ids of all tools, if a gateway answers."""
    found = _asked(context, "/api/v1/tools")
    tools = found if isinstance(found, list) else []
    return _items((each.get("name") for each in tools if isinstance(each, dict)), begun)


def argument_names(
    context: click.Context, parameter: click.Parameter | None, begun: str
) -> list[CompletionItem]:
    """Complete the arguments of the tool that stands before, if a gateway answers."""
    from urllib.parse import quote

    found = _asked(context, f"/api/v1/tools/{quote(str(context.params.get('identifier')), safe='')}")
    schema = found.get("inputSchema") if isinstance(found, dict) else None
    properties = schema.get("properties") if isinstance(schema, dict) else None
    return _items((f"{name}=" for name in properties or ()), begun)


def _items(names: Iterable[object], begun: str) -> list[CompletionItem]:
    return [CompletionItem(str(each)) for each in names if str(each).startswith(begun)]


def _asked(context: click.Context, path: str) -> Any:
    """Send a request to the gateway; None if none answers in time."""
    from mcpgateway.cli.client import GatewayClient, NoGateway
    from mcpgateway.cli.console import Trouble
    from mcpgateway.cli.context import Globals

    environ = locations.environment()
    options = context.find_root().params
    url = options.get("url") or environ.get(locations.URL_VARIABLE, "")
    with suppress(NoGateway, Trouble, locations.Unusable):
        home = locations.gateway_home(environ, options.get("home"))
        globals_ = Globals(home, "", url, options.get("token_file") or "")
        return GatewayClient(globals_).ask(path, limit_s=ANSWER_S).value
    return None
