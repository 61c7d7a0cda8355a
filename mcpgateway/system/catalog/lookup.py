"""The recipe that a text or a definition means, and the search among all recipes.

text                            recipe
the name of a recipe            the package's own recipe
``npm:…``, ``pypi:…``, ``docker:…``  that of the package
a URL                           that of the remote server there
``namespace/name[@version]``    that of the registry's server, fetched from it
JSON                            that of the server.json, or the entry as written
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from attrs import evolve, field, frozen

from mcpgateway.config.document import printable
from mcpgateway.config.recipes import Filling, Need, Recipe, is_package, name_of, of_package, read_recipes
from mcpgateway.config.registry import is_server_json, of_server_json
from mcpgateway.discovery.naming import question_of
from mcpgateway.errors import BackendError, InvalidParams
from mcpgateway.policy import urls
from mcpgateway.system import package_data
from mcpgateway.system.catalog.server_registry import (
    DEPRECATED,
    LATEST,
    NAME,
    RegisteredServer,
    ServerRegistry,
)

LISTS = ("mcpServers", "servers")
DULL = frozenset("mcp www api com org net io dev app ai co".split())  # in a host name
DULL_WORDS = frozenset(
    "a an and are be by can do does for how i in is it my of on or the to what which with".split()
)
WORD = re.compile(r"[a-z0-9]+")
RECIPE, REGISTRY = "recipe", "registry"
OUTDATED = "Its author has deprecated this server."


@frozen
class CatalogEntry:
    """A server that a search has found.

    :ivar name: the name by which it is installed.
    :ivar source: ``recipe`` or ``registry``.
    :ivar runs: its command or its URL; empty where it cannot be run here.
    :ivar why_not: the reason for that.
    """

    name: str
    source: str
    title: str
    about: str
    runs: str
    version: str = ""
    needs: tuple[Need, ...] = ()
    homepage: str = ""
    is_deprecated: bool = False
    why_not: str = ""

    def shown(self) -> dict[str, Any]:
        """Return it as JSON."""
        return {
            "name": self.name,
            "source": self.source,
            "title": self.title,
            "description": self.about,
            "version": self.version,
            "runs": self.runs,
            "installable": not self.why_not,
            "reason": self.why_not,
            "deprecated": self.is_deprecated,
            "homepage": self.homepage,
            "needs": [each.shown() for each in self.needs],
        }


@frozen
class CatalogSearch:
    """The outcome of a search.

    :ivar problem: the reason why the registry could not be searched; empty if it was.
    """

    entries: tuple[CatalogEntry, ...]
    problem: str = ""


@frozen
class ServerCatalog:
    """The package's own recipes, and the servers of a registry.

    :ivar registry_url: the URL of the registry; empty for none.
    """

    registry_url: str = ""
    recipes: Mapping[str, Recipe] = field(factory=lambda: read_recipes(package_data.recipes()), repr=False)

    def find(self, server: Any, prefer: str = "") -> Recipe:
        """Return the recipe that a text or a definition means; blocks where it is the registry's.

        :param prefer: ``npm``, ``pypi``, ``oci`` or ``remote``, where only that way of a server.json is wanted.
        :raise InvalidParams: there is no such recipe; the hint has the nearest one.
        :raise BackendError: the registry cannot be asked.
        """
        if isinstance(server, str) and server.lstrip().startswith("{"):
            server = _object(server)
        if isinstance(server, Mapping):
            return _of_object(server, prefer)
        if not isinstance(server, str) or not server.strip():
            raise InvalidParams('"server" is missing', "list_catalog says which servers are known by name")
        server = server.strip()
        if server.startswith(("http://", "https://", "ws://", "wss://")):
            return Recipe(_name_of_host(server), keys={"url": server})
        if is_package(server):
            return of_package(server)
        if server.lower() in self.recipes:
            return self.recipes[server.lower()]
        registered = NAME.fullmatch(server)
        if registered is not None and self.registry_url:
            found = ServerRegistry(self.registry_url).server(
                registered["name"], registered["version"] or LATEST
            )
            return _of_registered(found, prefer)
        raise InvalidParams(
            f"the catalogue has no server '{printable(server)}'",
            question_of(server.lower(), self.recipes)
            or "list_catalog shows what it has; name a package as npm:…, pypi:… or docker:…, or pass a definition",
        )

    def ranked(self, query: str) -> list[Recipe]:
        """Return the recipes that match a query, best first."""
        words = words_of(query)
        scored = [
            (_score(words, (each.name, each.title, " ".join(each.tags), each.about)), each)
            for each in self.recipes.values()
        ]
        return [each for score, each in sorted(scored, key=lambda pair: (-pair[0], pair[1].name)) if score]

    def search(self, query: str, limit: int) -> CatalogSearch:
        """Search the recipes and the registry; blocks.

        :param limit: the number of the registry's servers; all recipes that match are found.
        """
        own = [_own_entry(each) for each in self.ranked(query)]
        words = words_of(query)
        if not self.registry_url or not words:
            return CatalogSearch(tuple(own))
        try:
            found = ServerRegistry(self.registry_url).search(words)
        except BackendError as why:
            return CatalogSearch(tuple(own), why.message)
        scored = [(_score(words, (each.name, each.title, "", each.about)), each) for each in found]
        best = sorted(scored, key=lambda pair: (pair[1].status == DEPRECATED, -pair[0], pair[1].name))
        return CatalogSearch((*own, *(_registered_entry(each) for score, each in best[:limit] if score)))


def words_of(text: str) -> list[str]:
    """Return the words of a text that distinguish it from others."""
    return [each for each in WORD.findall(text.lower()) if each not in DULL_WORDS]


def runs_as(recipe: Recipe) -> str:
    """Return the command of a recipe, without its arguments, or the URL of its server."""
    return str(recipe.keys.get("url") or " ".join((*recipe.program, recipe.image)).strip())


def _score(words: Iterable[str], texts: Iterable[str]) -> int:
    # The name, the title, the tags and the description.
    held = [(words_of(text), weight) for text, weight in zip(texts, (8, 4, 4, 2), strict=True)]
    return sum(weight for word in words for own, weight in held if any(each.startswith(word) for each in own))


def own_entries(catalog: ServerCatalog) -> tuple[CatalogEntry, ...]:
    """Return all recipes of the package, by name."""
    return tuple(_own_entry(each) for each in catalog.recipes.values())


def _own_entry(recipe: Recipe) -> CatalogEntry:
    needs = tuple(each for each in (*recipe.values, *recipe.variables) if each.required)
    return CatalogEntry(
        recipe.name,
        RECIPE,
        recipe.title,
        recipe.about,
        runs_as(recipe),
        needs=needs,
        homepage=recipe.homepage,
        is_deprecated=recipe.is_deprecated,
    )


def _registered_entry(server: RegisteredServer) -> CatalogEntry:
    is_old = server.status == DEPRECATED
    entry = CatalogEntry(
        server.name, REGISTRY, server.title, server.about, "", server.version, is_deprecated=is_old
    )
    try:
        recipe = _of_registered(server)
    except InvalidParams as why:
        return evolve(entry, why_not=why.message.removeprefix(f"{printable(server.name)}: "))
    needs = tuple(each for each in (*recipe.values, *recipe.variables) if each.required)
    return evolve(entry, runs=runs_as(recipe), needs=needs, homepage=recipe.homepage)


def _of_registered(server: RegisteredServer, prefer: str = "") -> Recipe:
    recipe = of_server_json(server.description, prefer)
    return evolve(recipe, quirks=OUTDATED) if server.status == DEPRECATED else recipe


def _object(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        raise InvalidParams("that definition is no JSON") from None
    if not isinstance(found, dict):
        raise InvalidParams("that definition is no JSON object")
    return found


def _of_object(found: Mapping[str, Any], prefer: str) -> Recipe:
    for key in LISTS:
        inner = found.get(key)
        if isinstance(inner, Mapping) and len(inner) == 1:
            name, entry = next(iter(inner.items()))
            if isinstance(entry, Mapping):
                return evolve(_of_object(entry, prefer), name=name)
    if is_server_json(found):
        return of_server_json(found, prefer)
    keys = {key: each for key, each in found.items() if key != "name"}
    name = found.get("name")
    if not isinstance(name, str) or not name:
        name = _name_of_entry(keys)
    return _Given(name, keys=keys)


class _Given(Recipe):
    """A definition that is used as written."""

    def entry(self, filling: Filling) -> dict[str, Any]:
        """Return the definition, with the variables that are passed beside it."""
        definition = dict(self.keys)
        env = definition.pop("environment", None) or definition.get("env") or {}
        if isinstance(env, list):
            env = dict(str(each).split("=", 1) for each in env if "=" in str(each))
        if env or filling.env:
            definition["env"] = {**env, **filling.env}
        return definition


def _name_of_entry(entry: Mapping[str, Any]) -> str:
    url = next((entry[key] for key in ("url", "httpUrl", "serverUrl", "baseUrl") if key in entry), None)
    if isinstance(url, str):
        return _name_of_host(url)
    command, args = entry.get("command"), entry.get("args", [])
    words = [*([command] if isinstance(command, str) else command or []), *(args or [])]
    bare = [each for each in words if isinstance(each, str) and not each.startswith("-")]
    runners = ("npx", "uvx", "bunx", "pipx", "node", "python", "python3", "docker", "uv", "run")
    named = [each for each in bare if each.rpartition("/")[2] not in runners] or bare
    if not named:
        raise InvalidParams("that is no definition of a server", "it needs a command or a url")
    return name_of(re.sub(r"(?<=.)@[^/]*$", "", named[0]))


def _name_of_host(url: str) -> str:
    try:
        host = urls.read(url).host
    except BackendError as why:
        raise InvalidParams("that URL cannot be read", "such as https://mcp.example.com/mcp") from why
    if host.replace(".", "").isdigit() or ":" in host:
        return "remote"
    labels = [each for each in host.split(".") if each not in DULL]
    return name_of(labels[-1]) if labels else "remote"
