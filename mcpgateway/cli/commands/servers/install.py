"""Searching for servers, and adding one by its name: of the package's recipes, of the registry, or a server.json."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import click

from mcpgateway.cli.commands.servers.added import only_clients
from mcpgateway.cli.commands.servers.servers import waiting
from mcpgateway.cli.completion_values import catalog_names
from mcpgateway.cli.console import (
    DONE,
    FAILED,
    Styled,
    answer_list,
    confirm,
    emit,
    fail,
    is_terminal,
    only_here,
    paragraph,
    say,
    shortened,
    spinner,
    styled,
)
from mcpgateway.cli.context import Globals
from mcpgateway.cli.queries import rows_table
from mcpgateway.cli.values import pairs
from mcpgateway.hints import cli

if TYPE_CHECKING:
    from mcpgateway.cli.local.install_server import Surroundings
    from mcpgateway.config.recipes import Need, Recipe
    from mcpgateway.manage.recipe_inputs import RecipeInputs
    from mcpgateway.system.catalog.lookup import CatalogSearch
    from mcpgateway.system.settings import LoadOptions

Found = TypeVar("Found")
SEARCHES = f"{cli('servers search WORD')} lists servers that can be installed by name"
TEST_S = 120.0  # a runner that has to download its package sends no message before
WAYS = ("npm", "pypi", "oci", "remote")
_registry = click.option(
    "--registry", metavar="URL", help="The registry that is asked, instead of gateway.registry_url."
)


@click.command()
@click.argument("words", metavar="[WORD]...", nargs=-1)
@click.option(
    "--limit", type=click.IntRange(1, 100), default=20, show_default=True, help="Servers of the registry."
)
@click.option(
    "--recipes", "is_offline", is_flag=True, help="Only the package's own recipes; nothing is asked."
)
@_registry
@click.pass_obj
def search(
    globals_: Globals, *, words: tuple[str, ...], limit: int, is_offline: bool, registry: str | None
) -> int:
    """Search the package's own recipes and the registry for servers. Without a word, list the recipes.

    `mcpgateway servers install NAME` adds one of them. Works with the gateway running or not.
    """
    only_here(globals_, "servers search")
    from mcpgateway.system.catalog.lookup import RECIPE, CatalogSearch, ServerCatalog, own_entries

    query = " ".join(words)
    url = "" if is_offline or not query else _registry_url(globals_, registry)
    catalog = ServerCatalog(url)
    with spinner("asking the registry"):
        found = catalog.search(query, limit) if query else CatalogSearch(own_entries(catalog))
    items = [each.shown() for each in found.entries]
    answer_list(globals_, items, lambda: _tell(found, query), registry=url, problem=found.problem)
    if found.problem and not globals_.as_json:
        paragraph(f"The registry could not be searched: {found.problem}", err=True)
        say(f"  {cli('servers search --recipes {}', query)} asks no registry", err=True, dim=True)
    has_own = any(each.source == RECIPE for each in found.entries)
    return FAILED if found.problem and not has_own else DONE


def _tell(found: CatalogSearch, query: str) -> None:
    if not found.entries:
        if not found.problem:
            paragraph(f"No server matches '{query}'.\n{cli('servers search')} lists the recipes.")
        return
    rows_table(
        {
            "NAME": lambda each: str(each["name"]),
            "FROM": lambda each: str(each["source"]),
            "VERSION": lambda each: str(each["version"]),
            "RUNS": _runs,
            "DESCRIPTION": lambda each: str(each["description"]),
        },
        [each.shown() for each in found.entries],
    )
    paragraph(f"{cli('servers install NAME')} adds one of them.", err=not is_terminal(), dim=True)


def _runs(each: Mapping[str, Any]) -> Styled:
    if not each["installable"]:
        return styled(f"not here: {each['reason']}", dim=True)
    return styled(f"{each['runs']} (deprecated)" if each["deprecated"] else str(each["runs"]))


def _registry_url(globals_: Globals, named: str | None) -> str:
    from mcpgateway.cli.commands.configuration.config import load_options

    if named is not None:
        if not named.startswith(("http://", "https://")):
            raise click.UsageError(
                f"--registry: found {named!r}; expected a URL such as https://registry.example"
            )
        return named.rstrip("/")
    return _work(lambda: _surroundings(load_options(globals_))).registry_url


@click.command()
@click.argument("server", metavar="NAME|FILE|URL", shell_complete=catalog_names)
@click.option("--name", metavar="NAME", help="What to call it, if not as usual.")
@click.option(
    "-e",
    "--env",
    multiple=True,
    metavar="NAME[=VALUE]",
    help="An input that it needs; NAME alone takes it from your environment, and NAME=- asks for it.",
)
@click.option(
    "--yes",
    "-y",
    "is_sure",
    is_flag=True,
    help="Install it without asking, also into the files of the clients that use the gateway.",
)
@click.option(
    "--scope",
    type=click.Choice(["user", "project"]),
    default="user",
    help="For all clients, or in the .mcp.json of this directory for the clients that work here.",
)
@click.option("--prefer", type=click.Choice(WAYS), help="Which way to run it, where it has several.")
@click.option("--cwd", type=click.Path(), metavar="DIRECTORY", help="The directory it runs in.")
@click.option("--no-test", is_flag=True, help="Do not wait until it runs, and list no tools.")
@_registry
@only_clients
@waiting
@click.pass_obj
def install(  # noqa: PLR0913 - one for each option
    globals_: Globals,
    *,
    server: str,
    name: str | None,
    env: tuple[str, ...],
    is_sure: bool,
    scope: str,
    prefer: str | None,
    cwd: str | None,
    no_test: bool,
    registry: str | None,
    clients: tuple[str, ...],
    wait_s: float,
) -> int:
    """Add a server by its name, start it, and list its tools.

    NAME is a recipe (servers search), a server of the registry such as io.github.user/weather, also with @VERSION, or a
    package such as npm:@scope/name@1.2.3. FILE and URL are those of a server.json. Inputs that it needs are asked for;
    secrets are written to the gateway's own .env, and the entry names them.
    """
    only_here(globals_, "servers install")
    from attrs import evolve

    from mcpgateway.cli.commands.configuration.config import load_options
    from mcpgateway.cli.local.install_server import described, put_secrets
    from mcpgateway.manage.recipe_inputs import RecipeInputs

    options = load_options(globals_)
    place = _work(lambda: _surroundings(options))
    url = _registry_url(globals_, registry) if registry is not None else place.registry_url
    with spinner("asking the registry"):
        recipe = _work(lambda: _recipe(described(server), url, prefer or ""))
    recipe = evolve(recipe, name=name or recipe.name)
    _check_name(recipe.name, place, scope)

    _say_what(recipe)
    inputs = RecipeInputs(recipe, place.world, place.whose, os.getcwd())
    _take(inputs, env)
    _ask(inputs, recipe.name, server)
    made = _work(inputs.entry)
    _say_found(inputs, place)
    if cwd is not None:
        made["cwd"] = os.path.abspath(os.path.expanduser(cwd))
    if not is_sure:
        _confirm(recipe, made)
    if inputs.secrets:
        _work(lambda: put_secrets(place, inputs.secrets, recipe.name))
        names = ", ".join(sorted(inputs.secrets))
        paragraph(f"{names}: written to {shortened(place.values_file)}", err=True, dim=True)
    return _add(
        globals_,
        options,
        recipe,
        made,
        scope,
        0.0 if no_test else wait_s,
        is_sure=is_sure or bool(clients),
        clients=clients,
    )


def _recipe(wanted: Any, registry_url: str, prefer: str) -> Recipe:
    from mcpgateway.system.catalog.lookup import ServerCatalog

    return ServerCatalog(registry_url).find(wanted, prefer)


def _surroundings(options: LoadOptions) -> Surroundings:
    from mcpgateway.cli.local.install_server import surroundings

    return surroundings(options, os.environ)


def _work(work: Callable[[], Found]) -> Found:
    """Run code of the gateway; its errors end the command.

    :raise Trouble: the code has failed.
    """
    from mcpgateway.errors import GatewayError

    try:
        return work()
    except GatewayError as why:
        fail(why.message, SEARCHES if "list_catalog" in why.hint else why.hint)


def _check_name(name: str, place: Surroundings, scope: str) -> None:
    from mcpgateway.manage.tools.checks import check_name

    _work(lambda: check_name(name))
    if scope == "user" and name in place.names:
        fail(
            f"there is a server {name} already",
            f"--name gives the new one another name, and {cli('servers remove {}', name)} takes that one away",
        )


def _say_what(recipe: Recipe) -> None:
    title = f" ({recipe.title})" if recipe.title and recipe.title != recipe.name else ""
    about = f": {recipe.about}" if recipe.about else ""
    paragraph(f"{recipe.name}{title}{about}", err=True)
    if recipe.quirks:
        paragraph(f"  {recipe.quirks}", err=True)
    further = [each.name for each in (*recipe.values, *recipe.variables) if not each.required]
    if further:
        paragraph(f"  It also takes {', '.join(further)} (-e NAME=VALUE).", err=True)
    program = next(iter(recipe.program), "")
    if program and shutil.which(program) is None:
        from mcpgateway.system.launch.missing import COMES_WITH  # only for a program that is missing

        comes = f", which comes with {COMES_WITH[program]}" if program in COMES_WITH else ""
        paragraph(
            f"  It is run by {program}{comes}; this shell does not find it. Without it the server cannot run.",
            err=True,
        )


def _confirm(recipe: Recipe, made: Mapping[str, Any]) -> None:
    if not sys.stdin.isatty():
        fail(f"{recipe.name} is not installed: nobody can be asked", "--yes installs it without asking")
    command = made.get("command")
    what = shlex.join(map(str, [command, *made.get("args", ())])) if command else str(made.get("url"))
    paragraph(f"  It runs: {what}" if command else f"  It is at: {what}", err=True)
    if not confirm(f"Install {recipe.name}?", default=True, err=True):
        fail("nothing was installed")


def _take(inputs: RecipeInputs, words: Sequence[str]) -> None:
    for each in words:
        ((name, value),) = pairs((each,), "-e").items()
        inputs.put(name, value)


def _ask(inputs: RecipeInputs, name: str, server: str) -> None:
    """Ask the user for the inputs that are missing.

    :raise Trouble: nobody can be asked.
    """
    missing = inputs.missing()
    if missing and not sys.stdin.isatty():
        _refuse(name, server, missing, inputs.others())
    others = inputs.others()
    for need in missing:
        if need.name in others:
            paragraph(
                f"  The value of {need.name} in .env was kept for {others[need.name]}, so it is not used here.",
                err=True,
            )
        inputs.put(need.name, _typed(need))


def _say_found(inputs: RecipeInputs, place: Surroundings) -> None:
    for each in inputs.found():
        in_file = bool(place.world.variables.get(each))
        where = f"in {shortened(place.values_file)}" if in_file else "in the environment of your login"
        paragraph(f"  {each}: the value {where} is used; -e {each}=VALUE gives another.", err=True)


def _refuse(name: str, server: str, missing: Sequence[Need], others: Mapping[str, str]) -> NoReturn:
    needs = "; ".join(f"{each.name} ({each.about})" if each.about else each.name for each in missing)
    given = " ".join(f"-e {each.name}=VALUE" for each in missing)
    fail(
        f"{name} is not installed: it needs {needs}, and nobody can be asked",
        f"{cli('servers install {}', server)} {given}\n-e NAME alone takes the value from your environment"
        + "".join(
            f"\n-e '{each.name}=${{{each.name}}}' takes the value that was kept for {others[each.name]}"
            for each in missing
            if each.name in others
        ),
    )


def _typed(need: Need) -> str:
    if need.about:
        paragraph(f"  {need.about}", err=True)
    kind = click.Choice(need.choices) if need.choices else None
    while True:
        found = str(
            click.prompt(
                need.name, hide_input=need.secret, err=True, type=kind, default="", show_default=False
            )
        )
        if found:
            return found
        say(f"  {need.name} needs a value; Ctrl-C ends the command, and nothing is installed.", err=True)


# Writing


def _add(  # noqa: PLR0913 - what the options of the command give
    globals_: Globals,
    options: LoadOptions,
    recipe: Recipe,
    made: dict[str, Any],
    scope: str,
    wait_s: float,
    *,
    is_sure: bool,
    clients: tuple[str, ...],
) -> int:
    from mcpgateway.cli.client import GatewayAbsent, GatewayClient, NoGateway
    from mcpgateway.cli.commands.servers.edit import add_to_gateway, add_to_project_file

    if scope == "project":
        return add_to_project_file(globals_, recipe.name, made)
    try:
        GatewayClient(globals_).ask("/healthz")
    except GatewayAbsent:
        return _add_without_gateway(globals_, options, recipe.name, made, is_tested=wait_s > 0)
    except NoGateway:
        pass  # the request itself tells why
    return add_to_gateway(globals_, recipe.name, made, wait_s=wait_s, is_sure=is_sure, clients=clients)


def _add_without_gateway(
    globals_: Globals, options: LoadOptions, name: str, made: dict[str, Any], *, is_tested: bool
) -> int:
    from mcpgateway.cli.handover import hand_over
    from mcpgateway.cli.local.install_server import add_to_file

    file = _work(lambda: add_to_file(name, made, options, os.environ))
    if globals_.as_json:
        emit({"status": "added", "name": name, "file": file, "tested": False})
        return DONE
    paragraph(f"{name} is added to {shortened(file)}.")
    paragraph(f"  No gateway runs here: {cli('start')} serves it.")
    if is_tested:
        request: dict[str, Any] = {
            "command": [],
            "cwd": None,
            "env": [],
            "config": None,
            "server": name,
            "timeout_s": TEST_S,
            "home": globals_.named_home,
        }
        hand_over("mcpgateway.app.validate", request)
    return DONE
