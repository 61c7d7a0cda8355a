"""Adding, changing and removing servers."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import click

from mcpgateway.cli.commands.servers import added
from mcpgateway.cli.commands.servers.change import changing
from mcpgateway.cli.commands.servers.servers import (
    API,
    MARGIN_S,
    RUNS,
    SERVER,
    STOP_S,
    WORKS,
    of_name,
    print_state,
    waiting,
)
from mcpgateway.cli.commands.servers.validate import command_of
from mcpgateway.cli.commands.servers.variables import env_file_option, words
from mcpgateway.cli.completion_values import server_assignments, server_keys
from mcpgateway.cli.console import DONE, FAILED, Trouble, confirm, emit, fail, only_here, paragraph, shortened
from mcpgateway.cli.context import Globals
from mcpgateway.cli.lazy import LINE, AddingCommand, behind
from mcpgateway.cli.queries import RouteVerb, ask
from mcpgateway.cli.values import FILE_LIMIT, STDIN, Expanding, json_object, of_file, pairs
from mcpgateway.hints import cli

DEFINED = '{"command": "npx", "args": ["-y", "notes-mcp"]}'
LINKS = ("cursor://", "vscode:", "vscode-insiders:")
URLS = ("http://", "https://", "ws://", "wss://")
REMOVE = RouteVerb(
    SERVER, "DELETE", "{name} is removed; its definition is kept in {found[kept]}", limit_s=STOP_S
)
SWITCH_OFF = RouteVerb(
    SERVER,
    "PATCH",
    "{name} is switched off, not removed: its entry stays in {source}, which its client owns.",
    {"disabled": True},
    STOP_S,
)
RENAME = RouteVerb(SERVER, "PATCH", "{name} is called {new} now.", limit_s=STOP_S)
TEXT_KEYS = ("env.", "environment.", "headers.")


@click.command(cls=AddingCommand)
@click.argument("name", metavar="[NAME | -]", required=False)
@click.argument("target", metavar="[URL | -- COMMAND ...]", required=False)
@click.option("--command", help="The program, or the whole command in quotes.")
@click.option("--args", help="Its arguments, with commas between them.")
@click.option("--cwd", type=click.Path(), metavar="DIRECTORY", help="The directory it runs in.")
@click.option(
    "-e",
    "--env",
    multiple=True,
    metavar="NAME[=VALUE]",
    help="A variable; NAME alone takes it from yours, and NAME=- asks for it, or takes it from stdin.",
)
@env_file_option
@click.option("--url", "address", metavar="URL", help="Where it is, if it runs somewhere else.")
@click.option(
    "-H",
    "--headers",
    "--header",
    multiple=True,
    metavar="NAME=VALUE",
    help="A header for every request, also as 'NAME: VALUE'; may be repeated.",
)
@click.option(
    "--transport",
    "-t",
    "type_",
    type=click.Choice(["stdio", "http", "sse"]),
    help="How it is spoken with; found out by itself where it is left out.",
)
@click.option(
    "--share", metavar="SCOPE", help="How widely one process is shared: auto, global, session and others."
)
@click.option("--timeout", metavar="TIME", help="How long one call may take, such as 2m.")
@click.option(
    "--scope",
    type=click.Choice(["user", "project"]),
    default="user",
    help="For all clients, or in the .mcp.json of this directory for the clients that work here.",
)
@click.option(
    "--definition", metavar="JSON", help="All of it, as a configuration has it; @FILE, or - for stdin."
)
@click.option("--disabled", is_flag=True, help="Switched off, for now.")
@click.option("--replace", is_flag=True, help="In place of the one of that name, if there is one.")
@click.option("--no-expand", is_flag=True, help="Leave ${NAME} to the gateway, instead of your values.")
@click.option("--no-test", is_flag=True, help="Do not wait until it runs, and list no tools.")
@click.option(
    "--yes",
    "-y",
    is_flag=True,
    help="Write it into the files of the clients that use the gateway, without asking.",
)
@added.only_clients
@waiting
@click.pass_context
def add(  # noqa: PLR0913 - one for each option
    context: click.Context,
    /,
    *,
    name: str | None,
    target: str | None,
    address: str | None,
    scope: str,
    replace: bool,
    no_test: bool,
    yes: bool,
    clients: tuple[str, ...],
    wait_s: float,
    **options: Any,
) -> int:
    """Add a server to the configuration, start it, and list its tools.

    It is given by its URL, by a command behind --, by options, or on stdin (`mcpgateway servers add -`): JSON with
    mcpServers, a line such as `claude mcp add ...` or `code --add-mcp ...`, or an install link. ${NAME} in options
    becomes the value that NAME has here. Exit code 1 where the server is not added, or does not run.
    """
    globals_: Globals = context.obj
    if name is not None and name.startswith(URLS) and "mcp/install?" not in name:
        raise click.UsageError(f"name the server: {cli('servers add NAME {}', name)}")
    link = (
        name
        if name is not None and (name.startswith(LINKS) or "mcp/install?" in name) and target is None
        else ""
    )
    if target is not None and target.startswith("{"):
        raise click.UsageError(
            f"JSON stands behind --definition: {cli('servers add {} --definition {}', name, target)}"
        )
    if target is not None and not target.startswith(URLS):
        raise click.UsageError(f"found {target!r} behind the name; expected a URL, or -- before a command")
    if target is not None and address is not None:
        raise click.UsageError("a URL is given twice: by --url and behind the name")
    given = _given(context, target or address, options)
    if link and not given:
        found = _of_link(link)
    else:
        found = {name or "": given} if given else _of_words(context.meta[LINE]) or _pasted(name)
    wait_s = 0.0 if no_test or options["disabled"] else wait_s
    codes = []
    for each, definition in found.items():
        made = {**definition, **_more(options)}
        if not each:
            raise click.UsageError(f"name the server: {cli('servers add NAME -- COMMAND')}")
        if scope == "project":
            codes.append(add_to_project_file(globals_, each, made))
        else:
            codes.append(
                add_to_gateway(
                    globals_,
                    each,
                    made,
                    replace=replace,
                    wait_s=wait_s,
                    is_sure=yes or bool(clients),
                    clients=clients,
                )
            )
    return max(codes, default=FAILED)


def _given(context: click.Context, address: str | None, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the definition that the words and options give; empty where they give none."""
    definition = options["definition"]
    words = command_of(behind(context), options["command"], options["args"])
    expanding = Expanding(os.environ, is_on=not options["no_expand"])
    made = json_object(definition, "--definition", DEFINED) if definition is not None else {}
    if words:
        first, *rest = map(expanding.text, words)
        made |= {"command": program_of(first), **({"args": rest} if rest else {})}
    if address is not None:
        made["url"] = expanding.text(address)
    if not {"command", "url"} & made.keys() and definition is None:
        return {}
    return made | values_of(made, expanding, options)


def values_of(made: Mapping[str, Any], expanding: Expanding, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the directory, variables and headers that options give, besides those of a definition."""
    found: dict[str, Any] = {}
    if options["cwd"] is not None:
        found["cwd"] = os.path.abspath(os.path.expanduser(expanding.text(options["cwd"])))
    env_file = options["env_file"]
    values = {**(of_file(env_file) if env_file else {}), **expanding.values(pairs(options["env"], "--env"))}
    if values:
        found["env"] = {**made.get("env", {}), **values}
    if options["headers"] and "command" in made:
        raise click.UsageError(
            "headers belong to a URL, and a program gets none; -e NAME=VALUE sets a variable"
        )
    if options["headers"]:
        expanded = expanding.values(_headers(options["headers"]))
        found["headers"] = {**made.get("headers", {}), **expanded}
    return found


def _headers(words: tuple[str, ...]) -> dict[str, str]:
    """Return headers of ``NAME: VALUE`` and ``NAME=VALUE``: the first of the two characters separates."""
    found: dict[str, str] = {}
    for each in words:
        colon, equals = each.find(":"), each.find("=")
        is_colon = colon >= 0 and (equals < 0 or colon < equals)
        found |= pairs((each,), "--headers", separator=":" if is_colon else "=")
    return found


def _more(options: Mapping[str, Any]) -> dict[str, Any]:
    given = {"type": options["type_"], "share": options["share"], "timeout": options["timeout"]}
    switch = {"enabled": False} if options["disabled"] else {}
    return {**{key: each for key, each in given.items() if each is not None}, **switch}


def _of_words(words: list[str]) -> dict[str, dict[str, Any]]:
    from mcpgateway.cli.pasted import of_line

    return of_line(words) if words else {}


def _of_link(text: str) -> dict[str, dict[str, Any]]:
    from mcpgateway.cli.pasted import read_pasted

    return read_pasted(text)


def _pasted(name: str | None) -> dict[str, dict[str, Any]]:
    """Return the servers on stdin; a single one gets the name of the command line, if that has one."""
    if sys.stdin.isatty() and name not in (None, STDIN):
        raise click.UsageError(
            "say what it is: its URL, a command behind --, --command, --url or --definition;"
            f" {cli('servers add -')} takes one that is pasted"
        )
    from mcpgateway.cli.pasted import read_pasted, read_typed

    if sys.stdin.isatty():
        paragraph(
            "Paste the server (JSON, a claude mcp add line, or an install link), then press Enter on an empty line:",
            err=True,
        )
    text = read_typed(sys.stdin)[:FILE_LIMIT] if sys.stdin.isatty() else sys.stdin.read(FILE_LIMIT)
    if not text.strip():
        raise click.UsageError(
            "stdin holds no server; say what it is: its URL, a command behind --, --command, --url or --definition;"
            f" {cli('servers add -')} takes one that is pasted"
        )
    found = read_pasted(text)
    if name not in (None, STDIN):
        if len(found) > 1:
            fail(f"stdin holds {len(found)} servers, which have names of their own", "leave the name out")
        return {str(name): each for each in found.values()}
    return found


def program_of(word: str) -> str:
    """Return an absolute path of a program, since the gateway works in another directory."""
    word = os.path.expanduser(word)
    return os.path.abspath(word) if "/" in word else word


# The gateway's configuration


def add_to_gateway(
    globals_: Globals,
    name: str,
    made: dict[str, Any],
    *,
    replace: bool = False,
    wait_s: float,
    is_sure: bool,
    clients: Sequence[str] = (),
) -> int:
    """Write a server into the configuration of the running gateway, and tell how it runs; return the exit code."""
    headers = {"If-Match": "*"} if replace and _is_there(globals_, name) else None
    try:
        found = ask(
            globals_,
            SERVER if replace else API,
            method="PUT" if replace else "POST",
            params={"wait": f"{wait_s:g}s"},
            body={"config": made, "keep_secrets": True, **({} if replace else {"name": name})},
            limit_s=wait_s + MARGIN_S,
            waits=f"waiting for {name}",
            is_admin=True,
            headers=headers,
            name=name,
        )
    except Trouble as why:
        if replace or f"a server {name} already" not in why.message:
            raise
        hint = f"--replace puts this one in its place, and {cli('servers get {}', name)} shows the one that is there"
        fail(why.message, hint)
    if not found.get("server") and not globals_.as_json:
        found["hint"] = f"{cli('servers get {}', name)} tells how it is."
    did = {"unchanged": "there already", "updated": "replaced"}.get(str(found.get("status")), "added")
    server = found.get("server") or {}
    if globals_.as_json and is_sure and server.get("status", "idle") in RUNS | WORKS:
        found["clients"] = added.offer(globals_, name, is_sure=True, clients=clients)
    code = print_state(globals_, found, name, did)
    if not globals_.as_json and found.get("secrets"):
        paragraph(f"  {' '.join(map(shortened, str(found['secrets']).split(' ')))}")
    if not globals_.as_json and isinstance(found.get("server"), dict):
        added.tell(globals_, name, found["server"], is_well=code == DONE, is_sure=is_sure, clients=clients)
    return code


def _is_there(globals_: Globals, name: str) -> bool:
    return any(each.get("name") == name for each in ask(globals_, API))


# The file of a project


def add_to_project_file(globals_: Globals, name: str, made: dict[str, Any]) -> int:
    """Write a server into the ``.mcp.json`` of this directory, which its clients and the gateway read."""
    only_here(globals_, "servers add --scope project")
    from mcpgateway.cli.commands.configuration.config import done, load_options

    def work() -> int:
        from mcpgateway.cli.local.project_entry import add_to_project

        file, is_approved = add_to_project(load_options(globals_), os.environ, os.getcwd(), name, made)
        if globals_.as_json:
            emit({"status": "added", "file": file, "approved": is_approved})
            return DONE
        paragraph(f"{name} is added to {file}, for the clients that work here.")
        if not is_approved:
            paragraph(
                f"  {cli('config approve {}', os.path.dirname(file))} lets the gateway run its servers."
            )
        return DONE

    return done(work)


# Changes


@click.command()
@of_name
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
@click.option("--force", "-f", is_flag=True, hidden=True, help="The former name of --yes.")
@click.pass_obj
def remove(globals_: Globals, name: str, *, yes: bool, force: bool) -> None:
    """Take a server out of the configuration. What it was is kept in a file.

    A server that a client's file defines is switched off in the gateway's configuration, and that file stays as it is.
    Asks first; where nobody can be asked, --yes is needed.
    """
    found = ask(globals_, SERVER, name=name, has="name")
    source = str(found.get("source") or "the configuration")
    is_theirs = found.get("is_own") is False
    if not (yes or force):
        if not sys.stdin.isatty():
            fail(f"{name} is not removed: nobody can be asked", "--yes removes it without asking")
        question = (
            f"{shortened(source)} defines {name}, and its entry stays there. Switch {name} off in the gateway instead?"
            if is_theirs
            else f"Remove {name}, of {shortened(source)}?"
        )
        if not confirm(question, err=True):
            fail("nothing was removed")
    (SWITCH_OFF if is_theirs else REMOVE).run(globals_, name=name, source=shortened(source))
    gone = [] if is_theirs else added.withdraw(globals_, name)
    if is_theirs and not globals_.as_json:
        paragraph(f"  {cli('servers enable {}', name)} switches it on again.")
    if gone and not globals_.as_json:
        paragraph(f"  Its entry is taken out of {', '.join(map(shortened, gone))}.")


@click.command()
@of_name
@click.argument("new", metavar="NEW")
@click.pass_obj
def rename(globals_: Globals, name: str, new: str) -> int:
    """Call a server by another name, also in the clients' files that have an entry for it.

    Clients reach it at another address then; those that run go on with the former one, which leads nowhere, until they
    read their files again.
    """
    found = RENAME.run(globals_, {"new_name": new}, name=name, new=new)
    return added.tell_renamed(globals_, name, new, found)


def _values(assignments: tuple[str, ...]) -> dict[str, Any]:
    if len(assignments) == 2 and not any("=" in each for each in assignments):
        assignments = ("=".join(assignments),)  # as `config set KEY VALUE` takes them
    bare = [each for each in assignments if "=" not in each]
    if len(bare) > 1:
        raise click.UsageError(f"write {bare[0]}=VALUE, without a space between the key and its value")
    return {key: _value(key, text, assignments) for key, text in pairs(assignments, "set").items()}


def _value(key: str, text: str, assignments: tuple[str, ...]) -> Any:
    if key.startswith(TEXT_KEYS):
        return text
    try:
        return json.loads(text)
    except ValueError:
        if text[:1] + text[-1:] in ("[]", "{}"):
            fail(
                f"{key}: the value is no JSON",
                f"such as {cli('servers set NAME {}', _like(key, text, assignments))}",
            )
    return text


def _like(key: str, text: str, assignments: tuple[str, ...]) -> str:
    """Return an example of a list or an object as JSON, with the items of the list where those may be shown."""
    if text.startswith("{"):
        return f'{key}={{"NAME": "VALUE"}}'
    is_shown = f"{key}={text}" in assignments  # and not from stdin, as secrets are
    listed = [each.strip(" '\"") for each in text[1:-1].split(",")] if is_shown else ["VALUE"]
    return f"{key}={json.dumps(listed, ensure_ascii=False)}"


set_keys = changing(
    "set",
    "Give keys of a server's entry values, such as timeout=30s, share=session or lazy.idleTimeoutMs=60000.\n\n"
    "A value that is JSON is taken as that, every other as text; behind env. and headers. all are texts. KEY VALUE"
    " sets one key, and KEY without a value takes it from stdin, as set-env does.",
    of_name,
    words("assignments", "KEY[=VALUE]...", server_assignments),
    body=lambda assignments: {"set": _values(assignments)},
)
unset_keys = changing(
    "unset",
    "Take keys out of a server's entry, so that their defaults count.",
    of_name,
    words("keys", "KEY...", server_keys),
    body=lambda keys: {"unset": list(keys)},
)
