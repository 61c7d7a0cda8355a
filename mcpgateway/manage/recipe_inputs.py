"""The inputs of a recipe, as the user who installs it gives them."""

from __future__ import annotations

import os

from mcpgateway.config.expand import VARIABLE, escaped
from mcpgateway.config.names import slug
from mcpgateway.config.recipes import Filling, Need, Recipe
from mcpgateway.config.resolve import World
from mcpgateway.errors import InvalidParams
from mcpgateway.policy.secrets.shapes import is_secret, shaped


class RecipeInputs:
    """The inputs of a recipe; secrets are kept apart, for the gateway's own file of values, which the entry names.

    :ivar secrets: the values for the gateway's own file of values, by their names there.
    :param directory: the directory of relative paths; empty where a path has to be absolute.
    """

    def __init__(self, recipe: Recipe, world: World, values_file: str, directory: str = "") -> None:
        self.secrets: dict[str, str] = {}
        self._recipe = recipe
        self._world = world
        self._values_file = values_file
        self._directory = directory
        self._values: dict[str, list[str]] = {}
        self._env: dict[str, str] = {}

    def put(self, name: str, value: str) -> None:
        """Take an input; one that is repeated has several values."""
        needs = {each.name: each for each in (*self._recipe.variables, *self._recipe.values)}
        need = needs.get(name)
        if need is not None and need.is_path and not value.startswith("$"):
            value = os.path.normpath(os.path.join(self._directory, os.path.expanduser(value)))
        if need in self._recipe.values:
            self._values.setdefault(name, []).append(value)
        else:
            self._env[name] = value

    def missing(self) -> list[Need]:
        """Return the inputs that are needed and were not given."""
        values = [each for each in self._recipe.values if each.name not in self._values]
        variables = [
            each
            for each in self._recipe.variables
            if each.name not in self._env and not self._world.knows(each.name)
        ]
        return [each for each in (*values, *variables) if each.required and each.default is None]

    def filling(self) -> Filling:
        """Return the inputs as the entry is to have them; secrets are names of variables there.

        :raise InvalidParams: another server has another value for a variable of that name.
        """
        env: dict[str, str] = {}
        known = {each.name: each for each in self._recipe.variables}
        for name, value in self._env.items():
            if VARIABLE.fullmatch(value):
                env[name] = value
            elif not self._is_secret(name, value, known.get(name)):
                env[name] = escaped(value)
            else:
                variable = self._keep(name, value)
                if self._recipe.program:
                    env[name] = f"${{{variable}}}"

        def knows(name: str) -> bool:
            return name in self.secrets or self._world.knows(name)

        return Filling(self._values, env, knows)

    def _is_secret(self, name: str, value: str, need: Need | None) -> bool:
        if need is None and self._recipe.is_strict:
            return False  # the recipe refuses it, and it must be in no file then
        # The variables of an entry without a program stand in its URL and its headers.
        is_named = need is not None and (need.secret or not self._recipe.program)
        return is_named or is_secret(name) or next(shaped(value), None) is not None

    def _keep(self, name: str, value: str) -> str:
        """Note a secret for the file of values; return the name of its variable there."""
        own = f"{slug(self._recipe.name)}_{name}".replace("-", "_").upper()
        names = (name, own) if self._recipe.program else (name,)
        there = self._world.variables
        variable = next((each for each in names if there.get(each) in (None, "", value)), "")
        if not variable:
            raise InvalidParams(
                f"{name} has another value in {self._values_file}",
                "leave it out to use that value, or change it there",
            )
        if there.get(variable) != value:
            self.secrets[variable] = value
        return variable
