"""``install_server`` and ``remove_server``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from attrs import define, evolve

from mcpgateway.config.document import printable, visible
from mcpgateway.config.edit.edits import Remove
from mcpgateway.config.model import ServerSpec
from mcpgateway.config.recipes import Filling, MissingVariables, Recipe
from mcpgateway.discovery.naming import server_hint, shown
from mcpgateway.discovery.records import Item, ListKind
from mcpgateway.errors import InvalidParams
from mcpgateway.interfaces import Request
from mcpgateway.manage.install_plans import InstallPlan, words_of, words_of_served
from mcpgateway.manage.tools.checks import check_definition, check_name, runs_a_shell
from mcpgateway.manage.tools.tool import (
    CWD,
    SCOPE,
    SERVER,
    ChangeTarget,
    Management,
    agreed,
    answer_later,
    mapping,
    retry_of,
    texts,
    where,
)
from mcpgateway.owntools import arguments
from mcpgateway.owntools.status import seen_by
from mcpgateway.owntools.tool import RUN, WRITE, Access, define_tool
from mcpgateway.protocol.jsonrpc import Envelope

TALE_CHARACTERS = 200  # of the author's description


@define(eq=False, repr=False)
class InstallServer:
    """Installs a server, which ends when its tools can be called."""

    _make: Callable[[], Management]
    name: ClassVar[str] = "install_server"
    tier: ClassVar[str] = RUN
    definition: ClassVar[bytes] = define_tool(
        "install_server",
        "Install an MCP server: a name of list_catalog, npm:…, pypi:… or docker:…, a URL or an entry. It is started"
        " and its tools are listed before this succeeds. The user is asked.",
        {
            "server": {
                "description": "What to install. An entry is such as"
                ' {"command": "npx", "args": ["-y", "…"]}; a name of the registry (io.github.user/server) and its'
                " server.json are accepted too.",
                "anyOf": [{"type": "string"}, {"type": "object"}],
            },
            "scope": SCOPE,
            "cwd": CWD,
            "name": {"type": "string", "description": "What to call it, if not as usual."},
            "values": {
                "type": "object",
                "description": "What its recipe asks for.",
            },
            "env": {
                "type": "object",
                "description": "Variables, secrets as ${NAME}. Their values belong into the gateway's .env.",
            },
            "args": {"type": "array", "items": {"type": "string"}, "description": "Further arguments."},
            "prefer": {
                "type": "string",
                "enum": ["npm", "pypi", "oci", "remote"],
                "description": "Which way of a server.json.",
            },
        },
        ["server"],
        destructiveHint=False,
    )

    def call(self, request: Request, given: Envelope, access: Access) -> None:
        """Answer when the new server's tools are listed, or nothing has changed."""
        answer_later(request, self._install(request, given, access))

    async def _install(self, request: Request, given: Envelope, access: Access) -> dict[str, Any]:
        made = self._make()
        place = where(given, made.plans.workspaces)
        recipe = await made.plans.look_up(arguments.value(given, "server"), arguments.text(given, "prefer"))
        recipe, definition = self._definition(request, given, made, place, recipe)
        made.installing.check_may_run(access.principal, definition)
        plan = made.plans.plan(recipe.name, definition, place.root)
        if not plan.is_there:
            await agreed(request, access, _question(plan, recipe), retry_of(self.name, given))
        installed = await made.installing.install(plan, lambda spec: _tools(made, access, spec))
        result = {
            "installed": True,
            "server": plan.name,
            "scope": str(place),
            "file": plan.file,
            "tools": list(installed.tools),
            "hint": "its tools can be called now",
        }
        if plan.name not in [each.name for each in access.rebuilt().specs()]:
            result["hint"] = f"its tools can be called at /{plan.name}/mcp" + (
                f" by clients that work in {place.root}" if place.root else "; this endpoint does not show it"
            )
        if installed.was_there:
            result["hint"] = "it was installed like this already; nothing was changed"
        if recipe.quirks:
            result["quirks"] = recipe.quirks
        return result

    def _definition(
        self, request: Request, given: Envelope, made: Management, place: ChangeTarget, recipe: Recipe
    ) -> tuple[Recipe, dict[str, Any]]:
        recipe = evolve(recipe, name=arguments.text(given, "name") or recipe.name)
        check_name(recipe.name)
        filling = Filling(_values(given), texts(given, "env"), made.plans.knows(place.root))
        try:
            definition = recipe.entry(filling)
        except MissingVariables as why:
            file = f"{place.root}/.env" if place.root else f"{made.plans.home}/.env"
            lines = ", ".join(f"{each.name}=…" for each in why.needs)
            why.hint = f"let its user put this into {file}, and install it again then: {lines}"
            raise
        more = arguments.value(given, "args")
        if more:
            if not isinstance(more, list) or "command" not in definition:
                raise InvalidParams('"args" must be a list of the arguments of a program')
            definition["args"] = [*definition.get("args", []), *more]
        check_definition(definition, may_hold_secrets=request.is_admin)
        return recipe, definition


@define(eq=False, repr=False)
class RemoveServer:
    """Takes a server out of the configuration."""

    _make: Callable[[], Management]
    name: ClassVar[str] = "remove_server"
    tier: ClassVar[str] = WRITE
    definition: ClassVar[bytes] = define_tool(
        "remove_server",
        "Remove a server from the configuration. The user is asked.",
        {"server": SERVER, "scope": SCOPE, "cwd": CWD},
        ["server"],
        destructiveHint=True,
        idempotentHint=True,
    )

    def call(self, request: Request, given: Envelope, access: Access) -> None:
        """Answer when the server is removed."""
        answer_later(request, self._remove(request, given, access))

    async def _remove(self, request: Request, given: Envelope, access: Access) -> dict[str, Any]:
        return {"removed": True, **await removed(self.name, request, given, access, self._make())}


async def removed(
    tool: str, request: Request, given: Envelope, access: Access, made: Management
) -> dict[str, Any]:
    """Remove a server from the configuration, with the user's consent; return the outcome."""
    place = where(given, made.plans.workspaces)
    name = known_name(given, access, place)
    served = made.plans.foresee(name, (Remove((name,)),), place.root)
    whose = f"the clients that work in {place.root}" if place.root else "all clients of this gateway"
    words = [f"Remove the server {visible(name)} for {visible(whose)}?", "A copy of its entry is kept."]
    if served:
        words.append(words_of_served(served))
    await agreed(request, access, "\n".join(words), retry_of(tool, given))
    left, values = made.installing.values_left_by(name)
    file, copy = made.installing.remove(name, place.root)
    hint = f"what it was is kept in {copy}, for its user"
    if left:
        hint += f"; {', '.join(left)} of it stays in {values}"
    return {"server": name, "scope": str(place), "file": file, "kept": copy, "hint": hint}


def known_name(given: Envelope, access: Access, place: ChangeTarget | None = None) -> str:
    """Return the name of the server that a call names, which its view shows or its workspace defines.

    :raise InvalidParams: no server has that name; the hint has the nearest names.
    """
    name = arguments.needed(given, "server", "list_all_servers says which there are")
    known = [each.name for each in seen_by(access)]
    if name in known or (place is not None and place.root):
        return name
    raise InvalidParams(f"Unknown server: {printable(name)}", server_hint(name, known))


def _values(given: Envelope) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name, value in mapping(given, "values").items():
        several = value if isinstance(value, list) else [value]
        if not all(isinstance(each, str | int | float) for each in several):
            raise InvalidParams(f'"values.{printable(name)}" must be a string, or a list of strings')
        found[name] = [str(each).lower() if isinstance(each, bool) else str(each) for each in several]
    return found


def _question(plan: InstallPlan, recipe: Recipe) -> str:
    # The command comes first, and foreign text last: a long description must not hide the command.
    lines = [words_of(plan), f"Install the MCP server {visible(plan.name)}?"]
    if runs_a_shell(plan.definition):
        lines.append("Beware: this program runs whatever its arguments say.")
    tale = visible(" ".join(f"{recipe.about} {recipe.quirks}".split()))
    if tale:
        short = tale if len(tale) <= TALE_CHARACTERS else tale[: TALE_CHARACTERS - 1] + "…"
        lines.append(f"Its author says: {short}")
    return "\n".join(lines)


async def _tools(made: Management, access: Access, spec: ServerSpec) -> Sequence[str]:
    access = access.rebuilt()
    if spec.name not in [each.name for each in access.specs()]:
        return await made.visit(spec, access.principal)
    items = await access.list(spec.name, ListKind.TOOL)
    names = access.rebuilt().view.listing.names

    def listed(item: Item) -> str:
        try:
            return names.name_of(item)
        except KeyError:
            return shown(item.server, item.own)  # the view does not have it yet

    return [listed(each) for each in items]
