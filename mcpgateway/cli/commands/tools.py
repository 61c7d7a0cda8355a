"""All servers' tools: listing, searching, describing and calling them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from shutil import get_terminal_size
from typing import Any

import click

from mcpgateway.cli.commands.discover import refresh
from mcpgateway.cli.completion_values import argument_names, server_names, tool_ids
from mcpgateway.cli.console import DONE, FAILED, answer, fail, in_json, is_terminal, say, show, table
from mcpgateway.cli.context import Globals
from mcpgateway.cli.lazy import SuggestingGroup
from mcpgateway.cli.queries import TableQuery, ask
from mcpgateway.cli.values import TimeOption, json_object

API = "/api/v1"
TOOL = f"{API}/tools/{{tool}}"
LIST_S = 60.0  # servers whose tools are unknown are asked first
CALL = "10m"
MARGIN_S = 5.0  # so that the gateway reports its own timeout
SHOWN, NAME_WIDTH = 72, 40  # characters of a description in a table, at least, and of most ids
LITERALS = frozenset(("integer", "number", "boolean", "array", "object", "null"))
KINDS = {"image": "image", "audio": "audio"}


def _short(text: str) -> str:
    """Return a description as one line: whole in a pipe, and as long as a line of the terminal beside the tool's id."""
    line = " ".join(text.split())
    room = max(SHOWN, get_terminal_size().columns - NAME_WIDTH)
    return line if len(line) <= room or not is_terminal() else line[: room - 1].rstrip() + "…"


TOOLS = TableQuery(
    f"{API}/tools",
    {
        "TOOL": lambda each: str(each["name"]),
        "WHAT IT DOES": lambda each: _short(str(each.get("description") or "")),
    },
    none="There are no tools.\nmcpgateway tools refresh asks every server for its tools.",
    limit_s=LIST_S,
    waits="asking the servers",
)
SEARCH = TOOLS._replace(none="No tool fits.", waits="searching")


@click.group(cls=SuggestingGroup, context_settings={"help_option_names": ["-h", "--help"]})
def tools() -> None:
    """Find the tools of all servers, and call them.

    A tool's id is SERVER__TOOL; SERVER::TOOL and SERVER/TOOL mean the same.
    """


tools.add_command(refresh)
_of_server = click.option(
    "--server", metavar="NAME", shell_complete=server_names, help="Only the tools of this server."
)


@tools.command("list")
@_of_server
@click.pass_obj
def list_(globals_: Globals, server: str | None) -> None:
    """List all tools, or those of one server."""
    TOOLS.run(globals_, {"server": server})


@tools.command()
@click.argument("words", nargs=-1, required=True, metavar="QUERY")
@click.option(
    "--limit",
    type=click.IntRange(1, 50),
    default=10,
    show_default=True,
    metavar="N",
    help="The most to show.",
)
@_of_server
@click.pass_obj
def search(globals_: Globals, words: tuple[str, ...], limit: int, server: str | None) -> int:
    """Find the tools that fit to what you want to do, best first.

    Exit code 1 where none does.
    """
    found = SEARCH.run(globals_, {"q": " ".join(words), "limit": limit, "server": server})
    if not (found or globals_.as_json):
        say("  mcpgateway tools refresh asks every server for its tools", dim=True)
    return DONE if found else FAILED


@tools.command()
@click.argument("identifier", metavar="ID", shell_complete=tool_ids)
@click.pass_obj
def describe(globals_: Globals, identifier: str) -> None:
    """Show all there is to know of one tool."""
    found = _described(globals_, identifier)
    answer(globals_, found, lambda: _tell_tool(found))


@tools.command()
@click.argument("identifier", metavar="ID", shell_complete=tool_ids)
@click.argument("words", nargs=-1, metavar="[NAME=VALUE]...", shell_complete=argument_names)
@click.option(
    "--arg",
    "pairs",
    multiple=True,
    metavar="NAME=VALUE",
    help="The same as NAME=VALUE; may be repeated.",
)
@click.option("--json-args", metavar="JSON", help="All arguments as an object; @FILE reads a file, - stdin.")
@click.option(
    "--timeout",
    type=TimeOption(),
    default=CALL,
    show_default=True,
    help="How long it may take, such as 30s or 2m.",
)
@click.pass_obj
def call(
    globals_: Globals,
    identifier: str,
    words: tuple[str, ...],
    pairs: tuple[str, ...],
    json_args: str | None,
    timeout: float,
) -> int:
    """Call a tool with arguments, such as `tools call clock__now timezone=UTC`, and print its answer.

    Where the schema of the tool has another type than text, VALUE is JSON. Exit code 1 where an argument is missing, or
    the tool says that it has failed.
    """
    arguments = (
        json_object(json_args, "--json-args", '{"path": "notes.txt"}') if json_args is not None else {}
    )
    schema = _described(globals_, identifier).get("inputSchema")
    arguments |= _pairs((*words, *pairs), schema)
    _check_complete(identifier, arguments, schema)
    result = ask(
        globals_,
        f"{TOOL}/call",
        method="POST",
        body={"arguments": arguments, "timeout_ms": max(1, round(timeout * 1000))},
        limit_s=timeout + MARGIN_S,
        waits=f"calling {identifier}",
        tool=identifier,
    )
    answer(globals_, result, lambda: _tell_result(result))
    return FAILED if result.get("isError") is True else DONE


def _described(globals_: Globals, identifier: str) -> dict[str, Any]:
    found: dict[str, Any] = ask(
        globals_, TOOL, limit_s=LIST_S, waits="asking the gateway", has="name", tool=identifier
    )
    return found


# Arguments


def _pairs(pairs: tuple[str, ...], schema: object) -> dict[str, Any]:
    properties = schema.get("properties") if isinstance(schema, dict) else None
    known = properties if isinstance(properties, dict) else {}
    made: dict[str, Any] = {}
    for each in pairs:
        name, equals, value = each.partition("=")
        if not (name and equals):
            fail(f"found {each!r}; expected NAME=VALUE")
        made[name] = _value(name, value, known.get(name))
    return made


def _value(name: str, text: str, schema: object) -> Any:
    """Return the value of an argument: text, unless the tool takes another type there."""
    types = _types(schema)
    if not types & LITERALS:
        return text
    try:
        return json.loads(text)
    except ValueError:
        if "string" in types:
            return text
        fail(f"{name}: found {text!r}; expected {' or '.join(sorted(types))}")


def _check_complete(identifier: str, arguments: Mapping[str, Any], schema: object) -> None:
    """Check that no argument is missing that the tool needs.

    :raise Trouble: an argument is missing; the hint has a line for each.
    """
    missing = [row for row in _rows(schema) if row[2] and row[0] not in arguments]
    if missing:
        wanted = "\n".join(f"{name}={types or 'VALUE'}  {says}".rstrip() for name, types, _, says in missing)
        names = ", ".join(row[0] for row in missing)
        fail(
            f"{identifier} needs {names}",
            f"{wanted}\nmcpgateway tools describe {identifier} shows all arguments",
        )


def _types(schema: object) -> set[str]:
    if not isinstance(schema, dict):
        return set()
    kind = schema.get("type")
    found = {kind} if isinstance(kind, str) else {each for each in kind or () if isinstance(each, str)}
    for key in ("anyOf", "oneOf"):
        for each in schema.get(key) or ():
            found |= _types(each)
    return found


# Output


def _tell_tool(found: dict[str, Any]) -> None:
    say(str(found.get("id")), bold=True)
    for name in ("server", "name", "title"):
        if found.get(name):
            say(f"{name:<7} {found[name]}")
    if found.get("description"):
        say()
        show(str(found["description"]).strip())
    rows = list(_rows(found.get("inputSchema")))
    if rows:
        say()
        table(("ARGUMENT", "TYPE", "NEEDED", "WHAT IT IS"), rows)
    results = [(name, types, says) for name, types, _, says in _rows(found.get("outputSchema"))]
    if results:
        say()
        table(("RESULT", "TYPE", "WHAT IT IS"), results)
    hints = found.get("annotations")
    if isinstance(hints, dict) and hints:
        say()
        say(
            "annotations  ",
            ", ".join(f"{name}: {in_json(value, indent=None)}" for name, value in hints.items()),
        )


def _rows(schema: object) -> Iterator[tuple[str, str, str, str]]:
    properties = schema.get("properties") if isinstance(schema, dict) else None
    if not isinstance(schema, dict) or not isinstance(properties, dict):
        return
    required = schema.get("required") or ()
    for name, each in properties.items():
        declared = each if isinstance(each, dict) else {}
        types = " or ".join(sorted(_types(declared)))
        if isinstance(declared.get("enum"), list):
            types = "|".join(map(str, declared["enum"]))
        yield (
            name,
            types,
            "yes" if name in required else "",
            " ".join(str(declared.get("description") or "").split()),
        )


def _tell_result(result: dict[str, Any]) -> None:
    blocks = [each for each in result.get("content") or () if isinstance(each, dict)]
    is_error = result.get("isError") is True
    for each in blocks:
        show(_shown(each), fg="red" if is_error and is_terminal() else None)
    if not blocks and "structuredContent" in result:
        show(in_json(result["structuredContent"]))


def _shown(block: dict[str, Any]) -> str:
    kind = block.get("type")
    if kind == "text":
        return str(block.get("text"))
    if kind in KINDS:
        return f"[{KINDS[str(kind)]}: {block.get('mimeType', '?')}, {_size(block.get('data'))}]"
    if kind == "resource_link":
        return f"[resource: {block.get('name', '')} {block.get('uri')}]"
    held = block.get("resource")
    if kind == "resource" and isinstance(held, dict):
        if isinstance(held.get("text"), str):
            return str(held["text"])
        return f"[resource: {held.get('uri')}, {held.get('mimeType', '?')}, {_size(held.get('blob'))}]"
    return in_json(block, indent=None)


def _size(data: object) -> str:
    """Return the size of base64 data, in words."""
    text = data if isinstance(data, str) else ""
    number = len(text.rstrip("=")) * 3 // 4
    return f"{number} bytes" if number < 10_000 else f"{number / 1000:.0f} kB"
