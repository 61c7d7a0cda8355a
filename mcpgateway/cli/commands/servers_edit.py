"""Adding, changing and removing servers."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from typing import Any

import click

from mcpgateway.cli.commands.servers import API, MARGIN_S, SERVER, STOP_S, of_name, print_state, waiting
from mcpgateway.cli.commands.validate import command_of
from mcpgateway.cli.console import confirm, fail, only_here
from mcpgateway.cli.context import Globals
from mcpgateway.cli.lazy import PassthroughCommand, behind
from mcpgateway.cli.queries import RouteVerb, ask
from mcpgateway.cli.values import Expanding, json_object, of_file, pairs

DEFINED = '{"command": "npx", "args": ["-y", "notes-mcp"]}'
REMOVE = RouteVerb(
    SERVER, "DELETE", "{name} is removed; its definition is kept in {found[kept]}", limit_s=STOP_S
)
SWITCH_OFF = RouteVerb(
    SERVER, "PATCH", "{name} is switched off; its own entry stays.", {"disabled": True}, STOP_S
)
EDIT = RouteVerb(SERVER, "PATCH", "{name} is changed.", limit_s=STOP_S, is_admin=True)
TEXT_KEYS = ("env.", "environment.", "headers.")

_env_file = click.option(
    "--env-file",
    metavar="FILE",
    help="Take variables from the NAME=VALUE lines of a file; - is stdin. Values stay out of the command line.",
)


@click.command(cls=PassthroughCommand, options_metavar="[OPTIONS] [-- COMMAND ...]")
@click.argument("name", metavar="NAME")
@click.option("--command", help="The program, or the whole command in quotes.")
@click.option("--args", help="Its arguments, with commas between them.")
@click.option("--cwd", type=click.Path(), metavar="DIRECTORY", help="The directory it runs in.")
@click.option(
    "--env", multiple=True, metavar="NAME[=VALUE]", help="A variable; NAME alone takes it from yours."
)
@_env_file
@click.option("--url", "address", metavar="URL", help="Where it is, if it runs somewhere else.")
@click.option(
    "--headers",
    "--header",
    multiple=True,
    metavar="NAME=VALUE",
    help="A header for every request; may be repeated.",
)
@click.option(
    "--definition", metavar="JSON", help="All of it, as a configuration has it; @FILE, or - for stdin."
)
@click.option("--disabled", is_flag=True, help="Switched off, for now.")
@click.option("--replace", is_flag=True, help="In place of the one of that name, if there is one.")
@click.option("--no-expand", is_flag=True, help="Leave ${NAME} to the gateway, instead of your values.")
@waiting
@click.pass_context
def add(  # noqa: PLR0913 - one for each option
    context: click.Context,
    *,
    name: str,
    command: str | None,
    args: str | None,
    cwd: str | None,
    env: tuple[str, ...],
    env_file: str | None,
    address: str | None,
    headers: tuple[str, ...],
    definition: str | None,
    disabled: bool,
    replace: bool,
    no_expand: bool,
    wait_s: float,
) -> int:
    """Add a server to the configuration, and start it.

    ${NAME} in what is given becomes the value that NAME has here. Exit code 1 where the server is not added, or does
    not run.
    """
    globals_: Globals = context.obj
    words = command_of(behind(context), command, args)
    expanding = Expanding(os.environ, is_on=not no_expand)
    made = json_object(definition, "--definition", DEFINED) if definition is not None else {}
    if words:
        first, *rest = map(expanding.text, words)
        made |= {"command": _program(first), **({"args": rest} if rest else {})}
    if address is not None:
        made["url"] = expanding.text(address)
    if cwd is not None:
        made["cwd"] = os.path.abspath(os.path.expanduser(expanding.text(cwd)))
    values = {**(of_file(env_file) if env_file else {}), **expanding.values(pairs(env, "--env"))}
    if values:
        made["env"] = {**made.get("env", {}), **values}
    if headers:
        expanded = expanding.values(pairs(headers, "--headers"))
        made["headers"] = {**made.get("headers", {}), **expanded}
    if disabled:
        made["enabled"] = False
    if not {"command", "url"} & made.keys() and definition is None:
        raise click.UsageError("say what it is: --command, --url, --definition, or a command behind --")
    return _add(globals_, name, made, replace=replace, wait_s=wait_s)


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
    did = {"unchanged": "there already", "updated": "replaced"}.get(str(found.get("status")), "added")
    return print_state(globals_, found, name, did)


def _is_there(globals_: Globals, name: str) -> bool:
    return any(each.get("name") == name for each in ask(globals_, API))


def _program(word: str) -> str:
    """Return an absolute path of a program, since the gateway works in another directory."""
    word = os.path.expanduser(word)
    return os.path.abspath(word) if "/" in word else word


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
