"""Servers that can be installed by name: the search, and the installation with the inputs that they need."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence

from attrs import evolve, frozen
from twisted.internet.defer import Deferred, succeed

from mcpgateway.config.model import ServerSpec
from mcpgateway.config.recipes import Recipe
from mcpgateway.credentials.commands import put_values
from mcpgateway.errors import NameTaken, NotOurs
from mcpgateway.manage.install import Installer, InstallOutcome
from mcpgateway.manage.recipe_inputs import RecipeInputs
from mcpgateway.manage.reload import Reload
from mcpgateway.manage.secret_values import notes_of, owners
from mcpgateway.manage.tools.checks import check_definition, check_name
from mcpgateway.system.catalog.lookup import CatalogSearch, ServerCatalog, own_entries


@frozen
class CatalogOperations:
    """Searches recipes and the registry, and installs what is found.

    :ivar list_tools: lists a new server's tools for a principal.
    """

    installing: Installer
    reload: Reload
    list_tools: Callable[[ServerSpec, str], Awaitable[Sequence[str]]]

    def search(self, query: str, limit: int) -> Deferred[CatalogSearch]:
        """Fire with the servers that match, or with all recipes; the registry is asked in a thread."""
        catalog = ServerCatalog(self.reload.settings.gateway.registry_url)
        if not query.strip():
            return succeed(CatalogSearch(own_entries(catalog)))
        return self.reload.in_thread(catalog.search, query, limit)

    async def install(
        self, server: str, inputs: Mapping[str, Sequence[str]], name: str, prefer: str, principal: str
    ) -> tuple[InstallOutcome, Recipe]:
        """Install a server by its name; the secrets among its inputs go into the gateway's own file of values.

        :raise GatewayError: it cannot be installed, and has no entry; the text says why.
        """
        plans, values_file = self.installing.plans, self.reload.values_file
        if values_file is None:
            raise NotOurs("this gateway has no configuration file")
        recipe = await plans.look_up(server, prefer)
        recipe = evolve(recipe, name=name or recipe.name)
        check_name(recipe.name)
        if recipe.name in self.reload.settings.blueprints:
            raise NameTaken(f"there is a server {recipe.name} already", "pass another name")
        file = values_file()
        given = RecipeInputs(recipe, plans.world, owners(file, self.reload.settings.blueprints))
        for each, values in inputs.items():
            for value in values:
                given.put(each, value)
        definition = given.entry()
        check_definition(definition, may_hold_secrets=True)
        self.installing.check_may_run(principal, definition)
        if given.secrets:
            notes = notes_of(given.secrets, recipe.name)
            await self.reload.in_thread(put_values, file, given.secrets, notes)
            self.reload.read_own()
        plan = plans.plan(recipe.name, definition)
        return await self.installing.install(plan, lambda spec: self.list_tools(spec, principal)), recipe
