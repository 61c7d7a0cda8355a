"""Recipes of servers, and the catalogue that ships with the package."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcpgateway.config.document import Document
from mcpgateway.config.entry import Origin, Scope, read_server
from mcpgateway.config.expand import expand
from mcpgateway.config.problems import Problems
from mcpgateway.config.recipes import (
    Filling,
    MissingVariables,
    Need,
    Recipe,
    WordGroup,
    is_package,
    name_of,
    of_package,
    read_recipes,
)
from mcpgateway.errors import InvalidParams
from mcpgateway.system import package_data

KNOWN = read_recipes(package_data.recipes())
WANTED = (
    "memory code-index ast-grep playwright github filesystem fetch git time sequential-thinking everything sqlite"
    " postgres puppeteer chrome-devtools context7 serena slack notion linear sentry brave-search"
).split()
ALL = Filling(knows=lambda _: True)


def filled(recipe: Recipe) -> Filling:
    """Return a recipe with all values that it needs."""
    return Filling({each.name: ("/some/where",) for each in recipe.values}, knows=lambda _: True)


def problems_of(name: str, entry: dict[str, Any]) -> list[str]:
    """Return the problems that a configuration with this entry has."""
    problems = Problems()
    document = Document("f", {"servers": {name: entry}}, lambda _: 1)
    place = document.root().at("servers").at(name)
    read = read_server(name, place, Origin(Scope.NATIVE, "f", "/"), problems)
    return [str(each) for each in problems] + ([] if read else ["it is no entry"])


class CatalogueTests:
    """The servers that are known by name."""

    def test_there_are_enough(self) -> None:
        """The catalogue has at least 25 recipes, and among them all promised ones."""
        assert len(KNOWN) >= 25
        assert set(WANTED) <= KNOWN.keys()

    @pytest.mark.parametrize("name", sorted(KNOWN))
    def test_each_makes_an_entry(self, name: str) -> None:
        """A recipe with all its values makes an entry that a configuration accepts without a warning."""
        recipe = KNOWN[name]
        assert problems_of(name, recipe.entry(filled(recipe))) == []

    @pytest.mark.parametrize("name", sorted(KNOWN))
    def test_each_tells_what_it_is(self, name: str) -> None:
        """A recipe says what the server is for, where it is from, and what each variable is for."""
        recipe = KNOWN[name]
        assert recipe.about.endswith(".")
        assert recipe.homepage.startswith("https://")
        assert recipe.tags
        assert all(each.about for each in (*recipe.values, *recipe.variables))
        assert bool(recipe.program) is not ("url" in recipe.keys)

    @pytest.mark.parametrize("name", sorted(KNOWN))
    def test_no_secret_stands_in_a_command(self, name: str) -> None:
        """Where a recipe has a secret, it reaches the server in its environment or a header."""
        recipe = KNOWN[name]
        entry = recipe.entry(filled(recipe))
        words = " ".join([entry.get("command", ""), *entry.get("args", [])])
        assert not any(each.name in words for each in recipe.variables)


class FillingTests:
    """The values of a recipe."""

    def test_the_sdk_that_sqlite_needs(self) -> None:
        """The SQLite server, which fails on version 2 of the Python SDK, is run with version 1."""
        assert KNOWN["sqlite"].program == ("uvx", "--with", "mcp<2", "mcp-server-sqlite")

    def test_a_value_that_is_missing(self) -> None:
        """A value that is needed is asked for by name, with what it is for."""
        with pytest.raises(InvalidParams, match="filesystem needs the value directories") as caught:
            KNOWN["filesystem"].entry(ALL)
        assert '"values": {"directories"' in caught.value.hint

    def test_several_values(self) -> None:
        """A value may be a list, each of which is an argument."""
        entry = KNOWN["filesystem"].entry(Filling({"directories": ("/a", "/b")}))
        assert entry["args"][-2:] == ["/a", "/b"]

    def test_groups_fall_together(self) -> None:
        """An option whose value is not given is left out."""
        assert KNOWN["git"].entry(Filling())["args"] == ["mcp-server-git"]
        entry = KNOWN["git"].entry(Filling({"repository": ("/r",)}))
        assert entry["args"] == ["mcp-server-git", "--repository", "/r"]

    def test_variables_that_are_missing(self) -> None:
        """A variable that is needed and not known is named with what it is for, and no value is asked for."""
        with pytest.raises(MissingVariables, match="BRAVE_API_KEY") as caught:
            KNOWN["brave-search"].entry(Filling())
        assert caught.value.data is not None
        assert caught.value.data["missing"][0]["secret"] is True

    def test_known_variables_are_referred_to(self) -> None:
        """A variable that the gateway has a value for stands in the entry by its name; others are left out."""
        entry = KNOWN["redis"].entry(Filling(knows=lambda name: name == "REDIS_PWD"))
        assert entry["env"] == {"REDIS_PWD": "${REDIS_PWD}"}

    @pytest.mark.parametrize(
        ("filling", "hint"),
        [
            (Filling({"directorie": ("/a",)}), "did you mean 'directories'?"),
            (Filling({"directories": ("/a",)}, {"X": "y"}), "known here: directories"),
        ],
    )
    def test_what_nobody_asked_for(self, filling: Filling, hint: str) -> None:
        """A value or a variable that a known server does not take is refused."""
        with pytest.raises(InvalidParams) as caught:
            KNOWN["filesystem"].entry(filling)
        assert caught.value.hint == hint

    @pytest.mark.parametrize("text", ["--help", "a\nb", "not/from/the/root", "x" * 5000])
    def test_values_that_are_refused(self, text: str) -> None:
        """An option, a second line, a relative path and an endless text are no values."""
        with pytest.raises(InvalidParams):
            KNOWN["git"].entry(Filling({"repository": (text,)}))

    def test_a_remote_takes_no_variables(self) -> None:
        """Headers take their values from the gateway's own variables, so none can be passed."""
        with pytest.raises(InvalidParams, match="no program"):
            KNOWN["github"].entry(Filling(env={"GITHUB_PERSONAL_ACCESS_TOKEN": "${X}"}))

    @given(st.text(st.characters(blacklist_characters="\r\n\0", blacklist_categories=["Cs"]), max_size=50))
    def test_a_value_means_itself(self, text: str) -> None:
        """A value names no variable, whatever it holds: the server gets it unchanged."""
        recipe = Recipe("x", program=("run",), groups=(WordGroup(("{v}",)),), values=(Need("v"),))
        if not text or text.startswith("-") or expand(text, {}).unset == (text[2:-1],):
            return
        try:
            entry = recipe.entry(Filling({"v": (text,)}))
        except InvalidParams:
            return
        assert expand(entry["args"][0], {"HOME": "secret"}).text == text


class PackageTests:
    """Recipes of packages by their names."""

    @pytest.mark.parametrize(
        ("text", "name", "words"),
        [
            ("npm:@scope/mcp-server-x@1.2.3", "x", ["npx", "-y", "@scope/mcp-server-x@1.2.3"]),
            ("npm:weather-mcp", "weather", ["npx", "-y", "weather-mcp"]),
            ("pypi:mcp-server-git==2026.1.0", "git", ["uvx", "mcp-server-git@2026.1.0"]),
            ("pypi:a.b[extra]@1", "a-b", ["uvx", "a.b[extra]@1"]),
            ("docker:ghcr.io/o/thing:1", "thing", ["docker", "run", "-i", "--rm", "ghcr.io/o/thing:1"]),
        ],
    )
    def test_read(self, text: str, name: str, words: list[str]) -> None:
        """A package of each kind has its runner, and the server is named after the package."""
        recipe = of_package(text)
        entry = recipe.entry(Filling())
        assert is_package(text)
        assert recipe.name == name
        assert [entry["command"], *entry["args"]] == words

    def test_a_container_is_given_variables_by_name(self) -> None:
        """The engine passes variables on by name, so that no list of processes shows their values."""
        entry = of_package("docker:i").entry(Filling(env={"TOKEN": "${TOKEN}"}))
        assert entry["args"] == ["run", "-i", "--rm", "-e", "TOKEN", "i"]
        assert entry["env"] == {"TOKEN": "${TOKEN}"}

    @pytest.mark.parametrize(
        "text",
        [
            "npm:--registry=http://evil",
            "npm:a b",
            "npm:a;b",
            "npm:../x",
            "npm:git+https://x",
            "pypi:-r",
            "pypi:a>1",
            "pypi:a @ http://x",
            "docker:-v/:/host",
            "npm:evil.tgz",
            "npm:evil@x.tar.gz",
            "npm:@o/evil@1.TGZ",
            "pypi:evil.whl",
            "pypi:evil==x.zip",
            "docker:docker-archive:x",
            "docker:dir:x",
            "docker:A",
            "gem:x",
            "npm:",
        ],
    )
    def test_refused(self, text: str) -> None:
        """Options, addresses, paths and ranges are no packages."""
        with pytest.raises(InvalidParams, match="is no package"):
            of_package(text)

    @given(st.text(max_size=60))
    def test_any_text(self, text: str) -> None:
        """Any text is refused, or is a package whose command has nothing in it that could be an option."""
        for kind in ("npm", "pypi", "docker"):
            try:
                recipe = of_package(f"{kind}:{text}")
            except InvalidParams:
                continue
            word = recipe.image or recipe.program[-1]
            assert not word.startswith("-")
            assert not set(word) & set(" ;|&$`\n'\"<>(){}\\")

    @pytest.mark.parametrize(
        ("package", "name"),
        [
            ("@modelcontextprotocol/server-memory", "memory"),
            ("mcp-server-git", "git"),
            ("mcp", "mcp"),
            ("a__b", "a_b"),
        ],
    )
    def test_names(self, package: str, name: str) -> None:
        """Words that only mean a server are left out of a name."""
        assert name_of(package) == name
