"""Completion of values: clients, keys of the configuration, and the servers, tools and sessions of a gateway."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import click
from click.shell_completion import CompletionItem

from mcpgateway.shim import locations

if TYPE_CHECKING:
    from mcpgateway.config.fields import Kind

NEEDS_LOGIN = "needs login"
LOCAL = ("stdio", "docker", "rest")
SERVERS = "servers."
Names = Callable[[click.Context], Iterable[object]]
Completing = Callable[[click.Context, click.Parameter | None, str], list[CompletionItem]]
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


def catalog_names(
    context: click.Context, parameter: click.Parameter | None, begun: str
) -> list[CompletionItem]:
    """Complete the names of the servers in the package's own catalogue."""
    from mcpgateway.system import package_data

    return [
        CompletionItem(name, help=str(each.get("title", name)))
        for name, each in package_data.recipes().items()
        if name.startswith(begun)
    ]


def _names(context: click.Context) -> Iterator[object]:
    return (each.get("name") for each in _servers(context))


def _tools(context: click.Context) -> list[Mapping[str, Any]]:
    return _rows(_asked(context, "/api/v1/tools"))


def _tools_of(context: click.Context, tools: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """Return the ids of the tools of the server whose name stands before, by their own names."""
    name = context.params.get("identifier")
    return {str(each.get("tool")): str(each.get("name")) for each in tools if each.get("server") == name}


def own_tool_names(
    context: click.Context, parameter: click.Parameter | None, begun: str
) -> list[CompletionItem]:
    """Complete the name of a tool behind that of its server."""
    is_first = not context.params.get("words")
    return _items(_tools_of(context, _tools(context)) if is_first else (), begun)


def held_tool_names(
    context: click.Context, parameter: click.Parameter | None, begun: str
) -> list[CompletionItem]:
    """Complete the name of a tool that is held back, behind that of its server."""
    server = quote(str(context.params.get("name") or ""), safe="")
    held = _member(_member(_asked(context, f"/api/v1/servers/{server}"), "lock"), "held") or ()
    return _items((str(each.get("tool")) for each in held), begun)


def argument_names(
    context: click.Context, parameter: click.Parameter | None, begun: str
) -> list[CompletionItem]:
    """Complete the arguments of the tool that stands before; behind a server, the names of its tools."""
    tools, words = _tools(context), tuple(context.params.get("words") or ())
    named = [str(each.get("name")) for each in tools if context.params.get("identifier") in _names_of(each)]
    of_server = _tools_of(context, tools)
    if of_server and not named and not words:
        return _items(of_server, begun)
    if of_server and not named:
        named, words = [of_server[words[0]]] if words[0] in of_server else [], words[1:]
    if not named:
        return []
    schema = _member(_asked(context, f"/api/v1/tools/{quote(named[0], safe='')}"), "inputSchema")
    members = _member(schema, "properties") or {}
    given = {each.partition("=")[0] for each in words if "=" in each.strip("=")}
    left = [each for each in members if each not in given]
    return _assigned(words, begun, left, lambda name: _choices(members.get(name)))


def _names_of(tool: Mapping[str, Any]) -> tuple[object, object]:
    return tool.get("name"), tool.get("tool")


def _remote(context: click.Context) -> list[Mapping[str, Any]]:
    return [each for each in _servers(context) if each.get("transport") not in LOCAL]


def _needing_sign_in(context: click.Context) -> Iterator[object]:
    """Yield the names of servers that need a sign-in; of all remote ones where none does."""
    remote = _remote(context)
    needing = [each for each in remote if each.get("status") == NEEDS_LOGIN]
    return (each.get("name") for each in needing or remote)


def _servers(context: click.Context) -> list[Mapping[str, Any]]:
    return _rows(_member(_asked(context, "/health"), "backends"))


def _config_keys(context: click.Context) -> dict[str, Kind]:
    """Return the keys of the configuration, with the names of the gateway's servers in them."""
    from mcpgateway.config.reference import ANY, known_keys

    names = list(_names(context))
    found: dict[str, Kind] = {}
    for each in known_keys():
        key, kind = ".".join(each.key_path), each.key.kind
        if key.startswith(f"{SERVERS}{ANY}"):
            found |= {f"{SERVERS}{name}{key[len(SERVERS + ANY) :]}": kind for name in names}
        elif ANY not in key.split("."):
            found[key] = kind
    return found


def _server_keys(_: click.Context) -> dict[str, Kind]:
    """Return the keys of a server's entry."""
    from mcpgateway.config.reference import ANY, known_keys

    listed = [
        (each.key_path[2:], each.key.kind) for each in known_keys() if each.key_path[:2] == ("servers", ANY)
    ]
    return {".".join(path): kind for path, kind in listed if path and ANY not in path}


def _set_keys(context: click.Context) -> Iterator[str]:
    """Yield the keys that the entry of the server before has; all keys where it is not known."""
    entry = _member(_asked(context, "/api/v1/servers/{}", "name"), "config")
    yield from _paths(entry) if isinstance(entry, dict) else _server_keys(context)


def _paths(value: Mapping[str, Any], before: str = "") -> Iterator[str]:
    for key, each in value.items():
        yield f"{before}{key}"
        if isinstance(each, dict):
            yield from _paths(each, f"{before}{key}.")


def _choices(schema: Any) -> list[object]:
    """Return the values that a JSON Schema names."""
    if _member(schema, "type") == "boolean":
        return ["true", "false"]
    further = _member(schema, "anyOf") or _member(schema, "oneOf") or ()
    return [*(_member(schema, "enum") or ()), *(value for each in further for value in _choices(each))]


def _assigned(
    words: Sequence[str], begun: str, keys: Collection[str], choices: Callable[[str], Iterable[object]]
) -> list[CompletionItem]:
    """Complete ``KEY=VALUE``, of which bash sees KEY, = and VALUE as words of their own.

    :param words: those before.
    :param choices: returns the values of a key.
    """
    key, equals, _ = begun.partition("=")
    if equals:
        return _items((f"{key}={each}" for each in choices(key)), begun)
    *former, last = ("", *words)
    is_behind_key = last in keys and not begun
    if is_behind_key or (last == "=" and former):
        return _items(choices(last if is_behind_key else former[-1]), begun)
    return _items((f"{each}=" for each in keys), begun)


def _agents(_: click.Context) -> Iterable[str]:
    from mcpgateway.clientfiles.instructions.agents import PLUGIN, clients

    return (*clients(), PLUGIN)


def _findings(_: click.Context) -> list[str]:
    from mcpgateway.cli.doctor.examination import kinds

    return ["all", *sorted({each.id for each in kinds()})]


def _listed(path: str, member: str, key: str) -> Names:
    """Return a source of the values of one member of all rows of a list of the gateway."""
    return lambda context: (each.get(key) for each in _rows(_member(_asked(context, path), member)))


def _of_server(key: str) -> Names:
    """Return a source of the values of a list of the server whose name stands before."""
    return lambda context: _member(_asked(context, "/api/v1/servers/{}", "name"), key) or ()


def _completing(names: Names) -> Completing:
    """Return the completion of a value by these names."""

    def complete(
        context: click.Context, parameter: click.Parameter | None, begun: str
    ) -> list[CompletionItem]:
        return _items(names(context), begun)

    return complete


def _assigning(keys: Callable[[click.Context], Mapping[str, Kind]]) -> Completing:
    """Return the completion of an assignment to one of these keys."""

    def complete(
        context: click.Context, parameter: click.Parameter | None, begun: str
    ) -> list[CompletionItem]:
        known = keys(context)

        def choices(key: str) -> list[object]:
            return _choices(known[key].json()) if key in known else []

        return _assigned(tuple(context.params.get("assignments") or ()), begun, known, choices)

    return complete


server_names = _completing(_names)
remote_names = _completing(lambda context: (each.get("name") for each in _remote(context)))
sign_in_names = _completing(_needing_sign_in)
config_keys, config_assignments = _completing(_config_keys), _assigning(_config_keys)
server_keys, server_assignments = _completing(_set_keys), _assigning(_server_keys)
variable_names = _completing(_of_server("env_keys"))
header_names = _completing(_of_server("header_keys"))
session_ids = _completing(_listed("/api/v1/sessions", "sessions", "id"))
call_ids = _completing(_listed("/api/v1/activity", "records", "id"))
token_names = _completing(_listed("/api/v1/tokens", "tokens", "name"))
job_ids = _completing(_listed("/api/v1/jobs", "items", "id"))
dashboard_ids = _completing(_listed("/api/v1/ui/sessions", "items", "id"))
finding_ids = _completing(_findings)
agent_names = _completing(_agents)


def tool_ids(context: click.Context, parameter: click.Parameter | None, begun: str) -> list[CompletionItem]:
    """Complete the id of a tool, or its name where no id begins so."""
    tools = _tools(context)
    return _items((each.get("name") for each in tools), begun) or _items(
        dict.fromkeys(each.get("tool") for each in tools), begun
    )


def _member(found: Any, key: str) -> Any:
    return found.get(key) if isinstance(found, dict) else None


def _rows(found: Any) -> list[Mapping[str, Any]]:
    return [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []


def node_names(context: click.Context, parameter: click.Parameter | None, begun: str) -> list[CompletionItem]:
    """Complete the names of the nodes of a cluster."""
    return _items(
        (each.get("name") for each in _rows(_member(_asked(context, "/api/v1/cluster"), "items"))), begun
    )


def _items(names: Iterable[object], begun: str) -> list[CompletionItem]:
    return [CompletionItem(str(each)) for each in names if str(each).startswith(begun)]


def _asked(context: click.Context, path: str, argument: str = "") -> Any:
    """Send a request to the gateway; None if none answers in time.

    :param argument: the argument before, whose value stands in the path.
    """
    from mcpgateway.cli.client import GatewayClient, NoGateway
    from mcpgateway.cli.console import Trouble
    from mcpgateway.cli.context import Globals

    environ = locations.environment()
    options = context.find_root().params
    url = options.get("url") or locations.variable(environ, locations.URL_VARIABLE)
    with suppress(NoGateway, Trouble, locations.Unusable):
        home = locations.gateway_home(environ, options.get("home"))
        globals_ = Globals(home, "", url, options.get("token_file") or "")
        asked = path.format(quote(str(context.params.get(argument)), safe=""))
        return GatewayClient(globals_).ask(asked, limit_s=ANSWER_S).value
    return None
