"""The inputs of a recipe, as the user who installs it gives them.

# Note [Values of other servers]
A recipe names its own variables, so that one could name the key of another server and get it.  So a secret in the file
of values, or in the gateway's environment, is given to a new server only if the user says so: by ``NAME=${NAME}``.
A secret that is typed for a server is kept under a name of that server's own.
"""

from __future__ import annotations

import os

from mcpgateway.config.expand import VARIABLE, escaped
from mcpgateway.config.recipes import Filling, Need, Recipe
from mcpgateway.config.resolve import World
from mcpgateway.errors import InvalidParams
from mcpgateway.manage.secret_values import names_of_value
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
        self._agreed: set[str] = set()

    def put(self, name: str, value: str) -> None:
        """Take an input; one that is repeated has several values."""
        needs = {each.name: each for each in (*self._recipe.variables, *self._recipe.values)}
        need = needs.get(name)
        if need is not None and need.is_path and not value.startswith("$"):
            value = os.path.normpath(os.path.join(self._directory, os.path.expanduser(value)))
        if value == f"${{{name}}}":
            self._agreed.add(name)
            if not self._recipe.program and self._world.knows(name):
                return  # its URL and its headers name the value
        if need in self._recipe.values:
            self._values.setdefault(name, []).append(value)
        else:
            self._env[name] = value

    def missing(self) -> list[Need]:
        """Return the inputs that are needed and were not given."""
        values = [each for each in self._recipe.values if each.name not in self._values]
        variables = [
            each for each in self._recipe.variables if each.name not in self._env and not self._is_known(each)
        ]
        return [each for each in (*values, *variables) if each.required and each.default is None]

    def has_value(self, name: str) -> bool:
        """True if the gateway has a value of that name, which the user may let the server have."""
        return self._world.knows(name)

    def _is_known(self, need: Need) -> bool:
        """True if the gateway has a value that the server gets; see Note [Values of other servers]."""
        is_secret_one = need.secret or is_secret(need.name)
        return self._world.knows(need.name) and (not is_secret_one or need.name in self._agreed)

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
            return name in self.secrets or (name in known and self._is_known(known[name]))

        return Filling(self._values, env, knows)

    def _is_secret(self, name: str, value: str, need: Need | None) -> bool:
        if need is None and self._recipe.is_strict:
            return False  # the recipe refuses it, and it must be in no file then
        # The variables of an entry without a program stand in its URL and its headers.
        is_named = need is not None and (need.secret or not self._recipe.program)
        return is_named or is_secret(name) or next(shaped(value), None) is not None

    def _keep(self, name: str, value: str) -> str:
        """Note a secret for the file of values; return the name of its variable there."""
        there = self._world.variables
        names = names_of_value(self._recipe.name, name) if self._recipe.program else iter((name,))
        variable = next((each for each in names if there.get(each) in (None, "", value)), "")
        if not variable:
            raise InvalidParams(
                f"{name} has another value in {self._values_file}",
                f"-e '{name}=${{{name}}}' uses that value",
            )
        if there.get(variable) != value:
            self.secrets[variable] = value
        return variable
