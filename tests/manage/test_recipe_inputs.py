"""Inputs of recipes: the values that a new server gets by itself, and those that are asked for."""

from __future__ import annotations

from mcpgateway.config.recipes import Need, Recipe, WordGroup
from mcpgateway.config.resolve import World
from mcpgateway.manage.recipe_inputs import RecipeInputs
from mcpgateway.manage.secret_values import ValueOwners

KEY = Need("API_KEY", required=True, secret=True)
PROGRAM = Recipe("other", program=("npx", "-y", "other"), variables=(KEY,))
REMOTE = Recipe(
    "other", keys={"url": "https://other.example", "headers": {"X-Key": "${API_KEY}"}}, variables=(KEY,)
)


def inputs(recipe: Recipe, there: dict[str, str], written: dict[str, str] | None = None) -> RecipeInputs:
    """The inputs of a recipe, over a file with these values."""
    return RecipeInputs(recipe, World({}, there, "/home/me"), ValueOwners(written or {}))


def test_value_of_another_server() -> None:
    """A value that was kept for another server is not used by itself, but where the user says so."""
    made = inputs(PROGRAM, {"API_KEY": "s3cret"}, {"API_KEY": "m2"})
    assert [each.name for each in made.missing()] == ["API_KEY"]
    assert (made.others(), made.found()) == ({"API_KEY": "m2"}, [])
    made.put("API_KEY", "${API_KEY}")
    assert (made.missing(), made.entry()["env"]) == ([], {"API_KEY": "${API_KEY}"})


def test_own_value() -> None:
    """A value that the user has written is used, and named."""
    made = inputs(PROGRAM, {"API_KEY": "s3cret"})
    assert (made.missing(), made.found(), made.others()) == ([], ["API_KEY"], {})
    assert made.entry()["env"] == {"API_KEY": "${API_KEY}"}


def test_name_of_the_server() -> None:
    """A given secret is kept under a name of its server, of a program as of a URL."""
    program, remote = inputs(PROGRAM, {"API_KEY": "other"}), inputs(REMOTE, {"API_KEY": "other"})
    for each in (program, remote):
        each.put("API_KEY", "new")
    assert program.entry()["env"] == {"API_KEY": "${OTHER_API_KEY}"}
    assert remote.entry()["headers"] == {"X-Key": "${OTHER_API_KEY}"}
    assert program.secrets == remote.secrets == {"OTHER_API_KEY": "new"}


def test_reference_for_a_url() -> None:
    """A header refers to the variable that the user names."""
    made = inputs(REMOTE, {"MINE": "x"})
    made.put("API_KEY", "${MINE}")
    assert made.entry()["headers"] == {"X-Key": "${MINE}"}
    assert made.secrets == {}


def test_several_values() -> None:
    """A value with commas is several where the recipe takes several, and one elsewhere."""
    folders = Need("folders", required=True, is_path=True, is_repeated=True)
    file = Need("file", required=True, is_path=True)
    groups = (WordGroup(("{folders}",)), WordGroup(("{file}",)))
    recipe = Recipe("files", program=("x",), groups=groups, values=(folders, file))
    made = inputs(recipe, {})
    made.put("folders", "/a, /b,")
    made.put("file", "/c, d")
    assert made.entry()["args"] == ["/a", "/b", "/c, d"]
