"""The inputs of a recipe, as the user who installs it gives them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from mcpgateway.config.expand import VARIABLE, escaped
from mcpgateway.config.recipes import Filling, Need, Recipe
from mcpgateway.config.resolve import World
from mcpgateway.manage.secret_values import REFERENCE, ValueOwners, name_of_value
from mcpgateway.policy.secrets.shapes import is_secret, shaped


class RecipeInputs:
    """The inputs of a recipe; secrets are kept apart, for the gateway's own file of values, which the entry names.

    :ivar secrets: the values for the gateway's own file of values, by their names there.
    :param whose: the servers that the values in that file belong to.
    :param directory: the directory of relative paths; empty where a path has to be absolute.
    """

    def __init__(self, recipe: Recipe, world: World, whose: ValueOwners, directory: str = "") -> None:
        self.secrets: dict[str, str] = {}
        self._recipe = recipe
        self._world = world
        self._whose = whose
        self._directory = directory
        self._values: dict[str, list[str]] = {}
        self._env: dict[str, str] = {}

    def put(self, name: str, value: str) -> None:
        """Take an input; one that is repeated has several values, given one by one or with commas between them."""
        needs = {each.name: each for each in (*self._recipe.variables, *self._recipe.values)}
        need = needs.get(name)
        if need is not None and need.is_repeated and "," in value:
            for each in filter(None, map(str.strip, value.split(","))):
                self.put(name, each)
            return
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
            if each.name not in self._env and not self._is_there(each.name)
        ]
        return [each for each in (*values, *variables) if each.required and each.default is None]

    def others(self) -> dict[str, str]:
        """Return the inputs of which the file has a value that was kept for another server, with that server."""
        found = {
            each.name: self._whose.other(each.name, self._recipe.name) for each in self._recipe.variables
        }
        return {
            name: other
            for name, other in found.items()
            if other and name not in self._env and self._world.variables.get(name)
        }

    def found(self) -> list[str]:
        """Return the inputs that were not given, and whose values are the user's own: in a file or the environment."""
        names = [each.name for each in self._recipe.variables]
        return [each for each in names if each not in self._env and self._is_there(each)]

    def _is_there(self, name: str) -> bool:
        return not self._whose.other(name, self._recipe.name) and self._world.knows(name)

    def entry(self) -> dict[str, Any]:
        """Return the entry for a configuration; it names secrets, whose values are noted for the file of values.

        :raise InvalidParams: an input is missing, or unknown to the recipe.
        """
        env: dict[str, str] = {}
        names: dict[str, str] = {}
        known = {each.name: each for each in self._recipe.variables}
        for name, value in self._env.items():
            is_reference = bool(VARIABLE.fullmatch(value))
            if is_reference and (self._recipe.program or name not in known):
                env[name] = value
            elif not (is_reference or self._is_secret(name, value, known.get(name))):
                env[name] = escaped(value)
            else:
                names[name] = value if is_reference else f"${{{self._keep(name, value)}}}"
                if name not in known:
                    env[name] = f"${{{name}}}"

        def knows(name: str) -> bool:
            return name in names or self._is_there(name)

        made = _renamed(self._recipe.entry(Filling(self._values, env, knows)), names)
        return dict(made)

    def _is_secret(self, name: str, value: str, need: Need | None) -> bool:
        if need is None and self._recipe.is_strict:
            return False  # the recipe refuses it, and it must be in no file then
        # The variables of an entry without a program stand in its URL and its headers.
        is_named = need is not None and (need.secret or not self._recipe.program)
        return is_named or is_secret(name) or next(shaped(value), None) is not None

    def _keep(self, name: str, value: str) -> str:
        """Note a secret for the file of values; return the name of its variable there."""
        there = {**self._world.variables, **self.secrets}
        own = name_of_value(self._recipe.name, name, value, there, self._whose, self.secrets)
        if self._world.variables.get(own) != value:
            self.secrets[own] = value
        return own


def _renamed(made: Any, names: Mapping[str, str]) -> Any:
    """Return the value of an entry with other references in the place of some variables."""
    match made:
        case str():
            return REFERENCE.sub(lambda found: names.get(found[1], found[0]), made)
        case dict():
            return {key: _renamed(each, names) for key, each in made.items()}
        case list():
            return [_renamed(each, names) for each in made]
    return made
