"""All servers' tools: listing, searching, describing and calling them."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from shlex import quote
from typing import Any

import click

from mcpgateway.cli.commands.servers.discover import refresh
from mcpgateway.cli.commands.servers.tool_lists import jobs, off, on, views
from mcpgateway.cli.commands.servers.tool_schema import example, rows, types_of, unknown
from mcpgateway.cli.completion_values import argument_names, own_tool_names, server_names, tool_ids
from mcpgateway.cli.console import (
    DONE,
    FAILED,
    Trouble,
    answer,
    fail,
    in_json,
    is_terminal,
    paragraph,
    say,
    show,
    table,
)
from mcpgateway.cli.context import Globals
from mcpgateway.cli.lazy import SuggestingGroup
from mcpgateway.cli.queries import TableQuery, ask
from mcpgateway.cli.values import TimeOption, json_object
from mcpgateway.hints import cli
from mcpgateway.units import size

API = "/api/v1"
TOOL = f"{API}/tools/{{tool}}"
LIST_S = 60.0  # servers whose tools are unknown are asked first
CALL = "10m"
MARGIN_S = 5.0  # so that the gateway reports its own timeout
EXAMPLE = '{"path": "notes.txt"}'
LITERALS = frozenset(("integer", "number", "boolean", "array", "object", "null"))
KINDS = {"image": "image", "audio": "audio"}
SENTENCE = re.compile(r"[.!?](?= )")
BRIEF = 160  # characters: two lines of a terminal


def _whole(each: Mapping[str, Any]) -> str:
    return " ".join(str(each.get("description") or "").split())


def brief(text: str) -> str:
    """Return the first sentence of a text, cut between words where it is long."""
    end = SENTENCE.search(text)
    text = text[: end.end()] if end else text
    return text if len(text) <= BRIEF else f"{text[:BRIEF].rpartition(' ')[0] or text[:BRIEF]} …"


TOOLS = TableQuery(
    f"{API}/tools",
    {"TOOL": lambda each: str(each["name"]), "WHAT IT DOES": lambda each: brief(_whole(each))},
    none=f"There are no tools.\n{cli('tools refresh')} asks every server for its tools.",
    limit_s=LIST_S,
    waits="asking the servers",
)
SEARCH = TOOLS._replace(none="No tool fits.", waits="searching")


@click.group(cls=SuggestingGroup, context_settings={"help_option_names": ["-h", "--help"]})
def tools() -> None:
    """Find the tools of all servers, and call them.

    A tool's id is SERVER__TOOL; SERVER::TOOL, SERVER/TOOL and the two words SERVER TOOL mean the same. TOOL alone is
    enough where one server only has a tool of that name.
    """


for each in (refresh, on, off, views, jobs):
    tools.add_command(each)
_of_server = click.option(
    "--server", metavar="NAME", shell_complete=server_names, help="Only the tools of this server."
)
_full = click.option(
    "--full", "is_full", is_flag=True, help="Show whole descriptions, not only their first sentences."
)


def shown_by(query: TableQuery, *, is_full: bool) -> TableQuery:
    """Return a query whose table has the whole descriptions, or their first sentences."""
    return query._replace(columns={**query.columns, "WHAT IT DOES": _whole}) if is_full else query


@tools.command("list")
@click.argument("name", metavar="[SERVER]", required=False, shell_complete=server_names)
@_of_server
@_full
@click.pass_obj
def list_(globals_: Globals, name: str | None, server: str | None, *, is_full: bool) -> None:
    """List all tools, or those of one server."""
    if name and server:
        raise click.UsageError("a server is named twice: by --server and without")
    shown_by(TOOLS, is_full=is_full).run(globals_, {"server": name or server})


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
@_full
@click.pass_obj
def search(
    globals_: Globals, words: tuple[str, ...], limit: int, server: str | None, *, is_full: bool
) -> int:
    """Find the tools for a purpose, best first.

    Exit code 1 where none does.
    """
    found = shown_by(SEARCH, is_full=is_full).run(
        globals_, {"q": " ".join(words), "limit": limit, "server": server}
    )
    if not (found or globals_.as_json):
        _tell_where_else(" ".join(words), server)
    return DONE if found else FAILED


def _tell_where_else(query: str, server: str | None) -> None:
    """Print where a tool that was not found could be."""
    listed = cli("tools list {}", server) if server else cli("tools list")
    say(f"  {listed} shows all tools", dim=True)
    say(f"  {cli('tools refresh')} asks servers for tools that are new", dim=True)
    say(f"  {cli('servers search {}', query)} looks for servers that could be installed", dim=True)


@tools.command()
@click.argument("identifier", metavar="TOOL", shell_complete=tool_ids)
@click.argument("words", nargs=-1, metavar="", shell_complete=own_tool_names)
@click.pass_obj
def describe(globals_: Globals, identifier: str, words: tuple[str, ...]) -> None:
    """Show all there is to know of one tool: TOOL is its id, its name, or its server and its name."""
    _, found, more = _meant(globals_, identifier, words)
    if more:
        raise click.UsageError(f"takes one tool, and not {more[0]}")
    answer(globals_, found, lambda: _tell_tool(found))


class _CallCommand(click.Command):
    """The command that calls a tool, whose arguments are no options."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Name the spelling of an argument in the error for an unknown option.

        :raise click.UsageError: there is no such option.
        """
        given = list(args)  # the parser takes its words away
        try:
            return super().parse_args(ctx, args)
        except click.NoSuchOption as why:
            option = why.option_name
            at = next((at for at, each in enumerate(given) if each.partition("=")[0] == option), len(given))
            value = (
                "".join(given[at : at + 1]).partition("=")[2] or "".join(given[at + 1 : at + 2]) or "VALUE"
            )
            argument = quote(f"{option.lstrip('-')}={value}")
            raise click.UsageError(
                f"No such option '{option}'; an argument of the tool is written as {argument}"
            ) from None


@tools.command(cls=_CallCommand)
@click.argument("identifier", metavar="TOOL", shell_complete=tool_ids)
@click.argument("words", nargs=-1, metavar="[NAME=VALUE | JSON]...", shell_complete=argument_names)
@click.option(
    "--arg", "pairs", multiple=True, metavar="NAME=VALUE", help="The same as NAME=VALUE; may be repeated."
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

    TOOL is its id, its name where one server only has such a tool, or its server and its name (`tools call clock now`).
    Where the schema of the tool has another type than text, VALUE is JSON; a JSON object has all arguments. Exit code 1
    where an argument is missing, or the tool says that it has failed.
    """
    arguments = json_object(json_args, "--json-args", EXAMPLE) if json_args is not None else {}
    identifier, found, words = _meant(globals_, identifier, words)
    schema = found.get("inputSchema")
    for each in filter(_is_object, words):
        arguments |= json_object(each, "the arguments", EXAMPLE)
    arguments |= _pairs((*(each for each in words if not _is_object(each)), *pairs), schema)
    _check_complete(identifier, arguments, schema)
    _check_known(identifier, arguments, schema)
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


def _is_object(word: str) -> bool:
    return word.startswith("{")


def _meant(
    globals_: Globals, identifier: str, words: tuple[str, ...]
) -> tuple[str, dict[str, Any], tuple[str, ...]]:
    """Return the id of the tool that is meant, its description, and the words behind those that name it.

    :raise Trouble: there is no such tool, or several servers have one of that name.
    """
    try:
        return identifier, _described(globals_, identifier), words
    except Trouble as why:
        if why.code != FAILED:
            raise
        known = [str(each.get("name")) for each in TOOLS.rows(TOOLS.ask(globals_))]
        same = [each for each in known if each.partition("__")[2] == identifier]
        is_pair = bool(words) and "=" not in words[0] and not _is_object(words[0])
        pair = f"{identifier}__{words[0]}" if is_pair else ""
        # The server comes first, but the other order has one meaning only.
        pair = f"{words[0]}__{identifier}" if is_pair and f"{words[0]}__{identifier}" in same else pair
        if pair and (pair in known or not same):
            return pair, _described(globals_, pair), words[1:]
        if not same:
            raise
        if len(same) > 1:
            fail(f"{len(same)} servers have a tool {identifier}", f"name one of them: {', '.join(same)}")
    return same[0], _described(globals_, same[0]), words


def _described(globals_: Globals, identifier: str) -> dict[str, Any]:
    found: dict[str, Any] = ask(globals_, TOOL, limit_s=LIST_S, has="name", tool=identifier)
    return found


# Arguments


def _pairs(pairs: tuple[str, ...], schema: object) -> dict[str, Any]:
    properties = schema.get("properties") if isinstance(schema, dict) else None
    known = properties if isinstance(properties, dict) else {}
    made: dict[str, Any] = {}
    for each in pairs:
        name, equals, value = each.partition("=")
        if not (name and equals):
            fail(f"found {each!r}; expected NAME=VALUE, or a JSON object such as '{EXAMPLE}'")
        made[name] = _value(name, value, known.get(name))
    return made


def _value(name: str, text: str, schema: object) -> Any:
    """Return the value of an argument: text, unless the tool takes another type there."""
    types = types_of(schema)
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
    missing = [each for each in rows(schema, is_deep=False) if each.is_needed and each.name not in arguments]
    if missing:
        wanted = "\n".join(f"{each.name}={each.types or 'VALUE'}  {each.about}".rstrip() for each in missing)
        names = ", ".join(each.name for each in missing)
        meant = "".join(
            f"\n{name} is none of its arguments; did you mean {near}?"
            for name, near in unknown(arguments, schema).items()
            if near
        )
        fail(
            f"{identifier} needs {names}",
            f"{wanted}{meant}\n{cli('tools describe {}', identifier)} shows all arguments",
        )


def _check_known(identifier: str, arguments: Mapping[str, Any], schema: object) -> None:
    """Tell of arguments that the schema does not name; where it takes no others, they are refused.

    :raise Trouble: the tool takes no such argument.
    """
    strange = unknown(arguments, schema)
    if not strange:
        return
    names = ", ".join(strange)
    meant = "; ".join(f"did you mean {near}?" for near in dict.fromkeys(strange.values()) if near)
    more = f"{cli('tools describe {}', identifier)} shows all arguments"
    is_closed = isinstance(schema, dict) and schema.get("additionalProperties") is False
    if is_closed:
        fail(f"{identifier} takes no argument {names}", f"{meant}\n{more}".lstrip())
    paragraph(f"The schema of {identifier} names no argument {names}. {meant or more}", err=True)


# Output


def _tell_tool(found: dict[str, Any]) -> None:
    say(str(found.get("id")), bold=True)
    for name in ("server", "name", "title"):
        if found.get(name):
            say(f"{name:<7} {found[name]}")
    if found.get("description"):
        say()
        show(str(found["description"]).strip())
    schema = found.get("inputSchema")
    taken = [(each.name, each.types, "yes" if each.is_needed else "", each.about) for each in rows(schema)]
    if taken:
        say()
        table(("ARGUMENT", "TYPE", "NEEDED", "WHAT IT IS"), taken)
        say()
        say("example  ", _example_line(str(found.get("id")), schema))
    results = [(each.name, each.types, each.about) for each in rows(found.get("outputSchema"))]
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


def _example_line(identifier: str, schema: object) -> str:
    """Return the line of a call with the arguments that are needed."""
    words = [
        f"{name}={value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)}"
        for name, value in example(schema).items()
    ]
    return " ".join((cli("tools call {}", identifier), *map(quote, words)))


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
    return size(len(text.rstrip("=")) * 3 // 4)
