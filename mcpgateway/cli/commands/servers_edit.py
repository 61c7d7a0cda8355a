"""Adding, changing and removing servers."""

from __future__ import annotations

import json
import os
import sys
from typing import Any

import click

from mcpgateway.cli.client import GatewayClient
from mcpgateway.cli.commands.servers import MARGIN_S, STOP_S, of_name, road, tell, told_of, waiting
from mcpgateway.cli.commands.validate import command_of
from mcpgateway.cli.console import answer, confirm, fail, spinner
from mcpgateway.cli.context import Globals
from mcpgateway.cli.lazy import PassthroughCommand, behind
from mcpgateway.cli.values import STDIN, Expanding, of_file, pairs

DEFINITION_LIMIT = 1_048_576
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
    made = _definition(definition) if definition is not None else {}
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
        said = expanding.values(pairs(headers, "--headers"))
        made["headers"] = {**made.get("headers", {}), **said}
    if disabled:
        made["enabled"] = False
    if not {"command", "url"} & made.keys() and definition is None:
        raise click.UsageError("say what it is: --command, --url, --definition, or a command behind --")
    return _add(globals_, name, made, replace=replace, wait_s=wait_s)


def _add(globals_: Globals, name: str, made: dict[str, Any], *, replace: bool, wait_s: float) -> int:
    query = {"wait": f"{wait_s:g}s"}
    method, path, body = "POST", road(query=query), {"name": name, "config": made}
    if replace:
        method, path, body = "PUT", road(name, query=query), {"config": made}
    with spinner(f"waiting for {name}"):
        found = GatewayClient(globals_, is_admin=True).told(
            path,
            method=method,
            body=body,
            limit_s=wait_s + MARGIN_S,
            headers={"If-Match": "*"} if replace and _is_there(globals_, name) else None,
        )
    did = {"unchanged": "there already", "updated": "replaced"}.get(str(found.get("status")), "added")
    return told_of(globals_, found, name, did)


def _is_there(globals_: Globals, name: str) -> bool:
    return any(each.get("name") == name for each in GatewayClient(globals_).told(road()))


def _program(word: str) -> str:
    """A program as the gateway finds it, which does not work in this directory."""
    word = os.path.expanduser(word)
    return os.path.abspath(word) if "/" in word else word


def _definition(said: str) -> dict[str, Any]:
    try:
        if said == STDIN:
            said = sys.stdin.read(DEFINITION_LIMIT)
        elif said.startswith("@"):
            with open(os.path.expanduser(said[1:]), encoding="utf-8") as file:
                said = file.read(DEFINITION_LIMIT)
        found = json.loads(said)
    except OSError as why:
        fail(f"--definition: {why.filename}: {why.strerror}")
    except ValueError:
        fail("--definition: is no JSON")  # what it is may hold secrets
    if not isinstance(found, dict):
        fail(
            "--definition: expected an object", 'such as \'{"command": "npx", "args": ["-y", "notes-mcp"]}\''
        )
    return found


@click.command()
@of_name
@click.option("--force", "-f", is_flag=True, help="Without asking.")
@click.pass_obj
def remove(globals_: Globals, name: str, *, force: bool) -> None:
    """Take a server out of the configuration. What it was is kept in a file.

    Asks first; where nobody can be asked, --force is needed.
    """
    remote = GatewayClient(globals_)
    if not force:
        found = remote.told(road(name))
        if not sys.stdin.isatty():
            fail(f"{name} is not removed: nobody can be asked", "--force removes it without asking")
        source = str(found.get("source") or "the configuration")
        if not confirm(f"Remove {name}, of {source}?", err=True):
            fail("nothing was removed")
    found = remote.told(road(name), method="DELETE", limit_s=STOP_S)
    _said(globals_, f"{name} is removed; what it was is kept in {found.get('kept')}", found)


@click.command()
@of_name
@click.argument("new", metavar="NEW")
@click.pass_obj
def rename(globals_: Globals, name: str, new: str) -> None:
    """Call a server by another name. Clients reach it at another address then."""
    found = _patched(globals_, name, {"new_name": new}, is_admin=False)
    _said(globals_, f"{name} is called {new} now.", found)


@click.command("set")
@of_name
@click.argument("said", metavar="KEY[=VALUE]...", nargs=-1, required=True)
@click.pass_obj
def set_keys(globals_: Globals, name: str, said: tuple[str, ...]) -> None:
    """Give keys of a server's entry values, such as timeout=30s, share=session or lazy.idleTimeoutMs=60000.

    A value that is JSON is taken as that, every other as text; behind env. and headers. all are texts. KEY without a
    value takes it from stdin, as set-env does.
    """
    values = {key: _value(key, text) for key, text in pairs(said, "set").items()}
    _said(globals_, f"{name} is changed.", _patched(globals_, name, {"set": values}))


def _value(key: str, text: str) -> Any:
    if key.startswith(TEXT_KEYS):
        return text
    try:
        return json.loads(text)
    except ValueError:
        return text


@click.command("unset")
@of_name
@click.argument("keys", metavar="KEY...", nargs=-1, required=True)
@click.pass_obj
def unset_keys(globals_: Globals, name: str, keys: tuple[str, ...]) -> None:
    """Take keys out of a server's entry, so that their defaults count."""
    _said(globals_, f"{name} is changed.", _patched(globals_, name, {"unset": list(keys)}))


@click.command("set-env")
@of_name
@click.argument("said", metavar="[VARIABLE[=VALUE]]...", nargs=-1)
@_env_file
@click.pass_obj
def set_env(globals_: Globals, name: str, said: tuple[str, ...], env_file: str | None) -> None:
    """Give a server variables. If it runs, it is started anew.

    VARIABLE without a value takes it from this command's environment, or else from stdin: on a terminal it is asked
    for, and not shown. So no secret has to stand in the command line.
    """
    values = {**(of_file(env_file) if env_file else {}), **pairs(said, "set-env")}
    if not values:
        raise click.UsageError("name a variable, or an --env-file")
    _said(globals_, f"{name} is changed.", _patched(globals_, name, {"add_env": values}))


@click.command("unset-env")
@of_name
@click.argument("names", metavar="VARIABLE...", nargs=-1, required=True)
@click.pass_obj
def unset_env(globals_: Globals, name: str, names: tuple[str, ...]) -> None:
    """Take variables away from a server. If it runs, it is started anew."""
    _said(globals_, f"{name} is changed.", _patched(globals_, name, {"remove_env": list(names)}))


@click.command("set-header")
@of_name
@click.argument("said", metavar="HEADER[=VALUE]...", nargs=-1, required=True)
@click.pass_obj
def set_header(globals_: Globals, name: str, said: tuple[str, ...]) -> None:
    """Give a server headers, which are sent with every request. Values are taken as by set-env."""
    _said(
        globals_, f"{name} is changed.", _patched(globals_, name, {"add_headers": pairs(said, "set-header")})
    )


@click.command("unset-header")
@of_name
@click.argument("names", metavar="HEADER...", nargs=-1, required=True)
@click.pass_obj
def unset_header(globals_: Globals, name: str, names: tuple[str, ...]) -> None:
    """Take headers away from a server."""
    _said(globals_, f"{name} is changed.", _patched(globals_, name, {"remove_headers": list(names)}))


def _patched(globals_: Globals, name: str, patch: dict[str, Any], *, is_admin: bool = True) -> dict[str, Any]:
    remote = GatewayClient(globals_, is_admin=is_admin)
    found = remote.told(road(name), method="PATCH", body=patch, limit_s=STOP_S)
    if not isinstance(found, dict):
        remote.unreachable("what answers there is no gateway")
    return found


def _said(globals_: Globals, sentence: str, found: dict[str, Any]) -> None:
    answer(globals_, found, lambda: tell(sentence, found))
