"""The registry's server.json."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcpgateway.config.expand import expand
from mcpgateway.config.recipes import Filling, MissingVariables
from mcpgateway.config.registry import is_server_json, of_server_json
from mcpgateway.errors import InvalidParams

KNOWS = Filling(knows=lambda _: True)


def package(kind: str = "npm", identifier: str = "@o/weather", **more: Any) -> dict[str, Any]:
    """A package of a server."""
    said = {
        "registryType": kind,
        "identifier": identifier,
        "version": "1.2.3",
        "transport": {"type": "stdio"},
    }
    return {**said, **more}


def server(*packages: dict[str, Any], **more: Any) -> dict[str, Any]:
    """A server as a registry describes it."""
    return {
        "name": "io.github.o/weather-mcp",
        "description": "Weather.",
        "version": "1.2.3",
        "packages": list(packages),
        **more,
    }


def entry(found: dict[str, Any], filling: Filling = KNOWS, prefer: str = "") -> dict[str, Any]:
    """The entry that a description makes."""
    return of_server_json(found, prefer).entry(filling)


class PackageTests:
    """Servers that run here."""

    @pytest.mark.parametrize(
        ("kind", "identifier", "words"),
        [
            ("npm", "@o/weather", ["npx", "-y", "@o/weather@1.2.3"]),
            ("pypi", "weather", ["uvx", "weather@1.2.3"]),
            ("oci", "ghcr.io/o/weather", ["docker", "run", "-i", "--rm", "ghcr.io/o/weather:1.2.3"]),
            ("oci", "ghcr.io/o/weather:1", ["docker", "run", "-i", "--rm", "ghcr.io/o/weather:1"]),
        ],
    )
    def test_kinds(self, kind: str, identifier: str, words: list[str]) -> None:
        """The version that is described is the one that runs."""
        recipe = of_server_json(server(package(kind, identifier)))
        made = recipe.entry(KNOWS)
        assert [made["command"], *made["args"]] == words
        assert (recipe.name, recipe.about) == ("weather", "Weather.")

    def test_the_first_that_can_run(self) -> None:
        """The npm package goes first among several ways, whatever their order; a preferred way goes before that."""
        found = server(package("mcpb", "https://x/y.mcpb"), package("oci", "o/w"), package("pypi", "weather"))
        assert entry(found)["command"] == "uvx"
        assert entry(found, prefer="oci")["command"] == "docker"

    def test_variables(self) -> None:
        """A variable without a value comes from the gateway's own; one with a value has that."""
        variables = [
            {"name": "KEY", "isRequired": True, "isSecret": True, "description": "from there"},
            {"name": "MODE", "value": "fast"},
            {"name": "LEVEL", "default": "info", "choices": ["info", "debug"]},
        ]
        found = server(package(environmentVariables=variables))
        assert entry(found, Filling(knows=lambda name: name == "KEY"))["env"] == {
            "MODE": "fast",
            "KEY": "${KEY}",
            "LEVEL": "info",
        }
        with pytest.raises(MissingVariables, match="KEY"):
            entry(found, Filling())
        with pytest.raises(InvalidParams, match="one of info, debug"):
            entry(found, Filling(env={"LEVEL": "loud", "KEY": "${KEY}"}))

    def test_arguments(self) -> None:
        """Named arguments keep their names, required ones are asked for, flags stand alone."""
        said = [
            {"type": "named", "name": "--port", "default": "80"},
            {"type": "named", "name": "--unit", "choices": ["C", "F"]},
            {"type": "named", "name": "--quiet"},
            {"type": "positional", "valueHint": "city", "isRequired": True},
            {"type": "positional", "value": "{a}-{b}", "variables": {"a": {"isRequired": True}}},
        ]
        found = server(package(packageArguments=said))
        with pytest.raises(InvalidParams, match="needs the value city"):
            entry(found)
        made = entry(found, Filling({"city": ("Graz",), "a": ("x",)}))
        assert made["args"][2:] == ["--port", "80", "--quiet", "Graz", "x-{b}"]

    def test_what_the_runner_is_told(self) -> None:
        """Fixed words stand before the package; ones that depend on values are not guessed at."""
        fixed = [{"type": "named", "name": "--network", "value": "none"}]
        made = entry(server(package("oci", "o/w:1", runtimeArguments=fixed, runtimeHint="podman")))
        assert [made["command"], *made["args"]] == [
            *("podman", "run", "-i", "--rm"),
            *("--network", "none", "o/w:1"),
        ]
        open_one = [{"type": "positional", "valueHint": "mount", "isRequired": True}]
        with pytest.raises(InvalidParams, match="by hand"):
            entry(server(package("oci", "o/w:1", runtimeArguments=open_one)))

    @pytest.mark.parametrize(
        ("kind", "words"),
        [
            ("npm", "--registry https://evil.example"),
            ("npm", "--registry=https://evil.example"),
            ("npm", "--userconfig=/tmp/x"),
            ("npm", "--node-options=--require=/tmp/x"),
            ("npm", "--package=evil"),
            ("npm", "-p evil"),
            ("npm", "-c evil"),
            ("npm", "evil"),
            ("npm", "--quiet=x"),
            ("npm", "--loglevel --package=evil"),
            ("pypi", "--index-url https://evil.example"),
            ("pypi", "--default-index=https://evil.example"),
            ("pypi", "--from git+https://evil.example"),
            ("pypi", "--with evil"),
            ("pypi", "--python /tmp/x"),
            ("pypi", "--env-file=/home/me/.env"),
            ("pypi", "--python"),
            ("oci", "--privileged"),
            ("oci", "-v /:/host"),
            ("oci", "-v ./x:/host"),
            ("oci", "-v/var/run/docker.sock:/s"),
            ("oci", "--mount type=bind,src=/,dst=/host"),
            ("oci", "--pid=host"),
            ("oci", "--network host"),
            ("oci", "--network=container:other"),
            ("oci", "--cap-add=ALL"),
            ("oci", "--security-opt seccomp=unconfined"),
            ("oci", "--env-file=/home/me/.env"),
            ("oci", "-e HOME"),
            ("oci", "--entrypoint=sh"),
            ("oci", "evil/image"),
        ],
    )
    def test_what_no_runner_is_told(self, kind: str, words: str) -> None:
        """No other package, no other place, no program and nothing of this machine comes from a description."""
        told = [{"type": "positional", "value": word} for word in words.split()]
        with pytest.raises(InvalidParams, match=r"to its runner; configure it by hand"):
            entry(server(package(kind, "o/weather" if kind == "oci" else "weather", runtimeArguments=told)))

    @pytest.mark.parametrize(
        ("kind", "words"),
        [
            ("npm", "-y --prefer-offline --loglevel=error"),
            ("pypi", "--python 3.12 --isolated"),
            ("pypi", "--python=cpython@3.12"),
            ("oci", "--init -e A=b --memory 512m -v data:/data --cap-drop=ALL --network=bridge"),
        ],
    )
    def test_what_a_runner_is_told(self, kind: str, words: str) -> None:
        """The arguments of the runner that a package's author gives are used."""
        told = [{"type": "positional", "value": word} for word in words.split()]
        made = entry(
            server(package(kind, "o/weather" if kind == "oci" else "weather", runtimeArguments=told))
        )
        assert set(words.split()) <= set(made["args"])

    def test_a_secret_in_an_argument(self) -> None:
        """A secret in an argument is taken from a variable, and never shown."""
        said = [{"type": "named", "name": "--api-key", "isSecret": True, "isRequired": True}]
        recipe = of_server_json(server(package(packageArguments=said)))
        assert [each.name for each in recipe.variables] == ["API_KEY"]
        assert recipe.entry(KNOWS)["args"][2:] == ["--api-key", "${API_KEY}"]

    def test_the_first_spelling(self) -> None:
        """A description of the first schema means the same."""
        old = {
            "registry_type": "npm",
            "identifier": "w",
            "version": "1",
            "environment_variables": [{"name": "K", "is_required": True, "is_secret": True}],
            "package_arguments": [{"type": "positional", "value_hint": "v", "is_required": True}],
        }
        recipe = of_server_json(server(old))
        assert recipe.variables[0].secret
        assert recipe.values[0].required

    def test_as_a_registry_answers(self) -> None:
        """The description may be wrapped, as in an answer of a registry's API."""
        found = {"server": server(package()), "_meta": {}}
        assert is_server_json(found)
        assert entry(found)["command"] == "npx"

    @pytest.mark.parametrize(
        ("found", "says"),
        [
            (server(), "names nothing"),
            (server(package("nuget", "x")), "kind 'nuget'"),
            (server(package(registryBaseUrl="https://evil.example")), "not the usual registry"),
            (server(package(transport={"type": "streamable-http", "url": "http://x"})), "streamable-http"),
            (server(package(identifier="--evil")), "is no package"),
            (server(package(version="^1.0")), "is no package"),
            (server({"registryType": "npm"}), "identifier"),
            (server(package(environmentVariables=[{"name": "A B"}])), "no name of a variable"),
            (server(package(packageArguments="x")), "expected a list"),
            (server(package(packageArguments=[{"type": "named", "name": "-x"}] * 101)), "more than 100"),
        ],
    )
    def test_refused(self, found: dict[str, Any], says: str) -> None:
        """A package that cannot be run, or is malformed, is named."""
        with pytest.raises(InvalidParams, match=says) as caught:
            entry(found)
        assert "npm or pypi" in caught.value.hint


class RemoteTests:
    """Servers that run elsewhere."""

    def test_url_and_headers(self) -> None:
        """An input in a URL is a value, a secret in a header is a variable."""
        said = {
            "type": "streamable-http",
            "url": "https://{tenant}.example.com/mcp",
            "variables": {"tenant": {"isRequired": True}},
            "headers": [
                {"name": "Authorization", "value": "Bearer {key}", "variables": {"key": {"isSecret": True}}},
                {"name": "X-Key", "isRequired": True, "isSecret": True},
                {"name": "X-Optional"},
            ],
        }
        made = entry(server(remotes=[said]), Filling({"tenant": ("shop",)}, knows=lambda _: True))
        assert made == {
            "url": "https://shop.example.com/mcp",
            "transport": "http",
            "headers": {"Authorization": "Bearer ${KEY}", "X-Key": "${WEATHER_X_KEY}"},
        }

    def test_sse(self) -> None:
        """The older transport is kept."""
        made = entry(server(remotes=[{"type": "sse", "url": "https://e.com/sse"}]))
        assert made["transport"] == "sse"

    def test_packages_go_first(self) -> None:
        """A remote is taken where no package can be run, or where it is asked for."""
        found = server(package(), remotes=[{"type": "sse", "url": "https://e.com/sse"}])
        assert "command" in entry(found)
        assert "url" in entry(found, prefer="remote")


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(max_size=20)
    | st.sampled_from(["npm", "${HOME}", "{a}"]),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                "name type value default variables isSecret isRequired choices valueHint identifier version url".split()
            )
            | st.text(max_size=8),
            inner,
            max_size=5,
        )
    ),
    max_leaves=20,
)


class AnythingTests:
    """Descriptions that nobody has checked."""

    @given(st.lists(JSON, max_size=3), st.lists(JSON, max_size=3), st.lists(JSON, max_size=3))
    def test_any_description(self, arguments: Any, variables: Any, remotes: Any) -> None:
        """A description of any content is read or refused with a message, and uses no undeclared variable."""
        found = server(
            package(packageArguments=arguments, environmentVariables=variables),
            remotes=remotes,
        )
        try:
            recipe = of_server_json(found)
            made = recipe.entry(Filling({each.name: ("v",) for each in recipe.values}, knows=lambda _: True))
        except InvalidParams:
            return
        declared = {each.name for each in recipe.variables}
        texts = [*made.get("args", ()), *made.get("env", {}).values(), made.get("url", "")]
        for text in (*texts, *made.get("headers", {}).values()):
            assert isinstance(text, str)
            assert set(expand(text, {}).used) <= declared

    @given(JSON)
    def test_any_packages(self, packages: Any) -> None:
        """The same for a whole list of packages."""
        found = {"name": "a/b", "packages": packages, "remotes": packages}
        with suppress(InvalidParams):
            assert of_server_json(found).name
