"""Adding, changing and removing servers."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

import click

from mcpgateway.cli.commands.servers import (
    API,
    MARGIN_S,
    SERVER,
    STOP_S,
    WORKS,
    of_name,
    print_state,
    waiting,
)
from mcpgateway.cli.commands.validate import command_of
from mcpgateway.cli.console import DONE, FAILED, confirm, emit, fail, only_here, paragraph, say
from mcpgateway.cli.context import Globals
from mcpgateway.cli.lazy import PassthroughCommand, behind
from mcpgateway.cli.queries import RouteVerb, ask
from mcpgateway.cli.values import FILE_LIMIT, STDIN, Expanding, json_object, of_file, pairs

DEFINED = '{"command": "npx", "args": ["-y", "notes-mcp"]}'
URLS = ("http://", "https://", "ws://", "wss://")
CHARACTERS_PER_TOKEN = 4  # as `mcpgateway.discovery.tokens` estimates
TOOLS_S = 5.0  # a server lists its tools right after it has started
POLL_S = 0.1
REMOVE = RouteVerb(
    SERVER, "DELETE", "{name} is removed; its definition is kept in {found[kept]}", limit_s=STOP_S
)
SWITCH_OFF = RouteVerb(
    SERVER, "PATCH", "{name} is switched off; its own entry stays.", {"disabled": True}, STOP_S
)
EDIT = RouteVerb(SERVER, "PATCH", "{name} is changed.", limit_s=STOP_S, is_admin=True)
TEXT_KEYS = ("env.", "environment.", "headers.")

_env_file: Callable[[Any], Any] = click.option(
    "--env-file",
    metavar="FILE",
    help="Take variables from the NAME=VALUE lines of a file; - is stdin. Values stay out of the command line.",
)


@click.command(cls=PassthroughCommand, options_metavar="[OPTIONS] [-- COMMAND ...]")
@click.argument("name", metavar="[NAME]", required=False)
@click.argument("target", metavar="[URL]", required=False)
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
@_env_file
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
    wait_s: float,
    **options: Any,
) -> int:
    """Add a server to the configuration, start it, and list its tools.

    It is given by its URL, by a command behind --, by options, or on stdin: JSON with mcpServers, a line such as
    `claude mcp add ...`, or an install link. ${NAME} in options becomes the value that NAME has here. Exit code 1 where
    the server is not added, or does not run.
    """
    globals_: Globals = context.obj
    if target is not None and not target.startswith(URLS):
        raise click.UsageError(f"found {target!r} behind the name; expected a URL, or -- and a command")
    if target is not None and address is not None:
        raise click.UsageError("a URL is given twice: by --url and behind the name")
    given = _given(context, target or address, options)
    found = {name or "": given} if given else _pasted(name)
    wait_s = 0.0 if no_test or options["disabled"] else wait_s
    codes = []
    for each, definition in found.items():
        made = {**definition, **_more(options)}
        if not each:
            raise click.UsageError("name the server: mcpgateway servers add NAME ...")
        if scope == "project":
            codes.append(_add_to_project(globals_, each, made))
        else:
            codes.append(_add(globals_, each, made, replace=replace, wait_s=wait_s))
    return max(codes, default=FAILED)


def _given(context: click.Context, address: str | None, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the definition that the words and options give; empty where they give none."""
    definition = options["definition"]
    words = command_of(behind(context), options["command"], options["args"])
    expanding = Expanding(os.environ, is_on=not options["no_expand"])
    made = json_object(definition, "--definition", DEFINED) if definition is not None else {}
    if words:
        first, *rest = map(expanding.text, words)
        made |= {"command": _program(first), **({"args": rest} if rest else {})}
    if address is not None:
        made["url"] = expanding.text(address)
    if not {"command", "url"} & made.keys() and definition is None:
        return {}
    return made | _values(made, expanding, options)


def _values(made: Mapping[str, Any], expanding: Expanding, options: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if options["cwd"] is not None:
        found["cwd"] = os.path.abspath(os.path.expanduser(expanding.text(options["cwd"])))
    env_file = options["env_file"]
    values = {**(of_file(env_file) if env_file else {}), **expanding.values(pairs(options["env"], "--env"))}
    if values:
        found["env"] = {**made.get("env", {}), **values}
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
    given = {"share": options["share"], "timeout": options["timeout"]}
    switch = {"enabled": False} if options["disabled"] else {}
    return {**{key: each for key, each in given.items() if each is not None}, **switch}


def _pasted(name: str | None) -> dict[str, dict[str, Any]]:
    """Return the servers on stdin; a single one gets the name of the command line, if that has one."""
    if sys.stdin.isatty() and name != STDIN:
        raise click.UsageError(
            "say what it is: its URL, a command behind --, --command, --url, --definition, or paste it on stdin"
        )
    from mcpgateway.cli.pasted import read_pasted

    if sys.stdin.isatty():
        say(
            "Paste the server (JSON, a claude mcp add line, or an install link), then press Ctrl-D:", err=True
        )
    text = sys.stdin.read(FILE_LIMIT)
    if not text.strip():
        raise click.UsageError(
            "say what it is: --command, --url, --definition, or a command behind --, or paste it on stdin"
        )
    found = read_pasted(text)
    if name not in (None, STDIN):
        if len(found) > 1:
            fail(f"stdin holds {len(found)} servers, which have names of their own", "leave the name out")
        return {str(name): each for each in found.values()}
    return found


def _program(word: str) -> str:
    """Return an absolute path of a program, since the gateway works in another directory."""
    word = os.path.expanduser(word)
    return os.path.abspath(word) if "/" in word else word


# The gateway's configuration


def _add(globals_: Globals, name: str, made: dict[str, Any], *, replace: bool, wait_s: float) -> int:
    headers = {"If-Match": "*"} if replace and _is_there(globals_, name) else None
    found = ask(
        globals_,
        SERVER if replace else API,
        method="PUT" if replace else "POST",
        params={"wait": f"{wait_s:g}s"},
        body={"config": made} if replace else {"name": name, "config": made},
        limit_s=wait_s + MARGIN_S,
        waits=f"waiting for {name}",
        is_admin=True,
        headers=headers,
        name=name,
    )
    if not found.get("server") and not globals_.as_json:
        found["hint"] = f"mcpgateway servers get {name} tells how it is."
    did = {"unchanged": "there already", "updated": "replaced"}.get(str(found.get("status")), "added")
    code = print_state(globals_, found, name, did)
    if not globals_.as_json and isinstance(found.get("server"), dict):
        _tell_more(globals_, name, found["server"], is_well=code == DONE)
    return code


def _is_there(globals_: Globals, name: str) -> bool:
    return any(each.get("name") == name for each in ask(globals_, API))


def _tell_more(globals_: Globals, name: str, server: Mapping[str, Any], *, is_well: bool) -> None:
    """Print how clients reach a new server, its tools and their size, or the command that says why it does not run."""
    if not is_well and str(server.get("status")) not in WORKS:
        paragraph(f"  mcpgateway why {name} lists the causes.")
        return
    health, tools = ask(globals_, "/health"), _tools(globals_, name)
    if isinstance(tools, list):
        names = [str(each.get("name")) for each in tools]
        size = sum(
            len(json.dumps(each.get("input_schema"))) + len(str(each.get("description") or ""))
            for each in tools
        )
        counted = f"{len(names)} tools" if len(names) != 1 else "1 tool"
        listed = f": {', '.join(names)}" if names else ""
        paragraph(f"  {counted}, about {size // CHARACTERS_PER_TOKEN:,} tokens{listed}")
    paragraph(f"  URL: {_gateway(globals_, health)}/{name}/mcp")
    enrolled = health.get("clients") if isinstance(health, dict) else None
    views = [
        str(each.get("name"))
        for each in enrolled or ()
        if isinstance(each, dict) and each.get("mode") == "single"
    ]
    if views:
        paragraph(f"  These clients have it now: {', '.join(dict.fromkeys(views))}.")
    paragraph("  mcpgateway clients apply CLIENT --print shows the entry for any other client.")


def _tools(globals_: Globals, name: str) -> Any:
    """Return the tools of a server that has just been started, or None where it does not list them in time."""
    ends = time.monotonic() + TOOLS_S
    while True:
        found = ask(globals_, SERVER, name=name)
        tools = found.get("tools") if isinstance(found, dict) else None
        if tools is not None or time.monotonic() >= ends:
            return tools
        time.sleep(POLL_S)


def _gateway(globals_: Globals, health: Any) -> str:
    port = health.get("port") if isinstance(health, dict) else None
    return globals_.url.rstrip("/") or f"http://localhost:{port or 9100}"


# The file of a project


def _add_to_project(globals_: Globals, name: str, made: dict[str, Any]) -> int:
    """Write a server into the ``.mcp.json`` of this directory, which its clients and the gateway read."""
    only_here(globals_, "servers add --scope project")
    from mcpgateway.cli.commands.config import done, load_options

    def work() -> int:
        from mcpgateway.cli.local.project_entry import add_to_project

        file, is_approved = add_to_project(load_options(globals_), os.environ, os.getcwd(), name, made)
        if globals_.as_json:
            emit({"status": "added", "file": file, "approved": is_approved})
            return DONE
        paragraph(f"{name} is added to {file}, for the clients that work here.")
        if not is_approved:
            paragraph(
                f"  mcpgateway config approve {os.path.dirname(file)} lets the gateway run its servers."
            )
        return DONE

    return done(work)


# Changes


@click.command()
@of_name
@click.option("--force", "-f", "--yes", "-y", is_flag=True, help="Without asking.")
@click.pass_obj
def remove(globals_: Globals, name: str, *, force: bool) -> None:
    """Take a server out of the configuration. What it was is kept in a file.

    A server that a client's file defines is switched off in the gateway's configuration, and that file stays as it is.
    Asks first; where nobody can be asked, --force is needed.
    """
    found = ask(globals_, SERVER, name=name, has="name")
    source = str(found.get("source") or "the configuration")
    is_theirs = found.get("is_own") is False
    if not force:
        if not sys.stdin.isatty():
            fail(f"{name} is not removed: nobody can be asked", "--force removes it without asking")
        question = (
            f"Switch {name} off in the gateway? Its entry stays in {source}."
            if is_theirs
            else f"Remove {name}, of {source}?"
        )
        if not confirm(question, err=True):
            fail("nothing was removed")
    (SWITCH_OFF if is_theirs else REMOVE).run(globals_, name=name)


@click.command()
@of_name
@click.pass_obj
def edit(globals_: Globals, name: str) -> int:
    """Edit the keys of a server in $VISUAL or $EDITOR, with all further keys as comments.

    For a server of a client's file they are the keys that lie over it. An edited text with an error is not taken.
    """
    from mcpgateway.cli.commands.config import done, edit_again, load_options

    only_here(globals_, "servers edit")
    if globals_.as_json:
        raise click.UsageError("a program cannot edit: servers set changes single keys")

    def work() -> int:
        from mcpgateway.cli.local.edit_server import edit as carry_out

        return carry_out(name, load_options(globals_), os.environ, edit_again)

    return done(work)


def _value(key: str, text: str) -> Any:
    if key.startswith(TEXT_KEYS):
        return text
    try:
        return json.loads(text)
    except ValueError:
        return text


def _variables(assignments: tuple[str, ...], env_file: str | None) -> dict[str, Any]:
    values = {**(of_file(env_file) if env_file else {}), **pairs(assignments, "set-env")}
    if not values:
        raise click.UsageError("name a variable, or an --env-file")
    return {"add_env": values}


def _words(name: str, metavar: str, *, required: bool = True) -> Callable[[Any], Any]:
    return click.argument(name, metavar=metavar, nargs=-1, required=required)


rename = RouteVerb(SERVER, "PATCH", "{name} is called {new} now.", limit_s=STOP_S).command(
    "rename",
    "Call a server by another name. Clients reach it at another address then.",
    of_name,
    click.argument("new", metavar="NEW"),
    body=lambda new: {"new_name": new},
)
set_keys = EDIT.command(
    "set",
    "Give keys of a server's entry values, such as timeout=30s, share=session or lazy.idleTimeoutMs=60000.\n\n"
    "A value that is JSON is taken as that, every other as text; behind env. and headers. all are texts. KEY without a"
    " value takes it from stdin, as set-env does.",
    of_name,
    _words("assignments", "KEY[=VALUE]..."),
    body=lambda assignments: {
        "set": {key: _value(key, text) for key, text in pairs(assignments, "set").items()}
    },
)
unset_keys = EDIT.command(
    "unset",
    "Take keys out of a server's entry, so that their defaults count.",
    of_name,
    _words("keys", "KEY..."),
    body=lambda keys: {"unset": list(keys)},
)
set_env = EDIT.command(
    "set-env",
    "Give a server variables. If it runs, it is restarted.\n\n"
    "VARIABLE without a value takes it from this command's environment, or else from stdin: on a terminal it is asked"
    " for, and not shown. So no secret has to stand in the command line.",
    of_name,
    _words("assignments", "[VARIABLE[=VALUE]]...", required=False),
    _env_file,
    body=_variables,
)
unset_env = EDIT.command(
    "unset-env",
    "Take variables away from a server. If it runs, it is restarted.",
    of_name,
    _words("names", "VARIABLE..."),
    body=lambda names: {"remove_env": list(names)},
)
set_header = EDIT.command(
    "set-header",
    "Give a server headers, which are sent with every request. Values are taken as by set-env.",
    of_name,
    _words("assignments", "HEADER[=VALUE]..."),
    body=lambda assignments: {"add_headers": pairs(assignments, "set-header")},
)
unset_header = EDIT.command(
    "unset-header",
    "Take headers away from a server.",
    of_name,
    _words("names", "HEADER..."),
    body=lambda names: {"remove_headers": list(names)},
)
