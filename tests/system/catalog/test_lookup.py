"""The recipe that a text means, and the search among the package's own recipes."""

from __future__ import annotations

import json
from typing import Any

import pytest

from mcpgateway.config.recipes import Filling
from mcpgateway.errors import InvalidParams
from mcpgateway.system.catalog.lookup import ServerCatalog, own_entries
from tests.support.mcp_registry import package, server_json

CATALOG = ServerCatalog()
DOCUMENT = server_json("io.github.o/notes", package("npm", "@o/notes", "1.2.3"))


def entry(server: Any, prefer: str = "") -> tuple[str, dict[str, Any]]:
    """The name and the entry of what is found."""
    recipe = CATALOG.find(server, prefer)
    return recipe.name, recipe.entry(Filling())


class FindTests:
    """What a text means."""

    @pytest.mark.parametrize(
        ("server", "name", "made"),
        [
            ("DeepWiki", "deepwiki", {"url": "https://mcp.deepwiki.com/mcp"}),
            ("npm:@o/notes@1.2.3", "notes", {"command": "npx", "args": ["-y", "@o/notes@1.2.3"]}),
            ("https://mcp.notes.example/mcp", "example", {"url": "https://mcp.notes.example/mcp"}),
            (DOCUMENT, "notes", {"command": "npx", "args": ["-y", "@o/notes@1.2.3"]}),
            (json.dumps(DOCUMENT), "notes", {"command": "npx", "args": ["-y", "@o/notes@1.2.3"]}),
            ({"server": DOCUMENT}, "notes", {"command": "npx", "args": ["-y", "@o/notes@1.2.3"]}),
            ({"command": ["run", "-x"]}, "run", {"command": ["run", "-x"]}),
            ({"mcpServers": {"mine": {"command": "run"}}}, "mine", {"command": "run"}),
        ],
    )
    def test_forms(self, server: Any, name: str, made: dict[str, Any]) -> None:
        """A recipe, a package, a URL, a server.json in each of its wrappings, and entries as written."""
        found, definition = entry(server)
        assert found == name
        definition.pop("env", None)
        assert definition == made

    @pytest.mark.parametrize(
        ("server", "says"),
        [
            ("memry", "no server 'memry'"),
            ("io.github.o/notes", "no server 'io.github.o/notes'"),  # there is no registry
            ("", "missing"),
            ("{", "no JSON"),
            ("[1]", "no server"),
            ("{" * 5000, "no JSON"),
            ({"args": []}, "no definition"),
        ],
    )
    def test_refused(self, server: Any, says: str) -> None:
        """What names no server is told, with the nearest name where there is one."""
        with pytest.raises(InvalidParams, match=says) as caught:
            CATALOG.find(server)
        assert says != "no server 'memry'" or "memory" in caught.value.hint


class SearchTests:
    """The search without a registry."""

    def test_best_first(self) -> None:
        """The name counts more than the description, and unknown words match nothing."""
        found = CATALOG.search("memory", 10).entries
        assert (found[0].name, found[0].source) == ("memory", "recipe")
        assert CATALOG.search("zzzz", 10).entries == ()

    def test_what_is_shown(self) -> None:
        """An entry says how it runs and what it needs, but holds no value."""
        shown = next(each for each in own_entries(CATALOG) if each.name == "brave-search").shown()
        assert shown["runs"] == "npx -y @brave/brave-search-mcp-server"
        assert [each["name"] for each in shown["needs"]] == ["BRAVE_API_KEY"]
        assert shown["installable"] is True
